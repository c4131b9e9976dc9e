"""The report says what came out, shows what it is given, and runs nothing."""

import dataclasses
import re

from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.config import ALPHABET
from cursivetransformer.data.banks import load_bank
from cursivetransformer.training.report import (
    LONGEST,
    NEXT,
    CloneReport,
    LetterCount,
    count_letters,
    report_html,
    words_to_write,
)
from cursivetransformer.writing.reader import compare

WORDS = load_bank("embedded").words[:50]
PLACED = [dataclasses.replace(w, page=(60.0 * i, 20.0)) for i, w in enumerate(WORDS[:3])]


def test_letters_are_counted_and_those_that_need_more_come_first():
    learned = [dataclasses.replace(WORDS[0], text=text) for text in ("good", "dog", "deed")]
    counts = {
        c.character: c for c in count_letters(learned, compare(["good", "gd"], ["qood", "qd"]), "dogx ")
    }
    assert set(counts) == set("dogx")
    assert counts["g"] == LetterCount("g", shown=2, asked=2, misread=2)
    assert counts["o"] == LetterCount("o", shown=3, asked=2, misread=0)
    assert counts["x"] == LetterCount("x", shown=0, asked=0, misread=0)
    assert counts["x"].need > counts["g"].need > counts["o"].need > counts["d"].need


def test_words_to_write_hold_the_letters_that_need_more():
    counts = [LetterCount(c, shown=30, asked=20, misread=15 * (c in "gk")) for c in ALPHABET if c != " "]
    words = words_to_write(counts, ["keg"])
    assert len(words) == len(set(words)) == NEXT and "keg" not in words
    assert all(len(word) <= LONGEST for word in words)
    assert sum("g" in word.lower() or "k" in word.lower() for word in words[:6]) >= 5


def test_a_report_stands_alone():
    counts = count_letters(WORDS, compare(["good"], ["qood"]), ALPHABET)
    page = report_html(CloneReport("Ada", {"misread": "3 %"}, PLACED, counts, ["keg", "dog"]))
    assert page.startswith("<!DOCTYPE html>") and "<svg" in page and "<?xml" not in page
    assert "The hand of Ada" in page and "3 %" in page and "keg dog" in page
    assert "default-src 'none'" in page and not re.search(r"<script|https?://(?!www\.w3\.org/)", page)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_what_names_and_texts_hold_is_shown_not_run(text):
    told = "<script>alert(1)</script>" + text
    counts = [LetterCount("<", 1, 1, 1)]
    page = report_html(CloneReport(told, {told: told}, PLACED, counts, [told]))
    assert "<script" not in page and "<th>&lt;</th>" in page
