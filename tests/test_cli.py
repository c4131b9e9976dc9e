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
        (["write", "x" * 100], "has 100 characters, more than the 96 characters that the model can read"),
        (["write", "a", "b"], "'b' is one argument too many; put the text in quotes: cursive write \"a b\""),
        (["write", "a", "--", "--seed", "3"], "'--seed' is one argument too many"),
        (["write", "-hello"], "A text that begins with a hyphen stands behind --: cursive write -- '-hello'"),
        (["write", "a", "—seed", "3"], "There is no flag '—seed'. Did you mean '--seed'?"),
        (["write", "a", "--seed"], "--seed needs a value"),
        (["write", "a", "--no-respell=yes"], "--no-respell takes no value"),
        (["wordbank", "--seed", "x"], "--seed takes a whole number, not 'x'"),
        (["wordbank", "--num-examples", "9" * 5000], "--num-examples takes a whole number, not '9999"),
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
        (["bench", "smaple"], "Did you mean 'sample'?"),
        (["train", "--lr", "1"], "There is no flag '--lr'. Did you mean '--learning-rate'?"),
        (["train", "--optimizer", "moun"], "Did you mean 'muon'?"),
        (["train", "--seed", "9" * 400], "seed lies between 0 and 2147483647"),
        (["data"], "BANK is required"),
        (["help"], "There is no command 'help'. Did you mean '--help'?"),
        (["--seed", "3", "write", "a"], "Flags stand behind a command, and '--seed' stands before it"),
        (["wriet", "a"], "Did you mean 'write'?"),
        (["xyz"], "There are write, hands, train, clone"),
        ([], "required"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(command, tmp_path, args, says):
    done = command(*args)
    notices = [line for line in done.stderr.splitlines() if line.startswith("cursive: Written as")]
    assert done.returncode == 2 and says in done.stderr and not done.stdout and paths(tmp_path) == []
    assert done.stderr.startswith("cursive: ") and len(done.stderr.splitlines()) == 1 + len(notices)


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


STARTED = "import sys; from cursivetransformer.cli import main; sys.exit(main())"
AS_A_MODULE = "import runpy; runpy.run_module('cursivetransformer', run_name='__main__', alter_sys=True)"


@pytest.mark.parametrize("start", [STARTED, AS_A_MODULE], ids=["cursive", "python -m"])
@pytest.mark.parametrize("module", ["config", "flags", "apps.command_write", "writing.page"])
def test_ctrl_c_while_it_starts_says_so_and_nothing_else(tmp_path, start, module):
    # The signal comes when this module is looked for, wherever that is on the way.
    interrupted = f"""
import os, signal, sys
import cursivetransformer
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupting:
    @staticmethod
    def find_spec(name, *_):
        if name == "cursivetransformer.{module}":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting)
sys.argv[1:] = ["write", "so", "-o", "a.svg"]
"""
    done = subprocess.run(
        [sys.executable, "-c", interrupted + start], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (130, "cursive: stopped.\n") and paths(tmp_path) == []


def test_before_it_runs_the_command_imports_nothing_of_ours(tmp_path):
    ours = {m for m in imported_by("import cursivetransformer.cli", tmp_path) if m.startswith("cursive")}
    assert ours == {"cursivetransformer", "cursivetransformer._moved", "cursivetransformer.cli"}


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_process_that_is_ended_leaves_nothing_half_written(tmp_path, name):
    process = subprocess.Popen(
        [*CURSIVE, "write", "“hurrying” down to Hades " * 2000, "-o", "a.svg"],
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        text=True,
    )
    process.stderr.readline()  # the notice about the quotes: it has begun
    deadline = time.monotonic() + 60
    while not paths(tmp_path) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert paths(tmp_path)  # the beginning of the file, under another name
    number = getattr(signal, name)
    process.send_signal(number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number and "Traceback" not in said and paths(tmp_path) == []


# Streams that the shell has closed


def with_closed(streams, folder, *words):
    "Run a command without some of its streams: `>&-` is standard output."
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {streams}', "sh", *CURSIVE, *words],
        capture_output=True,
        text=True,
        cwd=folder,
    )


PRINTING = ["write so", "data embedded", "wordbank --little", "hands"]


@pytest.mark.parametrize("words", PRINTING)
def test_a_closed_output_is_said(tmp_path, words):
    done = with_closed(">&-", tmp_path, *words.split())
    assert done.returncode == 2 and paths(tmp_path) == []
    assert done.stderr == "cursive: Standard output is closed; name a file, or leave it open.\n"


def test_a_closed_input_is_said(tmp_path):
    for words in ["write -", "write --file -", "wordbank --text -"]:
        done = with_closed("<&-", tmp_path, *words.split())
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
        assert "Standard input is closed" in done.stderr


def test_what_needs_no_stream_does_not_miss_it(tmp_path):
    done = with_closed("<&- >&- 2>&-", tmp_path, "write", "so", "-o", "a.svg")
    assert done.returncode == 0 and (tmp_path / "a.svg").read_bytes().startswith(b"<svg")
    # With its number free, a file would be opened in place of the stream.
    done = with_closed("2>&-", tmp_path, "write", "“so”")
    assert done.stdout.startswith("<svg") and "Written as" not in done.stdout
    done = with_closed("2>&-", tmp_path, "wriet")
    assert (done.returncode, done.stdout) == (2, "")


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


# Bad values of every flag

# What fails for a reason of its own once the flags are understood, so that nothing is written or learned.
FAILING = {
    "write": ["漢"],
    "hands": ["remove", "nobody"],
    "train": ["--dataset-name", "nothing"],
    "clone": ["nothing"],
    "train-reader": ["--dataset-name", "nothing", "--writers", "0"],
    "eval": ["--dataset", "nothing"],
    "data": ["nothing"],
    "wordbank": ["-o", "a.bmp"],
    "collect": ["a.txt"],
    "bench": ["nothing"],
}
BAD = [
    "",
    " ",
    "x",
    "-1",
    "nan",
    "inf",
    "1e400",
    "9" * 400,
    "9" * 5000,
    "é\u2028",
    "\x1b[31m",
    "../x",
    "none",
]
BAD += ["1,2", "a=b", "%s", "{x}", "\0", "\udcff", "x" * 300]


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_value_of_any_flag_ends_in_more_than_a_sentence(command, tmp_path, name):
    parser = COMMANDS[name].parser(f"cursive {name}")
    for action in parser._actions:
        if not action.option_strings or action.dest in ("help", "out_dir"):
            continue
        for value in BAD:
            flag = f"{action.option_strings[-1]}={value}"
            if action.option_strings[-1] in FAILING[name]:
                continue
            done = command(name, *FAILING[name], flag)
            said = [line for line in done.stderr.split("\n") if line and "Written as" not in line]
            assert done.returncode == 2 and done.stdout == "" and len(said) == 1, (flag[:60], done)
            assert said[0].startswith("cursive: ") and said[0].isprintable() and len(said[0]) < 900, said
    assert paths(tmp_path) == []
