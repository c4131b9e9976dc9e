"""What W&B gets of a run, and what it cannot do to it. Tests of what a run needs of W&B to go on are in
`test_runs.py`, of models that are fetched in `test_tracking_fetch.py`."""

import itertools
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import CURSIVE, ROOT
from training_cases import loss_by_step, wait_until
from wandb_cases import (
    DONE,
    MODEL,
    TRAIN,
    begin,
    curve,
    only_run,
    python,
    run,
    sync,
    told,
    tracked,
)
from wandb_server import KEY

from cursivetransformer.config import Config
from cursivetransformer.flags import config_parser, parse_config
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.training.runs import set_sizes


def test_a_run_arrives(wandb_server, wandb_client, tmp_path):
    done = run(tracked("0 5 10 15 20 watch"), {**wandb_client, "WANDB_RUN_ID": "abc123"}, tmp_path)
    assert done.returncode == 0 and done.stdout == DONE, done.stderr
    assert told(done) == [f"W&B: {wandb_server.url}/me/cursivetransformer/runs/abc123"]
    assert "wandb:" not in done.stderr
    r = only_run(wandb_server)
    assert curve(r, "train_loss") == {5: 9.5, 10: 9.0, 15: 8.5, 20: 8.0}
    assert curve(r, "test_loss") == {10: 8.0, 20: 7.0} and r["state"] == "finished"
    assert [row["_step"] for row in r["history"]] == [5, 10, 15, 20]
    assert all(row["_step"] == row["step"] for row in r["history"])
    assert set(curve(r, "samples/test_topk_1")) == {10, 20} == set(curve(r, "gradients/w"))
    pictures = [name for name in wandb_server.files if "test_topk_1" in name]
    assert len(pictures) == 2
    assert all(wandb_server.files[p].startswith(b"\x89PNG") for p in pictures)
    config = json.loads(r["config"])
    known = set(Config.__dataclass_fields__) - {"wandb_api_key", "resume"}
    assert config["n_layer"]["value"] == 2 and set(config) - {"_wandb"} == known


def test_checkpoints_of_a_run_arrive(wandb_server, wandb_client, tmp_path):
    done = run(tracked("0 5 10 15 20"), wandb_client, tmp_path)
    assert done.returncode == 0, done.stderr
    models, states = ([a for a in wandb_server.artifacts if a["type"] == kind] for kind in ("model", "state"))
    assert [set(a["aliases"]) for a in models] == [set(), {"latest", "best", "last"}]
    assert [set(a["aliases"]) for a in states] == [set(), {"latest", "last"}]
    assert list(models[1]["entries"]) == ["model.safetensors"]
    assert set(states[1]["entries"]) == {"config.json", "metrics.jsonl", "state.pt"}
    metadata = json.loads(models[1]["metadata"])
    assert metadata["tokenizer"]["name"] == "chain" and metadata["config"]["n_layer"] == 4
    assert metadata["step"] > 0 and metadata["loss"] > 0
    assert wandb_server.content(states[0], "state.pt") == b"state.pt at 10"
    assert wandb_server.content(models[1], "model.safetensors") == MODEL.read_bytes()
    assert not list((tmp_path / "run/wandb").glob("checkpoints/*"))  # what has arrived is kept once


def test_no_key_means_offline_and_no_question(wandb_server, wandb_client, tmp_path):
    del wandb_client["WANDB_API_KEY"]
    done = run(tracked("0 5 10 15 20 25"), wandb_client, tmp_path)
    assert done.returncode == 0 and not wandb_server.seen, done.stderr
    (line,) = told(done)
    (folder,) = (tmp_path / "run/wandb").glob("offline-run-*")
    assert "no key found" in line and line.endswith(f"wandb sync run/wandb/{folder.name}")
    assert "wandb:" not in done.stdout + done.stderr
    synced = sync(line, {**wandb_client, "WANDB_API_KEY": KEY}, tmp_path)
    assert synced.returncode == 0, synced.stderr
    r = only_run(wandb_server)
    assert curve(r, "train_loss") == {s: 10 - s / 10 for s in (5, 10, 15, 20, 25)}
    assert set(curve(r, "samples/test_topk_1")) == {10, 20}
    artifacts = {a["type"]: a for a in wandb_server.artifacts}
    assert {kind: set(a["aliases"]) for kind, a in artifacts.items()} == {
        "model": {"latest", "best", "last"},
        "state": {"latest", "last"},
    }
    assert wandb_server.content(artifacts["model"], "model.safetensors") == MODEL.read_bytes()


def test_what_an_offline_run_says_when_it_goes_on_sends_all_of_it(wandb_server, wandb_client, tmp_path):
    del wandb_client["WANDB_API_KEY"]
    process = begin(tracked("0 5 10 15 20 wait"), wandb_client, tmp_path)
    while "waiting" not in process.stdout.readline():
        assert process.poll() is None, process.communicate()
    process.kill()  # the client has not even written down all that it was told
    process.communicate()
    done = run(tracked("20 20 25 30"), wandb_client, tmp_path)
    (line,) = told(done)
    assert len(list((tmp_path / "run/wandb").glob("offline-run-*"))) == 2
    synced = sync(line, {**wandb_client, "WANDB_API_KEY": KEY}, tmp_path)
    assert synced.returncode == 0, synced.stderr
    r = only_run(wandb_server)
    assert curve(r, "train_loss") == {s: 10 - s / 10 for s in (5, 10, 15, 20, 25, 30)}
    assert [row["_step"] for row in r["history"]] == [5, 10, 15, 20, 25, 30]
    assert set(curve(r, "samples/test_topk_1")) == {10, 20, 30}
    assert len([name for name in wandb_server.files if "test_topk_1" in name]) == 3


@pytest.mark.parametrize("where", ["netrc", "environment mode", "asked for, nobody there"])
def test_keys_and_modes(wandb_server, wandb_client, tmp_path, where):
    del wandb_client["WANDB_API_KEY"]
    mode = "online" if where.startswith("asked") else "auto"
    if where == "netrc":
        netrc = tmp_path / "home/.netrc"
        netrc.write_text(f"machine {wandb_server.url[7:]} login user password {KEY}\n")
        netrc.chmod(0o600)
    if where == "environment mode":
        wandb_client["WANDB_MODE"] = "disabled"
    done = run(tracked("0 5", mode), wandb_client, tmp_path)
    assert done.returncode == 0 and bool(wandb_server.runs) == (where == "netrc"), done.stderr
    assert len(told(done)) == (where != "environment mode")
    assert (tmp_path / "run").exists() == (where != "environment mode")


def test_a_human_at_a_terminal_who_asked_for_online_is_asked(wandb_server, wandb_client, tmp_path):
    del wandb_client["WANDB_API_KEY"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(a) for a in tracked("0 5", "online")],
        env={**wandb_client, "TERM": "xterm"},
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    answers = [("Enter your choice", b"2\n"), ("Paste", KEY.encode() + b"\n")]
    said = ""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            said += os.read(ours, 10000).decode(errors="replace")
        except OSError:
            break
        while answers and answers[0][0] in said:
            os.write(ours, answers.pop(0)[1])
    assert process.wait(60) == 0 and not answers, said
    assert f"{wandb_server.url}/me/cursivetransformer/runs/" in said
    assert curve(only_run(wandb_server), "train_loss") == {5: 9.5}
    os.close(ours)


def test_a_run_that_goes_on_sends_what_is_missing_and_nothing_twice(wandb_server, wandb_client, tmp_path):
    run(tracked("0 5 10"), wandb_client, tmp_path)
    first = only_run(wandb_server)["history"].copy()
    # 15 happened while W&B was away; 10 is done again
    done = run(tracked("20 10 15 20"), wandb_client, tmp_path)
    r = only_run(wandb_server)
    assert done.returncode == 0 and len(wandb_server.runs) == 1 and r["history"][:2] == first
    assert [row["_step"] for row in r["history"]] == [5, 10, 15, 20] and curve(r, "train_loss")[15] == 8.5


# When W&B fails


def test_unreachable_at_the_start(wandb_server, wandb_client, tmp_path):
    wandb_server.faults["down"] = True
    done = run(tracked("0 5 10"), {**wandb_client, "WANDB_INIT_TIMEOUT": "1"}, tmp_path)
    (line,) = told(done)
    assert done.returncode == 0 and done.stdout == DONE, done.stderr
    assert "the run goes on" in line and "everything is kept in run" in line
    wandb_server.faults.clear()
    assert sync(line, wandb_client, tmp_path).returncode == 0
    assert curve(only_run(wandb_server), "train_loss") == {5: 9.5, 10: 9.0}
    assert len(wandb_server.artifacts) == 2


def go_on(process):
    "Let a run that waits go on to the end of its loop."
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == DONE


def test_unreachable_in_the_middle(wandb_server, wandb_client, tmp_path):
    command = tracked("0 5 wait 10 15 20")
    with begin(command, {**wandb_client, "WANDB_FINISH_TIMEOUT": "3"}, tmp_path) as process:
        assert process.stdout.readline() == "waiting\n"
        wandb_server.faults["down"] = True
        go_on(process)  # while nobody answers
        _, err = process.communicate(timeout=60)
    (line,) = [line for line in err.splitlines() if "goes on" in line]
    assert process.returncode == 0, err
    wandb_server.faults.clear()
    synced = sync(line, wandb_client, tmp_path)
    assert synced.returncode == 0, synced.stderr
    assert curve(only_run(wandb_server), "train_loss") == {s: 10 - s / 10 for s in (5, 10, 15, 20)}


def test_the_client_may_die(wandb_client, tmp_path):
    command = tracked("0 5 wait 10 15 20")
    with begin(command, {**wandb_client, "WANDB_FINISH_TIMEOUT": "3"}, tmp_path) as process:
        assert process.stdout.readline() == "waiting\n"
        parents = {
            int(p.parent.name): p.read_text().rsplit(")", 1)[1].split()[1]
            for p in Path("/proc").glob("[0-9]*/stat")
        }
        children = [child for child, parent in parents.items() if parent == str(process.pid)]
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        go_on(process)
        _, err = process.communicate(timeout=60)
    assert children and process.returncode == 0, err
    assert len([line for line in err.splitlines() if "goes on" in line]) == 1


@pytest.mark.parametrize("fault", ["unknown_key", "forbidden"])
def test_a_key_that_is_refused(wandb_server, wandb_client, tmp_path, fault):
    wandb_server.faults[fault] = True
    done = run(tracked("0 5"), {**wandb_client, "WANDB_INIT_TIMEOUT": "2"}, tmp_path)
    (line,) = told(done)
    assert done.returncode == 0 and "the run goes on" in line, done.stderr
    assert list((tmp_path / "run/wandb").glob("offline-run-*"))


def test_a_disk_without_room_for_the_copy(wandb_server, wandb_client, tmp_path):
    (tmp_path / "run/wandb").mkdir(parents=True)
    (tmp_path / "run/wandb/checkpoints").write_text("in the way")
    done = run(tracked("0 5 10"), wandb_client, tmp_path)
    assert done.returncode == 0, done.stderr
    assert ["goes on" in line for line in told(done)] == [False, True]
    assert curve(only_run(wandb_server), "test_loss") == {10: 8.0}


# With the training


def test_a_stop_sends_the_checkpoint(wandb_server, wandb_client, tmp_path):
    process = subprocess.Popen(
        [*CURSIVE, *TRAIN, "--run-dir", "run", "--max-steps", "5000", "--log-every", "5000"],
        env=wandb_client,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: max(loss_by_step(tmp_path / "run"), default=0) >= 4, process)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends Ctrl-C to the client's processes too
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and "everything is saved" in said, said
    assert len([line for line in said.splitlines() if "W&B:" in line]) == 1, said
    model, state = wandb_server.artifacts
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert json.loads(model["metadata"])["step"] == at >= 4
    assert model["state"] == state["state"] == "COMMITTED" and set(model["aliases"]) == {"latest", "last"}
    assert curve(only_run(wandb_server), "train_loss") == loss_by_step(tmp_path / "run")


def test_the_client_is_imported_only_when_it_is_used(wandb_client, tmp_path):
    code = f"""
import sys
from cursivetransformer.cli import main
main(["write", "a", "-o", "a.svg"])
main({TRAIN!r} + ["--max-steps", "1", "--wandb-mode", "disabled"])
print("wandb" in sys.modules)
"""
    done = python(code, wandb_client, tmp_path)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


# Sweeps

SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_sweeps_ask_for_what_there_is(path):
    import yaml

    sweep = yaml.safe_load(path.read_text())
    assert sweep["method"] == "grid" and sweep["command"][:3] == ["${env}", "sh", "-c"]
    assert sweep["command"][-1] == "${args}"
    assert sweep.get("metric", {}).get("name") in (None, "test_loss", "test_loss_per_word")
    asked = {k: spec.get("values", [spec.get("value")]) for k, spec in sweep["parameters"].items()}
    assert sum(len(values) > 1 for values in asked.values()) == 2
    for combination in itertools.product(*asked.values()):
        values = dict(zip(asked, combination))
        flags = [f"--{k}={v}" for k, v in values.items()]  # as W&B's agent writes them
        config = parse_config(config_parser(), flags)
        Transformer(set_sizes(config))
        assert {k: getattr(config, k) for k in values} == values


def test_the_questions_have_sweeps():
    assert {p.stem for p in SWEEPS} >= {"batch_size", "downsampling", "tokenizer", "layers"}


@pytest.mark.slow
def test_an_agent_runs_a_sweep(wandb_server, wandb_client, tmp_path):
    wandb = [sys.executable, "-m", "wandb"]
    command = [*wandb, "sweep", "--project", "swept", ROOT / "sweeps/layers.yaml"]
    made = run(command, wandb_client, tmp_path)
    assert made.returncode == 0, made.stderr
    ((name, sweep),) = wandb_server.sweeps.items()
    asked = dict(dataset_name="embedded", preset="debug", n_layer=1, max_steps=2, num_words=1)
    sweep["runs"] = [asked]
    program = tmp_path / "bin/cursive"
    program.parent.mkdir()
    program.write_text(
        f"#!{sys.executable}\nimport sys\nfrom cursivetransformer.cli import main\nsys.exit(main())\n"
    )
    program.chmod(0o755)
    path = f"{program.parent}:{wandb_client['PATH']}"
    env = {**wandb_client, "WANDB_AGENT_REPORT_INTERVAL": "1", "PATH": path}
    done = run([*wandb, "agent", "--count", "1", f"me/swept/{name}"], env, tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(wandb_server.runs) == 1, done.stdout + done.stderr
    ((entity, project, id),) = wandb_server.runs
    r = only_run(wandb_server)
    assert (entity, project) == ("me", "swept") and r["state"] == "finished"
    assert json.loads(r["config"])["n_layer"]["value"] == 1
    assert set(curve(r, "test_loss")) == {2} == set(curve(r, "character_error"))
    assert set(curve(r, "test_loss_per_word")) == {2}
    assert not curve(r, "test_loss_per_point")  # chain tokens are of lines
    assert (tmp_path / "runs/sweeps" / id / "last.safetensors").exists()
