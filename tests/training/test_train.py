import copy
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from conftest import CURSIVE

from cursivetransformer.config import ConfigError, CursiveError, load_config, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.batches import Batches
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.model.checkpoint import load_checkpoint, load_model
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.training.optim import Muon, orthogonalize, rate_factor
from cursivetransformer.training.runs import get_checkpoint, read_metrics, set_sizes
from cursivetransformer.training.train import evaluate_words, fuse, launch, score_samples, train

FAST = dict(dataset_name="embedded", print_every=2, log_every=4, schedule="step", step_lr_every=3)


def losses(run_or_folder):
    rows = run_or_folder.metrics if hasattr(run_or_folder, "metrics") else read_metrics(run_or_folder)
    return [r["train_loss"] for r in rows if "train_loss" in r]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return train(
        preset("debug", **FAST, max_steps=10, run_dir=str(tmp_path_factory.mktemp("runs") / "whole"))
    )


def test_a_finished_run_holds_everything(whole):
    names = {p.name for p in whole.folder.iterdir()}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "loss.png",
        "samples",
        "best.safetensors",
        "last.safetensors",
        "state.pt",
    }
    assert (whole.folder / "loss.png").read_bytes().startswith(b"\x89PNG") and len(
        list((whole.folder / "samples").iterdir())
    ) == 3 * 4
    assert load_config(whole.folder / "config.json").max_steps == 10
    rows = [json.loads(line) for line in (whole.folder / "metrics.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows if "train_loss" in r] == [2, 4, 6, 8, 10] and [
        r["step"] for r in rows if "test_loss" in r
    ] == [4, 8, 10]
    assert whole.finished and losses(whole)[-1] < losses(whole)[0]
    assert torch.equal(
        load_checkpoint(whole.folder / "last.safetensors", "cpu").lm_head.weight, whole.model.lm_head.weight
    )
    best = min((r for r in rows if "test_loss" in r), key=lambda r: r["test_loss"])
    assert load_model(whole.folder / "best.safetensors")[1]["step"] == str(best["step"])


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_resuming_is_as_if_nothing_had_happened(tmp_path, optimizer):
    run = lambda steps, name, **more: train(
        preset("debug", **FAST, optimizer=optimizer, max_steps=steps, run_dir=str(tmp_path / name), **more)
    )
    one = run(8, "one")
    run(4, "two")
    two = run(8, "two", resume=True)
    assert losses(one) == losses(two) and [r["step"] for r in two.metrics if "train_loss" in r] == [
        2,
        4,
        6,
        8,
    ]
    for a, b in zip(one.model.state_dict().values(), two.model.state_dict().values()):
        assert torch.equal(a, b)


def test_a_stop_between_two_lines_of_metrics_changes_nothing(tmp_path, monkeypatch):
    from cursivetransformer.training import train as module

    config = lambda name, **more: preset(
        "debug",
        dataset_name="embedded",
        print_every=4,
        log_every=100,
        max_steps=12,
        run_dir=str(tmp_path / name),
        **more,
    )
    one = train(config("one"))

    class StopAtSix(Batches):
        def __call__(self, step):
            if step == 5:
                os.kill(os.getpid(), signal.SIGINT)
            return super().__call__(step)

    monkeypatch.setattr(module, "Batches", StopAtSix)
    stopped = train(config("two"))
    assert not stopped.finished and torch.load(tmp_path / "two/state.pt", weights_only=True)["step"] == 6
    assert (
        load_checkpoint(tmp_path / "two", "cpu").config.n_layer == 2
    )  # there is something to write with already
    monkeypatch.undo()
    assert losses(train(config("two", resume=True))) == losses(one)


def test_fine_tuning_takes_the_checkpoints_shape_and_can_be_resumed(whole, shared, tmp_path):
    more = dict(**FAST, seed=5, run_dir=str(tmp_path / "tuned"))
    config = preset(
        "paper",
        **{**more, "batch_size": 2},
        max_steps=2,
        local_checkpoint_path=str(whole.folder / "best.safetensors"),
    )
    tuned = train(config)
    assert (tuned.model.config.n_layer, tuned.model.config.start_token, tuned.model.config.seed) == (
        2,
        True,
        5,
    )
    resumed = train(
        dataclasses.replace(load_config(tmp_path / "tuned/config.json"), resume=True, max_steps=4)
    )
    assert resumed.finished and resumed.metrics[-1]["step"] == 4
    old = preset(
        "debug",
        **{**more, "run_dir": str(tmp_path / "old")},
        max_steps=2,
        local_checkpoint_path=str(shared / "fixtures/upstream_checkpoint.pt"),
    )
    model = train(old).model
    assert (
        model.config.positions,
        model.config.start_token,
        model.config.mask_context,
        model.config.max_seq_length,
    ) == ("learned", False, False, 256)


def start(tmp_path, name, *more, command=CURSIVE):
    return subprocess.Popen(
        [
            *command,
            "train",
            "--preset",
            "debug",
            "--dataset_name",
            "embedded",
            "--print_every",
            "1",
            "--log_every",
            "5",
            "--max_steps",
            "4000",
            "--schedule",
            "step",
            "--run_dir",
            name,
            *more,
        ],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", *CURSIVE]


def wait_for_step(folder, step, process, seconds=180):
    end = time.time() + seconds
    while time.time() < end:
        if process.poll() is not None:
            raise AssertionError(process.communicate())
        rows = read_metrics(folder)
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.05)
    raise AssertionError("the run did not get there")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda s: s.name)
def test_a_signal_saves_and_says_how_to_go_on(tmp_path, how):
    nohup = ["nohup"] if how is signal.SIGTERM else []
    process = start(tmp_path, "run", command=[*nohup, *CURSIVE])
    wait_for_step(tmp_path / "run", 7, process)
    if nohup:
        process.send_signal(signal.SIGHUP)  # a closed connection stops nothing that nohup started
        wait_for_step(tmp_path / "run", 10, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=150)
    assert (
        process.returncode == 130
        and f"Stopped by {how.name}" in said
        and "cursive train --resume --run_dir run" in said
    )
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert at >= 7
    resumed = subprocess.run(
        [*CURSIVE, "train", "--resume", "--run_dir", "run", "--max_steps", str(at + 3)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert resumed.returncode == 0, resumed.stderr
    steps = [r["step"] for r in read_metrics(tmp_path / "run") if "train_loss" in r]
    assert steps == list(range(1, at + 4))


def test_a_killed_run_goes_on_from_its_last_checkpoint_with_the_same_losses(tmp_path):
    process = start(tmp_path, "run")
    wait_for_step(tmp_path / "run", 8, process)
    process.kill()
    process.communicate()
    before = {r["step"]: r["train_loss"] for r in read_metrics(tmp_path / "run") if "train_loss" in r}
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert at >= 5 and at % 5 == 0
    resumed = subprocess.run(
        [*CURSIVE, "train", "--resume", "--run_dir", "run", "--max_steps", str(max(before) + 1)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert resumed.returncode == 0, resumed.stderr
    after = {r["step"]: r["train_loss"] for r in read_metrics(tmp_path / "run") if "train_loss" in r}
    assert list(after) == list(range(1, max(before) + 2)) and max(before) > at  # some steps were done twice,
    assert all(
        after[s] == before[s] for s in before
    )  # with the same losses: the rate is constant for so long


def test_several_processes_learn_as_one(tmp_path):
    config = lambda name: preset(
        "debug", **{**FAST, "batch_size": 6}, max_steps=6, device="cpu", run_dir=str(tmp_path / name)
    )
    one, two = train(config("one")), launch(config("two"), 2)
    assert two.finished and [r["step"] for r in two.metrics] == [r["step"] for r in one.metrics]
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert {p.name for p in two.folder.iterdir()} == {p.name for p in one.folder.iterdir()}
    for a, b in zip(one.model.parameters(), two.model.parameters()):
        torch.testing.assert_close(a, b, atol=2e-3, rtol=0)
    with pytest.raises(CursiveError, match="Process . of 2 failed.*already holds a run"):
        launch(config("two"), 2)


def test_a_process_that_dies_ends_the_run_and_a_signal_stops_all(tmp_path):
    process = start(tmp_path, "run", "--device", "cpu", command=TORCHRUN)
    wait_for_step(tmp_path / "run", 6, process)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    os.kill(int(workers[-1]), signal.SIGKILL)
    _, said = process.communicate(timeout=150)
    assert process.returncode != 0 and "SIGKILL" in said
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert at >= 5
    kept = "".join(
        json.dumps(r) + "\n" for r in read_metrics(tmp_path / "run", at)
    )  # or steps from before would be taken for steps from now
    (tmp_path / "run/metrics.jsonl").write_text(kept)
    process = start(tmp_path, "run", "--resume", command=TORCHRUN)
    wait_for_step(tmp_path / "run", at + 2, process)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=150)
    assert (
        said.count("everything is saved") == 1
        and torch.load(tmp_path / "run/state.pt", weights_only=True)["step"] >= at + 2
    )
    assert [r["step"] for r in read_metrics(tmp_path / "run") if "train_loss" in r][: at + 2] == list(
        range(1, at + 3)
    )


def test_a_fused_model_is_the_same_and_a_failing_compiler_is_no_reason_to_stop(tiny):
    model = copy.deepcopy(tiny).train()
    batch = Batches(create_datasets(preset("debug", dataset_name="embedded"))[0])(0)
    loss = model(*batch)[1]
    fused = fuse(model, batch, backend="aot_eager")
    assert loss.item() == pytest.approx(
        model(*batch[:4])[1].item(), rel=1e-6
    )  # lengths are counted if they are not given
    assert (
        fused is not model
        and fused(*batch)[1].item() == pytest.approx(loss.item(), rel=1e-5)
        and all(p.grad is None for p in model.parameters())
    )

    def broken(graph, inputs):
        raise RuntimeError("no compiler here")

    with pytest.warns(UserWarning, match="no compiler here"):
        assert fuse(model, batch, backend=broken) is model


def test_a_model_is_fused_once_for_batches_of_all_shapes(tiny):
    graphs, shapes = [], set()

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch.compiler.reset()
    batches = Batches(create_datasets(preset("debug", dataset_name="embedded"))[0])
    fused = fuse(copy.deepcopy(tiny).train(), batches(0), backend=backend)
    count = len(graphs)
    for step in range(12):
        batch = batches(step)
        shapes |= {(batch[0].shape, batch[1].shape)}
        fused(*batch)[1].backward()
    assert len(graphs) == count <= 2  # the CTC loss, between them, is not compiled
    assert len(shapes) > 8 and len({c for _, c in shapes}) > 3  # rows, tokens and characters all differ


def test_runs_are_not_overwritten_and_resume_needs_one(whole, tmp_path):
    config = lambda **more: preset("debug", **{**FAST, "max_steps": 10, "run_dir": str(whole.folder), **more})
    with pytest.raises(CursiveError, match="already holds a run"):
        train(config())
    with pytest.raises(CursiveError, match="no run to resume"):
        train(config(run_dir=str(tmp_path / "none"), resume=True))
    with pytest.raises(ConfigError, match="started with seed=1337"):
        train(config(seed=1, resume=True))


def test_a_loss_that_is_no_number_stops_the_run(tmp_path):
    with pytest.raises(CursiveError, match="lower --learning_rate"):
        train(
            preset(
                "debug",
                **FAST,
                max_steps=40,
                optimizer="adamw",
                learning_rate=10.0,
                grad_clip=0.0,
                weight_decay=10.0,
                run_dir=str(tmp_path / "wild"),
            )
        )


def test_orthogonalized_matrices_have_singular_values_near_one():
    for shape in (3, 20, 50), (2, 50, 20), (1, 64, 64):
        s = torch.linalg.svdvals(
            orthogonalize(torch.randn(shape, generator=torch.Generator().manual_seed(0)), steps=8)
        )
        assert s.min() > 0.5 and s.max() < 1.3


def test_muon_equals_going_matrix_by_matrix():
    g = torch.Generator().manual_seed(0)
    start = [torch.randn(s, generator=g) for s in [(8, 4), (8, 4), (4, 8)]]
    grads = [[torch.randn(p.shape, generator=g) for p in start] for _ in range(3)]
    fast = [torch.nn.Parameter(p.clone()) for p in start]
    optimizer = Muon(fast, lr=0.1, weight_decay=0.01)
    for step in grads:
        for p, gr in zip(fast, step):
            p.grad = gr.clone()
        optimizer.step()
    for i, p in enumerate(start):
        buffer = torch.zeros_like(p)
        for step in grads:
            buffer = 0.95 * buffer + 0.05 * step[i]
            update = (
                orthogonalize((0.05 * step[i] + 0.95 * buffer)[None])[0]
                * max(1, p.shape[0] / p.shape[1]) ** 0.5
            )
            p = p * (1 - 0.1 * 0.01) - 0.1 * update
        torch.testing.assert_close(fast[i].data, p, atol=1e-4, rtol=1e-4)


def test_schedules():
    c = lambda **k: preset(max_steps=1000, **k)
    assert (
        rate_factor(300, c()) == 1
        and rate_factor(700, c()) == pytest.approx(0.5)
        and rate_factor(999, c()) < 0.01
        and rate_factor(0, c()) < 0.2
    )
    assert [rate_factor(s, c(cooldown=1.0)) for s in (100, 500)] == pytest.approx(
        [0.9, 0.5]
    )  # from the start
    assert rate_factor(500, c(schedule="cosine")) == pytest.approx(0.5)
    assert [rate_factor(s, c(schedule="step", step_lr_every=10, lr_decay=0.5)) for s in (0, 9, 10, 25)] == [
        1,
        1,
        0.5,
        0.25,
    ]


def test_evaluation_counts_every_real_token_once(default):
    words = load_bank("embedded").words[:40]
    one, four = evaluate_words(default, words, 1), evaluate_words(default, words, 4)
    assert (
        one.points == four.points
        and one.tokens == 2 * one.points + 40
        and four.tokens == 2 * four.points + 10 + 2 * 30
    )
    again = evaluate_words(default, words, 1)
    assert (one.nats, one.tokens) == (again.nats, again.tokens)
    assert one.per_token == pytest.approx(one.nats / one.tokens) and one.per_point > one.per_token
    # against the plain way: one sample at a time, no padding anywhere
    from cursivetransformer.data.dataset import collate, prepare
    from cursivetransformer.ink.points import Augmentation

    _, d = create_datasets(preset("debug", dataset_name="embedded"))
    nats = 0.0
    with torch.no_grad():
        for w in words:
            x, c, y, _ = collate(
                [(prepare([Augmentation(fraction=0.65)(w)], d.tokenizer, True)[0], w.text, 0)], d
            )
            nats += torch.nn.functional.cross_entropy(default(x, c)[0][0], y[0], reduction="sum").item()
    assert one.nats == pytest.approx(nats, rel=1e-4)


def test_scores_do_not_depend_on_padding(default):
    _, d = create_datasets(preset("debug", dataset_name="embedded"))
    samples = [d.sample(i, k) for i, k in zip(range(12), [1, 2, 3] * 4)]
    assert score_samples(default, samples, d, rows=1).nats == pytest.approx(
        score_samples(default, samples, d, rows=12).nats, rel=1e-4
    )


def test_words_a_model_cannot_take_are_named(default):
    from cursivetransformer.ink.points import Word

    with pytest.raises(CursiveError, match="'x{51}'"):
        evaluate_words(default, [Word("x" * 51, load_bank("embedded").words[0].points)])


def test_get_checkpoint(shared, whole, monkeypatch):
    c = set_sizes(preset("paper", dataset_name="embedded", max_seq_length=256, device="cpu"))
    model, optimizer, scheduler, step, best = get_checkpoint(c)
    assert (
        step == 0
        and best is None
        and optimizer.param_groups[0]["lr"] == 0.01
        and scheduler.get_last_lr() == [0.01]
    )
    c.local_checkpoint_path = str(shared / "fixtures/upstream_checkpoint.pt")
    model, optimizer, scheduler, step, best = get_checkpoint(c)
    assert (
        step == 3
        and best == pytest.approx(4.444, abs=1e-3)
        and model.config.n_layer == 2
        and len(optimizer.optimizers[0].state) == 47
    )
    assert get_checkpoint(c, sample_only=True)[1:3] == (None, None)
    c.local_checkpoint_path = None
    assert get_checkpoint(c, sample_only=True)[0].config.start_token  # the bundled model
    c.local_checkpoint_path = str(whole.folder)
    assert get_checkpoint(c, sample_only=True)[0].config.n_layer == whole.model.config.n_layer
    c.local_checkpoint_path, c.load_from_run_id = None, "7coqq2c4"
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(whole.folder / "none"))
    with pytest.raises(CursiveError, match="needs a key"):
        get_checkpoint(c)


def test_trains_on_real_ink(shared, tmp_path):
    run = train(
        preset(
            "debug",
            dataset_name=str(shared / "data/bigbank_3325.json.zip"),
            max_steps=60,
            print_every=10,
            log_every=60,
            learning_rate=2e-2,
            run_dir=str(tmp_path / "r"),
        )
    )
    assert losses(run)[-1] < 0.8 * losses(run)[0] and np.isfinite(run.metrics[-1]["test_loss"])
    assert Transformer(load_config(tmp_path / "r/config.json")).config.vocab_size == 525


def two_banks(tmp_path):
    "A bank of two hands: the embedded words, and half of them leaning over."
    from cursivetransformer.data.banks import save_bank

    words = load_bank("embedded").words
    return str(
        save_bank(
            words
            + [
                dataclasses.replace(
                    w, points=w.points @ [[1, 0, 0], [-0.6, 1, 0], [0, 0, 1]], author="Leaning"
                )
                for w in words[::2]
            ],
            tmp_path / "two.json",
        )
    )


def test_a_run_on_two_hands_knows_both_by_name(tmp_path):
    config = lambda name, **more: preset(
        "debug", **{**FAST, "dataset_name": two_banks(tmp_path)}, run_dir=str(tmp_path / name), **more
    )
    run = train(config("whole", max_steps=8))
    assert (
        run.model.config.authors
        == ("Hershey", "Leaning")
        == load_checkpoint(run.folder, "cpu").config.authors
    )
    assert run.model.transformer["wae"].weight.abs().min() > 0  # both hands were learned
    train(config("parts", max_steps=4))
    parts = train(config("parts", max_steps=8, resume=True, authors=("Hershey", "Leaning")))
    for a, b in zip(run.model.state_dict().values(), parts.model.state_dict().values()):
        assert torch.equal(a, b)


def test_a_model_of_one_hand_learns_another(whole, tmp_path):
    assert whole.model.config.authors == ("Hershey",) and "wae" not in whole.model.transformer
    run = train(
        preset(
            "debug",
            **{**FAST, "dataset_name": two_banks(tmp_path)},
            max_steps=2,
            run_dir=str(tmp_path / "more"),
            local_checkpoint_path=str(whole.folder),
        )
    )
    assert (
        run.model.config.authors == ("Hershey", "Leaning")
        and run.model.config.n_layer == whole.model.config.n_layer
    )
    words = [
        dataclasses.replace(w, author=a)
        for w in load_bank("embedded").words[:3]
        for a in run.model.config.authors
    ]
    torch.nn.init.normal_(run.model.transformer["wae"].weight)
    one, other = (
        evaluate_words(run.model, [w for w in words if w.author == a]).nats for a in run.model.config.authors
    )
    assert abs(one - other) > 1  # each word is scored in its author's hand
    assert evaluate_words(run.model, words).nats == pytest.approx(one + other, rel=1e-5)


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    run = train(
        preset(
            "debug",
            **{**FAST, "log_every": 1},
            learning_rate=0.0,
            max_steps=50,
            patience=3,
            run_dir=str(tmp_path / "run"),
        )
    )
    assert run.finished and run.metrics[-1]["step"] == 4  # the first evaluation is the best
    again = train(
        preset(
            "debug",
            **{**FAST, "log_every": 1},
            learning_rate=0.0,
            max_steps=50,
            patience=5,
            resume=True,
            authors=("Hershey",),
            run_dir=str(tmp_path / "run"),
        )
    )
    assert again.finished and again.metrics[-1]["step"] == 6
