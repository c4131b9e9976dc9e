"""The desk: a page that is written, of which single words are written again, and all of it undone."""

import dataclasses

import numpy as np
import pytest
import torch
from desk_cases import TEXT, changed, inks, seven_words, stubborn_reader
from models import small_model

from cursivetransformer.apps.desk import CANDIDATES, PIECE, Sheet, WritingDesk, summary
from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.curves import MM, on_page
from cursivetransformer.ink.points import Word, slant
from cursivetransformer.model.checkpoint import save_model
from cursivetransformer.options import GenerationParams, WritingOptions
from cursivetransformer.writing.hands import hand_of, save_hand
from cursivetransformer.writing.page import FORMATS, write
from cursivetransformer.writing.reader import load_reader


@pytest.fixture(scope="module")
def seven(default):
    return seven_words(default)


@pytest.fixture
def desk(default, seven):
    "A desk with a few words on it."
    desk = WritingDesk(default)
    desk.put(words=seven)
    return desk


@pytest.mark.parametrize("params", [WritingOptions(seed=3, width=150), GenerationParams(seed=3, width=150)])
def test_a_desk_writes_what_write_writes(default, params):
    desk = WritingDesk(default, params)
    seen = []
    desk.changed = lambda: seen.append((len(desk.sheet.words), desk.done, desk.total))
    desk.write(TEXT)
    how = dict(seed=3, sentence_line_width=6, unevenness=params.unevenness)
    page = write(TEXT, default, respell="auto", **how)
    assert len(page) == len(TEXT.split()) > PIECE
    assert [(w.text, w.page) for w in desk.page] == [(w.text, w.page) for w in page]
    assert all(np.array_equal(a.points, b.points) for a, b in zip(desk.page, page))
    assert (PIECE, PIECE, len(page)) in seen  # in pieces, with progress
    assert seen[-1] == (len(page), 0, 0)
    assert desk.message.startswith(f"{len(page)} words.")


def test_stop_keeps_what_is_written(desk):
    before = inks(desk)
    desk.changed = lambda: len(desk.sheet.words) == PIECE and desk.stop()
    desk.write(TEXT)
    assert [w.text for w in desk.sheet.words] == TEXT.split()[:PIECE]
    assert desk.message.startswith(f"Stopped: {PIECE} of {len(TEXT.split())} words")
    desk.undo()
    assert not changed(before, inks(desk)) and len(desk.sheet.words) == len(before)


def test_a_text_that_cannot_be_written_leaves_the_page(desk):
    before = desk.sheet.words
    history = list(desk.history)
    for text, why in [
        ("", "nothing to write"),
        ("cost € 5", "cannot write '€'"),
        (TEXT + " " + "o" * 97, "longer than"),
    ]:
        with pytest.raises(CursiveError, match=why):
            desk.write(text)
        assert desk.sheet.words is before and desk.history == history


def test_what_was_changed_in_a_text_is_said(default):
    desk = WritingDesk(default)
    desk.write("“naïve”")
    assert desk.sheet.words[0].text == '"naive"'
    assert "Written as the nearest the model knows" in desk.message


def test_only_marked_words_are_written_again_and_undo_goes_back(desk):
    states = [inks(desk)]
    for marks in [{2, 4}, {2}, {0, 6}]:
        desk.mark(marks)
        desk.respell()
        assert changed(states[-1], inks(desk)) == sorted(marks)
        states.append(inks(desk))
    assert not np.array_equal(states[1][2], states[2][2])  # asked again, another drawing
    while desk.history:
        assert not changed(states.pop(), inks(desk))
        desk.undo()
    assert not changed(states.pop(), inks(desk))
    with pytest.raises(CursiveError, match="nothing to undo"):
        desk.undo()


def test_writing_again_is_reproducible(desk, default, seven):
    desk.mark({1, 2})
    desk.respell()
    other = WritingDesk(default)
    other.put(words=seven)
    other.mark({1, 2})
    other.respell()
    assert all(np.array_equal(a, b) for a, b in zip(inks(desk), inks(other)))


def test_the_best_candidate_is_taken_and_another_can_be(desk):
    desk.mark({2})
    desk.offer(2)
    offered = desk.offers[2]
    assert len(offered) == CANDIDATES
    assert [c.rank for c in offered] == sorted((c.rank for c in offered), reverse=True)
    assert desk.taken(2) is None
    assert len({c.word.points.tobytes() for c in offered}) == CANDIDATES
    desk.respell()
    assert desk.sheet.words[2].points is offered[0].word.points
    assert desk.taken(2) == 0 and not desk.sheet.marks
    desk.choose(2, 3)
    assert desk.sheet.words[2].points is offered[3].word.points and desk.offers[2] is offered
    desk.choose(2, 3)  # lies there already
    assert len(desk.history) == 2
    with pytest.raises(CursiveError, match="no candidate 9"):
        desk.choose(2, 9)
    with pytest.raises(CursiveError, match="no candidate 0 for word 5"):
        desk.choose(5, 0)


def test_what_reads_wrong_comes_marked_and_stays_so(default):
    desk = WritingDesk(default, reader=stubborn_reader())
    desk.write("many a brave soul, " + "many a brave soul did it send hurrying down to Hades")
    assert desk.sheet.marks == {2, 6} == desk.sheet.says.keys()
    assert "Marked, since they still read wrong: 2 'brave' as" in desk.message
    desk.mark({2, 3})
    desk.respell()
    assert desk.sheet.marks == {2} and "Still wrong: 2 'brave' as" in desk.message
    desk.choose(2, 1)  # somebody has looked at it
    assert not desk.sheet.marks


def test_characters_that_the_reader_does_not_know(default):
    reader = load_reader()
    reader.alphabet = reader.alphabet.replace("b", "")
    desk = WritingDesk(default, reader=reader)
    desk.write("a brave soul")
    assert "Not read back, for characters that the reader does not know: 'brave'." in desk.message
    desk.mark({1})
    desk.respell()
    assert [c.says for c in desk.offers[1]] == [None] * CANDIDATES and not desk.sheet.marks


def test_a_model_that_does_not_spell_is_said_to_be_one(tiny):
    desk = WritingDesk(tiny)
    desk.write("many a brave soul did it send hurrying")
    assert "8 words are in passages that read wrong throughout" in desk.message and not desk.sheet.marks


def test_marks_are_checked(desk):
    for marks in [{7}, {-1, 2}]:
        with pytest.raises(CursiveError, match="There is no word .*: the page has words 0 to 6"):
            desk.mark(marks)
    with pytest.raises(CursiveError, match="No word is marked"):
        desk.respell()
    with pytest.raises(CursiveError, match="no words yet"):
        WritingDesk(desk.model).mark({0})


def test_stopping_to_write_again_changes_nothing(desk):
    before = inks(desk)
    desk.mark(set(range(7)))
    desk.changed = lambda: desk.done and desk.stop()
    desk.respell()
    assert desk.message == "Stopped; nothing is changed."
    assert not changed(before, inks(desk)) and desk.sheet.marks == set(range(7))


def test_lines_keep_their_words(desk):
    desk.adjust(sentence_line_width=100)
    fourth = desk.page[3]
    # A little too short for the fourth word.
    desk.adjust(sentence_line_width=fourth.page[0] + np.ptp(fourth.points[:, 0]) - 0.01)
    words = desk.sheet.words
    lines = [w.page[1] for w in desk.page]
    desk.put(words=(Word("m", words[0].points * [0.2, 1, 1]), *words[1:]))  # as if drawn much narrower
    assert len(set(lines)) > 1 and [w.page[1] for w in desk.page] != lines  # laid out anew, a word moves up
    desk.put(words=words)
    desk.mark({0})
    desk.offer(0)
    desk.offers[0][0].word.points *= [0.2, 1, 1]
    desk.respell()
    assert [w.page[1] for w in desk.page] == lines  # written again, none does
    desk.adjust(sentence_line_width=100)
    assert [w.page[1] for w in desk.page] != lines


def test_slant_size_and_line_change_the_page_but_not_the_ink(desk, tmp_path):
    words = desk.sheet.words
    wide = np.ptp(on_page(desk.picture[0])[:, 0])
    desk.adjust(size=2.0, slant=0.0)
    assert desk.sheet.words is words and np.ptp(on_page(desk.picture[0])[:, 0]) > 1.8 * wide
    assert all(abs(slant(w.points)) < 1e-6 for w in desk.picture)
    assert len({w.page[1] for w in desk.page}) == 2  # as much paper, half the words
    assert max(on_page(w)[:, 0].max() for w in desk.picture) <= desk.params.width / MM
    desk.save(tmp_path / "page.json")
    assert all(
        np.allclose(a.points, b.points - [b.points[0, 0], 0, 0], atol=1e-3)
        for a, b in zip(load_bank(str(tmp_path / "page.json")).words, desk.page)
    )
    for wrong in [dict(size=50), dict(temperature=0.0), dict(sentence_line_width=-1)]:
        with pytest.raises(CursiveError):
            desk.adjust(**wrong)
    assert desk.size == 2.0 and desk.params.temperature == 0.5


def test_every_format(desk, tmp_path):
    for kind in FORMATS:
        path = desk.save(tmp_path / f"page.{kind}")
        assert path.stat().st_size > 300 and desk.message == f"Saved {path}."
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == len(FORMATS)
    with pytest.raises(CursiveError, match="Cannot make 'page.doc'"):
        desk.save(tmp_path / "page.doc")
    with pytest.raises(CursiveError, match="write something first"):
        WritingDesk(desk.model).save(tmp_path / "empty.svg")


def test_another_model(desk, tiny, tmp_path):
    desk.mark({1})
    desk.offer(1)
    desk.load(save_model(tiny, tmp_path / "tiny.safetensors"))
    assert desk.model.config.n_layer == tiny.config.n_layer
    assert "2 layers of width 32" in desk.message
    assert not desk.offers and len(desk.sheet.words) == 7
    for path, why in [(tmp_path / "none", "no checkpoint"), ("wandb:nonsense", "names no run")]:
        with pytest.raises(CursiveError, match=why):
            desk.load(path)
    assert desk.model.config.n_layer == tiny.config.n_layer


def test_a_style_word_changes_nothing_and_says_that_the_author_does(desk):
    desk.write("a soul")
    before = inks(desk)
    desk.adjust(warmup_sample_ix=3)
    desk.write("a soul")
    assert all(map(np.array_equal, before, inks(desk))) and "author says whose hand it is" in desk.message


@pytest.mark.filterwarnings("ignore:The model found no end")
def test_words_keep_their_hand_when_they_are_written_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path / "hands"))
    model = small_model(block_size=1050, authors=("Ann", "Bo"))
    hand = dataclasses.replace(hand_of(model, "Ann"), name="Cy", vector=torch.ones(32))
    save_hand(hand, tmp_path / "hands")
    desk = WritingDesk(model, WritingOptions(author="cy", num_steps=30))
    desk.write("so it")
    assert [w.provenance.hand for w in desk.sheet.words] == ["Cy", "Cy"]
    desk.adjust(author="ann", seed=7)
    desk.mark({1})
    before = inks(desk)
    desk.respell()
    assert changed(before, inks(desk)) == [1]
    assert [(w.provenance.hand, w.provenance.seed) for w in desk.sheet.words] == [("Cy", 0), ("Cy", 7)]
    words = load_bank(str(desk.save(str(tmp_path / "page.json")))).words
    assert [w.provenance for w in words] == [w.provenance for w in desk.sheet.words]
    desk.write("so it")
    assert desk.sheet.words[0].provenance.hand == "Ann"


def test_the_panel_names_long_words_and_what_to_do():
    words = tuple(Word(text, np.zeros((2, 3))) for text in ("so", "a" * 40))
    said = summary(Sheet(words=words, says={1: "aa"}), 2, [], [])
    assert f"Too long to be spelled well: 1 '{'a' * 40}' of 40 characters. Break them" in said
    assert "Too long" not in summary(Sheet(words=words, says={0: "no"}), 2, [], [])
