"""A run's folder, here and on another machine."""

import dataclasses
import json
import re
import subprocess

import pytest
from conftest import CURSIVE
from training_cases import FAST, FIFTH, as_the_fifth_kept_it, loss_by_step, losses, short_run, wait_until
from wandb_cases import TRAIN, begin, cursive, curve, only_run, python
from wandb_server import KEY

from cursivetransformer.config import ConfigError, CursiveError, preset
from cursivetransformer.data.banks import load_bank, save_bank
from cursivetransformer.flags import config_of, config_parser, parse_config
from cursivetransformer.model.checkpoint import load_checkpoint, save_state
from cursivetransformer.training.runs import (
    adopt_tokens,
    plot_metrics,
    read_metrics,
    set_sizes,
    start_or_resume,
    write_metrics,
)
from cursivetransformer.training.tracking import read_header
from cursivetransformer.training.train import train


def test_a_line_of_metrics_that_was_cut_short_is_left_out(tmp_path):
    rows = [{"step": 2, "train_loss": 5.0}, {"step": 4, "train_loss": 4.5}]
    write_metrics(tmp_path, rows)
    with open(tmp_path / "metrics.jsonl", "a") as f:
        f.write('{"step": 6, "tra')
    assert read_metrics(tmp_path) == rows and read_metrics(tmp_path, until=3) == rows[:1]
    assert read_metrics(tmp_path / "nowhere") == []


def test_the_plot_says_that_the_losses_are_different_quantities():
    rows = [{"step": 2, "train_loss": 5.0}, {"step": 4, "train_loss": 4.5}, {"step": 4, "test_loss": 4.0}]
    _, ax = plot_metrics(rows)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["train loss, incl. any spelling loss", "validation loss"]
    assert [list(line.get_ydata()) for line in ax.get_lines()] == [[5.0, 4.5], [4.0]]


def test_runs_are_not_overwritten_and_resume_needs_one(tmp_path):
    short_run(tmp_path / "whole", max_steps=2)

    def begin_again(name="whole", **settings):
        config = preset("debug", **{**FAST, "max_steps": 2, **settings}, run_dir=str(tmp_path / name))
        return train(config)

    with pytest.raises(CursiveError, match="already holds a run.*another --run-dir"):
        begin_again()
    with pytest.raises(CursiveError, match="no run to resume"):
        begin_again("none", resume=True)
    with pytest.raises(ConfigError, match="started with seed=1337"):
        begin_again(seed=1, resume=True)


def test_a_run_of_the_fifth_edition_goes_on(tmp_path):
    whole = short_run(tmp_path / "whole", max_steps=6, **FIFTH)
    parts = short_run(tmp_path / "parts", max_steps=4, **FIFTH)
    as_the_fifth_kept_it(parts.folder)
    config = load_checkpoint(parts.folder, "cpu").config
    assert {name: getattr(config, name) for name in FIFTH} == FIFTH

    def go_on(**flags):
        return train(config_of({"resume": "true", "run_dir": str(parts.folder), "max_steps": "6", **flags}))

    with pytest.raises(ConfigError, match="started with splice=0.0, and cannot go on with 0.3"):
        go_on(splice="0.3")
    with pytest.raises(ConfigError, match="started with tokenizer='polar'"):
        go_on(tokenizer="chain")
    done = go_on()
    assert losses(done) == losses(whole) and done.metrics[-1]["test_loss"] == whole.metrics[-1]["test_loss"]


def test_what_a_run_begins_with_depends_on_its_seed_alone(tmp_path):
    def first(seed):
        sizes = dict(vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50)
        config = preset("debug", **sizes, seed=seed, device="cpu")
        return start_or_resume(config, tmp_path).model.lm_head.weight

    assert first(1).equal(first(1)) and not first(1).equal(first(2))


ELSEWHERE = """
from pathlib import Path
from cursivetransformer import get_all_args, get_checkpoint
from cursivetransformer.config import CursiveError
from cursivetransformer.training.runs import download_state
args = get_all_args(use_argparse=False)
args.load_from_run_id, args.run_dir = "{run}", "third"
model, optimizer, scheduler, step, best_loss = get_checkpoint(args)
print(step, best_loss, args.n_layer, len(optimizer.optimizers[0].state) > 0, scheduler.at)
state = Path("third/state.pt").read_bytes()
Path("third/state.pt").write_bytes(b"mine")
print(download_state(args, 8), download_state(args, 9), end=" ")
print(Path("third/state.pt").read_bytes() == b"mine", flush=True)
print(download_state(args, 7), Path("third/state.pt").read_bytes() == state, flush=True)
input()
print(download_state(args, 7), flush=True)
args.run_dir = "found"
args.load_from_run_id = "another"
try:
    download_state(args, 8)
except CursiveError as e:
    print(e)
"""


def files_with_the_key(folder):
    return [p for p in folder.rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()]


@pytest.mark.slow
def test_a_killed_run_goes_on_on_another_machine(wandb_server, wandb_client, tmp_path):
    server, env = wandb_server, wandb_client
    train(parse_config(config_parser(), [*TRAIN[1:], "--run-dir", str(tmp_path / "whole")]))
    assert not (tmp_path / "whole/wandb").exists()  # the tests' own WANDB_MODE
    del env["WANDB_API_KEY"]
    flags = ["--run-dir", "lost", "--max-steps", "5000", "--wandb-api-key", KEY, "--wandb-run-name", "lost"]
    process = subprocess.Popen(
        [*CURSIVE, *TRAIN, *flags], env=env, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )

    def states():
        artifacts = list(server.artifacts)
        return [a for a in artifacts if a["type"] == "state" and a["state"] == "COMMITTED"]

    wait_until(states, process)
    process.kill()
    process.communicate()
    r = only_run(server)
    assert states()[0]["metadata"].startswith('{"step":4,') and list(tmp_path.rglob("wandb/**/*"))
    sent = [body for _, _, body, _ in server.seen if KEY.encode() in body]
    assert not sent, "the key is in what was sent"
    assert not files_with_the_key(tmp_path / "lost"), "the key is in the run's folder"

    env["WANDB_API_KEY"] = KEY
    flags = ["--load-from-run-id", r["name"], "--run-dir", "found", "--max-steps", "8"]
    other = cursive("train", *flags, env=env, cwd=tmp_path)
    assert other.returncode == 0 and f"state-{r['name']}:v" in other.stderr, other.stderr
    # the same losses as if nothing had happened, but for how many threads have summed them up
    found = loss_by_step(tmp_path / "found")
    whole = loss_by_step(tmp_path / "whole")
    assert list(found) == list(whole) and list(found.values()) == pytest.approx(
        list(whole.values()), rel=1e-3
    )
    sent = curve(r, "train_loss")
    assert len(server.runs) == 1 and {s: sent[s] for s in found} == found
    steps = [row["_step"] for row in r["history"]]
    assert steps == sorted(set(steps)) and r["state"] == "finished"

    with begin(
        [*CURSIVE[:2], ELSEWHERE.format(run=r["name"])], {**env, "CURSIVE_WANDB_DEADLINE": "3"}, tmp_path
    ) as process:
        said = [process.stdout.readline() for _ in range(3)]
        server.faults["down"] = True
        out, err = process.communicate("\n", timeout=60)
    best = [row["test_loss"] for row in read_metrics(tmp_path / "found") if "test_loss" in row][-1]
    assert said == [f"8 {best} 2 True 8\n", "True True True\n", "True True\n"], err
    newer = "local state at step 9 is newer than the one in W&B at step 8; going on from the local one"
    assert newer in err and "newer than the local state at step 7" in err
    assert "Going on from the local state at step 7" in err
    assert "found already holds another run than another" in out
    brought, original = (tmp_path / f"{name}/best.safetensors" for name in ("third", "found"))
    assert read_header(brought) == read_header(original)


def test_curves_of_a_project(wandb_server, wandb_client, tmp_path):
    steps = list(range(10, 60, 10))
    values = {(name, size): [5 - s * size / 100 for s in steps] for name, size in (("a", 4), ("b", 8))}
    for (name, size), curve_values in values.items():
        r = wandb_server.run("me", "p", name)
        r["config"] = json.dumps({"batch_size": {"value": size}})
        rows = {s: {"train_loss": 1.0} for s in range(5, 55, 5)}
        rows |= {s: {"test_loss": loss} for s, loss in zip(steps, curve_values)}
        r["history"] = [{"_step": s, "step": s, **row} for s, row in rows.items()]
    wandb_server.run("me", "p", "without")
    code = """
from cursivetransformer.training.runs import fetch_curves, plot_curves
curves = fetch_curves("me/p")
for c in curves: print(c.name, c.config["batch_size"], c.steps, c.values)
print([t.get_text() for t in plot_curves(curves, ("batch_size",))[1].get_legend().get_texts()])
fetch_curves("me/nothing")
"""
    done = python(code, wandb_client, tmp_path)
    lines = [f"{name} {size} {steps} {curve_values}" for (name, size), curve_values in values.items()]
    legend = "['batch_size 8: 1.000', 'batch_size 4: 3.000']"
    assert done.stdout.splitlines() == [*lines, legend], done.stderr
    assert "RunError: There is no" in done.stderr


# What is otherwise when a run goes on


def test_words_that_came_and_went_are_told(tmp_path, capsys):
    words = load_bank("embedded").words
    bank = save_bank(words[:120], tmp_path / "bank.json")
    few = dict(dataset_name=str(bank), log_every=1000, run_dir=str(tmp_path / "run"))
    begun = train(preset("debug", **{**FAST, **few, "max_steps": 2, "log_every": 2, "vary_words": False}))
    capsys.readouterr()
    save_bank([dataclasses.replace(w, author="Somebody") for w in words[120:124]] + words[10:120], bank)
    # In Python the tokens, which would be learned from other words now, are the run's too.
    again = preset("debug", **{**FAST, **few, "max_steps": 3, "vary_words": False}, resume=True)
    assert train(again).model.config.merge_ids == begun.model.config.merge_ids
    said = capsys.readouterr().err
    (line,) = [line for line in said.splitlines() if "The words have changed" in line]
    assert "words learned" in line and "4 words of hands new to this run ('Somebody')" in line
    came, went = (sum(map(int, re.findall(rf"(\d+) {what}", line))) for what in ("came", "went"))
    assert (came, went) == (4, 10)
    train(preset("debug", **{**FAST, **few, "max_steps": 4, "vary_words": False}, resume=True))
    assert "The words have changed" not in capsys.readouterr().err  # they have not since


def test_a_finished_run_that_goes_on_says_its_rate_and_warms_up_again(tmp_path, capsys):
    slow = dict(schedule="linear", log_every=1000, print_every=1)
    short_run(tmp_path / "run", max_steps=10, **slow)
    assert "learning rate" not in capsys.readouterr().err

    def go_on(max_steps):
        config = preset("debug", **{**FAST, **slow}, max_steps=max_steps, run_dir=str(tmp_path / "run"))
        config.resume = True
        return start_or_resume(set_sizes(adopt_tokens(config)), tmp_path / "run")

    state = go_on(1000)
    said = capsys.readouterr().err
    assert "goes on from step 10 to 1,000, and not to 10 as before" in said
    assert "its learning rate, 0 when it was saved, rises again to 0.01 within 10 steps" in said
    rates = []
    for _ in range(12):
        rates.append(state.schedule.get_last_lr()[-1])
        state.schedule.step()
    assert rates[0] == pytest.approx(0.001) and rates[9:] == pytest.approx([0.01] * 3)
    assert rates[:10] == sorted(rates[:10])
    # Saved on the way up, it goes on rising, and nothing is said.
    state.schedule.at = state.step = 14
    beside = state.beside()
    save_state(tmp_path / "run/state.pt", state.model, state.optimizer, 14, None, beside=beside)
    assert go_on(1000).schedule.get_last_lr()[-1] == pytest.approx(rates[4])
    assert "learning rate" not in capsys.readouterr().err
    state = go_on(15)
    assert "its learning rate" in capsys.readouterr().err and state.schedule.rise.step == 10
