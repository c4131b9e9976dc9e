"""Single-line fonts: paths become points, letters get one size, and makers are named."""

import zipfile

import numpy as np
import pytest

from cursivetransformer.config import PACKAGE
from cursivetransformer.data.fonts import (
    FONTS,
    HARD_TO_READ,
    STEP,
    UNFIT,
    Glyph,
    fitted,
    flatten_path,
    lean,
    load_fonts,
    read_font,
    row,
)

SVG = """<svg><metadata>
Font name:     Test
License:       some licence
Created by:    Somebody
A derivative of:   Another
</metadata><font id="T" horiz-adv-x="300"><font-face units-per-em="1000" x-height="777"/>
<glyph unicode="x" horiz-adv-x="500" d="M 0 400 L 300 0 M 300 400 L 0 0"/>
<glyph unicode="i" d="M 50 600 L 60 590 M 50 400 L 50 0"/>
<glyph unicode="&amp;" d="M 0 0 C 0 400 400 400 400 0"/>
<glyph unicode="b" d="M 0 800 L 0 0"/><glyph unicode="H" d="M 0 700 L 0 0"/><glyph unicode=" "/>
</font></svg>"""


@pytest.fixture(scope="module")
def fonts():
    return load_fonts()


def test_paths_become_points_a_step_apart_at_most():
    lines, curve = flatten_path("M 0 0 L 1 0 L 1 -.5 M 0 0 C 0 1 1 1 1 0")
    assert lines[0].tolist() == [0, 0] and lines[-1].tolist() == [1, 0.5]
    assert [1, 0] in lines.tolist()
    assert np.allclose(curve[-1], [1, 0]) and np.isclose(curve[:, 1].min(), -0.75, atol=1e-3)
    for stroke in lines, curve:
        assert np.hypot(*np.diff(stroke, axis=0).T).max() <= STEP + 1e-9
    # A curve is where its formula says: at the middle of this one, three quarters of the way up.
    assert np.abs(curve - [0.5, -0.75]).sum(1).min() < 0.01


def test_lines_and_curves_in_a_row_need_no_letter_of_their_own():
    assert np.array_equal(flatten_path("M0 0 L1 0 2 2")[0], flatten_path("M 0,0 L 1,0 L 2,2")[0])
    (one,) = flatten_path("M 0 0 C 0 1 1 1 1 0 1 -1 2 -1 2 0")
    (other,) = flatten_path("M 0 0 C 0 1 1 1 1 0 C 1 -1 2 -1 2 0")
    assert np.array_equal(one, other)
    assert np.array_equal(flatten_path("M 1e-3 0 L 10e-1 0")[0][[0, -1], 0], [1e-3, 1])


@pytest.mark.parametrize("path", ["M 0 0 Q 1 1 2 2", "M 0 0 L 1", "M 0 0 l 1 1", "M 0 0 C 1 1 2 2"])
def test_a_path_that_is_not_understood_gets_a_sentence(path):
    with pytest.raises(ValueError, match="M, L and C are read"):
        flatten_path(path)


def test_a_point_is_a_stroke_that_can_be_drawn():
    (dot,) = flatten_path("M 1 1")
    assert dot.shape == (2, 2) and 0 < np.ptp(dot[:, 0]) < 0.02


def test_a_font_is_scaled_by_its_own_small_letters_and_not_by_what_it_says_of_itself():
    font = read_font(SVG, "Test")
    assert np.isclose(font.glyphs["x"].points[:, 1].min(), -1) and font.glyphs["x"].advance == 1.25
    assert (font.cap_height, font.ascender) == (1.75, 2)
    assert (font.maker, font.derived_from, font.licence) == ("Somebody", "Another", "some licence")
    assert font.glyphs["&"].advance == 0.75 and font.glyphs[" "].strokes == ()


def test_the_dot_of_an_i_comes_last():
    glyph = read_font(SVG, "Test").glyphs["i"]
    assert glyph.marks == 1 and glyph.strokes[-1][:, 1].max() < -1.4


def test_fonts_come_from_a_folder_or_a_zip_and_their_absence_gets_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no SVG fonts"):
        load_fonts(tmp_path)
    with pytest.raises(FileNotFoundError, match="holds no SVG fonts"):
        load_fonts(tmp_path / "nowhere")
    (tmp_path / "b.svg").write_text(SVG)
    (tmp_path / "a.svg").write_text(SVG)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("inner/d.svg", SVG)
    assert list(load_fonts(str(tmp_path))) == ["a", "b"]
    assert list(load_fonts(tmp_path / "c.zip")) == ["d"]


def test_a_file_that_is_no_font_gets_a_sentence():
    with pytest.raises(ValueError, match="picture is no SVG font"):
        read_font("<svg><path d='M 0 0'/></svg>", "picture")


def test_the_package_has_the_fonts_their_licence_and_the_names_of_their_makers(fonts):
    assert len(fonts) == 29 and FONTS.parent == PACKAGE and FONTS.stat().st_size < 500_000
    with zipfile.ZipFile(FONTS) as archive:
        names = archive.namelist()
        about = archive.read("README.md").decode()
        assert "SIL OPEN FONT LICENSE Version 1.1" in archive.read("OFL.txt").decode()
    assert {f"{name}.svg" for name in fonts} < set(names)
    for name, font in fonts.items():
        assert font.name == name and name in about
        assert "SIL Open Font License" in font.licence and font.maker in about
        assert font.derived_from and font.designer


def test_every_font_is_of_one_size_and_stands_on_the_line(fonts):
    for font in fonts.values():
        tops = [-font.glyphs[c].points[:, 1].min() for c in "acemnorsuvwxz"]
        feet = [font.glyphs[c].points[:, 1].max() for c in "acemnorsuvwxz"]
        assert np.isclose(np.median(tops), 1) and abs(np.median(feet)) < 0.1
        assert 0.9 < font.ascender < 3.5 and 0.9 < font.cap_height < 3.5
        assert -0.1 < font.slant < 0.8
    assert fonts["EMSReadability"].slant == pytest.approx(0, abs=0.03)
    assert fonts["EMSReadabilityItalic"].slant == pytest.approx(0.18, abs=0.05)


def test_points_are_close_and_cannot_be_changed_by_accident(fonts):
    for font in fonts.values():
        for glyph in font.glyphs.values():
            for stroke in glyph.strokes:
                assert len(stroke) > 1 and np.hypot(*np.diff(stroke, axis=0).T).max() <= STEP + 1e-9
    with pytest.raises(ValueError, match="read-only"):
        fonts["EMSTech"].glyphs["x"].strokes[0][0] = 0


def test_what_is_unfit_or_hard_to_read_is_there(fonts):
    assert set(UNFIT) < set(fonts) and set(HARD_TO_READ) < set(fonts) - set(UNFIT)
    assert all(capital.isupper() for capital in "".join(HARD_TO_READ.values()))


def test_slanting_leaves_the_line_where_it_is():
    points = np.array([[0.0, 0.0], [0.0, -1.0]])
    assert lean(points, 0.5).tolist() == [[0, 0], [0.5, -1]]
    assert np.array_equal(lean(lean(points, 0.5), -0.5), points)


def test_glyphs_in_a_row_have_their_marks_at_the_end():
    stem = np.array([[0.1, 0.0], [0.1, -1.0]])
    dot = np.array([[0.1, -1.5], [0.11, -1.5]])
    both = row(Glyph((stem, dot), 0.5, 1), Glyph((stem, dot), 0.7, 1))
    assert both.marks == 2 and both.advance == 1.2
    assert [s[0, 0] for s in both.strokes] == pytest.approx([0.1, 0.6, 0.1, 0.6])
    assert [s[0, 1] for s in both.strokes] == [0, 0, -1.5, -1.5]
    wide = fitted(Glyph((stem - [3, 0],), 0.1), 0.0)
    assert wide.advance == 0.25 and wide.points[0, 0] == pytest.approx(0.125)
