"""The fixed lists: as many as the goals say, and in the original's alphabet."""

from cursivetransformer.config import ALPHABET
from cursivetransformer.study.texts import (
    LONG_WORDS,
    SENTENCES,
    WORDS_WITH_COMMAS,
    WORDS_WITH_STOPS,
    fixed_lists,
    lists_digest,
)


def test_the_lists_are_what_the_goals_count():
    lists = fixed_lists()
    assert len(set(SENTENCES)) == 40 and set("".join(SENTENCES)) == set(ALPHABET)
    assert len(set(LONG_WORDS)) == 20 and all(23 <= len(w) <= 45 and w.isascii() for w in LONG_WORDS)
    assert len(set(WORDS_WITH_STOPS)) == 8 and len(lists.stops) == len(lists.commas) == 112
    assert all("." in w for w in WORDS_WITH_STOPS) and all(w.endswith("t,") for w in WORDS_WITH_COMMAS)
    assert set("".join(word for words in lists for word in words)) == set(ALPHABET) - {" "}


def test_a_tenth_is_a_tenth():
    whole = fixed_lists()
    tenth = fixed_lists(quick=True)
    for name, words in tenth._asdict().items():
        assert 0 < len(words) <= len(getattr(whole, name)) // 7
        assert set(words) <= set(getattr(whole, name))


def test_the_lists_are_those_of_this_edition():
    "Figures made with other lists do not compare: whoever changes them says so in the CHANGELOG."
    assert lists_digest() == "2ab8a0477d1904ab"
