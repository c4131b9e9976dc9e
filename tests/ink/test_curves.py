import re
import xml.etree.ElementTree as ET

import numpy as np
from ink_cases import lines, page, text_of, words_of

from cursivetransformer.ink.curves import MM, bezier, flatten, plot_words, svg_writer, to_svg


def ink_on_page(words):
    return np.vstack([w.points[:, :2] + w.page for w in words])


def test_svg_is_one_path_that_holds_all_the_ink():
    svg = ET.fromstring(to_svg(page()))
    paths = [e for e in svg.iter() if e.tag.endswith("path")]
    assert len(paths) == 1
    assert paths[0].get("stroke-linejoin") == paths[0].get("stroke-linecap") == "round"
    assert paths[0].get("fill") == "none"
    x, y, w, h = map(float, svg.get("viewBox").split())
    numbers = np.array(re.findall(r"-?\d+\.\d+", paths[0].get("d")), float).reshape(-1, 2)
    ends = ink_on_page(page()) * MM
    assert ends[:, 0].min() >= x and ends[:, 0].max() <= x + w
    assert ends[:, 1].min() >= y and ends[:, 1].max() <= y + h
    assert paths[0].get("d").count("M") == 10 and len(numbers) > 80


def test_svg_is_the_same_at_once_and_line_by_line():
    pieces = []
    with svg_writer(pieces.append, margin=0.3, linewidth=0.7, color="#a03") as add:
        for line in lines(30):
            add(line)
    words = words_of(lines(30))
    assert "".join(pieces) == to_svg(words, margin=0.3, linewidth=0.7, color="#a03")
    assert text_of(svg_writer, words) == to_svg(words) == to_svg(words, 0.2, 0.4, "#000")


def test_text_in_svg_cannot_become_markup():
    assert ET.fromstring(to_svg(page()))[0].text == " ".join(w.text for w in page())


def test_curves_pass_through_the_points_and_do_not_loop_at_cusps():
    xy = np.random.default_rng(1).uniform(0, 1, (30, 2))
    np.testing.assert_array_equal(bezier(xy)[::3], xy)
    assert len(bezier(xy[:1])) == 1
    cusp = bezier(np.array([[0, 0], [1, 0], [0.99, 0.01], [0, 1]]))
    assert cusp[:, 0].max() < 1.05


def test_a_plot_shows_all_the_ink_and_the_indices():
    fig, ax = plot_words(page(), show_indices=True)
    assert [t.get_text() for t in ax.texts] == list("01234")
    points = ink_on_page(page())
    assert ax.get_xlim()[0] <= points[:, 0].min() and ax.get_xlim()[1] >= points[:, 0].max()
    assert ax.yaxis_inverted()


def test_flattened_curves_stay_at_the_curve():
    xy = np.cumsum(np.random.default_rng(0).normal(0, 0.03, (40, 2)), 0)
    flat = flatten(xy)
    t = np.linspace(0, 1, 50)[:, None]
    a, b, c, d = (bezier(xy)[i : len(bezier(xy)) - 3 + i : 3, None] for i in range(4))
    fine = ((1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d).reshape(-1, 2)
    start = flat[:-1]
    step = np.diff(flat, axis=0)
    along = (((fine[:, None] - start) * step).sum(2) / (step**2).sum(1).clip(1e-12)).clip(0, 1)
    assert np.linalg.norm(fine[:, None] - start - along[..., None] * step, axis=2).min(1).max() * MM < 0.05
