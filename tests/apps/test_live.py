"""A run in a notebook's output: one output, in the run's own thread, not too often, right at the end, and it
says how to go on."""

import base64
import dataclasses
import json
import os
import re
import signal
import threading
import time

import pytest

from cursivetransformer.apps import live
from cursivetransformer.apps.live import Live, describe_progress, title_of, train_live
from cursivetransformer.config import CursiveError, preset
from cursivetransformer.training.train import train


@pytest.fixture
def shown(monkeypatch):
    "What is displayed, in order: (whether it is a new output, its text, its HTML)."
    import IPython.display

    seen = []

    class Handle:
        def update(self, bundle, raw):
            seen.append((False, bundle["text/plain"], bundle["text/html"]))

    def display(bundle, raw, display_id):
        seen.append((True, bundle["text/plain"], bundle["text/html"]))
        return Handle()

    monkeypatch.setattr(IPython.display, "display", display)
    return seen


def config(tmp_path, **more):
    usual = dict(num_words=1, max_steps=6, print_every=2, log_every=4, run_dir=str(tmp_path / "run"))
    return preset("debug", dataset_name="embedded", **{**usual, **more})


def png(html):
    return base64.b64decode(re.search(r"base64,([^\"]+)\"", html)[1])


def test_a_run_is_shown_in_one_output_from_its_start_to_its_end(tmp_path, shown, capsys):
    run = train_live(config(tmp_path), every=0)
    assert run.finished and len(shown) > 2
    assert [new for new, _, _ in shown] == [True] + [False] * (len(shown) - 1)
    assert shown[0][1].startswith("Step 0 of 6") and "img" not in shown[0][2]
    assert shown[-1][1].startswith("Step 6 of 6 · test loss ") and shown[-1][1].endswith("%. Done.")
    assert png(shown[-1][2]).startswith(b"\x89PNG")
    assert "%|" not in capsys.readouterr().err  # no bar beside it


def test_who_watches_is_called_in_the_runs_own_thread_with_all_that_is_new(tmp_path):
    calls = []

    def watch(metrics, pictures):
        calls.append((threading.current_thread(), len(metrics), [p.name for p in pictures]))

    run = train(config(tmp_path), watch)
    assert {thread for thread, _, _ in calls} == {threading.main_thread()}
    assert [n for _, n, _ in calls] == sorted(n for _, n, _ in calls) and calls[-1][1] == len(run.metrics)
    pictures = calls[-1][2]
    assert calls[0][2] == [] and len(pictures) == 4
    assert all(name.startswith("step_000006_") for name in pictures)


def test_watching_changes_nothing(tmp_path):
    watched = train(config(tmp_path, run_dir=str(tmp_path / "a")), lambda *_: None)
    alone = train(config(tmp_path, run_dir=str(tmp_path / "b")))
    losses = [[r["train_loss"] for r in run.metrics if "train_loss" in r] for run in (watched, alone)]
    assert losses[0] == losses[1]


def test_pictures_are_not_drawn_too_often(shown, monkeypatch):
    now = [100.0]

    class Slow:
        "A picture that takes half a second to draw."

        def savefig(self, file, **_):
            now[0] += 0.5

    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(live, "draw_progress", lambda *_: Slow())
    watch = Live(preset("debug"), every=2.0)
    for _ in range(300):
        now[0] += 0.1
        watch([dict(step=1, train_loss=1.0)], [])
    assert len(shown) == pytest.approx(30 / 5 + 1, abs=1)  # half a second of five: a tenth of the time


def test_the_stop_button_saves_and_says_how_to_go_on(tmp_path, shown):
    c = config(tmp_path, max_steps=3000, log_every=1000)

    def press():
        while not (tmp_path / "run/metrics.jsonl").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press).start()
    run = train_live(c)
    assert not run.finished and (tmp_path / "run/state.pt").exists()
    text = shown[-1][1]
    assert f"Stopped; everything is saved in {run.folder}. Go on with: " in text
    c = dataclasses.replace(c, max_steps=run.metrics[-1]["step"] + 2)
    names = {"train_live": train_live, "dataclasses": dataclasses, "config": c}
    more = eval(text.split("Go on with: ")[1], names)
    assert more.finished and more.metrics[: len(run.metrics)] == run.metrics
    assert shown[-1][1].endswith("Done.")


def test_running_the_cell_again_says_what_to_do(tmp_path, shown):
    c = config(tmp_path)
    train_live(c)
    shown.clear()
    before = (tmp_path / "run/state.pt").read_bytes()
    with pytest.raises(CursiveError, match="already holds a run. Go on with it: (.*). Or begin another") as e:
        train_live(c)
    assert not shown and (tmp_path / "run/state.pt").read_bytes() == before
    (line,) = e.value._render_traceback_()  # all that a notebook shows
    assert line == f"CursiveError: {e.value}" and "\n" not in line
    longer = dataclasses.replace(c, max_steps=8)
    names = {"train_live": train_live, "dataclasses": dataclasses, "config": longer}
    more = re.search("Go on with it: (.*). Or begin", line)[1]
    assert eval(more, names).metrics[-1]["step"] == 8


def test_the_sentence_says_what_there_is():
    c = preset("debug", max_steps=1000)
    assert "compiler" in describe_progress([], dataclasses.replace(c, compile=True))
    assert "compiler" not in describe_progress([], dataclasses.replace(c, compile=False))
    rows = [
        dict(step=100, test_loss=2.0, character_error=0.5),
        dict(step=200, train_loss=1.0, seconds_per_step=3.0),
        dict(step=200, test_loss=2.5, character_error=0.25),
    ]
    parts = ["Step 200 of 1000", "about 40 min left", "test loss 2.500 nats/token, 2.000 at best"]
    assert describe_progress(rows, c) == " · ".join([*parts, "character error 25%"])
    assert "left" not in describe_progress([dict(step=1000, seconds_per_step=1.0)], c)
    assert describe_progress(rows[1:2], c).endswith("left")


def test_pictures_are_named(tmp_path):
    run = train(config(tmp_path, max_steps=2, log_every=2))
    sides = "a learned text", "an unseen text"
    ways = "likeliest", "drawn at random"
    titles = {f"{side}, {way}" for side in sides for way in ways}
    assert {title_of(p) for p in (run.folder / "samples").iterdir()} == titles


def test_in_a_real_kernel_there_is_one_output(tmp_path):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    settings = json.loads(json.dumps(dataclasses.asdict(config(tmp_path))))
    code = f"""
from cursivetransformer.config import from_dict
from cursivetransformer.apps.live import train_live
config = from_dict({settings!r})
run = train_live(config, every=0)
"""
    cells = [nbformat.v4.new_code_cell(source) for source in (code, "train_live(config)")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3", allow_errors=True).execute()
    outputs = [o for o in notebook.cells[0].outputs if o.output_type == "display_data"]
    assert len(outputs) == 1 and outputs[0].data["text/plain"].endswith("Done.")
    assert png(outputs[0].data["text/html"]).startswith(b"\x89PNG")
    (again,) = notebook.cells[1].outputs
    assert again.output_type == "error" and len(again.traceback) == 1 and "\n" not in again.traceback[0]
    assert "already holds a run. Go on with it" in again.traceback[0]
