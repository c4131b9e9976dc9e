import dataclasses

import numpy as np
import pytest
from ink_cases import lines, page, taps, words_of

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import MM, flatten
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.sheets import (
    PAPERS,
    TAP,
    Motion,
    OnePage,
    Plotter,
    Rule,
    Sheet,
    Style,
    WordStyle,
    box_of_sheet,
    color_of,
    dashed,
    ink_box,
    is_grey,
    lines_of,
    paper_size,
    pen_strokes,
    restyle,
    text_of_words,
    xml_text,
)

# What is asked for


@pytest.mark.parametrize(
    "color, rgb",
    [("#fff", (255, 255, 255)), ("#1F3a93", (31, 58, 147)), (" Navy ", (0, 0, 128)), ("dimgrey", (105,) * 3)],
)
def test_colours_are_those_of_web_pages(color, rgb):
    assert color_of(color) == rgb
    assert is_grey(color) == (len(set(rgb)) == 1)


@pytest.mark.parametrize(
    "color",
    [
        '"/><script>alert(1)</script>',
        "#12",
        "#12345",
        "#gggggg",
        "",
        "none",
        "rgb(1,2,3)",
        "url(#a)",
        None,
        7,
        "C0",
    ],
)
def test_what_is_no_colour_is_refused_wherever_it_is_asked_for(color):
    with pytest.raises(CursiveError, match="is no colour"):
        Style(color=color)
    for make in (lambda: Rule(np.zeros((2, 2)), color=color), lambda: color_of(color)):
        with pytest.raises(CursiveError, match="is no colour"):
            make()
    if color != "none":
        for make in (lambda: Style(background=color), lambda: Motion(tip=color)):
            with pytest.raises(CursiveError, match="is no colour"):
                make()
    if color is not None:
        with pytest.raises(CursiveError, match="is no colour"):
            restyle(page(), color=color)


def test_colours_are_kept_as_every_program_knows_them():
    assert (Style(color=" Navy ", background="#FFF").color, Style(background="#FFF").background) == (
        "navy",
        "#fff",
    )
    assert WordStyle(color="RED").color == "red" and Motion(tip="none").tip == "none"
    assert Rule(np.zeros((2, 2)), color="DimGrey").color == "dimgrey"


def test_a_misspelled_colour_gets_a_hint():
    with pytest.raises(CursiveError, match="navy"):
        color_of("nawy")


@pytest.mark.parametrize(
    "kind, wrong, says",
    [
        (Style, dict(stroke_width=-1), "stroke_width must be a number above 0"),
        (Style, dict(stroke_width=0), "above 0"),
        (Style, dict(stroke_width=float("nan")), "stroke_width"),
        (Style, dict(stroke_width=True), "stroke_width"),
        (Style, dict(stroke_width="0.4"), "stroke_width"),
        (Style, dict(pen="quill"), "ball, fountain, brush"),
        (Style, dict(margin=-1), "margin must be a number from 0"),
        (Style, dict(dpi=0), "dpi"),
        (Style, dict(dash=(1,)), "dashes and gaps in turn"),
        (Style, dict(dash=(1, 0)), "every length of a dash"),
        (Style, dict(dash=("1", "1")), "every length of a dash"),
        (WordStyle, dict(stroke_width=0), "stroke_width"),
        (Motion, dict(speed=0), "speed"),
        (Motion, dict(pause=-1), "pause"),
        (Motion, dict(hold=1e9), "hold"),
        (Plotter, dict(device="hp"), "hp7475a, hpgl"),
        (Plotter, dict(origin="left"), "bottom-left"),
        (Plotter, dict(lift=0), "lift"),
        (Plotter, dict(feed=-1), "feed"),
        (Plotter, dict(pen_up="M5"), "pen_up and pen_down are given together"),
        (Plotter, dict(pen_up="M5\nM2", pen_down="M3"), "pen_up must be commands"),
        (Sheet, dict(width=100), "a width and a height, or neither"),
        (Sheet, dict(width=-1, height=2), "width"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(kind, wrong, says):
    with pytest.raises(CursiveError, match=says) as e:
        kind(**wrong)
    assert str(e.value)[-1] in ".?"


def test_words_lines_and_passages_have_a_style_of_their_own():
    words = words_of(lines(3))
    styled = restyle(words, range(2, 4), color="red")
    styled = restyle(styled, [3], stroke_width=1.0, dash=(1, 1))
    style = Style(color="navy", stroke_width=0.3)
    looks = [(own.color, own.stroke_width, own.dash) for own in map(style.of, styled)]
    plain = ("navy", 0.3, ())
    assert looks == [plain, plain, ("red", 0.3, ()), ("red", 1.0, (1, 1)), plain, plain]
    assert all(word.style is None for word in words)  # they are other words
    assert [style.of(word).pen for word in restyle(words, pen="brush")] == ["brush"] * 6
    with pytest.raises(CursiveError, match="no word 6: there are words 0 to 5"):
        restyle(words, [6])
    with pytest.raises(CursiveError, match="no word -1"):
        restyle(words, [-1])


# Paper


def test_papers_have_the_sizes_of_their_standards():
    assert paper_size("A4") == (210, 297) and paper_size("a4", landscape=True) == (297, 210)
    np.testing.assert_allclose(paper_size("letter"), np.array([8.5, 11]) * 25.4)
    np.testing.assert_allclose(paper_size("legal"), np.array([8.5, 14]) * 25.4)
    np.testing.assert_allclose(paper_size("com10"), np.array([9.5, 4.125]) * 25.4)
    assert paper_size("c6") == (162, 114) and paper_size("dl") == (220, 110)  # envelopes lie
    assert all(paper_size(name) == size for name, size in PAPERS.items())


@pytest.mark.parametrize(
    "text, size",
    [("148x210", (148, 210)), ("148 x 210mm", (148, 210)), ("5x7in", (127, 177.8)), ("99.5×40", (99.5, 40))],
)
def test_papers_of_ones_own(text, size):
    np.testing.assert_allclose(paper_size(text), size)
    assert paper_size(text, landscape=True) == (max(paper_size(text)), min(paper_size(text)))


@pytest.mark.parametrize(
    "text", ["a44", "", "148", "148x", "-1x5", "1x1", "9999x9999", "100x100cm", "nanxnan"]
)
def test_a_paper_that_is_none_is_refused(text):
    with pytest.raises(CursiveError):
        paper_size(text)


def test_lines_of_writing_are_told_from_an_uneven_hand():
    rng = np.random.default_rng(0)
    words = [
        dataclasses.replace(word, page=(word.page[0], word.page[1] + rng.uniform(-0.02, 0.02)))
        for word in words_of(lines(4))
    ]
    assert [len(line) for line in lines_of(words)] == [2] * 4
    date = dataclasses.replace(words[0], page=(5.0, -0.6))
    assert [len(line) for line in lines_of([date, *words])] == [1, 2, 2, 2, 2]
    indented = dataclasses.replace(words[0], page=(2.0, 3.0))
    assert [len(line) for line in lines_of([*words, indented])] == [2, 2, 2, 2, 1]
    assert text_of_words(words[:4]) == "w w\nw w" and lines_of([]) == []


# Marks


def test_a_tap_is_a_stroke_of_a_hundredth_of_a_millimetre():
    for word in taps(3):
        (stroke,) = pen_strokes(word)
        np.testing.assert_allclose(stroke - np.array(word.page) * MM, [[0, 0], [TAP, 0]])
    assert pen_strokes(Word("", np.zeros((0, 3)), page=(0, 0))) == []
    assert pen_strokes(Word("", np.array([[1.0, 1, 0]]), page=(0, 0))) == []  # the pen never came down


def test_dashes_lie_on_the_line_and_have_their_lengths():
    xy = flatten(np.cumsum(np.random.default_rng(0).normal(0, 3, (20, 2)), 0))
    total = np.hypot(*np.diff(xy, axis=0).T).sum()
    pieces = dashed(xy, (2.0, 1.0))
    lengths = [np.hypot(*np.diff(piece, axis=0).T).sum() for piece in pieces]
    np.testing.assert_allclose(lengths[:-1], 2.0)
    assert len(pieces) == np.ceil(total / 3) and lengths[-1] <= 2.0 + 1e-9
    np.testing.assert_array_equal(pieces[0][0], xy[0])
    assert dashed(xy, ()) == [xy]
    assert len(dashed(pen_strokes(taps(1)[0])[0], (2.0, 1.0))) == 1  # a dot stays one


def test_the_room_of_ink_holds_its_curves_and_the_width_of_its_lines():
    thick = restyle(page(), [0], stroke_width=4.0)
    for words, half in ((page(), 0.2), (thick[:1], 2.0)):
        curves = np.vstack([flatten(stroke) for word in words for stroke in pen_strokes(word)])
        low, high = ink_box(words, Style())
        np.testing.assert_allclose([low, high], [curves.min(0) - half, curves.max(0) + half])
    low, high = box_of_sheet(Sheet(page()), Style(margin=3))
    np.testing.assert_allclose([low + 3, high - 3], ink_box(page()))
    assert box_of_sheet(Sheet(page(), 50, 60), Style(margin=3)).tolist() == [[0, 0], [50, 60]]


def test_one_page_is_a_sheet_or_a_strip():
    strip = OnePage(Style())
    for line in lines(3):
        strip.add(Sheet(line))
    assert len(strip.sheet.words) == 6
    np.testing.assert_allclose(strip.box(), box_of_sheet(Sheet(words_of(lines(3))), Style()))
    with pytest.raises(CursiveError, match="a file for each sheet"):
        strip.add(Sheet(page(), 50, 60))
    with pytest.raises(CursiveError, match="nothing to draw"):
        OnePage(Style()).box()


def test_text_for_xml_cannot_become_markup():
    assert xml_text('a<b>&"\x00\x01\ud800\u00e9') == "a&lt;b&gt;&amp;&quot;\u00e9"
