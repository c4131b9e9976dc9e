"""Batches made on a device are, token for token, what the plain way makes."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.config import ORIGINAL_DATA, CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.batches import POOL, Batches, PackedWords, Spans, make_samples
from cursivetransformer.data.dataset import StrokeDataset, collate, create_datasets
from cursivetransformer.ink.points import Word


def make(**options):
    return create_datasets(preset("debug", **{"dataset_name": "embedded", **options}))[0]


def assert_same(dataset, samples, counts):
    "The samples with these numbers and words, both ways."
    words = PackedWords(dataset, "cpu")
    made = make_samples(dataset, words, torch.tensor(samples), torch.tensor(counts))
    plain = collate([dataset.sample(i, k) for i, k in zip(samples, counts)], dataset)
    together = made.batch(torch.arange(len(samples)), plain.x.shape[1], plain.c.shape[1])
    for a, b in zip(together, plain):
        assert torch.equal(a, b)
    targets = (plain.y != dataset.PAD_TOKEN).sum(1)
    assert made.spans.length.tolist() == targets.add(not dataset.config.start_token).tolist()


@pytest.mark.parametrize("start", [True, False], ids=["start token", "the original's layout"])
@pytest.mark.parametrize("tokenizer", ["polar", "cartesian", "chain"])
@pytest.mark.parametrize("longest", [1050, 300], ids=["whole", "cut"])
def test_samples_are_those_of_the_plain_way(tokenizer, start, longest):
    options = dict(num_words=4, tokenizer=tokenizer, start_token=start, mask_context=start)
    options["max_seq_length"] = longest
    train, test = create_datasets(preset("debug", dataset_name="embedded", **options))
    counts = [1 + i % 4 for i in range(80)]
    assert_same(train, list(range(1000, 1080)), counts)  # bent at random
    assert_same(test, list(range(80)), counts)  # bent by the means
    if longest == 1050:
        assert_same(make(**options, downsample_mean=0.0, downsample_width=0.0), list(range(20)), counts[:20])


def test_samples_of_real_ink_are_those_of_the_plain_way(shared):
    names = "bigbank_3325", "zachbank_900", "easybank"
    banks = [str(shared / f"data/{name}.json.zip") for name in names]
    train, _ = create_datasets(preset("paper", dataset_name="+".join(banks)))
    assert len({w.author for w in train.words}) == 2
    assert_same(train, list(range(300)), [4] * 300)


@pytest.mark.parametrize("tokenizer", ["polar", "chain"])
def test_odd_words_are_treated_alike(tokenizer):
    "Dots, strokes of one point, a word that was never lifted, authors with fewer words than a sample has."
    dot = np.array([[0, 0, 1], [0, 0, 0]], float)
    bar = np.array([[0, 0, 1], [0.1, 0, 1], [0.2, 0.01, 1], [0.2, 0.01, 0]])
    accent = np.array([[0.1, -0.2, 1], [0.1, -0.2, 0]])
    unlifted = np.array([[0.3, 0, 1], [0.35, 0, 1]])
    late = np.array([[0, 0, 0], [0, 0.1, 1], [0, 0.2, 1], [0, 0.2, 0]])
    words = [
        Word("i", dot, "A"),
        Word("to", np.vstack([bar, accent, unlifted]), "A"),
        Word("no", bar, "B"),
        Word("x", late, "C"),
    ]
    for start in True, False:
        options = dict(tokenizer=tokenizer, merge_ids=(0, 0, 10, 10, 8, 9))
        config = preset("debug", num_words=4, start_token=start, authors=("C", "A"), **options)
        d = StrokeDataset(words, config, 50, True)
        assert_same(d, list(range(50)), [4] * 50)
        hands = {d.sample(i).text.split()[0]: d.sample(i).author for i in range(50)}
        # A name that the config does not know stands for the first.
        assert hands == {"i": 1, "to": 1, "no": 0, "x": 0}


@pytest.mark.parametrize("grid", [0.008, 0.0125])
def test_chain_samples_of_any_grid_are_those_of_the_plain_way(grid):
    train, test = create_datasets(
        preset("debug", dataset_name="embedded", num_words=3, tokenizer="chain", grid=grid, merges=300)
    )
    assert train.tokenizer.spec() == test.tokenizer.spec() and len(train.tokenizer.merges) == 300
    assert_same(train, list(range(200, 260)), [3] * 60)
    assert_same(test, list(range(60)), [3] * 60)


def test_ink_that_a_model_wrote_is_not_thinned_out_again():
    words = load_bank("embedded").words[:40]
    mixed = [dataclasses.replace(w, page=(0.0, 0.0)) if i % 2 else w for i, w in enumerate(words)]
    plain = preset("debug", num_words=3)
    for augment in True, False:
        assert_same(StrokeDataset(mixed, plain, 50, augment), list(range(50)), [3] * 50)
    d = StrokeDataset(mixed[1:2], preset("debug", num_words=1), 1, False)
    (tokens,) = d.tokenizer.encode_words([mixed[1].points], True)
    np.testing.assert_array_equal(d.sample(0).tokens, tokens)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 6)), max_size=20))
def test_spans_list_all_elements(pairs):
    first = torch.tensor([f for f, _ in pairs], dtype=torch.long)
    length = torch.tensor([n for _, n in pairs], dtype=torch.long)
    span, place, element = Spans(first, length).elements()
    expected = [(i, j, f + j) for i, (f, n) in enumerate(pairs) for j in range(n)]
    assert list(zip(span.tolist(), place.tolist(), element.tolist())) == expected
    assert Spans.in_a_row(length).elements().element.tolist() == list(range(len(expected)))


def test_batches_depend_on_the_step_alone_and_hold_little_padding():
    train = make(num_words=2, batch_size=16)
    batches = Batches(train)
    later = Batches(make(num_words=2, batch_size=16))
    for s, t in zip(later(POOL + 5), batches(POOL + 5)):
        assert torch.equal(s, t)
    padding = 0
    all_tokens = 0
    tokens = []
    for step in range(2 * POOL):
        x, c, y, _, lengths = batches(step)
        # No longer than the longest sample
        assert not bool((x == train.PAD_TOKEN).all(0).any())
        assert not bool((c == 0).all(0).any())
        targets = y != train.PAD_TOKEN
        tokens.append(int(targets.sum()))
        assert batches.targets(step) == (tokens[-1], tokens[-1])
        assert torch.equal(lengths, torch.stack([targets.sum(1), (c > 0).sum(1)], 1))
        padding += int((~targets).sum())
        all_tokens += y.numel()
    assert padding < 0.05 * all_tokens
    assert max(tokens) < 1.35 * min(tokens)


def test_samples_of_one_and_of_two_words_are_as_many_words_as_asked_for():
    train = make(num_words=2, batch_size=16)
    batches = Batches(train)
    words = [len(train.decode_text(row).split()) for step in range(POOL) for row in batches(step).c]
    assert np.mean([n == 2 for n in words]) == pytest.approx(0.5, abs=0.06)
    assert sum(words) == pytest.approx(POOL * 16 * 2, rel=0.06)


def test_targets_are_those_of_the_step_whatever_was_asked_for_before():
    train = make(num_words=2, batch_size=4)
    batches = Batches(train)
    batches(0)
    assert batches.targets(POOL) == Batches(train).targets(POOL)
    assert batches.targets(POOL)[0] == int((batches(POOL).y != train.PAD_TOKEN).sum())


def test_the_originals_batches_have_as_many_samples_as_asked_for():
    layout = dict(num_words=3, vary_words=False, batch_size=8, start_token=False, mask_context=False)
    batches = Batches(make(**ORIGINAL_DATA, **layout))
    assert sum(len(batches(step).x) for step in range(POOL)) == 8 * POOL
    assert batches(0).c.shape[1] == 50  # the original looks at padding too
    for step in range(3):
        batch = batches(step)
        targets = int((batch.y != 522).sum())
        assert batches.targets(step)[0] == targets == int(batch.lengths[:, 0].sum())


def rows_of(tokens, pad):
    "The samples of a batch as tuples without padding."
    return [tuple(t for t in row if t != pad) for row in tokens.tolist()]


def test_no_more_samples_than_train_size():
    train = make(num_words=2, vary_words=False, train_size=5, augment=False)
    batches = Batches(train)
    assert len({row for step in range(POOL) for row in rows_of(batches(step).x, train.PAD_TOKEN)}) == 5


def test_processes_share_a_batch():
    train = make(num_words=2, batch_size=8)
    whole = Batches(train)
    parts = [Batches(train, rank=r, world=3) for r in range(3)]
    for step in range(5):
        shares = [row for part in parts for row in rows_of(part(step).x, train.PAD_TOKEN)]
        assert sorted(rows_of(whole(step).x, train.PAD_TOKEN)) == sorted(shares)
        own = [part.targets(step) for part in parts]
        assert sum(o for o, _ in own) == own[0][1] == whole.targets(step)[0]
    with pytest.raises(CursiveError, match="batch_size=1"):
        Batches(make(num_words=1, batch_size=1), rank=0, world=4)(0)


def test_real_batches_hold_little_padding(shared):
    for name in "paper", "default":
        train, _ = create_datasets(preset(name, dataset_name=str(shared / "data/bigbank_3325.json.zip")))
        batches = Batches(train)
        targets = [batches(step).y for step in range(POOL)]
        padding = sum(int((y == train.PAD_TOKEN).sum()) for y in targets)
        assert padding < 0.05 * sum(y.numel() for y in targets)
