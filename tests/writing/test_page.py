"""A text as a page: words on lines, a line at a time or all at once, written again one at a time; by whose
hand, and who reads them back. The files are tested in test_page_files.py and with their writers."""

import dataclasses
import sys

import numpy as np
import pytest
import torch
from ink_cases import lines, page, words_of, written
from models import small_model

from cursivetransformer.config import CursiveError, GenerationParams, WritingOptions, preset
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.ink.curves import on_page, to_svg
from cursivetransformer.ink.points import Word, slant, strokes
from cursivetransformer.writing import sample, spelling
from cursivetransformer.writing.page import (
    FORMATS,
    kind_of,
    layout,
    page_bytes,
    page_writer,
    respell,
    save_page,
    save_samples,
    write,
    write_lines,
)
from cursivetransformer.writing.reader import Reader, save_reader
from cursivetransformer.writing.sample import sample_tokens

WORDS = "Sing, O goddess, the anger of Achilles son of Peleus, a I .".split()


def wide(width):
    return Word("w", np.array([[0, -0.1, 1], [width, 0, 1], [width, 0, 0]]))


WIDE = [wide(1.0), wide(1.5), wide(2.0), wide(4.0), wide(0.5)]


def equal(page, other):
    "Which words of two pages have the same ink."
    return [np.array_equal(a.points, b.points) for a, b in zip(page, other, strict=True)]


# Lines


def test_layout():
    options = WritingOptions(width=3.0, line_height=0.7, word_space=0.2, first_line=0.4)
    page = layout([dataclasses.replace(w, page=None) for w in WIDE], options)
    assert [w.page[1] for w in page] == pytest.approx([0.4, 0.4, 1.1, 1.8, 2.5])
    assert page[1].page[0] == pytest.approx(1.2)
    assert all(on_page(w)[:, 0].max() <= 3.0 for w in page if np.ptp(w.points[:, 0]) <= 3)
    assert page[3].page[0] == 0  # wider than the line: alone on one
    assert layout(WIDE, options, breaks=(1,))[1].page == (0.0, pytest.approx(1.1))


def test_a_page_by_the_original_s_names_is_the_same():
    names = dict(sentence_line_width=3.0, sentence_line_height=0.7, space_width=0.2, letter_height=0.4)
    ours = WritingOptions(width=3.0, line_height=0.7, word_space=0.2, first_line=0.4)
    theirs = layout(WIDE, GenerationParams(**names))
    assert [w.page for w in theirs] == [w.page for w in layout(WIDE, ours)]


def test_one_slant_across_words(default):
    page = write("many a brave soul did it send hurrying", default, slant=0.3)
    slants = [slant(w.points) for w in page if slant(w.points) is not None]  # a dash has none
    assert len(slants) > 4 and slants == pytest.approx([0.3] * len(slants))
    free = write("many a brave soul did it send hurrying down", default)
    assert np.std([slant(w.points) or 0.0 for w in free]) > 0.01


def test_line_breaks_of_the_text_are_kept(default):
    page = write("one two\n\nsix", default)
    assert page[0].page[1] == page[1].page[1] < page[2].page[1] and page[2].page[0] == 0
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
    assert to_svg(page).count("M") == sum(len(strokes(w.points)) for w in page) >= 2
    assert all(w.points[-1, 2] == 0 for w in page)


# A line at a time


@pytest.fixture
def small_chunks(monkeypatch):
    "Words are handed on four at a time."
    monkeypatch.setattr(sample, "CHUNK", 4)
    monkeypatch.setattr(spelling, "CHUNK", 4)


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_lines_come_as_they_are_done_and_are_those_of_the_page(default, monkeypatch, at_a_time, request):
    options = WritingOptions(n_at_a_time=at_a_time, width=2.5)
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
    with page_writer(tmp_path / "a.svg", margin=0.3) as add:
        for line in lines(30):
            add(line)
    assert (tmp_path / "a.svg").read_text() == to_svg(words_of(lines(30)), margin=0.3)


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
def test_without_vpype_no_file_is_left(monkeypatch, tmp_path, kind):
    monkeypatch.setitem(sys.modules, "vpype", None)
    with pytest.raises(CursiveError, match=r"pip install 'cursivetransformer\[plotter\]'"):
        save_page(page(), tmp_path / f"a.{kind}")
    assert list(tmp_path.iterdir()) == []


def test_bytes_are_the_file(tmp_path):
    for kind in FORMATS.keys() - {"pdf"}:  # a PDF holds the time
        path = save_page(page(), tmp_path / f"p.{kind}", margin=0.5)
        assert page_bytes(page(), kind, margin=0.5) == path.read_bytes()
