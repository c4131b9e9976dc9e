"""The shape in which a text was typed: blank lines, indentation, tabs, lists, fields to fill in."""

import warnings

import numpy as np
import pytest

from cursivetransformer.config import ALPHABET, CursiveError
from cursivetransformer.options import WritingOptions
from cursivetransformer.writing.shape import TAB, Gap, drawn_ink, is_drawn, split_text, takes_rest, tokens_of


def test_words_are_in_order_and_lines_say_where_they_begin():
    words, lines = split_text("one two\nthree\n")
    assert words == ["one", "two", "three"] and [line.first for line in lines] == [0, 2]


def test_blank_lines_are_counted():
    _, lines = split_text("\na\n\n \nb")
    assert [line.blanks for line in lines] == [1, 2]


def test_indentation_and_spaces_are_kept():
    _, (first, second) = split_text("   a  b\nc")
    assert first.indentation == 3 and first.gap(1).spaces == 2 and first.keeps
    assert second.indentation == 0 and not second.keeps
    assert second.gap(7) == Gap()  # beyond what was typed


def test_a_tab_goes_to_the_next_stop_and_makes_a_column():
    tokens = tokens_of("ab\tc")
    assert tokens[1].gap.column == TAB and tokens_of("\ta")[0].gap.spaces == TAB
    _, lines = split_text("a\tb\nlonger\tb")
    assert {line.gap(1).column for line in lines} == {TAB}


def test_three_spaces_make_a_column_and_two_do_not():
    first, second, third = tokens_of("a   b  c")
    assert (second.gap.column, third.gap.column) == (4, None)


def test_a_paragraph_s_tab_indents_its_first_line_only():
    _, lines = split_text("\tparagraph\n  block")
    assert [line.keeps for line in lines] == [False, True]


@pytest.mark.parametrize("mark", ["-", "*", "•", "1.", "12)", "a)"])
def test_marks_of_lists(mark):
    words, (line,) = split_text(f"{mark} bread", None)
    assert line.mark and words[1] == "bread" and is_drawn(words[0]) == (mark in "-*•")


def test_what_is_no_list():
    for text in "one two", "-", "1.", "- ", "1.5 kg":
        assert not split_text(text)[1][0].mark, text


def test_a_dash_of_a_list_is_drawn_though_the_alphabet_has_none():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        words, _ = split_text("- bread\n• salt", ALPHABET)
    assert words == ["-", "bread", "-", "salt"]


def test_a_hyphen_within_a_word_makes_two_words_on_the_same_line():
    with pytest.warns(UserWarning, match="Written as"):
        words, (line,) = split_text("  well-known", ALPHABET)
    assert words == ["well", "known"] and [line.gap(i).spaces for i in (0, 1)] == [2, 1]


def test_what_is_written_otherwise_is_said_once():
    with pytest.warns(UserWarning) as caught:
        words, _ = split_text("café\nnaïve – all", ALPHABET)
    assert len(caught) == 1 and words[:2] == ["cafe", "naive"]


def test_characters_that_cannot_be_written_are_named():
    with pytest.raises(CursiveError, match="'%'"):
        split_text("5 % of it", ALPHABET)


def test_underscores_are_lines_to_fill_in():
    words, _ = split_text("Name ____ Date _", ALPHABET)
    assert words == ["Name", "____", "Date", "_"]
    assert [takes_rest(w) for w in words] == [False, False, False, True]
    assert np.ptp(drawn_ink("____", 0.2)[:, 0]) == pytest.approx(0.8)


def test_a_form_feed_begins_another_sheet():
    _, lines = split_text("a\nb\f\nc\nd")
    assert [line.new_sheet for line in lines] == [False, False, True, False]


def test_lines_are_repeated_and_those_to_trace_said():
    options = WritingOptions(repeat=3, trace="dashed")
    words, lines = split_text("k kk\n\nm", options=options)
    assert words == ["k", "kk"] * 3 + ["m"] * 3
    assert [line.copy for line in lines] == [0, 1, 2] * 2
    assert [line.is_traced for line in lines] == [False, True, True] * 2
    assert [line.blanks for line in lines] == [0, 0, 0, 1, 0, 0]
    (line,) = split_text("k", options=WritingOptions(trace="grey")).lines
    assert line.is_traced  # a single one is for tracing


def test_fields_stand_above_the_text_and_are_never_traced():
    options = WritingOptions(fields="Name, Date", trace="dashed", repeat=2)
    words, lines = split_text("k", ALPHABET, options)
    assert words == ["Name", "_", "Date", "_", "k", "k"]
    assert [line.first for line in lines] == [0, 4, 5] and lines[1].blanks == 1
    assert [line.is_traced for line in lines] == [False, False, True]
    with pytest.raises(CursiveError, match="Name,Date"):
        split_text("k", ALPHABET, WritingOptions(fields="Name,,Date"))


def test_an_empty_text_is_refused():
    for nothing in "", " \n\t\n", "\f":
        with pytest.raises(CursiveError, match="nothing to write"):
            split_text(nothing, ALPHABET)
