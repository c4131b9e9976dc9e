"""Pictures show what was captured, all of it and nothing else; entropy is a share."""

import re
import xml.etree.ElementTree as ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
from attention_cases import make
from models import chain_options, small_model

from cursivetransformer.ink.points import Word
from cursivetransformer.ink.tokenizers import stroke_tokenizer
from cursivetransformer.options import WritingOptions
from cursivetransformer.study.attention import (
    animate,
    entropy,
    letter_color,
    plot_alignment,
    plot_attended,
    plot_cross,
    plot_entropy,
    plot_heads,
    plot_self,
    pool_attention,
)
from cursivetransformer.study.interventions import plot_induction
from cursivetransformer.writing.align import align_strokes
from cursivetransformer.writing.capture import Trace, trace_ink, trace_words

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def trace(default):
    "A word with all of its attention; its brackets are not in the alphabet of XML's plain text."
    return trace_words(default, ["(souls)"], WritingOptions(seed=1))[0]


def letters(axis) -> list:
    "The words at an axis."
    return [label.get_text() for label in axis.get_ticklabels()]


def test_a_map_has_the_attention_before_each_direction():
    (trace,) = trace_words(small_model(), ["so"], WritingOptions(seed=1), ("cross",))
    before_each_direction = 2 * np.arange(len(trace.ink))
    np.testing.assert_array_equal(trace.looks([(1, 1)]), trace.cross_attention[1, 1, before_each_direction])


def test_a_map_has_the_attention_with_which_each_move_was_chosen(trace):
    looks = trace.looks([(2, 1)])
    np.testing.assert_array_equal(looks, trace.cross_attention[2, 1, trace.decided])
    _, ax = plot_cross(trace, 2, 1)
    assert letters(ax.yaxis) == [*"(souls)", "∎"]
    np.testing.assert_array_equal(ax.images[0].get_array(), looks.T)
    _, axes = plot_heads(trace)
    assert axes.shape == (4, 3)
    np.testing.assert_array_equal(axes[2, 1].images[0].get_array(), looks.T)


def test_self_attention_is_shown_a_group_of_tokens_at_a_time(trace):
    _, axes = plot_heads(trace, "self")
    pooled = pool_attention(trace.self_attention[3, 0], trace.tokenizer.tokens_per_point)
    np.testing.assert_allclose(axes[3, 0].images[0].get_array(), pooled)
    _, ax = plot_self(trace, 3, 0, stride=8)
    shown = np.asarray(ax.images[0].get_array())
    n = len(trace.tokens) // 8
    assert shown.shape == (n, n)
    np.testing.assert_allclose(shown.sum(1), 1, atol=1e-5)


def test_ink_has_the_colors_of_the_letters_attended(trace):
    _, ax = plot_attended(trace, [(2, 1)])
    drawn = (trace.ink[1:, 2] != 0) & (trace.ink[:-1, 2] != 0)
    attended = trace.looks([(2, 1)]).argmax(1)[trace.move_of_point][1:][drawn]
    wanted = [plt.matplotlib.colors.to_rgba(letter_color(i)) for i in attended]
    np.testing.assert_allclose(ax.collections[0].get_colors(), wanted)
    assert [t.get_text() for t in ax.texts] == list("(souls)")


def test_an_alignment_is_a_path_and_bars(trace):
    found = align_strokes(trace, [(2, 1)])
    _, (left, right) = plot_alignment(trace, [(2, 1)])
    np.testing.assert_array_equal(left.lines[0].get_ydata(), found.path)
    np.testing.assert_allclose([bar.get_width() for bar in right.patches], found.coverage)


def test_words_of_models_without_a_start_token_are_shown():
    model = make(start_token=False, mask_context=False, positions="learned").float()
    (trace,) = trace_words(model, ["so"], WritingOptions(num_steps=60))
    _, (_, right) = plot_alignment(trace, [(0, 0)])
    assert len(right.patches) == len(trace.text)


def test_entropy_is_written_into_its_table(trace):
    _, axes = plot_entropy([trace])
    assert [t.get_text() for t in axes[0].texts] == [f"{v:.2f}" for v in entropy([trace]).ravel()]


def test_a_bar_a_head():
    _, ax = plot_induction(np.eye(3), np.zeros((3, 3)))
    assert len(ax.patches) == 18
    assert letters(ax.xaxis)[:4] == ["0.0", "0.1", "0.2", "1.0"]


def test_pictures_are_readable_on_light_and_dark_pages(trace):
    plot_cross(trace, 2, 1)
    plot_heads(trace)
    plot_heads(trace, "self")
    plot_self(trace, 3, 0)
    plot_attended(trace, [(2, 1)])
    plot_alignment(trace, [(2, 1)])
    plot_entropy([trace])
    plot_induction(np.eye(3), np.zeros((3, 3)))
    for fig in map(plt.figure, plt.get_fignums()):
        assert fig.get_facecolor()[3] == 0
        # A notebook puts a light card behind a picture with dark labels only, a dark one behind light ones.
        axes = [axis for ax in fig.axes for axis in (ax.xaxis, ax.yaxis)]
        colors = [label.get_color() for axis in axes for label in axis.get_ticklabels()]
        lights = [np.dot(plt.matplotlib.colors.to_rgb(c), (0.299, 0.587, 0.114)) > 0.5 for c in colors]
        assert any(lights) and not all(lights)


def test_the_moving_picture_is_whole(default):
    (trace,) = trace_words(default, ['"souls"'], WritingOptions(seed=1), ("cross",))
    picture = animate(trace, seconds=5)
    root = ElementTree.fromstring(picture)
    assert [t.text for t in root.iter(SVG + "text")] == list('"souls"')
    assert picture._repr_svg_() == picture and len(picture) < 200_000
    points = set()
    for path in root.iter(SVG + "path"):
        numbers = re.findall(r"[-.0-9]+ [-.0-9]+", path.get("d"))
        points |= {tuple(p.split()) for p in numbers[::3]}  # between them, control points
    # All of the ink, and nothing else.
    assert points == {(f"{x * 100:.1f}", f"{y * 100:.1f}") for x, y, pen in trace.ink if pen}
    for animation in root.iter(SVG + "animate"):
        times = [float(t) for t in animation.get("keyTimes").split(";")]
        assert len(times) == len(animation.get("values").split(";"))
        assert times[0] == 0 and times[-1] == 1 and times == sorted(times)
        assert animation.get("dur") == "6.5s"

    def light_at_first(letter) -> float:
        return float(letter.find(SVG + "animate").get("values").split(";")[0])

    assert max(root.iter(SVG + "text"), key=light_at_first).text == '"'  # the first one, when the pen begins


def test_single_points_and_dots_are_drawn(default):
    (trace,) = trace_ink(default, [Word(".", np.array([[0, -0.01, 1], [0.01, 0, 1], [0.01, 0, 0]]))])
    assert "<path" in animate(trace, [(2, 0)])
    assert plot_attended(trace, [(2, 0)])


def test_entropy_is_a_share():
    tokens = np.array([523, 400, 10, 410, 20, 420, 160])  # a start token and three points
    cross = np.full((1, 2, 7, 4), 0.25)  # the first head looks everywhere, the second at one place
    cross[0, 1] = [1, 0, 0, 0]
    own = np.tril(np.ones((1, 2, 7, 7))) / np.arange(1, 8)[:, None]
    own[0, 1] = np.eye(7)
    trace = Trace("abcd", tokens, stroke_tokenizer("polar"), cross, own)
    np.testing.assert_allclose(entropy([trace]), [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(entropy([trace], "self"), [[1, 0]], atol=1e-6)


# Tokens that span several steps


@pytest.fixture(scope="module")
def chain_trace():
    model = small_model(**chain_options())
    return trace_words(model, ["so"], WritingOptions(seed=1))[0]


def test_maps_of_chain_tokens_have_a_column_a_token(chain_trace):
    ink_tokens = np.flatnonzero(chain_trace.tokens < chain_trace.tokenizer.n_bins)
    _, ax = plot_cross(chain_trace, 0, 1)
    before = chain_trace.cross_attention[0, 1, ink_tokens - 1]
    np.testing.assert_array_equal(ax.images[0].get_array(), before.T)
    assert ax.get_xlabel() == "tokens, in the order drawn"
    _, ax = plot_self(chain_trace, 0, 1)
    assert ax.images[0].get_array().shape == (len(chain_trace.tokens),) * 2
    for kind in "cross", "self":
        fig, _ = plot_heads(chain_trace, kind)
        assert "tokens" in fig.get_supxlabel() and "point" not in fig.get_supxlabel()
    _, axes = plot_entropy([chain_trace])
    assert [t.get_text() for t in axes[1].texts] == [
        f"{v:.2f}" for v in entropy([chain_trace], "self").ravel()
    ]


def test_all_that_a_chain_token_draws_has_the_color_of_its_letter(chain_trace):
    ink = chain_trace.ink
    _, ax = plot_attended(chain_trace, [(0, 1)])
    drawn = (ink[1:, 2] != 0) & (ink[:-1, 2] != 0)
    attended = chain_trace.looks([(0, 1)]).argmax(1)[chain_trace.move_of_point][1:][drawn]
    wanted = [plt.matplotlib.colors.to_rgba(letter_color(i)) for i in attended]
    np.testing.assert_allclose(ax.collections[0].get_colors(), wanted)


def test_the_moving_picture_has_all_that_chain_tokens_draw(chain_trace):
    root = ElementTree.fromstring(animate(chain_trace, [(0, 1)]))
    points = set()
    for path in root.iter(SVG + "path"):
        numbers = re.findall(r"[-.0-9]+ [-.0-9]+", path.get("d"))
        points |= {tuple(p.split()) for p in numbers[::3]}
    assert points == {(f"{x * 100:.1f}", f"{y * 100:.1f}") for x, y, pen in chain_trace.ink if pen}
    for animation in root.iter(SVG + "animate"):
        assert len(animation.get("keyTimes").split(";")) == len(animation.get("values").split(";"))
