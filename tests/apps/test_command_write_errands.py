"""A letter, envelopes, a worksheet and a card: one command each, measured by other programs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from commands import Commands
from PIL import Image
from programs import (
    gcode_plot,
    hpgl_plot,
    ink_edges,
    pdf_facts,
    pdf_picture,
    pdf_sizes,
    pdf_words,
    svg_picture,
    vpype_strokes,
)

from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.curves import on_page
from cursivetransformer.ink.points import strokes

PARAGRAPH = (
    "I came on the first train, when the fields were white and nobody was about, and walked from the "
    "station along the river. The house stands as it stood, with the bench under the chestnut and the "
    "gate that never closes. I brought bread, apples and your book, which I have read twice. Do you "
    "still write in the evening? There is a table by the window that nobody uses, and ink enough."
)
DATE = "27 November 2026"
LETTER = "\n".join(
    [
        " " * 60 + DATE,
        "",
        "Dear Anna,",
        "",
        PARAGRAPH,
        "",
        "Please bring",
        "  - the key of the garden",
        "  - two blankets, since nights are cold here and the stove is small",
        "",
        PARAGRAPH,
        "",
        " " * 40 + "Yours, Tom",
    ]
)
GUESTS = """name,street,city
Ada Byron,12 St James Square,London
Emmy Noether,3 Garden Road,Erlangen
"Grace Hopper",5 Harbour Street,New York
Mary Cassatt,9 Rue Laffitte,Paris
Clara Schumann,7 Inselstrasse,Leipzig
"""
CARD = "\n".join(["Dear Anna,", "", f"{PARAGRAPH}", "", PARAGRAPH, "", " " * 20 + "Yours, Tom"])


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


def ink_on_sheets(path) -> list:
    "The strokes of each sheet of a saved page, mm, in the order of writing."
    words = load_bank(str(path)).words
    items = json.loads(Path(path).read_text())
    sheets = {}
    for word, item in zip(words, items):
        sheet = item["metadata"].get("sheet", 0)
        sheets.setdefault(sheet, []).extend(stroke * 25 for stroke in strokes(on_page(word)))
    return [sheets[number] for number in sorted(sheets)]


def assert_in_order(drawn, meant, within):
    "Strokes are as many, in the same order, each from where it begins to where it ends; mm."
    assert len(drawn) == len(meant)
    for a, b in zip(drawn, meant):
        assert np.abs(a[0] - b[0]).max() <= within and np.abs(a[-1] - b[-1]).max() <= within


@pytest.mark.slow
def test_a_letter_of_two_pages_with_the_date_on_the_right(command, tmp_path):
    (tmp_path / "letter.txt").write_text(LETTER)
    outputs = ["-o", "letter.pdf", "-o", "letter.json", "-o", "letter.svg"]
    done = command("write", "--file", "letter.txt", "--paper", "a4", "--line-height", 12, *outputs)
    assert done.returncode == 0, done.stderr
    letter = tmp_path / "letter.pdf"
    assert np.abs(np.array(pdf_sizes(letter)) - [[210, 297]] * 2).max() < 0.1
    facts = pdf_facts(letter)
    assert facts["Title"] and facts["Pages"] == "2"
    # The text can be searched, in order, where the words are.
    pages = [pdf_words(letter, page) for page in (1, 2)]
    said = [text for page in pages for text, _ in page]
    assert said == [w.text for w in load_bank("letter.json").words]
    assert [w for w in said if w != "-"] == [w for w in LETTER.split() if w != "-"]
    date = pages[0][: len(DATE.split())]
    assert [text for text, _ in date] == DATE.split()
    assert 175 < date[-1][1][2] <= 190 and date[0][1][0] > 105
    # Nothing is in the margins, on either page, and letters are of one size on both.
    heights = []
    for number, words in enumerate(pages, 1):
        picture = pdf_picture(letter, number)
        assert picture.shape == pytest.approx((297 / 25.4 * 100, 210 / 25.4 * 100), abs=1)
        assert min(ink_edges(picture, 100)) > 18
        heights += [box[3] - box[1] for text, box in words if text == "the"]
    assert max(heights) < 1.5 * min(heights)
    # As many strokes as were written; the drawings are sheets of their own.
    sheets = ink_on_sheets(tmp_path / "letter.json")
    assert len(sheets) == 2
    for number, meant in enumerate(sheets, 1):
        assert_in_order(vpype_strokes(tmp_path / f"letter-{number}.svg"), meant, 0.05)
        assert np.abs(np.array(svg_picture(f"letter-{number}.svg").shape) - [1169, 827]).max() <= 1


def test_envelopes_from_a_table_of_five_guests(command, tmp_path):
    (tmp_path / "guests.csv").write_text(GUESTS)
    address = r"{name}\n{street}\n{city}"
    done = command("write", address, "--mail", "guests.csv", "--paper", "c6", "-o", "envelope.pdf")
    assert done.returncode == 0, done.stderr
    rows = GUESTS.replace('"', "").splitlines()[1:]
    envelopes = [f"envelope-{row.split(',')[0]}.pdf" for row in rows]
    assert done.stdout.splitlines() == envelopes
    assert sorted(p.name for p in tmp_path.glob("*.pdf")) == sorted(envelopes)
    for envelope, row in zip(envelopes, rows):
        (size,) = pdf_sizes(envelope)
        assert np.abs(np.array(size) - [162, 114]).max() < 0.1
        words = pdf_words(envelope, 1)
        assert [text for text, _ in words] == row.replace(",", " ").split()
        # Where sorting machines look for it.
        left, top, right, bottom = ink_edges(pdf_picture(envelope, 1), 100)
        assert left > 60 and top > 37 and right > 10 and bottom > 13


def test_a_guest_who_cannot_be_written_is_named_and_the_others_are_written(command, tmp_path):
    (tmp_path / "guests.csv").write_text(GUESTS.replace("Paris", "Paris €"))
    done = command("write", r"{name}\n{city}", "--mail", "guests.csv", "--paper", "c6", "-o", "e.pdf")
    assert done.returncode == 1 and len(list(tmp_path.glob("e*.pdf"))) == 4
    assert "row 4 of guests.csv is left out" in done.stderr and "'€'" in done.stderr
    assert "Traceback" not in done.stderr
    done = command("write", "{nam}", "--mail", "guests.csv", "--paper", "c6", "-o", "f.pdf")
    assert done.returncode == 2 and "nam" in done.stderr and not list(tmp_path.glob("f*"))


def test_a_worksheet_for_the_letter_k(command, tmp_path):
    lines = r"k k k k k k\nkite king\nkeep kind"
    sheet = ["--paper", "a4", "--ruling", "four-line", "--repeat", 3, "--trace", "dashed"]
    outputs = ["-o", "k.pdf", "-o", "k.svg"]
    done = command("write", lines, *sheet, "--fields", "Name,Date", *outputs)
    assert done.returncode == 0, done.stderr
    assert np.abs(np.array(pdf_sizes(tmp_path / "k.pdf")) - [210, 297]).max() < 0.1
    said = " ".join(text for text, _ in pdf_words(tmp_path / "k.pdf", 1))
    assert said.count("k k k k k k") == 3 and said.count("kite king") == 3 and "Name" in said
    # Four lines a line of writing, over the whole width between the margins.
    picture = svg_picture(tmp_path / "k.svg", 200) < 230
    full = picture.sum(1) > 0.3 * picture.shape[1]  # one of the four is dashed
    rules = np.flatnonzero(np.diff(full.astype(int)) == 1)
    assert len(rules) >= 4 * 17  # and the fields' own lines
    assert "stroke-dasharray" in (tmp_path / "k.svg").read_text()


@pytest.mark.slow
def test_a_card_of_two_pages_for_a_plotter(command, tmp_path):
    (tmp_path / "card.txt").write_text(CARD)
    paper = ["--paper", "a5", "--letter-size", 1.8, "--device", "hpgl", "--page-pause", "M0"]
    servo = ["--pen-down", "M3 S30; G4 P0.2", "--pen-up", "M5", "--feed", 1500]
    outputs = [part for name in ("card.gcode", "card.json", "card.pdf") for part in ("-o", name)]
    done = command("write", "--file", "card.txt", *paper, *servo, *outputs)
    assert done.returncode == 0, done.stderr
    assert np.abs(np.array(pdf_sizes(tmp_path / "card.pdf")) - [[148, 210]] * 2).max() < 0.1
    sheets = ink_on_sheets(tmp_path / "card.json")
    assert len(sheets) == 2
    meant = [np.array([0, 210]) + stroke * [1, -1] for sheet in sheets for stroke in sheet]
    program = (tmp_path / "card.gcode").read_text()
    plotted = gcode_plot(program, down=r"M3 S30", up=r"M5", pause=r"M0")
    assert_in_order(plotted.strokes, meant, 0.011)  # a tap is a hundredth of a millimetre long
    assert plotted.pauses[0] == len(sheets[0]) and "F1500" in program
    ink = np.vstack(plotted.strokes)
    assert (ink > 10).all() and (ink < [138, 200]).all()
    # The same for a device that speaks HPGL: a file a sheet.
    done = command("write", "--from", "card.json", "--page-pause", "", "-o", "card.hpgl")
    assert done.returncode == 0, done.stderr
    for number, sheet in enumerate(sheets, 1):
        plot = tmp_path / f"card-{number}.hpgl"
        meant = [np.array([0, 210]) + stroke * [1, -1] for stroke in sheet]
        drawn = hpgl_plot(plot, tmp_path).strokes
        shift = meant[0][0] - drawn[0][0]  # hp2xx begins at the ink's own corner
        assert_in_order([stroke + shift for stroke in drawn], meant, 0.05)
        first = re.search(r"PU(\d+),(\d+);PD", plot.read_text())
        np.testing.assert_allclose([int(v) * 0.025 for v in first.groups()], meant[0][0], atol=0.02)


# A long text


@pytest.fixture(scope="module")
def long_page(tmp_path_factory, default):
    "A page of 5,000 words, some of them the same ink: its SVG, and the strokes meant."
    from cursivetransformer.options import WritingOptions
    from cursivetransformer.writing.layout import layout
    from cursivetransformer.writing.page import save_page, write

    few = write(PARAGRAPH, default, respell=None)
    words = layout([few[i % len(few)] for i in range(5000)], WritingOptions())
    path = tmp_path_factory.mktemp("long") / "long.svg"
    save_page(words, path)
    return path, [stroke * 25 for word in words for stroke in strokes(on_page(word))]


@pytest.mark.slow
def test_5000_words_open_in_vpype_with_every_stroke_in_order(long_page):
    path, meant = long_page
    drawn = vpype_strokes(path)
    shift = meant[0][0] - drawn[0][0]  # the ink's own corner
    assert_in_order([stroke + shift for stroke in drawn], meant, 0.05)


@pytest.mark.slow
def test_5000_words_open_in_librsvg(long_page):
    path, _ = long_page
    text = path.read_text()
    # No attribute is larger than what libxml2 takes, and no --unlimited is needed.
    assert max(map(len, re.findall(r'"[^"]*"', text))) < 1_000_000
    picture = svg_picture(path, 24)
    assert (picture < 200).any(1).mean() > 0.2  # lines from the first to the last
    assert min(ink_edges(picture, 24)) < 7


@pytest.mark.slow
def test_5000_words_open_in_chromium(long_page, chromium, tmp_path):
    path, meant = long_page
    page = chromium.new_context(viewport={"width": 900, "height": 600}).new_page()
    page.goto(path.as_uri())
    marks = page.evaluate(
        """() => [...document.querySelectorAll('path')]
            .map(p => p.getAttribute('d').split(/(?=[Mm])/).length).reduce((a, b) => a + b)"""
    )
    assert marks == len(meant)
    page.screenshot(path=tmp_path / "seen.png")
    assert (np.asarray(Image.open(tmp_path / "seen.png").convert("L")) < 128).any()
