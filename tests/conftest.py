"""What several tests need: where the shared handwriting lies, a small model, a way to run the command."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")
# Tests run beside each other, one a core: threads of their own would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")
torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
# What a shell starts in the background ignores Ctrl-C, what nohup starts ignores a closed connection, and so
# would all processes that the tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Whoever runs the tests may have a key; test_tracking.py brings its own server.
os.environ["WANDB_MODE"] = "disabled"
ROOT = Path(__file__).parent.parent
SHARED = ROOT.parent / "shared"
CURSIVE = [sys.executable, "-c", "import sys; from cursivetransformer.cli import main; sys.exit(main())"]


@pytest.fixture(scope="session")
def shared():
    "The folder of real handwriting and of what the original code answers."
    if not SHARED.is_dir():
        pytest.skip(
            "needs the handwriting and fixtures in shared/ beside the checkout, which the developers have"
        )
    return SHARED


@pytest.fixture(scope="session")
def tiny():
    "A small untrained model of our own kind."
    from cursivetransformer.config import preset
    from cursivetransformer.model.transformer import Transformer

    torch.manual_seed(0)
    sizes = dict(vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50)
    return Transformer(preset("debug", tokenizer="polar", **sizes)).eval()


@pytest.fixture(scope="session")
def default():
    "The bundled model."
    from cursivetransformer.model.checkpoint import load_checkpoint

    return load_checkpoint(device="cpu")


@pytest.fixture
def cursive(tmp_path):
    "Run `cursive ARGS` in a process of its own, in a folder of its own."

    def run(*args, stdin=None, env=None, timeout=120):
        return subprocess.run(
            [*CURSIVE, *map(str, args)],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=timeout,
            env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        )

    return run


CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium():
    "A headless Chromium, driven by Playwright. Each test opens a context of its own."
    sync_api = pytest.importorskip(
        "playwright.sync_api",
        reason="browser tests need Playwright: pip install -e '.[dev]' -c constraints.txt",
    )
    path = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if not path:
        pytest.skip("browser tests need Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def screens(chromium):
    "Makes pages to collect words on; see `collect_screen.Screen`."
    from collect_screen import open_screens

    with open_screens(chromium) as make:
        yield make


@pytest.fixture
def screen(screens):
    return screens()


@pytest.fixture
def wandb_server():
    "A W&B server on this machine; see `wandb_server.py`."
    from wandb_server import Server

    with Server() as server:
        yield server
        assert not server.errors and not server.unknown, (server.errors, server.unknown)


@pytest.fixture
def wandb_client(wandb_server, tmp_path):
    "The environment of a process that has a key for that server, and a home and caches of its own."
    from wandb_cases import environment

    return environment(wandb_server, tmp_path)
