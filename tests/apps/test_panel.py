"""The application: what is typed, pressed, clicked and turned goes to the desk, and the panel shows what
becomes of it. Passes under ipywidgets 7.7, Colab's, and 8."""

import dataclasses
import subprocess
import sys
import threading

import ipywidgets
import numpy as np
import pytest
import torch
from conftest import ROOT
from desk_cases import TEXT, inks, seven_words, stubborn_reader

import cursivetransformer
from cursivetransformer.apps import desk as desk_module
from cursivetransformer.apps import panel
from cursivetransformer.apps import view as view_module
from cursivetransformer.apps.desk import PIECE, WritingDesk
from cursivetransformer.apps.panel import WritingApp
from cursivetransformer.apps.view import MOST_BUTTONS, ButtonView, ClickView, ViewContent, clickable_page
from cursivetransformer.apps.worker import Worker
from cursivetransformer.config import CursiveError, field_of, preset
from cursivetransformer.ink.curves import on_page
from cursivetransformer.ink.svg import path_data
from cursivetransformer.model.checkpoint import save_model
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.options import WritingOptions
from cursivetransformer.writing.hands import hand_of, save_hand

VIEWS = ["buttons", "click"]


@pytest.fixture(scope="module")
def seven(default):
    return seven_words(default)


@pytest.fixture
def desk(default, seven):
    "A desk with a few words on it."
    desk = WritingDesk(default)
    desk.put(words=seven)
    return desk


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
            on = i not in app.view.widget.state["marked"]
            hear(app, {"mark": i, "on": on, "text": app.view.widget.page["words"][i]["text"]})
        assert app.wait()


def hear(app, message):
    "Have a page to click say something."
    app.view.widget._handle_custom_msg(message, [])


def take(app, index, number):
    "Click a candidate."
    if isinstance(app.view, ButtonView):
        row = [o["index"] for o in app.view.offers].index(index)
        app.view.rows.children[row].children[1 + number].children[1].click()
    else:
        candidates = next(o["candidates"] for o in app.view.widget.offers["words"] if o["index"] == index)
        hear(app, {"take": [index, number], "key": candidates[number]["key"]})


def shown(app):
    "What the view shows: the page, the marks, and which candidates lie on it."
    view = app.view
    if isinstance(view, ButtonView):
        marks = {i for i, button in enumerate(view.words.children) if button.value}
        taken = set()
        for offer, row in zip(view.offers, view.rows.children):
            taken |= {
                (offer["index"], n) for n, cell in enumerate(row.children[1:]) if cell.children[1].disabled
            }
        return view.picture.value, marks, taken
    offers = view.widget.offers["words"]
    taken = {(o["index"], n) for o in offers for n, c in enumerate(o["candidates"]) if c["taken"]}
    page = {name: value for name, value in view.widget.page.items() if name != "id"}
    return page, set(view.widget.state["marked"]), taken


def status(app):
    return app.controls["status"].value


def test_write_click_respell_choose_undo_save(app, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app.controls["seed"].value = 4
    before = shown(app)[0]
    press(app, "write")
    first, marks, taken = shown(app)
    assert first != before and not marks and not taken
    assert app.desk.message == "7 words." and "7 words." in status(app)
    click(app, 2, 4)
    page, marks, taken = shown(app)
    assert marks == {2, 4} and app.controls["words"].value == "2, 4"
    assert not taken and app.desk.offers.keys() == {2, 4}
    press(app, "respell")
    again, marks, taken = shown(app)
    assert again != first and not marks and taken == {(2, 0), (4, 0)}
    assert "Written again: 2 'brave', 4 'did'." in status(app).replace("&#x27;", "'")
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
    app.controls["name"].value = "mine.svg"
    app.controls["kind"].value = "png"
    press(app, "save")
    link = app.controls["link"].value
    assert (tmp_path / "mine.png").read_bytes()[:4] == b"\x89PNG"
    assert 'download="mine.png"' in link and "data:image/png;base64,iVBOR" in link


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
def test_words_that_read_wrong_come_with_candidates(default, clickable):
    app = WritingApp("a brave soul", WritingDesk(default, reader=stubborn_reader()), clickable=clickable)
    press(app, "write")
    assert shown(app)[1] == {1} == app.desk.offers.keys() and app.controls["words"].value == "1"
    later = WritingApp("", app.desk, clickable=clickable)  # shown once more, in another cell
    assert later.wait() and shown(later)[:2] == shown(app)[:2]
    app.desk.offers = {}
    app.controls["words"].value = "0,1,2"
    assert app.wait() and app.desk.offers.keys() == {0, 2}  # those that were not marked yet


def test_knobs_show_at_once(app):
    before = shown(app)[0]
    ink = app.desk.sheet.words
    for name, value in [("as_written", False), ("slant", 0.4), ("size", 150.0), ("width", 90.0)]:
        app.controls[name].value = value
        now = shown(app)[0]
        assert now != before and app.desk.sheet.words is ink, name
        before = now
    assert app.desk.params.slant == 0.4 and app.desk.size == 1.5
    assert app.desk.params.width == pytest.approx(90.0)
    app.controls["seed"].value = 5
    app.controls["temperature"].value = 0.3
    params = app.desk.params
    assert (params.seed, params.temperature) == (5, 0.3)
    assert shown(app)[0] == before and app.desk.sheet.words is ink


def test_slant_can_be_left_as_written(app):
    slant, box = app.controls["slant"], app.controls["as_written"]
    assert box.value and slant.disabled and app.desk.params.slant is None
    box.value = False
    assert not slant.disabled and app.desk.params.slant == slant.value == 0.0
    box.value = True
    assert slant.disabled and app.desk.params.slant is None


def test_knobs_are_what_the_table_of_options_says(app):
    "Bounds and explanations stand in one place."
    seed = app.controls["seed"]
    facts = field_of(WritingOptions, "seed").metadata
    assert seed.min == facts["low"] and seed.max >= 2**31 - 1
    tooltip = "tooltip" if seed.has_trait("tooltip") else "description_tooltip"
    for control in app.option_controls:
        if control.option != "size":
            help = field_of(WritingOptions, control.option).metadata["help"]
            assert getattr(control.widget, tooltip) == help
    assert app.controls["width"].description == "line length, mm"  # and not the pen's


@pytest.mark.parametrize(
    "option, entered, value",
    [
        ("top_p", "0.9", 0.9),
        ("top_k", "20", 20),
        ("top_k", "", None),
        ("line_height", "20", 20.0),
        ("do_sample", False, False),
        ("n_words", 3, 3),
        ("num_steps", "300", 300),
        ("color", "#f00", "#f00"),
    ],
)
def test_a_name_more_in_the_list_is_a_knob_more(desk, monkeypatch, option, entered, value):
    monkeypatch.setattr(panel, "SHOWN_OPTIONS", (*panel.SHOWN_OPTIONS, option))
    app = WritingApp("", desk, clickable=False)
    assert app.controls[option].description == option.replace("_", " ")
    assert app.controls[option] in [w for row in app.widget.children for w in getattr(row, "children", ())]
    app.controls[option].value = "0.5" if value is None else entered
    app.controls[option].value = entered
    assert getattr(app.desk.params, option) == value


def test_what_an_option_does_not_take_is_said(desk, monkeypatch):
    monkeypatch.setattr(panel, "SHOWN_OPTIONS", (*panel.SHOWN_OPTIONS, "top_p"))
    app = WritingApp("", desk, clickable=False)
    for entered in "2", "much":
        app.controls["top_p"].value = entered
        assert "top_p" in status(app) and "error-color" in status(app) and desk.params.top_p is None


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
    monkeypatch.setattr(desk_module, "generate_words", break_down)
    app.controls["text"].value = "all is well"
    press(app, "write")
    assert "ZeroDivisionError: by &lt;nought&gt;" in status(app) and "Traceback" not in status(app)
    assert shown(app)[0] == before
    monkeypatch.undo()
    press(app, "write")
    assert "3 words." in status(app) and "error-color" not in status(app)


def test_nothing_freezes_while_a_long_text_is_written(app, monkeypatch):
    """The second piece of the text is not written before the panel has heard all clicks. Were they to wait
    for the writing, this would never go on: so the piece gives up after a minute."""
    heard = threading.Event()
    second = threading.Event()  # the second piece is under way
    pieces = []
    generate_words = desk_module.generate_words

    def slow(*args, **more):
        pieces.append(1)
        if len(pieces) == 2:
            second.set()
            assert heard.wait(60), "no click was heard while a piece was written"
        return generate_words(*args, **more)

    monkeypatch.setattr(desk_module, "generate_words", slow)
    app.controls["text"].value = " ".join([TEXT] * 20)
    app.controls["write"].click()
    app.controls["write"].click()  # a second click is for nothing
    assert second.wait(60)
    total = 20 * len(TEXT.split())
    assert len(app.desk.sheet.words) == PIECE and f"{PIECE} of {total} words" in status(app)
    assert app.controls["write"].disabled and not app.controls["stop"].disabled
    assert app.controls["progress"].layout.visibility == "visible"
    if isinstance(app.view, ButtonView):
        app.view.on_mark({1, 2}, set())
    else:
        for i in 1, 2:
            hear(app, {"mark": i, "on": True, "text": app.view.widget.page["words"][i]["text"]})
    app.controls["slant"].value = 0.1
    app.controls["stop"].click()
    assert shown(app)[1] == {1, 2} and "Stopping" in status(app)
    assert app.controls["progress"].value < app.controls["progress"].max == total
    heard.set()
    assert app.wait() and len(pieces) == 2
    assert f"Stopped: {2 * PIECE} of {total} words" in status(app)
    assert len(app.desk.sheet.words) == 2 * PIECE and shown(app)[1] >= {1, 2}
    assert not app.controls["write"].disabled and app.controls["stop"].disabled
    assert app.controls["progress"].layout.visibility == "hidden"
    press(app, "undo")
    assert len(app.desk.sheet.words) == 7


def test_a_page_is_drawn_again_only_where_it_has_changed(desk, monkeypatch):
    drawn = []

    def describe_page(words):
        drawn.append(len(words))
        return {"words": words}

    monkeypatch.setattr(view_module, "describe_page", describe_page)
    content = ViewContent()
    drawn.clear()
    content.update(desk)
    content.update(desk)
    desk.mark({2})
    content.update(desk)
    assert drawn == [7]
    desk.total = 100  # while it grows, not for every word
    words = desk.sheet.words
    for _ in range(4):
        words = words + words[:1]
        desk.put(words=words)
        content.update(desk)
    assert drawn == [7, 9]
    desk.total = 0
    content.update(desk)
    assert drawn == [7, 9, 11]


def test_options_of_the_page_show_at_once_whichever_have_a_control(desk, monkeypatch):
    "What lies on the screen is laid out as what would be saved."
    monkeypatch.setattr(panel, "SHOWN_OPTIONS", (*panel.SHOWN_OPTIONS, "line_height", "word_space"))
    app = WritingApp("", desk, clickable=True)
    for option, value in [("width", 60.0), ("line_height", "21"), ("word_space", "7")]:
        before = app.view.widget.page
        app.controls[option].value = value
        assert app.view.widget.page != before, option
        ink = [path_data(on_page(word)) for word in desk.picture]
        assert [w["path"] for w in app.view.widget.page["words"]] == ink, option


def test_a_file_is_written_over_only_when_asked_twice(app, tmp_path):
    path = tmp_path / "page.svg"
    path.write_text("somebody's")
    app.controls["name"].value = str(tmp_path / "page")
    save = app.controls["save"]
    press(app, "save")
    assert path.read_text() == "somebody's" and "is there already" in status(app)
    assert save.description == "Replace" and app.controls["link"].value == ""
    app.controls["kind"].value = "png"  # another file after all
    assert save.description == "Save"
    press(app, "save")
    assert (tmp_path / "page.png").exists() and "Saved" in status(app)
    app.controls["kind"].value = "svg"
    press(app, "save")
    press(app, "undo") if not app.controls["undo"].disabled else click(app, 1)
    assert path.read_text() == "somebody's"
    press(app, "respell")  # other things were done meanwhile: it asks anew
    press(app, "save")
    assert path.read_text() == "somebody's" and save.description == "Replace"
    press(app, "save")
    assert path.read_text().startswith("<svg") and save.description == "Save" and "Saved" in status(app)
    press(app, "save")  # its own file is no other
    assert "is there already" in status(app)


@pytest.mark.parametrize(
    "steps, name, kind",
    [
        ([("name", "page.svg.png")], "page.svg.png", "png"),
        ([("name", "mine.anim.svg")], "mine.anim.svg", "anim.svg"),
        ([("kind", "pdf"), ("name", "mine")], "mine.pdf", "pdf"),
        ([("name", "mine.svg"), ("kind", "png")], "mine.png", "png"),
        ([("kind", "png"), ("name", "mine.svg")], "mine.svg", "svg"),
        ([("name", "mine.anim.svg"), ("kind", "gif"), ("kind", "svg")], "mine.svg", "svg"),
        ([("name", " version 1.2 ")], "version 1.2.svg", "svg"),
        ([("name", "Page.PNG")], "Page.PNG", "png"),
    ],
)
def test_the_name_and_the_kind_of_a_file_always_agree(desk, tmp_path, monkeypatch, steps, name, kind):
    monkeypatch.chdir(tmp_path)
    app = WritingApp("", desk, clickable=False)
    for control, value in steps:
        app.controls[control].value = value
    assert app.controls["kind"].value == kind
    press(app, "save")
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_what_is_left_in_the_notebook_is_the_last_page(app, monkeypatch):
    outputs = shown_outputs(monkeypatch)
    app._ipython_display_()
    assert [sorted(bundle) for bundle in outputs] == [
        ["text/html", "text/plain"],
        ["application/vnd.jupyter.widget-view+json", "text/plain"],
    ]
    assert "many a brave soul did it send" in outputs[0]["text/html"]
    app.controls["text"].value = "Sing goddess"
    press(app, "write")
    assert app.wait() and "Sing goddess" in outputs[0]["text/html"]
    before = outputs[0]["text/html"]
    click(app, 1)
    assert outputs[0]["text/html"] == before  # marks are not for later
    app.controls["size"].value = 200.0
    assert app.wait() and outputs[0]["text/html"] != before


def shown_outputs(monkeypatch) -> list:
    "What a notebook puts out, in its newest form."
    import IPython.display

    outputs = []

    class Handle:
        def __init__(self, number):
            self.number = number

        def update(self, bundle, raw):
            outputs[self.number] = bundle

    def display(bundle, raw, display_id=None):
        outputs.append(bundle)
        return Handle(len(outputs) - 1)

    monkeypatch.setattr(IPython.display, "display", display)
    return outputs


@pytest.mark.parametrize("clickable", [False, True])
def test_what_drags_has_a_name_where_somebody_gives_it_one(desk, clickable):
    app = WritingApp("", desk, clickable=clickable)
    sliders = [c for c in app.controls.values() if isinstance(c, ipywidgets.FloatSlider)]
    assert bool(sliders) == clickable
    assert isinstance(
        app.controls["slant"], ipywidgets.FloatSlider if clickable else ipywidgets.BoundedFloatText
    )


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
    sizes = dict(vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50)
    model = Transformer(preset("debug", tokenizer="polar", **sizes, authors=("Ada", "Ben"))).eval()
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
    assert author.layout.display == "none" and app.desk.params.author is None
    assert "the bundled model" in status(app)
    press(app, "write")
    assert "2 words." in status(app)


def test_very_many_words_get_no_buttons_but_numbers(default):
    app = WritingApp("", WritingDesk(default), clickable=False)
    app.desk.write("a soul")
    app.desk.put(words=app.desk.sheet.words * MOST_BUTTONS)
    assert len(app.view.words.children) == MOST_BUTTONS
    app.controls["words"].value = f"3, {MOST_BUTTONS + 5}"
    assert app.wait()
    assert app.desk.sheet.marks == {3, MOST_BUTTONS + 5} == app.desk.offers.keys()
    old = app.view.words.children[0]
    app.controls["text"].value = "good bye"
    press(app, "write")
    assert [b.description for b in app.view.words.children] == ["0 good", "1 bye"]
    assert old.comm is None  # the old buttons are gone on both sides


def test_without_anywidget_there_are_buttons(default, monkeypatch):
    clickable_page.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert isinstance(WritingApp("", WritingDesk(default)).view, ButtonView)
    with pytest.raises(CursiveError, match=r"pip install 'cursivetransformer\[widgets\]'"):
        WritingApp("", WritingDesk(default), clickable=True)
    monkeypatch.undo()
    assert isinstance(WritingApp("", WritingDesk(default)).view, ClickView)


def test_a_worker_does_one_thing_after_the_other_and_survives(capsys):
    done = []
    worker = Worker(lambda: done.append("stopped"))
    worker.tasks.put(lambda: done.append(1))
    worker.tasks.put(lambda: 1 / 0)
    worker.tasks.put(lambda: done.append(2))
    assert worker.wait(60) and not worker.busy() and done == [1, 2]
    assert "ZeroDivisionError" in capsys.readouterr().err
    worker.finish()
    worker.tasks.put(lambda: done.append(3))
    assert worker.wait(60) and done == [1, 2, "stopped"]


def test_the_root_has_it():
    assert cursivetransformer.WritingApp is WritingApp and cursivetransformer.WritingDesk is WritingDesk


def test_leaving_in_the_middle_of_a_text():
    code = """
import time
from cursivetransformer import WritingApp
app = WritingApp("many a brave soul " * 200, clickable=False)
app.controls["write"].click()
while not app.desk.total:  # until it writes
    time.sleep(0.01)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_importing_is_cheap():
    code = """
import sys, cursivetransformer
assert not {"torch", "ipywidgets"} & sys.modules.keys()
import cursivetransformer.apps.panel
print({"ipywidgets", "anywidget", "matplotlib", "IPython"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr


def test_hands_of_the_users_folder_are_offered_beside_the_models(default, tmp_path, monkeypatch):
    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path))
    own = default.authors[0]
    hand = dataclasses.replace(hand_of(default, own), name="Ada")
    save_hand(hand, tmp_path)
    save_hand(dataclasses.replace(hand, name="Elsewhere", edition="0"), tmp_path)
    app = WritingApp("a soul", WritingDesk(default), clickable=False)
    author = app.controls["author"]
    assert list(author.options) == [own, "Ada"] and author.value == own and author.layout.display is None
    author.value = "Ada"
    press(app, "write")
    assert [w.provenance.hand for w in app.desk.sheet.words] == ["Ada", "Ada"]
    mixed = WritingOptions(author=f"{own}:0.5+Ada:0.5")
    app = WritingApp("", WritingDesk(default, mixed), clickable=False)
    assert app.controls["author"].value == mixed.author and app.desk.params.author == mixed.author
