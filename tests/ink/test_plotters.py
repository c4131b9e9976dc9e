import re
import sys

import numpy as np
import pytest
from ink_cases import bytes_of, curves_of, page, stroke_count, written

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import MM, on_page
from cursivetransformer.ink.plotters import gcode_writer, hpgl_writer


def pen_downs(hpgl):  # [(x, y) in plotter units a stroke], as a plotter reads it
    out = []
    for command in filter(None, hpgl.strip().split(";")):
        numbers = np.array(command[2:].split(",") if command[2:] else [], float)
        if command.startswith("PU") and len(numbers):
            at = numbers
        if command.startswith("PD"):
            out.append(np.vstack([at, numbers.reshape(-1, 2)]))
    return out


def same_curves(got, words):
    "Both are the same strokes, in the same order and size, wherever the page lies; y points upwards."
    want = [curve * MM for curve in curves_of(words)]
    assert len(got) == len(want) == stroke_count(words)
    shift = got[0][0] - want[0][0] * [1, -1]
    for g, w in zip(got, want):
        if np.ptp(w, axis=0).max() < 1e-9:
            w = w[:1].repeat(2, 0)  # a dot
        np.testing.assert_allclose(g, w * [1, -1] + shift, atol=0.03)


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
    same_curves([xy * 0.02488 @ turn for xy in units], written(n))


def test_gcode_is_the_page_in_millimetres():
    words = written(6)
    text = bytes_of(gcode_writer, words, margin=0.3).decode()
    width, height = map(float, re.match(r"; ([\d.]+) x ([\d.]+) mm", text).groups())
    ink = np.vstack([on_page(w)[:, :2] for w in words])
    np.testing.assert_allclose([width, height], np.ptp(ink, axis=0) * MM + 0.6 * MM, atol=0.06)
    got = []
    down = False
    at = None
    for line in text.splitlines():
        if match := re.fullmatch(r"G[01] Z([\d.]+)(?: F\d+)?", line):
            down = float(match[1]) == 0
            if down:
                got.append([at])
        if match := re.fullmatch(r"(G[01]) X([\d.]+) Y([\d.]+)", line):
            assert (match[1] == "G1") == down  # slow on paper, fast above it
            at = float(match[2]), float(match[3])
            if down:
                got[-1].append(at)
    got = [np.array(c) for c in got]
    same_curves(got, words)
    low = np.vstack(got).min(0)
    high = np.vstack(got).max(0)
    assert (low >= 0.25 * MM).all() and (high <= [width - 0.25 * MM, height - 0.25 * MM]).all() and not down
    assert text.index("G21") < text.index("G0 X")


def test_what_no_paper_holds_says_what_to_do():
    with pytest.raises(CursiveError, match="larger than A3"):
        bytes_of(hpgl_writer, written(90))
    assert bytes_of(gcode_writer, written(90))


@pytest.mark.parametrize("writer", [hpgl_writer, gcode_writer])
def test_without_vpype_the_extra_is_named(monkeypatch, writer):
    monkeypatch.setitem(sys.modules, "vpype", None)
    with pytest.raises(CursiveError, match=r"pip install 'cursivetransformer\[plotter\]'"):
        bytes_of(writer, page())


@pytest.mark.parametrize("writer", [hpgl_writer, gcode_writer])
def test_width_and_color_are_the_pens_own(writer):
    assert bytes_of(writer, written(2), linewidth=2.0, color="#f00") == bytes_of(writer, written(2))
