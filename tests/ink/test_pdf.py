import io
import re
import tracemalloc
import zlib

import numpy as np
import pytest
from ink_cases import bytes_of, lines, on_paper, page, taps, words_of, written
from programs import ink_edges, pdf_facts, pdf_picture, pdf_sizes, pdf_words, said_by

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.pdf import A4_HEIGHT, pdf_writer
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.sheets import Rule, Sheet, Style, ink_box, pen_strokes, restyle


@pytest.fixture
def saved(tmp_path):
    "Save what the writer makes of a page; the path."

    def save(page, style=None, **about):
        path = tmp_path / "a.pdf"
        path.write_bytes(bytes_of(pdf_writer, page, style, **about))
        said_by("gs", "-q", "-dNOPAUSE", "-dBATCH", "-sDEVICE=nullpage", path)  # complains of what is wrong
        return path

    return save


def contents(path):
    "All pieces of pages, as text."
    pieces = re.findall(rb"FlateDecode >>\nstream\n(.*?)\nendstream", path.read_bytes(), re.S)
    return b"".join(map(zlib.decompress, pieces)).decode()


def colours(path, page=1):
    from PIL import Image

    png = said_by("pdftoppm", "-f", page, "-l", page, "-r", 100, "-png", path)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)


@pytest.mark.parametrize("n, pages", [(1, 1), (18, 1), (45, 3)])
def test_a_long_strip_turns_the_page_and_all_pages_have_one_size(saved, n, pages):
    sizes = pdf_sizes(saved([Sheet(line) for line in lines(n)]))
    assert len(sizes) == pages and len(set(sizes)) == 1
    assert sizes[0][1] <= A4_HEIGHT + 0.1
    if pages == 1:
        np.testing.assert_allclose(sizes[0], np.ptp(ink_box(words_of(lines(n))), axis=0) + 10, atol=0.02)


def test_a_strip_is_the_same_at_once_and_line_by_line():
    at_once = bytes_of(pdf_writer, words_of(lines(45)))
    assert bytes_of(pdf_writer, [Sheet(line) for line in lines(45)]) == at_once
    assert bytes_of(pdf_writer, words_of(lines(45))) == at_once  # and the same again: no date in it


def test_sheets_are_pages_of_their_size_to_a_tenth_of_a_millimetre(saved):
    sheets = [on_paper(written(2)), on_paper(written(1), 105, 148), Sheet([], 241.3, 104.775)]
    got = pdf_sizes(saved(sheets))
    np.testing.assert_allclose(got, [(210, 297), (105, 148), (241.3, 104.775)], atol=0.02)


def test_ink_lies_where_the_sheet_has_it(saved):
    sheet = on_paper(written(3), 100, 60)
    left, top, right, bottom = ink_edges(pdf_picture(saved(sheet), 1, dpi=254), 254)
    low, high = ink_box(sheet.words)
    np.testing.assert_allclose([left, top], low, atol=0.25)
    np.testing.assert_allclose([100 - right, 60 - bottom], high, atol=0.25)


def test_strip_pages_keep_their_ink_together(saved):
    "The ink begins at the margins of every page, whichever height it has in the strip."
    path = saved(words_of(lines(45)))
    for number in (1, 2, 3):
        left, top, _, _ = ink_edges(pdf_picture(path, number, dpi=100), 100)
        assert left == pytest.approx(5, abs=0.4) and top == pytest.approx(5, abs=0.4)


def test_title_and_language_are_there(saved):
    path = saved(page(), title="Ein Brief – é (1)", language="de")
    facts = pdf_facts(path)
    assert (
        facts["Title"] == "Ein Brief – é (1)"
        and facts["Tagged"] == "yes"
        and facts["Creator"] == "cursivetransformer"
    )
    lang = re.search(rb"/Lang <feff([0-9a-f]+)>", path.read_bytes())[1]
    assert bytes.fromhex(lang.decode()).decode("utf-16-be") == "de"
    assert pdf_facts(saved(words_of(lines(40))))["Title"] == " ".join(["w"] * 12)


def test_the_text_is_found_at_the_words_places(saved):
    words = [Word(f"wört{i}", w.points, page=w.page) for i, w in enumerate(written(9))]
    sheet = on_paper(words)
    found = pdf_words(saved(sheet), 1)
    assert [text for text, _ in found] == [w.text for w in words]
    for word, (_, (left, top, right, bottom)) in zip(sheet.words, found):
        low, high = ink_box([word])
        np.testing.assert_allclose([left, right], [low[0], high[0]], atol=0.1)
        assert top < word.page[1] * 25 < bottom and bottom - top < 12


def test_lines_are_lines_of_text_in_the_order_of_writing(saved):
    words = [Word(f"w{i}", w.points, page=w.page) for i, w in enumerate(words_of(lines(40)))]
    text = said_by("pdftotext", "-layout", saved(words), "-").decode()
    assert text.split() == [w.text for w in words]
    assert text.splitlines()[0].split() == ["w0", "w1"]
    read = said_by("pdfinfo", "-struct-text", saved(words)).decode()
    assert re.findall(r"w\d+", read) == [w.text for w in words]  # what is read aloud


def test_any_character_can_be_searched(saved):
    "More than a font holds, from all over the world, brackets and backslashes with them."
    texts = ["(a\\b)", "<é>", "😀x", *("".join(map(chr, range(i, i + 10))) for i in range(0x400, 0x580, 10))]
    ink = written(1)[0].points
    words = [Word(t, ink, page=(1.2 * (i % 5), 0.6 * (i // 5))) for i, t in enumerate(texts)]
    assert said_by("pdftotext", saved(words), "-").decode().split() == texts


def test_the_text_is_not_seen(saved):
    "Ink drawn far from where the text stands: the text leaves no mark."
    far = np.array([[0.0, 2.0, 1], [1, 2, 1], [1, 2, 0]])
    picture = pdf_picture(saved(Sheet([Word("unseen", far, page=(1, 1))], 100, 100)), 1)
    rows = np.flatnonzero((picture < 250).any(1)) / 100 * 25.4
    assert rows.min() > 74 and rows.max() < 76


def test_nothing_lies_behind_the_ink_unless_asked_for(saved):
    assert " re" not in contents(saved(page()))
    path = saved(on_paper(written(1)), Style(background="#ff8000"))
    assert contents(path).count(" re f") == 1
    assert (colours(path)[[1, 1, -3, -3], [1, -3, 1, -3]] == [255, 128, 0]).all()


def test_colours_widths_dashes_and_pens(saved):
    words = restyle(restyle(written(3), [0], color="#f00", stroke_width=1.5), [1], dash=(1, 0.5))
    text = contents(saved(words))
    assert "1 0 0 RG" in text and "1.5 w" in text and "[1 0.5] 0 d" in text and "0 G" in text
    pixels = colours(saved(restyle(written(3), [0], color="#f00", pen="brush")))
    assert (pixels == [255, 0, 0]).all(-1).any()
    text = contents(saved(written(1), Style(pen="fountain")))
    assert not re.search(r" S$", text, re.M)
    assert len(re.findall(r"^f$", text, re.M)) == 3  # a filled outline a stroke


def test_a_page_without_colour_has_greys_only(saved):
    assert not re.search(r" (rg|RG)\b", contents(saved(written(2), Style(color="#333", background="white"))))


@pytest.mark.parametrize("pen", ["ball", "fountain", "brush"])
def test_every_dot_is_a_mark(saved, pen):
    from scipy import ndimage

    picture = pdf_picture(saved(taps(7), Style(pen=pen, stroke_width=0.5)), 1, dpi=300)
    assert ndimage.label(picture < 128)[1] == 7


def test_strokes_are_in_the_order_of_writing(saved):
    sheet = on_paper(taps(2, written(2)))
    starts = re.findall(r"^([-\d.]+) ([-\d.]+) m .*S$", contents(saved(sheet)), re.M)
    want = [stroke[0] for word in sheet.words for stroke in pen_strokes(word)]
    np.testing.assert_allclose(np.array(starts, float), want, atol=0.006)


def test_a_ruling_is_drawn(saved):
    rules = [Rule(np.array([[5.0, 10], [45, 10]]), 0.5, "#f00")]
    pixels = colours(saved(Sheet([], 50, 20, rules)))
    red = (pixels[..., 0] > 200) & (pixels[..., 1] < 120)
    rows, columns = np.nonzero(red)
    np.testing.assert_allclose(np.array([columns.min(), columns.max()]) / 100 * 25.4, [5, 45], atol=0.6)
    assert abs(np.median(rows) / 100 * 25.4 - 10) < 0.4


def test_an_empty_page_is_refused_and_an_empty_sheet_is_one(saved):
    with pytest.raises(CursiveError, match="nothing to draw"):
        bytes_of(pdf_writer, [])
    assert len(pdf_sizes(saved(Sheet([], 50, 50)))) == 1


def test_pages_do_not_wait_in_memory():
    def most(pages):
        with open("/dev/null", "wb") as file:
            tracemalloc.start()
            with pdf_writer(file) as add:
                for _ in range(pages):
                    add(Sheet(words, 210, 297))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        return peak

    words = on_paper(written(12)).words
    most(2)
    assert most(60) < most(20) + 2e5
