"""Long words are made of short ones, side by side."""

import re

import numpy as np
import pytest

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.data.splice import (
    LETTER_GAP,
    MOST_LETTERS,
    can_join,
    final_marks,
    free_letters,
    splice,
    spliced_words,
    with_marks,
)
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
    # An upstroke from below the line's end would make a notch: the next word goes on from that height.
    below = Word("u", line((0.0, 0.02), (0.05, -0.01), (0.06, 0.03)), "me")
    joined = splice([a, below]).points
    np.testing.assert_allclose(joined[2:, :2], [[0.11, -0.01], [0.12, 0.03], [0.12, 0.03]])
    assert len(strokes(splice([a, high]).points)) == 2
    assert len(strokes(splice([dotted, low]).points)) == 3  # a dot was the last that was drawn


DOT = line((0.0, -0.01), (0.01, 0.0))


def beside(*inks, gap=0.05):
    "Inks from left to right."
    out = inks[0]
    for ink in inks[1:]:
        out = np.vstack([out, ink + [out[:, 0].max() + gap - ink[:, 0].min(), 0, 0]])
    return out


def test_full_stops_keep_the_room_before_them():
    ink = line((0.0, -0.1), (0.1, 0.0))
    stopped = Word("l.", beside(ink, DOT), "me")
    early = Word("l.", np.vstack([DOT, ink]), "me")  # the dot was not drawn last
    large = Word("l.", beside(ink, 9 * DOT), "me")
    (dot,) = final_marks([stopped, early, Word("l", ink, "me"), large], ".")
    assert dot.gap == pytest.approx(0.05)
    again = with_marks(Word("l", ink, "me"), ".", [dot, dot, dot], [0.05, 0.06, 0.07])
    assert again.text == "l..."
    np.testing.assert_allclose(again.points[: len(stopped.points)], stopped.points)
    assert np.ptp(again.points[:, 0]) == pytest.approx(0.1 + 3 * 0.01 + 0.05 + 0.06 + 0.07)


def test_letters_that_stand_free_are_cut_out_and_others_are_not():
    stem = line((0.0, -0.2), (0.0, 0.0))
    bar = line((-0.05, -0.2), (0.05, -0.2))
    t = np.vstack([stem, bar])
    two = beside(t, stem)
    letters = free_letters(Word("TI", two, "me"))
    assert [w.text for w in letters] == ["T", "I"]
    np.testing.assert_array_equal(letters[0].points, t)
    # The bar of the first was drawn last.
    late = np.vstack([two[:3], two[6:], two[3:6]])
    assert [len(w.points) for w in free_letters(Word("TI", late, "me"))] == [6, 3]
    assert free_letters(Word("TI", t, "me")) == []


def test_made_words_depend_on_the_seed_and_are_of_three_kinds():
    ink = line((0.0, -0.1), (0.1, 0.0))
    words = load_bank("embedded").words
    words += [Word("NO", beside(ink, ink), words[0].author), Word("it.", beside(ink, DOT), words[0].author)]
    made = spliced_words(words, 300, seed=1)
    again = spliced_words(words, 300, seed=1)
    assert [w.text for w in made] == [w.text for w in again] != [w.text for w in spliced_words(words, 300, 2)]
    stops = [w.text for w in made if "." in w.text]
    commas = [w.text for w in made if "," in w.text]
    long = [w.text for w in made if w.text.isalpha()]
    assert 60 < len(stops) < 140 and len(long) > 100
    assert (len(commas) > 10) == any(w.text.endswith(",") for w in words)
    assert all(text[1:].islower() and text.isalpha() and len(text) <= MOST_LETTERS for text in long)
    assert all(text.endswith(".") for text in stops)
    assert any(text.endswith("...") for text in stops)
    assert any(re.fullmatch(r"([A-Z]\.){2,3}", text) for text in stops)
    assert spliced_words([w for w in words if not w.text.isalpha()], 9, seed=1) == []


def test_a_dataset_learns_them_and_is_tested_without():
    plain, tested = create_datasets(preset("debug", dataset_name="embedded", splice=0.0))
    train, test = create_datasets(preset("debug", dataset_name="embedded", splice=0.5))
    more = len(train.words) - len(plain.words)
    assert 0.2 * len(plain.words) < more <= 0.5 * len(plain.words)
    assert [w.text for w in test.words] == [w.text for w in tested.words]
