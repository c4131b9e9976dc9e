"""Files and letters as commands meet them: wherever a path leads, whatever a terminal can show."""

import dataclasses
import json
import os
import subprocess
import threading

import pytest
from commands import Commands
from conftest import CURSIVE

from cursivetransformer.data.banks import EMBEDDED, load_bank, save_bank
from cursivetransformer.model.checkpoint import DEFAULT
from cursivetransformer.writing.hands import hand_of, save_hand
from cursivetransformer.writing.reader import BUNDLED

# A shell without UTF-8, which Python would make one with it unless it is told not to.
PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# Commands that write a file, and the name of what they write.
WRITING = {
    "write": (["write", "so", "-o"], "out.svg"),
    "page": (["write", "so", "--paper", "a6", "-o"], "out.png"),
    "moving": (["write", "so", "-o"], "out.gif"),
    "wordbank": (["wordbank", "--num-examples", "5", "-o"], "out.json"),
}


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


def process(folder, *args, **environment):
    "A command in a process of its own, in an environment with these changes."
    return subprocess.run(
        [*CURSIVE, *map(str, args)],
        cwd=folder,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=300,
    )


# Where a path leads


@pytest.mark.parametrize("kind", WRITING)
def test_outputs_go_through_links_and_into_pipes_and_leave_what_is_read_only(command, tmp_path, kind):
    args, name = WRITING[kind]
    (tmp_path / "drive").mkdir()
    os.symlink(f"drive/{name}", tmp_path / name)
    assert command(*args, name).returncode == 0
    assert (tmp_path / name).is_symlink()
    content = (tmp_path / "drive" / name).read_bytes()
    ending = name.partition(".")[2]
    os.mkfifo(tmp_path / f"pipe.{ending}")
    heard = []
    thread = threading.Thread(
        target=lambda: heard.append((tmp_path / f"pipe.{ending}").read_bytes()), daemon=True
    )
    thread.start()
    assert command(*args, f"pipe.{ending}").returncode == 0
    thread.join(60)
    assert heard == [content] and (tmp_path / f"pipe.{ending}").is_fifo()
    (tmp_path / f"mine.{ending}").write_text("mine")
    (tmp_path / f"mine.{ending}").chmod(0o444)
    done = command(*args, f"mine.{ending}")
    assert done.returncode == 2 and f"Cannot write mine.{ending}: it is read-only" in done.stderr
    assert (tmp_path / f"mine.{ending}").read_text() == "mine"


def test_standard_output_has_a_name_too(command):
    plain = command("write", "so").stdout
    assert plain.startswith("<svg") and command("write", "so", "-o", "/dev/stdout").stdout == plain


@pytest.mark.parametrize(
    "args",
    [
        ["write", "so it goes " * 16, "--width", "3000", "--no-respell", "-o", "new/deep/a.hpgl"],
        ["write", "5 €", "-o", "new/deep/a.svg"],
        ["write", "so", "--author", "nobody", "-o", "new/a.png"],
        ["write", "so", "--checkpoint", "none", "-o", "new/a.pdf", "--paper", "a6"],
        ["write", "so", "-o", "new/a.svg", "-o", "file/a.svg"],
        ["write", "so", "--author", "nobody", "--out-dir", "new"],
        ["write", "{a}", "--mail", "none.csv", "-o", "new/a.pdf"],
        ["hands", "plate", "--author", "nobody", "-o", "new/plate.png"],
        ["wordbank", "--text", "none.txt", "-o", "new/a.txt"],
        ["eval", "--goals", "--dataset", "none", "-o", "new/goals.json"],
        ["collect", "new/mine.txt", "--no-browser"],
        ["clone", "none", "--run-dir", "new"],
        ["clone", "embedded", "--author", "Hershey", "--run-dir", "new", "--checkpoint", "none"],
        ["train", "--dataset-name", "none", "--run-dir", "new"],
        ["train-reader", "--dataset-name", "none", "--run-dir", "new"],
        ["train", "--preset", "debug", "--dataset-name", "embedded", "--alphabet", "~", "--run-dir", "new"],
    ],
)
def test_no_folder_stays_behind_where_a_command_fails(command, tmp_path, args):
    (tmp_path / "file").write_text("")
    done = command(*args)
    assert done.returncode in (1, 2) and done.stderr.startswith("cursive: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


@pytest.mark.parametrize(
    "args",
    [["hands", "plate", "-o"], ["eval", "--goals", "--dataset", "embedded", "-o"], ["write", "so", "-o"]],
)
def test_a_place_is_looked_at_before_minutes_of_work(command, tmp_path, args):
    (tmp_path / "mine.png").write_text("mine")
    (tmp_path / "mine.png").chmod(0o444)
    done = command(*args, "mine.png", "--checkpoint", "none")
    assert done.returncode == 2 and "mine.png: it is read-only" in done.stderr


# Files that are something else


@pytest.fixture
def things(tmp_path, default):
    "Files of every kind, by what they are called in sentences."
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    (tmp_path / "folder").mkdir()
    hand = dataclasses.replace(hand_of(default, default.authors[0]), name="Cy")
    return {
        "an empty file": tmp_path / "empty",
        "a picture": tmp_path / "picture.png",
        "a folder": tmp_path / "folder",
        "a zip file": EMBEDDED,
        "a model": DEFAULT,
        "a reader": BUNDLED,
        "a hand": save_hand(hand, tmp_path / "hands"),
    }


# Flags that take a file, and the kinds that they take.
TAKING = {
    "--checkpoint": (["write", "so", "-o", "a.svg", "--checkpoint"], ["a model"]),
    "--reader": (["write", "so", "-o", "a.svg", "--reader"], ["a reader"]),
    "--file": (["write", "-o", "a.svg", "--file"], []),
    "--mail": (["write", "{a}", "-o", "a.svg", "--mail"], []),
    "--from": (["write", "--from"], ["a zip file"]),
    "--dataset": (["eval", "--dataset"], ["a zip file"]),
    "data": (["data"], ["a zip file"]),
    "clone": (["clone", "--max-steps", "0"], ["a zip file"]),
    "--config": (["train", "--config"], []),
    "--local_checkpoint_path": (["train", "--n-layer", "4", "--local_checkpoint_path"], ["a model"]),
    "--dataset_name": (["train", "--dataset_name"], ["a zip file"]),
    "--text": (["wordbank", "--text"], []),
    "--sentences": (["eval", "--dataset", "embedded", "--legibility", "--sentences"], []),
    "--judge": (["eval", "--dataset", "embedded", "--goals", "--judge"], ["a reader"]),
    "hands add": (["hands", "add"], ["a hand"]),
}


@pytest.mark.parametrize("flag", TAKING)
def test_a_file_of_another_kind_is_said_to_be_what_it_is(command, things, tmp_path, flag):
    args, taken = TAKING[flag]
    for kind, path in things.items():
        if kind in taken:
            continue
        done = command(*args, path)
        assert done.returncode == 2 and not (tmp_path / "a.svg").exists(), (kind, done)
        sentence = done.stderr.splitlines()[-1]
        assert sentence.startswith("cursive: ") and "Traceback" not in done.stderr, (kind, done.stderr)
        assert path.name in sentence or "The text holds no word" in sentence, (kind, sentence)
        if kind not in ("an empty file", "a folder"):
            assert kind in sentence, (kind, sentence)


# Letters that a terminal, a shell or a file has otherwise


@pytest.mark.parametrize(
    "environment", [{"PYTHONIOENCODING": "cp1252"}, {"PYTHONIOENCODING": "ascii"}, PLAIN]
)
def test_names_that_a_terminal_cannot_show_end_nothing(tmp_path, environment):
    words = [dataclasses.replace(w, author="Łukasz Żółć") for w in load_bank("embedded").words]
    save_bank(words, tmp_path / "Żółć.json")
    done = process(tmp_path, "data", "Żółć.json", **environment)
    assert done.returncode == 0 and b"?ukasz" in done.stdout and not done.stderr


@pytest.mark.slow
def test_texts_in_utf8_are_written_where_the_shell_has_none(tmp_path):
    (tmp_path / "t.txt").write_text("naïve – so", encoding="utf-8")
    plain = process(tmp_path, "write", "--file", "t.txt").stdout
    assert process(tmp_path, "write", "--file", "t.txt", **PLAIN).stdout == plain
    assert process(tmp_path, "write", "naïve – so", **PLAIN).stdout == plain


def test_a_config_in_utf8_is_read_where_the_shell_has_none(tmp_path):
    config = dict(preset="debug", wandb_run_name="Zoë – ł", dataset_name="none")
    (tmp_path / "c.json").write_text(json.dumps(config, ensure_ascii=False), encoding="utf-8")
    done = process(tmp_path, "train", "--config", "c.json", **PLAIN)
    assert done.returncode == 2 and b"There is no word bank 'none'" in done.stderr


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1"])
def test_texts_tables_banks_and_configs_are_read_in_other_encodings(command, tmp_path, encoding):
    def put(name, text):
        (tmp_path / name).write_bytes(text.encode(encoding))

    put("t.txt", "naïve so")
    put("guests.csv", "name\tstreet\nZoë\tRue\n" if encoding == "utf-16" else "name,street\nZoë,Rue\n")
    put(
        "c.json",
        json.dumps(dict(preset="debug", wandb_run_name="Zoë", dataset_name="none"), ensure_ascii=False),
    )
    assert command("write", "--file", "t.txt", "-o", "a.svg").returncode == 0
    assert "naive so" in (tmp_path / "a.svg").read_text(encoding="utf-8")
    done = command("write", "{name}", "--mail", "guests.csv", "-o", "card.svg")
    assert done.returncode == 0 and (tmp_path / "card-Zoë.svg").exists(), done.stderr
    done = command("train", "--config", "c.json")
    assert done.returncode == 2 and "There is no word bank 'none'" in done.stderr
    assert ("read as Windows-1252" in done.stderr) == (encoding == "latin-1")
