"""Lines by the hundred thousand: whole parts, the same however the work is shared and stopped."""

import csv
import errno
import json
import os
import re
import string
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models import small_model
from PIL import Image

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.sheets import Style
from cursivetransformer.options import BulkOptions, WritingOptions
from cursivetransformer.writing import sample
from cursivetransformer.writing.bulk import (
    bulk_options,
    picture_of,
    read_table,
    shard_of,
    write_bulk,
    write_table,
)
from cursivetransformer.writing.reader import legibility, read
from cursivetransformer.writing.sample import sample_tokens

LINES = ["so it goes", "", "5 € a day", "I am", "x" * 100, "“we”"]


@pytest.fixture
def bulk(default, tmp_path, monkeypatch):
    "Write lines in parts of two into a folder: what was skipped, and the files by their names."
    monkeypatch.setattr("cursivetransformer.writing.bulk.PART_LINES", 2)

    def run(name, lines=LINES, model=default, respell=None, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            skipped = write_bulk(lines, tmp_path / name, model, respell=respell, **options)
        files = [p for p in (tmp_path / name).rglob("*") if p.is_file()]
        return skipped, {p.relative_to(tmp_path / name).as_posix(): p.read_bytes() for p in files}

    return run


def words_in(path):
    return load_bank(str(path)).words


def same(words, others):
    "Which words have the same ink."
    pairs = [(a.points, b.points) for a, b in zip(words, others)]
    return [len(a) == len(b) and np.allclose(a, b) for a, b in pairs]


def test_shards_together_are_the_whole(bulk, default, tmp_path):
    skipped, files = bulk("whole")
    assert sorted(skipped) == [2, 3, 5]
    assert (
        "'€'" in skipped[3]
        and f"{default.config.context_block_size} characters" in skipped[5]
        and "nothing" in skipped[2]
    )
    parts = [f"part-00000{i}" for i in range(3)]
    names = {"bulk.json", *(f"{p}.json.zip" for p in parts), *(f"{p}.skipped.tsv" for p in parts)}
    assert set(files) == names
    second, _ = bulk("both", shards="2/2")
    first, both = bulk("both", shards="1/2")
    assert both == files and {**first, **second} == skipped
    assert [w.text for w in words_in(tmp_path / "whole/part-000001.json.zip")] == ["I", "am"]
    with zipfile.ZipFile(tmp_path / "whole/part-000001.json.zip") as z:
        items = json.loads(z.read("part-000001.json"))
    assert [(i["metadata"]["line"], i["metadata"]["page"][0] > 0.1) for i in items] == [(4, False), (4, True)]


def test_a_line_depends_on_its_number_and_the_seed_alone(bulk, tmp_path):
    bulk("a")
    bulk("b", lines=["other words", *LINES[1:]])
    bulk("c", params=WritingOptions(seed=1))
    bulk("d", lines=[LINES[0]] * 2)
    a, b, c = (words_in(tmp_path / name / "part-000001.json.zip") for name in "abc")
    assert all(same(a, b)) and not any(same(a, c))
    first = words_in(tmp_path / "a/part-000000.json.zip")
    twice = words_in(tmp_path / "d/part-000000.json.zip")
    assert all(same(first, twice))
    assert not any(same(twice[:3], twice[3:]))  # the same text on two lines is two pieces of ink


def test_what_is_there_is_passed_over(bulk, tmp_path, monkeypatch):
    whole = bulk("a")
    for part in "part-000000.json.zip", "part-000002.json.zip":
        (tmp_path / "a" / part).unlink()
    (tmp_path / "a" / ".part-000002.json.zip.leftover").write_text("half")
    decoded = []

    def counted(model, groups, options):
        decoded.extend(word for group in groups for word in group.words)
        return sample_tokens(model, groups, options)

    monkeypatch.setattr(sample, "sample_tokens", counted)
    assert bulk("a") == whole and sorted(decoded) == ['"we"', "goes", "it", "so"]


def test_a_part_whose_folder_is_held_for_a_moment_is_written(bulk, monkeypatch):
    held = [PermissionError(errno.EACCES, "Permission denied")] * 2
    replace = os.replace

    def refuse(source, target):
        if held and os.path.isdir(source):
            raise held.pop()
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    monkeypatch.setattr("cursivetransformer.files.PAUSES", (0.0, 0.0))
    _, there = bulk("a", LINES[:2], format="svg")
    assert (
        not held and "part-000000/00000001.svg" in there and not any("unfinished" in name for name in there)
    )
    held += [PermissionError(errno.EACCES, "Permission denied")] * 99
    with pytest.raises(CursiveError, match="Cannot write .*part-000000: Permission denied. .*parts so far"):
        bulk("b", LINES[:2], format="svg")


def test_what_is_there_must_belong_together(bulk, tmp_path):
    bulk("a")
    for options, says in [
        (dict(lines=LINES[1:]), "text"),
        (dict(params=WritingOptions(seed=1)), "seed"),
        (dict(format="svg"), "format"),
        (dict(model=small_model()), "model"),
        (dict(respell="auto"), "respell"),
    ]:
        with pytest.raises(CursiveError, match=f"another {says}"):
            bulk("a", **options)
    (tmp_path / "a" / "bulk.json").write_text("[")
    with pytest.raises(CursiveError, match="bulk.json"):
        bulk("a")
    with pytest.raises(CursiveError, match="json, svg, png"):
        bulk("b", format="gif")
    # What was begun before labels had a header is not gone on with.
    bulk("c")
    facts = json.loads((tmp_path / "c" / "bulk.json").read_text())
    del facts["tables"]
    (tmp_path / "c" / "bulk.json").write_text(json.dumps(facts))
    with pytest.raises(CursiveError, match="another tables"):
        bulk("c")


def test_words_that_read_wrong_are_drawn_again_and_named(bulk, tmp_path):
    lines = ["many a brave soul", "the anger of Achilles", "so were the counsels"]
    wild = WritingOptions(temperature=1.6)  # or nothing reads wrong
    _, plain = bulk("plain", lines=lines, params=wild)
    _, files = bulk("read", lines=lines, params=wild, respell="auto")
    assert not any(name.endswith(".misread.tsv") for name in plain)
    before, after = (
        [w for part in (0, 1) for w in words_in(tmp_path / name / f"part-00000{part}.json.zip")]
        for name in ("plain", "read")
    )
    assert legibility(after).wrong_words < legibility(before).wrong_words
    tables = [files[name].decode() for name in sorted(files) if name.endswith(".misread.tsv")]
    named = [row for table in tables for row in csv.DictReader(table.splitlines(), delimiter="\t")]
    wrong = [said for w, said in zip(after, read(after)) if said != w.text]
    assert [row["read_as"] for row in named] == wrong
    for row in named:
        assert lines[int(row["line"]) - 1].split()[int(row["word"])] == row["text"] != row["read_as"]
    with pytest.raises(CursiveError, match="another respell"):
        bulk("read", lines=lines, params=wild)


def test_the_options_say_whether_words_are_read_back(bulk):
    _, plain = bulk("plain")
    silent = WritingOptions(respell=False)
    assert bulk("silent", params=silent, respell="auto")[1] == plain


@pytest.mark.parametrize("kind, magic", [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_pictures_have_labels(bulk, tmp_path, kind, magic):
    unfinished = tmp_path / "a" / ".part-000000.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "00000009.svg").write_text("of a process that was killed")
    _, files = bulk("a", format=kind)
    assert files["part-000000/labels.tsv"] == f"file\ttext\n00000001.{kind}\tso it goes\n".encode()
    assert files["part-000002/labels.tsv"].decode() == f'file\ttext\n00000006.{kind}\t"""we"""\n'
    assert read_table(tmp_path / "a/part-000002/labels.tsv") == [{"file": f"00000006.{kind}", "text": '"we"'}]
    pictures = {f"part-00000{part}/0000000{n}.{kind}" for part, n in [(0, 1), (1, 4), (2, 6)]}
    assert {name for name, data in files.items() if data.startswith(magic)} == pictures
    assert not unfinished.exists()


def test_pictures_have_the_ink_that_is_asked_for_and_a_folder_knows_it(tmp_path):
    options = WritingOptions(respell=False, color="#c00", margin=12.5)
    write_bulk(["so it"], tmp_path / "red", params=options, format="svg")
    (picture,) = (tmp_path / "red").glob("part-*/*.svg")
    write_bulk(["so it"], tmp_path / "black", params=WritingOptions(respell=False), format="svg")
    (plain,) = (tmp_path / "black").glob("part-*/*.svg")
    assert 'stroke="#c00"' in picture.read_text() and "#c00" not in plain.read_text()
    width = [float(re.search(r'width="([\d.]+)mm"', p.read_text()).group(1)) for p in (picture, plain)]
    assert width[0] - width[1] == pytest.approx(2 * (12.5 - 5), abs=0.3)  # within a pixel
    with pytest.raises(CursiveError, match="another color"):
        write_bulk(
            ["so it"], tmp_path / "red", params=WritingOptions(respell=False, margin=12.5), format="svg"
        )


# Labels


def pandas_reads(texts, **how):
    "What pandas makes of labels with these texts, by the call that the notebook states."
    with tempfile.TemporaryDirectory() as d:
        table = Path(d) / "labels.tsv"
        write_table(table, ("file", "text"), [(f"{i}.png", text) for i, text in enumerate(texts)])
        frame = pandas.read_csv(table, sep="\t", keep_default_na=False, **how)
    assert list(frame.columns) == ["file", "text"] and list(frame["file"]) == [
        f"{i}.png" for i in range(len(texts))
    ]
    return list(frame["text"])


# As lines become labels: words with spaces between them; and worse, for other tables.
signs = st.text(string.ascii_letters + string.digits + "\"'#,;\\.-€", min_size=1, max_size=8)
awkward = st.sampled_from(["NA", "nan", "null", "None", "True", "1", "007", "1e5", "-", '"', '""', "'", "#"])
labels = st.lists(signs | awkward, min_size=1, max_size=5).map(" ".join)


@given(
    st.lists(
        labels | st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1), max_size=8
    )
)
@settings(deadline=None)
def test_pandas_reads_every_label_back(texts):
    assert pandas_reads([*texts, "a word"]) == [*texts, "a word"]
    assert pandas_reads(texts, dtype=str) == texts


def test_labels_that_begin_with_a_quote_swallow_nothing():
    texts = ['"Sing,', "O\tgoddess", "NA", "007", '"', "1.50", "so"]
    assert pandas_reads(texts) == texts
    numbers = ["007", "1.50", "12"]  # of which pandas makes numbers, unless it is told not to
    assert pandas_reads(numbers, dtype=str) == numbers


# Pictures of one height, and boxes


def test_pictures_have_the_height_asked_for_and_one_writing_line(tmp_path, default):
    lines = ["so", "A joyful thing", "a", "many a brave soul did it send"]
    options = WritingOptions(respell=False, unevenness=0)
    write_bulk(lines, tmp_path, default, options, format="png", height=64, padding=4)
    pictures = [Image.open(p) for p in sorted(tmp_path.glob("part-*/*.png"))]
    assert len(pictures) == 4 and all(p.height == 64 for p in pictures)
    dark = [np.asarray(p.convert("L")) < 128 for p in pictures]
    for ink in dark:
        rows = ink.any(1).nonzero()[0]
        columns = ink.any(0).nonzero()[0]
        assert rows[0] >= 3 and 64 - rows[-1] >= 4  # padding
        assert 3 <= columns[0] <= 6 and 3 <= ink.shape[1] - 1 - columns[-1] <= 6
    # Small letters stand on the same row, whatever else is in the line.
    assert abs(int(dark[0].any(1).nonzero()[0][-1]) - int(dark[2].any(1).nonzero()[0][-1])) <= 3


def test_a_line_too_high_for_the_room_is_drawn_smaller():
    ink = np.array([[0, -0.6, 1], [0.3, 0.4, 1], [0.3, 0.4, 0]])
    tall = Word("T", ink, page=(0, 0.5))
    small = Word("t", ink * [1, 0.3, 1], page=(0, 0.5))
    bulk = BulkOptions(format="png", height=100, padding=10)
    pictures = [picture_of([word], Style(margin=5), bulk) for word in (tall, small)]
    assert all(p.height == 100 for p in pictures)
    assert pictures[0].scale < pictures[1].scale
    for picture in pictures:
        box = picture.sheet.words[0]
        y = (box.points[:, 1] + box.page[1]) * 25 / 25.4 * picture.style.dpi
        assert 10 <= y.min() and y.max() <= 90


def test_boxes_lie_around_the_ink_of_words_and_characters(tmp_path, default):
    lines = ["Sing, O goddess,", "the anger of Achilles"]
    options = WritingOptions(respell=False)
    write_bulk(lines, tmp_path, default, options, format="png", height=96, padding=6, boxes=True)
    coco = json.loads((tmp_path / "part-000000/boxes.json").read_text())
    names = {c["id"]: c["name"] for c in coco["categories"]}
    assert len({a["id"] for a in coco["annotations"]}) == len(coco["annotations"])
    for image, line in zip(coco["images"], lines):
        picture = Image.open(tmp_path / "part-000000" / image["file_name"])
        assert picture.size == (image["width"], image["height"]) and image["text"] == line
        ink = np.asarray(picture.convert("L")) < 200
        mine = [a for a in coco["annotations"] if a["image_id"] == image["id"]]
        words = [a for a in mine if names[a["category_id"]] == "word"]
        assert [(a["word"], a["text"]) for a in words] == list(enumerate(line.split()))
        for word in words:
            signs = [a for a in mine if a["word"] == word["word"] and "character" in a]
            assert "".join(a["text"] for a in signs) == word["text"]
            assert all(names[a["category_id"]] == a["text"] for a in signs)
            assert_box_fits(word["bbox"], ink)
            left, top, width, height = np.array([a["bbox"] for a in signs]).T
            # Together they are the word; and they follow one another.
            around = [left.min(), top.min(), (left + width).max(), (top + height).max()]
            x, y, w, h = word["bbox"]
            np.testing.assert_allclose(around, [x, y, x + w, y + h], atol=0.02)
            assert (np.diff(left + width / 2) > 0).all()
        # No ink outside of the boxes.
        for x, y, w, h in (a["bbox"] for a in words):
            ink[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = False
        assert not ink.any()


def assert_box_fits(bbox, ink):
    "A box has ink at each of its edges, to a pixel or two."
    x, y, w, h = bbox
    inside = ink[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))]
    assert inside[:2].any() and inside[-2:].any() and inside[:, :2].any() and inside[:, -2:].any()


def test_boxes_do_not_depend_on_the_scale_and_slant_of_the_ink(tmp_path, default):
    options = WritingOptions(respell=False, slant=0.4, letter_size=5)
    write_bulk(["many a brave soul"], tmp_path, default, options, format="svg", boxes=True)
    coco = json.loads((tmp_path / "part-000000/boxes.json").read_text())
    signs = [a["text"] for a in coco["annotations"] if "character" in a]
    assert "".join(signs) == "manyabravesoul"
    text = (tmp_path / "part-000000/00000001.svg").read_text()
    width = float(re.search(r'width="([\d.]+)mm"', text).group(1))
    assert coco["images"][0]["width"] == pytest.approx(width * 96 / 25.4, abs=0.1)


def test_options_that_do_not_go_together_are_refused():
    with pytest.raises(CursiveError, match="about pictures"):
        bulk_options({"boxes": True})
    with pytest.raises(CursiveError, match="leaves no room"):
        bulk_options({"format": "png", "height": 64, "padding": 30})
    with pytest.raises(CursiveError, match="height lies between 16 and 4096"):
        bulk_options({"format": "png", "height": 5})


def test_shares_of_lines():
    assert shard_of("3/8") == (3, 8)
    for wrong in "0/2", "3/2", "1", "1/2/3", "-1/2", "a/b", "":
        with pytest.raises(CursiveError, match="1/4 to 4/4"):
            shard_of(wrong)
