import shlex
from pathlib import Path

import pytest
from commands import Commands

from cursivetransformer.apps.command_train import clone_parser, train_reader_parser
from cursivetransformer.apps.command_write import write_parser
from cursivetransformer.config import Config, preset, save_config
from cursivetransformer.flags import config_of, config_parser, parse_flags, parse_given
from cursivetransformer.training import clone, train_reader

DEBUG = ["--preset", "debug", "--dataset_name", "embedded", "--run_dir", "run"]


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


def test_train_then_write_with_the_run(command, tmp_path):
    done = command("train", *DEBUG, "--max_steps", 4, "--print_every", 2, "--log-every", 4)
    assert done.returncode == 0 and "cursive write TEXT --checkpoint run" in done.stdout, done.stderr
    assert command("write", "so", "--checkpoint", "run", "-o", "a.svg").returncode == 0
    assert (tmp_path / "a.svg").exists()


def test_nothing_to_train_is_fine(command):
    done = command("train", *DEBUG, "--max_steps", "0")
    assert done.returncode == 0 and "test loss" in done.stdout, done.stderr


def test_flags_stand_above_the_config_of_a_run_that_is_fetched(command, monkeypatch, tmp_path):
    "What the command line says counts, the rest is what the run says that W&B has."
    from cursivetransformer.config import preset, save_config
    from cursivetransformer.training import runs, train

    def download(config):
        save_config(preset("debug", seed=9, run_dir=config.run_dir), tmp_path / "run/config.json")
        return preset("debug", resume=True)

    started = []
    run = runs.Run(tmp_path / "run", None, [{"step": 1, "test_loss": 2.0}])
    monkeypatch.setattr(runs, "download_wandb_run", download)
    monkeypatch.setattr(train, "train", lambda config: started.append(config) or run)
    done = command("train", "--load-from-run-id", "abc", "--run-dir", "run", "--max_steps", "7")
    assert done.returncode == 0 and "test loss 2.0000" in done.stdout, done.stderr
    (config,) = started
    assert (config.seed, config.n_layer, config.max_steps, config.resume) == (9, 2, 7, True)
    assert config.load_from_run_id == "abc" and config.run_dir == "run"


def test_of_several_processes_one_speaks(command, monkeypatch, tmp_path):
    from cursivetransformer.training import runs, train

    run = runs.Run(tmp_path, None, [{"step": 1, "test_loss": 2.0}])
    monkeypatch.setattr(train, "train", lambda config: run)
    monkeypatch.setenv("RANK", "1")
    assert command("train", *DEBUG).stdout == ""
    run.finished = False
    assert command("train", *DEBUG).returncode == 130


def test_each_kind_of_training_has_its_own_settings_and_defaults():
    every = {f for a in config_parser("cursive train")._actions for f in a.option_strings}
    assert {"--n-layer", "--wandb-mode", "--config", "--run-dir"} <= every
    for parser, module in (clone_parser("cursive clone"), clone), (train_reader_parser("r"), train_reader):
        flags = {a.dest: a for a in parser._actions}
        assert set(module.KNOBS) <= set(flags) and "n_layer" not in flags
        assert flags["max_steps"].help.endswith(f"[{module.DEFAULTS['max_steps']}]")
    args = parse_flags(clone_parser("cursive clone"), ["mine.json", "--max_steps", "5", "--author", "me"])
    assert parse_given(Config, vars(args)) == {"max_steps": 5} and (args.bank, args.author) == (
        "mine.json",
        "me",
    )
    args = parse_flags(train_reader_parser("cursive train-reader"), ["--batch-size", "4"])
    config = config_of(vars(args), train_reader.DEFAULTS)
    assert (config.batch_size, config.run_dir) == (4, train_reader.DEFAULTS["run_dir"])


# What a checkpoint fixes


@pytest.fixture
def started(monkeypatch, tmp_path):
    "The configs that training was started with, which is left out."
    from cursivetransformer.training import runs, train

    configs = []
    run = runs.Run(tmp_path / "run", None, [{"step": 1, "test_loss": 2.0}])
    monkeypatch.setattr(train, "train", lambda config: configs.append(config) or run)
    return configs


@pytest.mark.parametrize(
    "flags, says",
    [
        (
            ["--n_layer", "2"],
            "has n_layer=4, which it keeps, and --n-layer asks for 2: leave --n-layer out, or train",
        ),
        (["--n-embd", "64"], "has n_embd=96"),
        (["--n_ctx_head=2"], "has n_ctx_head=3"),
        (["--tokenizer", "polar"], "has tokenizer='chain'"),
        (["--merges", "3"], "and --merges asks for 3"),
        (["--grid", "0.02"], "and --grid asks for 0.02"),
        (["--alphabet", "abc"], "and --alphabet asks for 'abc'"),
        (["--positions", "learned"], "has positions='rotary'"),
        (["--coverage=false"], "has coverage=True"),
        (["--preset", "paper", "--spell", "0"], "and --spell asks for 0.0"),
    ],
)
def test_what_a_checkpoint_fixes_cannot_be_asked_for_otherwise(command, started, flags, says):
    done = command("train", "--local_checkpoint_path", "default", "--dataset-name", "embedded", *flags)
    assert done.returncode == 2 and not done.stdout and not started
    assert done.stderr.startswith("cursive: The checkpoint default has ") and says in done.stderr
    assert done.stderr.count("\n") == 1 and "without --local-checkpoint-path" in done.stderr


def test_what_it_has_may_be_asked_for_and_presets_ask_for_nothing(command, started):
    same = ["--n-layer", "4", "--n_embd", "96", "--tokenizer", "chain", "--batch-size", "2"]
    assert command("train", "--local-checkpoint-path", "default", *same).returncode == 0
    assert command("train", "--local-checkpoint-path", "default", "--preset", "debug").returncode == 0
    assert len(started) == 2


def test_texts_longer_than_learned_positions_cannot_be_asked_for(command, started, shared):
    theirs = ["--local-checkpoint-path", shared / "fixtures/upstream_checkpoint.pt"]
    done = command("train", *theirs, "--max-seq-length", "1000")
    assert done.returncode == 2 and "has max_seq_length=256, which it keeps" in done.stderr
    assert command("train", *theirs, "--max-seq-length", "200").returncode == 0 and len(started) == 1


def test_a_config_file_that_says_otherwise_is_noticed(command, started, tmp_path):
    save_config(preset("debug"), tmp_path / "c.json")
    done = command("train", "--config", "c.json", "--local-checkpoint-path", "default")
    assert done.returncode == 0 and started
    assert "c.json has n_layer=2, and the checkpoint default has 4, which counts." in done.stderr


def test_a_run_cannot_go_on_with_other_sizes(command, tmp_path):
    assert command("train", *DEBUG, "--max_steps", 2, "--log-every", 2).returncode == 0
    done = command("train", "--resume", "--run-dir", "run", "--n-layer", "3")
    assert done.returncode == 2 and "started with n_layer=2, and cannot go on with 3" in done.stderr
    done = command("clone", "embedded", "--n-layer", "3")
    assert done.returncode == 2 and "There is no flag" in done.stderr and "--n-layer" in done.stderr


# Commands that are printed


@pytest.mark.parametrize("name", ["My Drive 3", "it's", "a+b", "-x"])
def test_the_command_that_is_printed_can_be_typed(command, started, monkeypatch, tmp_path, name):
    from cursivetransformer.training import runs, train

    run = runs.Run(Path(name), None, [{"step": 1, "test_loss": 2.0}])
    monkeypatch.setattr(train, "train", lambda config: run)
    done = command("train", f"--run-dir={name}")
    said = shlex.split(done.stdout.split("Write with: ")[1])
    assert write_parser("cursive write").parse_args(said[2:]).checkpoint == name
