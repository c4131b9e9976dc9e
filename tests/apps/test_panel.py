"""The re-spell application: what the desk does, and that views show it and hand clicks on. Runs with ipywidgets 7.7.1, Colab's, too."""

import subprocess
import sys
import time
import types

import numpy as np
import pytest
import torch
from conftest import ROOT

from cursivetransformer.apps.desk import CANDIDATES, PIECE, WritingDesk
from cursivetransformer.apps.view import (
    MOST_BUTTONS,
    ButtonView,
    ClickView,
    WritingApp,
    clickable_page,
    drawing,
)
from cursivetransformer.config import CursiveError, GenerationParams, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.curves import on_page
from cursivetransformer.ink.points import Word, slant
from cursivetransformer.model.checkpoint import save_model
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.writing.page import FORMATS, write
from cursivetransformer.writing.reader import load_reader

TEXT = "many a brave soul did it send hurrying down to Hades,\nand many a hero did it yield a prey to dogs and vultures"


@pytest.fixture(scope="module")
def seven(default):
    "Seven written words."
    return tuple(write("many a brave soul did it send", default))


@pytest.fixture
def desk(default, seven):
    "A desk with a few words on it."
    desk = WritingDesk(default)
    desk.put(words=seven)
    return desk


@pytest.fixture
def stubborn():
    "A reader that reads one word wrong, however it is written."
    reader = load_reader()
    judge = reader.judge

    def stubbornly(inks, texts=None):
        said, scores = judge(inks, texts)
        return [s + "x" if t == "brave" else t for s, t in zip(said, texts)], scores

    reader.judge = stubbornly
    return reader


def inks(desk):
    return [w.points for w in desk.sheet.words]


def changed(before, after):
    return [i for i, (a, b) in enumerate(zip(before, after)) if a is not b]


# The desk


def test_a_desk_writes_what_write_writes(default):
    desk = WritingDesk(default, GenerationParams(seed=3, sentence_line_width=6))
    seen = []
    desk.changed = lambda: seen.append((len(desk.sheet.words), desk.done, desk.total))
    desk.write(TEXT)
    page = write(TEXT, default, seed=3, sentence_line_width=6, respell="auto")
    assert len(page) == len(TEXT.split()) > PIECE
    assert [(w.text, w.page) for w in desk.page] == [(w.text, w.page) for w in page]
    assert all(np.array_equal(a.points, b.points) for a, b in zip(desk.page, page))
    assert (PIECE, PIECE, len(page)) in seen and seen[-1] == (len(page), 0, 0)  # in pieces, with progress
    assert desk.message.startswith(f"{len(page)} words.")


def test_stop_keeps_what_is_written(desk):
    before = inks(desk)
    desk.changed = lambda: len(desk.sheet.words) == PIECE and desk.stop()
    desk.write(TEXT)
    assert [w.text for w in desk.sheet.words] == TEXT.split()[:PIECE] and desk.message.startswith(
        f"Stopped: {PIECE} of {len(TEXT.split())} words"
    )
    desk.undo()
    assert not changed(before, inks(desk)) and len(desk.sheet.words) == len(before)


def test_a_text_that_cannot_be_written_leaves_the_page(desk):
    before, history = desk.sheet.words, list(desk.history)
    for text, why in [
        ("", "nothing to write"),
        ("cost € 5", "cannot write '€'"),
        (TEXT + " " + "o" * 60, "longer than"),
    ]:
        with pytest.raises(CursiveError, match=why):
            desk.write(text)
        assert desk.sheet.words is before and desk.history == history


def test_what_was_changed_in_a_text_is_said(default):
    desk = WritingDesk(default)
    desk.write("“naïve”")
    assert desk.sheet.words[0].text == '"naive"' and "Written as the nearest the model knows" in desk.message


def test_only_marked_words_are_written_again_and_undo_goes_back(desk):
    states = [inks(desk)]
    for marks in [{2, 4}, {2}, {0, 6}]:
        desk.mark(marks)
        desk.respell()
        assert changed(states[-1], inks(desk)) == sorted(marks)
        states.append(inks(desk))
    assert not np.array_equal(states[1][2], states[2][2])  # asked again, another drawing
    while desk.history:
        assert not changed(states.pop(), inks(desk))
        desk.undo()
    assert not changed(states.pop(), inks(desk))
    with pytest.raises(CursiveError, match="nothing to undo"):
        desk.undo()


def test_writing_again_is_reproducible(desk, default, seven):
    desk.mark({1, 2})
    desk.respell()
    other = WritingDesk(default)
    other.put(words=seven)
    other.mark({1, 2})
    other.respell()
    assert all(np.array_equal(a, b) for a, b in zip(inks(desk), inks(other)))


def test_the_best_candidate_is_taken_and_another_can_be(desk):
    desk.mark({2})
    desk.offer(2)
    offered = desk.offers[2]
    assert (
        len(offered) == CANDIDATES
        and [c.rank for c in offered] == sorted((c.rank for c in offered), reverse=True)
        and desk.taken(2) is None
    )
    assert len({c.word.points.tobytes() for c in offered}) == CANDIDATES
    desk.respell()
    assert (
        desk.sheet.words[2].points is offered[0].word.points and desk.taken(2) == 0 and not desk.sheet.marks
    )
    desk.choose(2, 3)
    assert desk.sheet.words[2].points is offered[3].word.points and desk.offers[2] is offered
    desk.choose(2, 3)  # lies there already
    assert len(desk.history) == 2
    with pytest.raises(CursiveError, match="no candidate 9"):
        desk.choose(2, 9)
    with pytest.raises(CursiveError, match="no candidate 0 for word 5"):
        desk.choose(5, 0)


def test_what_reads_wrong_comes_marked_and_stays_so(default, stubborn):
    desk = WritingDesk(default, reader=stubborn)
    desk.write("many a brave soul, " + "many a brave soul did it send hurrying down to Hades")
    assert (
        desk.sheet.marks == {2, 6} == desk.sheet.says.keys()
        and "Marked, since they still read wrong: 2 'brave' as" in desk.message
    )
    desk.mark({2, 3})
    desk.respell()
    assert desk.sheet.marks == {2} and "Still wrong: 2 'brave' as" in desk.message
    desk.choose(2, 1)  # somebody has looked at it
    assert not desk.sheet.marks


def test_characters_that_the_reader_does_not_know(default):
    reader = load_reader()
    reader.alphabet = reader.alphabet.replace("b", "")
    desk = WritingDesk(default, reader=reader)
    desk.write("a brave soul")
    assert "Not read back, for characters that the reader does not know: 'brave'." in desk.message
    desk.mark({1})
    desk.respell()
    assert [c.says for c in desk.offers[1]] == [None] * CANDIDATES and not desk.sheet.marks


def test_a_model_that_does_not_spell_is_said_to_be_one(tiny):
    desk = WritingDesk(tiny)
    desk.write("many a brave soul did it send hurrying")
    assert "8 words are in passages that read wrong throughout" in desk.message and not desk.sheet.marks


def test_marks_are_checked(desk):
    for marks in [{7}, {-1, 2}]:
        with pytest.raises(CursiveError, match="There is no word .*: the page has words 0 to 6"):
            desk.mark(marks)
    with pytest.raises(CursiveError, match="No word is marked"):
        desk.respell()
    with pytest.raises(CursiveError, match="no words yet"):
        WritingDesk(desk.model).mark({0})


def test_stopping_to_write_again_changes_nothing(desk):
    before = inks(desk)
    desk.mark(set(range(7)))
    desk.changed = lambda: desk.done and desk.stop()
    desk.respell()
    assert (
        desk.message == "Stopped; nothing is changed."
        and not changed(before, inks(desk))
        and desk.sheet.marks == set(range(7))
    )


def test_lines_keep_their_words(desk):
    desk.adjust(sentence_line_width=100)
    fourth = desk.page[3]
    desk.adjust(
        sentence_line_width=fourth.page[0] + np.ptp(fourth.points[:, 0]) - 0.01
    )  # a little too short for it
    words, lines = desk.sheet.words, [w.page[1] for w in desk.page]
    desk.put(words=(Word("m", words[0].points * [0.2, 1, 1]), *words[1:]))  # as if drawn much narrower
    assert len(set(lines)) > 1 and [w.page[1] for w in desk.page] != lines  # laid out anew, a word moves up
    desk.put(words=words)
    desk.mark({0})
    desk.offer(0)
    desk.offers[0][0].word.points *= [0.2, 1, 1]
    desk.respell()
    assert [w.page[1] for w in desk.page] == lines  # written again, none does
    desk.adjust(sentence_line_width=100)
    assert [w.page[1] for w in desk.page] != lines


def test_slant_size_and_line_change_the_page_but_not_the_ink(desk, tmp_path):
    words, wide = desk.sheet.words, np.ptp(on_page(desk.picture[0])[:, 0])
    desk.adjust(size=2.0, slant=0.0)
    assert desk.sheet.words is words and np.ptp(on_page(desk.picture[0])[:, 0]) > 1.8 * wide
    assert all(abs(slant(w.points)) < 1e-6 for w in desk.picture)
    assert len({w.page[1] for w in desk.page}) == 2  # as much paper, half the words
    assert max(on_page(w)[:, 0].max() for w in desk.picture) <= desk.params.sentence_line_width
    desk.save(tmp_path / "page.json")
    assert all(
        np.allclose(a.points, b.points - [b.points[0, 0], 0, 0], atol=1e-3)
        for a, b in zip(load_bank(str(tmp_path / "page.json")).words, desk.page)
    )
    for wrong in [dict(size=50), dict(temperature=0.0), dict(sentence_line_width=-1)]:
        with pytest.raises(CursiveError):
            desk.adjust(**wrong)
    assert desk.size == 2.0 and desk.params.temperature == 0.5


def test_every_format(desk, tmp_path):
    for kind in FORMATS:
        path = desk.save(tmp_path / f"page.{kind}")
        assert path.stat().st_size > 300 and desk.message == f"Saved {path}."
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == len(FORMATS)
    with pytest.raises(CursiveError, match="Cannot make 'page.doc'"):
        desk.save(tmp_path / "page.doc")
    with pytest.raises(CursiveError, match="write something first"):
        WritingDesk(desk.model).save(tmp_path / "empty.svg")


def test_another_model(desk, tiny, tmp_path):
    desk.mark({1})
    desk.offer(1)
    desk.load(save_model(tiny, tmp_path / "tiny.safetensors"))
    assert (
        desk.model.config.n_layer == tiny.config.n_layer
        and "2 layers of width 32" in desk.message
        and not desk.offers
        and len(desk.sheet.words) == 7
    )
    for path, why in [(tmp_path / "none", "no checkpoint"), ("wandb:nonsense", "names no run")]:
        with pytest.raises(CursiveError, match=why):
            desk.load(path)
    assert desk.model.config.n_layer == tiny.config.n_layer


def test_a_style_word_is_obeyed(desk):
    before, styles = inks(desk), desk.styles()
    assert list(styles) == sorted(styles) and len(styles) > 50
    desk.adjust(warmup_sample_ix=styles["people"])
    desk.write("many a brave soul did it send")
    assert len(changed(before, inks(desk))) == 7


# The views

VIEWS = ["buttons", "click"]


@pytest.fixture(params=VIEWS)
def app(request, desk):
    "The application with either view, some words written."
    return WritingApp("many a brave soul did it send", desk, clickable=request.param == "click")


def press(app, name):
    app.controls[name].click()
    assert app.wait()


def click(app, *indices):
    "Click words, as the front end would say it."
    for i in indices:
        if isinstance(app.view, ButtonView):
            app.view.words.children[i].value = not app.view.words.children[i].value
        else:
            app.view.widget.marked = sorted({i} ^ set(app.view.widget.marked))
        assert app.wait()


def take(app, index, number):
    "Click a candidate."
    if isinstance(app.view, ButtonView):
        row = [o["index"] for o in app.view.offers].index(index)
        app.view.rows.children[row].children[1 + number].children[1].click()
    else:
        app.view.widget._handle_custom_msg({"take": [index, number]}, [])


def shown(app):
    "What the view shows: the page, the marks, and which candidates lie on it."
    if isinstance(app.view, ButtonView):
        return (
            app.view.picture.value,
            {i for i, b in enumerate(app.view.words.children) if b.value},
            {
                (o["index"], n)
                for o, row in zip(app.view.offers, app.view.rows.children)
                for n, cell in enumerate(row.children[1:])
                if cell.children[1].disabled
            },
        )
    w = app.view.widget
    return (
        w.page,
        set(w.marked),
        {(o["index"], n) for o in w.offers for n, c in enumerate(o["candidates"]) if c["taken"]},
    )


def status(app):
    return app.controls["status"].value


def test_write_click_respell_choose_undo_save(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app.controls["seed"].value = 4
    before = shown(app)[0]
    press(app, "write")
    first, marks, taken = shown(app)
    assert (
        first != before
        and not marks
        and not taken
        and app.desk.message == "7 words."
        and "7 words." in status(app)
    )
    click(app, 2, 4)
    page, marks, taken = shown(app)
    assert (
        marks == {2, 4}
        and app.controls["words"].value == "2, 4"
        and not taken
        and app.desk.offers.keys() == {2, 4}
    )
    press(app, "respell")
    again, marks, taken = shown(app)
    assert (
        again != first
        and not marks
        and taken == {(2, 0), (4, 0)}
        and "Written again: 2 'brave', 4 'did'." in status(app).replace("&#x27;", "'")
    )
    take(app, 4, 2)
    other, marks, taken = shown(app)
    assert other != again and taken == {(2, 0), (4, 2)}
    press(app, "undo")
    assert shown(app)[0] == again
    press(app, "undo")
    assert shown(app)[1] == {2, 4} and "Undone" in status(app)  # the marks are back too
    click(app, 2, 4)
    assert shown(app)[0] == first and not shown(app)[1]
    press(app, "undo")
    assert shown(app)[0] == before and app.controls["undo"].disabled
    app.controls["kind"].value = "png"
    app.controls["name"].value = "mine.svg"
    press(app, "save")
    assert (
        (tmp_path / "mine.png").read_bytes()[:4] == b"\x89PNG"
        and 'download="mine.png"' in app.controls["link"].value
        and "data:image/png;base64,iVBOR" in app.controls["link"].value
    )


def test_indices_can_be_typed(app):
    for typed, marks in [("[2, 4]", {2, 4}), ("2,5", {2, 5}), ("", set()), (" 3 ", {3})]:
        app.controls["words"].value = typed
        assert app.wait() and shown(app)[1] == marks
    for typed, why in [("two", "Word numbers look like 2,4"), ("2,70", "no word 70")]:
        app.controls["words"].value = typed
        assert app.wait() and why in status(app) and "error-color" in status(app) and shown(app)[1] == {3}
    click(app, 5)
    assert "error-color" not in status(app) and app.controls["words"].value == "3, 5"


@pytest.mark.parametrize("clickable", [False, True])
def test_words_that_read_wrong_come_with_candidates(default, stubborn, clickable):
    app = WritingApp("a brave soul", WritingDesk(default, reader=stubborn), clickable=clickable)
    press(app, "write")
    assert shown(app)[1] == {1} == app.desk.offers.keys() and app.controls["words"].value == "1"
    later = WritingApp("", app.desk, clickable=clickable)  # shown once more, in another cell
    assert later.wait() and shown(later)[:2] == shown(app)[:2]
    app.desk.offers = {}
    app.controls["words"].value = "0,1,2"
    assert app.wait() and app.desk.offers.keys() == {0, 2}  # those that were not marked yet


def test_knobs_show_at_once(app):
    before, ink = shown(app)[0], app.desk.sheet.words
    for name, value in [("as_written", False), ("slant", 0.4), ("size", 150.0), ("width", 90.0)]:
        app.controls[name].value = value
        now = shown(app)[0]
        assert now != before and app.desk.sheet.words is ink, name
        before = now
    assert (
        app.desk.params.slant == 0.4
        and app.desk.size == 1.5
        and app.desk.params.sentence_line_width == pytest.approx(3.6)
    )
    app.controls["seed"].value, app.controls["temperature"].value = 5, 0.3
    app.controls["style_word"].value = app.desk.styles()["people"]
    assert (app.desk.params.seed, app.desk.params.temperature, app.desk.params.warmup_sample_ix) == (
        5,
        0.3,
        app.desk.styles()["people"],
    )
    assert shown(app)[0] == before and app.desk.sheet.words is ink
    app.controls["style_word"].value = dict(app.controls["style_word"].options)["none"]
    assert app.desk.params.warmup_sample_ix is None


def test_trouble_is_a_sentence_in_the_panel(app, monkeypatch):
    before = shown(app)[0]

    def break_down(*_, **__):
        raise ZeroDivisionError("by <nought>")

    for name, control, value, why in [
        ("write", "text", " ", "nothing to write"),
        ("write", "text", "5 €", "cannot write"),
        ("load", "checkpoint", "none.safetensors", "There is no checkpoint none.safetensors"),
        ("save", "name", "/proc/no/page", "Cannot write /proc/no/page.svg"),
        ("respell", "words", "", "No word is marked"),
    ]:
        app.controls[control].value = value
        press(app, name)
        assert why in status(app) and "error-color" in status(app) and shown(app)[0] == before
    monkeypatch.setattr("cursivetransformer.apps.desk.generate_words", break_down)
    app.controls["text"].value = "all is well"
    press(app, "write")
    assert (
        "ZeroDivisionError: by &lt;nought&gt;" in status(app)
        and "Traceback" not in status(app)
        and shown(app)[0] == before
    )
    monkeypatch.undo()
    press(app, "write")
    assert "3 words." in status(app) and "error-color" not in status(app)


def test_nothing_freezes_while_a_long_text_is_written(app):
    app.controls["text"].value = " ".join([TEXT] * 20)
    app.controls["write"].click()
    begin = time.monotonic()
    app.controls["write"].click()  # a second click is for nothing
    while len(app.desk.sheet.words) < PIECE or "words" not in status(app):
        assert time.monotonic() - begin < 60
        time.sleep(0.02)
    assert (
        app.controls["write"].disabled
        and not app.controls["stop"].disabled
        and app.controls["progress"].layout.visibility == "visible"
    )
    clicked = time.monotonic()
    app.view.on_mark(lambda marks: {1, 2}) if isinstance(app.view, ButtonView) else setattr(
        app.view.widget, "marked", [1, 2]
    )
    app.controls["slant"].value = 0.1
    app.controls["stop"].click()
    assert time.monotonic() - clicked < 5 and app.controls["progress"].value < app.controls[
        "progress"
    ].max == 20 * len(TEXT.split())
    assert (
        app.wait()
        and "Stopped:" in status(app)
        and len(app.desk.sheet.words) % PIECE == 0
        and shown(app)[1] >= {1, 2}
    )
    assert (
        not app.controls["write"].disabled
        and app.controls["stop"].disabled
        and app.controls["progress"].layout.visibility == "hidden"
    )
    press(app, "undo")
    assert len(app.desk.sheet.words) == 7


def test_another_model_from_the_panel(app, tiny, tmp_path):
    app.controls["checkpoint"].value = str(save_model(tiny, tmp_path / "tiny.safetensors"))
    press(app, "load")
    assert "Writing with" in status(app) and app.desk.model.config.n_layer == 2
    app.controls["checkpoint"].value = "wandb:a/b/c/d"
    press(app, "load")
    assert "names no run" in status(app) and app.desk.model.config.n_layer == 2
    app.controls["checkpoint"].value = ""
    press(app, "load")
    assert "the bundled model" in status(app) and app.desk.model.config.n_layer == 4


def test_a_model_of_several_hands_asks_whose(default):
    torch.manual_seed(0)
    config = preset(
        "debug",
        vocab_size=525,
        block_size=1050,
        context_vocab_size=72,
        context_block_size=50,
        authors=("Ada", "Ben"),
    )
    model = Transformer(config).eval()
    torch.nn.init.normal_(model.transformer["wae"].weight)
    app = WritingApp("a soul", WritingDesk(model), clickable=False)
    author = app.controls["author"]
    assert list(author.options) == ["Ada", "Ben"] and author.value == "Ada" and author.layout.display is None
    press(app, "write")
    ada = inks(app.desk)
    author.value = "Ben"
    press(app, "write")
    assert app.desk.params.author == "Ben" and not np.array_equal(ada[1], inks(app.desk)[1])
    press(app, "load")  # the bundled model does not ask
    assert (
        author.layout.display == "none"
        and app.desk.params.author is None
        and "the bundled model" in status(app)
    )
    press(app, "write")
    assert "2 words." in status(app)


def test_very_many_words_get_no_buttons_but_numbers(default):
    app = WritingApp("", WritingDesk(default), clickable=False)
    app.desk.write("a soul")
    app.desk.put(words=app.desk.sheet.words * MOST_BUTTONS)
    assert len(app.view.words.children) == MOST_BUTTONS
    app.controls["words"].value = f"3, {MOST_BUTTONS + 5}"
    assert (
        app.wait()
        and app.desk.sheet.marks == {3, MOST_BUTTONS + 5}
        and app.desk.offers.keys() == {3, MOST_BUTTONS + 5}
    )
    old = app.view.words.children[0]
    app.controls["text"].value = "good bye"
    press(app, "write")
    assert [b.description for b in app.view.words.children] == [
        "0 good",
        "1 bye",
    ] and old.comm is None  # the old buttons are gone on both sides


def test_paper_has_its_own_colour_and_text_is_escaped(default):
    desk = WritingDesk(default)
    desk.put(words=(Word('a"b', np.array([[0.0, 0, 1], [0.2, -0.2, 1], [0.2, -0.2, 0]])),))
    app = WritingApp("", desk, clickable=False)
    assert (
        "background:#fffdf8" in app.view.picture.value and 'aria-label="a&quot;b"' in app.view.picture.value
    )
    page = drawing(desk.picture)
    (x, _, width, _), word = page["box"], page["words"][0]
    assert x < word["box"][0] and word["box"][0] + word["box"][2] < x + width and word["path"].startswith("M")


def test_without_anywidget_there_are_buttons(default, monkeypatch):
    clickable_page.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert isinstance(WritingApp("", WritingDesk(default)).view, ButtonView)
    with pytest.raises(CursiveError, match=r"pip install 'cursivetransformer\[widgets\]'"):
        WritingApp("", WritingDesk(default), clickable=True)
    monkeypatch.undo()
    assert isinstance(WritingApp("", WritingDesk(default)).view, ClickView)


def test_colab_is_asked_to_show_custom_widgets(monkeypatch):
    asked = []
    output = types.SimpleNamespace(enable_custom_widget_manager=lambda: asked.append(1))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(output=output))
    clickable_page.__wrapped__()
    assert asked


def test_leaving_in_the_middle_of_a_text():
    code = "from cursivetransformer import WritingApp; import time; app = WritingApp('many a brave soul '*200, clickable=False); app.controls['write'].click(); time.sleep(0.5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_importing_is_cheap():
    code = "import sys, cursivetransformer; assert not {'torch', 'ipywidgets'} & sys.modules.keys(); import cursivetransformer.apps.view; print({'ipywidgets', 'anywidget', 'matplotlib', 'IPython'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
