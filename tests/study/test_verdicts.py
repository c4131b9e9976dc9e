"""Intervals of paired differences, what they decide, and the table."""

import json

import numpy as np
import pytest

from cursivetransformer.study.verdicts import (
    MET,
    NOT_MEASURED,
    NOT_MET,
    UNDECIDED,
    Goal,
    Interval,
    above,
    below,
    bootstrap,
    by_seeds,
    by_text,
    goals_table,
    not_measured,
    paired_difference,
    percent,
    points,
    save_figures,
    wilson,
    within,
)


def rng():
    return np.random.default_rng(0)


def test_the_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(1).standard_normal(400)
    found = bootstrap(lambda rows: values[rows].mean(1), len(values), rng())
    assert found.value == pytest.approx(values.mean())
    for side, at in (-1, found.low), (1, found.high):
        assert at == pytest.approx(found.value + side * 1.96 * values.std() / 20, abs=0.01)


def test_what_both_have_wrong_cancels():
    texts = [f"word{i}" for i in range(100)]
    hard = np.random.default_rng(2).integers(0, 4, 100).astype(float)
    assert paired_difference(texts, hard, np.stack([hard] * 3), rng()) == (0, 0, 0)
    more = paired_difference(texts, hard, np.stack([hard + 1, hard, hard + 2]), rng())
    total = sum(map(len, texts))
    assert more.value == pytest.approx(100 / total) and more.low <= more.value <= more.high


def test_drawings_of_one_text_are_no_more_texts():
    texts = [f"word{i}" for i in range(20)]
    wrong = (np.arange(20) < 5).astype(float)
    once = paired_difference(texts, np.zeros(20), wrong[None], rng())
    often = paired_difference(texts * 9, np.zeros(180), np.tile(wrong, 9)[None], rng())
    assert often == pytest.approx(once)
    assert by_text(["a", "b", "a"], np.array([1, 2, 3])).tolist() == [4, 2]
    assert by_text(["a", "b", "a"], np.array([[1.0], [2], [3]]), np.mean).tolist() == [[2], [2]]


def test_verdicts():
    assert below(Interval(0.001, -0.002, 0.004), 0.005) == MET
    assert below(Interval(0.001, -0.002, 0.006), 0.005) == UNDECIDED
    assert below(Interval(0.004, 0.002, 0.006), 0.005) == UNDECIDED
    assert below(Interval(0.02, 0.01, 0.03), 0.005) == NOT_MET
    assert within(Interval(0, -0.01, 0.01), -0.04, 0.04) == MET
    assert within(Interval(-0.03, -0.05, -0.01), -0.04, 0.04) == UNDECIDED
    assert within(Interval(-0.08, -0.1, -0.05), -0.04, 0.04) == NOT_MET
    assert [by_seeds(r) for r in ([True] * 3, [True, False], [False] * 3)] == [MET, UNDECIDED, NOT_MET]
    assert points(Interval(0.001, -0.002, 0.0041)) == "+0.10 (-0.20 to +0.41)"


def test_columns_stand_under_each_other():
    goals = [
        Goal("a long name of a goal", "1 of 2", "2 of 2", "", MET),
        not_measured("b", "none", "no reader"),
    ]
    head, rule, first, second = goals_table(goals).splitlines()
    assert first.index("1 of 2") == second.index("none") == head.index("asked")
    assert first.endswith(MET) and second.endswith(NOT_MEASURED) and len(rule) == len(second)


def test_figures_become_json(tmp_path):
    figures = {"a": Interval(1.0, float("nan"), 2.0), "b": np.arange(2), "c": (np.float64(1), True), "d": "ä"}
    path = save_figures(figures, tmp_path / "f.json")
    assert json.loads(path.read_text()) == {
        "a": {"value": 1.0, "low": None, "high": 2.0},
        "b": [0, 1],
        "c": [1.0, True],
        "d": "ä",
    }


def test_the_interval_of_a_share_is_wilsons():
    # Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, 15 of 148, 0 of 20, 1 of 29
    for count, of, low, high in (81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605):
        assert wilson(count, of) == pytest.approx((count / of, low, high), abs=1e-4)
    assert wilson(0, 20) == pytest.approx((0, 0, 0.1611), abs=1e-4)
    assert wilson(1, 29) == pytest.approx((0.0345, 0.0061, 0.1718), abs=1e-4)
    nothing = wilson(0, 0)
    assert np.isnan(nothing.value) and nothing[1:] == (0, 1)
    assert percent(wilson(0, 20)) == "0.0% (0.0% to 16.1%)"


def test_what_should_be_high_is_high_enough():
    assert above(Interval(0.95, 0.91, 0.98), 0.9) == MET
    assert above(Interval(0.92, 0.85, 0.96), 0.9) == UNDECIDED
    assert above(Interval(0.80, 0.70, 0.88), 0.9) == NOT_MET
