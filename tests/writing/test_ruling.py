"""Lines of writing on sheets of paper, and how these are ruled."""

import numpy as np
import pytest

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.curves import MM
from cursivetransformer.options import RULINGS, WritingOptions
from cursivetransformer.writing.layout import layout, measures_of
from cursivetransformer.writing.ruling import GRID, SheetFiller, rules_of, sheets_of


def written(options, n=120):
    return layout(load_bank("embedded").words[:n], options)


def places(options, ruling, axis=1):
    "Where the rules of a sheet lie, mm."
    return sorted(
        {round(float(v), 4) for r in rules_of(measures_of(options), ruling) for v in r.points[:, axis]}
    )


A5 = WritingOptions(paper="a5", letter_size=2.0)


def test_every_ruling_lies_between_the_margins():
    for ruling in RULINGS:
        for axis, side in ((0, 148.0), (1, 210.0)):
            lines = places(A5, ruling, axis)
            assert all(14.8 - 1e-3 <= v <= side - 14.8 + 1e-3 for v in lines), ruling
    assert rules_of(measures_of(A5), "plain") == []


def test_writing_stands_on_ruled_lines():
    page = written(A5)
    ruled = places(A5, "ruled")
    assert len(ruled) == measures_of(A5).rows
    for word in page:
        assert min(abs(word.page[1] * MM - y) for y in ruled) < 1e-3


def test_learners_get_four_lines_a_line_of_writing():
    rows = measures_of(A5).rows
    lines = np.array(places(A5, "four-line")).reshape(rows, 4)
    tall, small, writing, tails = lines[0]
    assert writing - small == pytest.approx(2.0)  # the x-height asked for
    assert tall < small < writing < tails and (np.diff(lines[:, 2]) > tails - tall).all()


def test_squares_and_dots_meet_the_writing_line():
    for ruling in "squared", "dotted":
        levels = places(A5, ruling)
        steps = np.diff(levels)
        assert steps == pytest.approx([GRID] * len(steps))
        first = round(measures_of(A5).sheet_and_y(0)[1] * MM, 4)
        assert min(abs(first - y) for y in levels) < 1e-3
    dots = rules_of(measures_of(A5), "dotted")
    assert all(np.array_equal(*dot.points) for dot in dots)


def test_sheets_have_the_size_of_the_paper_also_the_last():
    options = WritingOptions(paper="a6", ruling="ruled")
    sheets = sheets_of(written(options), options)
    assert len(sheets) > 2
    assert {(s.width, s.height) for s in sheets} == {(105.0, 148.0)}
    assert all(len(s.rules) == len(sheets[0].rules) > 0 for s in sheets)
    assert sum(len(s.words) for s in sheets) == 120


def test_an_empty_sheet_between_others_is_there():
    options = WritingOptions(paper="a6")
    page = layout(load_bank("embedded").words[:2], options)
    page[1].sheet = 2
    assert [len(s.words) for s in sheets_of(page, options)] == [1, 0, 1]


def test_sheets_are_handed_on_when_they_are_full():
    options = WritingOptions(paper="a6")
    page = written(options)
    sheets = []
    filler = SheetFiller(options, sheets.append)
    first_of_second = next(i for i, w in enumerate(page) if w.sheet == 1)
    filler(page[:first_of_second])
    assert not sheets
    filler(page[first_of_second : first_of_second + 1])
    assert len(sheets) == 1 and len(sheets[0].words) == first_of_second


def test_a_strip_is_handed_on_line_by_line():
    sheets = []
    filler = SheetFiller(WritingOptions(), sheets.append)
    filler(written(WritingOptions(), 3))
    assert len(sheets) == 1 and not sheets[0].has_size
    filler.turn()
    assert len(sheets) == 1


def test_a_ruling_needs_a_paper_and_so_do_sheets():
    with pytest.raises(CursiveError, match="needs a paper"):
        SheetFiller(WritingOptions(ruling="dotted"), None)
    with pytest.raises(CursiveError, match="several sheets"):
        sheets_of(written(WritingOptions(paper="a6")), WritingOptions())
