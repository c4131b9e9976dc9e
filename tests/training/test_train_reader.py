import numpy as np
import pytest
import torch
from commands import Commands

from cursivetransformer.config import ALPHABET, ConfigError, CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import strokes
from cursivetransformer.training.train_reader import ReaderBatches, distort, reader_config, train_reader
from cursivetransformer.writing.reader import Reader, load_reader


def test_words_are_bent_but_stay_words():
    inks = [w.points for w in load_bank("embedded").words[:20]]
    first, again = (distort(inks, np.random.default_rng(0)) for _ in range(2))
    assert all(np.array_equal(p, q) for p, q in zip(first, again)) and len(first) == 20
    for ink, bent in zip(inks, first):
        assert len(strokes(bent)) == len(strokes(ink))
        assert len(bent) <= len(ink) and np.isfinite(bent).all()
        assert 0.5 < np.ptp(bent[:, 0]) / np.ptp(ink[:, 0]) < 2
        assert abs(bent[:, 1].mean() - ink[:, 1].mean()) < 0.15


def test_every_word_is_seen_in_each_round():
    words = load_bank("embedded").words
    batches = ReaderBatches(words, Reader(), reader_config(batch_size=16))
    for start in (0, batches.round):
        rows = [batches.rows(start + i) for i in range(batches.round)]
        assert sorted(np.concatenate(rows)) == list(range(len(words)))
    batch = batches(3)
    assert len(batch.features) == len(batch.counts) == len(batch.texts) == len(batches.rows(3))
    assert torch.equal(batches(3).features, batch.features)


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
