import importlib.metadata
import os
import signal
import subprocess
import sys
import time
import types

import pytest
from commands import Commands
from conftest import CURSIVE

import cursivetransformer
from cursivetransformer.cli import COMMANDS, make_parser


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


def paths(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    "args, says",
    [
        (["write", "a", "--shards", "1/2"], "--out-dir"),
        (["write", "a", "--format", "svg"], "--out-dir"),
        (["write", "a", "--format", "gif"], "gif"),
        (["write", "a", "--out-dir", "d", "-o", "a.svg"], "leave -o"),
        (["write", "a", "--out-dir", "d", "--shards", "0/2"], "1/4 to 4/4"),
        (["write"], "Give a text"),
        (["write", "a", "--file", "b"], "one of them"),
        (["write", "5 €"], "'€'"),
        (["write", " "], "nothing to write"),
        (["write", "a", "-o", "a.bmp"], "svg, png, pdf, json, anim.svg, gif, hpgl, gcode"),
        (["write", "a", "-o", "no/dir/x"], "ending"),
        (["write", "--file", "missing.txt"], "missing.txt"),
        (["write", "a", "--checkpoint", "x.safetensors"], "no checkpoint x.safetensors"),
        (["write", "a", "--temperature", "0"], "temperature"),
        (["write", "a", "--width", "-1"], "width"),
        (["write", "a", "--seed", "-1"], "seed"),
        (["write", "a", "--seed", "one"], "seed takes int"),
        (["write", "--respell", "1"], "from --from OUT.json"),
        (["write", "a", "--respell", "1", "--from", "a.json"], "leave the text, --mail and --out-dir out"),
        (["write", "--respell", "1", "--from", "a.json", "--no-respell"], "give one of them"),
        (["write", "a", "--reader", "r", "--no-respell"], "leave --no-respell"),
        (["write", "a", "--slant", "nan"], "slant"),
        (["write", "a", "--margin", "inf"], "margin"),
        (["write", "a", "--temperature", "inf"], "temperature"),
        (["write", "a", "--top-p", "1.5"], "top_p must be above 0 and at most 1"),
        (["write", "a", "--stroke-width", "0"], "stroke_width must be above 0"),
        (["write", "a", "--color", "blurple"], "'blurple'"),
        (["write", "a", "--color", '"/><script>'], "colour"),
        (["write", "a", "--num-steps", "20"], "--num-steps"),  # for Python only
        (["write", "a", "--checkpoint", "c" * 5000], "no checkpoint"),
        (["write", "--respell", "x", "--from", "t.json"], "t.json"),
        (["write", "x" * 100], "96 characters"),
        (["write", "a", "b"], "'b' is one argument too many; put the text in quotes: cursive write \"a b\""),
        (["write", "a", "--boxes"], "belong to --out-dir"),
        (["write", "a", "--out-dir", "d", "--boxes"], "about pictures"),
        (["write", "a", "--out-dir", "d", "--format", "png", "--height", "20", "--padding", "9"], "no room"),
        (["write", "a", "--mail", "guests.csv"], "say what kind with -o"),
        (["write", "a", "-o", "."], "ending"),
        (["write", "a", "--tempreature", "1"], "tempreature"),
        (["write", "a", "--temp", "1"], "--temp"),
        (["train", "--n_layers", "3"], "--n-layer"),
        (["train", "--dataset_name", "nothing"], "no word bank"),
        (["train", "--resume", "--run_dir", "none"], "none"),
        (["eval"], "--dataset"),
        (["eval", "--dataset", "nothing"], "no word bank"),
        (["eval", "--dataset", "embedded", "--num_words", "0"], "--num-words"),
        (["data", "nothing.json"], "no word bank"),
        (["bench", "speed"], "data, train, sample"),
        (["wriet", "a"], "Did you mean 'write'?"),
        (["xyz"], "There are write, hands, train, clone"),
        ([], "required"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(command, tmp_path, args, says):
    done = command(*args)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 2 and says in last and "Traceback" not in done.stderr and not done.stdout
    assert last.startswith(("cursive: ", "cursive ")) and paths(tmp_path) == []


def test_a_process_says_the_same(cursive):
    done = cursive("write", "a", "--tempreature", "1")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "cursive: There is no flag '--tempreature'. Did you mean '--temperature'?\n"


def test_python_runs_the_package_as_the_command(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cursivetransformer", "--version"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, f"cursive {cursivetransformer.__version__}\n")


def test_the_installed_command_is_this_one():
    entries = importlib.metadata.entry_points(group="console_scripts", name="cursive")
    assert {entry.value for entry in entries} == {"cursivetransformer.cli:main"}


# What is printed


@pytest.mark.parametrize("name", [None, *COMMANDS])
def test_help_is_readable(command, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "80")
    done = command(*([name] if name else []), "--help")
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and done.stderr == "" and max(map(len, lines)) <= 80
    assert lines[0] == f"usage: cursive {name or 'COMMAND'} [options]" or lines[0].startswith(
        f"usage: cursive {name} [options] "
    )
    if name:
        assert COMMANDS[name].help in done.stdout
    for listed in COMMANDS if name is None else ():
        assert f"  {listed} " in done.stdout and COMMANDS[listed].help in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_flags_are_spelled_with_hyphens_and_helped_in_a_line_or_two(name):
    parser = COMMANDS[name].parser(f"cursive {name}", COMMANDS[name].help)
    for action in parser._actions:
        assert not any("_" in flag for flag in action.option_strings), action.option_strings
        about = action.help % vars(action)
        assert about and (len(about) <= 110 or action.dest == "what"), about
    assert parser.format_help().startswith(f"usage: cursive {name} [options]")


def test_output_that_is_asked_for_ends_with_0(command):
    done = command("--version")
    assert (done.returncode, done.stdout) == (0, f"cursive {cursivetransformer.__version__}\n")
    assert make_parser().format_help() == command("--help").stdout


# How a process ends


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has")
def test_output_that_cannot_be_written_is_said(tmp_path):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*CURSIVE, "data", "embedded"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
        )
    assert done.returncode == 2 and "No space left" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("words", [["write", "many a brave soul"], ["data", "embedded"]], ids=str)
def test_a_reader_that_leaves_early_is_no_error(tmp_path, words):
    process = subprocess.Popen(
        [*CURSIVE, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"},
    )
    process.stdout.close()
    assert process.wait(120) == 141 and process.stderr.read() == b""


def test_ctrl_c_leaves_nothing_half_written(tmp_path):
    process = subprocess.Popen(
        [*CURSIVE, "write", "“hurrying” down to Hades " * 2000, "-o", "a.svg"],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    said = process.stderr.readline()  # the notice about the quotes: it has begun
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "stopped" in said and "Traceback" not in said
    assert paths(tmp_path) == []


def test_warnings_are_as_before_when_a_command_is_done(command):
    import warnings

    before = warnings.showwarning
    assert command("write", "“a”", "-o", "a.svg").stderr.startswith("cursive: Written as")
    assert warnings.showwarning is before


# What is imported when

HEAVY = {"torch", "matplotlib", "wandb", "IPython", "pooch"}


def imported_by(code, folder):
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import cursivetransformer",
        "import cursivetransformer.cli",
        "from cursivetransformer.cli import make_parser; make_parser().format_help()",
        "from cursivetransformer.cli import COMMANDS; COMMANDS['write'].parser('a', 'b').format_help()",
        "from cursivetransformer.cli import main; main(['write', 'a', '--tempreature', '1'])",
        "from cursivetransformer.cli import main; main(['write', 'a', '--temperature', '0'])",
    ],
)
def test_nothing_heavy_is_imported_before_a_command_runs(tmp_path, code):
    assert not imported_by(code, tmp_path) & (HEAVY | {"numpy"})


def test_nothing_heavy_is_imported_before_it_is_needed(tmp_path):
    start = "from cursivetransformer.cli import main\n"
    assert not imported_by(f"{start}main(['data', 'embedded'])", tmp_path) & HEAVY
    assert not imported_by(f"{start}main(['wordbank', '--little'])", tmp_path) & HEAVY
    writing = imported_by(f"{start}main(['write', 'a', '-o', 'a.svg'])", tmp_path)
    unneeded = {"ipywidgets", "requests", "torch._dynamo", "torch._inductor", "sympy"}
    assert not writing & (unneeded | HEAVY - {"torch"})


def test_every_promised_name_can_be_imported():
    here = {}
    # As a notebook does, and not one module among them.
    exec(f"from cursivetransformer import {', '.join(cursivetransformer.__all__)}", here)
    modules = [n for n in cursivetransformer.__all__ if isinstance(here[n], types.ModuleType)]
    assert not modules and all(here[name] is not None for name in cursivetransformer.__all__)
    promised = """get_all_args get_checkpoint Transformer create_datasets offsets_to_strokes
        strokes_to_offsets StrokeDataset GenerationParams generate generate_paragraph generate_helper_fn
        word_offsets_to_points plot_strokes plot_paragraph save_samples"""
    assert set(promised.split()) <= set(cursivetransformer.__all__)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = cursivetransformer.nonsense
