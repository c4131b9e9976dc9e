import sys

import numpy as np
import pytest
from ink_cases import bytes_of, curves_of, on_paper, page, stroke_count, taps, text_of, written
from programs import gcode_plot, hpgl_plot

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import MM
from cursivetransformer.ink.plotters import gcode_writer, hpgl_writer, plotter_page
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.sheets import Plotter, Rule, Sheet, Style, ink_box, paper_size, restyle


def plotter(**settings):
    return Style(plotter=Plotter(**settings))


def pen_downs(hpgl):  # [(x, y) in plotter units a stroke], as a plotter reads it
    out = []
    for command in filter(None, hpgl.strip().split(";")):
        numbers = np.array(command[2:].split(",") if command[2:] else [], float)
        if command.startswith("PU") and len(numbers):
            at = numbers
        if command.startswith("PD"):
            out.append(np.vstack([at, numbers.reshape(-1, 2)]))
    return out


def same_curves(got, words, shift=None, atol=0.03):
    "Both are the same strokes, in the same order and size, at a shift or anywhere; y points upwards."
    want = curves_of(words)
    assert len(got) == len(want) == stroke_count(words)
    shift = got[0][0] - want[0][0] * [1, -1] if shift is None else np.asarray(shift)
    for g, w in zip(got, want):
        # A dot is as long as a unit of the plotter.
        near = atol if np.ptp(w, axis=0).max() > 1e-6 else atol + 0.025
        # Points on the plotter's grid that follow each other there are one.
        apart = np.abs(g[:, None] - (w * [1, -1] + shift)).max(2)
        assert apart.min(0).max() < near and apart.min(1).max() < near
        np.testing.assert_allclose(g[[0, -1]], w[[0, -1]] * [1, -1] + shift, atol=near)


# HPGL


@pytest.mark.parametrize("n, paper, turned", [(6, "PS4", False), (40, "PS4", True), (54, "PS0", True)])
def test_hpgl_is_the_page_in_millimetres_on_the_smallest_paper(n, paper, turned):
    data = bytes_of(hpgl_writer, written(n)).decode()
    units = pen_downs(data)
    low = np.min([c.min(0) for c in units], 0)
    high = np.max([c.max(0) for c in units], 0)
    room = np.array([11040, 7721] if paper == "PS4" else [16158, 11040])
    assert data.startswith("IN;") and f";{paper};" in data and data.count("PD") == stroke_count(written(n))
    assert (low >= 0).all() and (high <= room).all()
    np.testing.assert_allclose(low, room - high, atol=60)  # in the middle, by a millimetre
    turn = np.array([[0, -1], [1, 0]]) if turned else np.eye(2)
    same_curves([xy * 0.02488 @ turn for xy in units], written(n), atol=0.04)


@pytest.mark.parametrize("landscape", [True, False])
def test_a_paper_of_the_7475a_lies_in_its_physical_place(landscape):
    "0, 0 is 10 mm from the left and 4 mm above the lower edge of a lying A4, as its handbook says."
    sheet = on_paper(written(6), *paper_size("a4", landscape))
    units = pen_downs(text_of(hpgl_writer, sheet))
    on_lying_paper = [xy * 0.02488 + [10, 4] for xy in units]
    if landscape:
        same_curves(on_lying_paper, sheet.words, shift=[0, 210])
    else:  # its upper side is at the left
        same_curves([xy @ [[0, -1], [1, 0]] + [0, 297] for xy in on_lying_paper], sheet.words, shift=[0, 297])


def test_ink_beyond_the_pens_reach_is_refused():
    words = written(1)
    sheet = Sheet([Word("w", words[0].points, page=(0.0, 1.0))], 297, 210)
    with pytest.raises(
        CursiveError, match=r"does not reach the edge of A4: \d+\.\d mm .* make the margins wider"
    ):
        bytes_of(hpgl_writer, sheet)
    assert bytes_of(hpgl_writer, sheet, plotter(device="hpgl"))


@pytest.mark.parametrize(
    "origin, shift", [("bottom-left", (0, 148)), ("top-left", (0, 0)), ("center", (-52.5, 74))]
)
def test_other_plotters_have_units_of_a_fortieth_millimetre_and_any_sheet(origin, shift):
    sheet = on_paper(written(3), 105, 148)
    data = text_of(hpgl_writer, sheet, plotter(device="hpgl", origin=origin))
    same_curves([xy * 0.025 for xy in pen_downs(data)], sheet.words, shift)
    assert ";PS" not in data


def test_hp2xx_draws_every_stroke_in_order_in_its_size(tmp_path):
    words = written(4)
    path = tmp_path / "a.hpgl"
    path.write_bytes(bytes_of(hpgl_writer, on_paper(words, 105, 148), plotter(device="hpgl")))
    same_curves(hpgl_plot(path, tmp_path).strokes, words, atol=0.05)


# G-code


def test_gcode_is_the_page_in_millimetres():
    words = written(6)
    style = Style(margin=7.5)
    text = text_of(gcode_writer, words, style)
    width, height = map(float, text.split("\n")[0].split()[1:4:2])
    np.testing.assert_allclose([width, height], np.ptp(ink_box(words, style), axis=0) + 15, atol=0.06)
    plot = gcode_plot(text)
    left, top = ink_box(words, style)[0] - 7.5
    same_curves(plot.strokes, words, [-left, height + top], atol=0.06)
    points = np.vstack(plot.strokes)
    assert (points >= 7.5).all() and (points <= [width - 7.5, height - 7.5]).all()
    assert text.index("G21") < text.index("G0 X") and text.rstrip().endswith("M2")


@pytest.mark.parametrize(
    "origin, shift", [("bottom-left", (0, 60)), ("top-left", (0, 0)), ("center", (-50, 30))]
)
def test_gcode_begins_at_the_origin_that_was_asked_for(origin, shift):
    sheet = on_paper(written(2), 100, 60)
    plot = gcode_plot(text_of(gcode_writer, sheet, plotter(origin=origin)))
    same_curves(plot.strokes, sheet.words, shift, atol=0.002 + 0.011)


def test_pen_commands_lift_and_feed_of_ones_own():
    sheet = on_paper(written(2), 100, 60)
    text = text_of(gcode_writer, sheet, plotter(pen_up="M5", pen_down="M3 S30; G4 P0.2", feed=1500))
    plot = gcode_plot(text.replace("G4 P0.2\n", ""), down="M3 S30", up="M5")
    same_curves(plot.strokes, sheet.words, [0, 60], atol=0.013)
    assert text.count("M3 S30\nG4 P0.2\nG1 ") == stroke_count(sheet.words) and "Z" not in text
    assert text.count("F1500") == stroke_count(sheet.words) and text.index("M5") < text.index("G0 X")
    text = text_of(gcode_writer, sheet, plotter(lift=2.5, feed=800))
    assert "G0 Z2.5\n" in text and "G1 Z0 F800" in text and "Z5" not in text


# Both


@pytest.mark.parametrize("writer", [hpgl_writer, gcode_writer])
def test_several_sheets_need_a_pause_between(writer):
    sheets = [on_paper(written(n), 105, 148) for n in (2, 3)]
    with pytest.raises(CursiveError, match="make a file for each, or name the pause"):
        bytes_of(writer, sheets)
    assert bytes_of(writer, sheets[0])


def test_a_pause_stands_between_the_sheets_with_the_pen_up():
    sheets = [on_paper(written(n), 105, 148) for n in (2, 3, 1)]
    plot = gcode_plot(text_of(gcode_writer, sheets, plotter(pause="M0")))
    assert plot.pauses == [6, 15] and len(plot.strokes) == 18
    same_curves(plot.strokes[6:15], sheets[1].words, [0, 148], atol=0.013)
    data = text_of(hpgl_writer, sheets, plotter(device="hpgl", pause="PG; NR"))
    first, second, third = data.split("PU;SP0;PG;NR;SP1;")
    assert [part.count("PD") for part in (first, second, third)] == [6, 9, 3]
    same_curves([xy * 0.025 for xy in pen_downs(second)], sheets[1].words, [0, 148])


def test_every_tap_brings_the_pen_down():
    words = taps(7, written(1))
    assert len(gcode_plot(text_of(gcode_writer, words)).strokes) == stroke_count(words) == 10
    for device in ("hp7475a", "hpgl"):
        downs = pen_downs(text_of(hpgl_writer, words, plotter(device=device)))
        assert len(downs) == 10
        assert all(np.abs(np.diff(xy, axis=0)).max(1).min() >= 1 for xy in downs)  # a unit at least
    assert len(plotter_page(words).layers[1]) == 10


def test_a_ruling_is_drawn_before_the_ink_and_dashes_are_lines():
    rules = [Rule(np.array([[10.0, 20], [90, 20]])), Rule(np.array([[10.0, 40], [90, 40]]), dash=(3, 1))]
    sheet = on_paper(restyle(written(1), dash=(1, 1)), 100, 60, rules)
    strokes = gcode_plot(text_of(gcode_writer, sheet)).strokes
    np.testing.assert_allclose(strokes[0], [[10, 40], [90, 40]])
    assert [s[0][1] for s in strokes[1:21]] == [20] * 20 and strokes[1][:, 0].tolist() == [10, 13]
    assert len(strokes) > 21 + 2 * stroke_count(written(1))


def test_what_no_paper_holds_says_what_to_do():
    with pytest.raises(CursiveError, match="larger than A3"):
        bytes_of(hpgl_writer, written(90))
    assert bytes_of(gcode_writer, written(90)) and bytes_of(hpgl_writer, written(90), plotter(device="hpgl"))


@pytest.mark.parametrize("writer", [hpgl_writer, gcode_writer])
def test_an_empty_page_is_refused_and_an_empty_sheet_is_one(writer):
    with pytest.raises(CursiveError, match="nothing to draw"):
        bytes_of(writer, [])
    assert bytes_of(writer, Sheet([], 100, 60))


@pytest.mark.parametrize("writer", [hpgl_writer, gcode_writer])
def test_width_and_color_are_the_pens_own(writer):
    sheet = on_paper(written(2), 100, 60)
    assert bytes_of(writer, sheet, Style(stroke_width=2.0, color="#f00")) == bytes_of(writer, sheet)


# vpype


def test_a_page_goes_on_in_vpype():
    import vpype

    pixels = vpype.convert_length("mm")
    document = plotter_page(on_paper(written(2), 100, 60))
    np.testing.assert_allclose(np.array(document.page_size) / pixels, [100, 60])
    got = [np.column_stack([line.real, -line.imag]) / pixels for line in document.layers[1]]
    same_curves(got, on_paper(written(2), 100, 60).words, [0, 0], atol=0.011)
    assert np.ptp(ink_box(page()), axis=0)[0] < document.page_size[0] / pixels * MM


def test_without_vpype_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vpype", None)
    with pytest.raises(CursiveError, match=r"pip install 'cursivetransformer\[plotter\]'"):
        plotter_page(page())


@pytest.mark.parametrize("writer", [hpgl_writer, gcode_writer])
def test_plotter_files_need_no_vpype(monkeypatch, writer):
    monkeypatch.setitem(sys.modules, "vpype", None)
    assert bytes_of(writer, written(2))
