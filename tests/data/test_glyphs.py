"""Every Latin character in every font, and where its marks are."""

import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.config import ALPHABET
from cursivetransformer.data.fonts import FONTS, STEP, UNFIT, lean, load_fonts
from cursivetransformer.data.glyphs import (
    ATTACHED,
    BELOW,
    CHARACTERS,
    CLEARANCE,
    DRAWN_MARKS,
    compose,
    distance,
    middle,
    plain,
    worn,
)

with zipfile.ZipFile(FONTS) as archive:
    NAMES = [Path(name).stem for name in archive.namelist() if name.endswith(".svg")]
FIT = [name for name in NAMES if name not in UNFIT]
MARKS = [m for m in DRAWN_MARKS if unicodedata.combining(m)]
ABOVE = [m for m in MARKS if m not in BELOW and m not in ATTACHED]
LETTERS = [c for c in CHARACTERS if c.isalpha() and c.isascii()]
fonts = pytest.mark.parametrize("font", NAMES, indirect=True)
fit = pytest.mark.parametrize("font", FIT, indirect=True)


@pytest.fixture
def font(request):
    return load_fonts()[request.param]


def ink(strokes) -> np.ndarray:
    return np.concatenate(strokes)


def letter_and_mark(font, cluster: str) -> tuple:  # points of the letter, points of all of its marks
    "A glyph's points below and of its last marks."
    glyph = compose(font, cluster)
    n = len(glyph.strokes) - glyph.marks
    return ink(glyph.strokes[:n]), ink(glyph.strokes[n:])


# Which characters


def test_characters_are_decomposed_once_each_and_no_space_is_among_them():
    assert len(CHARACTERS) == len(set(CHARACTERS)) and " " not in CHARACTERS
    assert all(unicodedata.normalize("NFD", c) == c for c in CHARACTERS)
    assert set(ALPHABET) - set(CHARACTERS) == {" "}


def test_the_scripts_that_are_promised_are_there():
    latin = [chr(c) for c in range(0x21, 0x180) if chr(c).isprintable()]
    vietnamese = "ẠảẤầẩẫậẮằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹĂÂĐÊÔƠƯ"
    text = "".join(latin) + vietnamese + "ȘșȚț" + "‘’‚“”„–—…•‹›€£¥§°½¼¾×÷±µ⁰¹²³⁴⁵⁶⁷⁸⁹" + "þðŋłđøħŧæœßıĸſŀĳŉ"
    assert set(unicodedata.normalize("NFD", text)) - {"\N{NO-BREAK SPACE}", "\N{SOFT HYPHEN}"} <= set(
        CHARACTERS
    )


@fonts
def test_every_character_is_drawn_in_every_font(font):
    for character in CHARACTERS:
        glyph = compose(font, character)
        assert len(glyph.points) > 1 and np.isfinite(glyph.points).all(), character
        assert all(s.ndim == 2 and s.shape[1] == 2 and len(s) > 1 for s in glyph.strokes), character
        # Four and a half x-heights above the line, less below, and no wider than a flourish.
        assert -4.5 < glyph.points[:, 1].min() and glyph.points[:, 1].max() < 2.6, character
        assert -2 < glyph.points[:, 0].min() and glyph.points[:, 0].max() < 8, character
        assert 0 < glyph.advance < 8 and glyph.points[:, 0].max() < glyph.advance + 2.5, character
        steps = [np.hypot(*np.diff(s, axis=0).T).max() for s in glyph.strokes]
        assert max(steps) <= 2 * STEP, character


def test_a_space_is_an_advance_and_what_nobody_has_drawn_gets_a_sentence():
    font = load_fonts()["EMSTech"]
    assert compose(font, " ").strokes == () and compose(font, " ").advance > 0
    for cluster in "Я", "ab", "", "a\u0489", "ﬁ":
        with pytest.raises(ValueError, match="drawn by nobody|no letter with marks"):
            compose(font, cluster)


def test_glyphs_cannot_be_changed_by_accident():
    for cluster in "x", "ñ", "ł", "ệ", "½":
        for stroke in compose(load_fonts()["EMSTech"], cluster).strokes:
            with pytest.raises(ValueError, match="read-only"):
                stroke[0] = 0


# Marks


@fit
def test_a_mark_above_is_above_its_letter_and_does_not_touch_it(font):
    # The maker of one has set tildes beside a swash that is higher, and of another accents to the left.
    swash = 0.2 if font.name == "EMSLittlePrincess" else 0
    slack = 0.9 if font.name == "EMSSociety" else 0.5
    for base in LETTERS:
        for mark in ABOVE:
            if (base + mark) in ("d\u030c", "t\u030c", "l\u030c", "L\u030c"):
                continue
            letter, drawn = letter_and_mark(font, base + mark)
            where = f"{font.name} {base + mark}"
            assert (drawn[:, 1].min() + drawn[:, 1].max()) / 2 < letter[:, 1].min() + swash, where
            assert distance(letter, drawn) >= CLEARANCE - 1e-9, where
            # In its middle, by the slant, or where the maker of the font wanted it: over the letter.
            flat = lean(letter, -font.slant)[:, 0]
            assert flat.min() - slack < middle(drawn, font.slant) < flat.max() + slack, where


@fit
def test_a_mark_below_is_below_its_letter(font):
    for base in LETTERS:
        for mark in "\u0323\u0326\u0327\u0328":
            glyph = compose(font, base + mark)
            count = len(plain(font, base).strokes)
            letter = ink(glyph.strokes[:count])
            drawn = ink(glyph.strokes[count:])
            if mark in "\u0323\u0326" and base != "g":
                assert (
                    drawn[:, 1].min() > letter[:, 1].max() - 0.3
                    and distance(letter, drawn) >= CLEARANCE - 1e-9
                )
            if base + mark != "g\u0327":
                assert drawn[:, 1].max() > min(letter[:, 1].max(), 0.15)


@fit
def test_hooks_and_tails_hang_on_the_letter(font):
    for cluster in "ç", "ą", "ę", "ơ", "ư", "Ş", "Į":
        letter, drawn = letter_and_mark(font, cluster.replace("Į", "I\u0328"))
        assert distance(letter, drawn) < 0.3, cluster


@fit
def test_several_marks_are_stacked(font):
    for cluster in "ấ", "ỗ", "ở", "ẳ", "Ế", "Ữ":
        glyph = compose(font, cluster)
        marks = unicodedata.normalize("NFD", cluster)[1:]
        alone = [len(compose(font, "n" + m).strokes) - len(plain(font, "n").strokes) for m in marks]
        first = ink(glyph.strokes[-sum(alone) : -alone[-1]])
        last = ink(glyph.strokes[-alone[-1] :])
        assert distance(first, last) >= CLEARANCE - 1e-9
        if marks[0] != "\u031b":
            assert last[:, 1].mean() < first[:, 1].min()
    letter, drawn = letter_and_mark(font, "ệ")
    assert drawn[:, 1].min() < letter[:, 1].min() and drawn[:, 1].max() > letter[:, 1].max()


@fit
def test_composed_and_decomposed_are_the_same(font):
    for text in "éñçộűșåÀŽữïģ":
        one = compose(font, unicodedata.normalize("NFC", text))
        other = compose(font, unicodedata.normalize("NFD", text))
        assert one.advance == other.advance and one.marks == other.marks
        assert all(np.array_equal(a, b) for a, b in zip(one.strokes, other.strokes, strict=True))


@fit
def test_an_accented_letter_of_the_font_is_drawn_as_its_maker_has_it_with_the_marks_last(font):
    different = []
    for character, whole in font.glyphs.items():
        base, *marks = unicodedata.normalize("NFD", character)
        if len(marks) != 1 or marks[0] in "\u0327":
            continue
        ours = compose(font, character)
        order = [
            min(whole.strokes, key=lambda w: distance(w, s) + abs(len(w) - len(s))) for s in ours.strokes
        ]
        shift = ours.strokes[0][0] - order[0][0]
        if len(whole.strokes) != len(ours.strokes) or any(
            len(a) != len(b) or np.abs(a - b + shift).max() > 0.1 for a, b in zip(ours.strokes, order)
        ):
            different.append(character)
    # Å may touch its ring, and an accent its letter: those are moved, or ours.
    assert len(different) <= 8, different


@fonts
def test_a_mark_above_takes_the_dot_off_and_a_mark_below_leaves_it(font):
    for letter, bare in ("i", "ı"), ("j", "ȷ"):
        dotted = compose(font, letter)
        stem = len(dotted.strokes) - dotted.marks
        acute = compose(font, letter + "\u0301")
        assert len(plain(font, bare).strokes) == stem
        assert acute.marks == len(acute.strokes) - stem
        assert distance(ink(acute.strokes[:stem]), ink(acute.strokes[stem:])) >= CLEARANCE - 1e-9
        below = compose(font, letter + "\u0328")
        assert below.marks == dotted.marks + 1


@fit
def test_the_font_s_own_marks_are_found_by_taking_the_letter_away(font):
    for base, mark in ("e", "\u0301"), ("o", "\u0302"), ("n", "\u0303"), ("u", "\u0308"), ("A", "\u0300"):
        strokes = worn(font, base, mark)
        assert len(strokes) == 2 if mark == "\u0308" else 1 <= len(strokes) <= 2
        assert ink(strokes)[:, 1].max() < plain(font, base).points[:, 1].min() + 0.3
    assert worn(font, "k", "\u0301") == ()


def test_a_caron_is_the_circumflex_upside_down():
    font = load_fonts()["EMSReadability"]
    for cluster in "č", "ž", "Š":
        letter, caron = letter_and_mark(font, cluster)
        assert caron[np.argmax(caron[:, 1]), 0] == pytest.approx(middle(caron, 0), abs=0.1)
    letter, circumflex = letter_and_mark(font, "ê")
    assert circumflex[np.argmin(circumflex[:, 1]), 0] == pytest.approx(middle(circumflex, 0), abs=0.1)


def test_marks_have_the_shape_that_typefaces_give_them():
    font = load_fonts()["EMSReadability"]
    for cluster in "ď", "ť", "ľ", "Ľ":  # an apostrophe on the right
        letter, caron = letter_and_mark(font, cluster)
        top = letter[letter[:, 1] < letter[:, 1].min() + 0.5]
        assert caron[:, 0].min() > top[:, 0].max() and caron[:, 1].max() > letter[:, 1].min()
        assert compose(font, cluster).advance > compose(font, cluster[0]).advance - 1e-9
    for cluster in "ķ", "ļ", "ņ", "ŗ":  # a comma below
        letter, comma = letter_and_mark(font, cluster)
        assert distance(letter, comma) >= CLEARANCE - 1e-9 and comma[:, 1].min() > 0
    letter, comma = letter_and_mark(font, "ģ")
    assert comma[:, 1].max() < letter[:, 1].min()


@fonts
def test_a_mark_alone_is_where_a_small_letter_would_wear_it(font):
    for mark in MARKS:
        glyph = compose(font, mark)
        assert glyph.marks == len(glyph.strokes) > 0 and glyph.advance > 0
        y = glyph.points[:, 1]
        assert y.min() > -0.2 if mark in BELOW else y.max() < -0.6


# Signs


@fit
def test_letters_with_a_bar_have_it_as_a_stroke_of_its_own_at_the_end(font):
    for character, letter in zip("đħŧłĦŦŁ", "dhtlHTL", strict=True):
        glyph = compose(font, character)
        bare = compose(font, letter)
        assert len(glyph.strokes) == len(bare.strokes) + 1 and glyph.marks == bare.marks + 1
        assert distance(glyph.strokes[-1], bare.points) < 0.1, character


@fit
def test_superscripts_and_fractions_are_small_digits(font):
    for character, digit in zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True):
        points = compose(font, character).points
        assert np.ptp(points[:, 1]) < 0.8 * np.ptp(compose(font, digit).points[:, 1])
        assert points[:, 1].min() == pytest.approx(-font.cap_height, abs=1e-6)
    for character in "½¼¾":
        assert len(compose(font, character).strokes) >= 3


@fit
def test_a_semicolon_is_a_dot_above_a_comma(font):
    glyph = compose(font, ";")
    comma = lean(compose(font, ",").points, -font.slant)[:, 0]
    dot = lean(glyph.strokes[0], -font.slant)
    assert dot[:, 0].mean() == pytest.approx(comma.mean(), abs=1e-6) and dot[:, 1].max() < -0.2
    assert len(glyph.strokes) == 1 + len(compose(font, ",").strokes)


@fit
def test_quotes_and_dots_are_made_of_commas_and_full_stops(font):
    assert len(compose(font, "…").strokes) == 3 * len(compose(font, ".").strokes)
    assert len(compose(font, "„").strokes) == 2 * len(compose(font, ",").strokes)
    for high in "‘’“”":
        assert compose(font, high).points[:, 1].max() < -0.5
    widths = [np.ptp(compose(font, c).points[:, 0]) for c in "-–—"]
    assert widths == sorted(widths)


# Anything


@given(
    st.sampled_from(FIT),
    st.sampled_from([c for c in CHARACTERS if not unicodedata.combining(c)]),
    st.lists(st.sampled_from(MARKS), max_size=3),
)
def test_any_letter_with_any_marks(name, base, marks):
    font = load_fonts()[name]
    glyph = compose(font, base + "".join(marks))
    again = compose(font, unicodedata.normalize("NFC", base + "".join(marks)))
    assert np.array_equal(glyph.points, again.points)
    assert np.isfinite(glyph.points).all() and np.abs(glyph.points).max() < 12
    assert len(glyph.strokes) >= len(marks) + (base not in "ij") and glyph.marks >= len(marks)
    bare = plain(font, base)
    if marks and base not in ("i", "j"):
        assert all(a is b for a, b in zip(glyph.strokes, bare.strokes))
