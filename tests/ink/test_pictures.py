import io

import numpy as np
import pytest
from ink_cases import bytes_of, lines, on_paper, page, taps, words_of, written

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import MM
from cursivetransformer.ink.pictures import MOST_PIXELS, picture_size, png_writer
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.sheets import Rule, Sheet, Style, ink_box, restyle


def opened(page, style=None, **about):
    from PIL import Image

    return Image.open(io.BytesIO(bytes_of(png_writer, page, style, **about)))


def marks(picture):
    "How many separate marks a picture has."
    from scipy import ndimage

    return ndimage.label(np.asarray(picture.convert("RGBA"))[..., 3] > 100)[1]


def test_a_png_is_the_page_in_its_color():
    style = Style(margin=2.5, stroke_width=2.0, color="#00f", background="white")
    picture = np.asarray(opened(page()[:2], style).convert("RGB"), int)
    assert (picture[0] == 255).all() and (picture == [0, 0, 255]).all(-1).any()


@pytest.mark.parametrize(
    "style, mode",
    [
        (Style(), "LA"),
        (Style(background="#eee"), "L"),
        (Style(color="navy"), "RGBA"),
        (Style(background="ivory"), "RGB"),
    ],
)
def test_greys_and_transparency_are_kept_only_where_they_are(style, mode):
    picture = opened(written(2), style)
    assert picture.mode == mode
    if "A" in mode:
        alpha = np.asarray(picture)[..., -1]
        assert (alpha == 0).mean() > 0.5 and alpha.max() == 255
    coloured = [
        restyle(written(2), [1], color="#a00"),
        Sheet(written(2), 100, 50, [Rule(np.eye(2), color="red")]),
    ]
    if mode == "LA":
        assert [opened(words, style).mode for words in coloured] == ["RGBA", "RGBA"]


def test_ink_on_nothing_has_the_inks_colour_at_its_edges_too():
    "Half covered pixels are ink, half transparent: not ink mixed with white, which shows on dark paper."
    pixels = np.asarray(opened(written(1), Style(color="#204080")))
    half = (pixels[..., 3] > 40) & (pixels[..., 3] < 220)
    assert half.sum() > 20
    np.testing.assert_allclose(pixels[half][:, :3], [[0x20, 0x40, 0x80]] * half.sum(), atol=8)


def test_a_png_knows_its_text_its_title_and_its_size():
    picture = opened(words_of(lines(2)), Style(dpi=150), title="Ein Brief – é", language="de")
    assert picture.text["Description"] == "w w\nw w" and picture.text["Title"] == "Ein Brief – é"
    assert picture.text["Description"].lang == "de"
    assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)
    assert "Title" not in opened(page()).text


@pytest.mark.parametrize("dpi", [72, 300])
def test_a_sheet_has_its_size_to_a_pixel(dpi):
    picture = opened(on_paper(written(2), 210, 297), Style(dpi=dpi))
    np.testing.assert_allclose(picture.size, np.array([210, 297]) / 25.4 * dpi, atol=0.5)


def test_ink_lies_where_the_sheet_has_it():
    sheet = on_paper(written(2), 100, 60)
    alpha = np.asarray(opened(sheet, Style(dpi=254)))[..., 1]
    rows, columns = np.nonzero(alpha > 128)
    want = ink_box(sheet.words) * 10  # pixels
    got = [[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]]
    np.testing.assert_allclose(got, want, atol=1.5)


def test_nothing_is_cut_off_without_a_margin():
    bar = np.array([[0.0, 0, 1], [1, 0, 1], [1, 0, 0]])
    picture = opened([Word("-", bar, page=(0, 0))], Style(margin=0, stroke_width=2.0, dpi=254))
    np.testing.assert_allclose(picture.size, [MM * 10 + 20, 20], atol=1)
    assert (np.asarray(picture)[:, 30:-30, 1] > 200).mean() > 0.9  # ink from edge to edge


@pytest.mark.parametrize("pen", ["ball", "fountain", "brush"])
def test_every_dot_is_a_mark(pen):
    assert marks(opened(taps(7), Style(pen=pen, stroke_width=0.5))) == 7


def test_pens_differ_in_width_where_they_should():
    "A zigzag of lines down and up: the brush has more ink on its way down."
    down = np.array([[0.0, 0, 1], [0, 1, 1], [0, 1, 0]])
    up = np.array([[0.5, 1, 1], [0.5, 0, 1], [0.5, 0, 0]])
    alpha = np.asarray(opened([Word("ll", np.vstack([down, up]), page=(0, 0))], Style(pen="brush")))[..., 1]
    half = alpha.shape[1] // 2
    assert (alpha[:, :half] > 128).sum() > 2 * (alpha[:, half:] > 128).sum()


def test_dashes_have_gaps():
    bar = [Word("-", np.array([[0.0, 0, 1], [1, 0, 1], [1, 0, 0]]), page=(0, 0))]
    assert marks(opened(bar)) == 1
    assert marks(opened(restyle(bar, dash=(1, 2)))) == np.ceil(25 / 3)


def test_a_ruling_is_drawn_under_the_ink_and_a_dot_of_it_is_a_dot():
    rules = [
        Rule(np.array([[5.0, 5], [45, 5]]), 0.5, "#f00"),
        Rule(np.array([[10.0, 15], [10, 15]]), 1.0, "#0f0"),
    ]
    picture = opened(Sheet([], 50, 20, rules), Style(background="white", dpi=254))
    pixels = np.asarray(picture, int)
    assert (pixels[50, 60:440] == [255, 0, 0]).all() and (pixels[150, 100] == [0, 255, 0]).all()
    assert (pixels[100] == 255).all()


def test_a_png_that_would_be_too_long_says_what_to_do():
    with pytest.raises(CursiveError, match="pdf"):
        bytes_of(png_writer, words_of(lines(200)))
    with pytest.raises(CursiveError, match="fewer dpi"):
        picture_size([1000, 1000], Style(dpi=700))
    width, height = picture_size([10_000, 20], Style())
    assert width == 30_000 and width * height < MOST_PIXELS  # a very long line is drawn smaller


def test_a_strip_that_gets_too_long_is_refused_as_soon_as_it_is():
    added = 0
    with pytest.raises(CursiveError, match="pdf"), png_writer(io.BytesIO()) as add:
        for line in lines(1000):
            add(Sheet(line))
            added += 1
    assert added < 200


def test_an_empty_page_and_a_second_sheet_are_refused():
    with pytest.raises(CursiveError, match="nothing to draw"):
        opened([])
    with pytest.raises(CursiveError, match="a file for each sheet"):
        opened([on_paper(written(1)), on_paper(written(1))])
    assert opened(Sheet([], 20, 20)).size == (236, 236)
