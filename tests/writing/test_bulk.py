"""Lines by the hundred thousand: whole parts, the same however the work is shared, stopped and started again."""

import json
import warnings
import zipfile

import numpy as np
import pytest
import torch

from cursivetransformer.config import CursiveError, GenerationParams, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.writing.bulk import write_bulk
from cursivetransformer.writing.reader import legibility, read
from cursivetransformer.writing.sample import decode

LINES = ["so it goes", "", "5 € a day", "I am", "x" * 60, "“we”"]


def other_model():
    torch.manual_seed(3)
    return Transformer(
        preset("debug", vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50)
    ).eval()


@pytest.fixture
def bulk(default, tmp_path, monkeypatch):
    monkeypatch.setattr("cursivetransformer.writing.bulk.PART_LINES", 2)

    def run(name, **options):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            skipped = write_bulk(
                options.pop("lines", LINES),
                tmp_path / name,
                options.pop("model", default),
                **{"respell": None, **options},
            )
        return skipped, {
            p.relative_to(tmp_path / name).as_posix(): p.read_bytes()
            for p in (tmp_path / name).rglob("*")
            if p.is_file()
        }

    return run


def test_shards_together_are_the_whole(bulk, tmp_path):
    whole = bulk("whole")
    assert (
        sorted(whole[0]) == [2, 3, 5]
        and "'€'" in whole[0][3]
        and "50 characters" in whole[0][5]
        and "nothing" in whole[0][2]
    )
    assert set(whole[1]) == {
        "bulk.json",
        *(f"part-00000{i}.json.zip" for i in range(3)),
        *(f"part-00000{i}.skipped.tsv" for i in range(3)),
    }
    (a, _), (b, both) = bulk("both", shard=(2, 2)), bulk("both", shard=(1, 2))
    assert both == whole[1] and {**a, **b} == whole[0]
    assert [w.text for w in load_bank(str(tmp_path / "whole/part-000001.json.zip")).words] == ["I", "am"]
    with zipfile.ZipFile(tmp_path / "whole/part-000001.json.zip") as z:
        items = json.loads(z.read("part-000001.json"))
    assert [(i["metadata"]["line"], i["metadata"]["page"][0] > 0.1) for i in items] == [(4, False), (4, True)]


def test_a_line_depends_on_its_number_and_the_seed_alone(bulk, tmp_path):
    (
        bulk("a"),
        bulk("b", lines=["other words", *LINES[1:]]),
        bulk("c", params=GenerationParams(seed=1)),
        bulk("d", lines=[LINES[0]] * 2),
    )
    read = lambda name: [w.points for w in load_bank(str(tmp_path / name)).words]
    same = lambda a, b: [len(p) == len(q) and np.allclose(p, q) for p, q in zip(a, b)]
    assert all(same(read("a/part-000001.json.zip"), read("b/part-000001.json.zip"))) and not any(
        same(read("a/part-000001.json.zip"), read("c/part-000001.json.zip"))
    )
    assert all(same(read("a/part-000000.json.zip"), read("d/part-000000.json.zip")))
    d = read("d/part-000000.json.zip")
    assert not any(same(d[:3], d[3:]))  # the same text on two lines is two pieces of ink


def test_what_is_there_is_passed_over_and_must_belong_together(bulk, tmp_path, monkeypatch):
    from cursivetransformer.writing import sample

    whole = bulk("a")
    for part in "part-000000.json.zip", "part-000002.json.zip":
        (tmp_path / "a" / part).unlink()
    (tmp_path / "a" / ".part-000002.json.zip.leftover").write_text("half")
    decoded = []
    monkeypatch.setattr(
        sample,
        "decode",
        lambda model, groups, params: decoded.extend(groups) or decode(model, groups, params),
    )
    assert bulk("a") == whole and sorted(w for g in decoded for w in g.words) == ['"we"', "goes", "it", "so"]
    for options, says in [
        (dict(lines=LINES[1:]), "text"),
        (dict(params=GenerationParams(seed=1)), "seed"),
        (dict(kind="svg"), "format"),
        (dict(model=other_model()), "model"),
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
    wild = GenerationParams(temperature=1.2)  # or nothing reads wrong
    (_, plain), (_, files) = (
        bulk("plain", lines=lines, params=wild),
        bulk("read", lines=lines, params=wild, respell="auto"),
    )
    assert not any(n.endswith(".misread.tsv") for n in plain)
    words = {
        n: [w for part in (0, 1) for w in load_bank(str(tmp_path / n / f"part-00000{part}.json.zip")).words]
        for n in ("plain", "read")
    }
    before, after = (legibility(words[n]) for n in ("plain", "read"))
    assert after.wrong_words < before.wrong_words
    named = [
        row.split("\t")
        for n in sorted(files)
        if n.endswith(".misread.tsv")
        for row in files[n].decode().splitlines()
    ]
    assert [said for *_, said in named] == [
        said for w, said in zip(words["read"], read(words["read"])) if said != w.text
    ]
    assert all(lines[int(line) - 1].split()[int(place)] == text != said for line, place, text, said in named)
    with pytest.raises(CursiveError, match="another respell"):
        bulk("read", lines=lines, params=wild)


@pytest.mark.parametrize("kind, magic", [("svg", b"<svg"), ("png", b"\x89PNG")])
def test_pictures_have_labels(bulk, tmp_path, kind, magic):
    unfinished = tmp_path / "a" / ".part-000000.unfinished"
    unfinished.mkdir(parents=True)
    (unfinished / "00000009.svg").write_text("of a process that was killed")
    _, files = bulk("a", kind=kind)
    assert (
        files["part-000000/labels.tsv"] == f"00000001.{kind}\tso it goes\n".encode()
        and files["part-000002/labels.tsv"].decode() == f'00000006.{kind}\t"we"\n'
    )
    assert {n for n, data in files.items() if data.startswith(magic)} == {
        f"part-00000{p}/0000000{n}.{kind}" for p, n in [(0, 1), (1, 4), (2, 6)]
    }
    assert not unfinished.exists()
