"""What is kept of a run when disks, drivers and plots fail, and when it is cut off."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from conftest import ROOT
from training_cases import loss_by_step, losses, short_run

from cursivetransformer import files
from cursivetransformer.config import CursiveError, write_atomic
from cursivetransformer.data.batches import Batches
from cursivetransformer.model.checkpoint import load_checkpoint, load_model, load_state
from cursivetransformer.training import train as module
from cursivetransformer.training.runs import read_metrics

HELD = PermissionError(errno.EACCES, "Permission denied")
FULL = OSError(errno.ENOSPC, "No space left on device")


class Disk:
    "Refuses to put files into place while `refuses(path)` says so, without waiting."

    def __init__(self, monkeypatch, error):
        self.error = error
        self.refuses = lambda path: False
        self.replace = os.replace
        self.refused = []
        monkeypatch.setattr(os, "replace", self)
        monkeypatch.setattr(files, "PAUSES", ())

    def __call__(self, source, target):
        if self.refuses(Path(target)):
            self.refused.append(Path(target).name)
            raise self.error
        self.replace(source, target)


@pytest.fixture(autouse=True)
def quick_evaluations(monkeypatch):
    "Nothing is written and read back at evaluations, which takes seconds; the pictures are empty ones."

    def picture(model, dataset, num, do_sample, folder, prefix):
        return [write_atomic(folder / f"{prefix}{dataset.name}_{do_sample}_1.png", b"")]

    monkeypatch.setattr(module, "written_legibility", lambda *args: SimpleNamespace(character_error=1.0))
    monkeypatch.setattr(module, "save_samples", picture)


@pytest.fixture
def caches(tmp_path, monkeypatch):
    "A cache, and a folder for temporary files, of one's own."
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return [tmp_path / "cache/cursivetransformer/runs", tmp_path / "temporary/cursivetransformer/runs"]


def cut_off(monkeypatch, step):
    "Have a run break off when it asks for the batch of a step."

    class Broken(Batches):
        def __call__(self, at):
            if at == step:
                raise KeyboardInterrupt
            return super().__call__(at)

    monkeypatch.setattr(module, "Batches", Broken)


@pytest.mark.parametrize("refused", [".png", ".jsonl", ".pt"])
def test_one_write_that_fails_changes_nothing(tmp_path, monkeypatch, refused):
    disk = Disk(monkeypatch, HELD)
    monkeypatch.setattr(files, "PAUSES", (0.0,))
    disk.refuses = lambda path: path.suffix == refused and len(disk.refused) % 2 == 0
    run = short_run(tmp_path / "run", max_steps=4)
    assert run.finished and disk.refused
    assert read_metrics(run.folder) == run.metrics and load_state(run.folder / "state.pt")["step"] == 4
    assert len(list((run.folder / "samples").iterdir())) == 4 and (run.folder / "loss.png").exists()


def test_a_picture_or_plot_never_ends_a_run(tmp_path, monkeypatch, capsys):
    disk = Disk(monkeypatch, FULL)
    disk.refuses = lambda path: path.suffix == ".png"
    run = short_run(tmp_path / "run", max_steps=8)
    assert run.finished and len(disk.refused) == 2
    said = capsys.readouterr().err
    assert said.count("the rest goes on") == 1  # and not at the second evaluation
    assert "Pictures are not made (CursiveError: Cannot write" in said and "No space left on device" in said

    def broken(*args):
        raise RuntimeError("this plot has no axes")

    monkeypatch.setattr(module, "plot_metrics", broken)
    disk.refuses = lambda path: False
    assert short_run(tmp_path / "plot", max_steps=4).finished
    assert "The losses are not plotted (RuntimeError: this plot has no axes)" in capsys.readouterr().err


def test_rows_that_cannot_be_written_are_written_with_the_next(tmp_path, monkeypatch, capsys):
    disk = Disk(monkeypatch, HELD)
    disk.refuses = lambda path: path.name == "metrics.jsonl" and len(disk.refused) < 2
    run = short_run(tmp_path / "run", max_steps=8)
    assert disk.refused == ["metrics.jsonl"] * 2 and read_metrics(run.folder) == run.metrics
    assert capsys.readouterr().err.count("Rows of metrics.jsonl are not written yet") == 1


def test_a_checkpoint_goes_elsewhere_and_comes_home(tmp_path, monkeypatch, caches, capsys):
    whole = short_run(tmp_path / "whole", max_steps=12)
    disk = Disk(monkeypatch, FULL)
    home = tmp_path / "run 1"
    disk.refuses = lambda path: home in path.parents and (home / "loss.png").exists()
    cut_off(monkeypatch, 9)
    with pytest.raises(KeyboardInterrupt):
        short_run(home, max_steps=12)
    assert load_state(home / "state.pt")["step"] == 4
    (place,) = caches[0].iterdir()
    said = capsys.readouterr().err
    assert "No space left on device" in said and f"The run is saved in {place} until then" in said
    assert f"go on with: cursive train --resume --run-dir '{place}'" in said and said.count("until then") == 1
    names = "best.safetensors config.json last.safetensors metrics.jsonl state.pt"
    assert sorted(p.name for p in place.iterdir()) == names.split()
    assert load_state(place / "state.pt")["step"] == 8

    disk.refuses = lambda path: False
    cut_off(monkeypatch, None)
    elsewhere = home.rename(tmp_path / "moved")  # which changes nothing
    done = short_run(elsewhere, max_steps=12, resume=True)
    assert losses(done) == losses(whole)
    assert [r["step"] for r in done.metrics if "test_loss" in r] == [4, 8, 12]
    assert f"saved last in {place}, and has been brought back to {elsewhere}" in capsys.readouterr().err
    assert not place.exists() and load_state(elsewhere / "state.pt")["step"] == 12


def test_a_run_that_ends_elsewhere_says_where(tmp_path, monkeypatch, caches):
    disk = Disk(monkeypatch, HELD)
    home = tmp_path / "run"
    disk.refuses = lambda path: home in path.parents and (home / "last.safetensors").exists()
    run = short_run(home, max_steps=8)
    assert run.finished and run.folder.parent == caches[0]
    assert load_checkpoint(run.folder, "cpu").config == run.model.config
    assert (
        load_model(run.folder / "last.safetensors")[1]["step"] == "8"
        and read_metrics(run.folder) == run.metrics
    )
    # While the folder still takes nothing, it is told from where to go on.
    with pytest.raises(CursiveError, match=f"saved last in {run.folder}; go on there with: cursive train"):
        short_run(home, max_steps=12, resume=True)
    assert short_run(run.folder, max_steps=12, resume=True).finished


def test_a_run_that_is_saved_nowhere_goes_on_and_says_so_at_the_end(tmp_path, monkeypatch, caches, capsys):
    disk = Disk(monkeypatch, FULL)
    home = tmp_path / "run"
    disk.refuses = lambda path: (home / "loss.png").exists() and path.suffix in (".pt", ".safetensors")
    with pytest.raises(CursiveError, match="No space left on device"):
        short_run(home, max_steps=8)
    assert "Step 8 is saved nowhere; training goes on" in capsys.readouterr().err
    assert loss_by_step(home).keys() == {2, 4, 6, 8} and load_state(home / "state.pt")["step"] == 4


def test_a_run_is_saved_after_its_first_steps_and_every_few_minutes(tmp_path, monkeypatch):
    often = dict(max_steps=40, log_every=1000)
    cut_off(monkeypatch, module.SAVED_FIRST + 3)
    with pytest.raises(KeyboardInterrupt):
        short_run(tmp_path / "soon", **often)
    assert load_state(tmp_path / "soon/state.pt")["step"] == module.SAVED_FIRST
    assert load_model(tmp_path / "soon/last.safetensors")[1]["step"] == str(module.SAVED_FIRST)

    clock = iter(range(0, 10**6, 50))  # seconds
    monkeypatch.setattr(module.time, "monotonic", lambda: next(clock))
    with pytest.raises(KeyboardInterrupt):
        short_run(tmp_path / "later", **often)
    assert load_state(tmp_path / "later/state.pt")["step"] > module.SAVED_FIRST


def test_what_fails_in_an_evaluation_costs_nothing(tmp_path, monkeypatch, capsys):
    whole = short_run(tmp_path / "whole", max_steps=8)

    def broken(*args):
        raise TypeError("this device has no float64")

    with monkeypatch.context() as m:
        m.setattr(module, "written_legibility", broken)
        m.setattr(module, "save_samples", broken)
        run = short_run(tmp_path / "told", max_steps=8)
    assert run.finished and losses(run) == losses(whole)
    said = capsys.readouterr().err
    for what in "Words are not read back", "Pictures are not made":
        assert said.count(f"{what} (TypeError: this device has no float64); the rest goes on.") == 1

    with monkeypatch.context() as m, pytest.raises(TypeError):
        m.setattr(module, "score_samples", broken)
        short_run(tmp_path / "run", max_steps=8)
    assert load_state(tmp_path / "run/state.pt")["step"] == 4
    assert load_model(tmp_path / "run/last.safetensors")[1]["step"] == "4"
    # The evaluation that was cut off is made up for.
    done = short_run(tmp_path / "run", max_steps=8, resume=True)
    tested = [{k: r[k] for k in ("step", "test_loss")} for r in done.metrics if "test_loss" in r]
    assert tested == [{k: r[k] for k in ("step", "test_loss")} for r in whole.metrics if "test_loss" in r]
    assert losses(done) == losses(whole)


@pytest.mark.slow
def test_a_device_without_doubles_trains_evaluates_and_writes(tmp_path):
    done = subprocess.run(
        [sys.executable, ROOT / "tests/without_doubles.py", str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    *refused, trained = done.stdout.splitlines()[:3]
    assert all("Cannot have a Tensor of dtype torch.float64 on nodouble" in line for line in refused)
    assert trained == "nodouble:0 character_error step test_loss test_loss_per_word"
    assert "goes on." not in done.stderr
    assert done.stdout.splitlines()[3:] == ["True"] * 3  # the ink of a CPU
    state = load_state(tmp_path / "run/state.pt")
    assert state["step"] == 2 and not any(
        t.dtype == torch.float64 for t in state["model"].values() if isinstance(t, torch.Tensor)
    )
