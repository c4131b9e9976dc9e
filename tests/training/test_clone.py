"""A hand is learned beside the ones that are there, by name, and can be stopped and gone on with."""

import dataclasses
import json
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from conftest import CURSIVE

from cursivetransformer.config import ConfigError, CursiveError, preset
from cursivetransformer.data.banks import load_bank, save_bank
from cursivetransformer.ink.points import shear
from cursivetransformer.model.checkpoint import load_checkpoint
from cursivetransformer.training.clone import (
    clone_config,
    clone_hand,
    compare_hands,
    hand_of,
    missing_characters,
)
from cursivetransformer.training.runs import read_metrics
from cursivetransformer.training.train import train
from cursivetransformer.writing.page import write

FAST = dict(max_steps=6, print_every=2, log_every=3, batch_size=2, wandb_mode="disabled")


def leaning(count, author=""):
    return [
        dataclasses.replace(w, points=shear(w.points, -0.6), author=author)
        for w in load_bank("embedded").words[:count]
    ]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    "A small model of one hand, as its run's folder."
    folder = tmp_path_factory.mktemp("base") / "run"
    return train(
        preset("debug", dataset_name="embedded", max_steps=4, print_every=2, log_every=4, run_dir=str(folder))
    ).folder


@pytest.fixture
def bank(tmp_path):
    return str(save_bank(leaning(40), tmp_path / "mine.json"))


def test_a_hand_is_learned_and_the_old_one_kept(base, bank, tmp_path):
    clone = clone_hand(bank, "Lena", str(base), run_dir=str(tmp_path / "clone"), **FAST)
    assert clone.finished and (clone.author, clone.old, clone.words, clone.held_out, clone.steps) == (
        "Lena",
        ("Hershey",),
        40,
        6,
        6,
    )
    assert {"words.json", "clone.json", "hand.png", "best.safetensors", "config.json", "state.pt"} <= {
        p.name for p in clone.folder.iterdir()
    }
    assert json.loads((clone.folder / "clone.json").read_text())[
        "after"
    ] == clone.after and f"{clone.after:.3f} after" in str(clone)
    assert "Q" in clone.missing and "e" not in clone.missing and " " not in clone.missing
    old, new = load_checkpoint(base, "cpu"), load_checkpoint(clone.folder, "cpu")
    assert new.authors == ("Hershey", "Lena")
    idx, context = torch.randint(0, 522, (2, 30)), torch.randint(1, 72, (2, 8))
    with torch.no_grad():
        assert torch.equal(old(idx, context)[0], new(idx, context)[0])  # not a bit of the old hand is lost
        with new.in_hand("Lena"):
            assert not torch.equal(old(idx, context)[0], new(idx, context)[0])
    how = dict(seed=3, respell=None, num_steps=60)
    with pytest.warns(UserWarning, match="no end"):
        before, same, other = (
            write("to be", old, **how),
            write("to be", new, author="Hershey", **how),
            write("to be", new, author="Lena", **how),
        )
    assert all(np.array_equal(a.points, b.points) for a, b in zip(before, same)) and not np.array_equal(
        same[0].points, other[0].points
    )
    third = clone_hand(
        str(save_bank(leaning(20, "Tom"), tmp_path / "tom.json")),
        None,
        str(clone.folder),
        run_dir=str(tmp_path / "third"),
        **FAST,
    )
    again = load_checkpoint(third.folder, "cpu")
    with pytest.raises(CursiveError, match="already knows a hand called 'Tom'"):
        hand_of(leaning(20), "Tom", again)
    assert again.authors == ("Hershey", "Lena", "Tom")
    with torch.no_grad():
        for name in "Hershey", "Lena":
            with new.in_hand(name), again.in_hand(name):
                assert torch.equal(new(idx, context)[0], again(idx, context)[0])


def test_the_bundled_model_comes_nearer(tmp_path, default):
    bank = str(save_bank(leaning(60, "Lena"), tmp_path / "mine.json"))
    clone = clone_hand(
        bank, run_dir=str(tmp_path / "clone"), max_steps=24, log_every=24, batch_size=4, wandb_mode="disabled"
    )
    assert clone.old == ("Sam",) == default.authors and clone.after < clone.before - 0.3
    held_out = [w for w in load_bank(f"{clone.folder}/words.json").words][:3]
    page = compare_hands(held_out, load_checkpoint(clone.folder, "cpu"))
    assert [w.text for w in page] == [w.text for w in held_out for _ in range(2)] and all(
        w.page for w in page
    )


def test_a_stopped_clone_goes_on(base, bank, tmp_path):
    run = lambda name, **more: clone_hand(
        bank, "Lena", str(base), run_dir=str(tmp_path / name), **{**FAST, **more}
    )
    whole = run("whole")

    def stop(metrics, pictures):
        if metrics and metrics[-1]["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    assert not run("parts", watch=stop).finished and read_metrics(tmp_path / "parts")[-1]["step"] < 6
    assert run("parts", resume=True).after == whole.after
    losses = lambda name: [r["train_loss"] for r in read_metrics(tmp_path / name) if "train_loss" in r]
    assert losses("whole")[-1] == losses("parts")[-1]
    with pytest.raises(CursiveError, match="--resume"):
        run("whole")
    other = str(save_bank(leaning(30), tmp_path / "other.json"))
    with pytest.raises(CursiveError, match="from these words"):
        clone_hand(other, "Lena", str(base), run_dir=str(tmp_path / "whole"), resume=True, **FAST)
    with pytest.raises(CursiveError, match="from these words"):
        clone_hand(bank, "Lena", str(base), run_dir=str(tmp_path / "nowhere"), resume=True, **FAST)
    assert not (tmp_path / "nowhere").exists()


def test_an_interrupted_command_saves_and_says_how_to_go_on(base, bank, tmp_path):
    args = [
        "clone",
        bank,
        "--author",
        "Lena",
        "--checkpoint",
        str(base),
        "--run_dir",
        "run",
        "--log_every",
        "1000",
        "--print_every",
        "1",
        "--wandb_mode",
        "disabled",
    ]
    process = subprocess.Popen(
        [*CURSIVE, *args, "--max_steps", "100000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    deadline = time.time() + 100
    while not (tmp_path / "run/metrics.jsonl").exists() and time.time() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert (
        process.returncode == 130 and f"cursive clone {bank} --author 'Lena'" in out and "--resume" in out
    ), err[-2000:]
    assert (tmp_path / "run/state.pt").exists()


def test_what_cannot_be_learned_from(bank, base, tmp_path, default, cursive, monkeypatch):
    words = leaning(20)
    with pytest.raises(CursiveError, match="already knows a hand called 'Sam'"):
        hand_of(words, "Sam", default)
    with pytest.raises(CursiveError, match="10 different words or more, better from 50, and here are 1;"):
        hand_of(words[:1] * 30, "Lena", default)
    two = words + leaning(15, "Tom")
    with pytest.raises(CursiveError, match="say which"):
        hand_of(two, None, default)
    with pytest.raises(CursiveError, match="Did you mean 'Tom'"):
        hand_of(two, "Tim", default)
    assert len(hand_of(two, "Tom", default)) == 15 and {w.author for w in hand_of(words, None, default)} == {
        "me"
    }
    with pytest.raises(ConfigError, match="no setting 'n_layer'"):
        clone_config(default, n_layer=2)
    monkeypatch.setattr(default.config, "augment", False)
    assert clone_config(default).augment  # a few words have to stand for many
    assert missing_characters(words, "abc ?") == "".join(
        sorted(set("abc?") - set("".join(w.text for w in words)))
    )
    for args, says in [
        (["nothing.json"], "nothing.json"),
        ([bank, "--author", "Sam"], "already knows"),
        ([bank, "--max_steps", "many"], "max_steps takes int"),
        ([bank, "--checkpoint", "nothing.pt"], "There is no checkpoint nothing.pt"),
    ]:
        done = cursive("clone", *args)
        assert (
            done.returncode == 2
            and says in done.stderr
            and "Traceback" not in done.stderr
            and done.stderr.count("\n") < 20
        )
    assert not (tmp_path / "runs").exists()


def test_words_from_a_file_are_cloned_and_written_by_the_commands(base, bank, tmp_path, cursive):
    assert cursive("data", bank).returncode == 0
    done = cursive(
        "clone",
        bank,
        "--author",
        "Lena",
        "--checkpoint",
        base,
        "--run_dir",
        "mine",
        "--max_steps",
        "4",
        "--log_every",
        "4",
        "--wandb_mode",
        "disabled",
    )
    assert (
        done.returncode == 0
        and "Lena: 34 words to learn from, 6 held out" in done.stdout
        and "--author 'Lena'" in done.stdout
    ), done.stderr
    done = cursive(
        "write", "to be", "--checkpoint", "mine", "--author", "Lena", "--no-respell", "-o", "out.svg"
    )
    assert done.returncode == 0 and (tmp_path / "out.svg").read_text().count("<path") >= 1
    done = cursive("write", "to be", "--checkpoint", "mine", "--author", "Lina", "-o", "no.svg")
    assert (
        done.returncode == 2 and "Did you mean 'Lena'?" in done.stderr and not (tmp_path / "no.svg").exists()
    )
