"""A hand is learned by a copy of a model and kept as a file; learning it can be stopped and gone on with."""

import dataclasses
import inspect
import json
import shlex
import signal
import subprocess
import sys

import pytest
import torch
from commands import Commands
from conftest import CURSIVE
from training_cases import PATIENCE, loss_by_step, losses, short_run, wait_until

from cursivetransformer.config import Config, ConfigError, CursiveError, preset, save_config
from cursivetransformer.data.banks import load_bank, save_bank
from cursivetransformer.ink.points import shear
from cursivetransformer.model.checkpoint import edition_of, load_checkpoint, load_model, save_model
from cursivetransformer.model.lora import add_hand, in_hand
from cursivetransformer.training import adapt, rehearse
from cursivetransformer.training import clone as module
from cursivetransformer.training.clone import (
    clone_config,
    clone_hand,
    compare_hands,
    missing_characters,
    words_of_hand,
)
from cursivetransformer.training.runs import read_metrics
from cursivetransformer.writing.hands import add_to_folder, open_hand, read_hand
from cursivetransformer.writing.reader import load_reader

FAST = dict(max_steps=6, print_every=2, log_every=3, batch_size=2, wandb_mode="disabled")
FEW = 40  # words that are rehearsed here, where it matters that they are and not how many
FASTER = (
    "import sys; from cursivetransformer.training import adapt, clone, rehearse;"
    f"rehearse.DRAWN = {FEW}; adapt.ADAPTING['max_steps'] = 1; clone.PLAIN_SENTENCES = 1;"
)
COMMAND = [sys.executable, "-c", CURSIVE[-1].replace("import sys;", FASTER)]


@pytest.fixture(autouse=True)
def little_work(monkeypatch):
    monkeypatch.setattr(rehearse, "DRAWN", FEW)
    monkeypatch.setitem(adapt.ADAPTING, "max_steps", 1)
    monkeypatch.setattr(module, "PLAIN_SENTENCES", 1)


def leaning(count, author=""):
    "Words of a hand that leans over."
    words = load_bank("embedded").words[:count]
    return [dataclasses.replace(w, points=shear(w.points, -0.6), author=author) for w in words]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    "A small model of one hand, as its run's folder."
    return short_run(tmp_path_factory.mktemp("base") / "run", max_steps=4).folder


@pytest.fixture
def cursive(capsys, monkeypatch, tmp_path):
    "Run `cursive ARGS` in this process, in a folder of its own."
    return Commands(capsys, monkeypatch, tmp_path)


@pytest.fixture
def bank(tmp_path):
    return str(save_bank(leaning(40), tmp_path / "mine.json"))


def test_a_hand_is_learned_and_the_model_stays_as_it_is(base, bank, tmp_path, monkeypatch):
    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path / "hands"))
    before = (base / "best.safetensors").read_bytes()
    clone = clone_hand(bank, "Lena", str(base), run_dir=str(tmp_path / "clone"), **FAST)
    assert (base / "best.safetensors").read_bytes() == before
    assert clone.finished and (clone.author, clone.nearest) == ("Lena", "Hershey")
    assert (clone.words, clone.held_out, clone.steps) == (40, 7, 6)
    files = "words.json both.json start.safetensors best.safetensors config.json state.pt reader.safetensors"
    files += " clone.json hand.html next.json"
    assert set(files.split()) <= {p.name for p in clone.folder.iterdir()}
    kept = json.loads((clone.folder / "clone.json").read_text())
    assert (kept["after"], kept["misread"]) == (clone.after, clone.misread)
    assert f"{clone.after:.3f} after" in str(clone)
    assert "Q" in clone.missing and "e" not in clone.missing and " " not in clone.missing
    old = load_checkpoint(base, "cpu")
    hand = read_hand(clone.hand)
    assert (hand.name, hand.edition, hand.kind) == ("Lena", edition_of(old), "weights")
    assert set(hand.characters) == set("".join(w.text for w in leaning(40))) and hand.reader
    add_to_folder(clone.hand, model=old)
    opened = open_hand("Lena", old)
    assert opened.reader is not None and old.authors == ("Hershey",)
    idx = torch.randint(0, old.config.vocab_size - 3, (2, 30))
    context = torch.randint(1, 72, (2, 8))
    learned = load_checkpoint(clone.folder, "cpu")
    assert learned.authors == ("Hershey", "Lena")
    with torch.no_grad(), in_hand(learned, "Lena"), in_hand(opened.model, "Lena"):
        ours = opened.model(idx, context)[0]
        torch.testing.assert_close(ours, learned(idx, context)[0], atol=0.05, rtol=0.05)  # half precision
        assert not torch.allclose(ours, old(idx, context)[0], atol=1e-3)
    with pytest.raises(CursiveError, match="already knows a hand called 'Lena'"):
        words_of_hand(leaning(20), "Lena", learned)
    tom = str(save_bank(leaning(20, "Tom"), tmp_path / "tom.json"))
    third = clone_hand(tom, None, str(clone.folder), run_dir=str(tmp_path / "third"), **FAST)
    assert load_checkpoint(third.folder, "cpu").authors == ("Hershey", "Lena", "Tom")
    assert read_hand(third.hand).edition == edition_of(learned)


def test_what_is_kept_is_what_was_read_best(base, bank, tmp_path, monkeypatch):
    answers = iter([0.5, 0.25, 0.75])
    monkeypatch.setattr(module.ReadingChoice, "__call__", lambda self, model: next(answers))
    settings = {**FAST, "log_every": 2}
    clone = clone_hand(bank, "Lena", str(base), run_dir=str(tmp_path / "clone"), **settings)
    assert [row["choice"] for row in read_metrics(clone.folder) if "choice" in row] == [0.5, 0.25, 0.75]
    _, header = load_model(clone.folder / "best.safetensors")
    assert header["step"] == "4"


def test_a_hand_is_chosen_by_what_an_adapted_reader_reads_in_its_words(default):
    texts = ["hello", "there", "friend"]
    choice = module.ReadingChoice("Sam", texts, load_reader())
    assert choice(default) < 0.3
    blind = load_reader()
    torch.nn.init.zeros_(blind.head.weight)
    assert module.ReadingChoice("Sam", texts, blind)(default) > 0.8


def test_the_bundled_model_comes_nearer(tmp_path, default):
    bank = str(save_bank(leaning(60, "Lena"), tmp_path / "mine.json"))
    settings = dict(max_steps=24, log_every=24, batch_size=4, wandb_mode="disabled")
    clone = clone_hand(bank, run_dir=str(tmp_path / "clone"), **settings)
    assert clone.nearest == "Sam" and clone.after < clone.before - 0.3
    held_out = load_bank(f"{clone.folder}/words.json").words[:3]
    page = compare_hands(held_out, load_checkpoint(clone.folder, "cpu"))
    assert [w.text for w in page] == [w.text for w in held_out for _ in range(2)]
    assert all(w.page for w in page)


def test_a_stopped_clone_goes_on(base, bank, tmp_path):
    def run(name, bank=bank, **more):
        settings = {**FAST, **more}
        return clone_hand(bank, "Lena", str(base), run_dir=str(tmp_path / name), **settings)

    def stop(metrics, pictures):
        if metrics and metrics[-1]["step"] == 2:
            signal.raise_signal(signal.SIGINT)

    whole = run("whole")
    assert not run("parts", watch=stop).finished and max(loss_by_step(tmp_path / "parts")) < 6
    assert run("parts", resume=True).after == whole.after
    assert losses(tmp_path / "whole")[-1] == losses(tmp_path / "parts")[-1]
    with pytest.raises(CursiveError, match="--resume"):
        run("whole")
    other = str(save_bank(leaning(30), tmp_path / "other.json"))
    with pytest.raises(CursiveError, match="from these words"):
        run("whole", bank=other, resume=True)
    with pytest.raises(CursiveError, match="from these words"):
        run("nowhere", resume=True)
    assert not (tmp_path / "nowhere").exists()
    with pytest.raises(CursiveError, match="the same author"):
        clone_hand(bank, "Tom", run_dir=str(tmp_path / "whole"), resume=True)
    with pytest.raises(ConfigError, match="no setting 'n_layer'"):
        run("whole", resume=True, n_layer=2)


def test_an_interrupted_command_saves_and_says_how_to_go_on(base, bank, tmp_path):
    settings = ["--log-every", "1000", "--print-every", "1", "--wandb-mode", "disabled"]
    process = subprocess.Popen(
        [*COMMAND, "clone", bank, "--author", "Lena", "--checkpoint", str(base), "--run-dir", "run"]
        + [*settings, "--max-steps", "100000"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    wait_until((tmp_path / "run/metrics.jsonl").exists, process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130 and f"cursive clone {bank} --author Lena" in out, err[-2000:]
    assert "--resume" in out and (tmp_path / "run/state.pt").exists()


def test_a_bank_of_one_hand_is_learned_whatever_it_is_called_and_one_of_several_says_how_to_choose(default):
    for name in "", "Ada", "(unnamed)":
        words = leaning(15, name)
        assert {w.author for w in words_of_hand(words, "me", default)} == {"me"}
        assert {w.author for w in words_of_hand(words, None, default)} == {"Ada" if name == "Ada" else "me"}
    two = leaning(20) + leaning(15, "Tom")
    choice = r"of \(unnamed\) \(20\), Tom \(15\); say which with the author's name, as in --author 'Tom'"
    with pytest.raises(CursiveError, match=choice):
        words_of_hand(two, None, default)
    with pytest.raises(CursiveError, match="and none of 'Tim'; say which with the author's name"):
        words_of_hand(two, "Tim", default)
    assert len(words_of_hand(two, "(unnamed)", default)) == 20


def test_words_that_cannot_be_meant_are_not_learned(default):
    turned = [dataclasses.replace(w, points=w.points * [1, -1, 1]) for w in leaning(40)]
    with pytest.raises(CursiveError, match="cannot be meant: y seems to grow upwards"):
        words_of_hand(turned, "Lena", default)


def test_what_cannot_be_learned_from(bank, tmp_path, default, cursive, monkeypatch):
    words = leaning(20)
    with pytest.raises(CursiveError, match="already knows a hand called 'Sam'"):
        words_of_hand(words, "Sam", default)
    with pytest.raises(CursiveError, match="10 different words or more, better from 50, and here are 1;"):
        words_of_hand(words[:1] * 30, "Lena", default)
    two = words + leaning(15, "Tom")
    with pytest.raises(CursiveError, match="say which"):
        words_of_hand(two, None, default)
    with pytest.raises(CursiveError, match="Did you mean 'Tom'"):
        words_of_hand(two, "Tim", default)
    assert len(words_of_hand(two, "Tom", default)) == 15
    assert {w.author for w in words_of_hand(words, None, default)} == {"me"}
    with pytest.raises(ConfigError, match="no setting 'n_layer'"):
        clone_config(default, n_layer=2)
    monkeypatch.setattr(default.config, "augment", False)
    assert clone_config(default).augment  # a few words have to stand for many
    shown = set("".join(w.text for w in words))
    assert missing_characters(words, "abc ?") == "".join(sorted(set("abc?") - shown))
    for args, says in [
        (["nothing.json"], "nothing.json"),
        ([bank, "--author", "Sam"], "already knows"),
        ([bank, "--max-steps", "many"], "max_steps takes int"),
        ([bank, "--checkpoint", "nothing.pt"], "There is no checkpoint nothing.pt"),
    ]:
        done = cursive("clone", *args)
        assert done.returncode == 2 and says in done.stderr and "Traceback" not in done.stderr
        assert done.stderr.count("\n") < 20
    assert not (tmp_path / "runs").exists()


def test_what_can_be_set_is_in_the_signature():
    shown = inspect.signature(clone_hand).parameters
    assert list(shown)[:5] == ["bank", "author", "checkpoint", "more", "watch"]
    assert set(list(shown)[5:]) == set(module.KNOBS) <= set(Config.__dataclass_fields__)
    assert shown["max_steps"].default == module.DEFAULTS["max_steps"]
    assert shown["batch_size"].default == module.DEFAULTS["batch_size"]
    assert shown["weight_decay"].default == Config.weight_decay


def test_words_from_a_file_are_cloned_and_written_by_the_commands(base, bank, tmp_path, cursive):
    assert cursive("data", bank).returncode == 0
    settings = ["--max-steps", "4", "--log-every", "4", "--wandb-mode", "disabled"]
    done = cursive("clone", bank, "--author", "Lena", "--checkpoint", base, "--run-dir", "mine", *settings)
    assert done.returncode == 0 and "Lena: 33 words to learn from, 7 held out" in done.stdout, done.stderr
    assert "--author Lena" in done.stdout
    again = ["write", "to be", "--checkpoint", "mine", "--no-respell"]
    done = cursive(*again, "--author", "Lena", "-o", "out.svg")
    assert done.returncode == 0 and (tmp_path / "out.svg").read_text().count("<path") >= 1
    done = cursive(*again, "--author", "Lina", "-o", "no.svg")
    assert done.returncode == 2 and "Did you mean 'Lena'?" in done.stderr
    assert not (tmp_path / "no.svg").exists()


@pytest.mark.slow
def test_a_clones_folder_may_have_any_name(base, bank, cursive, monkeypatch, tmp_path):
    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path / "hands"))
    name = "me+you, it's"
    flags = [
        "--author",
        "Lena",
        "--run_dir",
        f"runs/{name}",
        "--max_steps",
        2,
        "--log-every",
        2,
        "--batch-size",
        2,
    ]
    done = cursive("clone", bank, "--checkpoint", base, "--wandb-mode", "disabled", *flags)
    assert done.returncode == 0, done.stderr
    keep, how = (
        shlex.split(done.stdout.split(says)[1].splitlines()[0]) for says in ("with: ", "write with: ")
    )
    assert keep[:4] == ["cursive", "hands", "add", f"runs/{name}/Lena.hand.safetensors"]
    assert how == ["cursive", "write", "TEXT", "--checkpoint", str(base), "--author", "Lena", "-o", "out.svg"]
    assert cursive(*keep[1:]).returncode == 0 and cursive(*how[1:], "--no-respell").returncode == 0


def test_words_of_an_earlier_clone_are_learned_with_the_new_ones(base, tmp_path):
    words = leaning(24)
    first = str(save_bank(words[:12], tmp_path / "first.json"))
    second = str(save_bank(words[8:], tmp_path / "second.json"))  # four of them are there already
    clone_hand(first, "Lena", str(base), run_dir=str(tmp_path / "one"), **FAST)
    more = clone_hand(second, "Lena", str(base), str(tmp_path / "one"), run_dir=str(tmp_path / "two"), **FAST)
    assert more.words == 24 and len(load_bank(f"{more.folder}/words.json").words) == 24
    with pytest.raises(CursiveError, match="is no clone's folder"):
        clone_hand(second, "Lena", str(base), str(tmp_path), run_dir=str(tmp_path / "three"), **FAST)


def test_what_an_earlier_version_cloned_learns_no_more(base, bank, tmp_path):
    model = load_checkpoint(base, "cpu")
    add_hand(model, "Tom")
    old = save_model(model, tmp_path / "old.safetensors")
    with pytest.raises(
        CursiveError, match=r"old.safetensors holds hands that an earlier version added \(Tom\)"
    ):
        clone_hand(bank, "Lena", str(old), run_dir=str(tmp_path / "new"), **FAST)
    assert not (tmp_path / "new").exists()
    run = tmp_path / "run"
    save_bank(leaning(40, "Lena"), run / "words.json")
    save_config(preset(added_authors=("Lena",), run_dir=str(run)), run / "config.json")
    with pytest.raises(CursiveError, match=r"run holds hands that an earlier version added \(Lena\)"):
        clone_hand(bank, "Lena", run_dir=str(run), resume=True)
