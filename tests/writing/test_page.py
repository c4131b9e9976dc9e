"""A text as a page: words on lines, a line at a time or all at once, written again one at a time; by whose
hand, and who reads them back. The files are tested in test_page_files.py and with their writers."""

import dataclasses
import json
import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from ink_cases import lines, page, words_of, written
from models import small_model

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.ink.curves import MM, on_page
from cursivetransformer.ink.points import Word, slant, strokes
from cursivetransformer.ink.sheets import Motion, Plotter, Style, restyle
from cursivetransformer.ink.svg import to_svg
from cursivetransformer.options import WritingOptions
from cursivetransformer.writing import sample, spelling
from cursivetransformer.writing.layout import line_starts, measures_of
from cursivetransformer.writing.page import (
    FORMATS,
    check_output,
    kind_of,
    load_page,
    page_bytes,
    page_writer,
    respell,
    save_page,
    save_samples,
    style_of,
    write,
    write_lines,
)
from cursivetransformer.writing.reader import Reader, save_reader
from cursivetransformer.writing.ruling import sheets_of
from cursivetransformer.writing.sample import sample_tokens

WORDS = "Sing, O goddess, the anger of Achilles son of Peleus, a I .".split()


def equal(page, other):
    "Which words of two pages have the same ink."
    return [np.array_equal(a.points, b.points) for a, b in zip(page, other, strict=True)]


# Lines


def test_one_slant_across_words(default):
    page = write("many a brave soul did it send hurrying", default, slant=0.3)
    slants = [slant(w.points) for w in page if slant(w.points) is not None]  # a dash has none
    assert len(slants) > 4 and slants == pytest.approx([0.3] * len(slants))
    free = write("many a brave soul did it send hurrying down", default)
    assert np.std([slant(w.points) or 0.0 for w in free]) > 0.01


def test_line_breaks_of_the_text_are_kept(default):
    page = write("one two\n\nsix", default)
    assert page[0].page[1] == page[1].page[1] < page[2].page[1]
    assert page[2].page[0] < page[1].page[0]
    for nothing in "", " \n ":
        with pytest.raises(CursiveError, match="nothing to write"):
            write(nothing, default)


# What cannot be written


@pytest.mark.parametrize(
    "bad",
    [
        dict(temperature=0.0),
        dict(temperature=float("inf")),
        dict(temperature=float("nan")),
        dict(top_p=0.0),
        dict(top_k=0),
        dict(seed=-1),
        dict(num_steps=1),
        dict(n_at_a_time=0),
        dict(slant=float("nan")),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_written_with_are_named(default, bad):
    with pytest.raises(CursiveError, match=next(iter(bad))):
        write("a", default, **bad)


def test_a_line_width_of_nothing_is_named(default):
    for name in "width", "sentence_line_width":
        with pytest.raises(CursiveError, match="width"):
            write("a", default, **{name: 0.0})


def test_words_too_long_are_named(default):
    most = default.config.context_block_size
    with pytest.raises(CursiveError, match=f"x{{100}}.*{most} characters"):
        write("x" * 100, default)


def test_a_word_that_is_cut_off_does_not_hang_on_to_the_next(default):
    with pytest.warns(UserWarning, match="no end"):
        page = write("goddess it", default, num_steps=30)
    paths = "".join(re.findall(r' d="([^"]*)"', to_svg(page)))
    assert len(re.findall("[Mm]", paths)) == sum(len(strokes(w.points)) for w in page) >= 2
    assert all(w.points[-1, 2] == 0 for w in page)


# A line at a time


@pytest.fixture
def small_chunks(monkeypatch):
    "Words are handed on four at a time."
    monkeypatch.setattr(sample, "CHUNK", 4)
    monkeypatch.setattr(spelling, "CHUNK", 4)


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_lines_come_as_they_are_done_and_are_those_of_the_page(default, monkeypatch, at_a_time, request):
    options = WritingOptions(n_at_a_time=at_a_time, width=62.5)
    page = write(" ".join(WORDS), default, options)
    request.getfixturevalue("small_chunks")
    decoded = []

    def counted(model, groups, options):
        decoded.extend(groups)
        return sample_tokens(model, groups, options)

    monkeypatch.setattr(sample, "sample_tokens", counted)
    lines = write_lines(" ".join(WORDS), default, options)
    first = next(lines)
    assert 0 < sum(len(g.words) for g in decoded) < len(WORDS)
    lines = [first, *lines]
    assert len(lines) > 2 and all(len({w.page[1] for w in line}) == 1 for line in lines)
    for a, b in zip(page, sum(lines, []), strict=True):
        assert a.text == b.text and a.page == pytest.approx(b.page)
        np.testing.assert_allclose(a.points, b.points, atol=1e-9)


def test_progress_counts_every_word(default, monkeypatch, small_chunks):
    monkeypatch.setattr(sample, "BATCH_ROWS", 3)
    seen = []
    write(" ".join(WORDS), default, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == len(WORDS) and len(seen) > 3


# Again


def test_respelling_touches_nothing_else(default):
    page = write("many a brave soul did it send", default, seed=1)
    again = respell(page, [1, 3], default, seed=1)
    assert equal(page, again) == [i not in (1, 3) for i in range(7)]
    assert [w.text for w in again] == [w.text for w in page]
    third = respell(again, [1, 3], default, seed=1)
    assert not np.array_equal(third[1].points, again[1].points)  # asking again gives another
    with pytest.raises(CursiveError, match="no word 7"):
        respell(page, [7], default)


def test_a_word_is_written_again_in_its_place(default):
    options = WritingOptions(paper="a6", letter_size=2.0, seed=1, align="justify")
    page = write("many a brave soul did it send hurrying down to Hades", default, options)
    ends = {i - 1 for i in line_starts(page)}  # at the right edge, but for the last line
    for i, old in enumerate(page):
        again = respell(page, [i], default, seed=5)
        assert equal(page, again) == [k != i for k in range(len(page))]
        assert [w.page for w in again[:i]] + [w.page for w in again[i + 1 :]] == [
            w.page for k, w in enumerate(page) if k != i
        ]
        new = again[i]
        side = np.max if i in ends else np.min
        assert side(on_page(new)[:, 0]) == pytest.approx(side(on_page(old)[:, 0]))
        assert (new.page[1], new.sheet) == (old.page[1], old.sheet)
        following = [w for w in page[i + 1 : i + 2] if w.page[1] == old.page[1]]
        assert all(on_page(new)[:, 0].max() < on_page(w)[:, 0].min() for w in following)


def test_a_word_that_is_not_there_is_named_with_its_neighbours(default):
    page = write("many a brave soul", default)
    with pytest.raises(CursiveError, match="no word 4: the page has words 0 'many' to 3 'soul'"):
        respell(page, [4], default)


def test_what_the_pen_draws_by_itself_is_left_as_it_is(default):
    page = write("- bread ____", default)
    assert all(equal(page, respell(page, [0, 2], default)))


def test_words_that_read_wrong_are_counted_with_those_that_the_pen_draws(default, monkeypatch):
    class Deaf(Reader):
        def judge(self, inks, texts):
            return ["?"] * len(inks), [0.0] * len(inks)

    reader = Deaf()
    with pytest.warns(UserWarning, match="1 'bread' as"):
        write("- bread", default, respell=spelling.Spelling(reader, ()))


# Paper


LETTER = WritingOptions(paper="a6", letter_size=2.0, seed=2)
TEXT = "\t\tNovember\n\nDear Anna,\n" + "so were the counsels of Jove fulfilled from that day on " * 8


@pytest.fixture(scope="module")
def letter(default):
    return write(TEXT, default, LETTER, respell=None)


def test_a_page_knows_how_it_was_laid_out(letter):
    assert letter.options == LETTER and {w.sheet for w in letter} == {0, 1}
    for word in letter:
        x, y = on_page(word)[:, :2].T * MM
        assert x.min() >= 10.5 - 1e-6 and x.max() <= 105 - 10.5 + 1e-6 and y.min() > 0 and y.max() < 148


@pytest.mark.parametrize("kind", ["svg", "png", "anim.svg", "gif", "hpgl", "gcode"])
def test_sheets_become_numbered_files(letter, tmp_path, kind):
    first = save_page(letter, tmp_path / f"letter.{kind}")
    names = [f"letter-{n}.{kind}" for n in (1, 2)]
    assert sorted(path.name for path in tmp_path.iterdir()) == names and first.name == names[0]
    (tmp_path / "one").mkdir()
    short = [w for w in letter if w.sheet == 0]
    save_page(short, tmp_path / "one" / f"letter.{kind}", LETTER)
    assert [path.name for path in (tmp_path / "one").iterdir()] == [f"letter.{kind}"]
    if kind != "json":
        with pytest.raises(CursiveError):
            page_bytes(letter, kind)


@pytest.mark.parametrize("kind", ["hpgl", "gcode"])
def test_a_plotter_may_pause_between_sheets_of_one_file(letter, tmp_path, kind):
    path = save_page(letter, tmp_path / f"a.{kind}", page_pause="M0")
    assert [p.name for p in tmp_path.iterdir()] == [path.name] == [f"a.{kind}"]


def test_a_pdf_has_pages_of_one_size(letter, tmp_path):
    pdf = save_page(letter, tmp_path / "letter.pdf").read_bytes()
    sizes = re.findall(rb"/MediaBox ?\[([^]]*)\]", pdf)
    for size in sizes:
        width, height = (float(v) / 72 * 25.4 for v in size.split()[2:])
        assert (width, height) == (pytest.approx(105, abs=0.1), pytest.approx(148, abs=0.1))
    assert len(sizes) == 2


def test_a_page_that_breaks_off_leaves_no_sheet(letter, tmp_path):
    with pytest.raises(KeyboardInterrupt), page_writer(tmp_path / "a.svg", LETTER) as add:
        add(letter)
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_saved_page_is_the_same_sheet_in_another_kind_of_file(letter, tmp_path):
    saved = load_page(str(save_page(letter, tmp_path / "letter.json")))
    assert saved.options == LETTER
    for old, new in zip(letter, saved, strict=True):
        assert (old.text, old.sheet) == (new.text, new.sheet)
        np.testing.assert_allclose(on_page(old), on_page(new), atol=1e-4)
    again = respell(saved, [3], default_model())
    assert [w.page for i, w in enumerate(again) if i != 3] == [w.page for i, w in enumerate(saved) if i != 3]
    figures = (page_bytes(p, "pdf").count(b"/Type /Page") for p in (letter, saved))
    assert len(set(figures)) == 1


def default_model():
    from cursivetransformer.model.checkpoint import load_checkpoint

    return load_checkpoint()


def test_words_of_a_bank_that_have_no_place_get_one():
    page = load_page("embedded")
    assert all(w.page for w in page) and len(line_starts(page)) > 3


def test_options_of_a_later_edition_are_passed_over(letter, tmp_path):
    path = save_page(letter, tmp_path / "letter.json")
    items = json.loads(path.read_text())
    items[0]["metadata"]["layout"]["perfume"] = "rose"
    path.write_text(json.dumps(items))
    assert load_page(str(path)).options == LETTER


def test_words_in_another_colour_are_still_the_page(letter, tmp_path):
    coloured = restyle(letter, [1, 2], color="navy")
    assert coloured.options == LETTER and coloured[1].style.color == "navy" and letter[1].style is None
    saved = load_page(str(save_page(coloured, tmp_path / "letter.json")))
    assert [bool(w.style) for w in saved] == [i in (1, 2) for i in range(len(letter))]


def test_what_cannot_fit_is_refused_before_a_word_is_drawn(default, monkeypatch):
    def none_drawn(*args):
        raise AssertionError("a word is drawn")

    monkeypatch.setattr(sample, "sample_tokens", none_drawn)
    most = default.config.context_block_size
    for text, options, says in (
        (f"a {'x' * (most + 1)}", {}, f"Word 1 'x.*{most} characters"),
        ("a " + "m" * 40, dict(paper="a6"), "Word 1 'm*' does not fit"),
        ("a\n" * 12, dict(paper="c6"), "envelope"),
        ("a", dict(paper="a6", margin=80), "margins are larger"),
        ("a", dict(paper="a6", letter_size=80.0), "smaller"),
        ("a", dict(color='"/><script>'), "no colour"),
        ("a", dict(margin="1,2,3,4"), "need a paper"),
    ):
        with pytest.raises(CursiveError, match=says):
            write(text, default, respell=None, **options)


def test_outputs_are_refused_before_anything_is_drawn():
    for path, options, says in (
        ("a.pgn", {}, "'png'"),
        ("a.png", dict(paper="a3", dpi=2400.0), "pixels"),
        ("a.svg", dict(ruling="ruled"), "needs a paper"),
        ("a.hpgl", dict(paper="600x900"), "larger than A3"),
        ("a.hpgl", dict(paper="a4", margin=3.0), "reach"),
        ("a.gcode", dict(pen_up="M5"), "together"),
    ):
        with pytest.raises(CursiveError, match=says):
            check_output(path, WritingOptions(**options))
    check_output("a.pdf", WritingOptions(paper="a4", ruling="dotted"))


def test_a_worksheet_has_one_line_in_ink_and_others_to_trace(default):
    how = dict(paper="a5", ruling="four-line", trace="dashed", repeat=3, fields="Name,Date", respell=None)
    page = write("k kk", default, **how)
    assert [w.text for w in page] == ["Name", "_", "Date", "_"] + ["k", "kk"] * 3
    assert [bool(w.style and w.style.dash) for w in page] == [False] * 6 + [True] * 4
    shapes = [w.points[:, 0] for w in page if w.text == "kk"]
    for other in shapes[1:]:
        np.testing.assert_allclose(shapes[0], other)  # the same letters, to be traced
    (sheet,) = sheets_of(page, page.options)
    assert len(sheet.rules) == 4 * measures_of(page.options).rows
    grey = write("k", default, paper="a5", trace="grey", respell=None)
    assert grey[0].style.color == "#bbb"


def test_pictures_are_white_and_drawings_clear_unless_it_is_said():
    assert [style_of(WritingOptions(), kind).background for kind in ("png", "gif", "svg", "pdf")] == [
        "white",
        "white",
        "none",
        "none",
    ]
    assert style_of(WritingOptions(background="none"), "png").background == "none"
    assert style_of(WritingOptions(background="#ffe"), "svg").background == "#ffe"


def test_every_option_of_the_line_and_the_plotter_reaches_the_style():
    options = WritingOptions(
        color="navy", stroke_width=0.7, pen="brush", dpi=150.0, current_color=True, speed=50.0, loop=True,
        tip="none", pause=0.5, hold=1.0, device="hpgl", origin="center", pen_up="M5", pen_down="M3", lift=2.0,
        feed=900.0, page_pause="M0", margin=0.0,
    )  # fmt: skip
    style = style_of(options)
    assert (style.color, style.stroke_width, style.pen, style.dpi) == ("navy", 0.7, "brush", 150.0)
    assert style.current_color and style.margin == 0.0
    assert style.motion == Motion(50.0, True, "none", 0.5, 1.0)
    assert style.plotter == Plotter("hpgl", "center", "M5", "M3", 2.0, 900.0, "M0")


def test_nothing_is_cut_off_where_there_is_no_margin(default, tmp_path):
    dot = Word("i", np.array([[0.0, 0.0, 1], [0.4, 0.0, 1], [0.4, 0.0, 0]]), page=(0.0, 0.0))
    svg = page_bytes([dot], "svg", margin=0.0, stroke_width=2.0).decode()
    width, height = (float(v) for v in re.search(r'width="([\d.]+)mm" height="([\d.]+)mm"', svg).groups())
    assert (width, height) == (pytest.approx(12.0), pytest.approx(2.0))  # half a pen's width on each side


# By whom


def test_a_hand_is_chosen_by_its_author(tiny):
    two = small_model(block_size=1050, authors=("Ann", "Bo"))
    torch.nn.init.normal_(two.transformer["wae"].weight)
    how = dict(seed=1, respell=None, num_steps=60)
    with pytest.warns(UserWarning, match="no end"):
        ann, first, bo = (write("to be", two, author=author, **how) for author in ("Ann", None, "Bo"))
    assert all(equal(ann, first)) and not np.array_equal(ann[0].points, bo[0].points)
    with pytest.raises(CursiveError, match="Ann, Bo, and not of 'Ben'"):
        write("to be", two, author="Ben", **how)
    with pytest.raises(CursiveError, match="does not say whose hand"):
        write("to be", tiny, author="Ann", **how)


def test_the_options_say_whether_words_are_read_back_and_by_whom(default, tmp_path):
    hot = WritingOptions(seed=6, temperature=1.6)
    text = "Sing, O goddess, the anger of Achilles son of Peleus, that brought 10 ills"
    plain = write(text, default, hot, respell=None)
    read_back = write(text, default, hot)
    assert not all(equal(plain, read_back))
    silent = dataclasses.replace(hot, respell=False)
    assert all(equal(plain, write(text, default, silent)))
    assert all(equal(plain, write(text, default, hot, respell=False)))
    assert all(equal(read_back, write(text, default, silent, respell=True)))
    # An untrained reader reads nothing right, and says so.
    torch.manual_seed(0)
    path = save_reader(Reader(), tmp_path / "reader.safetensors")
    with pytest.warns(UserWarning, match="0 'many' as '"):
        write("many", default, WritingOptions(reader=str(path)))
    with pytest.raises(CursiveError, match="none"):
        write("many", default, reader=str(tmp_path / "none"))
    assert all(equal(plain, write(text, default, silent, reader=str(tmp_path / "none"))))


def test_samples_are_pictures(default, tmp_path):
    _, test = create_datasets(preset("debug", dataset_name="embedded", test_size=3))
    paths = save_samples(default, test, 2, True, tmp_path)
    assert [p.name for p in paths] == ["test_sample_1.png", "test_sample_2.png"]
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in paths)


# ---- files


MAGIC = {
    "png": b"\x89PNG",
    "pdf": b"%PDF",
    "svg": b"<svg",
    "anim.svg": b"<svg",
    "gif": b"GIF89a",
    "hpgl": b"IN;",
    "gcode": b"; ",
    "json": b"[{",
}


@pytest.mark.parametrize("kind", FORMATS)
def test_files(tmp_path, kind):
    magic = MAGIC[kind]
    assert save_page(page(), tmp_path / f"p.{kind}").read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [f"p.{kind}"]


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CursiveError, match="Cannot write"):
        save_page(page(), tmp_path / "file" / "p.svg")
    with pytest.raises(CursiveError, match="'png'"):
        save_page(page(), tmp_path / "p.pgn")
    assert kind_of("A.B.ANIM.SVG") == "anim.svg" and kind_of("anim.svg") == "svg"


def test_a_page_line_by_line_is_the_page_at_once(tmp_path):
    with page_writer(tmp_path / "a.svg", margin=7.5) as add:
        for line in lines(30):
            add(line)
    assert (tmp_path / "a.svg").read_text() == to_svg(words_of(lines(30)), Style(margin=7.5))


def test_a_long_page_that_moves_is_the_same_line_by_line(tmp_path):
    with page_writer(tmp_path / "a.anim.svg") as add:
        for line in lines(400):
            add(line)
    assert (tmp_path / "a.anim.svg").read_bytes() == page_bytes(words_of(lines(400)), "anim.svg")


def test_a_page_that_breaks_off_is_not_there(tmp_path):
    for kind in FORMATS:
        with pytest.raises(KeyboardInterrupt), page_writer(tmp_path / f"a.{kind}") as add:
            add(lines(1)[0])
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_page_too_large_for_its_kind_is_not_there(tmp_path):
    with pytest.raises(CursiveError, match="pdf"):
        save_page(words_of(lines(200)), tmp_path / "a.png")
    with pytest.raises(CursiveError, match="larger than A3"):
        save_page(written(90), tmp_path / "a.hpgl")
    assert save_page(written(90), tmp_path / "a.gcode").stat().st_size
    assert [p.name for p in tmp_path.iterdir()] == ["a.gcode"]


@pytest.mark.parametrize("kind", ["hpgl", "gcode"])
def test_plotter_files_need_no_vpype(monkeypatch, tmp_path, kind):
    monkeypatch.setitem(sys.modules, "vpype", None)
    assert save_page(page(), tmp_path / f"a.{kind}").read_bytes().startswith(MAGIC[kind])


def test_bytes_are_the_file(tmp_path):
    for kind in FORMATS.keys() - {"pdf"}:  # a PDF holds the time
        path = save_page(page(), tmp_path / f"p.{kind}", margin=12.5)
        assert page_bytes(page(), kind, margin=12.5) == path.read_bytes()


# Words made in Python

LINE = np.array([[0, 0, 1], [0.1, -0.1, 1], [0.2, 0, 0]], float)


def made(points=LINE, text="a", page=(0.0, 0.35)):
    return [Word(text, np.asarray(points), page=page)]


@pytest.mark.parametrize("paper", [None, "a6"])
@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "words",
    [
        made(LINE * [np.nan, 1, 1]),
        made([*LINE, [0, np.inf, 0]]),
        made(LINE * [1e300, 1, 1]),
        made(page=(np.nan, 0.0)),
        made(LINE[:, :2]),
        made(LINE[0]),
        made(LINE.astype(str)),
        made(text=None),
        made(text="a\ud800b"),
        ["a", 3],
    ],
    ids="nan inf far page-nan two-columns flat texts no-text half-a-character no-words".split(),
)
def test_what_no_file_can_hold_is_a_sentence_and_no_file(tmp_path, words, kind, paper):
    with pytest.raises(CursiveError, match="cannot be drawn|made of words"):
        save_page(words, tmp_path / f"a.{kind}", paper=paper)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("words", [[], made(np.zeros((0, 3))), made([[0, 0, 0.0]])], ids=["none", "no", "up"])
def test_a_page_without_ink_is_a_sentence_or_an_empty_sheet(tmp_path, words, kind):
    path = tmp_path / f"a.{kind}"
    if kind != "json":
        with pytest.raises(CursiveError, match="nothing to draw"):
            save_page(words, path)
        assert list(tmp_path.iterdir()) == []
        assert b"inf" not in save_page(words, path, paper="a6").read_bytes()
    elif words and not len(words[0].points):
        with pytest.raises(CursiveError, match="The word 'a' has no ink"):
            save_page(words, path)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["svg", "anim.svg"])
def test_no_text_becomes_markup(kind):
    text = "</title></script><!-- \"'&]]> \u2028\x00\x1b\ufffe"
    for drawing in page_bytes(made(text=text), kind), page_bytes(made(text=text), kind, paper="a6"):
        found = ElementTree.fromstring(drawing)
        assert not {"script"} & {e.tag.rpartition("}")[2] for e in found.iter()}
        assert b"<!--" not in drawing and b"\x00" not in drawing


def test_what_cannot_be_written_is_named_with_its_line_and_word(default):
    for text, says in [
        ("Dear Ann,\n\nit costs 5€ now", "Line 3, word 3 '5€': The model cannot write '€'"),
        ("so\n" + "x" * 100, r"Word 1 'xxx.*xxx' \(line 2\) has 100 characters, more than the 96"),
    ]:
        with pytest.raises(CursiveError, match=says):
            write(text, default)
