"""The two-sample test is that of the project, and sees what it should."""

import numpy as np
import pytest
import torch
from measure_cases import load_measure

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank, to_item
from cursivetransformer.ink.points import scale
from cursivetransformer.study.two_sample import (
    alike,
    area_under_curve,
    person_and_model,
    step_features,
    tell_apart,
)


@pytest.fixture(scope="module")
def words():
    return load_bank("embedded").words[:64]


@pytest.fixture(scope="module")
def theirs(shared):
    return load_measure(shared, "two_sample")


def as_read(word) -> np.ndarray:
    "The points of a word as the project's measure reads them from a bank."
    item = to_item(word)
    points = np.array(item["points"], float)
    points[:, 0] *= item["metadata"]["aspectRatio"]
    return points


def test_it_is_the_projects_measure(theirs, words):
    narrow = [scale(w.points, 0.8, 1) for w in words]
    for word in words[:5]:
        read = as_read(word)
        ours = alike(read - [0, 0.65, 0])
        assert all(np.allclose(a, b) for a, b in zip(ours, theirs.alike(read), strict=True))
        assert np.allclose(step_features(ours), theirs.features(ours))
    a = [alike(w.points) for w in words]
    b = [alike(ink) for ink in narrow]
    told = tell_apart(a, b, epochs=1, seed=3)
    auc, pairs = theirs.auc(a, b, epochs=1, seed=3)
    assert told.pairs == pairs and told.auc == pytest.approx(auc, abs=0.02)


def test_another_hand_is_told_and_the_same_is_not(words):
    inks = [w.points for w in words]
    state = torch.random.get_rng_state()
    found = person_and_model(inks, [scale(ink, 0.5, 1) for ink in inks])
    assert found["model"].auc > 0.9 and found["model"].pairs == 16
    assert 0.1 < found["control"].auc < 0.9
    assert torch.equal(state, torch.random.get_rng_state())


def test_the_interval_is_about_that_of_theory():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 200))
    found = area_under_curve(a, b + 0.5)
    assert found.value == pytest.approx(np.mean(b[:, None] + 0.5 > a))
    # Hanley and McNeil (1982)
    area = found.value
    more = (
        area * (1 - area) + 199 * (area / (2 - area) - area**2) + 199 * (2 * area**2 / (1 + area) - area**2)
    )
    wide = 2 * 1.96 * np.sqrt(more) / 200
    assert found.low < area < found.high and found.high - found.low == pytest.approx(wide, rel=0.15)
    assert area_under_curve(a, a + 10) == (1, 1, 1)


def test_too_few_words_tell_nothing(words):
    some = [alike(w.points) for w in words[:6]]
    with pytest.raises(CursiveError, match="more than 6 pairs"):
        tell_apart(some, some)
