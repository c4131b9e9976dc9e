"""Models that are fetched from W&B by the real client: the right one, whole, or with a sentence that says why
not. Tests of the parts are in `tests/data/test_remote.py`."""

import base64
import hashlib
import json
import resource
import subprocess
import sys

import pytest
from wandb_cases import HERE


@pytest.fixture
def fetch(wandb_client, tmp_path):
    "Ask a process that stays for a run's newest model, once a call."
    processes = []

    def start(limit=None, **env):
        def limit_files():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

        process = subprocess.Popen(
            [sys.executable, str(HERE / "fetch_models.py")],
            env={**wandb_client, "CURSIVE_WANDB_DEADLINE": "2", **env},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit_files if limit else None,
        )
        processes.append(process)

        def ask(ref):
            process.stdin.write(f"{ref}\n")
            process.stdin.flush()
            return process.stdout.readline().strip()

        return ask

    yield start
    for process in processes:
        process.communicate()


def fetched(data):
    "What is said of a model that came."
    return f"model.safetensors {hashlib.md5(data).hexdigest()}"


def test_the_newest_model_of_the_run_is_fetched_alone_and_checked(wandb_server, fetch):
    server = wandb_server
    mine, other = (server.run("me", "p", name) for name in ("mine", "other"))
    data = [bytes([i]) * 2_000_000 for i in range(13)]
    for i in range(11):
        files = {"model.safetensors": data[i], "extra.bin": b"x"}
        aliases = ["best"] if i == 3 else []
        server.add_artifact(mine, "model-mine", "model", files, {"step": i}, aliases)
    server.add_artifact(other, "model-mine", "model", {"model.safetensors": data[11]})
    server.add_artifact(mine, "words", "dataset", {"words.json": b"[]"})
    ask = fetch()
    # v10 is newer than v9, and another run's v11 is not ours
    assert ask("wandb:me/p/mine") == fetched(data[10])
    assert ask("me/p/mine:best") == fetched(data[3]) and ask("me/p/mine:v5") == fetched(data[5])
    assert not [path for _, path, *_ in server.seen if "extra" in path or "words" in path]
    server.faults["corrupt"] = 1
    assert ask("me/p/mine:v6") == fetched(data[6])  # fetched again at once
    server.faults["corrupt"] = 2
    assert "damaged twice" in ask("me/p/mine:v7")
    assert ask("me/p/mine:v7") == fetched(data[7])  # although the cache holds the damaged one
    server.faults["cut"] = 9
    said = ask("me/p/mine:v8")
    assert said.startswith("RunError: ") and "v8" in said and said.endswith(".")
    server.faults.clear()
    assert ask("me/p/mine:v8") == fetched(data[8])


def test_a_server_that_does_not_answer_is_not_waited_for(wandb_server, fetch):
    server = wandb_server
    server.add_artifact(server.run("me", "p", "mine"), "model-mine", "model", {"model.safetensors": b"ink"})
    ask = fetch()
    server.faults["hang"] = 1
    assert "no answer within 2 seconds" in ask("me/p/mine")
    assert (
        not server.faults["hang"] and not server.released.is_set()
    )  # it was asked, and still does not answer
    server.released.set()
    assert ask("me/p/mine") == fetched(b"ink")


def test_every_failure_is_a_sentence(wandb_server, fetch):
    server = wandb_server
    _, wrong, odd = (server.run("me", "p", name) for name in ("bare", "wrong", "odd"))
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


def test_a_full_disk_is_named(wandb_server, fetch):
    mine = wandb_server.run("me", "p", "mine")
    wandb_server.add_artifact(mine, "model-mine", "model", {"model.safetensors": bytes(3_000_000)})
    said = fetch(limit=1_000_000)("me/p/mine")  # a write beyond this fails as on a full disk
    assert "no room for model.safetensors" in said and "make room" in said


def test_files_that_are_checked_with_xxhash(wandb_server, fetch):
    reason = "this wandb brings no xxhash, and no artifact of its making needs it"
    xxhash = pytest.importorskip("xxhash", reason=reason)
    server, ink = wandb_server, b"ink" * 1000
    artifact = server.add_artifact(
        server.run("me", "p", "mine"), "model-mine", "model", {"model.safetensors": ink}
    )
    digest = xxhash.xxh128(ink).digest()
    entry = dict(digest=base64.b64encode(digest).decode(), extra={"alg": "XXH128"})
    manifest = json.loads(server.files[artifact["manifest"]])
    manifest["contents"]["model.safetensors"].update(entry)
    server.files[artifact["manifest"]] = json.dumps(manifest).encode()
    server.files[f"me/{digest.hex()}"] = ink
    assert fetch()("me/p/mine") == fetched(ink)
    server.files[f"me/{digest.hex()}"] = b"inc" * 1000
    assert "damaged twice" in fetch(WANDB_CACHE_DIR="fresh")("me/p/mine")
