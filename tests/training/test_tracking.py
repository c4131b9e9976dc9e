"""W&B: the real client against a server on this machine that can be made to fail. `wandb` runs in processes of its own, as it would for a user."""

import base64
import hashlib
import itertools
import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from conftest import CURSIVE, ROOT
from wandb_server import KEY, Server

from cursivetransformer.config import ALPHABET, Config, preset
from cursivetransformer.flags import config_parser, parse_config
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.training.runs import read_metrics, set_sizes
from cursivetransformer.training.tracking import read_header
from cursivetransformer.training.train import train

MODEL = ROOT / "cursivetransformer/default.safetensors"
TRAIN = [
    "train",
    "--preset",
    "debug",
    "--dataset_name",
    "embedded",
    "--schedule",
    "step",
    "--print_every",
    "2",
    "--log_every",
    "4",
    "--max_steps",
    "8",
    "--num_words",
    "1",
]

# A run without the training: what the loop would call, in the order in which it would call it. Lines on standard input say when to go on.
DRIVER = """
import shutil, sys, time
from pathlib import Path
import numpy as np
from types import SimpleNamespace
from cursivetransformer.config import preset, write_atomic
from cursivetransformer.training.tracking import Tracker
folder, model, actions = Path("run"), sys.argv[1], sys.argv[2].split()
c = preset("debug", run_dir="run", max_steps=100, log_every=10, wandb_mode=sys.argv[3], wandb_watch="watch" in actions)
rows = [dict(step=s, train_loss=10 - s/10) for s in range(5, int(actions.pop(0)), 5)]
start, longest = time.perf_counter(), 0
with Tracker(c, folder, rows) as t:
    for a in actions:
        if a == "wait": print("waiting", flush=True); sys.stdin.readline()
        if not a.isdigit(): continue
        before, step = time.perf_counter(), int(a)
        t.log(dict(step=step, train_loss=10 - step/10))
        if step % 10 == 0:
            t.log(dict(step=step, test_loss=9 - step/10))
            for name in "last.safetensors", "best.safetensors": shutil.copy(model, folder/name)
            for name in "state.pt", "metrics.jsonl", "config.json": write_atomic(folder/name, f"{name} at {step}")
            t.checkpoint(best=True)
            picture = folder/"samples"/f"step_{step:06d}_test_topk_1.png"
            picture.parent.mkdir(exist_ok=True)
            import matplotlib.image
            matplotlib.image.imsave(picture, np.full((8, 8, 3), step/255))
            layer = SimpleNamespace(grad=SimpleNamespace(detach=lambda: SimpleNamespace(float=lambda: SimpleNamespace(cpu=lambda: SimpleNamespace(numpy=lambda: np.arange(6.0))))))
            t.log_samples(step, [picture], SimpleNamespace(named_parameters=lambda: [("w", layer)]))
        longest = max(longest, time.perf_counter() - before)
print(f"longest {longest:.2f}")
"""

# Fetches what each line of standard input names, and says what came of it.
FETCHER = """
import hashlib, sys
from cursivetransformer.config import CursiveError
from cursivetransformer.data.remote import fetched_model, parse_reference
for line in sys.stdin:
    try:
        with fetched_model(parse_reference(line.strip())) as (path, config): print(path.name, hashlib.md5(path.read_bytes()).hexdigest(), flush=True)
    except CursiveError as e: print(f"{type(e).__name__}: {e}", flush=True)
"""


@pytest.fixture
def server():
    with Server() as s:
        yield s
        assert not s.errors and not s.unknown, (s.errors, s.unknown)


@pytest.fixture
def client(server, tmp_path):
    "The environment of a process that has a key for the server, and a home and caches of its own."
    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    env.update(
        HOME=str(tmp_path / "home"),
        OMP_NUM_THREADS="1",
        WANDB_BASE_URL=server.url,
        WANDB_API_KEY=KEY,
        WANDB_INIT_TIMEOUT="10",
        WANDB_FINISH_TIMEOUT="20",
        WANDB_ERROR_REPORTING="false",
        CURSIVE_WANDB_DEADLINE="20",
    )
    (tmp_path / "home").mkdir()
    return env


def run(args, env, cwd, stdin="", timeout=120, **more):
    return subprocess.run(
        [str(a) for a in args],
        env=env,
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        **more,
    )


def drive(actions, env, cwd, mode="auto", **more):
    return run([sys.executable, "-c", DRIVER, MODEL, actions, mode], env, cwd, **more)


def sync(line, env, cwd):
    return run(
        [sys.executable, "-m", "wandb", *line.split("with: wandb ")[1].split()], env, cwd
    )  # what the line says


def told(done):
    return [line for line in done.stderr.splitlines() if line.startswith("W&B:")]


def only_run(server):
    (r,) = server.runs.values()
    return r


def curve(r, key):
    return {row["_step"]: row[key] for row in r["history"] if key in row}


def test_a_run_arrives(server, client, tmp_path):
    done = drive("0 5 10 15 20 watch", {**client, "WANDB_RUN_ID": "abc123"}, tmp_path)
    assert done.returncode == 0, done.stderr
    r = only_run(server)
    assert told(done) == [f"W&B: {server.url}/me/cursivetransformer/runs/abc123"] and not [
        line for line in done.stderr.splitlines() if line.startswith("wandb:")
    ]
    assert (
        curve(r, "train_loss") == {5: 9.5, 10: 9.0, 15: 8.5, 20: 8.0}
        and curve(r, "test_loss") == {10: 8.0, 20: 7.0}
        and r["state"] == "finished"
    )
    assert all(row["_step"] == row["step"] for row in r["history"]) and [
        row["_step"] for row in r["history"]
    ] == [5, 10, 15, 20]
    assert set(curve(r, "samples/test_topk_1")) == {10, 20} == set(curve(r, "gradients/w"))
    pictures = [name for name in server.files if "test_topk_1" in name]
    assert len(pictures) == 2 and all(server.files[p].startswith(b"\x89PNG") for p in pictures)
    config = json.loads(r["config"])
    assert config["n_layer"]["value"] == 2 and set(config) - {"_wandb"} == set(
        Config.__dataclass_fields__
    ) - {"wandb_api_key", "resume"}
    models, states = ([a for a in server.artifacts if a["type"] == kind] for kind in ("model", "state"))
    assert [set(a["aliases"]) for a in models] == [set(), {"latest", "best", "last"}] and [
        set(a["aliases"]) for a in states
    ] == [set(), {"latest", "last"}]
    assert list(models[1]["entries"]) == ["model.safetensors"] and set(states[1]["entries"]) == {
        "config.json",
        "metrics.jsonl",
        "state.pt",
    }
    metadata = json.loads(models[1]["metadata"])
    assert (
        metadata["tokenizer"]["name"] == "polar"
        and metadata["config"]["n_layer"] == 4
        and metadata["step"] > 0
        and metadata["loss"] > 0
    )
    assert (
        server.content(states[0], "state.pt") == b"state.pt at 10"
        and server.content(models[1], "model.safetensors") == MODEL.read_bytes()
    )
    assert not list((tmp_path / "run/wandb").glob("checkpoints/*"))  # what has arrived is kept once


def test_no_key_means_offline_and_no_question(server, client, tmp_path):
    del client["WANDB_API_KEY"]
    done = drive("0 5 10 15 20 25", client, tmp_path)
    assert done.returncode == 0 and not server.seen, done.stderr
    (line,) = told(done)
    (folder,) = (tmp_path / "run/wandb").glob("offline-run-*")
    assert "no key found" in line and line.endswith(f"wandb sync run/wandb/{folder.name}")
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "wandb:" in line]
    synced = sync(line, {**client, "WANDB_API_KEY": KEY}, tmp_path)
    assert synced.returncode == 0, synced.stderr
    r = only_run(server)
    assert curve(r, "train_loss") == {s: 10 - s / 10 for s in (5, 10, 15, 20, 25)} and set(
        curve(r, "samples/test_topk_1")
    ) == {10, 20}
    assert {a["type"]: set(a["aliases"]) for a in server.artifacts} == {
        "model": {"latest", "best", "last"},
        "state": {"latest", "last"},
    }
    assert (
        server.content(next(a for a in server.artifacts if a["type"] == "model"), "model.safetensors")
        == MODEL.read_bytes()
    )


@pytest.mark.parametrize("where", ["netrc", "environment mode", "asked for, nobody there"])
def test_keys_and_modes(server, client, tmp_path, where):
    del client["WANDB_API_KEY"]
    if where == "netrc":
        (tmp_path / "home/.netrc").write_text(f"machine {server.url[7:]} login user password {KEY}\n")
        (tmp_path / "home/.netrc").chmod(0o600)
    done = drive(
        "0 5",
        {**client, **({"WANDB_MODE": "disabled"} if where.startswith("env") else {})},
        tmp_path,
        mode="online" if where.startswith("asked") else "auto",
    )
    assert done.returncode == 0 and bool(server.runs) == (where == "netrc"), done.stderr
    assert len(told(done)) == (where != "environment mode") and (tmp_path / "run").exists() == (
        where != "environment mode"
    )


def test_a_human_at_a_terminal_who_asked_for_online_is_asked(server, client, tmp_path):
    del client["WANDB_API_KEY"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER, MODEL, "0 5", "online"],
        env={**client, "TERM": "xterm"},
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said, typed, end = "", 0, time.time() + 60
    while process.poll() is None and time.time() < end:
        if not select.select([ours], [], [], 0.2)[0]:
            continue
        try:
            said += os.read(ours, 10000).decode(errors="replace")
        except OSError:
            break
        wanted = [("Enter your choice", b"2\n"), ("Paste", KEY.encode() + b"\n")]
        while typed < 2 and wanted[typed][0] in said:
            os.write(ours, wanted[typed][1])
            typed += 1
    assert process.wait(20) == 0 and typed == 2, said
    assert f"{server.url}/me/cursivetransformer/runs/" in said and curve(only_run(server), "train_loss") == {
        5: 9.5
    }
    os.close(ours)


def test_a_run_that_goes_on_sends_what_is_missing_and_nothing_twice(server, client, tmp_path):
    drive("0 5 10", client, tmp_path)
    first = only_run(server)["history"].copy()
    done = drive("20 10 15 20", client, tmp_path)  # 15 happened while W&B was away; 10 is done again
    r = only_run(server)
    assert done.returncode == 0 and len(server.runs) == 1 and r["history"][:2] == first
    assert [row["_step"] for row in r["history"]] == [5, 10, 15, 20] and curve(r, "train_loss")[15] == 8.5


def test_unreachable_at_the_start(server, client, tmp_path):
    server.faults["down"] = True
    done = drive("0 5 10", {**client, "WANDB_INIT_TIMEOUT": "1"}, tmp_path)
    (line,) = told(done)
    assert (
        done.returncode == 0
        and "the run goes on" in line
        and "everything is kept in run" in line
        and float(done.stdout.split()[-1]) < 2
    ), done.stderr
    server.faults.clear()
    assert sync(line, client, tmp_path).returncode == 0
    assert curve(only_run(server), "train_loss") == {5: 9.5, 10: 9.0} and len(server.artifacts) == 2


def test_unreachable_in_the_middle(server, client, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, MODEL, "0 5 wait 10 15 20", "auto"],
        env={**client, "WANDB_FINISH_TIMEOUT": "3"},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "waiting\n"
        server.faults["down"] = True
        out, err = process.communicate("\n", timeout=60)
    (line,) = [line for line in err.splitlines() if "goes on" in line]
    assert process.returncode == 0 and float(out.split()[-1]) < 2, err  # no step waited for the network
    server.faults.clear()
    synced = sync(line, client, tmp_path)
    assert synced.returncode == 0, synced.stderr
    assert curve(only_run(server), "train_loss") == {s: 10 - s / 10 for s in (5, 10, 15, 20)}


def test_the_client_may_die(server, client, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, MODEL, "0 5 wait 10 15 20", "auto"],
        env={**client, "WANDB_FINISH_TIMEOUT": "3"},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "waiting\n"
        children = [
            int(p.parent.name)
            for p in Path("/proc").glob("[0-9]*/stat")
            if p.read_text().rsplit(")", 1)[1].split()[1] == str(process.pid)
        ]
        for pid in children:
            os.kill(pid, signal.SIGKILL)
        out, err = process.communicate("\n", timeout=60)
    assert children and process.returncode == 0 and float(out.split()[-1]) < 2, err
    assert len([line for line in err.splitlines() if "goes on" in line]) == 1


@pytest.mark.parametrize("fault", ["unknown_key", "forbidden"])
def test_a_key_that_is_refused(server, client, tmp_path, fault):
    server.faults[fault] = True
    done = drive("0 5", {**client, "WANDB_INIT_TIMEOUT": "2"}, tmp_path)
    (line,) = told(done)
    assert (
        done.returncode == 0
        and "the run goes on" in line
        and list((tmp_path / "run/wandb").glob("offline-run-*"))
    ), done.stderr


def test_a_disk_without_room_for_the_copy(server, client, tmp_path):
    (tmp_path / "run/wandb").mkdir(parents=True)
    (tmp_path / "run/wandb/checkpoints").write_text("in the way")
    done = drive("0 5 10", client, tmp_path)
    assert done.returncode == 0 and ["goes on" in line for line in told(done)] == [False, True], done.stderr
    assert curve(only_run(server), "test_loss") == {10: 8.0}


@pytest.fixture
def fetch(server, client, tmp_path):
    "Ask a process that stays for a run's newest model, once a call."
    processes = []

    def start(**env):
        limit = env.pop("limit", None)
        p = subprocess.Popen(
            [sys.executable, "-c", FETCHER],
            env={**client, "CURSIVE_WANDB_DEADLINE": "2", **env},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
        )
        processes.append(p)

        def ask(ref):
            p.stdin.write(f"{ref}\n")
            p.stdin.flush()
            return p.stdout.readline().strip()

        return ask

    yield start
    for p in processes:
        p.communicate()


def test_the_newest_model_of_the_run_is_fetched_alone_and_checked(server, fetch):
    mine, other = server.run("me", "p", "mine"), server.run("me", "p", "other")
    data = [bytes([i]) * 2_000_000 for i in range(13)]
    md5 = lambda d: f"model.safetensors {hashlib.md5(d).hexdigest()}"
    for i in range(11):
        server.add_artifact(
            mine,
            "model-mine",
            "model",
            {"model.safetensors": data[i], "extra.bin": b"x"},
            {"step": i},
            ["best"] if i == 3 else [],
        )
    server.add_artifact(other, "model-mine", "model", {"model.safetensors": data[11]})
    server.add_artifact(mine, "words", "dataset", {"words.json": b"[]"})
    ask = fetch()
    assert ask("wandb:me/p/mine") == md5(data[10])  # v10 is newer than v9, and another run's v11 is not ours
    assert ask("me/p/mine:best") == md5(data[3]) and ask("me/p/mine:v5") == md5(data[5])
    assert not [path for _, path, *_ in server.seen if "extra" in path or "words" in path]
    server.faults["corrupt"] = 1
    assert ask("me/p/mine:v6") == md5(data[6])  # fetched again at once
    server.faults["corrupt"] = 2
    assert "damaged twice" in ask("me/p/mine:v7")
    assert ask("me/p/mine:v7") == md5(data[7])  # although the cache holds the damaged one
    server.faults["cut"] = 9
    assert (said := ask("me/p/mine:v8")).startswith("RunError: ") and "v8" in said and said.endswith(".")
    server.faults.clear()
    assert ask("me/p/mine:v8") == md5(data[8])
    server.faults.update(hang=1, seconds=8)
    start = time.time()
    assert "no answer within 2 seconds" in ask("me/p/mine:v9") and time.time() - start < 4
    server.faults.clear()
    assert ask("me/p/mine:v9") == md5(data[9])


def test_every_failure_is_a_sentence(server, fetch):
    bare, wrong, odd = (server.run("me", "p", name) for name in ("bare", "wrong", "odd"))
    server.add_artifact(wrong, "words", "dataset", {"words.json": b"[]"})
    server.add_artifact(odd, "model-odd", "model", {"readme.txt": b"hello"})
    ask = fetch()
    for ref, says in {
        "me/p/none": "There is no run me/p/none",
        "me/p/bare": "has logged no model",
        "me/p/wrong": "only artifacts of type dataset",
        "me/p/odd": "none of it is a .safetensors or .pt",
        "me/p/odd:v3": "no model 'v3'",
        "7coqq2c4": "write wandb:ENTITY/PROJECT/RUN",
    }.items():
        said = ask(ref)
        assert said.startswith("RunError: ") and says in said and said.endswith("."), said
    server.faults["forbidden"] = True
    assert "ask its owner" in ask("me/p/odd")
    server.faults = {"unknown_key": True}
    assert "does not take the key" in ask("me/p/odd")
    server.faults = {"down": True}
    assert "try again when the network is back" in ask("me/p/odd")
    server.faults.clear()
    assert "Loading from W&B needs a key" in fetch(WANDB_API_KEY="")("me/p/odd")


def test_a_full_disk_is_named(server, fetch):
    server.add_artifact(
        server.run("me", "p", "mine"), "model-mine", "model", {"model.safetensors": bytes(3_000_000)}
    )
    said = fetch(limit=1_000_000)("me/p/mine")  # a write beyond this fails as on a full disk
    assert "no room for model.safetensors" in said and "make room" in said


def cursive(*args, env, cwd, timeout=120):
    return run([*CURSIVE, *args], env, cwd, timeout=timeout)


def rows(folder):
    return {r["step"]: r["train_loss"] for r in read_metrics(folder) if "train_loss" in r}


def test_a_killed_run_goes_on_on_another_machine(server, client, tmp_path):
    train(parse_config(config_parser(), [*TRAIN[1:], "--run_dir", str(tmp_path / "whole")]))
    assert not (tmp_path / "whole/wandb").exists()  # the tests' own WANDB_MODE
    del client["WANDB_API_KEY"]
    process = subprocess.Popen(
        [
            *CURSIVE,
            *TRAIN,
            "--run_dir",
            "lost",
            "--max_steps",
            "5000",
            "--wandb_api_key",
            KEY,
            "--wandb_run_name",
            "lost",
        ],
        env=client,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    end = time.time() + 60
    while time.time() < end and not any(
        a["type"] == "state" and a["state"] == "COMMITTED" for a in list(server.artifacts)
    ):
        time.sleep(0.05)
    process.kill()
    process.communicate()
    r, state = only_run(server), next(a for a in server.artifacts if a["type"] == "state")
    assert state["metadata"].startswith('{"step":4,') and not list(tmp_path.rglob("wandb/**/*")) == []
    assert not [1 for _, path, body, _ in server.seen if KEY.encode() in body], "the key is in what was sent"
    assert not [
        p for p in (tmp_path / "lost").rglob("*") if p.is_file() and KEY.encode() in p.read_bytes()
    ], "the key is in the run's folder"

    client["WANDB_API_KEY"] = KEY
    other = cursive(
        "train",
        "--load_from_run_id",
        r["name"],
        "--run_dir",
        "found",
        "--max_steps",
        "8",
        env=client,
        cwd=tmp_path,
    )
    assert other.returncode == 0 and f"state-{r['name']}:v" in other.stderr, other.stderr
    assert rows(tmp_path / "found") == rows(tmp_path / "whole")  # the same losses as if nothing had happened
    assert len(server.runs) == 1 and {s: curve(r, "train_loss")[s] for s in rows(tmp_path / "whole")} == rows(
        tmp_path / "whole"
    )
    steps = [row["_step"] for row in r["history"]]
    assert steps == sorted(set(steps)) and r["state"] == "finished"

    code = f"""
from pathlib import Path
from cursivetransformer import get_all_args, get_checkpoint
from cursivetransformer.config import CursiveError
from cursivetransformer.training.runs import bring_run
args = get_all_args(use_argparse=False)
args.load_from_run_id, args.run_dir = "{r["name"]}", "third"
model, optimizer, scheduler, step, best_loss = get_checkpoint(args)
print(step, best_loss, args.n_layer, len(optimizer.optimizers[0].state) > 0, scheduler.at)
state = Path("third/state.pt").read_bytes()
Path("third/state.pt").write_bytes(b"mine")
print(bring_run(args, 8), bring_run(args, 9), Path("third/state.pt").read_bytes() == b"mine", flush=True)
print(bring_run(args, 7), Path("third/state.pt").read_bytes() == state, flush=True)
input()
print(bring_run(args, 7), flush=True)
args.run_dir = "found"
args.load_from_run_id = "another"
try: bring_run(args, 8)
except CursiveError as e: print(e)
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env={**client, "CURSIVE_WANDB_DEADLINE": "3"},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said = [process.stdout.readline() for _ in range(3)]
        server.faults["down"] = True
        out, err = process.communicate("\n", timeout=60)
    best = [r["test_loss"] for r in read_metrics(tmp_path / "found") if "test_loss" in r][-1]
    assert said == [f"8 {best} 2 True 8\n", "True True True\n", "True True\n"], err
    assert (
        "local state at step 9 is newer than the one in W&B at step 8; going on from the local one" in err
        and "newer than the local state at step 7" in err
    )
    assert (
        "Going on from the local state at step 7" in err
        and "found already holds another run than another" in out
    )
    assert read_header(tmp_path / "third/best.safetensors") == read_header(
        tmp_path / "found/best.safetensors"
    )


@pytest.fixture
def published(server, tmp_path):
    "A run as the original project leaves it: one pickle, and a config with names of its own."
    torch.manual_seed(0)
    old = Transformer(
        preset(
            "paper",
            n_layer=2,
            n_ctx_head=2,
            vocab_size=525,
            block_size=256,
            context_vocab_size=72,
            context_block_size=50,
            max_seq_length=256,
        )
    )
    torch.save({"model_state_dict": old.state_dict(), "step": 7, "best_loss": 2.5}, tmp_path / "original.pt")
    r = server.run("sam-greydanus", "bigbank_2k", "7coqq2c4")
    r["config"] = json.dumps(
        {
            k: {"value": v}
            for k, v in {
                "n_ctx_head": 2,
                "n_embd2": 64,
                "ablate_cross_attention": False,
                "num_words": 3,
                "downsample_mean": 0.7,
                "alphabet": ALPHABET,
                "device": "cuda",
            }.items()
        }
    )
    for i in range(2):
        server.add_artifact(
            r,
            "best_checkpoint",
            "model",
            {"best_checkpoint.pt": (tmp_path / "original.pt").read_bytes() if i else b"older"},
        )
    return old


def test_the_originals_run_writes_and_can_be_tuned(server, client, published, tmp_path):
    wrote = cursive(
        "write",
        "So",
        "--checkpoint",
        "wandb:sam-greydanus/bigbank_2k/7coqq2c4",
        "-o",
        "so.svg",
        env=client,
        cwd=tmp_path,
    )
    assert (
        wrote.returncode == 0
        and "best_checkpoint.pt of best_checkpoint:v1" in wrote.stderr
        and (tmp_path / "so.svg").stat().st_size > 500
    ), wrote.stderr
    code = """
from cursivetransformer import get_all_args, get_checkpoint
args = get_all_args(use_argparse=False)
args.wandb_entity, args.wandb_project, args.load_from_run_id = "sam-greydanus", "bigbank_2k", "7coqq2c4"
model, optimizer, scheduler, step, best_loss = get_checkpoint(args, sample_only=True)
c = model.config
print(step, best_loss, optimizer, c.n_ctx_head, c.num_words, c.downsample_mean, c.tokenizer, c.positions, float(model.lm_head.weight.detach().sum()))
model, optimizer, scheduler, step, best_loss = get_checkpoint(args)
print(step, best_loss, optimizer is None, args.n_ctx_head)
"""
    done = run([sys.executable, "-c", code], client, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"7 2.5 None 2 3 0.7 polar learned {float(published.lm_head.weight.detach().sum())}",
        "7 2.5 False 2",
    ]


def test_the_originals_run_in_the_writing_panel(server, client, published, tmp_path):
    code = """
from cursivetransformer import WritingApp
app = WritingApp("So", clickable=False)
for run in "7coqq2c4", "nobody":
    app.controls["checkpoint"].value = f"wandb:sam-greydanus/bigbank_2k/{run}"
    for button in "load", "write":
        app.controls[button].click()
        assert app.wait()
        print(app.desk.message)
print(app.desk.model.config.n_layer, [w.text for w in app.desk.page])
"""
    done = run([sys.executable, "-c", code], client, tmp_path)
    loaded, wrote, missing, again, last = done.stdout.splitlines()
    assert (
        loaded.startswith("Writing with wandb:sam-greydanus/bigbank_2k/7coqq2c4:")
        and "2 layers" in loaded
        and wrote.startswith("1 word.")
        and again.startswith("1 word.")
    ), done.stdout + done.stderr
    assert missing.startswith("There is no run sam-greydanus/bigbank_2k/nobody") and last == "2 ['So']"


def test_a_stop_sends_the_checkpoint(server, client, tmp_path):
    process = subprocess.Popen(
        [*CURSIVE, *TRAIN, "--run_dir", "run", "--max_steps", "5000", "--log_every", "5000"],
        env=client,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.time() + 60
    while time.time() < end and process.poll() is None and max(rows(tmp_path / "run"), default=0) < 4:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends Ctrl-C to the client's processes too
    _, said = process.communicate(timeout=60)
    assert (
        process.returncode == 130
        and "everything is saved" in said
        and len([line for line in said.splitlines() if "W&B:" in line]) == 1
    ), said
    model, state = server.artifacts
    at = torch.load(tmp_path / "run/state.pt", weights_only=True)["step"]
    assert (
        json.loads(model["metadata"])["step"] == at >= 4
        and model["state"] == state["state"] == "COMMITTED"
        and set(model["aliases"]) == {"latest", "last"}
    )
    assert curve(only_run(server), "train_loss") == rows(tmp_path / "run")


SWEEPS = sorted((ROOT / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda p: p.stem)
def test_sweeps_ask_for_what_there_is(path):
    import yaml

    sweep = yaml.safe_load(path.read_text())
    assert (
        sweep["method"] == "grid"
        and sweep["command"][:3] == ["${env}", "sh", "-c"]
        and sweep["command"][-1] == "${args}"
    )
    assert sweep.get("metric", {}).get("name") in (None, "test_loss", "test_loss_per_point")
    choices = [
        [(k, v) for v in spec.get("values", [spec.get("value")])] for k, spec in sweep["parameters"].items()
    ]
    assert sum(len(c) > 1 for c in choices) == 2
    for combination in itertools.product(*choices):
        c = parse_config(
            config_parser(), [f"--{k}={v}" for k, v in combination]
        )  # as W&B's agent writes them
        Transformer(set_sizes(c))
        assert all(getattr(c, k) == v for k, v in combination)


def test_the_questions_have_sweeps():
    assert {p.stem for p in SWEEPS} >= {"batch_size", "downsampling", "tokenizer", "layers"}


def test_an_agent_runs_a_sweep(server, client, tmp_path):
    made = run(
        [sys.executable, "-m", "wandb", "sweep", "--project", "swept", ROOT / "sweeps/layers.yaml"],
        client,
        tmp_path,
    )
    assert made.returncode == 0, made.stderr
    ((name, sweep),) = server.sweeps.items()
    sweep["runs"] = [
        {"dataset_name": "embedded", "preset": "debug", "n_layer": 1, "max_steps": 2, "num_words": 1}
    ]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/cursive").write_text(
        f"#!{sys.executable}\nimport sys\nfrom cursivetransformer.cli import main\nsys.exit(main())\n"
    )
    (tmp_path / "bin/cursive").chmod(0o755)
    done = run(
        [sys.executable, "-m", "wandb", "agent", "--count", "1", f"me/swept/{name}"],
        {**client, "WANDB_AGENT_REPORT_INTERVAL": "1", "PATH": f"{tmp_path}/bin:{client['PATH']}"},
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert len(server.runs) == 1, done.stdout + done.stderr
    ((entity, project, id),) = server.runs
    r = only_run(server)
    assert (
        (entity, project) == ("me", "swept")
        and r["state"] == "finished"
        and json.loads(r["config"])["n_layer"]["value"] == 1
    )
    assert (
        set(curve(r, "test_loss_per_point")) == {2} == set(curve(r, "character_error"))
        and (tmp_path / "runs/sweeps" / id / "last.safetensors").exists()
    )


def test_files_that_are_checked_with_xxhash(server, fetch):
    xxhash = pytest.importorskip(
        "xxhash", reason="this wandb brings no xxhash, and no artifact of its making needs it"
    )
    a = server.add_artifact(
        server.run("me", "p", "mine"), "model-mine", "model", {"model.safetensors": b"ink" * 1000}
    )
    manifest, digest = json.loads(server.files[a["manifest"]]), xxhash.xxh128(b"ink" * 1000).digest()
    manifest["contents"]["model.safetensors"].update(
        digest=base64.b64encode(digest).decode(), extra={"alg": "XXH128"}
    )
    server.files[a["manifest"]] = json.dumps(manifest).encode()
    server.files[f"me/{digest.hex()}"] = b"ink" * 1000
    ask = fetch()
    assert ask("me/p/mine") == f"model.safetensors {hashlib.md5(b'ink' * 1000).hexdigest()}"
    server.files[f"me/{digest.hex()}"] = b"inc" * 1000
    assert "damaged twice" in fetch(WANDB_CACHE_DIR="fresh")("me/p/mine")


def test_curves_of_a_project(server, client, tmp_path):
    for name, batch_size in ("a", 4), ("b", 8):
        r = server.run("me", "p", name)
        r["config"] = json.dumps({"batch_size": {"value": batch_size}})
        r["history"] = [
            {
                "_step": s,
                "step": s,
                **({"test_loss": 5 - s * batch_size / 100} if s % 10 == 0 else {"train_loss": 1.0}),
            }
            for s in range(5, 55, 5)
        ]
    server.run("me", "p", "without")
    code = """
from cursivetransformer.training.runs import fetch_curves, plot_curves
curves = fetch_curves("me/p")
for c in curves: print(c.name, c.config["batch_size"], c.steps, c.values)
print([t.get_text() for t in plot_curves(curves, ("batch_size",))[1].get_legend().get_texts()])
fetch_curves("me/nothing")
"""
    done = run([sys.executable, "-c", code], client, tmp_path)
    assert done.stdout.splitlines() == [
        f"{n} {b} [10, 20, 30, 40, 50] {[5 - s * b / 100 for s in range(10, 60, 10)]}"
        for n, b in (("a", 4), ("b", 8))
    ] + ["['batch_size 8: 1.000', 'batch_size 4: 3.000']"], done.stderr
    assert "RunError: There is no" in done.stderr


def test_the_client_is_imported_only_when_it_is_used(client, tmp_path):
    code = """
import sys
from cursivetransformer.cli import main
main(["write", "a", "-o", "a.svg"])
main(["train", "--preset", "debug", "--dataset_name", "embedded", "--num_words", "1", "--max_steps", "1", "--wandb_mode", "disabled"])
print("wandb" in sys.modules)
"""
    done = run([sys.executable, "-c", code], client, tmp_path)
    assert done.stdout.splitlines()[-1] == "False", done.stderr
