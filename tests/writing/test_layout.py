"""Words on lines and sheets of paper, in millimetres: what fits, what is refused, how even it is."""

import dataclasses

import numpy as np
import pytest

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.curves import MM, on_page
from cursivetransformer.ink.points import Word, with_pen_up
from cursivetransformer.options import CANVAS_HEIGHT, GenerationParams, WritingOptions
from cursivetransformer.writing.layout import (
    DESCENT,
    X_HEIGHT,
    layout,
    line_starts,
    margins_of,
    measures_of,
    set_lines,
)
from cursivetransformer.writing.shape import drawn_ink, is_drawn, split_text


def wide(width, text="w"):
    return Word(text, np.array([[0, -0.1, 1], [width, 0, 1], [width, 0, 0]]))


WIDE = [wide(1.0), wide(1.5), wide(2.0), wide(4.0), wide(0.5)]


def bars(text, options=None):
    "A page of bars, a tenth of a canvas height a letter."
    typed = split_text(text, options=options)
    words = [Word(w, drawn_ink(w, 0.16)) if is_drawn(w) else wide(0.1 * len(w), w) for w in typed.words]
    return layout(words, options, typed.lines)


def even(**options):
    return WritingOptions(unevenness=0.0, **options)


def left_edges(page):
    "Of every line, from the left edge of lines, mm."
    return [round(page[i].page[0] * MM, 6) for i in (0, *line_starts(page))]


# Lines


def test_layout():
    options = even(width=75.0, line_height=17.5, word_space=5.0, first_line=10.0)
    page = layout([dataclasses.replace(w, page=None) for w in WIDE], options)
    assert [w.page[1] for w in page] == pytest.approx([0.4, 0.4, 1.1, 1.8, 2.5])
    assert page[1].page[0] == pytest.approx(1.2)
    assert all(on_page(w)[:, 0].max() <= 3.0 for w in page if np.ptp(w.points[:, 0]) <= 3)
    assert page[3].page[0] == 0  # wider than the line: alone on one
    assert layout(WIDE, options, breaks=(1,))[1].page == (0.0, pytest.approx(1.1))


def test_a_page_by_the_original_s_names_is_the_same():
    names = dict(sentence_line_width=3.0, sentence_line_height=0.7, space_width=0.2, letter_height=0.4)
    ours = even(width=75.0, line_height=17.5, word_space=5.0, first_line=10.0)
    theirs = layout(WIDE, GenerationParams(**names))
    assert [w.page for w in theirs] == [w.page for w in layout(WIDE, ours)]


def test_a_canvas_height_has_one_length():
    assert CANVAS_HEIGHT == MM


def test_lines_come_as_they_are_full():
    taken = []

    def words():
        for word in WIDE:
            taken.append(word)
            yield word

    lines = set_lines(words(), even(width=75.0))
    next(lines)
    assert len(taken) == 3  # the two of the line, and the one that did not fit


# The text's own shape


def test_blank_lines_and_indentation_are_kept():
    page = bars("a\n\n\n    b", even())
    rows = [w.page[1] for w in page]
    assert rows[1] - rows[0] == pytest.approx(3 * 0.6) and page[1].page[0] == pytest.approx(4 * 0.16)


def test_tabs_stand_in_columns():
    page = bars("a\tb\nabcd\tb\n\tb", even())
    places = [w.page[0] for w in page if w.text == "b"]
    assert places == pytest.approx([8 * 0.16] * 3)


def test_a_list_hangs_behind_its_mark():
    page = bars("  - " + " ".join(["word"] * 30), even(width=100.0))
    starts = line_starts(page)
    assert len(starts) > 1
    assert all(page[i].page[0] == pytest.approx(page[1].page[0]) for i in starts)


def test_a_block_keeps_its_indentation_and_a_paragraph_s_tab_is_for_its_first_line():
    text = " ".join(["word"] * 20)
    block = left_edges(bars("    " + text, even(width=100.0)))
    assert len(block) > 2 and block == pytest.approx([16.0] * len(block))
    first, *others = left_edges(bars("\t" + text, even(width=100.0)))
    assert first == pytest.approx(32.0) and others == [0.0] * len(others)


def test_a_line_typed_beyond_the_edge_ends_at_the_edge():
    page = bars(" " * 100 + "27 November", even(width=100.0))
    assert not line_starts(page)
    assert on_page(page[-1])[:, 0].max() == pytest.approx(4.0)


def test_alignment():
    text = " ".join(["word"] * 12)
    ends = {}
    for align in "left", "right", "center", "justify":
        page = bars(text, even(width=110.0, align=align))
        rows = np.split(np.arange(12), line_starts(page))
        ends[align] = [(page[r[0]].page[0], on_page(page[r[-1]])[:, 0].max()) for r in rows]
    assert all(begin == 0 for begin, _ in ends["left"])
    assert all(end == pytest.approx(4.4) for _, end in ends["right"])
    assert all(begin == pytest.approx(4.4 - end) for begin, end in ends["center"])
    assert ends["justify"][0] == pytest.approx((0, 4.4)) and ends["justify"][-1] == ends["left"][-1]


def test_a_line_that_begins_with_spaces_keeps_its_place():
    for align in "right", "center", "justify":
        assert bars("    word", even(align=align))[0].page[0] == pytest.approx(0.64)


def test_fields_take_what_is_left_of_the_line():
    page = bars("k", even(fields="Name,Date", width=100.0))
    name, line, date, last = page[:4]
    assert on_page(last)[:, 0].max() == pytest.approx(4.0)
    assert np.ptp(line.points[:, 0]) == pytest.approx(np.ptp(last.points[:, 0]))


# Paper


def test_lengths_are_millimetres_of_paper():
    options = even(paper="a5", margin="20,15,25,30", line_height=10.0, first_line=12.0)
    page = bars("a b\nc", options)
    assert (np.array(page[0].page) * MM).tolist() == pytest.approx([30.0, 32.0])
    assert page[2].page[1] * MM == pytest.approx(42.0)
    measures = measures_of(options)
    assert measures.width * MM == pytest.approx(148 - 45) and measures.paper == (148.0, 210.0)


def test_letters_are_sized_by_their_x_height():
    x = Word("x", with_pen_up(np.array([[0, 0], [0.1, -X_HEIGHT]])))
    (word,) = layout([x], even(letter_size=4.0))
    assert np.ptp(word.points[:, 1]) * MM == pytest.approx(4.0)
    small = measures_of(even(letter_size=X_HEIGHT * MM / 2))
    usual = measures_of(even())
    for name in "line_height", "word_space", "first_line":  # follow the letters where they are open
        assert getattr(small, name) == pytest.approx(getattr(usual, name) / 2)
    assert measures_of(even(letter_size=1.0, line_height=9.0)).line_height * MM == pytest.approx(9.0)


def test_the_x_height_is_that_of_the_bundled_hand(default):
    from cursivetransformer.study.letters import find_letters, x_height
    from cursivetransformer.writing.reader import load_reader
    from cursivetransformer.writing.spelling import generate_words

    words = "summer window common season answer ocean error means nervous room scenes career seven".split()
    found = find_letters(load_reader(), generate_words(default, words), words)
    heights = [x_height(letters) for letters in found if letters]
    assert np.nanmedian(heights) == pytest.approx(X_HEIGHT, rel=0.1)


def test_text_flows_over_sheets_of_one_size():
    options = even(paper="a6", line_height=10.0)
    measures = measures_of(options)
    page = bars("\n".join(["word"] * (2 * measures.rows + 1)), options)
    sheets = [w.sheet for w in page]
    assert sheets == sorted(sheets) and sheets.count(0) == sheets.count(1) == measures.rows
    assert page[measures.rows].page == page[0].page  # at the top of the next
    lowest = max(w.page[1] for w in page) + DESCENT
    assert lowest * MM <= 148 - 10.5 + 1e-6
    assert [measures.row_of(w) for w in page] == list(range(len(page)))


def test_a_form_feed_turns_the_page():
    page = bars("a\fb", even(paper="a6"))
    assert [w.sheet for w in page] == [0, 1]


def test_landscape_turns_the_paper():
    assert measures_of(even(paper="a5", landscape=True)).paper == (210.0, 148.0)


def test_margins():
    assert margins_of(3.0) == margins_of("3") == (3.0,) * 4
    assert margins_of("1,2,3,4") == (1.0, 2.0, 3.0, 4.0)
    for wrong in "1,2", "a", "-1", "1,2,3,inf":
        with pytest.raises(CursiveError, match="TOP,RIGHT,BOTTOM,LEFT"):
            margins_of(wrong)
    a4 = measures_of(even(paper="a4"))
    assert a4.left * MM == pytest.approx(21.0) == a4.top * MM


@pytest.mark.parametrize("paper, lines", [("c6", 5), ("dl", 5), ("com10", 4)])
def test_an_address_stands_where_the_post_looks_for_it(paper, lines):
    page = bars("\n".join(["Somebody Someone"] * lines), even(paper=paper))
    width, height = measures_of(even(paper=paper)).paper
    ink = np.vstack([on_page(w)[:, :2] for w in page]) * MM
    left, top = ink.min(0)
    right, bottom = ink.max(0)
    assert left >= 0.4 * width - 1e-6 and top >= 40 and right <= width - 15 and bottom <= height - 15


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(paper="a6", margin=60), "margins are larger than the paper"),
        (dict(paper="a6", letter_size=60.0), "smaller"),
        (dict(paper="a6", width=200.0), "does not fit"),
        (dict(paper="a9"), "no paper"),
        (dict(paper="50x500", margin="5,24,5,24", letter_size=2.75), "Not a letter"),
    ],
)
def test_what_does_not_fit_is_refused(options, says):
    with pytest.raises(CursiveError, match=says):
        measures_of(WritingOptions(**options))


def test_a_word_wider_than_the_line_of_a_paper_is_named():
    with pytest.raises(CursiveError, match="Word 1 'w' is 100 mm wide, and a line has 84"):
        layout([wide(1.0), wide(4.0)], even(paper="a6"))


def test_an_envelope_has_one_side():
    with pytest.raises(CursiveError, match="envelope"):
        bars("\n".join(["word"] * 12), even(paper="c6"))


# Not quite even


@pytest.fixture
def words():
    return load_bank("embedded").words[:30]


def test_a_hand_is_a_little_uneven_unless_it_is_told_not_to(words):
    ruled = layout(words, even())
    hand = layout(words, WritingOptions())
    moved = [np.abs(on_page(a) - on_page(b))[:, 1].max() * MM for a, b in zip(hand, ruled)]
    assert 0.2 < max(moved) < 2.0  # mm: to be seen, and no more
    assert len({w.page[0] for w in hand if w.page[1] != hand[0].page[1]}) > 1
    for plain in GenerationParams(), even():
        again = layout(words, plain)
        assert all(np.array_equal(a.points, b.points) and a.page == b.page for a, b in zip(again, ruled))


def test_learners_have_even_lines_unless_it_is_said(words):
    for how in dict(ruling="four-line"), dict(trace="dashed"):
        options = WritingOptions(paper="a5", **how)
        assert measures_of(options).unevenness == 0
        assert measures_of(dataclasses.replace(options, unevenness=2.0)).unevenness == 2.0
    assert measures_of(WritingOptions(paper="a5", ruling="ruled")).unevenness == 1


def test_unevenness_goes_by_the_seed_and_can_be_set(words):
    def ink(**options):
        return np.vstack([on_page(w) for w in layout(words, WritingOptions(**options))])

    assert np.array_equal(ink(seed=1), ink(seed=1)) and not np.array_equal(ink(seed=1), ink(seed=2))
    off = [np.abs(ink(unevenness=u) - ink(unevenness=0.0))[:, 1].mean() for u in (0.5, 1.0, 2.0)]
    assert off == sorted(off)


def test_unevenness_stays_between_the_margins(words):
    options = WritingOptions(paper="a5", unevenness=2.0, seed=4, letter_size=2.0)
    for align in "left", "justify", "right":
        page = layout(words, dataclasses.replace(options, align=align))
        ink = np.hstack([on_page(w)[:, 0] for w in page])
        assert ink.min() * MM >= 14.8 - 1e-6 and ink.max() * MM <= 148 - 14.8 + 1e-3


def test_words_of_a_line_share_its_writing_line(words):
    page = layout(words, WritingOptions(unevenness=3.0))
    assert len({w.page[1] for w in page}) == len(line_starts(page)) + 1
