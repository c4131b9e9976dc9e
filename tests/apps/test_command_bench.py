import re

import pytest
from commands import Commands

from cursivetransformer.apps import command_bench
from cursivetransformer.apps.command_bench import DEFAULTS, MEASURED, USUAL, bench_parser
from cursivetransformer.config import Config, preset
from cursivetransformer.flags import RUN


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


def test_every_benchmark_has_a_name_and_the_usual_ones_take_seconds():
    assert set(MEASURED) == set(command_bench.benches())
    assert set(MEASURED) - set(USUAL) == {"growth", "tokens"}


def test_the_help_shows_what_is_measured_if_nobody_says_otherwise():
    flags = {a.dest: a for a in bench_parser("cursive bench")._actions}
    assert flags["n_layer"].help.endswith("[5]") and flags["dataset_name"].help.endswith("[embedded]")
    assert set(RUN) <= set(flags) and all(name in flags["what"].help for name in MEASURED)


def test_one_benchmark_or_all_but_the_long_one_each_with_a_config_of_its_own(command, monkeypatch):
    seen = []

    def fake(name):
        def measure(config: Config):
            seen.append((name, config.n_layer, config.dataset_name, config.num_words))
            config.num_words = 16
            return [f"row of {name}"]

        return measure

    monkeypatch.setattr(command_bench, "benches", lambda: {name: fake(name) for name in MEASURED})
    done = command("bench")
    layers = preset("paper").n_layer
    assert [row[0] for row in seen] == list(USUAL) and {row[1:] for row in seen} == {
        (layers, DEFAULTS["dataset_name"], 4)
    }
    assert done.stdout.splitlines() == [f"row of {name}" for name in USUAL]
    seen.clear()
    assert command("bench", "growth", "--n_layer", 1, "--preset", "debug").stdout == "row of growth\n"
    assert seen == [("growth", 1, "embedded", 2)]


@pytest.mark.slow
def test_bench_prints_the_plain_way_ours_and_the_floor(cursive):
    done = cursive("bench", "--preset", "debug", "--dataset_name", "embedded", timeout=200)
    assert done.returncode == 0, done.stderr
    rows = [line for line in done.stdout.splitlines() if " plain " in line]
    expected = (
        "200 samples ready",
        "batch of",
        "training step",
        "one word",
        "paragraph of 49 words",
        "each word read right",
        "whole process",
    )
    for row, what in zip(rows, expected, strict=True):
        assert row.startswith(what) or what in row
        patterns = r"plain +([\d.e+-]+) s", r"ours +([\d.e+-]+) s", r"([\d.]+)x faster"
        plain, ours, times = (float(re.search(pattern, row)[1]) for pattern in patterns)
        assert times == pytest.approx(plain / ours, abs=0.06, rel=0.01)
        assert what == "200 samples ready" or "x above it" in row
