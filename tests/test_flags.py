import argparse
import dataclasses
import io
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from cursivetransformer.apps.command_train import clone_parser
from cursivetransformer.apps.command_write import write_parser
from cursivetransformer.config import (
    ORIGINAL_DATA,
    Config,
    ConfigError,
    CursiveError,
    Settings,
    knob,
    load_config,
    preset,
    save_config,
)
from cursivetransformer.data.banks import EMBEDDED
from cursivetransformer.flags import (
    RUN,
    add_flags,
    as_command,
    config_of,
    config_parser,
    hyphened,
    names_in,
    new_parser,
    parse_config,
    parse_flags,
    parse_given,
    parse_value,
    read_text,
    shown_default,
)
from cursivetransformer.options import WritingOptions


@dataclasses.dataclass
class Pen(Settings):
    dry: bool = knob(False, "ink", "leave the ink out")
    blot_ink: bool = knob(True, "ink", "blot 50 % of the ink")
    widths: tuple = knob((0.1, 0.5), "size", "of the line, one after the other")
    names: tuple = knob((), "size", "of its owners")


def run(argv):
    return parse_config(config_parser("cursive train"), argv)


# From arguments to texts


@pytest.mark.parametrize(
    "given, said",
    [
        ("--batch_size", "--batch-size"),
        ("--batch_size=a_b", "--batch-size=a_b"),
        ("--batch-size", "--batch-size"),
        ("a_b", "a_b"),
        ("-a_b", "-a_b"),
        ("--", "--"),
    ],
)
def test_underscores_are_hyphens_in_flags_and_nowhere_else(given, said):
    assert hyphened(given) == said


def test_both_spellings_of_every_flag_are_taken():
    for name in RUN:
        f = Config.__dataclass_fields__[name]
        text = f.metadata["choices"][0] if f.metadata["choices"] else str(f.default).lower()
        for flag in f"--{name}", f"--{name.replace('_', '-')}":
            for argv in [flag, text], [f"{flag}={text}"]:
                assert vars(parse_flags(config_parser("a"), argv)) == {"config": None, name: text}


def test_what_follows_two_hyphens_is_no_flag():
    parser = new_parser("draw", arguments="[TEXT]")
    parser.add_argument("text", nargs="?")
    assert parse_flags(parser, ["--", "--so_it_goes"]).text == "--so_it_goes"


def test_what_cannot_be_meant_is_said():
    parser = config_parser("cursive train")
    for argv, says in [
        (["--n_layers", "2"], "There is no flag '--n-layers'. Did you mean '--n-layer'?"),
        (["--n_layers=2"], "There is no flag '--n-layers'. Did you mean '--n-layer'?"),
        (["--n-lay", "2"], "There is no flag '--n-lay'. Did you mean '--n-layer'?"),
        (["--xyzzy"], "There is no flag '--xyzzy'."),
        (["stray"], "'stray' is one argument too many."),
    ]:
        with pytest.raises(ConfigError) as e:
            parse_flags(parser, argv)
        assert str(e.value) == says


# From texts to values


@pytest.mark.parametrize("table", [Config, WritingOptions])
def test_every_default_as_a_text_is_the_default(table):
    for f in fields(table):
        if f.type is not tuple:
            value = parse_value(table, f.name, str(f.default))
            assert value == f.default and type(value) is type(f.default)


def test_texts_stand_for_values():
    assert parse_value(Config, "learning_rate", "1e-3") == 1e-3
    assert parse_value(Config, "wandb_entity", "None") is None
    assert parse_value(Config, "wandb_project", "none") == "none"  # which has to have one
    assert parse_value(Pen, "widths", ["1", "2.5", "3"]) == (1.0, 2.5, 3.0)
    margins = [parse_value(WritingOptions, "margin", text) for text in ("10", "1,2,3,4", "none")]
    assert margins == [10.0, "1,2,3,4", None]  # a number, a text, or nothing
    assert parse_value(Pen, "names", ["Sam", "Ada"]) == ("Sam", "Ada")
    for text, value in dict(true=True, YES=True, no=False, false=False).items():
        assert parse_value(Config, "augment", text) is value
    assert parse_given(Config, {"seed": "3", "bank": "mine.json", "augment": "0"}) == {
        "seed": 3,
        "augment": False,
    }


@pytest.mark.parametrize(
    "table, name, text, says",
    [
        (Config, "n_layer", "two", "n_layer takes int, not 'two'."),
        (Config, "n_layer", "2.5", "n_layer takes int, not '2.5'."),
        (Config, "learning_rate", "fast", "learning_rate takes float, not 'fast'."),
        (Config, "augment", "maybe", "augment takes true or false, not 'maybe'."),
        (Config, "seed", "none", "seed takes int, not 'none'."),
        (Config, "n_layrs", "2", "There is no setting 'n_layrs'. Did you mean 'n_layer'?"),
        (Config, "optimizer", "moun", "optimizer is one of muon, adamw, not 'moun'. Did you mean 'muon'?"),
        (WritingOptions, "top_k", "0", "top_k lies between 1 and 1000000, and 0 does not."),
        (WritingOptions, "temperature", "nan", "temperature must be above 0, and nan is not."),
        (Pen, "widths", ["1", "wide"], "widths takes float, not 'wide'."),
        (Pen, "names", ["Sam", "Sam"], "names takes names, each once, not ('Sam', 'Sam')."),
    ],
)
def test_complaints_are_the_tables_own(table, name, text, says):
    with pytest.raises(ConfigError) as e:
        parse_value(table, name, text)
    assert str(e.value) == says


# From tables to flags


def flags_of(table, names=None, **how):
    "Parser, and what argparse knows of each field's flag."
    parser = new_parser("draw")
    add_flags(parser, table, names or tuple(table.__dataclass_fields__), **how)
    return parser, {a.dest: a for a in parser._actions}


@pytest.mark.parametrize("table", [Config, WritingOptions, Pen])
@pytest.mark.parametrize("switches", [False, True])
def test_every_field_is_a_flag_in_its_group(table, switches):
    parser, flags = flags_of(table, switches=switches)
    text = " ".join(parser.format_help().split())
    for f in fields(table):
        assert f.metadata["help"] in flags[f.name].help.replace("%%", "%")
        assert f"{f.metadata['group']}: --" in text
        assert not re.search("_", flags[f.name].option_strings[0])
    assert vars(parse_flags(parser, [])) == {}  # what is not given is not there


def test_groups_and_their_titles():
    ink = ("color", "stroke_width", "pen", "background", "dpi", "current_color")
    assert names_in(WritingOptions, "ink", "spelling") == (*ink, "respell", "reader")
    parser, flags = flags_of(WritingOptions, names_in(WritingOptions, "ink"), titles={"ink": "the line"})
    assert set(flags) == {"help", *ink}
    assert "the line:" in parser.format_help() and "ink:" not in parser.format_help()


def test_booleans_take_a_value_or_are_switches():
    parser, flags = flags_of(Pen)
    for argv, value in (["--dry"], True), (["--dry", "no"], False), (["--blot-ink=false"], False):
        assert list(parse_given(Pen, vars(parse_flags(parser, argv))).values()) == [value]
    parser, flags = flags_of(Pen, switches=True)
    assert flags["blot_ink"].option_strings == ["--no-blot-ink"]
    assert "do not blot 50 % of the ink" in parser.format_help()
    given = parse_given(Pen, vars(parse_flags(parser, ["--dry", "--no_blot_ink", "--widths", "1", "2"])))
    assert given == {"dry": True, "blot_ink": False, "widths": (1.0, 2.0)}


def test_the_help_shows_defaults():
    by_name = Config.__dataclass_fields__
    shown = {"seed": " [1337]", "learning_rate": " [0.01]", "augment": " [true]", "wandb_entity": ""}
    assert {name: shown_default(by_name[name], by_name[name].default) for name in shown} == shown
    assert shown_default(by_name["alphabet"], "abc") == ""  # too long
    assert shown_default(Pen.__dataclass_fields__["widths"], (0.1, 0.5)) == " [0.1 0.5]"
    _, flags = flags_of(Config, ("seed", "max_steps"), defaults={"seed": 7})
    assert flags["seed"].help.endswith("[7]") and flags["max_steps"].help.endswith("[4000]")


def test_a_row_that_is_added_is_a_flag():
    @dataclasses.dataclass
    class More(WritingOptions):
        wobble: float = knob(0.0, "ink", "how much the line trembles", 0.0, 1.0)

    parser, flags = flags_of(More, names_in(More, "ink"))
    assert set(flags) == {"help", "wobble", *names_in(WritingOptions, "ink")}
    assert parse_given(More, vars(parse_flags(parser, ["--wobble", "1"]))) == {"wobble": 1.0}


def test_parsers_show_one_line_of_usage_and_take_no_abbreviations():
    parser = config_parser("cursive train", "Train.", arguments="BANK")
    assert parser.format_usage() == "usage: cursive train [options] BANK\n"
    assert not parser.allow_abbrev and isinstance(parser, argparse.ArgumentParser)


# The config of a run


def test_a_run_has_the_flags_of_all_settings_but_sizes():
    assert set(RUN) == {f.name for f in fields(Config) if f.metadata["group"] != "sizes"}


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
    assert run(argv).augment is value


@pytest.mark.parametrize(
    "argv, says",
    [
        (["--n_layers", "2"], "--n-layer"),
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
        run(argv)
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert stop.value.code == 2 and says in error and error.endswith((".", "?"))


def test_flags_stand_above_defaults_and_those_above_the_preset():
    assert config_of({}) == Config()
    config = config_of({"seed": "5"}, {"seed": 4, "max_steps": 3, "preset": "debug"})
    assert config == preset("debug", seed=5, max_steps=3)
    assert config_of({"preset": "paper"}, {"preset": "debug"}) == preset("paper")


def test_resuming_starts_from_the_runs_own_config(tmp_path, capsys):
    save_config(preset("debug", seed=9, resume=True, run_dir=str(tmp_path)), tmp_path / "config.json")
    c = run(["--resume", "--run_dir", str(tmp_path), "--max_steps", "7"])
    assert (c.seed, c.n_layer, c.max_steps, c.resume) == (9, 2, 7, True)
    assert config_of({"resume": "true"}, {"run_dir": str(tmp_path)}).seed == 9
    assert not load_config(tmp_path / "config.json").resume
    for argv, says in (
        (["--resume", "--run_dir", "nowhere"], "no run to resume"),
        (["--config", str(tmp_path / "config.json"), "--preset", "paper"], "two ways"),
    ):
        with pytest.raises(SystemExit):
            run(argv)
        assert says in capsys.readouterr().err


def test_a_saved_config_is_a_beginning(tmp_path):
    path = save_config(preset("paper", seed=3), tmp_path / "c.json")
    assert run(["--config", str(path), "--n_layer", "2"]) == preset("paper", seed=3, n_layer=2)


def test_notebook_call_never_reads_the_command_line(monkeypatch):
    from cursivetransformer.apps.original import get_all_args

    monkeypatch.setattr(sys, "argv", ["x", "--n_layer", "9", "--nonsense"])
    assert get_all_args(use_argparse=False) == Config(**ORIGINAL_DATA)


def test_command_line_is_read(monkeypatch):
    from cursivetransformer.apps.original import get_all_args

    monkeypatch.setattr(sys, "argv", ["x", "--n_layer", "2"])
    assert get_all_args().n_layer == 2
    assert get_all_args(argv=["--augment=false"]).augment is False


# Texts from files


def test_a_text_is_read_from_a_file_or_from_standard_input(tmp_path, monkeypatch):
    path = tmp_path / "text.txt"
    path.write_bytes("\ufeffnaïve\r\n".encode())
    assert read_text(str(path)) == "naïve\r\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("naïve".encode())))
    assert read_text("-") == "naïve"


def test_files_that_are_no_text_are_said(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_bytes(b"so\xff")
    with pytest.raises(CursiveError, match="text.txt is not UTF-8 text .*at byte 2"):
        read_text(str(tmp_path / "text.txt"))
    with pytest.raises(CursiveError, match="Cannot read .*none.txt"):
        read_text(str(tmp_path / "none.txt"))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    with pytest.raises(CursiveError, match="standard input is not UTF-8"):
        read_text("-")


# Paths and commands


def test_the_home_is_put_where_no_shell_puts_it(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ann")
    monkeypatch.setenv("USERPROFILE", "/home/ann")
    parser = config_parser("cursive train")
    given = parse_flags(
        parser, ["--run-dir=~/runs/a", "--dataset-name=~/a.json+~/b.json+embedded", "--config", "~/c.json"]
    )
    assert given.run_dir == "/home/ann/runs/a" and given.config == "/home/ann/c.json"
    assert given.dataset_name == "/home/ann/a.json+/home/ann/b.json+embedded"
    write = write_parser("cursive write")
    given = parse_flags(write, ["~/ is home", "-o", "~/a.svg", "-o", "~b.svg", "--checkpoint=~/m"])
    assert given.text == "~/ is home" and given.output == ["/home/ann/a.svg", "~b.svg"]
    assert given.checkpoint == "/home/ann/m"


@pytest.mark.parametrize(
    "name",
    ["plain", "My Drive 3", "it's", 'a "b"', "Zoë", "-x", "~me", "$HOME", "a;b", "a+b", "a&b", "{a,b}", "*"],
)
def test_commands_are_read_by_a_shell_as_they_are_meant(name):
    command = as_command("clone", [name], dict(author=name, run_dir=name, resume=True))
    script = f"set -- {command}; printf '%s\\0' \"$@\""
    said = (
        subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout.decode().split("\0")[:-1]
    )
    assert said[:2] == ["cursive", "clone"]
    given = parse_flags(clone_parser("cursive clone"), said[2:])
    assert Path(given.bank) == Path(name) and given.author == name
    assert given.run_dir == name and given.resume == "true"


def test_texts_in_other_encodings_are_read(tmp_path):
    path = tmp_path / "text.txt"
    for encoding in "utf-16", "utf-16-le", "utf-16-be", "utf-32":
        path.write_bytes("so é\n".encode(encoding))
        assert read_text(str(path)) == "so é\n"
    path.write_bytes("café".encode("latin-1"))
    with pytest.warns(UserWarning, match="text.txt is not UTF-8 and was read as Windows-1252"):
        assert read_text(str(path)) == "café"


def test_what_is_no_text_file_is_said(tmp_path):
    (tmp_path / "letter.docx").write_bytes(EMBEDDED.read_bytes())
    with pytest.raises(
        CursiveError, match="letter.docx is a zip file, as .docx .*, not a text; save .* plain text"
    ):
        read_text(str(tmp_path / "letter.docx"))
    with pytest.raises(CursiveError, match="Cannot read .*: Is a directory; give a file of text"):
        read_text(str(tmp_path))
    with pytest.raises(CursiveError, match="Cannot read .*null"):
        read_text("a\0b")
