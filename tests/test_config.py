import json
import sys
from dataclasses import fields

import pytest

from cursivetransformer.apps.original import get_all_args
from cursivetransformer.config import (
    ALPHABET,
    Config,
    ConfigError,
    from_dict,
    load_config,
    preset,
    save_config,
    to_dict,
)

# Every name that the authors' notebooks and runs set.
ORIGINAL_NAMES = """max_steps print_every log_every lr_decay step_lr_every device seed n_layer n_embd n_embd_context n_ctx_head learning_rate weight_decay batch_size
train_size test_size num_words max_seq_length augment downsample_mean downsample_width add_digits alphabet dataset_name wandb_project wandb_entity wandb_run_name
wandb_api_key load_from_run_id local_checkpoint_path vocab_size block_size context_block_size context_vocab_size""".split()


def test_names_that_stay():
    assert set(ORIGINAL_NAMES) <= {f.name for f in fields(Config)}


def test_every_field_has_facts():
    for f in fields(Config):
        assert f.metadata["help"] and f.metadata["group"], f.name
        numeric = f.type in (int, float)
        assert not numeric or f.metadata["low"] is not None and f.metadata["high"] is not None, (
            f"{f.name} has no bounds"
        )


def test_notebook_call_never_reads_the_command_line(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--n_layer", "9", "--nonsense"])
    assert get_all_args(use_argparse=False) == Config()


def test_command_line_is_read(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["x", "--n_layer", "2"])
    assert get_all_args().n_layer == 2


@pytest.mark.parametrize(
    "argv, value",
    [
        (["--augment"], True),
        (["--augment=false"], False),
        (["--augment", "true"], True),
        (["--augment=0"], False),
    ],
)
def test_booleans(argv, value):
    assert get_all_args(argv=argv).augment is value


@pytest.mark.parametrize(
    "argv, says",
    [
        (["--n_layers", "2"], "--n_layer"),
        (["--n_layer", "two"], "n_layer takes int"),
        (["--augment=maybe"], "augment takes true or false"),
        (["--optimizer", "moun"], "muon"),
        (["--downsample_mean", "1.5"], "between 0.0 and 0.99"),
        (["--learning_rate", "nan"], "learning_rate lies between"),
        (["--config", "missing.json"], "missing.json"),
        (["stray"], "stray"),
    ],
)
def test_bad_command_lines_exit_with_2_and_a_sentence(argv, says, capsys):
    with pytest.raises(SystemExit) as stop:
        get_all_args(argv=argv)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and says in error and error.endswith((".", "?"))


def test_assignments_are_checked():
    c = Config()
    with pytest.raises(ConfigError, match="n_layer"):
        c.n_layrs = 2
    with pytest.raises(ConfigError, match="n_layer takes int"):
        c.n_layer = True
    with pytest.raises(ConfigError, match="seed lies between"):
        c.seed = -1
    c.learning_rate = 1
    assert type(c.learning_rate) is float


def test_presets_suggest_too():
    with pytest.raises(ConfigError, match="Did you mean 'n_layer'"):
        preset(n_layers=3)


def test_resuming_starts_from_the_runs_own_config(tmp_path, capsys):
    save_config(preset("debug", seed=9, resume=True, run_dir=str(tmp_path)), tmp_path / "config.json")
    c = get_all_args(argv=["--resume", "--run_dir", str(tmp_path), "--max_steps", "7"])
    assert (c.seed, c.n_layer, c.max_steps, c.resume) == (9, 2, 7, True)
    assert not load_config(tmp_path / "config.json").resume
    for argv, says in (
        (["--resume", "--run_dir", "nowhere"], "no run to resume"),
        (["--config", str(tmp_path / "config.json"), "--preset", "paper"], "two ways"),
    ):
        with pytest.raises(SystemExit):
            get_all_args(argv=argv)
        assert says in capsys.readouterr().err


def test_saved_and_loaded(tmp_path):
    c = preset("paper", wandb_api_key="secret", seed=3)
    path = save_config(c, tmp_path / "c.json")
    assert "secret" not in path.read_text()
    assert load_config(path) == preset("paper", seed=3)
    assert get_all_args(argv=["--config", str(path), "--n_layer", "2"]) == preset("paper", seed=3, n_layer=2)


@pytest.mark.parametrize(
    "text, says",
    [("{", "not JSON"), ('{"n_head": 3}', "n_head"), ("[1]", "object"), ('{"seed": "x"}', "seed takes int")],
)
def test_bad_files_are_named(tmp_path, text, says):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=says) as e:
        load_config(tmp_path / "c.json")
    assert "c.json" in str(e.value)


def test_round_trip_through_json():
    assert from_dict(json.loads(json.dumps(to_dict(preset("debug"))))) == preset("debug")


def test_paper_preset_is_the_published_recipe():
    c = preset("paper")
    assert (c.n_layer, c.n_embd, c.n_ctx_head, c.max_seq_length, c.num_words, c.batch_size, c.max_steps) == (
        5,
        64,
        4,
        1050,
        4,
        32,
        125_000,
    )
    assert len(ALPHABET) == len(set(ALPHABET)) == 71
