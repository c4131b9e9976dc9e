import dataclasses
import io
import json
import re
import shlex
import socket
import sys
from pathlib import Path

import pytest
from commands import Commands

from cursivetransformer.apps import lan
from cursivetransformer.apps.command_collect import (
    ALL_PAIRS,
    MADE_UP,
    invitation,
    what_next,
    wordbank_parser,
)
from cursivetransformer.data.wordbank import Prompts
from cursivetransformer.flags import parse_flags, parse_given


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


def test_how_words_are_made_up_is_a_table_and_each_row_a_flag():
    flags = {a.dest: a for a in wordbank_parser("cursive wordbank")._actions}
    for f in dataclasses.fields(Prompts):
        assert flags[f.name].option_strings == [f"--{f.name.replace('_', '-')}"]
        assert flags[f.name].help.replace("%%", "%").startswith(f.metadata["help"])
    argv = ["--max_length", "4", "--punctuation-probs", "0", "0.5", "0", "1", "--punctuations", ".,?!"]
    given = parse_given(Prompts, vars(parse_flags(wordbank_parser("cursive wordbank"), argv)))
    assert given == {"max_length": 4, "punctuation_probs": (0.0, 0.5, 0.0, 1.0), "punctuations": ".,?!"}


def test_how_many_words(command, tmp_path):
    def count(*flags):
        assert command("wordbank", *flags, "-o", "a.json").returncode == 0
        return len(json.loads((tmp_path / "a.json").read_text()))

    assert count() == MADE_UP and count("--num_examples", 7) == count("--num-examples", 7) == 7
    assert count("--little") == ALL_PAIRS and count("--little", "--num-examples", 26) == 26
    assert count("--little", "--cover") <= ALL_PAIRS
    (tmp_path / "t.txt").write_text("the cat sat on the mat")
    assert count("--text", "t.txt") == 5 and count("--text", "t.txt", "--num-examples", 2) == 2


def test_a_text_from_standard_input(command):
    assert "5 words" in command("wordbank", "--text", "-", stdin=b"the cat sat on the mat").stdout


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--little", "--text", "t.txt"], "one of them"),
        (
            ["--little", "--quote_prob", "1"],
            "--quote-prob is about made-up words; leave it out, or --little.",
        ),
        (["--text", "t.txt", "--max-length", "3"], "or --text."),
        (["--num_examples", "0"], "--num-examples is between 1 and 1000000"),
        (["--num_examples", "9" * 400], "--num-examples is between 1 and 1000000"),
        (["--quote_prob", "2"], "quote_prob"),
        (["--punctuation_probs", "0.1", "much"], "punctuation_probs takes float, not 'much'"),
        (["--min-length", "9", "--max-length", "3"], "min_length=9 is above max_length=3"),
        (["--uper", "2"], "--uper"),
    ],
)
def test_bad_flags_are_one_sentence(command, flags, says):
    done = command("wordbank", *flags)
    assert done.returncode == 2 and says in done.stderr and done.stdout == ""
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("cursive: ")


def test_the_page_is_served_until_ctrl_c(command, monkeypatch, tmp_path):
    import urllib.request
    import webbrowser

    from cursivetransformer.apps import command_collect

    opened = []

    def wait(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(urllib.request.urlopen(url).read()))
    monkeypatch.setattr(command_collect.time, "sleep", wait)
    done = command("collect", "ada.json")
    assert done.returncode == 0 and len(opened) == 1 and b"<html" in opened[0]
    assert done.stdout.startswith("Words are saved to ada.json. Write at http://127.0.0.1:")
    assert done.stdout.endswith("No word was added, so there is nothing to go on with.\n")
    assert command("collect", "--no_browser").returncode == 0 and len(opened) == 1


def test_a_tablet_is_invited(command, monkeypatch, tmp_path):
    from cursivetransformer.apps import collect, command_collect, lan

    monkeypatch.setattr(lan, "address_book", lambda: tmp_path / "book.json")
    monkeypatch.setattr(collect, "lan_addresses", lambda: ["192.168.0.7"])

    def wait(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(command_collect.time, "sleep", wait)
    first, second = (command("collect", "ada.json", "--no-browser", "--lan").stdout for _ in range(2))
    assert first == second  # the same address after a restart
    (url,) = re.findall(r"or open (http://192\.168\.0\.7:\d+/\S{22}/)\n", first)
    assert lan.qr_text(url) in first
    assert "Everybody in this network who has this address can read and change these words" in first
    assert "without encryption" in first and "Ctrl-C here ends it." in first
    alone = command("collect", "ada.json", "--no-browser").stdout
    assert "network" not in alone and url[-24:] in alone  # the same secret, for this machine alone


def test_the_port_can_be_chosen(command, monkeypatch, tmp_path):
    from cursivetransformer.apps import command_collect, lan

    def wait(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(lan, "address_book", lambda: tmp_path / "book.json")
    monkeypatch.setattr(command_collect.time, "sleep", wait)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = command("collect", "--no-browser", "--port", port)
        assert done.returncode == 2 and str(port) in done.stderr
        assert "choose another one by --port" in done.stderr
    assert f"127.0.0.1:{port}/" in command("collect", "--no-browser", "--port", port).stdout
    for bad in 0, -1, 65536:
        done = command("collect", "--no-browser", f"--port={bad}")
        assert done.returncode == 2 and f"--port is between 1 and 65535, and {bad} is not." in done.stderr


def test_what_to_do_next():
    assert what_next("a.json", 1).startswith("\na.json has 1 word. Next: cursive data a.json")
    assert "a.json has 20 words" in what_next("a.json", 20)


def test_a_terminal_that_cannot_show_the_code_gets_the_address_alone(monkeypatch):
    url = "http://192.168.0.7:1234/?key"
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", terminal)
    assert invitation(url).startswith(f"On a tablet or telephone in the same network, open {url}\n")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert lan.qr_text(url) in invitation(url)


@pytest.mark.parametrize("name", ["My Drive/a.json", "-x.json", "it's.json"])
def test_what_to_do_next_can_be_typed(name):
    said = shlex.split(what_next(name, 20).split("Next: ")[1].split(" says")[0])
    assert said[:2] == ["cursive", "data"] and Path(said[2]) == Path(name) and not said[2].startswith("-")
