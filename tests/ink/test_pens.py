import numpy as np
import pytest
from ink_cases import page, taps, written

from cursivetransformer.ink.pens import FINE, PenLine, ink_areas, line_widths, outlines, pen_line
from cursivetransformer.ink.sheets import Style, pen_strokes


def straight(angle, length=6.0):
    "A straight line at an angle in degrees, 90 is down."
    at = np.arange(0, length, FINE)[:, None]
    return at * [np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))]


def middle(angle, pen):
    return np.median(line_widths(straight(angle), pen, 0.4))


def covered(areas, box, scale):
    "Which pixels some areas cover, filled by the non-zero rule."
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from cursivetransformer.ink.pictures import draw_areas

    size = np.ptp(box, axis=0)
    canvas = FigureCanvasAgg(Figure(figsize=size * scale / 100, dpi=100))
    ax = canvas.figure.add_axes((0, 0, 1, 1))
    ax.axis("off")
    ax.set_xlim(*box[:, 0])
    ax.set_ylim(*box[::-1, 1])
    draw_areas(ax, areas, "black")
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0] < 128


def discs(line, box, scale):
    "Which pixels a round pen covers that goes along a line: what the areas should cover, the slow way."
    rows, columns = np.mgrid[0 : round(np.ptp(box[:, 1]) * scale), 0 : round(np.ptp(box[:, 0]) * scale)]
    out = np.zeros(rows.shape, bool)
    for (x, y), width in zip((line.xy - box[0]) * scale, line.widths * scale):
        out |= (columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2 <= (width / 2) ** 2
    return out


def test_a_ballpoint_keeps_its_width():
    assert {middle(angle, "ball") for angle in range(0, 360, 30)} == {0.4}


def test_a_fountain_pen_is_widest_across_its_nib_and_thin_along_it():
    widths = {angle: middle(angle, "fountain") for angle in range(-180, 180, 10)}
    assert min(widths, key=widths.get) in (-40, 140)  # along the nib: up to the right, and back
    assert max(widths, key=widths.get) in (50, -130)
    assert max(widths.values()) > 2.5 * min(widths.values())


def test_a_brush_is_pressed_on_its_way_down_and_lifted_at_its_ends():
    assert middle(90, "brush") > 1.8 * middle(0, "brush") > 1.8 * middle(-90, "brush")
    widths = line_widths(straight(90), "brush", 0.4)
    assert widths[0] < 0.6 * np.median(widths) and widths[-1] < 0.6 * np.median(widths)


@pytest.mark.parametrize("pen", ["fountain", "brush"])
def test_bends_are_wider_than_straight_lines_in_the_same_direction(pen):
    "The lowest point of a bow goes to the right, as a straight line does."
    angle = np.arange(-np.pi / 2, np.pi / 2, FINE)  # a half circle of radius 1
    bow = np.column_stack([np.sin(angle), np.cos(angle)])
    assert line_widths(bow, pen, 0.4)[len(bow) // 2] > 1.02 * middle(0, pen)


@pytest.mark.parametrize("pen", ["ball", "fountain", "brush"])
def test_outlines_cover_what_the_pen_covers_and_nothing_else(pen):
    scale = 40
    off = total = 0
    for word in written(4):
        for stroke, areas in zip(pen_strokes(word), ink_areas(word, Style(pen=pen, stroke_width=0.5))):
            line = pen_line(stroke, pen, 0.5)
            box = np.stack([np.floor(line.xy.min(0) - 1), np.ceil(line.xy.max(0) + 1)])
            got = covered(areas, box, scale)
            want = discs(line, box, scale)
            off += (got != want).sum()
            total += want.sum()
            # Only edges differ: what lies two pixels within the pen's way is covered, with no hole.
            inner = want.copy()
            for axis in (0, 1):
                for step in (-2, 2):
                    inner &= np.roll(want, step, axis)
            assert (got & inner).sum() >= 0.995 * inner.sum()
    assert off < 0.06 * total


def test_all_outlines_go_round_the_same_way():
    for word in page():
        for stroke in pen_strokes(word):
            for area in outlines(pen_line(stroke, "fountain", 0.3)):
                x, y = area.T
                assert (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() > 0


def test_a_tap_is_a_round_dot_in_every_pen():
    for pen in ("ball", "fountain", "brush"):
        for word in taps(3):
            ((dot,),) = ink_areas(word, Style(pen=pen, stroke_width=0.5))
            np.testing.assert_allclose(np.ptp(dot, axis=0), [0.5, 0.5], atol=0.04)


def test_dashes_have_ends():
    stroke = pen_strokes(written(1)[0])[0]
    line = pen_line(stroke, "ball", 0.4)
    areas = ink_areas(written(1)[0], Style(dash=(1, 1)))[0]
    length = np.hypot(*np.diff(line.xy, axis=0).T).sum()
    assert len(areas) >= np.ceil(length / 2) and isinstance(line, PenLine)
