"""A text to everybody on a list: rows, fields, names of files, and what becomes of rows that fail."""

import warnings

import numpy as np
import pytest

from cursivetransformer.config import CursiveError
from cursivetransformer.files import is_reserved
from cursivetransformer.ink.curves import MM, on_page
from cursivetransformer.options import WritingOptions
from cursivetransformer.writing.mail import MailRow, filled_in, name_of, read_rows, safe_name, write_mail
from cursivetransformer.writing.page import load_page

GUESTS = "name,street,town\nAnna,Hill Road 4,Lindau\nTom,Mill Lane 12,Munich\n"


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "guests.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


# Rows


def test_rows_are_read_as_spreadsheets_save_them(table):
    for separator in ",;\t":
        rows = read_rows(table("\ufeff" + GUESTS.replace(",", separator).replace("\n", "\r\n")))
        assert [(row.number, row.cells["street"]) for row in rows] == [
            (1, "Hill Road 4"),
            (2, "Mill Lane 12"),
        ]
    (row,) = read_rows(table('name,note\n"Berg, Anna","two\nlines"\n\n'))
    assert row.cells == {"name": "Berg, Anna", "note": "two\nlines"}


@pytest.mark.parametrize(
    "text", ["", "name\n", 'name\n"Anna', "name,name\na,b\n", "name,\na,b\n", b"\xff\xfe"]
)
def test_lists_that_are_none_are_refused(table, text):
    with pytest.raises(CursiveError):
        read_rows(table(text))
    with pytest.raises(CursiveError, match="Cannot read"):
        read_rows("nowhere.csv")


def test_a_line_whose_fields_are_empty_is_left_out():
    cells = dict(name="Anna", more="", town="Lindau")
    assert filled_in("{name}\n{more}\n\n{ town }", cells) == "Anna\n\nLindau"
    assert filled_in("{name} {more}", cells) == "Anna "


# Names of files


@pytest.mark.parametrize(
    "cell, name",
    [
        ("Anna Berg", "Anna Berg"),
        ("../../etc/passwd", "etc-passwd"),
        ("a/b\\c:d*e", "a-b-c-d-e"),
        ("con", "con-"),
        ("Zoë", "Zoë"),
        ("...", ""),
        (" a\t\n b ", "a--b"),
        ("x" * 300, "x" * 80),
    ],
)
def test_names_are_safe(cell, name):
    assert safe_name(cell) == name or safe_name(cell).replace(" ", "") == name.replace(" ", "")
    assert not set(safe_name(cell)) & set('/\\:*?"<>|\n\t')


def test_files_are_named_from_their_rows(tmp_path):
    taken = set()

    def named(out, *cells):
        return str(name_of(out, MailRow(3, dict(zip(("name", "town"), cells))), taken))

    assert named("out/card.pdf", "Anna", "Lindau") == "out/card-Anna.pdf"
    assert named("out/{town}-{name}.svg", "Anna", "Lindau") == "out/Lindau-Anna.svg"
    assert named("card.pdf", "anna", "") == "card-anna-2.pdf"  # some systems do not tell case apart
    assert named("{town}.anim.svg", "Anna", "") == "row-3.anim.svg"
    assert named(".png", "Tom", "") == "Tom.png"


# Writing


def test_a_row_is_a_file_and_its_envelope_has_the_address_in_place(default, table, tmp_path):
    options = WritingOptions(paper="c6", seed=1)
    done = []
    outs = [tmp_path / "to.pdf", tmp_path / "{name}.json"]
    template = "{name}\n{street}\n{town}"
    mailing = write_mail(template, table(GUESTS), outs, default, options, None, done.append)
    names = ["to-Anna.pdf", "Anna.json", "to-Tom.pdf", "Tom.json"]
    assert [p.name for p in mailing.paths] == names and not mailing.failed and done == [1, 2]
    page = load_page(str(tmp_path / "Tom.json"))
    assert [w.text for w in page] == "Tom Mill Lane 12 Munich".split()
    ink = np.vstack([on_page(w)[:, :2] for w in page]) * MM
    assert ink.min(0)[0] >= 0.4 * 162 - 1e-3 and ink.min(0)[1] >= 40 and ink.max(0)[1] <= 114 - 15


def test_a_row_s_ink_goes_by_its_text_alone(default, table, tmp_path):
    def inks(guests):
        write_mail("Dear {name}", table(guests), tmp_path / "a.json", default, respell=None)
        return [load_page(str(tmp_path / f"a-{name}.json"))[0].points for name in ("Anna", "Tom")]

    anna, tom = inks(GUESTS)
    again, _ = inks("name,street,town\nZoe,a,b\n" + GUESTS.split("\n", 1)[1])
    assert np.array_equal(anna, again) and not np.array_equal(anna, tom)


def test_rows_that_fail_are_listed_and_the_others_written(default, table, tmp_path):
    rows = GUESTS + "Ω,a,b\nLong,a\n" + "m" * 90 + ",a,b\nZoe,a,b\n"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = WritingOptions(paper="c6")
        mailing = write_mail("{name}\n{town}", table(rows), tmp_path / "a.svg", default, options, None)
    assert list(mailing.failed) == [3, 4, 5]
    assert [p.name for p in mailing.paths] == ["a-Anna.svg", "a-Tom.svg", "a-Zoe.svg"]
    assert "Ω" in mailing.failed[3] and "2 cells" in mailing.failed[4] and "does not fit" in mailing.failed[5]


def test_what_no_row_could_be_written_with_is_refused_first(default, table, tmp_path):
    csv = table(GUESTS)
    for template, out, options, says in (
        ("{nmae}", "a.svg", {}, "no column 'nmae'.*Did you mean 'name'"),
        ("{name}", "{first}.svg", {}, "no column 'first'"),
        ("{name}", "a.sgv", {}, "'svg'"),
        ("{name}", "a.svg", dict(paper="c9"), "no paper"),
        ("{name}", "a.png", dict(color="no"), "no colour"),
    ):
        with pytest.raises(CursiveError, match=says):
            write_mail(template, csv, tmp_path / out, default, WritingOptions(**options))
    assert [p.name for p in tmp_path.iterdir()] == ["guests.csv"]


def test_names_fit_every_disk():
    for cell in "CON", "con.x", "NUL.tar.gz":
        assert not is_reserved(safe_name(cell)), cell
    row = MailRow(1, {"a": "漢" * 90, "b": "字" * 90})
    name = name_of("{a} {b}.anim.svg", row, set()).name
    assert len(name.encode()) < 255 and name.endswith(".anim.svg") and "漢" in name
