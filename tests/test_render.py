import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cursivetransformer.config import CursiveError
from cursivetransformer.ink import Word
from cursivetransformer.render import MM, bezier, plot_words, save_page, to_svg


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
