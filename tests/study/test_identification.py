"Who wrote a word is known by the words of all that are there, and a stranger is not taken for the person."

import dataclasses

import numpy as np
import pytest

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import scale, shear
from cursivetransformer.study.identification import (
    direction_weights,
    hellinger,
    identify,
    look_at,
    second_half,
    words_of_box,
)

TEXTS = [w.text for w in load_bank("embedded").words][:40]


@pytest.fixture(scope="module")
def box():
    "What the writers in the box wrote, and what they wrote another time."
    config = preset("default")
    return words_of_box(TEXTS, config), words_of_box(TEXTS, config, seed=1)


def asked(box, name, learned=12):
    "Whose the words of a writer are, who is taken for a clone of `tidy`."
    words, again = box
    person = words["tidy"]
    others = {other: words[other] for other in ("round", "italic", "hasty", "print")}
    return identify(person[:learned], person[learned:], again[name][learned:], others)


def test_the_same_hand_is_known_again_and_another_is_not_taken_for_it(box):
    same = asked(box, "tidy")
    assert same.clone.value > 0.9 and same.person.value > 0.9 and same.others.value > 0.9
    assert same.words == 28 and sum(same.taken_for.values()) == 28
    assert list(same.taken_for) == ["the person", "round", "italic", "hasty", "print"]
    other = asked(box, "hasty")  # who is among the others
    assert other.clone.value < 0.1 and other.taken_for["hasty"] > 25
    assert f"{other.taken_for['hasty']} hasty" in str(other)
    stranger = asked(box, "narrow")  # who has to be given to somebody
    assert stranger.clone.high < stranger.person.value


def test_a_clone_that_learned_from_few_words_is_asked_all_the_same(box):
    assert asked(box, "tidy", learned=0).clone.value > 0.8
    with pytest.raises(CursiveError, match="8 held-out words or more and another hand"):
        identify(box[0]["tidy"], box[0]["tidy"][:3], [], {"hasty": box[0]["hasty"]})
    with pytest.raises(CursiveError, match="0 hands"):
        identify([], box[0]["tidy"], box[1]["tidy"], {})


def test_the_answer_does_not_depend_on_chance(box):
    assert asked(box, "tidy") == asked(box, "tidy")


def test_no_text_is_on_both_sides(box):
    half = second_half(box[0]["tidy"])
    assert len(half) == len(set(TEXTS)) and sum(half.values()) == len(half) // 2
    assert half == second_half(box[0]["tidy"][::-1])


def test_slant_and_width_are_seen(box):
    word = box[0]["tidy"][0]
    seen = look_at(word)
    assert np.isfinite(seen).all()
    leaning = look_at(dataclasses.replace(word, points=shear(word.points, -0.3)))
    wide = look_at(dataclasses.replace(word, points=scale(word.points, 1.5, 1)))
    assert np.abs(seen - leaning).max() > 0.1 < np.abs(seen - wide).max()


def test_histograms_are_shares():
    weights = direction_weights(np.array([0, np.pi / 12, -np.pi / 6, 2 * np.pi - 1e-12]))
    assert np.allclose(weights.sum(1), 1)
    assert (
        np.allclose(weights[0, 0], 1) and np.allclose(weights[1, :2], 0.5) and np.allclose(weights[2, 11], 1)
    )
    assert np.allclose((hellinger(np.array([[1, 3], [0, 5.0]])) ** 2).sum(), 1)
    assert np.allclose(hellinger(np.zeros(3)), 0)
