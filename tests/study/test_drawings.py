"""What a model draws for its goals is what `cursive write` would draw, and is read as it should be."""

import numpy as np
import pytest

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.banks import held_out, load_bank
from cursivetransformer.model.checkpoint import CheckpointError
from cursivetransformer.options import WritingOptions
from cursivetransformer.study.drawings import (
    HELD_OUT,
    Writing,
    find_judge,
    first_drawn,
    passage,
    person_of,
    read_everything,
    respelled,
    split_note,
    write_lists,
)
from cursivetransformer.study.texts import LONG_WORDS, fixed_lists
from cursivetransformer.writing.reader import load_reader, save_reader
from cursivetransformer.writing.spelling import Spelling, generate_words

LISTS = {"long": ["anger", "brave"], HELD_OUT: ["Hades,", "etc.", "the"]}


def test_the_person_is_the_words_that_the_hash_holds_out(default):
    bank = load_bank("embedded").words
    person = person_of(bank, default.config)
    assert person.texts == [w.text for w in bank if held_out(w.text)] and len(person.texts) >= 4
    assert all(ink is w.points for ink, w in zip(person.inks, person.words))
    assert len(person_of(bank * 20, default.config, quick=True).words) == -(-len(person.words) * 20 // 10)
    with pytest.raises(CursiveError, match="4 held-out words or more, and this bank has 0"):
        person_of([w for w in bank if not held_out(w.text)], default.config)


def test_a_model_of_another_split_is_named(default, tiny):
    person = person_of(load_bank("embedded").words, default.config)
    assert default.config.split_version == 1 or not split_note(default, person)
    tiny.config.split_version = 2
    assert split_note(tiny, person) == ""
    tiny.config.split_version = 1
    try:
        assert f"of the {len(person.words)} words that split 2 holds out" in split_note(tiny, person)
    finally:
        tiny.config.split_version = 2


def test_words_that_a_model_cannot_hold_are_left_out(tiny):
    person = person_of(load_bank("embedded").words, tiny.config)
    lists = passage(tiny, person)
    longest = tiny.config.context_block_size
    assert lists["long"] == [w for w in LONG_WORDS if len(w) <= longest]
    assert lists["stops"] == fixed_lists().stops and lists[HELD_OUT] == person.texts


def test_drawings_are_those_of_writing(default):
    options = WritingOptions(seed=3)
    words = [word for some in LISTS.values() for word in some]
    said = []
    writing = write_lists(default, LISTS, options, said.append)
    for inks, spelling in (writing.first, None), (writing.respelled, Spelling()):
        ours = [ink for some in inks.values() for ink in some]
        theirs = generate_words(default, words, options, spelling=spelling)
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert {name: len(inks) for name, inks in writing.first.items()} == {"long": 2, HELD_OUT: 3}
    assert "seed 3: 5 of 5 words drawn" in said and writing.cut_off == 0


def ink_saying(number: int) -> np.ndarray:
    return np.full((2, 3), float(number))


def test_everything_is_read_and_unchanged_ink_once():
    asked = []

    def reader(inks: list) -> list:
        asked.append(len(inks))
        return ["abc"[int(ink[0, 0])] for ink in inks]

    bank = load_bank("embedded").words
    person = person_of(bank, preset("debug", context_block_size=50))._replace(words=[])
    lists = {"long": ["a", "b"], HELD_OUT: []}
    writings = []
    for second in (1, 2):
        inks = [ink_saying(0), ink_saying(second)]
        again = [inks[0], ink_saying(1)]
        empty = {HELD_OUT: []}
        writings.append(Writing({"long": inks, **empty}, {"long": again, **empty}, 0, Spelling()))
    readings = read_everything(person, lists, writings, {"me": reader})
    assert readings.wrong(first_drawn("long"), "me", 2).tolist() == [[0, 0], [0, 1]]
    assert readings.wrong(respelled("long"), "me", 2).tolist() == [[0, 0], [0, 0]]
    assert asked == [0, 0, 0, 4, 2]  # human words, held-out words twice, long words and those drawn again


def test_a_judge_is_read_from_its_file(tmp_path, monkeypatch):
    reader = load_reader()
    save_reader(reader, tmp_path / "judge.safetensors")
    assert find_judge(tmp_path / "judge.safetensors").alphabet == reader.alphabet
    monkeypatch.setattr("cursivetransformer.study.drawings.JUDGE", tmp_path / "none.safetensors")
    assert find_judge() is None
    monkeypatch.setattr("cursivetransformer.study.drawings.JUDGE", tmp_path / "judge.safetensors")
    assert find_judge() is not None
    with pytest.raises(CheckpointError):
        find_judge(tmp_path / "gone.safetensors")
