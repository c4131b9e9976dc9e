import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from ink_cases import bytes_of, curves_of, lines, page, stroke_count, text_of, words_of

from cursivetransformer.config import CursiveError
from cursivetransformer.ink import motion
from cursivetransformer.ink.curves import MM, to_svg
from cursivetransformer.ink.motion import (
    AIR,
    FPS,
    FRAMES,
    LONGEST,
    PIXELS,
    SPEED,
    gif_writer,
    moving_svg_writer,
)
from cursivetransformer.ink.points import Word

# A moving SVG


def moving(words):
    return text_of(moving_svg_writer, words)


def timings(svg):
    return np.array(re.findall(r"--at:([\d.]+);--way:([\d.]+)", svg), float)


def test_a_moving_svg_draws_every_stroke_at_the_speed_of_the_pen():
    svg = moving(page())
    root = ET.fromstring(svg)
    times = timings(svg)
    ink = [e for e in root.iter() if e.tag.endswith("path")]
    assert len(ink) == len(times) == stroke_count(page()) and "<script" not in svg
    still = ET.fromstring(to_svg(page()))
    assert "".join(p.get("d") for p in ink) == still.find("{*}path").get("d")  # the same drawing
    assert root.get("viewBox") == still.get("viewBox")
    curves = curves_of(page())
    lengths = [np.hypot(*np.diff(c, axis=0).T).sum() for c in curves]
    np.testing.assert_allclose(times[:, 1], lengths, atol=1e-3)
    gaps = [np.hypot(*(b[0] - a[-1])) / AIR for a, b in zip(curves, curves[1:])]
    np.testing.assert_allclose(times[1:, 0] - times[:-1].sum(1), gaps, atol=2e-3)
    assert f"--pace:{min(1 / SPEED, LONGEST / times[-1].sum()):.3f}" in svg


def test_a_long_moving_svg_takes_a_minute_and_is_the_same_line_by_line():
    pieces = []
    with moving_svg_writer(pieces.append) as add:
        for line in lines(400):
            add(line)
    svg = "".join(pieces)
    assert svg == moving(words_of(lines(400)))
    pace = float(re.search(r"--pace:([\d.]+)s", svg)[1])
    assert timings(svg)[-1].sum() * pace == pytest.approx(LONGEST, rel=0.01) and pace < 1 / SPEED


def test_pages_that_move_do_not_disturb_each_other():
    pages = [page(), page()[:4], lines(1)[0]]
    names = [re.search(r"<style>\.(\w+)", moving(words))[1] for words in pages]
    assert len(set(names)) == 3
    svg = moving(page())
    assert "@-" not in svg
    assert set(re.findall(r'(?:id|href)="#?(\w+)-', svg)) == {names[0]}


def test_a_browser_draws_the_strokes_one_after_the_other(chromium, tmp_path):
    "Ink of a stroke under way, of one done and of one to come; and at once where no motion is wanted."
    from PIL import Image

    ink = np.array([[x, 0.1 * i, p] for i in range(3) for x, p in ((0, 1), (1, 1), (1, 0))])
    bars = [Word("bars", ink, page=(0.0, 0.0))]
    path = tmp_path / "a.svg"
    path.write_text(text_of(moving_svg_writer, bars, linewidth=1.0))
    times = timings(path.read_text())
    pixels = MM * 96 / 25.4  # a canvas height
    left, right = ((np.array([0, 1]) + 0.2) * pixels).astype(int)
    rows = ((np.arange(3) * 0.1 + 0.2) * pixels).astype(int)

    def dark(tab):  # share of each bar that is drawn
        picture = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L"), float)
        return [(picture[row - 1 : row + 2, left:right].min(0) < 128).mean() for row in rows]

    tab = chromium.new_page()
    tab.goto(path.as_uri())

    def at(way):
        stop = "t => document.getAnimations().forEach(a => { a.pause(); a.currentTime = t; })"
        tab.evaluate(stop, way / SPEED * 1000)

    at(times[1, 0] + 0.5)
    np.testing.assert_allclose(dark(tab), [1, 0.5, 0], atol=0.06)
    at(times[1, 0] - 0.01)
    np.testing.assert_allclose(dark(tab), [1, 0, 0], atol=0.06)
    tab.close()
    still = chromium.new_page(reduced_motion="reduce")
    still.goto(path.as_uri())
    np.testing.assert_allclose(dark(still), [1, 1, 1], atol=0.02)
    assert still.evaluate("document.getAnimations().length") == 0
    still.close()


# A GIF


def frames(data):
    from PIL import Image, ImageSequence

    shown = ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    return [(np.asarray(f.convert("RGB"), int), f.info["duration"]) for f in shown]


def test_a_gif_adds_ink_and_ends_with_the_page():
    shown = frames(bytes_of(gif_writer, lines(2)[0], color="#00f"))
    ink = [((p[..., 2] > p[..., 0] + 100) & (p[..., 0] < 60)).sum() for p, _ in shown]
    assert len(shown) > 3
    assert all(b >= a - 30 for a, b in zip(ink, ink[1:]))  # the tip hides some
    assert ink[-1] > 3 * ink[0]
    assert shown[-1][1] > 1000 > shown[0][1]
    assert not (shown[-1][0] == [221, 51, 51]).all(-1).any()
    assert (shown[0][0] == [221, 51, 51]).all(-1).any()


def test_a_gif_is_bounded(monkeypatch):
    most = 40
    assert most < FRAMES
    monkeypatch.setattr(motion, "FRAMES", most)  # a bound that takes less time to reach
    words = words_of(lines(30))
    seconds = timings(moving(words))[-1].sum() / SPEED
    assert seconds * FPS > 2 * most
    shown = frames(bytes_of(gif_writer, words))
    assert len(shown) <= most
    assert shown[0][0].shape[0] * shown[0][0].shape[1] <= PIXELS * 1.02
    with pytest.raises(CursiveError, match="anim.svg"):
        bytes_of(gif_writer, words_of(lines(500)))
