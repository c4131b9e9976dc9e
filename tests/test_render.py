import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cursivetransformer.config import CursiveError
from cursivetransformer.ink import Word
from cursivetransformer.render import MM, PAGE, bezier, page_writer, plot_words, save_page, to_svg


def page():
    rng = np.random.default_rng(0)
    words = []
    for i in range(5):
        xy = rng.uniform(-1, 2, (20, 2))   # far outside any ruled box
        pen = np.ones(20)
        pen[[9, 19]] = 0
        words.append(Word(f"w{i}<&\">", np.c_[xy, pen], page=(2.0 * i, 0.6)))
    return words


def test_svg_is_one_path_that_holds_all_the_ink():
    svg = ET.fromstring(to_svg(page()))
    paths = [e for e in svg.iter() if e.tag.endswith("path")]
    assert len(paths) == 1
    assert paths[0].get("stroke-linejoin") == paths[0].get("stroke-linecap") == "round" and paths[0].get("fill") == "none"
    x, y, w, h = map(float, svg.get("viewBox").split())
    numbers = np.array(re.findall(r"-?\d+\.\d+", paths[0].get("d")), float).reshape(-1, 2)
    ends = np.vstack([p.points[:, :2] + p.page for p in page()]) * MM
    assert ends[:, 0].min() >= x and ends[:, 0].max() <= x + w and ends[:, 1].min() >= y and ends[:, 1].max() <= y + h
    assert paths[0].get("d").count("M") == 10 and len(numbers) > 80


def test_text_in_svg_cannot_become_markup():
    assert ET.fromstring(to_svg(page()))[0].text == " ".join(w.text for w in page())


def test_curves_pass_through_the_points_and_do_not_loop_at_cusps():
    xy = np.random.default_rng(1).uniform(0, 1, (30, 2))
    np.testing.assert_array_equal(bezier(xy)[::3], xy)
    assert len(bezier(xy[:1])) == 1
    cusp = bezier(np.array([[0, 0], [1, 0], [0.99, 0.01], [0, 1]]))
    assert cusp[:, 0].max() < 1.05


@pytest.mark.parametrize("kind, magic", [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<svg")])
def test_files(tmp_path, kind, magic):
    assert save_page(page(), tmp_path / f"p.{kind}").read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [f"p.{kind}"]


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CursiveError, match="Cannot write"): save_page(page(), tmp_path / "file" / "p.svg")
    with pytest.raises(CursiveError, match="png"): save_page(page(), tmp_path / "p.pgn")


def test_a_plot_shows_all_the_ink_and_the_indices():
    fig, ax = plot_words(page(), show_indices=True)
    assert [t.get_text() for t in ax.texts] == list("01234")
    points = np.vstack([p.points[:, :2] + p.page for p in page()])
    assert ax.get_xlim()[0] <= points[:, 0].min() and ax.get_xlim()[1] >= points[:, 0].max()
    assert ax.yaxis_inverted()


def lines(n): return [[Word("w", np.array([[0, -0.2, 1], [0.3, 0.1, 1], [0.3, 0.1, 0]]), page=(x, 0.6 * i)) for x in (0.0, 1.0)] for i in range(n)]


def test_a_page_line_by_line_is_the_page_at_once(tmp_path):
    with page_writer(tmp_path / "a.svg", margin=0.3) as add:
        for line in lines(30): add(line)
    assert (tmp_path / "a.svg").read_text() == to_svg(sum(lines(30), []), margin=0.3)


def test_a_page_that_breaks_off_is_not_there(tmp_path):
    for kind in "svg", "png", "pdf":
        with pytest.raises(KeyboardInterrupt), page_writer(tmp_path / f"a.{kind}") as add:
            add(lines(1)[0])
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n, pages", [(1, 1), (18, 1), (45, 3)])
def test_a_long_pdf_turns_the_page(tmp_path, n, pages):
    data = save_page(sum(lines(n), []), tmp_path / "a.pdf").read_bytes()
    boxes = [list(map(float, box)) for box in re.findall(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", data)]
    assert len(boxes) == pages and len({w for w, _ in boxes}) == 1 and all(h <= PAGE * MM * 72 / 25.4 + 1e-3 for _, h in boxes)


def test_a_png_that_would_be_too_long_says_what_to_do(tmp_path):
    with pytest.raises(CursiveError, match="pdf"): save_page(sum(lines(200), []), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
