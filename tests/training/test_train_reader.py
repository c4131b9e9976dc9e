import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import Commands

from cursivetransformer import files
from cursivetransformer.config import ALPHABET, ConfigError, CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.model.checkpoint import load_state
from cursivetransformer.training import train_reader as module
from cursivetransformer.training.train_reader import ReaderBatches, prepared, reader_config, train_reader
from cursivetransformer.writing.reader import Reader, load_reader


def test_every_word_is_seen_in_each_round():
    words = load_bank("embedded").words
    batches = ReaderBatches(words, Reader(), reader_config(batch_size=16))
    for start in (0, batches.round):
        rows = [batches.rows(start + i) for i in range(batches.round)]
        assert sorted(np.concatenate(rows)) == list(range(len(words)))
    batch = batches(3)
    assert len(batch.features) == len(batch.counts) == len(batch.texts)
    assert len(batch.texts) in (len(batches.rows(3)), len(batches.rows(3)) // 2)  # alone, or two and two
    assert torch.equal(batches(3).features, batch.features)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_made_ahead_are_those_of_their_steps(workers, monkeypatch):
    monkeypatch.setattr("cursivetransformer.training.train_reader.spare_cores", lambda device: workers)
    batches = ReaderBatches(load_bank("embedded").words[:64], Reader(), reader_config(batch_size=16))
    ahead = list(prepared(batches, range(5, 9), torch.device("cpu")))
    assert len(ahead) == 4
    for step, batch in enumerate(ahead, 5):
        assert torch.equal(batch.features, batches(step).features)
        assert list(batch.texts) == batches(step).texts


def test_a_stopped_run_goes_on_as_if_nothing_had_been(tmp_path):
    often = dict(print_every=2, log_every=4)
    settings = dict(dataset_name="embedded", max_steps=8, batch_size=16, device="cpu", **often)

    def run(name, **more):
        return train_reader(reader_config(**{**settings, **more}, run_dir=str(tmp_path / name)))

    whole = run("whole")
    half = run("cut", max_steps=4, learning_rate=3e-3)
    assert half.finished and [r["step"] for r in half.metrics if "train_loss" in r] == [2, 4]
    with pytest.raises(CursiveError, match="already holds a run"):
        run("cut")
    with pytest.raises(ConfigError, match="batch_size=16"):
        run("cut", batch_size=8, resume=True)
    with pytest.raises(CursiveError, match="no run to resume"):
        run("none", resume=True)
    rest = run("cut", resume=True)
    assert [r["step"] for r in rest.metrics if "train_loss" in r] == [2, 4, 6, 8]
    assert "character_error" in rest.metrics[-1] and whole.metrics[-1]["step"] == 8
    assert load_reader(tmp_path / "whole").alphabet == ALPHABET.replace(" ", "")
    with pytest.raises(ConfigError, match="no setting 'n_layer'"):
        reader_config(n_layer=2)


def test_a_run_goes_on_seeing_what_it_saw(tmp_path, monkeypatch):
    settings = dict(dataset_name="embedded", batch_size=8, device="cpu", run_dir=str(tmp_path / "r"))
    with monkeypatch.context() as before:
        before.setattr("cursivetransformer.training.train_reader.VIEW", 1)
        train_reader(reader_config(max_steps=2, **settings))
    train_reader(reader_config(max_steps=3, resume=True, **settings))
    assert load_reader(tmp_path / "r").view == 1


def test_the_training_command(capsys, monkeypatch, tmp_path):
    cursive = Commands(capsys, monkeypatch, tmp_path)
    flags = ["--dataset-name", "embedded", "--max-steps", 3, "--batch-size", 8, "--run-dir", "r"]
    done = cursive("train-reader", *flags)
    assert done.returncode == 0 and "r/reader.safetensors" in done.stdout, done.stderr
    names = "config.json metrics.jsonl reader.safetensors state.pt"
    assert {p.name for p in (tmp_path / "r").iterdir()} == set(names.split())
    assert load_reader(tmp_path / "r").width > 0
    assert cursive("train-reader", "--resume", "--run_dir", "r", "--max_steps", 4).returncode == 0
    for args, says in [
        (["--n-layer", "2"], "n-layer"),
        (["--resume"], "runs/reader"),
        (["--batch-size", "0"], "batch_size"),
    ]:
        wrong = cursive("train-reader", *args)
        assert wrong.returncode == 2 and says in wrong.stderr


def test_a_run_that_is_cut_off_while_it_is_measured_loses_nothing(tmp_path, monkeypatch):
    settings = dict(
        dataset_name="embedded", max_steps=6, batch_size=8, device="cpu", print_every=4, log_every=3
    )

    def run(name, **more):
        return train_reader(reader_config(**settings, **more, run_dir=str(tmp_path / name)))

    def broken(*args):
        raise KeyboardInterrupt

    whole = run("whole")
    with monkeypatch.context() as m, pytest.raises(KeyboardInterrupt):
        m.setattr(module, "measure", broken)
        run("cut")
    assert load_state(tmp_path / "cut/state.pt")["step"] == 3
    rest = run("cut", resume=True)

    def figures(found, name):  # those of the losses that went before, too
        return {r["step"]: r[name] for r in found.metrics if name in r}

    for name in "train_loss", "test_loss", "character_error":
        assert figures(rest, name) == figures(whole, name)


def test_a_reader_goes_elsewhere_and_comes_home(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(files, "PAUSES", ())
    home = tmp_path / "run"
    replace = os.replace

    def full(source, target):
        if home in Path(target).parents and (home / "reader.safetensors").exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    settings = dict(dataset_name="embedded", batch_size=8, device="cpu", log_every=2)
    with monkeypatch.context() as m:
        m.setattr(os, "replace", full)
        run = train_reader(reader_config(**settings, max_steps=4, run_dir=str(home)))
    assert run.folder.parent == tmp_path / "cache/cursivetransformer/runs" and load_reader(run.folder)
    assert f"cursive train-reader --resume --run-dir {run.folder}" in capsys.readouterr().err
    again = train_reader(reader_config(**settings, max_steps=5, run_dir=str(home), resume=True))
    assert again.folder == home and not run.folder.exists()


def test_a_run_without_a_step_measures_and_keeps_its_reader(tmp_path):
    settings = dict(dataset_name="embedded", writers=0, device="cpu", max_steps=0)
    run = train_reader(reader_config(**settings, run_dir=str(tmp_path / "r")))
    assert run.finished and [row["step"] for row in run.metrics] == [0]
    assert run.metrics[-1]["character_error"] > 0.5 and load_reader(tmp_path / "r").alphabet
