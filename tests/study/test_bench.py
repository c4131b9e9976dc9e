"""What the benchmarks measure and say; that the command prints it is tested with the command."""

import dataclasses

import pytest
import torch

from cursivetransformer.config import preset
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.study import bench
from cursivetransformer.study.bench import Timing, floor, growth, our_step, timed
from cursivetransformer.training.runs import set_sizes

CPU = torch.device("cpu")


@pytest.fixture
def small():
    return preset("debug", dataset_name="embedded", device="cpu")


def test_a_row_says_how_much_faster_and_how_far_above_the_floor():
    row = str(Timing("writing", plain=6.0, ours=2.0, floor=0.5))
    assert row.startswith("writing ") and "3.0x faster" in row and row.endswith("4.0x above it")
    assert "floor" not in str(Timing("writing", 6.0, 2.0))


def test_the_best_of_some_calls_is_taken(monkeypatch):
    clock = iter([0.0, 3.0, 10.0, 11.0, 20.0, 22.0])
    monkeypatch.setattr(bench.time, "perf_counter", lambda: next(clock))
    calls = []
    assert timed(lambda: calls.append(1), 3, CPU) == 1.0 and len(calls) == 3


def test_the_floor_is_the_slower_of_operations_and_bytes(monkeypatch):
    monkeypatch.setattr(bench, "peak_operations", lambda device: 100.0)
    monkeypatch.setattr(bench, "peak_bytes", lambda device, size: 10.0)
    assert floor(CPU, 300, 20, 1) == 3 and floor(CPU, 100, 20, 1) == 2


def test_a_step_of_ours_leaves_a_model_and_its_batch(small):
    small = dataclasses.replace(small, vary_words=False)
    training, _ = create_datasets(small)
    set_sizes(small)  # which the datasets know: chain tokens learn their pairs from the words
    step = our_step(small, training, steps=1)
    tokens = step.batch[0]
    assert step.seconds > 0 and tokens.ndim == 2
    # Scores, sums and matrices: more for a model of two layers than its head alone takes.
    head = 3 * 2 * tokens.numel() * small.n_embd * step.model.config.vocab_size
    assert bench.count_operations(step.model, step.batch) > head
    assert bench.kept_bytes(step.model, step.batch) > tokens.numel() * small.n_embd * 4


def test_growth_is_measured_for_more_words_and_longer_contexts(small, monkeypatch):
    written = []
    monkeypatch.setattr(bench, "write", lambda text, model, respell: written.append(text))
    found = growth(dataclasses.replace(small, batch_size=1, num_words=1), most_words=10)
    assert [n for n, _ in found.writing] == [1, 3, 10] == [len(text.split()) for text in written]
    assert [tokens for tokens, _ in found.steps] == [264, 528, 1056, 2112]
