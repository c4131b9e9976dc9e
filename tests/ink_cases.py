"""Pages of made-up ink, and what a writer makes of them."""

import dataclasses
import io
import re
import xml.etree.ElementTree as ET

import numpy as np

from cursivetransformer.ink.curves import MM, flatten, on_page
from cursivetransformer.ink.points import Word, resample, strokes, with_pen_up
from cursivetransformer.ink.sheets import Sheet, ink_box

SVG = "{http://www.w3.org/2000/svg}"


def page():
    "Five words of two strokes, far outside any ruled box, whose texts could be taken for markup."
    rng = np.random.default_rng(0)
    words = []
    for i in range(5):
        xy = rng.uniform(-1, 2, (20, 2))
        pen = np.ones(20)
        pen[[9, 19]] = 0
        words.append(Word(f'w{i}<&">', np.c_[xy, pen], page=(2.0 * i, 0.6)))
    return words


def lines(n):
    "A page of n lines of two words."
    ink = np.array([[0, -0.2, 1], [0.3, 0.1, 1], [0.3, 0.1, 0]])
    return [[Word("w", ink, page=(x, 0.6 * i)) for x in (0.0, 1.0)] for i in range(n)]


def words_of(lines):
    return [word for line in lines for word in line]


def written(n):
    "A page of human size: n words, each with two dots."
    rng = np.random.default_rng(3)
    dots = np.array([[0.2, -0.3, 1], [0.2, -0.3, 0], [0.4, -0.3, 1], [0.4, -0.3, 1], [0.4, -0.3, 0]])
    words = []
    for i in range(n):
        xy = np.cumsum(rng.normal(0.02, 0.03, (30, 2)), 0)
        points = np.vstack([np.c_[xy, np.r_[np.ones(29), 0]], dots])
        words.append(Word("w", points, page=(1.2 * (i % 3), 0.6 * (i // 3))))
    return words


def stroke_count(words):
    return sum(len(strokes(w.points)) for w in words)


def curves_of(words):
    "The flattened curves of a page's strokes, in the order of writing, mm; a dot stays a point."
    return [flatten(s * MM) for w in words for s in strokes(on_page(w))]


def bytes_of(writer, page, style=None, title="", language="en"):
    "What a writer makes of words, of a sheet, or of several."
    sheets = [page] if isinstance(page, Sheet) else page
    if not sheets or isinstance(sheets[0], Word):
        sheets = [Sheet(list(sheets))]
    file = io.BytesIO()
    with writer(file, style, title, language) as add:
        for sheet in sheets:
            add(sheet)
    return file.getvalue()


def text_of(writer, page, style=None, title="", language="en"):
    "What a writer of text makes of a page."
    return bytes_of(writer, page, style, title, language).decode()


def on_paper(words, width=210, height=297, rules=()):
    "Words moved into the middle of a sheet of paper."
    box = ink_box(words)
    shift = (np.array([width, height]) - box.sum(0)) / 2 / MM
    moved = [dataclasses.replace(word, page=tuple(np.array(word.page) + shift)) for word in words]
    return Sheet(moved, width, height, rules)


def taps(n, ink=()):
    "Words of a tap each: a point and its pen-up point, twice the point, or a lone point; then other words."
    kinds = ([[0, 0, 1], [0, 0, 0]], [[0, 0, 1], [0, 0, 1], [0, 0, 0]], [[0, 0, 1]])
    words = [Word(".", np.array(kinds[i % 3], float), page=(0.3 * i, 0.0)) for i in range(n)]
    return [*words, *ink]


def path_points(data):
    "The sub-paths of SVG path data as lists of the points they pass, mm, by the letter of the standard."
    out = []
    at = np.zeros(2)
    for command, text in re.findall(r"([MmclsSz])([^MmclsSz]*)", data):
        numbers = np.array(re.findall(r"-?(?:\d+\.?\d*|\.\d+)", text), float).reshape(-1, 2)
        if command == "z":
            out[-1].append(out[-1][0])
            at = out[-1][0]
            continue
        if command in "Mm":
            at = numbers[0] if command == "M" else at + numbers[0]
            out.append([at])
            assert len(numbers) == 1
            continue
        each = {"c": 3, "s": 2, "l": 1}[command]
        for segment in numbers.reshape(-1, each, 2):
            at = at + segment[-1]
            out[-1].append(at)
    return [np.array(points) for points in out]


def drawn_paths(svg):
    "All paths of an SVG's ink, in the order in which they stand there: (element, points of its sub-paths)."
    root = ET.fromstring(svg)
    ink = [e for e in root.findall(f"{SVG}g") if e.get("class") != "ruling"]
    return [(path, path_points(path.get("d"))) for group in ink for path in group.iter(f"{SVG}path")]


def furthest(points, line):
    "How far the furthest of some points is from a line of straight pieces, across or up, whichever is more."
    line = np.asarray(line, float)
    begin = line[:-1] if len(line) > 1 else line
    way = line[1:] - begin if len(line) > 1 else np.zeros((1, 2))
    from_begin = points[:, None] - begin
    # The larger of two distances is least at an end, where one is nothing, or where both are alike.
    over = [
        from_begin[..., 0],
        from_begin[..., 1],
        from_begin.sum(-1),
        from_begin[..., 0] - from_begin[..., 1],
    ]
    under = [way[:, 0], way[:, 1], way.sum(-1), way[:, 0] - way[:, 1]]
    places = [np.zeros(from_begin.shape[:2]), np.ones(from_begin.shape[:2])]
    places += [np.divide(a, b, where=b != 0, out=np.zeros_like(a)).clip(0, 1) for a, b in zip(over, under)]
    distances = [np.abs(from_begin - place[..., None] * way).max(-1) for place in places]
    return np.min(distances, 0).min(1).max()


def turning_angles(drawn, spacing):
    "By how much the strokes of a word turn, radians, at points of their curves at equal distances."
    angles = [np.zeros(0)]
    for xy in drawn:
        points = with_pen_up(flatten(xy))
        if np.hypot(*np.diff(xy, axis=0).T).sum() > 3 * spacing:
            steps = np.diff(resample(points, spacing)[:-1, :2], axis=0) @ [1, 1j]
            angles.append(np.abs(np.angle(steps[1:] * steps[:-1].conj())))
    return np.concatenate(angles)


def cusps_of(xy, arm=0.03, least=110):
    "The points of a stroke where it turns most, by so many degrees from the arm before to the arm behind."
    along = np.append(0, np.hypot(*np.diff(xy, axis=0).T).cumsum())
    z = xy @ [1, 1j]
    before = z - np.interp(along - arm, along, z)
    behind = np.interp(along + arm, along, z) - z
    turn = np.abs(np.angle(behind * before.conj()), where=(before != 0) & (behind != 0), out=np.zeros(len(z)))
    turn[(along < arm) | (along > along[-1] - arm)] = 0
    sharp = np.flatnonzero(turn > np.deg2rad(least))
    return [xy[i] for i in sharp if turn[i] >= turn[np.abs(along - along[i]) < arm].max()]
