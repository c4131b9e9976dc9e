import io
import re

import numpy as np
import pytest
from ink_cases import bytes_of, lines, page, words_of

from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import MM
from cursivetransformer.ink.pictures import A4_HEIGHT, pdf_writer, png_writer


def test_a_png_is_the_page_in_its_color():
    from PIL import Image

    data = bytes_of(png_writer, page()[:2], margin=0.1, linewidth=2.0, color="#00f")
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), int)
    assert (picture[0] == 255).all() and (picture == [0, 0, 255]).all(-1).any()


@pytest.mark.parametrize("n, pages", [(1, 1), (18, 1), (45, 3)])
def test_a_long_pdf_turns_the_page(n, pages):
    data = bytes_of(pdf_writer, words_of(lines(n)))
    boxes = [list(map(float, box)) for box in re.findall(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", data)]
    assert len(boxes) == pages
    assert len({w for w, _ in boxes}) == 1
    assert all(h <= A4_HEIGHT * MM * 72 / 25.4 + 1e-3 for _, h in boxes)


def test_a_png_that_would_be_too_long_says_what_to_do():
    with pytest.raises(CursiveError, match="pdf"):
        bytes_of(png_writer, words_of(lines(200)))
