"""Lines by the hundred thousand: whole parts, the same however the work is shared and stopped."""

import json
import re
import warnings
import zipfile

import numpy as np
import pytest
from models import small_model

from cursivetransformer.config import CursiveError, WritingOptions
from cursivetransformer.data.banks import load_bank
from cursivetransformer.writing import sample
from cursivetransformer.writing.bulk import write_bulk
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
    second, _ = bulk("both", shard=(2, 2))
    first, both = bulk("both", shard=(1, 2))
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


def test_what_is_there_must_belong_together(bulk, tmp_path):
    bulk("a")
    for options, says in [
        (dict(lines=LINES[1:]), "text"),
        (dict(params=WritingOptions(seed=1)), "seed"),
        (dict(kind="svg"), "format"),
        (dict(model=small_model()), "model"),
        (dict(respell="auto"), "respell"),
    ]:
        with pytest.raises(CursiveError, match=f"another {says}"):
            bulk("a", **options)
    (tmp_path / "a" / "bulk.json").write_text("[")
    with pytest.raises(CursiveError, match="bulk.json"):
        bulk("a")
    with pytest.raises(CursiveError, match="json, svg, png"):
        bulk("b", kind="gif")


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
    named = [row.split("\t") for table in tables for row in table.splitlines()]
    wrong = [said for w, said in zip(after, read(after)) if said != w.text]
    assert [said for *_, said in named] == wrong
    assert all(lines[int(line) - 1].split()[int(place)] == text != said for line, place, text, said in named)
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
    _, files = bulk("a", kind=kind)
    assert files["part-000000/labels.tsv"] == f"00000001.{kind}\tso it goes\n".encode()
    assert files["part-000002/labels.tsv"].decode() == f'00000006.{kind}\t"we"\n'
    pictures = {f"part-00000{part}/0000000{n}.{kind}" for part, n in [(0, 1), (1, 4), (2, 6)]}
    assert {name for name, data in files.items() if data.startswith(magic)} == pictures
    assert not unfinished.exists()


def test_pictures_have_the_ink_that_is_asked_for_and_a_folder_knows_it(tmp_path):
    options = WritingOptions(respell=False, color="#c00", margin=0.5)
    write_bulk(["so it"], tmp_path / "red", params=options, kind="svg")
    (picture,) = (tmp_path / "red").glob("part-*/*.svg")
    write_bulk(["so it"], tmp_path / "black", params=WritingOptions(respell=False), kind="svg")
    (plain,) = (tmp_path / "black").glob("part-*/*.svg")
    assert 'stroke="#c00"' in picture.read_text() and "#c00" not in plain.read_text()
    width = [float(re.search(r'width="([\d.]+)mm"', p.read_text()).group(1)) for p in (picture, plain)]
    assert width[0] - width[1] == pytest.approx(2 * (0.5 - 0.2) * 25, abs=0.1)
    with pytest.raises(CursiveError, match="another color"):
        write_bulk(["so it"], tmp_path / "red", params=WritingOptions(respell=False, margin=0.5), kind="svg")
