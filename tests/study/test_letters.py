"""Where letters lie along the ink, which are joined, how high the small ones are."""

import itertools
import math

import numpy as np
import pytest

from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import scale
from cursivetransformer.study.letters import (
    Letters,
    ctc_path,
    find_letters,
    kind_of_word,
    pairs,
    places,
    x_height,
)
from cursivetransformer.writing.reader import collapse, load_reader


@pytest.fixture(scope="module")
def reader():
    return load_reader()


def every_path(logp: np.ndarray, ids: list) -> float:
    "The likeliest path that spells a text, found by trying all."
    classes = range(logp.shape[1])
    paths = itertools.product(classes, repeat=len(logp))
    spelled = [path for path in paths if collapse(np.array(path)).tolist() == ids]
    return max((sum(row[c] for row, c in zip(logp, path)) for path in spelled), default=-math.inf)


def test_the_path_is_the_likeliest_that_spells_the_text():
    rng = np.random.default_rng(0)
    for ids in ([1], [1, 2], [1, 1], [2, 1, 2], [1, 1, 1], [1, 2, 2, 1]):
        logp = np.log(rng.dirichlet(np.ones(3), 5))
        best = every_path(logp, ids)
        path = ctc_path(logp, ids)
        assert (path is None) == (best == -math.inf)
        if path is not None:
            classes = np.array([0 if state % 2 == 0 else ids[state // 2] for state in path])
            assert collapse(classes).tolist() == ids
            assert logp[np.arange(5), classes].sum() == pytest.approx(best)
    assert ctc_path(np.log(np.full((2, 3), 1 / 3)), [1, 1]) is None


def test_letters_lie_in_order_and_fill_the_word(reader):
    words = load_bank("embedded").words[:30]
    for word, found in zip(words, find_letters(reader, [w.points for w in words], [w.text for w in words])):
        assert found.text == word.text and len(found.peaks) == len(word.text)
        assert (np.diff(found.peaks) > 0).all() and (np.diff(found.bounds) > 0).all()
        assert found.bounds[0] == 0 and found.bounds[-1] == len(found.points)
        assert ((found.bounds[:-1] <= found.peaks) & (found.peaks < found.bounds[1:])).all()


def test_what_cannot_be_spelled_or_is_too_short_is_left_out(reader):
    words = load_bank("embedded").words
    dot = np.array([[0, 0, 1], [0.001, 0, 1], [0.001, 0, 0.0]])
    found = find_letters(
        reader, [words[0].points, words[1].points, dot], [words[0].text, "né", "encyclopedia"]
    )
    assert found[0].text == words[0].text and found[1:] == [None, None]
    assert find_letters(reader, [], []) == []
    assert places("", dot, np.zeros((3, 4)), []) is None


def two_letters(lifted: bool) -> Letters:
    "Two short lines, one behind the other, 0.05 apart; the pen is lifted between them or not."
    x = np.array([0, 0.05, 0.1, 0.1, 0.15, 0.2, 0.25, 0.25])
    down = np.ones(8)
    down[[3, 7]] = 0 if lifted else 1
    points = np.column_stack([x, np.zeros(8), down])
    return Letters("ab", points, np.array([1, 5]), np.array([0, 4, 8]))


def test_letters_are_joined_or_have_a_gap():
    assert [pair.gap for pair in pairs(two_letters(lifted=False))] == [None]
    (pair,) = pairs(two_letters(lifted=True))
    assert pair.letters == "ab" and pair.gap == pytest.approx(0.05)


def test_joins_of_a_font_whose_pen_stays_down_between_some_letters(reader):
    words = {w.text: w.points for w in load_bank("embedded").words}
    joined, apart = find_letters(reader, [words["number"], words["4567"]], ["number", "4567"])
    # Where its letters are, for this font's are in places that a reader of hands is not sure of.
    down = np.flatnonzero(joined.points[:, 2] != 0)
    right_of = joined.points[down, 0]
    peaks = down[[np.abs(right_of - x).argmin() for x in (0.1, 0.25, 0.55, 0.7, 0.87, 1.0)]]
    middles = (peaks[1:] + peaks[:-1] + 1) // 2
    joined = joined._replace(peaks=peaks, bounds=np.concatenate([[0], middles, [len(joined.points)]]))
    assert [pair.letters for pair in pairs(joined) if pair.gap is None] == ["nu", "mb", "er"]
    assert all(pair.gap > 0.03 for pair in pairs(apart))


def test_x_height_is_of_small_letters_and_grows_with_them(reader):
    words = {w.text: w.points for w in load_bank("embedded").words}
    texts = ["sentence", "Zebra", "my", "4567"]
    inks = [words["sentence"], words["Zebra"], words["my"], words["4567"]]
    plain, capital, short, none = [x_height(word) for word in find_letters(reader, inks, texts)]
    assert plain == pytest.approx(0.1, abs=0.03) and capital == pytest.approx(plain, rel=0.15)
    assert math.isnan(short) and math.isnan(none)
    lower = scale(words["sentence"], 1, 0.9)
    (found,) = find_letters(reader, [lower], ["sentence"])
    assert x_height(found) == pytest.approx(0.9 * plain, rel=0.03)


def test_kinds_of_words():
    texts = ["anger", "it's", "Hades,", '"Vex"', "KLMN", "A", "10,23"]
    assert [kind_of_word(t) for t in texts] == 2 * ["plain"] + 2 * ["capitalised"] + 3 * ["other"]
