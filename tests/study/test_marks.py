"""Full stops, commas and heights, on ink that was made to be right or wrong."""

import numpy as np
import pytest
from measure_cases import load_measure

from cursivetransformer.data.banks import load_bank, to_item
from cursivetransformer.ink.points import Word
from cursivetransformer.study.marks import (
    CLEAR,
    comma_distance,
    commas_clear,
    count_dots,
    dots_agree,
    tallest_letter,
    too_high,
    top,
    with_dots_doubled,
    without_dots,
)


def line(*corners) -> np.ndarray:
    "A stroke through some corners, with its pen-up point."
    xy = np.array([*corners, corners[-1]], float)
    return np.column_stack([xy, np.r_[np.ones(len(corners)), 0]])


STEM = line((0.1, -0.2), (0.1, 0))
DOT = line((0.2, 0), (0.21, 0.005))
COMMA = line((0.2, -0.02), (0.18, 0.06))


def test_dots_are_small_and_near_the_line():
    assert count_dots(np.vstack([STEM, DOT])) == 1
    assert count_dots(STEM) == 0
    for off in (0, -0.2), (0, 0.06):
        assert count_dots(np.vstack([STEM, DOT + [*off, 0]])) == 0
    assert count_dots(np.vstack([STEM, line((0.2, 0), (0.26, 0))])) == 0
    tap = np.array([[0.2, 0, 0]])
    assert count_dots(np.vstack([STEM, tap])) == 1
    assert dots_agree(np.vstack([STEM, DOT]), "l.") and not dots_agree(STEM, "l.")
    assert dots_agree(np.vstack([STEM, DOT]), "l?") and dots_agree(STEM, "l,")


def test_dots_are_taken_away_and_doubled():
    ink = np.vstack([STEM, DOT])
    assert count_dots(without_dots(ink)) == 0 and without_dots(ink).tolist() == STEM.tolist()
    assert count_dots(with_dots_doubled(ink)) == 2
    assert without_dots(STEM).tolist() == STEM.tolist() == with_dots_doubled(STEM).tolist()


def test_dots_are_those_of_the_projects_measure(shared):
    theirs = load_measure(shared, "dots")
    words = load_bank("embedded").words
    words += load_bank(str(shared / "data" / "bigbank_3325.json.zip")).words[::5]
    words += [
        Word("made", np.vstack([STEM, DOT])),
        Word("made", np.vstack([STEM, DOT, DOT + [0.1, -0.05, 0]])),
    ]
    ours = [count_dots(w.points) for w in words]
    assert ours == [theirs.dots(to_item(w)) for w in words] and max(ours) > 0


def test_commas_keep_clear_or_not():
    crossbar = line((0.05, -0.12), (0.3, -0.12))
    clear = np.vstack([STEM, crossbar, COMMA])
    assert comma_distance(clear) == pytest.approx(0.09, abs=0.005)
    touching = np.vstack([STEM, crossbar, COMMA - [0.09, 0, 0]])
    assert comma_distance(touching) < CLEAR
    # Its line is crossed between two points that are far from it.
    crossed = np.vstack([line((0.0, 0.02), (0.4, 0.02)), COMMA])
    assert comma_distance(crossed) < CLEAR
    assert commas_clear([clear, touching, crossed, np.vstack([STEM, crossbar])]).tolist() == [True] + 3 * [
        False
    ]


def test_the_comma_is_not_the_dot_of_a_letter():
    high_dot = line((0.3, -0.2), (0.3, -0.19))
    assert comma_distance(np.vstack([STEM, COMMA, high_dot])) == comma_distance(np.vstack([STEM, COMMA]))


def test_ink_above_the_tallest_letter_is_seen():
    words = load_bank("embedded").words
    tallest = tallest_letter(words)
    assert top(STEM) == pytest.approx(0.2) and top(np.zeros((0, 3))) == 0
    assert 0.2 < tallest < 0.3
    inks = [words[0].points, words[0].points - [0, tallest, 0], STEM * [1, 8 * tallest, 1]]
    assert too_high(inks, tallest).tolist() == [False, True, True]
    slip = Word("slip", line((0, 0), (0, -9)))
    assert tallest_letter([*words * 3, slip]) == pytest.approx(tallest, rel=0.05)
