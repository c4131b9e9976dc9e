"""W&B: the real client against a server on this machine that can be made to fail. `wandb` runs in processes
of its own, as it would for a user."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import CURSIVE
from wandb_server import KEY

HERE = Path(__file__).parent
MODEL = HERE.parent / "cursivetransformer/default.safetensors"
DONE = "the loop is done and made 0 calls\n"  # what a run without the training says when it has not waited
# A run of some seconds.
TRAIN = ["train", "--preset", "debug", "--dataset-name", "embedded", "--schedule", "step", "--num-words", "1"]
TRAIN += ["--print-every", "2", "--log-every", "4", "--max-steps", "8"]


def environment(server, folder):
    "That of a process that has a key for a server, and a home and caches of its own."
    (folder / "home").mkdir()
    env = {k: v for k, v in os.environ.items() if not k.startswith("WANDB_")}
    return {
        **env,
        "HOME": str(folder / "home"),
        "OMP_NUM_THREADS": "1",
        "WANDB_BASE_URL": server.url,
        "WANDB_API_KEY": KEY,
        "WANDB_INIT_TIMEOUT": "10",
        "WANDB_FINISH_TIMEOUT": "20",
        "WANDB_ERROR_REPORTING": "false",
        "CURSIVE_WANDB_DEADLINE": "20",
    }


def run(args, env, cwd, timeout=180):
    "A process, to its end."
    args = [str(a) for a in args]
    pipes = dict(stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return subprocess.run(args, env=env, cwd=cwd, timeout=timeout, **pipes)


def begin(args, env, cwd):
    "A process that can be talked to."
    pipe = subprocess.PIPE
    args = [str(a) for a in args]
    return subprocess.Popen(args, env=env, cwd=cwd, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def tracked(actions, mode="auto"):
    "The command of a run without the training; see `tracked_run.py`."
    return [sys.executable, HERE / "tracked_run.py", mode, *actions.split()]


def python(code, env, cwd):
    return run([sys.executable, "-c", code], env, cwd)


def cursive(*args, env, cwd):
    return run([*CURSIVE, *args], env, cwd)


def told(done):
    "What was said about W&B."
    return [line for line in done.stderr.splitlines() if line.startswith("W&B:")]


def sync(line, env, cwd):
    "Do what a line says that ends with `wandb sync ...`."
    return run([sys.executable, "-m", "wandb", *line.split("with: wandb ")[1].split()], env, cwd)


def only_run(server):
    (r,) = server.runs.values()
    return r


def curve(r, key):
    return {row["_step"]: row[key] for row in r["history"] if key in row}
