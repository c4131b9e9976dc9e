"""How surprised a model is by words: every token counts once, padding never, each in its author's hand."""

import copy
import dataclasses

import pytest
import torch

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import Sample, collate, create_datasets
from cursivetransformer.ink.points import Augmentation, Word
from cursivetransformer.model.lora import add_authors, add_hand, in_hand, lora_modules
from cursivetransformer.training.score import evaluate_words, score_samples


def test_evaluation_counts_every_real_token_once(default):
    words = load_bank("embedded").words[:40]
    one, four = (evaluate_words(default, words, num_words) for num_words in (1, 4))
    assert one.points == four.points and one.tokens == 2 * one.points + 40
    assert four.tokens == 2 * four.points + 10 + 2 * 30
    again = evaluate_words(default, words, 1)
    assert (one.nats, one.tokens) == (again.nats, again.tokens)
    assert one.per_token == pytest.approx(one.nats / one.tokens) and one.per_point > one.per_token
    # against the plain way: one sample at a time, no padding anywhere
    _, d = create_datasets(preset("debug", dataset_name="embedded"))
    bend = Augmentation(fraction=0.65)
    nats = 0.0
    with torch.no_grad():
        for w in words:
            (tokens,) = d.tokenizer.encode_words([bend(w)], True)
            x, c, y, _ = collate([Sample(tokens, w.text, 0)], d)
            nats += torch.nn.functional.cross_entropy(default(x, c)[0][0], y[0], reduction="sum").item()
    assert one.nats == pytest.approx(nats, rel=1e-4)


def test_scores_do_not_depend_on_padding(default):
    _, d = create_datasets(preset("debug", dataset_name="embedded"))
    samples = [d.sample(i, k) for i, k in zip(range(12), [1, 2, 3] * 4)]
    alone, together = (score_samples(default, samples, d, rows=rows).nats for rows in (1, 12))
    assert alone == pytest.approx(together, rel=1e-4)


def test_words_a_model_cannot_take_are_named(default):
    points = load_bank("embedded").words[0].points
    with pytest.raises(CursiveError, match="'x{51}'"):
        evaluate_words(default, [Word("x" * 51, points)])


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
