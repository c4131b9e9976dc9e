"""How surprised a model is by words: every token counts once, padding never, each in its author's hand."""

import copy
import dataclasses
import math

import numpy as np
import pytest
import torch
from models import chain_options, small_model

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import Sample, collate, create_datasets
from cursivetransformer.ink.points import Augmentation, Word
from cursivetransformer.model.lora import add_authors, add_hand, in_hand, lora_modules
from cursivetransformer.training.score import evaluate_words, millimetres_drawn, score_samples


def test_evaluation_counts_every_real_token_once(tiny):
    words = load_bank("embedded").words[:40]
    one, four = (evaluate_words(tiny, words, num_words) for num_words in (1, 4))
    assert one.points == four.points and one.tokens == 2 * one.points + 40
    assert four.tokens == 2 * four.points + 10 + 2 * 30
    again = evaluate_words(tiny, words, 1)
    assert (one.nats, one.tokens) == (again.nats, again.tokens)
    assert one.per_token == pytest.approx(one.nats / one.tokens) and one.per_point > one.per_token
    # against the plain way: one sample at a time, no padding anywhere
    _, d = create_datasets(preset("debug", dataset_name="embedded", tokenizer="polar"))
    bend = Augmentation(fraction=0.65)
    nats = 0.0
    with torch.no_grad():
        for w in words:
            (tokens,) = d.tokenizer.encode_words([bend(w)], True)
            x, c, y, _ = collate([Sample(tokens, w.text, 0)], d)
            nats += torch.nn.functional.cross_entropy(tiny(x, c)[0][0], y[0], reduction="sum").item()
    assert one.nats == pytest.approx(nats, rel=1e-4)


def test_scores_do_not_depend_on_padding(default):
    _, d = create_datasets(dataclasses.replace(default.config, dataset_name="embedded"))
    samples = [d.sample(i, k) for i, k in zip(range(12), [1, 2, 3] * 4)]
    alone, together = (score_samples(default, samples, d, rows=rows).nats for rows in (1, 12))
    assert alone == pytest.approx(together, rel=1e-4)


def test_words_a_model_cannot_take_are_named(default):
    points = load_bank("embedded").words[0].points
    with pytest.raises(CursiveError, match="'x{97}'"):
        evaluate_words(default, [Word("x" * 97, points)])


def test_words_of_an_unknown_author_are_scored_in_the_first_hand_whatever_hand_is_chosen(tiny):
    words = load_bank("embedded").words[:5]
    model = copy.deepcopy(tiny)
    add_authors(model, ("First",))
    add_hand(model, "Added")
    torch.manual_seed(0)
    for weight in (model.added[0], *(lora.up[0] for lora in lora_modules(model))):
        torch.nn.init.normal_(weight)
    first = evaluate_words(tiny, words).nats  # of the model to which no hand was added
    added = evaluate_words(model, [dataclasses.replace(w, author="Added") for w in words]).nats
    assert abs(first - added) > 1
    with in_hand(model, "Added"):
        assert evaluate_words(model, words).nats == pytest.approx(first, rel=1e-6)


def test_the_line_is_measured_where_the_pen_is_down():
    ink = [[0, 0, 1], [3, 4, 1], [3, 4, 0], [9, 9, 1], [9, 10, 1], [9, 10, 0], [20, 20, 1]]
    assert millimetres_drawn(np.array(ink, float)) == 25 * (5 + 1)


def test_nats_a_word_and_bits_a_millimetre_compare_tokenizers():
    words = load_bank("embedded").words[:6]
    length = sum(millimetres_drawn(w.points) for w in words)
    for options in chain_options(), {}:
        model = small_model(**options, block_size=1050)
        one, two = (evaluate_words(model, words, n) for n in (1, 2))
        assert one.words == two.words == 6 and one.millimetres == two.millimetres == length
        assert one.per_word == one.nats / 6
        assert one.bits_per_millimetre == pytest.approx(one.nats / math.log(2) / length)
        figures = dict(line.split() for line in str(one).splitlines())
        assert float(figures["nats/word"]) == pytest.approx(one.per_word, abs=0.01)
        assert ("points" in figures) == (options == {})  # chain tokens write none
