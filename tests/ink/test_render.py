import io
import re
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from cursivetransformer.cli import make_parser
from cursivetransformer.config import CursiveError
from cursivetransformer.ink import motion
from cursivetransformer.ink.curves import MM, bezier, flatten, on_page, plot_words, to_svg
from cursivetransformer.ink.motion import AIR, FRAMES, LONGEST, SPEED
from cursivetransformer.ink.pictures import PAGE
from cursivetransformer.ink.points import Word, strokes
from cursivetransformer.writing.page import FORMATS, kind_of, page_bytes, page_writer, save_page


def page():
    rng = np.random.default_rng(0)
    words = []
    for i in range(5):
        xy = rng.uniform(-1, 2, (20, 2))  # far outside any ruled box
        pen = np.ones(20)
        pen[[9, 19]] = 0
        words.append(Word(f'w{i}<&">', np.c_[xy, pen], page=(2.0 * i, 0.6)))
    return words


def test_svg_is_one_path_that_holds_all_the_ink():
    svg = ET.fromstring(to_svg(page()))
    paths = [e for e in svg.iter() if e.tag.endswith("path")]
    assert len(paths) == 1
    assert (
        paths[0].get("stroke-linejoin") == paths[0].get("stroke-linecap") == "round"
        and paths[0].get("fill") == "none"
    )
    x, y, w, h = map(float, svg.get("viewBox").split())
    numbers = np.array(re.findall(r"-?\d+\.\d+", paths[0].get("d")), float).reshape(-1, 2)
    ends = np.vstack([p.points[:, :2] + p.page for p in page()]) * MM
    assert (
        ends[:, 0].min() >= x
        and ends[:, 0].max() <= x + w
        and ends[:, 1].min() >= y
        and ends[:, 1].max() <= y + h
    )
    assert paths[0].get("d").count("M") == 10 and len(numbers) > 80


def test_text_in_svg_cannot_become_markup():
    assert ET.fromstring(to_svg(page()))[0].text == " ".join(w.text for w in page())


def test_curves_pass_through_the_points_and_do_not_loop_at_cusps():
    xy = np.random.default_rng(1).uniform(0, 1, (30, 2))
    np.testing.assert_array_equal(bezier(xy)[::3], xy)
    assert len(bezier(xy[:1])) == 1
    cusp = bezier(np.array([[0, 0], [1, 0], [0.99, 0.01], [0, 1]]))
    assert cusp[:, 0].max() < 1.05


MAGIC = {
    "png": b"\x89PNG",
    "pdf": b"%PDF",
    "svg": b"<svg",
    "anim.svg": b"<svg",
    "gif": b"GIF89a",
    "hpgl": b"IN;",
    "gcode": b"; ",
    "json": b"[{",
}


@pytest.mark.parametrize("kind", FORMATS)
def test_files(tmp_path, kind):
    magic = MAGIC[kind]
    assert save_page(page(), tmp_path / f"p.{kind}").read_bytes().startswith(magic)
    assert [p.name for p in tmp_path.iterdir()] == [f"p.{kind}"]


def test_unwritable_places_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CursiveError, match="Cannot write"):
        save_page(page(), tmp_path / "file" / "p.svg")
    with pytest.raises(CursiveError, match="'png'"):
        save_page(page(), tmp_path / "p.pgn")
    assert kind_of("A.B.ANIM.SVG") == "anim.svg" and kind_of("anim.svg") == "svg"


def test_a_plot_shows_all_the_ink_and_the_indices():
    fig, ax = plot_words(page(), show_indices=True)
    assert [t.get_text() for t in ax.texts] == list("01234")
    points = np.vstack([p.points[:, :2] + p.page for p in page()])
    assert ax.get_xlim()[0] <= points[:, 0].min() and ax.get_xlim()[1] >= points[:, 0].max()
    assert ax.yaxis_inverted()


def lines(n):
    return [
        [
            Word("w", np.array([[0, -0.2, 1], [0.3, 0.1, 1], [0.3, 0.1, 0]]), page=(x, 0.6 * i))
            for x in (0.0, 1.0)
        ]
        for i in range(n)
    ]


def test_a_page_line_by_line_is_the_page_at_once(tmp_path):
    with page_writer(tmp_path / "a.svg", margin=0.3) as add:
        for line in lines(30):
            add(line)
    assert (tmp_path / "a.svg").read_text() == to_svg(sum(lines(30), []), margin=0.3)


def test_a_page_that_breaks_off_is_not_there(tmp_path):
    for kind in FORMATS:
        with pytest.raises(KeyboardInterrupt), page_writer(tmp_path / f"a.{kind}") as add:
            add(lines(1)[0])
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n, pages", [(1, 1), (18, 1), (45, 3)])
def test_a_long_pdf_turns_the_page(tmp_path, n, pages):
    data = save_page(sum(lines(n), []), tmp_path / "a.pdf").read_bytes()
    boxes = [list(map(float, box)) for box in re.findall(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", data)]
    assert (
        len(boxes) == pages
        and len({w for w, _ in boxes}) == 1
        and all(h <= PAGE * MM * 72 / 25.4 + 1e-3 for _, h in boxes)
    )


def test_a_png_that_would_be_too_long_says_what_to_do(tmp_path):
    with pytest.raises(CursiveError, match="pdf"):
        save_page(sum(lines(200), []), tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_the_command_names_every_kind_of_file():
    action = next(
        a
        for p in make_parser()._subparsers._group_actions
        for a in p.choices["write"]._actions
        if a.dest == "output"
    )
    assert [k for k in FORMATS if f".{k}" not in action.help] == []


def test_bytes_are_the_file(tmp_path):
    for kind in FORMATS.keys() - {"pdf"}:
        assert (
            page_bytes(page(), kind, margin=0.5)
            == save_page(page(), tmp_path / f"p.{kind}", margin=0.5).read_bytes()
        )  # a PDF holds the time


def test_flattened_curves_stay_at_the_curve():
    xy = np.cumsum(np.random.default_rng(0).normal(0, 0.03, (40, 2)), 0)
    flat, t = flatten(xy), np.linspace(0, 1, 50)[:, None]
    a, b, c, d = (bezier(xy)[i : len(bezier(xy)) - 3 + i : 3, None] for i in range(4))
    fine = ((1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d).reshape(-1, 2)
    start, step = flat[:-1], np.diff(flat, axis=0)
    along = (((fine[:, None] - start) * step).sum(2) / (step**2).sum(1).clip(1e-12)).clip(0, 1)
    assert np.linalg.norm(fine[:, None] - start - along[..., None] * step, axis=2).min(1).max() * MM < 0.05


def stroke_count(words):
    return sum(len(strokes(w.points)) for w in words)


def timings(svg):
    return np.array(re.findall(r"--at:([\d.]+);--way:([\d.]+)", svg), float)


def test_a_moving_svg_draws_every_stroke_at_the_speed_of_the_pen():
    svg = page_bytes(page(), "anim.svg").decode()
    root, times = ET.fromstring(svg), timings(svg)
    ink = [e for e in root.iter() if e.tag.endswith("path")]
    assert len(ink) == len(times) == stroke_count(page()) and "<script" not in svg
    assert "".join(p.get("d") for p in ink) == ET.fromstring(to_svg(page())).find("{*}path").get(
        "d"
    )  # the same drawing
    assert root.get("viewBox") == ET.fromstring(to_svg(page())).get("viewBox")
    curves = [flatten(s) for w in page() for s in strokes(on_page(w))]
    np.testing.assert_allclose(
        times[:, 1], [np.hypot(*np.diff(c, axis=0).T).sum() for c in curves], atol=1e-3
    )
    gaps = [np.hypot(*(b[0] - a[-1])) / AIR for a, b in zip(curves, curves[1:])]
    np.testing.assert_allclose(times[1:, 0] - times[:-1].sum(1), gaps, atol=2e-3)
    assert f"--pace:{min(1 / SPEED, LONGEST / times[-1].sum()):.3f}" in svg


def test_a_long_moving_svg_takes_a_minute_and_is_the_same_line_by_line(tmp_path):
    with page_writer(tmp_path / "a.anim.svg") as add:
        for line in lines(400):
            add(line)
    svg = (tmp_path / "a.anim.svg").read_text()
    assert svg.encode() == page_bytes(sum(lines(400), []), "anim.svg")
    pace = float(re.search(r"--pace:([\d.]+)s", svg)[1])
    assert timings(svg)[-1].sum() * pace == pytest.approx(LONGEST, rel=0.01) and pace < 1 / SPEED


def test_pages_that_move_do_not_disturb_each_other():
    names = [
        re.search(r"<style>\.(\w+)", page_bytes(p, "anim.svg").decode())[1]
        for p in (page(), page()[:4], lines(1)[0])
    ]
    svg = page_bytes(page(), "anim.svg").decode()
    assert (
        len(set(names)) == 3
        and "@-" not in svg
        and set(re.findall(r'(?:id|href)="#?(\w+)-', svg)) == {names[0]}
    )


def test_a_browser_draws_the_strokes_one_after_the_other(chromium, tmp_path):
    "Ink of a stroke under way, of one that is done and of one to come; and at once where no motion is wanted."
    from PIL import Image

    bars = [
        Word(
            "bars",
            np.array([[x, 0.1 * i, p] for i in range(3) for x, p in ((0, 1), (1, 1), (1, 0))]),
            page=(0.0, 0.0),
        )
    ]
    path = save_page(bars, tmp_path / "a.anim.svg", linewidth=1.0)
    times = timings(path.read_text())

    def dark(tab):  # share of each bar that is drawn
        picture = np.asarray(Image.open(io.BytesIO(tab.screenshot())).convert("L"), float)
        x, y = (
            ((np.array([0, 1]) + 0.2) * MM * 96 / 25.4).astype(int),
            ((np.arange(3) * 0.1 + 0.2) * MM * 96 / 25.4).astype(int),
        )
        return [(picture[row - 1 : row + 2, x[0] : x[1]].min(0) < 128).mean() for row in y]

    tab = chromium.new_page()
    tab.goto(path.as_uri())

    def at(way):
        tab.evaluate(
            "t => document.getAnimations().forEach(a => { a.pause(); a.currentTime = t; })",
            way / SPEED * 1000,
        )

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


def frames(data):
    from PIL import Image, ImageSequence

    return [
        (np.asarray(f.convert("RGB"), int), f.info["duration"])
        for f in ImageSequence.Iterator(Image.open(io.BytesIO(data)))
    ]


def test_a_gif_adds_ink_and_ends_with_the_page():
    shown = frames(page_bytes(lines(2)[0], "gif", color="#00f"))
    ink = [((p[..., 2] > p[..., 0] + 100) & (p[..., 0] < 60)).sum() for p, _ in shown]
    assert (
        len(shown) > 3 and all(b >= a - 30 for a, b in zip(ink, ink[1:])) and ink[-1] > 3 * ink[0]
    )  # the tip hides some
    assert (
        shown[-1][1] > 1000 > shown[0][1]
        and not (shown[-1][0] == [221, 51, 51]).all(-1).any()
        and (shown[0][0] == [221, 51, 51]).all(-1).any()
    )


def test_a_gif_is_bounded():
    shown = frames(page_bytes(sum(lines(30), []), "gif"))
    assert len(shown) <= FRAMES and shown[0][0].shape[0] * shown[0][0].shape[1] <= motion.PIXELS * 1.02
    with pytest.raises(CursiveError, match="anim.svg"):
        page_bytes(sum(lines(500), []), "gif")


def pen_downs(hpgl):  # [(x, y) in plotter units a stroke], as a plotter reads it
    out = []
    for command in filter(None, hpgl.strip().split(";")):
        numbers = np.array(command[2:].split(",") if command[2:] else [], float)
        if command.startswith("PU") and len(numbers):
            at = numbers
        if command.startswith("PD"):
            out.append(np.vstack([at, numbers.reshape(-1, 2)]))
    return out


def curves_mm(words):
    return [flatten(s) * MM for w in words for s in strokes(on_page(w))]


def written(n):  # a page of human size, with two dots
    rng = np.random.default_rng(3)
    dot = np.array([[0.2, -0.3, 1], [0.2, -0.3, 0], [0.4, -0.3, 1], [0.4, -0.3, 1], [0.4, -0.3, 0]])
    return [
        Word(
            "w",
            np.vstack([np.c_[np.cumsum(rng.normal(0.02, 0.03, (30, 2)), 0), np.r_[np.ones(29), 0]], dot]),
            page=(1.2 * (i % 3), 0.6 * (i // 3)),
        )
        for i in range(n)
    ]


def same_curves(got, words):
    "Both are the same strokes, in the same order and size, wherever the page lies; y points upwards."
    want = curves_mm(words)
    assert len(got) == len(want) == stroke_count(words)
    shift = got[0][0] - want[0][0] * [1, -1]
    for g, w in zip(got, want):
        if np.ptp(w, axis=0).max() < 1e-9:
            w = w[:1].repeat(2, 0)  # a dot
        np.testing.assert_allclose(g, w * [1, -1] + shift, atol=0.03)


@pytest.mark.parametrize("n, paper, turned", [(6, "PS4", False), (40, "PS4", True), (54, "PS0", True)])
def test_hpgl_is_the_page_in_millimetres_on_the_smallest_paper(n, paper, turned):
    data = page_bytes(written(n), "hpgl").decode()
    units = pen_downs(data)
    low, high = np.min([c.min(0) for c in units], 0), np.max([c.max(0) for c in units], 0)
    room = np.array([11040, 7721] if paper == "PS4" else [16158, 11040])
    assert data.startswith("IN;") and f";{paper};" in data and data.count("PD") == stroke_count(written(n))
    assert (low >= 0).all() and (high <= room).all()
    np.testing.assert_allclose(low, room - high, atol=60)  # in the middle, by a millimetre
    same_curves(
        [xy * 0.02488 @ (np.array([[0, -1], [1, 0]]) if turned else np.eye(2)) for xy in units], written(n)
    )


def test_gcode_is_the_page_in_millimetres():
    words = written(6)
    text = page_bytes(words, "gcode", margin=0.3).decode()
    width, height = map(float, re.match(r"; ([\d.]+) x ([\d.]+) mm", text).groups())
    np.testing.assert_allclose(
        [width, height],
        np.ptp(np.vstack([on_page(w)[:, :2] for w in words]), axis=0) * MM + 0.6 * MM,
        atol=0.06,
    )
    got, down, at = [], False, None
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
    low, high = np.vstack(got).min(0), np.vstack(got).max(0)
    assert (low >= 0.25 * MM).all() and (high <= [width - 0.25 * MM, height - 0.25 * MM]).all() and not down
    assert text.index("G21") < text.index("G0 X")


def test_what_no_paper_holds_says_what_to_do(tmp_path):
    with pytest.raises(CursiveError, match="larger than A3"):
        save_page(written(90), tmp_path / "a.hpgl")
    assert save_page(written(90), tmp_path / "a.gcode").stat().st_size and [
        p.name for p in tmp_path.iterdir()
    ] == ["a.gcode"]


@pytest.mark.parametrize("kind", ["hpgl", "gcode"])
def test_without_vpype_the_extra_is_named(monkeypatch, tmp_path, kind):
    monkeypatch.setitem(sys.modules, "vpype", None)
    with pytest.raises(CursiveError, match=r"pip install 'cursivetransformer\[plotter\]'"):
        save_page(page(), tmp_path / f"a.{kind}")
    assert list(tmp_path.iterdir()) == []
