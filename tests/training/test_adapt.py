"""A reader learns a hand from few words, and goes on reading what it read."""

import dataclasses

import pytest
import torch

from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.writers import BOX, Texts, written_words
from cursivetransformer.ink.points import SHEAR, shear
from cursivetransformer.training import adapt
from cursivetransformer.training.adapt import adapted_reader, changed_tensors, half_and_half
from cursivetransformer.writing.reader import Reader, legibility, load_reader


@pytest.mark.slow
def test_a_reader_learns_a_hand_from_fifty_words_and_reads_the_old_one_as_before():
    texts = Texts([w.text for w in load_bank("embedded").words if w.text.isalpha()])
    hasty = [writer for writer in BOX if writer.name == "hasty"]
    words = [
        w for w in written_words(hasty, 0, texts, 3, box_words=400) if w.text.isascii() and w.text.isalpha()
    ]
    words = [dataclasses.replace(w, points=shear(w.points, SHEAR)) for w in words]
    known = load_bank("embedded").words
    before = load_reader()
    learned = adapted_reader(words[:50], known[:100], before)

    def errors(some):
        return [legibility(some, reader).character_error for reader in (before, learned)]

    was, now = errors(words[50:150])
    assert now < 0.7 * was
    was, now = errors(known[100:200])
    assert now < was + 0.03


def test_the_reader_that_is_given_stays_as_it_was_and_what_changed_makes_the_other(monkeypatch):
    monkeypatch.setitem(adapt.ADAPTING, "max_steps", 2)
    reader = Reader("abc", width=8)
    before = {name: tensor.clone() for name, tensor in reader.state_dict().items()}
    words = [dataclasses.replace(w, text="ab") for w in load_bank("embedded").words[:12]]
    done = []
    learned = adapted_reader(words[:4], words[4:], reader, progress=done.append)
    assert done == [1, 2] and not learned.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in reader.state_dict().items())
    changed = changed_tensors(learned, reader)
    assert "head.weight" in changed and all(tensor.is_floating_point() for tensor in changed.values())
    reader.load_state_dict(changed, strict=False)
    ink = [w.points for w in words]
    assert reader.eval().judge(ink)[0] == learned.judge(ink)[0]
    assert changed_tensors(learned, learned) == {}


def test_words_that_the_reader_cannot_spell_are_passed_over(monkeypatch):
    monkeypatch.setitem(adapt.ADAPTING, "max_steps", 1)
    words = load_bank("embedded").words[:8]
    shown = [
        dataclasses.replace(w, text=text)
        for w, text in zip(words, ["ab", "c", "ba", "no", "ü", "b", "a", "z"])
    ]
    adapted_reader(shown[:3], shown[3:], Reader("abc", width=8))


def test_the_fewer_words_come_so_often_that_they_are_half():
    few = ["a", "b"]
    many = list("cdefghij")
    for first, second in (few, many), (many, few):
        both = half_and_half(first, second)
        assert both.count("a") == both.count("b") == 4 and both.count("c") == 1
    assert half_and_half(few, []) == few
