import copy
import dataclasses
import json
import os
import signal
import subprocess

import numpy as np
import pytest
import torch
from training_cases import (
    FAST,
    PATIENCE,
    TORCHRUN,
    loss_by_step,
    losses,
    resume,
    short_run,
    start,
    wait_for_step,
)

from cursivetransformer.config import CursiveError, load_config, preset
from cursivetransformer.data.banks import load_bank, save_bank
from cursivetransformer.data.batches import Batches
from cursivetransformer.data.dataset import StrokeDataset, create_datasets
from cursivetransformer.ink.points import shear
from cursivetransformer.ink.tokenizers import tokenizer_of
from cursivetransformer.model.checkpoint import load_checkpoint, load_model
from cursivetransformer.model.lora import add_authors, in_hand
from cursivetransformer.model.speed import autocast, fuse
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.training.runs import read_metrics
from cursivetransformer.training.score import evaluate_words
from cursivetransformer.training.train import launch, train


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return short_run(tmp_path_factory.mktemp("runs") / "whole", max_steps=10)


def test_a_finished_run_holds_everything(whole):
    names = "config.json metrics.jsonl loss.png samples best.safetensors last.safetensors state.pt"
    assert {p.name for p in whole.folder.iterdir()} == set(names.split())
    assert (whole.folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((whole.folder / "samples").iterdir())) == 3 * 4
    assert load_config(whole.folder / "config.json").max_steps == 10
    rows = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "train_loss" in r] == [2, 4, 6, 8, 10]
    assert [r["step"] for r in rows if "test_loss" in r] == [4, 8, 10]
    assert whole.finished and losses(whole)[-1] < losses(whole)[0]
    last = load_checkpoint(whole.folder / "last.safetensors", "cpu")
    assert torch.equal(last.lm_head.weight, whole.model.lm_head.weight)
    best = min((r for r in rows if "test_loss" in r), key=lambda r: r["test_loss"])
    assert load_model(whole.folder / "best.safetensors")[1]["step"] == str(best["step"])


def test_chain_runs_log_what_compares_with_other_tokens(tmp_path):
    chain = short_run(tmp_path / "chain", max_steps=4, tokenizer="chain", merges=32)
    polar = short_run(tmp_path / "polar", max_steps=4, tokenizer="polar")
    (row,) = [r for r in chain.metrics if "test_loss" in r]
    assert row["test_loss_per_word"] > row["test_loss"] and "test_loss_per_point" not in row
    (row,) = [r for r in polar.metrics if "test_loss" in r]
    assert row["test_loss_per_word"] > row["test_loss_per_point"] > row["test_loss"]
    loaded = load_checkpoint(chain.folder / "best.safetensors", "cpu")
    assert loaded.config.merge_ids == chain.model.config.merge_ids and len(loaded.config.merge_ids) == 64


# Stopping and going on


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_resuming_is_as_if_nothing_had_happened(tmp_path, optimizer):
    one = short_run(tmp_path / "one", optimizer=optimizer, max_steps=8)
    short_run(tmp_path / "two", optimizer=optimizer, max_steps=4)
    two = short_run(tmp_path / "two", optimizer=optimizer, max_steps=8, resume=True)
    assert losses(one) == losses(two)
    assert [r["step"] for r in two.metrics if "train_loss" in r] == [2, 4, 6, 8]
    for a, b in zip(one.model.state_dict().values(), two.model.state_dict().values()):
        assert torch.equal(a, b)


def test_a_stop_between_two_lines_of_metrics_changes_nothing(tmp_path, monkeypatch):
    from cursivetransformer.training import train as module

    settings = dict(print_every=4, log_every=100, max_steps=12, schedule="linear")
    one = short_run(tmp_path / "one", **settings)

    class StopAtSix(Batches):
        def __call__(self, step):
            if step == 5:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(step)

    monkeypatch.setattr(module, "Batches", StopAtSix)
    stopped = short_run(tmp_path / "two", **settings)
    assert not stopped.finished
    assert torch.load(tmp_path / "two/state.pt", weights_only=True)["step"] == 6
    # there is something to write with already
    assert load_checkpoint(tmp_path / "two", "cpu").config.n_layer == 2
    monkeypatch.undo()
    assert losses(short_run(tmp_path / "two", **settings, resume=True)) == losses(one)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, how):
    from conftest import CURSIVE

    nohup = ["nohup"] if how is signal.SIGTERM else []
    process = start(tmp_path, "run", command=[*nohup, *CURSIVE])
    wait_for_step(tmp_path / "run", 7, process)
    if nohup:
        process.send_signal(signal.SIGHUP)  # a closed connection stops nothing that nohup started
        wait_for_step(tmp_path / "run", 10, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and f"Stopped by {how.name}" in said
    assert "cursive train --resume --run-dir run" in said
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert at >= 7
    resume(tmp_path, "--max-steps", str(at + 3))
    assert list(loss_by_step(tmp_path / "run")) == list(range(1, at + 4))


def test_a_killed_run_goes_on_from_its_last_checkpoint_with_the_same_losses(tmp_path):
    process = start(tmp_path, "run")
    wait_for_step(tmp_path / "run", 8, process)
    process.kill()
    process.communicate()
    before = loss_by_step(tmp_path / "run")
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert at >= 5 and at % 5 == 0
    resume(tmp_path, "--max-steps", str(max(before) + 1))
    after = loss_by_step(tmp_path / "run")
    # Some steps were done twice, with the same losses: the rate is constant for so long.
    assert list(after) == list(range(1, max(before) + 2)) and max(before) > at
    assert all(after[s] == before[s] for s in before)


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    settings = dict(log_every=1, learning_rate=0.0, max_steps=50)
    run = short_run(tmp_path / "run", **settings, patience=3)
    assert run.finished and run.metrics[-1]["step"] == 4  # the first evaluation is the best
    again = short_run(tmp_path / "run", **settings, patience=5, resume=True, authors=("Hershey",))
    assert again.finished and again.metrics[-1]["step"] == 6


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    wild = dict(optimizer="adamw", learning_rate=10.0, grad_clip=0.0, weight_decay=10.0)
    with pytest.raises(CursiveError, match="lower --learning-rate"):
        short_run(tmp_path / "wild", **wild, max_steps=40)


# Evaluating


def test_each_text_is_read_back_in_its_authors_hand(tiny, monkeypatch):
    from cursivetransformer.training import train as module

    words = load_bank("embedded").words[:24]
    words = [dataclasses.replace(w, author=a) for w, a in zip(words, ["Hershey", "Leaning"] * 12)]
    authors = {w.text: w.author for w in words}
    inks = {w.text: w.points for w in words}
    assert len(authors) == len(words)
    model = copy.deepcopy(tiny)
    add_authors(model, ("Hershey", "Leaning"))
    drawn = {}  # text: in whose hand

    def draw(model, texts, options, *args, **kwargs):
        drawn.update({text: options.author for text in texts})
        return [inks[text] for text in texts]

    monkeypatch.setattr(module, "generate_words", draw)
    with in_hand(model, "Leaning"):
        found = module.written_legibility(model, StrokeDataset(words, model.config, 100, False))
    assert set(drawn.values()) == {"Hershey", "Leaning"} and found.words == module.READ_BACK
    assert drawn == {text: authors[text] for text in drawn}


# Several processes


def test_several_processes_learn_as_one(tmp_path):
    settings = {**FAST, "batch_size": 6, "max_steps": 6, "device": "cpu"}
    one = short_run(tmp_path / "one", **settings)
    two = launch(preset("debug", **settings, run_dir=str(tmp_path / "two")), 2)
    assert two.finished and [r["step"] for r in two.metrics] == [r["step"] for r in one.metrics]
    # Half of a batch is rounded otherwise than the whole where matrices are multiplied in bfloat16.
    assert losses(two) == pytest.approx(losses(one), rel=1e-3)
    assert {p.name for p in two.folder.iterdir()} == {p.name for p in one.folder.iterdir()}
    ours, theirs = (torch.nn.utils.parameters_to_vector(r.model.parameters()) for r in (one, two))
    apart = ((ours - theirs).norm() / ours.norm()).item()
    assert apart < 0.01, apart
    with pytest.raises(CursiveError, match="Process . of 2 failed.*already holds a run"):
        launch(preset("debug", **settings, run_dir=str(tmp_path / "two")), 2)


def test_a_process_that_dies_ends_the_run_and_a_signal_stops_all(tmp_path):
    process = start(tmp_path, "run", "--device", "cpu", command=TORCHRUN)
    wait_for_step(tmp_path / "run", 6, process)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0 and "SIGKILL" in said
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert at >= 5
    # Or steps from before would be taken for steps from now.
    kept = "".join(json.dumps(r) + "\n" for r in read_metrics(tmp_path / "run", at))
    (tmp_path / "run/metrics.jsonl").write_text(kept)
    process = start(tmp_path, "run", "--resume", command=TORCHRUN)
    wait_for_step(tmp_path / "run", at + 2, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE)
    assert said.count("everything is saved") == 1
    assert torch.load(tmp_path / "run/state.pt", weights_only=True)["step"] >= at + 2
    assert list(loss_by_step(tmp_path / "run"))[: at + 2] == list(range(1, at + 3))


# Fusing


@pytest.mark.slow
def test_a_fused_model_is_the_same_and_a_failing_compiler_is_no_reason_to_stop(tiny):
    model = copy.deepcopy(tiny).train()
    batch = Batches(create_datasets(preset("debug", dataset_name="embedded", tokenizer="polar"))[0])(0)
    loss = model(*batch)[1].item()
    # lengths are counted if they are not given
    assert loss == pytest.approx(model(*batch[:4])[1].item(), rel=1e-6)
    fused = fuse(model, batch, backend="aot_eager")
    assert fused is not model and fused(*batch)[1].item() == pytest.approx(loss, rel=1e-5)
    assert all(p.grad is None for p in model.parameters())

    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    with pytest.warns(UserWarning, match="no compiler here"):
        assert fuse(model, batch, backend=broken) is model


def test_a_model_is_fused_once_for_batches_of_all_shapes(tiny):
    graphs = []
    shapes = set()

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    batches = Batches(create_datasets(preset("debug", dataset_name="embedded", tokenizer="polar"))[0])
    fused = fuse(copy.deepcopy(tiny).train(), batches(0), backend=backend)
    count = len(graphs)
    for step in range(12):
        batch = batches(step)
        shapes |= {(batch[0].shape, batch[1].shape)}
        with autocast(torch.device("cpu")):  # as in training
            _, loss = fused(*batch)
        loss.backward()
    assert len(graphs) == count <= 2  # the CTC loss, between them, is not compiled
    assert len(shapes) > 8 and len({c for _, c in shapes}) > 3  # rows, tokens and characters all differ


# What is learned


def test_trains_on_real_ink(shared, tmp_path):
    bank = str(shared / "data/bigbank_3325.json.zip")
    settings = dict(dataset_name=bank, max_steps=60, print_every=10, log_every=60, learning_rate=2e-2)
    run = train(preset("debug", **settings, run_dir=str(tmp_path / "r")))
    assert losses(run)[-1] < 0.8 * losses(run)[0] and np.isfinite(run.metrics[-1]["test_loss"])
    config = load_config(tmp_path / "r/config.json")
    assert len(config.merge_ids) == 2 * config.merges  # learned from the words
    assert Transformer(config).config.vocab_size == tokenizer_of(config).vocab_size


def test_fine_tuning_takes_the_checkpoints_shape_and_can_be_resumed(whole, shared, tmp_path):
    settings = dict(**FAST, seed=5, max_steps=2)
    paper = {**settings, "batch_size": 2, "run_dir": str(tmp_path / "tuned")}
    ours = str(whole.folder / "best.safetensors")
    tuned = train(preset("paper", **paper, local_checkpoint_path=ours)).model.config
    assert (tuned.n_layer, tuned.start_token, tuned.seed) == (2, True, 5)
    config = load_config(tmp_path / "tuned/config.json")
    resumed = train(dataclasses.replace(config, resume=True, max_steps=4))
    assert resumed.finished and resumed.metrics[-1]["step"] == 4
    theirs = str(shared / "fixtures/upstream_checkpoint.pt")
    old = short_run(tmp_path / "old", **settings, local_checkpoint_path=theirs).model.config
    assert (old.positions, old.start_token, old.mask_context) == ("learned", False, False)
    assert old.max_seq_length == 256


@pytest.fixture
def two_hands(tmp_path):
    "A bank of two hands: the embedded words, and half of them leaning over."
    words = load_bank("embedded").words
    leaning = [dataclasses.replace(w, points=shear(w.points, -0.6), author="Leaning") for w in words[::2]]
    return str(save_bank(words + leaning, tmp_path / "two.json"))


def test_a_run_on_two_hands_knows_both_by_name(two_hands, tmp_path):
    both = ("Hershey", "Leaning")
    settings = dict(dataset_name=two_hands, log_every=100)
    run = short_run(tmp_path / "whole", **settings, max_steps=8)
    assert run.model.config.authors == both == load_checkpoint(run.folder, "cpu").config.authors
    assert run.model.transformer["wae"].weight.abs().min() > 0  # both hands were learned
    short_run(tmp_path / "parts", **settings, max_steps=4)
    parts = short_run(tmp_path / "parts", **settings, max_steps=8, resume=True, authors=both)
    for a, b in zip(run.model.state_dict().values(), parts.model.state_dict().values()):
        assert torch.equal(a, b)


def test_a_model_of_one_hand_learns_another(whole, two_hands, tmp_path):
    assert whole.model.config.authors == ("Hershey",) and "wae" not in whole.model.transformer
    run = short_run(
        tmp_path / "more", dataset_name=two_hands, max_steps=2, local_checkpoint_path=str(whole.folder)
    )
    authors = run.model.config.authors
    assert authors == ("Hershey", "Leaning") and run.model.config.n_layer == whole.model.config.n_layer
    some = load_bank("embedded").words[:3]
    words = [dataclasses.replace(w, author=a) for w in some for a in authors]
    torch.nn.init.normal_(run.model.transformer["wae"].weight)
    one, other = (evaluate_words(run.model, [w for w in words if w.author == a]).nats for a in authors)
    assert abs(one - other) > 1  # each word is scored in its author's hand
    assert evaluate_words(run.model, words).nats == pytest.approx(one + other, rel=1e-5)
