import dataclasses
import warnings

import numpy as np
import pytest

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import WRITING_LINE, load_bank
from cursivetransformer.data.checks import (
    ENOUGH_WORDS,
    check_meant,
    coverage_report,
    letters_hang,
    mistake_in,
    size_of,
    slant_of,
    unlike_the_rest,
    warn_unless_meant,
    warnings_about,
)

WORDS = load_bank("embedded").words


def with_points(change, words=WORDS):
    return [dataclasses.replace(w, points=change(w.points)) for w in words]


def scaled(factor, words=WORDS):
    return with_points(lambda p: p * [factor, factor, 1], words)


def offsets(points):
    "Steps from point to point where places should be, read by a loader that takes them for places."
    steps = np.diff(points[:, :2], axis=0, prepend=points[:1, :2])
    return np.column_stack([steps - [0, WRITING_LINE], points[:, 2]])


WRONG = {
    "pen_down seems to be reversed": lambda p: p * [1, 1, -1] + [0, 0, 1],
    "x and y seem to be pixels": lambda p: p * [600, 100, 1],
    "x and y seem to be steps": offsets,
    "y seems to grow upwards": lambda p: p * [1, -1, 1] + [0, 1 - 2 * WRITING_LINE, 0],
}


@pytest.mark.parametrize("says", WRONG)
def test_banks_that_cannot_be_meant_are_told_from_one_another(says):
    words = with_points(WRONG[says])
    assert mistake_in(words).startswith(says) and mistake_in(words[:30]).startswith(says)
    with pytest.raises(CursiveError, match="The words of Hershey cannot be meant"):
        check_meant([*WORDS, *words][len(WORDS) :])
    with pytest.warns(UserWarning, match=says):
        warn_unless_meant(words)


def test_handwriting_can_be_meant():
    rng = np.random.default_rng(0)
    for _ in range(40):
        some = [WORDS[i] for i in rng.permutation(len(WORDS))[:15]]
        assert mistake_in(some) == "" and not letters_hang(some)
    leaning_back = with_points(lambda p: p + np.c_[p[:, 1] * 0.5, 0 * p[:, :2]])
    assert np.median([slant_of(w) for w in leaning_back]) > 0 and mistake_in(leaning_back) == ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unless_meant(WORDS)
    check_meant(WORDS)


def test_one_wrong_hand_among_others_is_named():
    turned = [dataclasses.replace(w, author="Ada") for w in with_points(lambda p: p * [1, -1, 1])]
    with pytest.raises(CursiveError, match="The words of Ada cannot be meant: y seems to grow upwards"):
        check_meant(WORDS + turned)


def test_size_is_measured_in_what_the_guides_ask():
    by_text = {w.text: w for w in WORDS}
    for text in "one", "all", "time", "Quick", "your":
        assert 0.8 < size_of(by_text[text]) < 1.1
        (half,) = scaled(0.5, [by_text[text]])
        np.testing.assert_allclose(size_of(half), size_of(by_text[text]) / 2, rtol=0.1)


def test_the_published_hands_are_sound(shared, monkeypatch):
    monkeypatch.setenv("CURSIVE_DATA", str(shared / "data"))
    for name in "bigbank_3325", "zachbank_900", "easybank":
        words = load_bank(name).words
        check_meant(words)
        assert all("unlike the rest" in w for w in warnings_about(words))
        assert len(unlike_the_rest(words)) < 0.01 * len(words)


def test_warnings_of_sizes_names_characters_and_odd_words():
    assert warnings_about(WORDS) == []
    (small,) = warnings_about(scaled(0.3))
    assert small.startswith("The writing of Hershey is small: 0.2") and "guides" in small
    assert "is large" in warnings_about(scaled(2.4))[0]
    names = [dataclasses.replace(w, author=a) for a, w in zip(["Ada", "ada ", ""], WORDS)]
    told = warnings_about(names)
    assert "1 words have no author's name" in told[0] and "'Ada', 'ada ' count as 2 hands" in told[1]
    (unknown,) = warnings_about([*WORDS, dataclasses.replace(WORDS[0], text="the±")])
    assert unknown.startswith("1 words hold characters outside every alphabet (±)")
    (odd,) = warnings_about([*WORDS, *scaled(2.5, WORDS[:3])])
    assert "3 words of Hershey are unlike the rest" in odd and "the (size)" in odd
    assert unlike_the_rest([*WORDS[: ENOUGH_WORDS - 2], *scaled(2.5, WORDS[:1])]) == []  # too few to tell


def test_coverage_is_counted_for_each_hand_by_itself():
    ada = [dataclasses.replace(w, author="Ada") for w in WORDS if w.text in ("the", "of")]
    lines = coverage_report(WORDS + ada).splitlines()
    assert lines[0] == "Hershey: 158 words, 70 of 70 characters"
    assert lines[1].startswith("Ada: 2 words, 5 of 70 characters, without n a i")
