"""Pages in files: the table of kinds, and that a file is whole or not there. What is in them is tested where
the writers are, in tests/ink."""

import sys

import pytest
from ink_cases import lines, page, words_of, written

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import to_svg
from cursivetransformer.writing.page import FORMATS, kind_of, page_bytes, page_writer, save_page

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
