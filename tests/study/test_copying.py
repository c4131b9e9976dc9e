"A copied word is found, what the person wrote another time is not taken for one, nor what another wrote."

import dataclasses

import numpy as np
import pytest

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.writers import BOX, Hand, fonts_to_write
from cursivetransformer.ink.points import rotate, scale
from cursivetransformer.study.copying import (
    BAND,
    POINTS,
    Piece,
    copies,
    copying,
    nearest,
    outline,
    pairs_of_letters,
    warped,
    whole_words,
    written_twice,
)
from cursivetransformer.study.trials import through_tokens
from cursivetransformer.writing.reader import load_reader

TEXTS = [w.text for w in load_bank("embedded").words if len(w.text) > 2][:40]
CONFIG = preset("default")


def plainly_warped(a, b):
    "The same as `warped`, for one pair, cell by cell."
    n = len(a)
    best = np.full((n + 1, n + 1), np.inf)
    best[0, 0] = 0
    for i in range(n):
        for j in range(n):
            if abs(i - j) <= BAND:
                apart = np.hypot(*(a[i] - b[j]))
                ways = best[i, j] + 2 * apart, best[i, j + 1] + apart, best[i + 1, j] + apart
                best[i + 1, j + 1] = min(ways)
    return best[n, n] / (2 * n)


def test_warping_is_that_of_the_book():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 4, POINTS, 2)).cumsum(2)
    assert np.allclose(warped(a, b), [plainly_warped(x, y) for x, y in zip(a, b)], rtol=1e-4)
    assert np.allclose(warped(a, a), 0, atol=1e-5) and np.allclose(warped(a, b), warped(b, a), rtol=1e-4)


def test_place_and_size_do_not_matter_and_shape_does():
    line = np.cumsum(np.random.default_rng(1).standard_normal((50, 2)), 0)
    assert np.allclose(outline(line), outline(3 * line + [5, -2]))
    assert outline(line).mean(0) == pytest.approx([0, 0]) and np.isclose(
        (outline(line) ** 2).sum(1).mean(), 1
    )
    turned = rotate(np.c_[line, np.ones(50)], 30)[:, :2]
    assert warped(outline(line)[None], outline(turned)[None])[0] > 0.2
    assert np.isfinite(outline(np.zeros((2, 2)))).all()


@pytest.fixture(scope="module")
def words():
    "A writer who writes texts twice: as written, and the same through tokens."
    hand = Hand(BOX[6], fonts_to_write())
    rng = np.random.default_rng(0)
    first, second = ([hand.write(text, rng) for text in TEXTS] for _ in range(2))
    return first, through_tokens(first, CONFIG), through_tokens(second, CONFIG)


def test_a_thief_is_caught_and_the_writer_is_not(words):
    first, learned, again = words
    model = copies(first, CONFIG, np.random.default_rng(1))
    stolen = copies(first, CONFIG, np.random.default_rng(2))
    thief = copying(stolen, learned, model, again, learned)
    assert thief.copies.value == pytest.approx(0.9, abs=0.03) and thief.clone.value > 0.75
    assert thief.person.value < 0.2 and thief.person.low >= 0
    honest = copying(again, learned, model, again, learned)
    assert honest.clone == honest.person and honest.limit == thief.limit
    other = Hand(BOX[4], fonts_to_write())
    strangers = [other.write(text, np.random.default_rng(3)) for text in TEXTS]
    assert copying(through_tokens(strangers, CONFIG), learned, model, again, learned).clone.value < 0.05
    assert f"{thief.clone.value:.1%}" in str(thief)


def test_who_learned_other_texts_is_judged_by_pairs_of_letters(words):
    first, learned, again = words
    reader = load_reader()

    def pieces(some):
        return pairs_of_letters(some, reader)

    half = len(TEXTS) // 2
    model = copies(first, CONFIG, np.random.default_rng(1))[:half]
    stolen = copies(first, CONFIG, np.random.default_rng(2))[:half]
    found = copying(stolen, learned[:half], model, again[half:], learned[:half], pieces)
    assert found.clone.value > 0.8 > 0.6 > found.person.value


def test_a_copy_is_found_however_wide_or_high_it_is(words):
    first, learned, _ = words
    wide = dataclasses.replace(first[0], points=scale(first[0].points, 1.04, 0.97))
    wide = through_tokens([wide], CONFIG)
    far = nearest(whole_words(wide), whole_words(learned))
    assert far[0] < 0.1


def test_what_has_no_counterpart_is_left_out():
    line = outline(np.array([[0.0, 0.0], [1.0, 1.0]]))
    near = nearest([Piece(0, "an", line), Piece(1, "th", line)], [Piece(7, "an", line)])
    assert near == {0: pytest.approx(0)}
    assert nearest([], []) == {}


def test_words_written_twice(words):
    first, again = written_twice([*words[1], *words[2][:3]])
    assert len(first) == len(set(TEXTS)) and len(again) == len(TEXTS) - len(first) + 3
