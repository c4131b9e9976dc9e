import pytest
from commands import Commands

from cursivetransformer.apps.command_train import clone_parser, train_reader_parser
from cursivetransformer.config import Config
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
