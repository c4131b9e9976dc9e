import numpy as np
from ink_cases import page

from cursivetransformer.ink.curves import MM, bezier, flatten, plot_words
from cursivetransformer.ink.sheets import restyle


def ink_on_page(words):
    return np.vstack([w.points[:, :2] + w.page for w in words])


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


def test_a_plot_shows_the_colours_and_widths_that_words_have_of_their_own():
    fig, ax = plot_words(restyle(page(), [1, 2], color="#ff0000", stroke_width=0.8), color="#000000")
    looks = [(patch.get_edgecolor()[0], patch.get_linewidth()) for patch in ax.patches]
    assert looks == [(0, 1.3), (1, 2.6), (0, 1.3)]


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
