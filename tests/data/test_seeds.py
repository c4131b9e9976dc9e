"""Random numbers depend on their key alone, and are the same for numpy and PyTorch."""

import numpy as np
import torch

from cursivetransformer.data.seeds import Stream, sample_rng, split_mix, stream, uniform


def test_random_numbers_are_the_published_ones_in_numpy_and_torch():
    # Published for SplitMix64 with seed 1234567.
    assert [int(split_mix(1234567, n)) % 2**64 for n in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    n = np.arange(1000)
    assert (uniform(stream(3, n), 7) == uniform(stream(3, torch.arange(1000)), 7).numpy()).all()


def test_random_numbers_are_uniform_and_independent():
    u = uniform(5, np.arange(100_000))
    assert 0 <= u.min() and u.max() < 1
    assert abs(u.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01
    assert np.histogram(u, 10)[0].std() < 300


def test_a_stream_gives_its_numbers_one_after_the_other():
    seed = stream(3, 1, 4)
    numbers = Stream(seed, 2)
    taken = np.concatenate([numbers.random(3), numbers.random(0), numbers.random(2)])
    assert (taken == uniform(seed, np.arange(2, 7))).all()


def test_generators_of_different_keys_differ():
    assert sample_rng(1, 2).random() == sample_rng(1, 2).random()
    assert len({sample_rng(*key).random() for key in ((1,), (2,), (1, 2), (2, 1), (1, 2, 3))}) == 5
