import json
import os
import pty
import re
import shlex
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, fields

import numpy as np
import pytest
from commands import Commands
from conftest import CURSIVE
from programs import vpype_strokes

from cursivetransformer.apps import command_write
from cursivetransformer.apps.command_write import (
    EXAMPLES,
    GROUPS,
    check_write,
    free_path,
    local_device,
    name_after,
    opener,
    options_of,
    shards_of_torchrun,
    write_parser,
)
from cursivetransformer.config import knob
from cursivetransformer.data.banks import load_bank
from cursivetransformer.files import is_reserved
from cursivetransformer.flags import parse_flags
from cursivetransformer.options import BulkOptions, WritingOptions
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
    shown += fields(BulkOptions)
    assert len(shown) > 40 and {f.metadata["group"] for f in fields(WritingOptions)} - {*GROUPS} == {
        "decoding"
    }
    for f in shown:
        name = f.name.replace("_", "-")
        assert flags[f.name].option_strings == [f"--no-{name}" if f.default is True else f"--{name}"]
        assert f.metadata["help"] in flags[f.name].help
        if f.default not in (None, "") and f.type is not bool:
            value = f"{f.default:g}" if isinstance(f.default, float) else f.default
            assert flags[f.name].help.endswith(f" [{value}]")


def test_the_help_is_grouped_by_what_a_reader_wants_and_ends_on_examples():
    parser = write_parser("cursive write", "Write.")
    groups = {g.title: [a.dest for a in g._group_actions] for g in parser._action_groups}
    assert groups["options"] == ["help"] and len(set(groups)) == len(groups)
    for title, dest in [
        ("what is written, and where to", "output"),
        (GROUPS["page"], "paper"),
        (GROUPS["sheet"], "ruling"),
        (GROUPS["ink"], "color"),
        (GROUPS["hand"], "seed"),
        (GROUPS["spelling"], "reader"),
        (GROUPS["motion"], "speed"),
        (GROUPS["plotter"], "pen_down"),
        ("a letter to many", "mail"),
        ("a page that was saved", "again"),
        (GROUPS["bulk"], "boxes"),
        (GROUPS["bulk"], "out_dir"),
    ]:
        assert dest in groups[title]
    commands = [shlex.split(line)[2:] for line in EXAMPLES.splitlines() if "cursive" in line]
    assert len(commands) > 4 and EXAMPLES in parser.format_help()
    for command in commands:
        args = parse_flags(parser, command)
        check_write(args, options_of(args))


def test_what_is_not_given_is_the_default_and_what_is_given_arrives():
    assert given("a") == WritingOptions()
    flags = """--author Sam --seed 7 --temperature 0.7 --top-k 5 --top_p 0.9 --slant 0.5 --width 4
        --line-height=0.7 --word_space 0.3 --first-line 0.5 --margin 0.1 --color #1f3a93 --stroke-width 0.6
        --no-respell --reader none"""
    options = WritingOptions(
        author="Sam", seed=7, temperature=0.7, top_k=5, top_p=0.9, slant=0.5, width=4, line_height=0.7,
        word_space=0.3, first_line=0.5, margin=0.1, color="#1f3a93", stroke_width=0.6, respell=False,
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


def test_a_text_without_quotes_is_told_how(command):
    for words in ["hello", "world"], ["hello", "world", "-o", "a.svg"]:
        done = command("write", *words)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.endswith('put the text in quotes: cursive write "hello world".\n')


def test_a_backslash_and_an_n_end_a_line(command, tmp_path):
    command("write", r"so it\ngoes", "--no-respell", "--unevenness", 0, "-o", "a.json")
    words = load_bank(str(tmp_path / "a.json")).words
    assert [w.text for w in words] == ["so", "it", "goes"]
    assert words[0].page[1] == words[1].page[1] < words[2].page[1]


def test_words_of_a_saved_page_are_listed_by_their_numbers(command, tmp_path):
    command("write", "many a\nbrave soul", "-o", "a.json")
    done = command("write", "--from", "a.json")
    assert (done.returncode, done.stdout) == (0, "0 many  1 a\n2 brave  3 soul\n")
    again = command("write", "--from", "a.json", "--respell", "3,0", "-o", "b.json")
    assert again.returncode == 0 and "written again: 0 'many', 3 'soul'." in again.stderr
    wrong = command("write", "--from", "a.json", "--respell", "4", "-o", "c.json")
    assert wrong.returncode == 2 and "no word 4" in wrong.stderr and "3 'soul'" in wrong.stderr


def test_a_saved_page_becomes_other_files_as_it_is(command, tmp_path):
    command("write", "many a brave soul", "--paper", "a6", "-o", "a.json", "-o", "a.svg")
    assert command("write", "--from", "a.json", "-o", "b.svg", "-o", "b.pdf").returncode == 0
    # Saved to a ten-thousandth of a canvas height, and no word is set or drawn again.
    strokes = [vpype_strokes(tmp_path / name) for name in ("a.svg", "b.svg")]
    assert len(strokes[0]) == len(strokes[1])
    for one, other in zip(*strokes):
        np.testing.assert_allclose(one[[0, -1]], other[[0, -1]], atol=0.02)
    blue = command("write", "--from", "a.json", "--color", "navy", "-o", "-").stdout
    assert 'stroke="navy"' in blue
    other = command("write", "--from", "a.json", "--paper", "a5", "--align", "right", "-o", "c.svg")
    assert other.returncode == 2 and "leave --paper, --align out" in other.stderr
    assert command("write", "--from", "a.json", "--paper", "a6", "-o", "c.svg").returncode == 0


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


def test_a_file_that_goes_wrong_does_not_lose_the_others(command, tmp_path):
    wide = ["so it goes " * 16, "--width", 3000, "--no-respell"]
    done = command("write", *wide, "-o", "a.svg", "-o", "a.hpgl", "-o", "a.json")
    assert done.returncode == 1 and paths(tmp_path) == ["a.json", "a.svg"]
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("cursive: a.hpgl was not made: ") and "larger than" in line
    ET.parse(tmp_path / "a.svg")
    assert len(load_bank(str(tmp_path / "a.json")).words) == 48
    # Where nothing is left, it is an error.
    done = command("write", *wide, "-o", "b.hpgl")
    assert done.returncode == 2 and "larger than" in done.stderr
    assert paths(tmp_path) == ["a.json", "a.svg"]


def test_a_reader_that_goes_away_does_not_lose_the_files(tmp_path):
    command = subprocess.Popen(
        [*CURSIVE, "write", "many a brave soul " * 200, "--no-respell", "-o", "-", "-o", "a.json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    command.stdout.close()
    command.wait(timeout=120)
    assert len(load_bank(str(tmp_path / "a.json")).words) == 800


@pytest.mark.parametrize(
    "flags, says",
    [
        (["-o", "a.svg", "-o", "a.bmp"], "ending"),
        (["-o", "folder.svg"], "folder.svg: that is a folder"),
        (["-o", "file.txt/a.svg"], "file.txt is no folder"),
        (["-o", "a.svg", "--color", '"/><script>alert(1)</script>'], "colour"),
        (["-o", "a.svg", "--tip", "blurple"], "colour"),
        (["-o", "a.pdf", "--background", "blurple"], "colour"),
        (["-o", "a.pdf", "--paper", "a99"], "a99"),
        (["-o", "a.pdf", "--paper", "a6", "--margin", "60"], "margin"),
        (["-o", "a.pdf", "--paper", "a6", "--width", "200"], "does not fit"),
        (["-o", "a.gcode", "--pen-down", "M3 S30"], "pen_up"),
        (["-o", "a.svg", "-o", "a.hpgl", "--paper", "600x900"], "larger than A3"),
    ],
)
def test_what_can_be_refused_is_refused_before_anything_is_drawn(command, tmp_path, monkeypatch, flags, says):
    def draw(*_):
        raise AssertionError("drawn")

    monkeypatch.setattr("cursivetransformer.writing.sample.sample_tokens", draw)
    (tmp_path / "folder.svg").mkdir()
    (tmp_path / "file.txt").write_text("")
    done = command("write", "so it goes", *flags)
    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert paths(tmp_path) == ["file.txt", "folder.svg"]


# In a terminal


def in_a_terminal(folder, *args, env=()):
    "Run `cursive ARGS` with a terminal for its output: the exit code, and what is shown."
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*CURSIVE, *map(str, args)],
        stdout=theirs,
        stderr=theirs,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **dict(env)},
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # closed
            break
        if not piece:
            break
        shown += piece
    os.close(ours)
    return process.wait(timeout=60), shown.decode()


def test_in_a_terminal_the_drawing_becomes_a_file_that_is_opened(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    program = tmp_path / "xdg-open"
    program.write_text(f'#!/bin/sh\necho "$1" >> {tmp_path}/opened\n')
    program.chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "DISPLAY": ":0"}
    for expected in "hello-world.svg", "hello-world-2.svg":
        code, shown = in_a_terminal(work, "write", "Hello world", "--no-respell", env=env)
        assert (code, shown.splitlines()[-1]) == (0, expected) and len(shown) < 300
    code, shown = in_a_terminal(work, "write", "Hello world", "--no-respell", "--paper", "a6", env=env)
    assert code == 0 and paths(work) == ["hello-world-2.svg", "hello-world.pdf", "hello-world.svg"]
    ET.parse(work / "hello-world-2.svg")
    deadline = time.monotonic() + 60
    opened = tmp_path / "opened"
    while time.monotonic() < deadline and not (opened.exists() and opened.read_text().count("\n") == 3):
        time.sleep(0.05)
    assert sorted(opened.read_text().split()) == paths(work)
    # What asks for the drawing itself gets it.
    code, shown = in_a_terminal(work, "write", "Hello world", "--no-respell", "-o", "-")
    assert code == 0 and "<svg" in shown and len(paths(work)) == 3


def test_a_file_is_named_after_the_text_and_takes_no_place(tmp_path, monkeypatch):
    assert name_after("Hello, world!") == "hello-world" and name_after("…") == "page"
    assert name_after("../../etc/passwd") == "etc-passwd"
    long = name_after("The anger of Achilles, son of Peleus, that brought countless ills")
    assert long == "the-anger-of-achilles-son-of"
    monkeypatch.chdir(tmp_path)
    for name in "a.svg", "a-2.svg", "a-3.svg":
        assert free_path("a", "svg") == name
        (tmp_path / name).symlink_to(tmp_path / "nowhere")  # a broken link is there, too


def test_without_a_screen_nothing_is_opened(monkeypatch):
    for name in "DISPLAY", "WAYLAND_DISPLAY":
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert opener() is None
    monkeypatch.setattr("sys.platform", "darwin")
    assert opener() == ["open"]


# Pages and models


def test_an_original_checkpoint_writes(command, shared, tmp_path):
    done = command("write", "so", "--checkpoint", shared / "fixtures/upstream_checkpoint.pt", "-o", "a.svg")
    assert done.returncode == 0 and (tmp_path / "a.svg").exists(), done.stderr


def test_colour_width_and_margin_of_the_line_reach_every_drawing(command, tmp_path):
    style = ["--color", "navy", "--stroke-width", "0.7", "--margin", "25"]
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
    assert float(box[2]) == pytest.approx(float(smaller[2]) + 2 * 20 + 0.3, abs=0.02)
    assert 'stroke="#000"' in narrow and 'stroke-width="0.4"' in narrow


def test_the_page_is_set_as_asked(command, tmp_path):
    places = "--no-respell --word-space 25 --line-height 50 --first-line 12.5 --unevenness 0".split()
    assert command("write", "so it\ngoes", *places, "-o", "a.json").returncode == 0
    words = load_bank(str(tmp_path / "a.json")).words
    widths = [np.ptp(w.points[:, 0]) for w in words]
    assert [w.page[1] for w in words] == pytest.approx([0.5, 0.5, 2.5], abs=1e-3)
    assert [w.page[0] for w in words] == pytest.approx([0, widths[0] + 1, 0], abs=1e-3)


def test_the_likeliest_token_alone_is_the_same_at_any_temperature(command):
    def drawn(*flags):
        return command("write", "so it goes", "--no-respell", "--unevenness", 0, *flags).stdout

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
    assert done.returncode == 1 and "264 lines in json" in done.stdout, done.stderr
    assert "line 128" in done.stderr and "1 of 265" in done.stderr
    for rank in "1", "0":  # as torchrun says it
        monkeypatch.setenv("RANK", rank)
        monkeypatch.setenv("WORLD_SIZE", "2")
        assert command(*bulk, "whole").returncode == int(rank == "0")  # who has a line left out
    monkeypatch.delenv("RANK")
    assert files(tmp_path / "killed") == files(tmp_path / "whole") and len(files(tmp_path / "whole")) == 5
    assert command("data", "whole/part-000001.json.zip").returncode == 0
    assert "another seed" in command(*bulk, "whole", "--seed", 1).stderr


def test_lines_in_bulk_as_pictures(command, tmp_path):
    done = command("write", "so it\ngoes", "--out-dir", "lines", "--format", "svg", "--shards", "1/1")
    assert done.returncode == 0 and done.stdout == "lines: 2 lines in svg, shard 1 of 1\n"
    assert paths(tmp_path / "lines/part-000000") == ["00000001.svg", "00000002.svg", "labels.tsv"]


def test_lines_with_boxes(command, tmp_path):
    height = ["--format", "png", "--height", 64, "--padding", 4, "--boxes"]
    done = command("write", "so it\ngoes", "--out-dir", "lines", *height)
    assert done.returncode == 0, done.stderr
    assert paths(tmp_path / "lines/part-000000") == [
        "00000001.png", "00000002.png", "boxes.json", "labels.tsv",
    ]  # fmt: skip
    images = json.loads((tmp_path / "lines/part-000000/boxes.json").read_text())["images"]
    assert [image["height"] for image in images] == [64, 64]


def test_shares_of_lines(command, monkeypatch):
    for name in "RANK", "WORLD_SIZE":
        monkeypatch.delenv(name, raising=False)
    assert shards_of_torchrun() == "1/1"
    done = command("write", "a", "--out-dir", "d", "--shards", "0/2")
    assert done.returncode == 2 and "1/4 to 4/4" in done.stderr
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert shards_of_torchrun() == "2/4"


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


def test_a_file_named_after_its_text_is_one_on_every_system():
    for text in "CON", "nul", "../../x", "a/b", "\0", "漢" * 300, "<script>":
        name = name_after(text)
        assert not is_reserved(name) and "/" not in name and "\0" not in name and len(name.encode()) < 200
