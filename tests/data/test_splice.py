"""Long words are made of short ones, side by side."""

import numpy as np
import pytest

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.data.splice import LETTER_GAP, MOST_LETTERS, can_join, splice, spliced_words
from cursivetransformer.ink.points import Word, strokes


def line(*points):
    "A stroke through some points."
    return np.array([[*p, 1] for p in points] + [[*points[-1], 0]], float)


def test_ink_stands_side_by_side_and_is_not_bent():
    words = load_bank("embedded").words[:3]
    long = splice(words)
    assert long.text == "".join(w.text for w in words) and long.author == words[0].author
    assert len(long.points) >= sum(len(w.points) for w in words) - 2
    assert (long.points[-1, 2], long.points[:, 2].max()) == (0, 1)
    widths = sum(np.ptp(w.points[:, 0]) for w in words)
    assert np.ptp(long.points[:, 0]) == pytest.approx(widths + 2 * LETTER_GAP)
    assert set(long.points[:, 1]) == {y for w in words for y in w.points[:, 1]}


def test_the_pen_stays_down_where_two_words_nearly_touch():
    a = Word("a", line((0.0, -0.1), (0.1, 0.0)), "me")
    low = Word("b", line((0.0, -0.02), (0.1, 0.0)), "me")
    high = Word("c", line((0.0, -0.3), (0.1, 0.0)), "me")
    dotted = Word("i", np.vstack([a.points, line((0.02, -0.2), (0.02, -0.2))]), "me")
    assert can_join(a.points, low.points) and not can_join(a.points, high.points)
    assert len(strokes(splice([a, low]).points)) == 1
    assert len(strokes(splice([a, high]).points)) == 2
    assert len(strokes(splice([dotted, low]).points)) == 3  # a dot was the last that was drawn


def test_long_words_depend_on_the_seed_and_hold_no_inner_capitals():
    words = load_bank("embedded").words
    long = spliced_words(words, 50, seed=1)
    again = spliced_words(words, 50, seed=1)
    assert [w.text for w in long] == [w.text for w in again] != [w.text for w in spliced_words(words, 50, 2)]
    assert all(w.text[1:].islower() and w.text.isalpha() and len(w.text) <= MOST_LETTERS for w in long)
    assert spliced_words([w for w in words if not w.text.isalpha()], 9, seed=1) == []


def test_a_dataset_learns_them_and_is_tested_without():
    plain, tested = create_datasets(preset("debug", dataset_name="embedded"))
    train, test = create_datasets(preset("debug", dataset_name="embedded", splice=0.5))
    more = len(train.words) - len(plain.words)
    assert 0.25 * len(plain.words) < more <= 0.5 * len(plain.words)
    assert [w.text for w in test.words] == [w.text for w in tested.words]
