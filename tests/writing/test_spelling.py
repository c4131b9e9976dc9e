"""Words read back, and drawn again where they read wrong: which drawing is kept, what is counted and said."""

import dataclasses
import re
import warnings

import numpy as np
import pytest
import torch
from commands import Commands
from models import small_model

from cursivetransformer.apps.original import generate_paragraph
from cursivetransformer.config import ALPHABET, CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import strokes
from cursivetransformer.options import GenerationParams
from cursivetransformer.writing.page import write
from cursivetransformer.writing.reader import Reader, legibility, load_reader, read, save_reader
from cursivetransformer.writing.sample import Drawn
from cursivetransformer.writing.spelling import MANY_WRONG, Spelling

TEXT = "Sing, O goddess, the anger of Achilles son of Peleus, that brought 10 ills"
# As the bundled model writes by default, next to nothing reads wrong; no word moves for its neighbours' sake.
HOT = dict(seed=6, temperature=1.6, unevenness=0.0)


@pytest.fixture(scope="module")
def reader():
    return load_reader()


@pytest.fixture
def deaf():
    "A reader that reads nothing right: an untrained one."
    torch.manual_seed(0)
    return Reader().eval()


def told(spelling, text, model, **options):
    "A page, and the warnings given."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return write(text, model, respell=spelling, **options), [str(w.message) for w in caught]


def test_words_that_read_wrong_are_drawn_again(default, reader):
    spelling = Spelling(reader)
    plain, _ = told(None, TEXT, default, **HOT)
    page, said = told(spelling, TEXT, default, **HOT)
    before = legibility(plain, reader)
    after = legibility(page, reader)
    assert after.wrong_words < before.wrong_words == spelling.wrong and spelling.words == len(TEXT.split())
    assert after.wrong_words == len(spelling.misread) and spelling.drawn >= spelling.wrong
    wrong = [w.text != r for w, r in zip(plain, read(plain, reader))]
    for a, b, redrawn in zip(plain, page, wrong):
        assert a.text == b.text and (redrawn or np.array_equal(a.points, b.points))
    again, _ = told(Spelling(reader), TEXT, default, **HOT)
    assert all(np.array_equal(a.points, b.points) and a.page == b.page for a, b in zip(page, again))


def test_what_still_reads_wrong_is_named(default, deaf):
    spelling = Spelling(deaf)
    page, said = told(spelling, "many souls", default)
    assert [(i, text) for i, text, _ in spelling.misread] == [(0, "many"), (1, "souls")]
    assert spelling.drawn == 2 * sum(spelling.tries)
    assert len(said) == 1 and "2 of 2 words still read wrong: 0 'many' as '" in said[0]
    assert "1 'souls' as '" in said[0]
    assert [w.text for w in page] == ["many", "souls"]


def test_where_drawing_again_mends_nothing_it_stops(default, deaf):
    spelling = Spelling(deaf)
    page, said = told(spelling, TEXT, default)
    assert spelling.drawn == len(page) and len(spelling.misread) == spelling.given_up == len(page)
    assert len(said) == 1 and "does not know this hand" in said[0]


def test_of_a_word_that_can_only_be_drawn_in_one_way_no_other_is_drawn(default, deaf):
    spelling = Spelling(deaf)
    told(spelling, "many", default, do_sample=False)
    assert spelling.drawn == 0 and len(spelling.misread) == 1


def test_who_reads_is_asked_for_in_ways_that_there_are(default):
    with pytest.raises(CursiveError, match="'auto', a Spelling or None"):
        write("so", default, respell="often")


class Scripted:
    "A reader of drawings whose ink is what they read as, and its own score."

    alphabet = "abc"

    def judge(self, inks, texts):
        return [ink[0] for ink in inks], np.array([ink[1] for ink in inks])


@dataclasses.dataclass
class Drawing:
    ink: tuple  # what it reads as, and the reader's score
    mean_log_prob: float
    ended: bool = True


def test_among_drawings_that_read_right_the_likeliest_is_kept():
    spelling = Spelling(Scripted(), tries=(3,))
    first = {
        0: Drawing(("c", -9.0), 0.0),
        1: Drawing(("a", -3.0), 0.0),
        2: Drawing(("c", 0.0), -7.0),
        3: Drawing(("", 0.0), 0.0),
    }
    new = {
        0: [Drawing(("a", -5.0), -1.0), Drawing(("a", 0.0), -2.0), Drawing(("b", -0.1), 0.0)],
        1: [Drawing(("c", -4.0), 0.0), Drawing(("", -0.5), -9.0), Drawing(("c", -2.0), 0.0)],
    }

    def draw(again):
        return [new[index][number] for index, _, number in again]

    best = spelling.choose(["a", "b", "c", "€"], first, draw)
    # The likeliest of the right ones, the best read of the wrong ones.
    assert best[0] is new[0][0] and best[1] is new[1][1] and best[2].mean_log_prob == -7.0
    assert spelling.misread == [(1, "b", "")] and spelling.unread == [(3, "€")]
    assert (spelling.words, spelling.wrong, spelling.drawn) == (3, 2, 6)


@pytest.mark.parametrize(
    "options",
    [
        dict(tokenizer="cartesian"),
        dict(alphabet=ALPHABET + "€", context_vocab_size=73),
        dict(positions="learned", start_token=False, mask_context=False),
    ],
    ids=str,
)
def test_any_model_can_be_read_back(options, reader):
    model = small_model(block_size=1050, **options)
    spelling = Spelling(reader, tries=(1,))
    text = "a 5€" if "alphabet" in options else "a 5"
    page, said = told(spelling, text, model, temperature=0.5, num_steps=60)
    assert [w.text for w in page] == text.split()
    assert spelling.unread == ([(1, "5€")] if "alphabet" in options else [])
    assert not spelling.unread or any("does not know" in s for s in said)
    assert all(len(strokes(w.points)) for w in page)


# These belong into tests/apps: test_original.py and test_command_write.py


def test_a_paragraph_and_words_written_together_are_read_back_too(default, reader):
    spelling = Spelling(reader)
    text = "many a brave soul"
    together = GenerationParams(seed=2, n_at_a_time=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        offsets = generate_paragraph(default, None, text, together, respell=spelling)
    assert len(offsets) == 4 and spelling.words == 4
    plain = generate_paragraph(default, None, text, GenerationParams(seed=2))
    again = generate_paragraph(default, None, text, GenerationParams(seed=2), plain, regenerate_ixs=[1])
    assert [np.array_equal(a, b) for a, b in zip(plain, again)] == [True, False, True, True]


def test_the_command_says_what_reads_wrong(deaf, capsys, monkeypatch, tmp_path):
    command = Commands(capsys, monkeypatch, tmp_path)
    hot = [v for k, value in HOT.items() for v in (f"--{k}", value)]
    plain = command("write", TEXT, *hot, "--no-respell", "-o", "a.json")
    assert plain.returncode == 0 and plain.stderr == ""
    done = command("write", TEXT, *hot, "-o", "b.json")
    a, b = (legibility(load_bank(name).words) for name in ("a.json", "b.json"))
    assert done.returncode == 0 and b.wrong_words < a.wrong_words
    named = re.findall(r"(\d+) '\S+' as ", done.stderr)
    assert len(named) == b.wrong_words
    both = command("write", "--respell", "1", "--from", "b.json", "--no-respell")
    assert both.returncode == 2 and "give one of them" in both.stderr
    save_reader(deaf, "r/reader.safetensors")
    done = command("write", "many", "--reader", "r", "-o", "d.svg")
    assert done.returncode == 0 and "0 'many' as '" in done.stderr
    for args in (["--reader", "nowhere"], ["--reader", "r", "--no-respell"]):
        assert command("write", "many", *args).returncode == 2
    done = command("write", "--respell", "1", "--from", "b.json", "-o", "c.json")
    before, after = (load_bank(name).words for name in ("b.json", "c.json"))
    same = [np.array_equal(p.points, q.points) for p, q in zip(before, after)]
    assert done.returncode == 0 and same == [i != 1 for i in range(len(before))]


class AlwaysWrong:
    "A reader that reads every word as another."

    alphabet = "abcdefghijklmnopqrstuvwxyz"

    def judge(self, inks, texts):
        return ["no"] * len(texts), [0.0] * len(texts)


def drawing(text="a"):
    return Drawn(np.zeros((2, 3)), True, 0.0)


@pytest.mark.parametrize("short", [0, 3, 10])
def test_long_words_are_named_with_their_length_and_blame_no_reader(short):
    texts = ["a" * 40] * 10 + ["so"] * short
    spelling = Spelling(AlwaysWrong())
    drawings = {i: drawing() for i in range(len(texts))}
    spelling.choose(texts, drawings, lambda again: [drawing() for _ in again])
    long, *rest = spelling.complaints()
    assert "Too long to be spelled well: 0 'aaa" in long and "of 40 characters" in long
    assert "Break them with spaces or hyphens into pieces of 30 characters at most." in long
    assert "reader" not in long and bool(rest) == bool(short)
    if short:
        assert ("Train a reader" in rest[0]) == (
            short >= MANY_WRONG
        ) and f"{short} of {len(texts)} words" in rest[0]
