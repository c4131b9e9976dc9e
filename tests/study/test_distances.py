"""Seven distances of hands: of a hand from itself, and of ink that differs in one thing."""

import math

import numpy as np
import pytest

from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import scale, shear
from cursivetransformer.study.distances import (
    DISTANCES,
    Measured,
    against_chance,
    compare_joining,
    measure_words,
)
from cursivetransformer.study.letters import Pair
from cursivetransformer.writing.reader import load_reader


@pytest.fixture(scope="module")
def words():
    return load_bank("embedded").words[:60]


@pytest.fixture(scope="module")
def font(words):
    return measured(words, lambda points: points)


def measured(words, change) -> Measured:
    return measure_words([change(w.points) for w in words], [w.text for w in words], load_reader())


def beyond(human: Measured, model: Measured) -> set:
    "What is farther apart than most human halves."
    found = against_chance(human, model, np.random.default_rng(0), 40)
    return {name for name, is_far in zip(DISTANCES, found.model > found.limit) if is_far}


def test_a_hand_is_as_near_to_itself_as_chance_has_it(font):
    found = against_chance(font, font, np.random.default_rng(0), 40)
    assert len(DISTANCES) == 7 and all(part.shape == (7,) for part in found)
    assert np.allclose(found.model, found.human) and (found.human < found.limit).all()


def test_what_differs_is_told(words, font):
    assert "slant" in beyond(font, measured(words, lambda points: shear(points, -0.3)))
    wider = beyond(font, measured(words, lambda points: scale(points, 1.5, 1)))
    assert "width a character" in wider
    assert "slant" not in beyond(font, measured(words, lambda points: points + [0.1, 0, 0]))


def test_joining_is_compared_pair_by_pair():
    joined = [[Pair("an", None), Pair("nd", None)]] * 3
    apart = [[Pair("an", 0.1), Pair("nd", None)]] * 3
    assert compare_joining(joined, joined) == (0, 6)
    assert compare_joining(joined, apart) == (0.5, 6)
    # A pair counts as often as in the set that has fewer of it, and others do not count.
    assert compare_joining([*joined, [Pair("nd", None)] * 9], apart) == (0.5, 6)
    assert compare_joining(joined, [*apart, [Pair("xy", None)]]) == (0.5, 6)
    assert math.isnan(compare_joining(joined, [[Pair("xy", None)]]).distance)


def test_joins_and_gaps_of_a_hand_are_told(font):
    lifted = [[pair._replace(gap=0.3) for pair in word] for word in font.pairs]
    far = beyond(font, Measured(font.shapes, lifted))
    assert far == {"pairs of letters joined", "gap where not joined"}


def test_a_hand_without_exceptions_leaves_room_for_some():
    shapes = np.random.default_rng(1).standard_normal((60, 5))
    always = Measured(shapes, [[Pair("an", None), Pair("ti", 0.1)]] * 60)
    found = against_chance(always, always, np.random.default_rng(0), 10)
    assert found.human[5] == 0 and found.limit[5] == pytest.approx(3 / 60)
