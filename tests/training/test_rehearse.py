"""A new hand begins at the nearest known one, and old ones are seen between its words."""

import numpy as np
import torch
from models import small_model

from cursivetransformer.config import LATIN
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.writers import BOX, cast
from cursivetransformer.model.lora import add_authors, vectors_of
from cursivetransformer.training import rehearse
from cursivetransformer.training.rehearse import (
    drawn_words,
    nearest_hand,
    synthetic_words,
    synthetic_writers,
)
from cursivetransformer.writing.reader import legibility


def test_the_nearest_hand_is_the_one_in_which_the_words_surprise_least(default):
    words = load_bank("embedded").words[:12]
    found = nearest_hand(default, words)
    assert found.author == "Sam" and found.nats > 0
    assert torch.equal(found.vector, vectors_of(default)[0])


def test_hands_that_answer_badly_about_few_words_are_not_asked_about_more(monkeypatch):
    model = small_model(authors=tuple("ABCDEFGH"), block_size=1050)
    torch.nn.init.normal_(model.transformer["wae"].weight)
    asked = []

    def nats_in_hand(model, batch, number):
        asked.append((len(batch.x), number))
        return abs(number - 5) + (len(batch.x) == 2) * (number == 5) * 2

    monkeypatch.setattr(rehearse, "nats_in_hand", nats_in_hand)
    monkeypatch.setattr(rehearse, "SIEVE", ((2, 4), (8, 1)))
    progress = []
    found = nearest_hand(model, load_bank("embedded").words[:40], progress.append)
    assert found.author == "F" and progress[-1] == len(asked) == 8 + 4
    assert [count for count, _ in asked] == [2] * 8 + [8] * 4


def test_what_is_rehearsed_can_be_read_and_counts_as_a_models(default):
    words = drawn_words(default, 30)
    assert 15 < len(words) <= 30 and {w.author for w in words} == {"Sam"}
    assert legibility(words).character_error == 0 and all(w.page for w in words)
    assert synthetic_words(default) == []  # of a model of one hand nothing is written anew


def test_synthetic_writers_that_the_model_knows_write_anew_upright():
    names = tuple(writer.name for writer in cast(80, 5))
    model = small_model(authors=("Sam", *names), block_size=1050, alphabet=LATIN, writers=80, seed=5)
    writers = synthetic_writers(model)
    assert [w.name for w in writers[: len(BOX)]] == [w.name for w in BOX]
    assert len(writers) == len(BOX) + rehearse.WRITERS and len({w.name for w in writers}) == len(writers)
    words = synthetic_words(model)
    assert len(words) == len(writers) * rehearse.WORDS_EACH and all(w.page for w in words)
    assert {w.author for w in words} <= set(names)


def test_a_new_hand_begins_as_it_is_told():
    model = small_model(authors=("Ann", "Bo"), block_size=1050)
    vector = torch.arange(float(model.config.n_embd))
    add_authors(model, ("Ann", "Cy"), like=vector)
    assert model.authors == ("Ann", "Bo", "Cy")
    assert torch.equal(vectors_of(model)[-1], vector)
    np.testing.assert_array_equal(vectors_of(model)[:2], 0)
