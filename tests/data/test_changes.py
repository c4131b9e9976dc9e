"""How a run's words changed while it was stopped."""

import dataclasses
from types import SimpleNamespace

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.changes import change_of_words, digests, digests_of_run, strangers
from cursivetransformer.data.dataset import create_datasets


def test_digests_tell_texts_hands_and_inks_apart():
    word = load_bank("embedded").words[0]
    other = [
        dataclasses.replace(word, text="other"),
        dataclasses.replace(word, author="other"),
        dataclasses.replace(word, points=word.points * [1, 1.01, 1]),
    ]
    found = digests([word, *other])
    assert len({own for _, own in found}) == 4 and len({text for text, _ in found}) == 2
    assert digests([*other, word]) == found  # in any order


def test_only_words_of_people_are_looked_at():
    config = preset("debug", dataset_name="embedded", splice=0.3)
    training, validation = create_datasets(config)
    kept = digests_of_run(training, validation)
    assert len(kept["learned"]) == len(training.collected) < len(training.words)
    assert change_of_words(kept, kept) == ""


def test_held_out_words_that_were_learned_are_counted():
    words = load_bank("embedded").words
    before = {"learned": digests(words[:90]), "held out": digests(words[90:100])}
    now = {"learned": digests(words[2:90]), "held out": digests(words[:2] + words[90:100])}
    told = change_of_words(before, now)
    assert "88 words learned, 90 before (0 came, 2 went" in told
    assert "12 words held out, 10 before (2 came, 0 went" in told
    assert "2 words held out now had been learned: losses look better than they are." in told


def test_hands_that_came_later_are_named():
    words = load_bank("embedded").words[:3]
    collected = [*words, dataclasses.replace(words[0], author="Ana")]
    config = SimpleNamespace(authors=(words[0].author,), added_authors=())
    told = strangers(SimpleNamespace(collected=collected, config=config))
    assert told == f"1 word of hands new to this run ('Ana'): learned as '{words[0].author}'."
    assert strangers(SimpleNamespace(collected=words, config=config)) == ""
