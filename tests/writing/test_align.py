"""Strokes are aligned with the letters that they draw, by the best of all paths."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import chain_options, small_model

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import flatten, on_page
from cursivetransformer.ink.points import Word, deslant, strokes
from cursivetransformer.options import WritingOptions
from cursivetransformer.writing.align import (
    align_strokes,
    character_boxes,
    letters_of_curves,
    monotonic_path,
    pointers,
)
from cursivetransformer.writing.capture import Trace, trace_ink, trace_words


@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.integers(0, 4))
def test_the_path_is_the_best_of_all_paths(seed, count, more):
    n = count + more
    weights = np.random.default_rng(seed).random((n, count))

    def value(path):
        return np.log(np.maximum(weights[np.arange(n), path], 0.01)).sum()

    ways = []
    for cuts in itertools.combinations(range(1, n), count - 1):
        ways.append(np.repeat(np.arange(count), np.diff([0, *cuts, n])))
    path = monotonic_path(weights)
    assert any(np.array_equal(path, w) for w in ways)
    assert value(path) == pytest.approx(max(map(value, ways)))


def test_ink_is_aligned_with_its_letters(default):
    traces = trace_words(default, ["anger", "brought", "many"], WritingOptions(seed=1), ("cross",))
    heads = pointers(traces)
    # The lowest layer is not told what has been looked at, so it cannot know where in the word the pen is.
    assert len(set(heads)) == 3 and all(layer >= 1 for layer, _ in heads)
    for t in traces:
        found = align_strokes(t, heads)
        assert (np.diff(found.path) >= 0).all()
        assert set(found.path) == set(range(len(t.text)))
        assert len(found.path) == len(t.decided) and len(found.letters) == len(t.ink)
        np.testing.assert_array_equal(found.letters, found.path[t.move_of_point])
        assert found.coverage.shape == (len(t.text),)
        assert 0.3 < found.coverage.min() <= found.coverage.max() <= 1


def test_ink_shorter_than_its_text_cannot_be_aligned():
    (trace,) = trace_words(small_model(), ["anger"], WritingOptions(seed=1), ("cross",))
    short = Trace("anger", trace.tokens[:7], trace.tokenizer, trace.cross_attention[:, :, :7])
    with pytest.raises(CursiveError, match="3 points cannot go through 5"):
        align_strokes(short, [(0, 0)])


def test_a_dot_belongs_to_its_only_letter(default):
    (trace,) = trace_ink(default, [Word(".", np.array([[0, -0.01, 1], [0.01, 0, 1], [0.01, 0, 0]]))])
    assert align_strokes(trace).path.tolist() == [0] * 3


def test_points_of_a_chain_token_belong_to_its_letter():
    model = small_model(**chain_options())
    (trace,) = trace_words(model, ["so"], WritingOptions(seed=1), ("cross",))
    found = align_strokes(trace, [(0, 0)])
    assert len(found.path) == len(trace.decided) and len(found.letters) == len(trace.ink)
    np.testing.assert_array_equal(found.letters, found.path[trace.move_of_point])
    assert set(found.path) == {0, 1} and (np.diff(found.letters) >= 0).all()
    short = Trace("many", trace.tokens[:4], trace.tokenizer, trace.cross_attention[:, :, :4].repeat(2, -1))
    with pytest.raises(CursiveError, match="3 tokens cannot go through 4"):
        align_strokes(short, [(0, 0)])


# Boxes around characters


def test_letters_go_over_from_what_was_seen_to_the_curve():
    drawn = [np.array([[0.0, 0], [1, 0], [2, 0], [3, 0]]), np.array([[5.0, 5], [5, 5]])]
    seen = [np.array([[0.0, 0], [30, 0]]), np.array([[7.0, 7], [7, 7]])]
    curve, letters = letters_of_curves(drawn, seen, np.array([0, 1, 2, 2]))
    np.testing.assert_array_equal(curve, np.concatenate([flatten(s) for s in drawn]))
    # The way to a point is that point's letter's; a dot has its own letter.
    assert letters[0] == 0 and (letters[1 : len(flatten(drawn[0]))] == 1).all() and (letters[-2:] == 2).all()


def test_each_character_has_a_box_and_together_they_hold_the_word(default):
    traces = trace_words(default, ["jitters", "many"], WritingOptions(seed=1), ())
    words = [Word(t.text, t.ink, page=(3.0, 1.0 + i)) for i, t in enumerate(traces)]
    found = character_boxes(default, words)
    assert [boxes.shape for boxes in found] == [(7, 4), (4, 4)]
    for word, boxes in zip(words, found):
        curve = np.concatenate([flatten(stroke) for stroke in strokes(on_page(word))])
        np.testing.assert_allclose(boxes[:, :2].min(0), curve.min(0))
        np.testing.assert_allclose(boxes[:, 2:].max(0), curve.max(0))
        assert (np.diff(boxes[:, 0] + boxes[:, 2]) > 0).all()  # from left to right
    # A bent word has the boxes of its own ink, its letters those of what the model wrote.
    bent = [Word(w.text, deslant(w.points, 0.8) * [2, 2, 1], page=w.page) for w in words]
    for word, boxes in zip(bent, character_boxes(default, bent, written=words)):
        points = np.concatenate([flatten(stroke) for stroke in strokes(on_page(word))])
        np.testing.assert_allclose(boxes[:, 2:].max(0), points.max(0))


def test_too_little_ink_for_its_letters_has_no_boxes(default):
    dot = np.array([[0, -0.01, 1], [0.01, 0, 1], [0.01, 0, 0]])
    (boxes,) = character_boxes(default, [Word("unreadable", dot, page=(0, 0))])
    assert boxes.shape == (10, 4) and np.isnan(boxes).all() and character_boxes(default, []) == []
