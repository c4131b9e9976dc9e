"""Batches made on a device are, token for token, what the plain way makes."""

import collections
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.batches import POOL, Batches, Flat, Samples, spans
from cursivetransformer.data.dataset import StrokeDataset, choose_words, collate, create_datasets, prepare
from cursivetransformer.data.seeds import split_mix, stream, uniform
from cursivetransformer.ink.points import Word


def make(**options):
    return create_datasets(preset("debug", **{"dataset_name": "embedded", **options}))[0]


def assert_same(dataset, samples, counts):
    "The samples with these numbers and words, both ways."
    made = Samples(dataset, Flat(dataset, "cpu"), torch.tensor(samples), torch.tensor(counts))
    plain = collate([dataset.sample(i, k) for i, k in zip(samples, counts)], dataset)
    together = made.rows(torch.arange(len(samples)), plain[0].shape[1], plain[1].shape[1])
    for a, b in zip(together, plain):
        assert torch.equal(a, b)
    assert (
        made.length.tolist()
        == (plain[2] != dataset.PAD_TOKEN).sum(1).add(not dataset.config.start_token).tolist()
    )


@pytest.mark.parametrize("start", [True, False], ids=["start token", "the original's layout"])
@pytest.mark.parametrize("tokenizer", ["polar", "cartesian"])
@pytest.mark.parametrize("longest", [1050, 300], ids=["whole", "cut"])
def test_samples_are_those_of_the_plain_way(tokenizer, start, longest):
    options = dict(
        num_words=4, tokenizer=tokenizer, start_token=start, mask_context=start, max_seq_length=longest
    )
    train, test = create_datasets(preset("debug", dataset_name="embedded", **options))
    counts = [1 + i % 4 for i in range(80)]
    assert_same(train, list(range(1000, 1080)), counts)  # bent at random
    assert_same(test, list(range(80)), counts)  # bent by the means
    if longest == 1050:
        assert_same(make(**options, downsample_mean=0.0, downsample_width=0.0), list(range(20)), counts[:20])


def test_samples_of_real_ink_are_those_of_the_plain_way(shared):
    banks = "+".join(
        str(shared / f"data/{name}.json.zip") for name in ("bigbank_3325", "zachbank_900", "easybank")
    )
    train, _ = create_datasets(preset("paper", dataset_name=banks))
    assert len({w.author for w in train.words}) == 2
    assert_same(train, list(range(300)), [4] * 300)


def test_odd_words_are_treated_alike():
    "Dots, strokes of one point, a word whose pen was never lifted, authors with fewer words than a sample has."
    dot = np.array([[0, 0, 1], [0, 0, 0]], float)
    bar = np.array(
        [
            [0, 0, 1],
            [0.1, 0, 1],
            [0.2, 0.01, 1],
            [0.2, 0.01, 0],
            [0.1, -0.2, 1],
            [0.1, -0.2, 0],
            [0.3, 0, 1],
            [0.35, 0, 1],
        ],
        float,
    )
    words = [
        Word("i", dot, "A"),
        Word("to", bar, "A"),
        Word("no", bar[:4], "B"),
        Word("x", np.array([[0, 0, 0], [0, 0.1, 1], [0, 0.2, 1], [0, 0.2, 0]], float), "C"),
    ]
    for start in True, False:
        d = StrokeDataset(
            words, preset("debug", num_words=4, start_token=start, authors=("C", "A")), 50, True
        )
        assert_same(d, list(range(50)), [4] * 50)
        hands = {d.sample(i)[1].split()[0]: d.sample(i)[2] for i in range(50)}
        assert hands == {
            "i": 1,
            "to": 1,
            "no": 0,
            "x": 0,
        }  # a name that the config does not know stands for the first


def test_ink_that_a_model_wrote_is_not_thinned_out_again():
    words = load_bank("embedded").words[:40]
    mixed = [dataclasses.replace(w, page=(0.0, 0.0)) if i % 2 else w for i, w in enumerate(words)]
    plain = preset("debug", num_words=3)
    for augment in True, False:
        assert_same(StrokeDataset(mixed, plain, 50, augment), list(range(50)), [3] * 50)
    d = StrokeDataset(mixed[1:2], preset("debug", num_words=1), 1, False)
    np.testing.assert_array_equal(d.sample(0)[0], prepare([mixed[1].points], d.tokenizer, True)[0])


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=20))
def test_spans_list_all_elements(pairs):
    which, at, element = spans(
        torch.tensor([f for f, _ in pairs], dtype=torch.long),
        torch.tensor([n for _, n in pairs], dtype=torch.long),
    )
    assert list(zip(which.tolist(), at.tolist(), element.tolist())) == [
        (i, j, f + j) for i, (f, n) in enumerate(pairs) for j in range(n)
    ]


def test_random_numbers_are_the_published_ones_in_numpy_and_torch():
    # Published for SplitMix64 with seed 1234567.
    assert [int(split_mix(1234567, n)) % 2**64 for n in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]
    n = np.arange(1000)
    assert (uniform(stream(3, n), 7) == uniform(stream(3, torch.arange(1000)), 7).numpy()).all()
    u = uniform(5, np.arange(100_000))
    assert (
        0 <= u.min()
        and u.max() < 1
        and abs(u.mean() - 0.5) < 0.005
        and abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.01
    )
    assert np.histogram(u, 10)[0].std() < 300


def test_all_choices_of_words_are_equally_likely():
    chosen = choose_words(
        uniform(stream(1, np.arange(96_000))[:, None], np.arange(3)), np.array([0, 4]), np.array([4, 1])
    )
    mine = chosen[chosen[:, 0] < 4]
    assert (chosen[chosen[:, 0] == 4] == 4).all() and len(mine) == pytest.approx(
        48_000, rel=0.02
    )  # authors alike, however many words
    counts = collections.Counter(map(tuple, mine.tolist()))
    assert len(counts) == 4 * 3 * 2 and all(len(set(c)) == 3 for c in counts)
    assert max(counts.values()) < 1.15 * min(counts.values())


def test_batches_depend_on_the_step_alone_and_hold_little_padding():
    train, later = make(num_words=2, batch_size=16), Batches(make(num_words=2, batch_size=16))
    batches = Batches(train)
    for s, t in zip(later(POOL + 5), batches(POOL + 5)):
        assert torch.equal(s, t)
    padding, all_tokens, tokens = 0, 0, []
    for step in range(2 * POOL):
        x, c, y, _, lengths = batches(step)
        assert not bool((x == train.PAD_TOKEN).all(0).any()) and not bool(
            (c == 0).all(0).any()
        )  # no longer than the longest sample
        tokens.append(int((y != train.PAD_TOKEN).sum()))
        assert batches.targets(step) == (tokens[-1], tokens[-1])
        assert torch.equal(lengths, torch.stack([(y != train.PAD_TOKEN).sum(1), (c > 0).sum(1)], 1))
        padding, all_tokens = padding + int((y == train.PAD_TOKEN).sum()), all_tokens + y.numel()
    assert padding < 0.05 * all_tokens and max(tokens) < 1.35 * min(tokens)
    words = [len(train.decode_text(row).split()) for step in range(POOL) for row in batches(step)[1]]
    assert np.mean([n == 2 for n in words]) == pytest.approx(0.5, abs=0.06) and sum(words) == pytest.approx(
        POOL * 16 * 2, rel=0.06
    )


def test_the_originals_batches_have_as_many_samples_as_asked_for():
    batches = Batches(
        make(num_words=3, vary_words=False, batch_size=8, start_token=False, mask_context=False)
    )
    assert sum(len(batches(step)[0]) for step in range(POOL)) == 8 * POOL
    assert batches(0)[1].shape[1] == 50  # the original looks at padding too
    for step in range(3):
        assert (
            batches.targets(step)[0]
            == int((batches(step)[2] != 522).sum())
            == int(batches(step)[4][:, 0].sum())
        )


def test_no_more_samples_than_train_size():
    batches = Batches(make(num_words=2, vary_words=False, train_size=5, augment=False))
    rows = {tuple(row.tolist()) for step in range(POOL) for row in batches(step)[0]}
    assert len({tuple(t for t in row if t != 522) for row in rows}) == 5


def test_processes_share_a_batch():
    train = make(num_words=2, batch_size=8)
    whole, parts = Batches(train), [Batches(train, rank=r, world=3) for r in range(3)]
    tidy = lambda x: [tuple(t for t in row if t != 522) for row in x.tolist()]
    for step in range(5):
        assert sorted(tidy(whole(step)[0])) == sorted(sum([tidy(p(step)[0]) for p in parts], []))
        own = [p.targets(step) for p in parts]
        assert sum(o for o, _ in own) == own[0][1] == whole.targets(step)[0]
    with pytest.raises(CursiveError, match="batch_size=1"):
        Batches(make(num_words=1, batch_size=1), rank=0, world=4)(0)


def test_real_batches_hold_little_padding(shared):
    for name in "paper", "default":
        train, _ = create_datasets(preset(name, dataset_name=str(shared / "data/bigbank_3325.json.zip")))
        batches = Batches(train)
        ys = [batches(step)[2] for step in range(POOL)]
        assert sum(int((y == train.PAD_TOKEN).sum()) for y in ys) < 0.05 * sum(y.numel() for y in ys)
