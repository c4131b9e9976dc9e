"""Samples made the plain way: each a function of seed and number, whole words of one author, as tokens that
decode to the ink they were made of."""

import collections

import numpy as np
import pytest
import torch

from cursivetransformer.config import ORIGINAL_DATA, CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import (
    Codec,
    StrokeDataset,
    choose_words,
    collate,
    create_datasets,
)
from cursivetransformer.data.seeds import stream, uniform
from cursivetransformer.ink.points import SHEAR, Word, offsets_to_strokes, shear


def make(**options):
    return create_datasets(preset("debug", dataset_name="embedded", **options))


def test_samples_depend_on_seed_and_number_alone():
    a, _ = make(num_words=3)
    b, _ = make(num_words=3)
    _ = b[5]
    for s, t in zip(a[11], b[11]):
        assert torch.equal(s, t)
    assert not torch.equal(a[11][0], a[12][0])
    c, _ = make(num_words=3, seed=1)
    assert not torch.equal(a[11][0], c[11][0])
    with pytest.raises(IndexError):
        _ = a[len(a)]
    for s, t in zip(a[-1], a[len(a) - 1]):
        assert torch.equal(s, t)


def test_half_a_million_samples_are_there_without_being_made():
    train, _ = make(num_words=4, train_size=497_000)
    assert len(train) == 497_000
    assert len(train.decode_text(train[496_999][1]).split()) == 4


@pytest.mark.parametrize("tokenizer", ["polar", "cartesian"])
def test_input_target_and_text_belong_together(tokenizer):
    train, _ = make(num_words=3, tokenizer=tokenizer, max_seq_length=4000)
    for i in range(20):
        x, c, y = train[i]
        assert x.shape == y.shape == (train.get_stroke_seq_length(),)
        assert c.shape == (train.get_text_seq_length(),)
        assert x[0] == train.END_TOKEN
        n = int((y == train.END_TOKEN).nonzero()[0, 0])
        assert torch.equal(x[1 : n + 1], y[:n])
        assert (y[n + 1 :] == train.PAD_TOKEN).all()
        assert (x[n + 1 :] == train.PAD_TOKEN).all()
        assert len(train.decode_stroke(x.numpy())) == len(train.decode_text(c).split()) == 3


def test_the_originals_layout_has_no_start_token_and_counts_no_padding():
    train, _ = make(num_words=2, start_token=False, mask_context=False, **ORIGINAL_DATA)
    x, c, y = train[0]
    n = int((x == train.END_TOKEN).nonzero()[0, 0])
    assert torch.equal(x[1 : n + 1], y[:n])
    assert (y[n:] == train.PAD_TOKEN).all()
    assert x[0] == 411 and x[1] == 0  # the first offset is no step at all
    assert collate([train.sample(0)], train).c.shape == (1, 50)


def test_long_samples_lose_whole_words():
    full, _ = make(num_words=6)
    cut, _ = make(num_words=6, max_seq_length=400)
    shorter = 0
    for i in range(30):
        tokens, text, _ = cut.sample(i)
        words = cut.tokenizer.split(tokens)
        assert len(tokens) < 400
        assert len(words) == len(text.split())
        for w in words:
            assert not cut.tokenizer.decode(w)[-1, 2]  # ends with the pen up: a whole word
        shorter += len(words) < 6
    assert shorter > 0
    assert all(len(full.sample(i).text.split()) <= 6 for i in range(5))
    with pytest.raises(CursiveError, match="max_seq_length"):
        make(max_seq_length=16)


def test_words_of_a_sample_differ():
    d, _ = make(num_words=4)
    assert all(len(set(d.choose(i, 4))) == 4 for i in range(200))


def test_words_of_a_sample_share_their_author():
    words = [Word(w.text, w.points, a) for a in ("A", "B") for w in load_bank("embedded").words[:20]]
    d = StrokeDataset(words, preset("debug", num_words=3), 100, True)
    assert all(len({d.words[j].author for j in d.choose(i, 3)}) == 1 for i in range(100))
    assert {d.words[d.choose(i, 3)[0]].author for i in range(100)} == {"A", "B"}


def test_all_choices_of_words_are_equally_likely():
    u = uniform(stream(1, np.arange(96_000))[:, None], np.arange(3))
    chosen = choose_words(u, np.array([0, 4]), np.array([4, 1]), np.array([0.0, 0.5, 1.0]))
    mine = chosen[chosen[:, 0] < 4]
    assert (chosen[chosen[:, 0] == 4] == 4).all()
    assert len(mine) == pytest.approx(48_000, rel=0.02)  # authors alike, however many words
    counts = collections.Counter(map(tuple, mine.tolist()))
    assert len(counts) == 4 * 3 * 2
    assert all(len(set(c)) == 3 for c in counts)
    assert max(counts.values()) < 1.15 * min(counts.values())


def test_decoded_samples_look_like_what_went_in():
    whole = dict(augment=False, downsample_mean=0.0, downsample_width=0.0)
    d, _ = make(num_words=1, **whole, tokenizer="polar")
    for i in range(10):
        word = d.words[d.choose(i, 1)[0]]
        ink = offsets_to_strokes(d.decode_stroke(d[i][0].numpy())[0])
        expected = shear(word.points, SHEAR)
        assert len(ink) == len(expected)
        assert np.abs(ink[:, 1] - expected[:, 1]).max() < 0.03


def test_tokens_can_be_told_without_words():
    train, _ = make(num_words=3, **ORIGINAL_DATA)
    codec = Codec(train.config)
    x, c, _ = train[3]
    assert codec.decode_text(c) == train.sample(3).text
    pieces = codec.split_by_word_tokens(x)
    assert [len(piece) for piece in pieces] == [len(piece) for piece in train.split_by_word_tokens(x)]
    assert np.concatenate(pieces).tolist() == x.tolist()
    for first, second in zip(pieces, pieces[1:]):
        assert first[-1] == second[0] == codec.WORD_TOKEN
    for ink, tokens in zip(codec.decode_stroke(x), codec.tokenizer.split(x)):
        assert codec.encode_stroke(ink).tolist() == tokens.tolist()
    with pytest.raises(CursiveError, match="holds 50 characters"):
        codec.encode_text(51 * "x")
