"""Words bent and with faults: what changes, and that the text says so."""

import numpy as np
import pytest

from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.distort import (
    LIFT,
    change_dots,
    distort,
    distorted,
    find_dots,
    splice_words,
    through_chain,
    through_polar,
    with_dot_behind,
    with_faults,
    with_second_dot,
    without_dot,
)
from cursivetransformer.ink.points import Word, strokes, with_pen_up

# A stem with a dot above it, and two full stops behind it, in the order in which a hand may draw them.
STEM = np.array([[0.1, -0.12], [0.1, 0.0]])
ABOVE = np.array([[0.1, -0.16], [0.105, -0.155]])
STOP = np.array([[0.2, 0.0], [0.205, 0.005]])
NEXT_STOP = STOP + [0.08, 0]


def word_of(text: str, *drawn: np.ndarray) -> Word:
    return Word(text, np.vstack([with_pen_up(s) for s in drawn]))


@pytest.fixture
def words():
    return load_bank("embedded").words[:20]


def test_words_are_bent_but_stay_words(words):
    inks = [w.points for w in words]
    first, again = (distort(inks, np.random.default_rng(0)) for _ in range(2))
    assert all(np.array_equal(p, q) for p, q in zip(first, again)) and len(first) == 20
    for ink, bent in zip(inks, first):
        assert len(strokes(bent)) == len(strokes(ink)) and np.isfinite(bent).all()
        assert 0.5 < np.ptp(bent[:, 0]) / np.ptp(ink[:, 0]) < 2
        assert abs(bent[:, 1].mean() - ink[:, 1].mean()) < 0.15


@pytest.mark.parametrize(("through", "farthest"), [(through_polar, 0.06), (through_chain, 0.015)])
def test_ink_is_where_it_was_when_it_comes_back_from_tokens(words, through, farthest):
    inks = [w.points for w in words]
    assert through([]) == []
    for ink, back in zip(inks, through(inks), strict=True):
        for before, after in zip(strokes(ink), strokes(back), strict=True):
            ends = before[[0, -1]] - after[[0, -1]]
            ends[:, 0] -= ink[:, 0].min() - back[:, 0].min()
            assert np.abs(ends).max() < farthest


def test_dots_are_found_and_belong_to_their_characters():
    word = word_of("i..", STEM, NEXT_STOP, ABOVE, STOP)
    dots = find_dots(word)
    assert dots.stops == [(3, 1), (1, 2)] and dots.above == [2]
    assert find_dots(word_of("i.", STEM, NEXT_STOP, ABOVE, STOP)).stops == []  # one too many
    assert find_dots(word_of("l.", STEM, ABOVE, STOP)).above == []
    assert find_dots(word_of("i'", STEM, ABOVE)).above == []  # which of them it is, nobody knows


def test_the_text_says_what_happens_to_dots():
    rng = np.random.default_rng(0)
    dots = find_dots(word_of("l.", STEM, STOP))
    less = without_dot(dots, "l.", 0)
    more = with_second_dot(dots, "l.", 0, rng)
    assert (less.text, len(strokes(less.points))) == ("l", 1)
    assert (more.text, len(strokes(more.points))) == ("l..", 3)
    assert find_dots(more).stops == [(1, 1), (2, 2)]
    # Ink behind a dot makes room for a second one.
    dots = find_dots(word_of("l.l", STEM, STOP, STEM + [0.2, 0]))
    more = with_second_dot(dots, "l.l", 0, rng)
    assert more.text == "l..l" and strokes(more.points)[3][0, 0] > 0.3 + 0.05
    added = with_dot_behind(find_dots(word_of("l", STEM)), "l", rng)
    assert added.text == "l." and find_dots(added).stops == [(1, 1)]


def test_dots_change_by_chance_and_never_without_the_text(words):
    rng = np.random.default_rng(0)
    i = word_of("i", STEM, ABOVE)
    counts = {len(strokes(change_dots(i, find_dots(i), rng).points)) for _ in range(200)}
    assert counts == {1, 2, 3}  # its dot goes, comes twice, or stays; or a full stop comes
    word = word_of("l!.", STEM, STOP, NEXT_STOP)
    seen = {change_dots(word, find_dots(word), rng).text for _ in range(200)}
    assert seen == {"l!.", "l!", "l!.."}
    for word in words:
        changed = change_dots(word, find_dots(word), rng)
        assert abs(len(changed.text) - len(word.text)) <= 1


def test_of_two_words_one_may_have_left_the_line_and_is_not_read():
    first = word_of("l", STEM)
    second = word_of("i", STEM, ABOVE)
    rng = np.random.default_rng(0)
    texts = set()
    for _ in range(100):
        both = splice_words(first, second, rng)
        assert len(strokes(both.points)) == 3
        texts.add(both.text)
        lifted = [np.abs(s[:, 1] - t[:, 1]).max() for s, t in zip(strokes(both.points), [STEM, STEM, ABOVE])]
        assert (max(lifted[0], lifted[1]) >= LIFT[0] - 1e-9) == (len(both.text) == 1)
    assert texts == {"li", "l", "i"}


def test_what_a_reader_learns_from_depends_on_the_generator_alone(words):
    dots = [find_dots(w) for w in words]
    for seed in range(8):
        first, again = (distorted(words, dots, np.random.default_rng(seed)) for _ in range(2))
        assert len(first) in (20, 10) and [w.text for w in first] == [w.text for w in again]
        assert all(np.array_equal(a.points, b.points) for a, b in zip(first, again))


def test_faults_are_full_stops_too_few_and_too_many():
    found = with_faults([word_of("l.", STEM, STOP), word_of("l!", STEM, STOP), word_of("l", STEM)])
    assert [w.text for w in found] == ["l", "l.."]
