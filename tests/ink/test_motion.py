import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from ink_cases import (
    bytes_of,
    curves_of,
    drawn_paths,
    lines,
    on_paper,
    page,
    stroke_count,
    taps,
    text_of,
    words_of,
    written,
)

from cursivetransformer.config import CursiveError
from cursivetransformer.ink import motion
from cursivetransformer.ink.curves import MM
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
from cursivetransformer.ink.sheets import TAP, Motion, Rule, Sheet, Style, restyle
from cursivetransformer.ink.svg import to_svg

# A moving SVG


def moving(words, style=None):
    return text_of(moving_svg_writer, words, style)


def timings(svg):
    return np.array(re.findall(r"--at:([\d.]+);--way:([\d.]+)", svg), float)


def test_a_moving_svg_draws_every_stroke_at_the_speed_of_the_pen():
    svg = moving(page())
    root = ET.fromstring(svg)
    times = timings(svg)
    moved = [points for _, parts in drawn_paths(svg) for points in parts]
    assert len(moved) == len(times) == stroke_count(page()) and "<script" not in svg
    still = [points for _, parts in drawn_paths(to_svg(page())) for points in parts]
    for a, b in zip(moved, still):
        np.testing.assert_allclose(a, b, atol=1e-9)  # the same drawing
    assert root.get("viewBox") == ET.fromstring(to_svg(page())).get("viewBox")
    curves = curves_of(page())
    lengths = [np.hypot(*np.diff(c, axis=0).T).sum() for c in curves]
    np.testing.assert_allclose(times[:, 1], lengths, atol=0.011)
    gaps = [np.hypot(*(b[0] - a[-1])) / AIR for a, b in zip(curves, curves[1:])]
    np.testing.assert_allclose(times[1:, 0] - times[:-1].sum(1), gaps, atol=0.03)
    assert f"--pace:{min(1 / SPEED, LONGEST / times[-1].sum()):.5f}" in svg


def test_a_long_moving_svg_takes_a_minute_and_is_the_same_line_by_line():
    svg = text_of(moving_svg_writer, [Sheet(line) for line in lines(400)])
    assert svg == moving(words_of(lines(400)))
    pace = float(re.search(r"--pace:([\d.]+)s", svg)[1])
    assert timings(svg)[-1].sum() * pace == pytest.approx(LONGEST, rel=0.01) and pace < 1 / SPEED


def test_a_speed_of_ones_own_holds_for_long_texts_too():
    svg = moving(words_of(lines(400)), Style(motion=Motion(speed=50)))
    assert float(re.search(r"--pace:([\d.]+)s", svg)[1]) == pytest.approx(1 / 50)


def test_pages_that_move_do_not_disturb_each_other():
    pages = [page(), page()[:4], lines(1)[0]]
    names = [re.search(r"<style>\.(\w+)", moving(words))[1] for words in pages]
    assert len(set(names)) == 3
    svg = moving(page())
    assert "\x01" not in svg
    assert set(re.findall(r'(?:id|href)="#?(\w+)-', svg)) == {names[0]}


def test_text_in_a_moving_svg_cannot_become_markup():
    words = [Word('"/><script>\x01', page()[0].points, page=(0, 0))]
    svg = moving(words)
    assert "<script" not in svg
    assert [e.get("data-word") for e in ET.fromstring(svg).iter() if e.get("data-word")] == ['"/><script>']


def test_the_tip_has_a_colour_or_there_is_none():
    assert moving(page()).count("<use") == stroke_count(page()) and "stroke:#d33" in moving(page())
    assert "stroke:gold" in moving(page(), Style(motion=Motion(tip="gold")))
    assert "<use" not in moving(page(), Style(motion=Motion(tip="none")))


def test_the_pen_rests_between_words():
    svg = moving(page(), Style(motion=Motion(pause=0.5)))
    words = [e for e in ET.fromstring(svg).iter() if e.get("data-word")]
    assert [e.get("style") for e in words] == [None, *(f"--rest:{0.5 * i:g}s" for i in range(1, 5))]


def test_taps_dashes_and_colours_move_too():
    words = restyle(taps(3, written(2)), [3], color="#c33", dash=(1, 1), pen="brush")
    svg = moving(words)
    drawn = drawn_paths(svg)
    lengths = timings(svg)[:, 1]
    np.testing.assert_allclose(lengths[:3], TAP, atol=1e-9)
    assert len(drawn) > stroke_count(words) and "dasharray=" not in svg.split("</style>")[1]
    named = [e for e in ET.fromstring(svg).iter() if e.get("data-word")]
    assert [e.get("stroke") for e in named] == [None, None, None, "#c33", None]


def stands_still_where_less_motion_is_asked_for(chromium, path, dark):
    "What a browser with reduced motion draws: all of it at once, and nothing that moves."
    still = chromium.new_page(reduced_motion="reduce")
    still.goto(path.as_uri())
    np.testing.assert_allclose(dark(still), [1, 1, 1], atol=0.02)
    assert still.evaluate("document.getAnimations().length") == 0
    still.close()


def dark_bars(chromium, tmp_path, style):
    "A tab with three bars that draw themselves, their timings, and what says how much of each is drawn."
    from PIL import Image

    ink = np.array([[x, 0.1 * i, p] for i in range(3) for x, p in ((0, 1), (1, 1), (1, 0))])
    path = tmp_path / "a.svg"
    path.write_text(moving([Word("bars", ink, page=(0.0, 0.0))], style))
    pixels = 96 / 25.4  # a millimetre
    edge = style.margin + style.stroke_width / 2
    left, right = ((np.array([0, MM]) + edge) * pixels).astype(int)
    rows = ((np.arange(3) * 0.1 * MM + edge) * pixels).astype(int)

    def dark(tab):  # share of each bar that is drawn
        picture = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L"), float)
        return [(picture[row - 1 : row + 2, left:right].min(0) < 128).mean() for row in rows]

    return path, dark


def at_time(tab, milliseconds):
    stop = "t => document.getAnimations().forEach(a => { a.pause(); a.currentTime = t; })"
    tab.evaluate(stop, milliseconds)


def test_a_browser_draws_the_strokes_one_after_the_other(chromium, tmp_path):
    "Ink of a stroke under way, of one done and of one to come; and at once where no motion is wanted."
    path, dark = dark_bars(chromium, tmp_path, Style(stroke_width=1.0))
    times = timings(path.read_text())
    tab = chromium.new_page()
    tab.goto(path.as_uri())
    at_time(tab, (times[1, 0] + MM / 2) / SPEED * 1000)
    np.testing.assert_allclose(dark(tab), [1, 0.5, 0], atol=0.06)
    at_time(tab, (times[1, 0] - 0.3) / SPEED * 1000)
    np.testing.assert_allclose(dark(tab), [1, 0, 0], atol=0.06)
    tab.close()
    stands_still_where_less_motion_is_asked_for(chromium, path, dark)


def test_a_browser_draws_a_loop_over_and_over(chromium, tmp_path):
    "The second round is as the first, with the finished page between; reduced motion is respected."
    style = Style(stroke_width=1.0, motion=Motion(loop=True, hold=1.0))
    path, dark = dark_bars(chromium, tmp_path, style)
    times = timings(
        moving(
            [
                Word(
                    "bars",
                    np.array([[x, 0.1 * i, p] for i in range(3) for x, p in ((0, 1), (1, 1), (1, 0))]),
                    page=(0.0, 0.0),
                )
            ]
        )
    )
    drawn = times[-1].sum() / SPEED * 1000
    tab = chromium.new_page()
    tab.goto(path.as_uri())
    for begin in (0, drawn + 1000):
        at_time(tab, begin + (times[1, 0] + MM / 2) / SPEED * 1000)
        np.testing.assert_allclose(dark(tab), [1, 0.5, 0], atol=0.06)
        at_time(tab, begin + drawn + 500)
        np.testing.assert_allclose(dark(tab), [1, 1, 1], atol=0.02)
    tab.close()
    stands_still_where_less_motion_is_asked_for(chromium, path, dark)


# A GIF


def frames(data):
    from PIL import Image, ImageSequence

    shown = ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    return [(np.asarray(f.convert("RGB"), int), f.info["duration"]) for f in shown]


def test_a_gif_adds_ink_and_ends_with_the_page():
    shown = frames(bytes_of(gif_writer, lines(2)[0], Style(color="#00f")))
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


def test_a_gif_keeps_its_speed_its_pauses_and_how_long_it_stays():
    words = lines(1)[0]
    plain, slow, resting = (
        frames(bytes_of(gif_writer, words, Style(motion=m)))
        for m in (Motion(), Motion(speed=SPEED / 4, hold=5), Motion(pause=1.0))
    )
    assert len(slow) == pytest.approx(4 * len(plain), abs=4) and slow[-1][1] == 5000
    assert len(resting) == pytest.approx(len(plain) + FPS, abs=2)  # one rest between two words


def test_a_gif_shows_colours_background_ruling_and_no_tip():
    rules = [Rule(np.array([[5.0, 50], [95, 50]]), 0.6, "#00ff00")]
    sheet = on_paper(restyle(written(2), [1], color="#0000ff"), 100, 60, rules)
    style = Style(color="#ff0000", background="#ffff00", pen="fountain", motion=Motion(tip="none"))
    shown = frames(bytes_of(gif_writer, sheet, style))
    first, last = shown[0][0], shown[-1][0]
    assert (last[0] == [255, 255, 0]).all()
    for color in ([255, 0, 0], [0, 0, 255], [0, 255, 0]):
        assert (last == color).all(-1).sum() > 20
    assert (first == [0, 255, 0]).all(-1).sum() > 20 and not (first == [0, 0, 255]).all(-1).any()
    assert all(not (p == [221, 51, 51]).all(-1).any() for p, _ in shown)
    colours = restyle(written(20), [0], color="#101010")
    for i in range(1, 20):
        colours = restyle(colours, [i], color=f"#{i:02x}0000")
    with pytest.raises(CursiveError, match="16 colours at most"):
        bytes_of(gif_writer, colours)


def test_every_dot_is_a_mark_and_an_empty_sheet_one_picture():
    from scipy import ndimage

    (picture, _) = frames(bytes_of(gif_writer, taps(7), Style(stroke_width=0.8)))[-1]
    assert ndimage.label(picture[..., 0] < 160)[1] == 7
    assert len(frames(bytes_of(gif_writer, Sheet([], 50, 50)))) == 1
    for writer in (gif_writer, moving_svg_writer):
        with pytest.raises(CursiveError, match="nothing to draw"):
            bytes_of(writer, [])
