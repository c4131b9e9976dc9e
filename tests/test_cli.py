import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET

import pytest
from conftest import CURSIVE

from cursivetransformer.data.banks import load_bank


def paths(folder):
    return sorted(p.name for p in folder.iterdir())


def test_writes_every_kind_of_file(cursive, tmp_path):
    done = cursive(
        "write",
        "Sing, O goddess",
        "-o",
        "a.svg",
        "-o",
        "a.png",
        "-o",
        "a.pdf",
        "-o",
        "a.json",
        "-o",
        "a.anim.svg",
        "-o",
        "a.gif",
        "-o",
        "a.hpgl",
        "-o",
        "a.gcode",
    )
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert paths(tmp_path) == [
        "a.anim.svg",
        "a.gcode",
        "a.gif",
        "a.hpgl",
        "a.json",
        "a.pdf",
        "a.png",
        "a.svg",
    ]
    ET.parse(tmp_path / "a.svg")
    words = load_bank(str(tmp_path / "a.json")).words
    assert [w.text for w in words] == ["Sing,", "O", "goddess"] and all(w.page for w in words)
    item = json.loads((tmp_path / "a.json").read_text())[0]
    assert set(item) == {"metadata", "points"} and item["metadata"]["pointCount"] == len(item["points"])


def test_reads_standard_input_and_files_and_writes_standard_output(cursive, tmp_path):
    ET.fromstring(cursive("write", "-", stdin="so it goes").stdout)
    (tmp_path / "t.txt").write_text("so it goes")
    assert cursive("write", "--file", "t.txt").stdout == cursive("write", "so it goes").stdout
    assert cursive("write", "so it goes", "--seed", 1).stdout != cursive("write", "so it goes").stdout


def test_respelling_a_saved_page(cursive, tmp_path):
    cursive("write", "many a brave soul", "-o", "a.json")
    done = cursive("write", "--respell", "[1, 3]", "--from", "a.json", "-o", "b.json", "-o", "b.svg")
    assert done.returncode == 0, done.stderr
    before, after = (json.loads((tmp_path / n).read_text()) for n in ("a.json", "b.json"))
    assert [a["points"] == b["points"] for a, b in zip(before, after)] == [True, False, True, False]
    assert [b["metadata"]["asciiSequence"] for b in after] == "many a brave soul".split()


def test_every_output_is_the_same_page_and_none_is_half_there(cursive, tmp_path):
    text = "many a brave soul\nit sent " * 20
    done = cursive("write", text, "-o", "a.svg", "-o", "a.json", "-o", "-", "--width", 3)
    assert done.returncode == 0 and done.stdout == (tmp_path / "a.svg").read_text()
    assert len(load_bank(str(tmp_path / "a.json")).words) == 120
    done = cursive("write", text * 5, "-o", "b.svg", "-o", "b.json", "-o", "b.png", "--width", 1)
    assert done.returncode == 2 and ".pdf" in done.stderr and paths(tmp_path) == ["a.json", "a.svg"]


def files(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_lines_in_bulk_go_on_after_a_kill(cursive, tmp_path):
    (tmp_path / "l.txt").write_text("so\n" * 127 + "5 €\n" + "it\n" * 127 + "a\n" * 10)
    bulk = ["write", "--no-respell", "--file", "l.txt", "--out-dir"]
    process = subprocess.Popen(
        [*CURSIVE, *bulk, "killed"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not (tmp_path / "killed/part-000000.json.zip").exists():
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "killed/part-000002.json.zip").exists()
    done = cursive(*bulk, "killed")
    assert (
        done.returncode == 0
        and "264 lines in json" in done.stdout
        and "line 128" in done.stderr
        and "1 of 265" in done.stderr
    ), done.stderr
    for rank in "1", "0":
        assert (
            cursive(*bulk, "whole", env={"RANK": rank, "WORLD_SIZE": "2"}).returncode == 0
        )  # as torchrun says it
    assert files(tmp_path / "killed") == files(tmp_path / "whole") and len(files(tmp_path / "whole")) == 5
    assert cursive("data", "whole/part-000001.json.zip").returncode == 0
    assert "another seed" in cursive(*bulk, "whole", "--seed", 1).stderr


def test_processes_of_one_machine_take_a_gpu_each(monkeypatch):
    import torch

    from cursivetransformer.cli import local_device

    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert local_device() == "auto"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert local_device() == "cuda:1"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local_device() == "auto"


@pytest.mark.parametrize(
    "args, says",
    [
        (["write", "a", "--shards", "1/2"], "--out-dir"),
        (["write", "a", "--format", "svg"], "--out-dir"),
        (["write", "a", "--out-dir", "d", "-o", "a.svg"], "leave -o"),
        (["write", "a", "--out-dir", "d", "--shards", "0/2"], "1/4 to 4/4"),
        (["write"], "Give a text"),
        (["write", "a", "--file", "b"], "one of them"),
        (["write", "5 €"], "'€'"),
        (["write", " "], "nothing to write"),
        (["write", "a", "-o", "a.bmp"], "svg, png, pdf, json, anim.svg, gif, hpgl, gcode"),
        (["write", "a", "-o", "no/dir/\0"], "ending"),
        (["write", "--file", "missing.txt"], "missing.txt"),
        (["write", "a", "--checkpoint", "x.safetensors"], "no checkpoint x.safetensors"),
        (["write", "a", "--temperature", "0"], "temperature"),
        (["write", "a", "--width", "-1"], "width"),
        (["write", "a", "--seed", "-1"], "seed"),
        (["write", "--respell", "1"], "belong together"),
        (["write", "a", "--respell", "1", "--from", "a.json"], "leave the text out"),
        (["write", "a", "--slant", "nan"], "slant"),
        (["write", "a", "--temperature", "inf"], "temperature"),
        (["write", "a", "--checkpoint", "c" * 5000], "no checkpoint"),
        (["write", "--respell", "x", "--from", "t.json"], "t.json"),
        (["write", "x" * 60], "50 characters"),
        (["write", "a", "--tempreature", "1"], "tempreature"),
        (["train", "--n_layers", "3"], "n_layer"),
        (["train", "--dataset_name", "nothing"], "no word bank"),
        (["train", "--resume", "--run_dir", "none"], "none"),
        (["eval", "--dataset", "nothing"], "no word bank"),
        (["eval", "--dataset", "embedded", "--num_words", "0"], "num_words"),
        (["data", "nothing.json"], "no word bank"),
        (["bench", "speed"], "data, train, sample"),
        (["wriet", "a"], "wriet"),
        ([], "required"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(cursive, tmp_path, args, says):
    args = [a.replace("\0", "x") for a in args]
    done = cursive(*args)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and says in last and "Traceback" not in done.stderr and not done.stdout, (
        done.stderr
    )
    assert last.startswith(("cursive: ", "cursive ")) and paths(tmp_path) == []


def test_an_original_checkpoint_writes(cursive, shared, tmp_path):
    done = cursive("write", "so", "--checkpoint", shared / "fixtures/upstream_checkpoint.pt", "-o", "a.svg")
    assert done.returncode == 0 and (tmp_path / "a.svg").exists(), done.stderr


def test_nothing_to_train_is_fine(cursive):
    done = cursive(
        "train", "--preset", "debug", "--dataset_name", "embedded", "--max_steps", "0", "--run_dir", "run"
    )
    assert done.returncode == 0 and "test loss" in done.stdout, done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has")
def test_output_that_cannot_be_written_is_said(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*CURSIVE, "data", "embedded"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        )
    assert done.returncode == 2 and "No space left" in done.stderr and "Traceback" not in done.stderr


def test_bad_bytes_on_standard_input(tmp_path):
    done = subprocess.run([*CURSIVE, "write", "-"], input=b"\xff\xfe", capture_output=True, cwd=tmp_path)
    assert done.returncode == 2 and b"UTF-8" in done.stderr


def test_folded_characters_are_noticed_once(cursive):
    done = cursive("write", "“naïve”", "-o", "a.svg")
    assert done.returncode == 0 and len(done.stderr.strip().splitlines()) == 1 and "ï as i" in done.stderr


@pytest.mark.parametrize("command", [["write", "many a brave soul"], ["data", "embedded"]], ids=str)
def test_a_reader_that_leaves_early_is_no_error(tmp_path, command):
    process = subprocess.Popen(
        [*CURSIVE, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    )
    process.stdout.close()
    assert process.wait(120) == 141 and process.stderr.read() == b""


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    process = subprocess.Popen(
        [*CURSIVE, "write", "“hurrying” down to Hades " * 2000, "-o", "a.svg"],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    said = process.stderr.readline()  # the notice about the quotes: it has begun
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[1]
    assert (
        process.returncode == 130 and "stopped" in said and "Traceback" not in said and paths(tmp_path) == []
    )


def test_eval_is_deterministic_and_counts_everything(cursive):
    first = cursive("eval", "--dataset", "embedded")
    assert first.returncode == 0 and first.stdout == cursive("eval", "--dataset", "embedded").stdout
    figures = dict(line.split() for line in first.stdout.splitlines())
    assert set(figures) == {"words", "tokens", "points", "nats/token", "nats/point"}
    assert float(figures["nats/point"]) == pytest.approx(
        float(figures["nats/token"]) * int(figures["tokens"]) / int(figures["points"]), rel=1e-3
    )
    assert int(figures["words"]) == len(load_bank("embedded").words)


def test_data_reports_and_validates(cursive, tmp_path):
    assert "158 different" in cursive("data", "embedded").stdout
    (tmp_path / "b.json").write_text(json.dumps([*json.loads(json.dumps([GOOD])), {"metadata": {}}]))
    assert cursive("data", "b.json").returncode == 2
    done = cursive("data", "b.json", "--skip-bad")
    assert done.returncode == 0 and "skipped     1" in done.stdout


GOOD = {
    "metadata": {"author": "me", "asciiSequence": "l", "aspectRatio": 6},
    "points": [[0.1, 0.4, 1], [0.1, 0.6, 1], [0.1, 0.6, 0]],
}


def test_train_then_write_with_the_run(cursive, tmp_path):
    done = cursive(
        "train",
        "--preset",
        "debug",
        "--dataset_name",
        "embedded",
        "--max_steps",
        4,
        "--print_every",
        2,
        "--log_every",
        4,
        "--run_dir",
        "run",
    )
    assert done.returncode == 0 and "cursive write TEXT --checkpoint run" in done.stdout, done.stderr
    assert cursive("write", "so", "--checkpoint", "run", "-o", "a.svg").returncode == 0
    assert (tmp_path / "a.svg").exists()


def test_bench_prints_the_plain_way_ours_and_the_floor(cursive):
    done = cursive("bench", "--preset", "debug", "--dataset_name", "embedded", timeout=200)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if " plain " in line]
    for row, what in zip(
        rows,
        (
            "200 samples ready",
            "batch of",
            "training step",
            "one word",
            "paragraph of 49 words",
            "each word read right",
            "whole process",
        ),
        strict=True,
    ):
        assert row.startswith(what) or what in row
        plain, ours, times = (
            float(re.search(pattern, row)[1])
            for pattern in (r"plain +([\d.e+-]+) s", r"ours +([\d.e+-]+) s", r"([\d.]+)x faster")
        )
        assert times == pytest.approx(plain / ours, abs=0.06, rel=0.01) and (
            what == "200 samples ready" or "x above it" in row
        )


@pytest.mark.parametrize(
    "command", [[], ["write"], ["train"], ["eval"], ["data"], ["wordbank"], ["bench", "data"]], ids=str
)
def test_help_is_readable(cursive, command):
    done = cursive(*command, "--help")
    assert (
        done.returncode == 0
        and "usage: cursive" in done.stdout
        and max(map(len, done.stdout.splitlines())) < 200
    )


def imported_by(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_nothing_heavy_is_imported_before_it_is_needed(tmp_path):
    heavy = {"torch", "matplotlib", "wandb", "IPython", "pooch"}
    assert not imported_by("import cursivetransformer", tmp_path) & (heavy | {"numpy"})
    assert not imported_by("import cursivetransformer.cli", tmp_path) & (heavy | {"numpy"})
    assert (
        not imported_by("from cursivetransformer.cli import main\nmain(['data', 'embedded'])", tmp_path)
        & heavy
    )
    writing = imported_by(
        "from cursivetransformer.cli import main\nmain(['write', 'a', '-o', 'a.svg'])", tmp_path
    )
    assert not writing & {
        "matplotlib",
        "wandb",
        "IPython",
        "pooch",
        "ipywidgets",
        "requests",
        "torch._dynamo",
        "torch._inductor",
        "sympy",
    }


def test_every_promised_name_can_be_imported():
    import types

    import cursivetransformer

    here = {}
    exec(
        f"from cursivetransformer import {', '.join(cursivetransformer.__all__)}", here
    )  # as a notebook does, and not one module among them
    assert not [
        name
        for name in cursivetransformer.__all__
        if here[name] is None or isinstance(here[name], types.ModuleType)
    ]
    for name in """get_all_args get_checkpoint Transformer create_datasets offsets_to_strokes strokes_to_offsets StrokeDataset GenerationParams generate generate_paragraph
                   generate_helper_fn word_offsets_to_points plot_strokes plot_paragraph save_samples""".split():
        assert name in cursivetransformer.__all__
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cursivetransformer.nonsense
