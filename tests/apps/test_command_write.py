import json
import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, fields

import numpy as np
import pytest
from commands import Commands
from conftest import CURSIVE

from cursivetransformer.apps import command_write
from cursivetransformer.apps.command_write import (
    GROUPS,
    local_device,
    options_of,
    shard_of,
    write_parser,
)
from cursivetransformer.config import CursiveError, WritingOptions, knob
from cursivetransformer.data.banks import load_bank
from cursivetransformer.flags import parse_flags
from cursivetransformer.writing.page import FORMATS


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


def paths(folder):
    return sorted(p.name for p in folder.iterdir())


def given(*argv):
    "The options that a command line asks for."
    return options_of(parse_flags(write_parser("cursive write"), list(argv)))


# Flags


def test_every_option_of_the_groups_shown_is_a_flag_with_its_help_and_default():
    flags = {action.dest: action for action in write_parser("cursive write")._actions}
    shown = [f for f in fields(WritingOptions) if f.metadata["group"] in GROUPS]
    assert len(shown) > 12 and {f.metadata["group"] for f in fields(WritingOptions)} - {*GROUPS} == {
        "decoding"
    }
    for f in shown:
        name = f.name.replace("_", "-")
        assert flags[f.name].option_strings == [f"--no-{name}" if f.default is True else f"--{name}"]
        assert f.metadata["help"] in flags[f.name].help
        if f.default is not None and f.type is not bool:
            value = f"{f.default:g}" if isinstance(f.default, float) else f.default
            assert flags[f.name].help.endswith(f" [{value}]")


def test_what_is_not_given_is_the_default_and_what_is_given_arrives():
    assert given("a") == WritingOptions()
    flags = """--author Sam --seed 7 --temperature 0.7 --top-k 5 --top_p 0.9 --slant 0.5 --width 4
        --line-height=0.7 --word_space 0.3 --first-line 0.5 --margin 0.1 --color #1f3a93 --linewidth 0.6
        --no-respell --reader none"""
    options = WritingOptions(
        author="Sam", seed=7, temperature=0.7, top_k=5, top_p=0.9, slant=0.5, width=4, line_height=0.7,
        word_space=0.3, first_line=0.5, margin=0.1, color="#1f3a93", linewidth=0.6, respell=False,
    )  # fmt: skip
    assert given("a", *flags.split()) == options


def test_an_option_that_is_added_to_the_table_is_a_flag(monkeypatch):
    @dataclass
    class More(WritingOptions):
        wobble: float = knob(0.1, "ink", "how much the line trembles", 0.0, 1.0)

    monkeypatch.setattr(command_write, "WritingOptions", More)
    text = write_parser("cursive write").format_help()
    assert re.search(r"--wobble FLOAT +how much the line trembles \[0.1\]", text)
    assert given("a", "--wobble", "0.2").wobble == 0.2


def test_the_help_names_every_kind_of_file():
    action = next(a for a in write_parser("cursive write")._actions if a.dest == "output")
    assert [kind for kind in FORMATS if f".{kind}" not in action.help] == []


def test_respelling_words_and_not_respelling_are_two_flags():
    args = parse_flags(write_parser("cursive write"), ["--respell", "2,4", "--from", "page.json"])
    assert args.again == "2,4" and args.page == "page.json" and options_of(args).respell
    args = parse_flags(write_parser("cursive write"), ["a", "--no_respell"])
    assert args.again is None and not options_of(args).respell


# Pages


def test_writes_every_kind_of_file(command, tmp_path):
    names = ["a.svg", "a.png", "a.pdf", "a.json", "a.anim.svg", "a.gif", "a.hpgl", "a.gcode"]
    done = command("write", "Sing, O goddess", *(part for name in names for part in ("-o", name)))
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert paths(tmp_path) == sorted(names)
    ET.parse(tmp_path / "a.svg")
    words = load_bank(str(tmp_path / "a.json")).words
    assert [w.text for w in words] == ["Sing,", "O", "goddess"] and all(w.page for w in words)
    item = json.loads((tmp_path / "a.json").read_text())[0]
    assert set(item) == {"metadata", "points"} and item["metadata"]["pointCount"] == len(item["points"])


def test_reads_standard_input_and_files_and_writes_standard_output(cursive, command, tmp_path):
    process = cursive("write", "-", stdin="so it goes")
    ET.fromstring(process.stdout)
    (tmp_path / "t.txt").write_text("so it goes")
    plain = command("write", "so it goes").stdout
    ET.fromstring(plain)
    assert command("write", "--file", "t.txt").stdout == plain
    assert command("write", "-", stdin=b"so it goes").stdout == plain
    assert command("write", "so it goes", "--seed", 1).stdout != plain


def test_bad_bytes_on_standard_input(command):
    done = command("write", "-", stdin=b"\xff\xfe")
    assert done.returncode == 2 and "UTF-8" in done.stderr


def test_folded_characters_are_noticed_once(command):
    done = command("write", "“naïve”", "-o", "a.svg")
    assert done.returncode == 0 and len(done.stderr.strip().splitlines()) == 1 and "ï as i" in done.stderr


def test_respelling_a_saved_page(command, tmp_path):
    command("write", "many a brave soul", "-o", "a.json")
    done = command("write", "--respell", "[1, 3]", "--from", "a.json", "-o", "b.json", "-o", "b.svg")
    assert done.returncode == 0, done.stderr
    before, after = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    assert [a["points"] == b["points"] for a, b in zip(before, after)] == [True, False, True, False]
    assert [b["metadata"]["asciiSequence"] for b in after] == "many a brave soul".split()


def test_every_output_is_the_same_page_and_none_is_half_there(command, tmp_path):
    text = "many a brave soul\nit sent " * 20
    done = command("write", text, "-o", "a.svg", "-o", "a.json", "-o", "-", "--width", 3)
    assert done.returncode == 0 and done.stdout == (tmp_path / "a.svg").read_text()
    assert len(load_bank(str(tmp_path / "a.json")).words) == 120
    long = ["--width", 1, "--line-height", 9, "--no-respell"]
    done = command("write", text[:120], "-o", "b.svg", "-o", "b.json", "-o", "b.png", *long)
    assert done.returncode == 2 and ".pdf" in done.stderr and paths(tmp_path) == ["a.json", "a.svg"]


def test_an_original_checkpoint_writes(command, shared, tmp_path):
    done = command("write", "so", "--checkpoint", shared / "fixtures/upstream_checkpoint.pt", "-o", "a.svg")
    assert done.returncode == 0 and (tmp_path / "a.svg").exists(), done.stderr


def test_colour_width_and_margin_of_the_line_reach_every_drawing(command, tmp_path):
    style = ["--color", "navy", "--linewidth", "0.7", "--margin", "1"]
    done = command("write", "so", *style, "-o", "a.svg", "-o", "a.anim.svg", "-o", "a.png", "-o", "-")
    assert done.returncode == 0, done.stderr
    svg = (tmp_path / "a.svg").read_text()
    assert done.stdout == svg
    for text in svg, (tmp_path / "a.anim.svg").read_text():
        assert 'stroke="navy"' in text and 'stroke-width="0.7"' in text
    from PIL import Image

    picture = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert (picture == [0, 0, 128]).all(-1).any() and not (picture == 0).all(-1).any()
    narrow = command("write", "so", "-o", "-").stdout
    box, smaller = (ET.fromstring(text).get("viewBox").split() for text in (svg, narrow))
    assert float(box[2]) == pytest.approx(float(smaller[2]) + 2 * 0.8 * 25, abs=0.02)
    assert 'stroke="#000"' in narrow and 'stroke-width="0.4"' in narrow


def test_the_page_is_set_as_asked(command, tmp_path):
    places = "--no-respell --word-space 1 --line-height 2 --first-line 0.5".split()
    assert command("write", "so it\ngoes", *places, "-o", "a.json").returncode == 0
    words = load_bank(str(tmp_path / "a.json")).words
    widths = [np.ptp(w.points[:, 0]) for w in words]
    assert [w.page[1] for w in words] == pytest.approx([0.5, 0.5, 2.5], abs=1e-3)
    assert [w.page[0] for w in words] == pytest.approx([0, widths[0] + 1, 0], abs=1e-3)


def test_the_likeliest_token_alone_is_the_same_at_any_temperature(command):
    def drawn(*flags):
        return command("write", "so it goes", "--no-respell", *flags).stdout

    assert drawn("--top-k", 1) == drawn("--top-k", 1, "--temperature", 2, "--seed", 3) != drawn()
    assert drawn("--top-p", 0.5) != drawn()


# Lines in bulk


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_lines_in_bulk_go_on_after_a_kill(command, tmp_path, monkeypatch):
    (tmp_path / "l.txt").write_text(".\n" * 127 + "5 €\n" + "it\n" * 127 + "a\n" * 10)
    bulk = ["write", "--no-respell", "--file", "l.txt", "--out-dir"]
    process = subprocess.Popen(
        [*CURSIVE, *bulk, "killed"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed/part-000000.json.zip").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "killed/part-000002.json.zip").exists()
    done = command(*bulk, "killed")
    assert done.returncode == 0 and "264 lines in json" in done.stdout, done.stderr
    assert "line 128" in done.stderr and "1 of 265" in done.stderr
    for rank in "1", "0":  # as torchrun says it
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert command(*bulk, "whole").returncode == 0
    monkeypatch.delenv("RANK")
    assert files(tmp_path / "killed") == files(tmp_path / "whole") and len(files(tmp_path / "whole")) == 5
    assert command("data", "whole/part-000001.json.zip").returncode == 0
    assert "another seed" in command(*bulk, "whole", "--seed", 1).stderr


def test_lines_in_bulk_as_pictures(command, tmp_path):
    done = command("write", "so it\ngoes", "--out-dir", "lines", "--format", "svg", "--shards", "1/1")
    assert done.returncode == 0 and done.stdout == "lines: 2 lines in svg, shard 1 of 1\n"
    assert paths(tmp_path / "lines/part-000000") == ["00000001.svg", "00000002.svg", "labels.tsv"]


def test_shares_of_lines(monkeypatch):
    for name in "RANK", "WORLD_SIZE":
        monkeypatch.delenv(name, raising=False)
    assert shard_of(None) == (1, 1) and shard_of("3/8") == (3, 8)
    for wrong in "0/2", "3/2", "1", "1/2/3", "-1/2", "a/b", "":
        if wrong:
            with pytest.raises(CursiveError, match="1/4 to 4/4"):
                shard_of(wrong)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert shard_of(None) == (2, 4) and shard_of("3/8") == (3, 8)


def test_processes_of_one_machine_take_a_gpu_each(monkeypatch):
    import torch

    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert local_device() == "auto"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device() == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local_device() == "auto"
