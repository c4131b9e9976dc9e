"""What other programs make of our files: pdfinfo, pdftotext, rsvg, vpype, hp2xx, and a reader of G-code."""

import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

SVG = "{http://www.w3.org/2000/svg}"


def said_by(*command, stdin=None) -> bytes:
    "What a program of the system says on its standard output; it has to end well, and quietly."
    if not shutil.which(command[0]):
        pytest.skip(f"needs {command[0]}, which .ci/run installs")
    done = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, timeout=300)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


# Paper


def pdf_sizes(path) -> list:
    "Width and height of each page of a PDF, mm, as pdfinfo measures them."
    text = said_by("pdfinfo", "-f", "1", "-l", "9999", path).decode()
    found = re.findall(r"^Page +\d+ size: +([\d.]+) x ([\d.]+) pts", text, flags=re.M)
    assert len(found) == int(re.search(r"^Pages: +(\d+)", text, flags=re.M)[1])
    return [(float(w) / 72 * 25.4, float(h) / 72 * 25.4) for w, h in found]


def pdf_facts(path) -> dict:
    "Title, language and the like of a PDF, as pdfinfo says them."
    text = said_by("pdfinfo", path).decode()
    return {name: value.strip() for name, value in re.findall(r"^([^:\n]+):(.*)$", text, flags=re.M)}


def pdf_words(path, page: int) -> list:
    "The words that pdftotext finds on a page, from 1: text and its box (left, top, right, bottom) in mm."
    html = said_by("pdftotext", "-f", page, "-l", page, "-bbox", path, "-").decode()
    words = []
    for word in ET.fromstring(re.sub(' xmlns="[^"]*"', "", html[html.index("<html") :])).iter("word"):
        box = [float(word.get(name)) / 72 * 25.4 for name in ("xMin", "yMin", "xMax", "yMax")]
        words.append((word.text, box))
    return words


def pdf_picture(path, page: int, dpi: int = 100) -> np.ndarray:
    "A page of a PDF as poppler draws it: (rows, columns), 0 black to 255 white."
    png = said_by("pdftoppm", "-f", page, "-l", page, "-r", dpi, "-png", path)
    return np.asarray(Image.open(BytesIO(png)).convert("L"))


def svg_picture(path, dpi: int = 100) -> np.ndarray:
    "An SVG as librsvg draws it on white."
    png = said_by("rsvg-convert", "-d", dpi, "-p", dpi, "-b", "white", path)
    return np.asarray(Image.open(BytesIO(png)).convert("L"))


def ink_edges(picture: np.ndarray, dpi: int) -> list:
    "The distance of the ink from the left, top, right and bottom edge of a picture, mm."
    dark = picture < 160
    rows = dark.any(1).nonzero()[0]
    columns = dark.any(0).nonzero()[0]
    height, width = dark.shape
    edges = [columns[0], rows[0], width - 1 - columns[-1], height - 1 - rows[-1]]
    return [float(e) / dpi * 25.4 for e in edges]


# Strokes


def vpype_strokes(path) -> list:
    "The strokes of an SVG as vpype reads them, in its order: (N, 2) arrays, mm."
    import vpype

    lines, _, _ = vpype.read_svg(str(path), quantization=0.5)
    mm = vpype.convert_length("mm")
    return [np.column_stack([line.real, line.imag]) / mm for line in lines]


@dataclass
class Plotted:
    "What a plotter would draw."

    strokes: list = field(default_factory=list)  # of (N, 2) arrays, mm from the origin, y upwards
    pauses: list = field(default_factory=list)  # how many strokes were drawn before each pause


def gcode_plot(text: str, down=r"G1 Z0( F\S+)?", up=r"G0 Z[1-9]\S*", pause=r"M0\b.*") -> Plotted:
    "What a machine with a pen does that is told this: every line has to be understood."
    plotted = Plotted()
    place = np.zeros(2)
    pen = None  # the points of the stroke being drawn
    for line in text.splitlines():
        line = re.sub(r";.*|\(.*?\)", "", line).strip()
        if re.fullmatch(down, line):
            assert pen is None, "the pen is down already"
            pen = [place]
        elif re.fullmatch(up, line):
            if pen:
                plotted.strokes.append(np.array(pen))
            pen = None
        elif re.fullmatch(pause, line):
            assert pen is None, "a pause with the pen on the paper"
            plotted.pauses.append(len(plotted.strokes))
        elif move := re.fullmatch(r"G([01]) X(\S+) Y(\S+)( F\S+)?", line):
            assert (move[1] == "1") == (pen is not None), f"the pen is {'down' if pen else 'up'} at {line}"
            place = np.array([float(move[2]), float(move[3])])
            if pen is not None:
                pen.append(place)
        else:
            assert re.fullmatch(r"|G(21|90|17|94|4 P\S+)|M[2-5]\b.*|F\S+", line), line
    assert pen is None, "the pen is down at the end"
    return plotted


def hpgl_plot(path, folder) -> Plotted:
    "What hp2xx draws, by units of 0.025 mm; without a paper from the corner of what is drawn."
    drawing = folder / "hp2xx.svg"
    said_by("hp2xx", "-q", "-t", "-m", "svg", "-f", drawing, path)
    root = ET.parse(drawing).getroot()
    height = float(root.get("viewBox").split()[3])
    strokes = []
    for path in root.iter(f"{SVG}path"):
        xy = np.array(re.findall(r"-?[\d.]+", path.get("d")), float).reshape(-1, 2)
        xy = np.column_stack([xy[:, 0], height - xy[:, 1]]) / 72 * 25.4
        # It cuts long strokes into pieces.
        if strokes and np.abs(strokes[-1][-1] - xy[0]).max() < 1e-6:
            strokes[-1] = np.vstack([strokes[-1], xy[1:]])
        else:
            strokes.append(xy)
    return Plotted(strokes)
