"""Pages of made-up ink, and what a writer makes of them."""

import io

import numpy as np

from cursivetransformer.ink.curves import flatten, on_page
from cursivetransformer.ink.points import Word, strokes


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
    "The flattened curves of a page's strokes, in the order of writing."
    return [flatten(s) for w in words for s in strokes(on_page(w))]


def text_of(writer, words, **style):
    "What a writer of text makes of a page."
    pieces = []
    with writer(pieces.append, **style) as add:
        add(words)
    return "".join(pieces)


def bytes_of(writer, words, **style):
    "What a writer into a binary file makes of a page."
    file = io.BytesIO()
    with writer(file, **style) as add:
        add(words)
    return file.getvalue()
