"A person is as near to themselves as chance has it, and whoever writes otherwise is told."

import numpy as np
import pytest

from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.writers import BOX, Hand, fonts_to_write
from cursivetransformer.ink.points import scale, shear
from cursivetransformer.study.distances import DISTANCES, Measured, measure_words
from cursivetransformer.study.letters import Pair
from cursivetransformer.study.likeness import likeness
from cursivetransformer.writing.reader import load_reader

TEXTS = [w.text for w in load_bank("embedded").words if w.text.islower()][:60]


def written(number: int, seed: int) -> list:
    "The texts in the hand of a writer of the box."
    hand = Hand(BOX[number], fonts_to_write())
    rng = np.random.default_rng(seed)
    return [hand.write(text, rng).points for text in TEXTS]


@pytest.fixture(scope="module")
def reader():
    return load_reader()


@pytest.fixture(scope="module")
def person(reader):
    return measure_words(written(5, 0), TEXTS, reader)


def compared(person, inks, reader):
    return likeness(person, measure_words(inks, TEXTS, reader), np.random.default_rng(0), 40)


def test_a_person_is_once_as_far_from_themselves(person, reader):
    same = likeness(person, person, np.random.default_rng(0), 40)
    assert np.allclose(same.ratios, 1) and same.mean == pytest.approx(1) and same.mean_chance > 1
    again = compared(person, written(5, 1), reader)
    assert 0.7 < again.mean < 1.3 and again.words == len(TEXTS)


def test_another_writer_is_many_times_as_far(person, reader):
    assert compared(person, written(6, 1), reader).mean > 2


def test_the_worst_distance_is_named(person, reader):
    leaning = compared(person, [shear(ink, -0.4) for ink in written(5, 1)], reader)
    assert DISTANCES[leaning.worst] == "slant" and leaning.ratios[leaning.worst] > 2
    wide = compared(person, [scale(ink, 1.4, 1) for ink in written(5, 1)], reader)
    assert wide.ratios[DISTANCES.index("width a character")] > 1.3
    assert f"{leaning.ratios[0]:8.2f}" in str(leaning) and str(leaning).count("\n") == 8


def test_who_never_lifts_the_pen_divides_nothing_by_nothing():
    shapes = np.random.default_rng(1).standard_normal((40, 5))
    joined = Measured(shapes, [[Pair("an", None)]] * 40)
    apart = Measured(shapes, [[Pair("an", 0.1)]] * 40)
    found = likeness(joined, apart, np.random.default_rng(0), 10)
    assert found.ratios[5] == pytest.approx(20 / 3)  # every pair, of 20 that each half has
    assert np.isnan(found.ratios[6]) and np.isfinite(found.mean)
    assert likeness(joined, joined, np.random.default_rng(0), 10).ratios[5] == 0
