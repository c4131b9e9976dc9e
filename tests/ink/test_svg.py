import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from ink_cases import (
    SVG,
    bytes_of,
    drawn_paths,
    lines,
    on_paper,
    page,
    path_points,
    stroke_count,
    taps,
    text_of,
    words_of,
    written,
)
from programs import svg_picture, vpype_strokes

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import MM, bezier
from cursivetransformer.ink.points import Word, strokes
from cursivetransformer.ink.sheets import Rule, Sheet, Style, ink_box, pen_strokes, restyle
from cursivetransformer.ink.svg import LONGEST_DATA, number, path_data, svg_writer, to_svg


def drawn_strokes(words):
    return [stroke for word in words for stroke in pen_strokes(word)]


def strokes_of(svg):
    return [points for _, parts in drawn_paths(svg) for points in parts]


def long_text(n):
    "A text of n words of four strokes each, twenty words a line, as a strip."
    rng = np.random.default_rng(0)
    out = []
    for line in range(n // 20):
        words = []
        for place in range(20):
            xy = np.cumsum(rng.normal(0.01, 0.03, (40, 2)), 0)
            pen = np.ones(40)
            pen[9::10] = 0
            words.append(Word(f"w{20 * line + place}", np.c_[xy, pen], page=(0.6 * place, 0.6 * line)))
        out.append(words)
    return out


# What is drawn


def test_every_stroke_is_drawn_in_order_within_a_hundredth_of_a_millimetre():
    for words in (page(), written(6), taps(3, written(2))):
        low = ink_box(words)[0] - 5
        got = strokes_of(to_svg(words))
        assert len(got) == stroke_count(words)
        for points, stroke in zip(got, drawn_strokes(words)):
            if len(points) == len(stroke):
                np.testing.assert_allclose(points, stroke - low, atol=0.011)
            else:  # a dot
                assert len(points) == 2


def test_curves_leave_points_as_they_came_to_them():
    "The control points that `s` leaves out are those of the curve, to the grid and a half."
    points = written(1)[0].points
    (stroke, *_) = strokes(points)
    data = path_data(points)
    first = data[: data.index("m")]
    numbers = np.array(re.findall(r"-?(?:\d+\.?\d*|\.\d+)", first[first.index("s") :]), float).reshape(
        -1, 2, 2
    )
    ends = path_points(first)[0]
    curve = bezier(stroke * MM)[1:].reshape(-1, 3, 2)
    second = ends[1:-1] + numbers[:, 0]
    reflected = 2 * ends[1:-1] - np.vstack([curve[0, 1], second[:-1]])
    np.testing.assert_allclose(second, curve[1:, 1], atol=0.016)
    np.testing.assert_allclose(reflected, curve[1:, 0], atol=0.03)


def test_the_view_box_begins_at_0_0_and_holds_all_the_ink():
    for style in (Style(), Style(margin=0, stroke_width=2.0)):
        root = ET.fromstring(to_svg(page(), style))
        left, top, width, height = map(float, root.get("viewBox").split())
        assert (left, top) == (0, 0)
        assert root.get("width") == f"{width:.2f}mm" and root.get("height") == f"{height:.2f}mm"
        np.testing.assert_allclose(
            [width, height], np.ptp(ink_box(page(), style), axis=0) + 2 * style.margin, atol=0.011
        )
        points = np.vstack(strokes_of(to_svg(page(), style)))
        edge = style.margin + style.stroke_width / 2 - 0.02
        assert (points >= edge).all() and (points <= [width - edge, height - edge]).all()


def test_nothing_is_cut_off_without_a_margin(tmp_path):
    "The outermost pixels of a picture without a margin are those of the line, on all four sides."
    bar = np.array([[0.0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
    (tmp_path / "a.svg").write_text(to_svg([Word("o", bar, page=(0, 0))], Style(margin=0, stroke_width=2.0)))
    picture = svg_picture(tmp_path / "a.svg", dpi=254)  # ten pixels a millimetre
    # The curve swings out at the corners, so a side's middle lies within.
    middle = np.array(picture.shape) // 2
    for side in (
        picture[middle[0]],
        picture[middle[0], ::-1],
        picture[:, middle[1]],
        picture[::-1, middle[1]],
    ):
        dark = np.flatnonzero(side < 128)
        run = dark[: np.argmax(np.append(np.diff(dark), 99) > 1) + 1]
        assert len(run) == pytest.approx(20, abs=2)


def test_lines_are_groups_and_words_are_paths_in_the_order_of_writing():
    words = words_of(lines(3))
    words = [Word(f"w{i}", w.points, page=w.page) for i, w in enumerate(words)]
    root = ET.fromstring(to_svg(words))
    groups = root.findall(f"{SVG}g/{SVG}g")
    assert [g.get("class") for g in groups] == ["line"] * 3
    assert [[p.get("data-word") for p in g] for g in groups] == [["w0", "w1"], ["w2", "w3"], ["w4", "w5"]]
    assert [p.find(f"{SVG}title").text for p in root.iter(f"{SVG}path")] == [w.text for w in words]
    ink = root.find(f"{SVG}g")
    assert ink.get("stroke-linecap") == ink.get("stroke-linejoin") == "round" and ink.get("fill") == "none"


def test_no_attribute_is_long():
    rng = np.random.default_rng(0)
    ink = np.c_[np.cumsum(rng.normal(0, 0.05, (1000, 2)), 0), np.ones(1000)]
    ink[49::50, 2] = 0
    words = [Word("longword", ink, page=(0, 0)), *written(2)]
    for pen in ("ball", "brush"):
        svg = to_svg(words, Style(pen=pen))
        assert max(map(len, re.findall(r'="([^"]*)"', svg))) < 1.5 * LONGEST_DATA
        (group,) = [e for e in ET.fromstring(svg).iter(f"{SVG}g") if e.get("data-word")]
        assert group.get("data-word") == group.find(f"{SVG}title").text == "longword" and len(group) > 2
    assert len(strokes_of(to_svg(words))) == stroke_count(words)


def test_numbers_take_as_few_characters_as_can_be():
    assert [number(n) for n in (0, 5, -5, 50, 100, -123, 12000)] == [
        "0",
        ".05",
        "-.05",
        ".5",
        "1",
        "-1.23",
        "120",
    ]


def test_a_file_is_half_the_size_that_absolute_numbers_take():
    words = written(30)
    absolute = sum(
        len(" ".join(f"{x:.2f} {y:.2f}" for x, y in bezier(s * MM + np.array(w.page) * MM)))
        for w in words
        for s in strokes(w.points)
    )
    assert len(to_svg(words)) < 0.5 * absolute + 90 * len(words)  # its word, title and tags


# Text


def test_text_in_svg_cannot_become_markup():
    evil = '"/><script>alert(1)</script>\x01\x025,5\x02'
    words = [*page(), Word(evil, page()[0].points, page=(0.0, 3.0))]
    svg = to_svg(words, title=evil, language='en"><b')
    assert "<script" not in svg and "<b" not in svg
    root = ET.fromstring(svg)
    assert root.find(f"{SVG}title").text == '"/><script>alert(1)</script>5,5'
    named = [e.get("data-word") for e in root.iter() if e.get("data-word")]
    assert named == [*(w.text for w in page()), '"/><script>alert(1)</script>5,5']


def test_an_svg_is_called_by_its_text_and_says_its_language():
    root = ET.fromstring(to_svg(words_of(lines(2)), language="de"))
    assert root.find(f"{SVG}title").text == "w w\nw w"
    assert root.get("{http://www.w3.org/XML/1998/namespace}lang") == "de"
    assert ET.fromstring(to_svg(page()))[0].text == " ".join(w.text for w in page())


# Styles


def test_the_colour_of_the_text_around_it_is_taken_on_request():
    svg = to_svg(restyle(page(), [1], color="#c33"), Style(current_color=True))
    ink = ET.fromstring(svg).find(f"{SVG}g")
    assert ink.get("stroke") == "currentColor"
    assert [e.get("stroke") for e, _ in drawn_paths(svg)] == [None, "#c33", None, None, None]
    assert "currentColor" not in to_svg(page())


def test_words_of_their_own_colour_width_dash_and_pen():
    words = restyle(restyle(page(), [0], color="red", stroke_width=1.5), [2], dash=(2, 1))
    words = restyle(words, [3], pen="brush")
    red, plain, dashed, brush, _ = [e for e, _ in drawn_paths(to_svg(words, Style(color="navy")))]
    assert (red.get("stroke"), red.get("stroke-width")) == ("red", "1.5")
    assert plain.get("stroke") is None
    assert dashed.get("stroke-dasharray") == "2 1" and dashed.get("stroke") == "navy"
    assert (brush.get("fill"), brush.get("stroke")) == ("navy", "none")


def test_a_background_is_drawn_only_if_asked_for():
    assert "<rect" not in to_svg(page())
    rect = ET.fromstring(to_svg(page(), Style(background="white"))).find(f"{SVG}rect")
    assert (rect.get("fill"), rect.get("width")) == ("white", "100%")


def test_a_sheet_has_its_size_and_its_ruling_before_the_ink():
    rules = [Rule(np.array([[10.0, y], [95, y]]), dash=(1, 1) if y > 50 else ()) for y in range(20, 100, 10)]
    sheet = on_paper(written(2), 105, 148, rules)
    root = ET.fromstring(to_svg(sheet))
    assert root.get("viewBox") == "0 0 105.00 148.00"
    ruling, ink = root.findall(f"{SVG}g")
    assert ruling.get("class") == "ruling" and ink.get("class") == "ink"
    drawn = [path_points(p.get("d")) for p in ruling.iter(f"{SVG}path")]
    np.testing.assert_allclose(np.vstack(sum(drawn, [])), np.vstack([r.points for r in rules]))
    assert [p.get("stroke-dasharray") for p in ruling] == [None, "1 1"]
    for points, stroke in zip(strokes_of(to_svg(sheet)), drawn_strokes(sheet.words)):
        np.testing.assert_allclose(points[0], stroke[0], atol=0.011)


# Streams and refusals


def test_svg_is_the_same_at_once_and_line_by_line():
    style = Style(margin=7, stroke_width=0.7, color="#a03")
    got = text_of(svg_writer, [Sheet(line) for line in lines(30)], style)
    assert got == to_svg(words_of(lines(30)), style)
    assert text_of(svg_writer, words_of(lines(30))) == to_svg(words_of(lines(30)))


def test_the_memory_of_a_strip_does_not_grow_with_the_ink(monkeypatch):
    "What is drawn waits in a file: only a word's text stays."
    import tracemalloc

    def most(n):
        with open("/dev/null", "wb") as file:
            tracemalloc.start()
            with svg_writer(file) as add:
                for line in text_lines(n):
                    add(Sheet(line))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    def text_lines(n):
        for i in range(n):
            yield [Word("w", ink, page=(0.0, 0.6 * i))]

    ink = np.c_[np.cumsum(np.random.default_rng(0).normal(0, 0.05, (300, 2)), 0), np.ones(300)]
    most(5)
    assert most(200) < most(20) + 2e5 < 180 * 300 * 20  # which the words' data alone would take


def test_an_empty_page_is_refused_in_a_sentence():
    for words in ([], [Word("", np.zeros((0, 3)), page=(0, 0))]):
        with pytest.raises(CursiveError, match="nothing to draw"):
            to_svg(words)
    assert "-inf" not in to_svg(Sheet([], 50, 50))  # an empty sheet is one


def test_a_second_sheet_is_refused():
    sheet = on_paper(written(1))
    for sheets in ([sheet, sheet], [Sheet(page()), sheet], [sheet, Sheet(page())]):
        with pytest.raises(CursiveError, match="a file for each sheet"):
            bytes_of(svg_writer, sheets)


# Other programs


def test_vpype_reads_every_stroke_in_order_and_loses_no_dot(tmp_path):
    words = taps(6, written(4))
    (tmp_path / "a.svg").write_text(to_svg(words))
    got = vpype_strokes(tmp_path / "a.svg")
    assert len(got) == stroke_count(words)
    low = ink_box(words)[0] - 5
    for points, stroke in zip(got, drawn_strokes(words)):
        np.testing.assert_allclose(
            [points[0], points[-1]], np.array([stroke[0], stroke[-1]]) - low, atol=0.02
        )


def test_every_dot_is_a_mark_in_a_picture(tmp_path):
    from scipy import ndimage

    (tmp_path / "a.svg").write_text(to_svg(taps(7), Style(stroke_width=0.5)))
    assert ndimage.label(svg_picture(tmp_path / "a.svg", dpi=300) < 128)[1] == 7


@pytest.mark.slow
def test_a_text_of_5000_words_opens_in_rsvg_chromium_and_vpype(tmp_path, chromium):
    from PIL import Image

    text = long_text(5000)
    path = tmp_path / "a.svg"
    path.write_bytes(bytes_of(svg_writer, [Sheet(line) for line in text]))
    assert path.stat().st_size < 10_000_000
    assert max(map(len, re.findall(r'="([^"]*)"', path.read_text()))) < 1.5 * LONGEST_DATA
    words = words_of(text)
    picture = svg_picture(path, dpi=20)
    assert (picture < 250).any(1).sum() > 0.8 * len(picture)  # ink from the first line to the last

    got = vpype_strokes(path)
    want = drawn_strokes(words)
    low = ink_box(words)[0] - 5
    assert len(got) == len(want) == 20_000
    starts = np.array([stroke[0] for stroke in want]) - low
    np.testing.assert_allclose([points[0] for points in got], starts, atol=0.02)

    tab = chromium.new_page(viewport=dict(width=1000, height=800))
    tab.goto(path.as_uri())
    assert tab.evaluate("document.querySelectorAll('[data-word]').length") == 5000
    assert tab.evaluate("document.querySelector('path').getTotalLength()") > 1
    shown = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L"))
    assert (shown < 128).sum() > 1000
    tab.close()
