"""Hands: files that are whole or refused, old hands that stay as they were, mixes, a folder, pages."""

import copy
import dataclasses
import json
import re
import struct
import warnings

import numpy as np
import pytest
import torch
from models import chain_options, small_model

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import Provenance
from cursivetransformer.model.checkpoint import DEFAULT, EDITIONS, edition_of, load_model, save_model
from cursivetransformer.model.lora import add_hand, in_hand, shared_weights, with_vector
from cursivetransformer.options import WritingOptions
from cursivetransformer.writing import hands
from cursivetransformer.writing.bulk import write_bulk
from cursivetransformer.writing.capture import trace_words
from cursivetransformer.writing.hands import (
    ENDING,
    Hand,
    add_to_folder,
    check_name,
    find_hand,
    hand_between,
    hand_of,
    hands_folder,
    hands_in_folder,
    known_hands,
    names_to_choose,
    notes_in,
    open_hand,
    open_hands,
    parse_mix,
    read_hand,
    remove,
    save_hand,
)
from cursivetransformer.writing.page import respell, save_page, write
from cursivetransformer.writing.reader import BUNDLED_SHA256, load_reader, save_reader
from cursivetransformer.writing.spelling import Spelling, generate_words, spelling_of

QUICK = dict(seed=1, respell=None, num_steps=40)  # an untrained model finds no end


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    "A folder of hands that is nobody's."
    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path / "hands"))
    return tmp_path / "hands"


@pytest.fixture
def model():
    "It has two hands; all its numbers are those of half precision."
    return halved(small_model(block_size=1050, authors=("Ann", "Bo")))


def halved(model):
    "The same model, with numbers that half precision can hold; its hands, all that is added, differ."
    with torch.no_grad():
        for name, p in model.named_parameters():
            if re.search(r"wae|^added|parametrizations\.\w+\.0\.", name):
                torch.nn.init.normal_(p, std=0.3)
            p.copy_(p.half())
    return model


def logits(model, author):
    "What a model answers to some tokens in a hand."
    generator = torch.Generator().manual_seed(0)
    idx = torch.randint(0, 525, (2, 20), generator=generator)
    context = torch.randint(1, 72, (2, 8), generator=generator)
    with torch.no_grad(), in_hand(model, author):
        return model(idx, context)[0]


def new_hand(model, name="Cy", **facts):
    "Another hand that is a vector."
    hand = dataclasses.replace(hand_of(model, "Ann"), name=name, **facts)
    hand.vector = hand.vector.flip(0).half().float()
    return hand


def as_file(hand, tmp_path):
    return save_hand(hand, tmp_path / "elsewhere")


def bits(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_bits(model, before):
    now = model.state_dict()
    return now.keys() == before.keys() and all(torch.equal(now[n], before[n]) for n in before)


# A file


def test_a_vector_comes_back_from_its_file_with_all_that_is_known_of_it(model, tmp_path):
    facts = dict(characters="abc ", figures={"characters wrong": 0.012, "reader": "ours"}, author="Cy Doe")
    hand = new_hand(model, **facts, date="2026-11-27", licence="may be used for anything, says Cy Doe")
    path = as_file(hand, tmp_path)
    assert path.name == "Cy.hand.safetensors" and path.stat().st_size < 2000
    again = read_hand(path)
    assert torch.equal(again.vector, hand.vector) and again.vector.dtype == torch.float32
    assert again.notes() == hand.notes() == {**facts, "date": hand.date, "licence": hand.licence}
    assert (again.name, again.edition, again.kind) == ("Cy", edition_of(model), "vector")
    opened = open_hand("Cy", _with(model, path))
    assert torch.equal(logits(opened.model, "Cy"), logits(with_vector(model, "x", hand.vector), "x"))


def _with(model, path):
    "The model, when a hand is in the folder."
    add_to_folder(path, model=model)
    return model


def test_a_clone_by_lora_is_a_hand_and_goes_on_writing_in_its_own_file(model, tmp_path):
    base = copy.deepcopy(model)
    add_hand(model, "Di")
    halved(model)
    hand = hand_of(model, "Di")
    assert hand.kind == "LoRA" and hand.edition == edition_of(model) == edition_of(base)
    opened = open_hand("di", _with(base, as_file(hand, tmp_path)))
    torch.testing.assert_close(logits(opened.model, "Di"), logits(model, "Di"), atol=1e-5, rtol=1e-5)
    assert (logits(base, "Ann") - logits(model, "Di")).abs().max() > 0.01
    # A file with the clone in it writes as it always did.
    file = save_model(model, tmp_path / "clone.safetensors")
    whole, _ = load_model(file)
    own = open_hand("Di", whole)
    assert own.model is whole and torch.equal(logits(whole, "Di"), logits(model, "Di"))


def test_all_weights_of_a_clone_are_a_hand_of_those_that_differ(model, tmp_path):
    learned = with_vector(copy.deepcopy(model), "Ed", torch.ones(32))
    with torch.no_grad():
        for name, weight in shared_weights(learned).items():
            if "mlp" in name:
                weight.add_(0.25 * weight).copy_(weight.half())
    hand = hand_between(learned, model, "Ed")
    assert hand.kind == "weights" and hand.edition == edition_of(model) != edition_of(learned)
    assert hand.weights and all("mlp" in name for name in hand.weights)
    before = bits(model)
    opened = open_hand("Ed", _with(model, as_file(hand, tmp_path)))
    torch.testing.assert_close(logits(opened.model, "Ed"), logits(learned, "Ed"), atol=1e-5, rtol=1e-5)
    assert same_bits(model, before) and opened.edition == edition_of(model)


@pytest.mark.parametrize("kind", ["vector", "LoRA", "weights"])
def test_old_hands_stay_as_they_were_when_one_is_added(model, tmp_path, kind):
    add_hand(model, "Old")
    halved(model)
    before = bits(model)
    answers = {author: logits(model, author) for author in model.authors}
    own = shared_weights(model)
    changes = {
        "vector": {},
        "LoRA": {"low_rank": {"lm_head.weight": (torch.ones(525, 2), torch.ones(2, 32))}},
        "weights": {"weights": {"lm_head.weight": torch.ones_like(own["lm_head.weight"])}},
    }
    opened = open_hand("Cy", _with(model, as_file(new_hand(model, **changes[kind]), tmp_path)))
    assert opened.model is not model and same_bits(model, before)
    for author, answer in answers.items():
        assert torch.equal(logits(model, author), answer)
        if kind == "vector":  # which shares all weights: the old hands write in it too
            torch.testing.assert_close(logits(opened.model, author), answer, atol=1e-5, rtol=0)
            assert torch.equal(logits(opened.model, author), answer)
    assert not torch.allclose(logits(opened.model, "Cy"), answers["Ann"])
    assert model.authors == ("Ann", "Bo", "Old")


def test_a_hand_can_be_added_to_a_model_of_one_hand_or_of_none(tmp_path):
    for authors in ("Ann",), ():
        model = small_model(authors=authors)
        answer = logits(model, None)
        hand = Hand("Cy", edition_of(model), torch.ones(32))
        found = open_hand("Cy", _with(model, as_file(hand, tmp_path)))
        assert torch.equal(logits(found.model, found.model.authors[0]), answer)
        assert not torch.allclose(logits(found.model, "Cy"), answer)
        assert open_hand(None, model).name == "".join(authors)
        remove("Cy")


# What is refused


@pytest.mark.parametrize(
    "name",
    ["", " a", "a.", ".a", "a+b", "a:2", "a/b", "..", "a\\b", "a,b", "a\nb", "all", "All", "x" * 65, "a*"],
)
def test_names_that_mean_something_else_are_refused(model, name):
    with pytest.raises(CursiveError, match="cannot be called"):
        check_name(name)
    with pytest.raises(CursiveError, match="cannot be called"):
        save_hand(new_hand(model, name), hands_folder())
    assert not hands_folder().exists()


def test_names_that_are_taken_are_refused_whatever_their_case(model, tmp_path):
    path = as_file(new_hand(model), tmp_path)
    add_to_folder(path, model=model)
    for name in None, "CY", "ann", "BO":
        with pytest.raises(CursiveError, match="There is a hand called '(Cy|Ann|Bo)' already"):
            add_to_folder(path, name, model)
    assert add_to_folder(path, "Cy the second", model).name == "Cy the second"
    assert sorted(p.name for p in hands_folder().iterdir()) == [f"Cy the second{ENDING}", f"Cy{ENDING}"]


def test_a_hand_of_another_edition_gets_a_sentence(model, tmp_path):
    path = as_file(new_hand(model), tmp_path)
    other = small_model(authors=("Ann",), n_layer=1)
    with pytest.raises(
        CursiveError, match=f"belongs to the model {edition_of(model)}, and this is the model"
    ):
        add_to_folder(path, model=other)
    add_to_folder(path, model=model)
    with pytest.raises(CursiveError, match="learn it again"):
        open_hand("cy", other)
    assert names_to_choose(other) == ["Ann"] and names_to_choose(model) == ["Ann", "Bo", "Cy"]
    six = dataclasses.replace(new_hand(model, "Six"), edition="6")
    with pytest.raises(CursiveError, match="belongs to edition 6"):
        add_to_folder(as_file(six, tmp_path), model=model)


def rewritten(path, header=None, tensors=None, facts=None):
    "A file of a hand with something else in it, and a digest that is right."
    from safetensors.torch import load, save

    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    old = json.loads(data[8 : 8 + size])["__metadata__"]
    old.pop("sha256")
    old["hand"] = json.dumps(json.loads(old["hand"]) | (facts or {}))
    new = {**old, **(header or {})}
    tensors = load(data) if tensors is None else tensors
    path.write_bytes(save(tensors, {**new, "sha256": hands.digest(tensors, new)}))
    return path


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(header={"format": "else"}), "is no hand"),
        (dict(header={"version": "2"}), "format version 2"),
        (dict(header={"hand": "[]"}), "does not describe"),
        (dict(header={"hand": "{"}), "does not describe"),
        (dict(header={"hand": "[" * 100_000}), "does not describe"),
        (dict(facts={"name": "../up"}), "cannot be called"),
        (dict(facts={"colour": "red"}), "does not describe"),
        (dict(facts={"author": 3}), "not texts"),
        (dict(facts={"licence": "\x1b[2J"}), "can be printed"),
        (dict(facts={"figures": []}), "does not describe"),
        (dict(facts={"figures": {"a": {}}}), "not texts"),
        (dict(tensors={"reader.head.weight": torch.ones(2)}), "neither a vector nor weights"),
        (dict(tensors={"vector": torch.ones(2, 2)}), "no part of a hand"),
        (dict(tensors={"vector": torch.ones(2), "else": torch.ones(2)}), "no part of a hand"),
        (dict(tensors={"vector": torch.full((2,), float("nan"))}), "not finite"),
        (
            dict(tensors={"vector": torch.ones(1_100_000).half()}),
            "2.2 MB, and a hand that is a vector takes 2 MB",
        ),
        (dict(tensors={"weights.a": torch.ones(2_100_000).half()}), "weights of its own takes 4 MB"),
    ],
)
def test_files_that_are_no_hands_are_refused(model, tmp_path, change, says):
    path = rewritten(as_file(new_hand(model), tmp_path), **change)
    with pytest.raises(CursiveError, match=says) as error:
        add_to_folder(path, model=model)
    assert str(error.value).count("\n") == 0 and not hands_folder().exists()


def test_broken_files_are_refused_wherever_they_are_broken(model, tmp_path):
    path = as_file(new_hand(model), tmp_path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for k in range(60):
        at = int(rng.integers(len(data)))
        broken = data[:at] if k % 2 else data[:at] + bytes([data[at] ^ 1 + k]) + data[at + 1 :]
        path.write_bytes(broken)
        with pytest.raises(CursiveError):
            read_hand(path)
    for other in (tmp_path / "none", tmp_path, DEFAULT):
        with pytest.raises(CursiveError):
            read_hand(other)


@pytest.mark.parametrize(
    "change, says",
    [
        (dict(vector=torch.ones(31)), "'vector' has no counterpart"),
        (dict(weights={"lm_head.weight": torch.ones(3, 3)}), "'lm_head.weight' has no counterpart"),
        (dict(weights={"nothing": torch.ones(3)}), "'nothing' has no counterpart"),
        (dict(weights={"transformer.wae.weight": torch.ones(2, 32)}), "no counterpart"),
        (dict(low_rank={"lm_head.weight": (torch.ones(525, 2), torch.ones(2, 31))}), "no counterpart"),
        (
            dict(low_rank={"lm_head.weight": (torch.ones(525, 2), torch.ones(3, 32))}),
            "no counterpart of None",
        ),
        (
            dict(low_rank={"lm_head.weight": (torch.ones(400_000, 1), torch.ones(1, 400_000))}),
            "no counterpart",
        ),
        (dict(low_rank={"transformer.ln_f.weight": (torch.ones(31), None)}), "no counterpart"),
    ],
)
def test_a_hand_that_does_not_fit_is_refused(model, tmp_path, change, says):
    hand = dataclasses.replace(new_hand(model), **change)
    with pytest.raises(CursiveError, match=says):
        add_to_folder(as_file(hand, tmp_path), model=model)


def test_what_half_precision_cannot_hold_is_not_saved(model, tmp_path):
    with pytest.raises(CursiveError, match="half precision"):
        as_file(dataclasses.replace(new_hand(model), vector=torch.full((32,), 1e6)), tmp_path)
    assert not (tmp_path / "elsewhere").exists()


def test_notes_that_could_not_be_read_again_are_not_saved(model, tmp_path):
    for facts in dict(licence="two\nlines"), dict(figures={"a": None}), dict(author=3):
        with pytest.raises(CursiveError, match="cannot be saved: its notes are not texts"):
            as_file(new_hand(model, **facts), tmp_path)


# The folder


def test_the_folder_is_the_users_unless_another_is_named(folder, monkeypatch):
    assert hands_folder() == folder and hands_in_folder() == {}
    monkeypatch.delenv("CURSIVE_HANDS")
    monkeypatch.setenv("XDG_DATA_HOME", "/somewhere")
    assert hands_folder().parts[-2:] == ("cursivetransformer", "hands")


def test_known_hands_are_the_models_and_the_users(model, tmp_path, folder):
    add_to_folder(as_file(new_hand(model, author="Cy Doe"), tmp_path), model=model)
    (folder / f"broken{ENDING}").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    notes = {"Ann": {"licence": "OFL", "figures": {"words": 3}}}
    with pytest.warns(UserWarning, match="A hand is left out: .*broken"):
        known = known_hands(model, notes)
    assert [h.name for h in known] == ["Ann", "Bo", "Cy"]
    assert [h.licence for h in known] == ["OFL", "", ""] and known[2].author == "Cy Doe"
    with pytest.warns(UserWarning, match="left out"):
        remove("cy")
    assert sorted(p.name for p in folder.iterdir()) == [f"broken{ENDING}", "notes.txt"]


def test_what_is_known_of_a_models_hands_stands_in_its_file(model, tmp_path):
    notes = {"Ann": {**new_hand(model, licence="OFL").notes(), "mood": "good"}}
    _, header = load_model(save_model(model, tmp_path / "m.safetensors", hands=notes))
    assert notes_in(header)["Ann"]["licence"] == "OFL" and "mood" not in notes_in(header)["Ann"]
    _, header = load_model(save_model(model, tmp_path / "m.safetensors"))
    assert notes_in(header) == {}


def test_only_ones_own_hands_can_be_removed(model, tmp_path):
    add_to_folder(as_file(new_hand(model, "Cynthia"), tmp_path), model=model)
    for name, says in ("Ann", "those of the model itself stay"), ("Cyntia", "Did you mean 'Cynthia'"):
        with pytest.raises(CursiveError, match=says):
            remove(name)


# By name


def test_names_are_found_whatever_their_case_and_proposed_where_they_are_not(model, tmp_path):
    assert find_hand("ANN", model).name == "Ann" and open_hand("bo", model).author == "Bo"
    with pytest.raises(CursiveError, match="Ann, Bo, and not of 'Anm'. Did you mean 'Ann'"):
        open_hand("Anm", model)
    with pytest.raises(CursiveError, match="Did you mean 'Ann'"):
        open_hand("ahn", model)
    with pytest.raises(CursiveError, match="does not say whose hand"):
        open_hand("Ann", small_model())
    for several in "ann,bo", "all":
        with pytest.raises(CursiveError, match="names several hands"):
            open_hand(several, model)
    twice = small_model(authors=("ann", "Ann"))
    assert open_hand("Ann", twice).author == "Ann" and open_hand("ann", twice).author == "ann"


def test_a_models_own_hand_comes_with_the_very_model(model):
    for author in None, "Ann", "bo":
        assert open_hand(author, model).model is model
    assert open_hand(None, model).author is None and open_hand(None, model).name == "Ann"


def test_several_hands_are_opened_by_a_list_or_all_together(model, tmp_path):
    add_to_folder(as_file(new_hand(model), tmp_path), model=model)
    assert [h.name for h in open_hands("all", model)] == ["Ann", "Bo", "Cy"]
    assert [h.name for h in open_hands("cy, ann, CY, ann+bo", model)] == ["Cy", "Ann", "Ann:0.5+Bo:0.5"]
    assert [h.author for h in open_hands(None, model)] == [None]
    assert [h.name for h in open_hands("all", small_model())] == [""]
    comma = small_model(authors=("Doe, Ann", "Bo"))
    assert [h.name for h in open_hands("Doe, Ann", comma)] == ["Doe, Ann"]
    with pytest.raises(CursiveError, match="not of 'Di'"):
        open_hands("ann,Di", model)


# Mixes


def test_a_mix_is_the_mean_of_vectors_by_their_shares(model, tmp_path):
    add_to_folder(as_file(new_hand(model), tmp_path), model=model)
    ann, _, cy = (find_hand(name, model).vector for name in ("Ann", "Bo", "Cy"))
    mix = open_hand("ann:3+CY:1", model)
    assert mix.name == mix.author == "Ann:0.75+Cy:0.25"
    expected = with_vector(model, "x", 0.75 * ann + 0.25 * cy)
    torch.testing.assert_close(logits(mix.model, mix.author), logits(expected, "x"), atol=1e-5, rtol=0)
    assert torch.equal(logits(mix.model, "Ann"), logits(model, "Ann"))
    assert open_hand(mix.name, model).name == mix.name
    assert parse_mix("a + b:1") == {"a": 0.5, "b": 0.5} and parse_mix("a:2+a:1+b:1") == {"a": 0.75, "b": 0.25}
    alone = open_hand("ann:1", model)
    torch.testing.assert_close(logits(alone.model, alone.author), logits(model, "Ann"))


@pytest.mark.parametrize(
    "mix", ["ann:0+bo", "ann:-1+bo", "ann:x+bo", "ann:nan+bo", "ann:inf+bo", "+bo", "ann+", ":1"]
)
def test_what_is_no_mix_is_said(model, mix):
    with pytest.raises(CursiveError, match="A mix of hands looks like sam:0.7.print:0.3"):
        open_hand(mix, model)


def test_only_vectors_are_mixed(model, tmp_path):
    add_hand(model, "Old")
    weights = {"lm_head.weight": torch.ones(525, 32)}
    add_to_folder(as_file(new_hand(model, weights=weights), tmp_path), model=model)
    for name, what in ("Old", "low-rank adapters"), ("Cy", "weights of its own"):
        with pytest.raises(CursiveError, match=f"'{name}' is {what}, and only hands that are vectors"):
            open_hand(f"ann:0.5+{name}:0.5", model)
    with pytest.raises(CursiveError, match="not of 'Di'"):
        open_hand("ann+Di", model)


# Editions


def test_an_edition_is_what_hands_share_whatever_hands_there_are(model, tmp_path):
    edition = edition_of(model)
    assert len(edition) == 12 and edition_of(with_vector(model, "Cy", torch.ones(32))) == edition
    half, _ = load_model(save_model(model, tmp_path / "half.safetensors", half=True))
    assert edition_of(half) == edition
    add_hand(model, "Di")
    assert edition_of(model) == edition
    for change in dict(alphabet=model.config.alphabet[::-1]), dict(tokenizer="cartesian"):
        other = copy.deepcopy(model)
        other.config = dataclasses.replace(model.config, **change)
        assert edition_of(other) != edition
    with torch.no_grad():
        model.lm_head.weight[0, 0] += 0.001
    assert edition_of(model) != edition


def test_the_bundled_model_is_a_numbered_edition(default):
    assert edition_of(default) == max(EDITIONS.values(), key=float)


# The reader


@pytest.fixture
def read_by_its_own(model, tmp_path):
    "A hand whose reader thinks that everything is blank."
    bias = load_reader().head.bias.detach().clone()
    bias[0] = 100.0
    hand = new_hand(model, reader={"head.bias": bias}, reader_sha256=BUNDLED_SHA256)
    add_to_folder(as_file(hand, tmp_path), model=model)
    return hand


def test_the_reader_that_belongs_to_a_hand_reads_it(model, read_by_its_own, monkeypatch):
    opened = open_hand("cy", model)
    assert opened.reader.head.bias[0] == 100 and load_reader().head.bias[0] != 100
    words = load_bank("embedded").words[:3]
    assert opened.reader.judge([w.points for w in words])[0] == [""] * 3
    readers = []

    def choose(self, texts, first, draw):
        readers.append(float(self.reader.head.bias[0].detach()))
        return first

    monkeypatch.setattr(Spelling, "choose", choose)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for author in "cy", "ann":
            write("so", model, author=author, num_steps=20)
    assert readers[0] == 100 and readers[1] != 100
    options = WritingOptions(reader=str(hands_folder() / "none"))
    with pytest.raises(CursiveError, match="none"):  # what is given by name reads, and not the hand's
        spelling_of(True, options, opened.reader)


def test_a_reader_given_by_name_goes_before_the_hands_own(model, read_by_its_own, tmp_path):
    path = save_reader(load_reader(), tmp_path / "reader.safetensors")
    opened = open_hand("cy", model)
    assert spelling_of(True, WritingOptions(), opened.reader).reader is opened.reader
    assert spelling_of(True, WritingOptions(reader=str(path)), opened.reader).reader.head.bias[0] != 100
    assert spelling_of(None, WritingOptions(), opened.reader) is None


def test_a_reader_of_another_release_or_shape_gets_a_sentence(model, read_by_its_own, tmp_path):
    other = dataclasses.replace(read_by_its_own, name="Di", reader_sha256="0" * 64)
    add_to_folder(as_file(other, tmp_path), model=model)
    with pytest.warns(UserWarning, match="'Di' belongs to another release"):
        assert open_hand("Di", model).reader is None
    wrong = dataclasses.replace(read_by_its_own, name="Ed", reader={"head.bias": torch.ones(3)})
    with pytest.raises(CursiveError, match="The reader of the hand 'Ed' does not fit"):
        add_to_folder(as_file(wrong, tmp_path), model=model)
    save_hand(wrong, hands_folder())
    with pytest.raises(CursiveError, match="The reader of the hand 'Ed' does not fit"):
        open_hand("Ed", model)


# Writing


@pytest.mark.filterwarnings("ignore:The model found no end")
def test_words_are_written_in_a_hand_of_the_folder_and_know_it(model, tmp_path):
    add_to_folder(as_file(new_hand(model), tmp_path), model=model)
    ann, cy, mix, first = (write("to be", model, author=a, **QUICK) for a in ("ann", "CY", "ann+cy", None))
    assert all(np.array_equal(a.points, b.points) for a, b in zip(ann, first))
    assert not any(np.array_equal(a.points, b.points) for a, b in zip(ann, cy))
    edition = edition_of(model)
    assert ann[0].provenance == first[0].provenance == Provenance("Ann", edition, 1)
    assert cy[0].provenance == Provenance("Cy", edition, 1) and cy[0].author == "cursivetransformer"
    assert mix[1].provenance.hand == "Ann:0.5+Cy:0.5"
    (trace,) = trace_words(model, ["to"], WritingOptions(author="CY", seed=1, num_steps=40), ())
    opened = open_hand("cy", model)
    plain = generate_words(
        opened.model, ["to"], opened.options(WritingOptions(seed=1, num_steps=40)), tries=1
    )
    np.testing.assert_allclose(trace.ink, plain[0], atol=1e-9)
    np.testing.assert_allclose(
        write("to", model, author="cy", **{**QUICK, "num_steps": 40})[0].points[:3],
        cy[0].points[:3],
        atol=1e-6,
    )


@pytest.mark.filterwarnings("ignore:The model found no end")
def test_saved_pages_keep_hand_edition_and_seed_and_are_respelled_in_the_same_hand(model, tmp_path):
    add_to_folder(as_file(new_hand(model), tmp_path), model=model)
    page = [*write("to be", model, author="cy", **QUICK), *write("or not", model, author="bo", **QUICK)]
    path = save_page(page, tmp_path / "page.json")
    metadata = json.loads(path.read_text())[0]["metadata"]
    assert (metadata["hand"], metadata["edition"], metadata["seed"]) == ("Cy", edition_of(model), 1)
    again = load_bank(str(path)).words
    assert [w.provenance for w in again] == [w.provenance for w in page]
    how = dict(num_steps=40, seed=2)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="The page was written")
        new = respell(again, [0, 3], model, **how)
    assert [w.provenance for w in new] == [
        Provenance("Cy", edition_of(model), 2),
        *(w.provenance for w in again[1:3]),
        Provenance("Bo", edition_of(model), 2),
    ]
    plain = [dataclasses.replace(w, provenance=None) for w in again]
    cy = respell(plain, [0], model, author="cy", **how)
    assert np.array_equal(new[0].points, cy[0].points)
    other = respell(again, [0], model, author="ann", **how)
    assert other[0].provenance.hand == "Ann" and not np.array_equal(other[0].points, new[0].points)
    remove("cy")
    with pytest.raises(CursiveError, match="not of 'Cy'"):
        respell(again, [0], model, **how)


@pytest.mark.filterwarnings("ignore:The model found no end")
def test_a_page_of_another_edition_is_respelled_with_a_word_on_it(model):
    page = write("to be", model, author="bo", **QUICK)
    old = [dataclasses.replace(w, provenance=Provenance("Bo", "6", 0)) for w in page]
    now = f"written by edition 6, and this is the model {edition_of(model)}"
    with pytest.warns(UserWarning, match=now):
        new = respell(old, [1], model, num_steps=40)
    assert new[0].provenance.edition == "6" and new[1].provenance.edition == edition_of(model)
    nameless = small_model(block_size=1050)
    with pytest.warns(UserWarning, match="written by edition 6"):
        assert respell(old, [0], nameless, num_steps=40)[0].provenance.hand == ""


def test_banks_without_hands_load_as_before_and_bad_ones_are_refused(tmp_path):
    assert all(w.provenance is None for w in load_bank("embedded").words)
    item = {
        "metadata": {"asciiSequence": "a", "aspectRatio": 6},
        "points": [[0, 0.5, 1], [0.1, 0.5, 1], [0.1, 0.5, 0]],
    }
    for name, value in ("hand", 3), ("edition", []), ("seed", "1"):
        (tmp_path / "b.json").write_text(json.dumps([item | {"metadata": item["metadata"] | {name: value}}]))
        with pytest.raises(CursiveError, match=f"'{name}' is not"):
            load_bank(str(tmp_path / "b.json"))


@pytest.mark.filterwarnings("ignore:The model found no end")
def test_lines_in_bulk_take_turns_between_hands_and_say_which(model, tmp_path):
    add_to_folder(as_file(new_hand(model), tmp_path), model=model)
    lines = ["so it", "goes", "on", "and on"]
    several = WritingOptions(author="ann,cy,ann:0.5+bo:0.5", num_steps=30)
    write_bulk(lines, tmp_path / "json", model, several, respell=None)
    words = load_bank(str(tmp_path / "json/part-000000.json.zip")).words
    assert [w.text for w in words] == "so it goes on and on".split()
    assert [w.provenance.hand for w in words] == ["Ann", "Ann", "Cy", "Ann:0.5+Bo:0.5", "Ann", "Ann"]
    write_bulk(lines, tmp_path / "one", model, WritingOptions(author="CY", num_steps=30), respell=None)
    one = load_bank(str(tmp_path / "one/part-000000.json.zip")).words
    assert np.array_equal(one[2].points, words[2].points) and {w.provenance.hand for w in one} == {"Cy"}
    write_bulk(lines, tmp_path / "svg", model, several, format="svg", respell=None)
    labels = (tmp_path / "svg/part-000000/labels.tsv").read_text().splitlines()
    assert [row.split("\t") for row in labels[:3]] == [
        ["file", "text", "hand"],
        ["00000001.svg", "so it", "Ann"],
        ["00000002.svg", "goes", "Cy"],
    ]
    write_bulk(lines, tmp_path / "svg1", model, WritingOptions(num_steps=30), format="svg", respell=None)
    labels = (tmp_path / "svg1/part-000000/labels.tsv").read_text().splitlines()
    assert labels[:2] == ["file\ttext", "00000001.svg\tso it"]
    write_bulk(lines, tmp_path / "all", model, WritingOptions(author="all", num_steps=30), respell=None)
    words = load_bank(str(tmp_path / "all/part-000000.json.zip")).words
    assert [w.provenance.hand for w in words] == ["Ann", "Ann", "Bo", "Cy", "Ann", "Ann"]
    with pytest.raises(CursiveError, match="another author"):
        write_bulk(
            lines, tmp_path / "json", model, WritingOptions(author="ann,cy", num_steps=30), respell=None
        )


def test_chain_models_have_hands_too(tmp_path):
    model = small_model(**chain_options(), authors=("Ann", "Bo"), block_size=1050)
    hand = dataclasses.replace(hand_of(model, "Ann"), name="Cy", vector=torch.ones(32))
    add_to_folder(as_file(hand, tmp_path), model=model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        words = write("so", model, author="cy", respell=None, num_steps=30)
    assert words[0].provenance.hand == "Cy"


@pytest.mark.parametrize(
    "name", ["../../x", "a/b", "CON", "nul.x", "a\0b", "\u2028", "\ud800", "😀" * 64, ""]
)
def test_no_hand_is_called_what_no_file_can_be(name):
    with pytest.raises(CursiveError, match="cannot be called"):
        check_name(name)
    check_name("Zoë Ångström-O'Neill")
