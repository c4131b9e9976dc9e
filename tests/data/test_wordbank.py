"""Prompts: what the settings say happens as often as they say, what is to be covered is covered, and files
are whole."""

import json
import math
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cursivetransformer.config import ALPHABET, CursiveError
from cursivetransformer.data.wordbank import (
    LETTERS,
    Prompts,
    cover,
    describe,
    length_weights,
    little_words,
    make_words,
    parts,
    save_words,
    sentences,
    words_of_text,
)

N = 1500
SHARE = st.floats(0, 1)
SETTINGS = st.builds(
    Prompts,
    min_length=st.integers(2, 5),
    max_length=st.integers(5, 12),
    length_slope=SHARE,
    uppercase_prob=SHARE,
    capitalize_prob=SHARE,
    digit_word_prob=SHARE,
    digit_max_length=st.integers(1, 6),
    digit_decimal_prob=SHARE,
    quote_prob=SHARE,
    parenthesis_prob=SHARE,
    sentence_flow_prob=SHARE,
    punctuation_probs=st.tuples(SHARE, SHARE, SHARE, SHARE),
)


def about(count, n, p):
    "Whether `count` of `n` may happen with probability `p`: within six standard deviations."
    assert abs(count - n * p) <= 6 * math.sqrt(n * p * (1 - p)) + 1e-9, (count, n, p)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(SETTINGS, st.integers(0, 10**6))
def test_what_settings_say_happens_as_often_as_they_say(p, seed):
    words = make_words(N, p, seed)
    assert len(words) == N and all(words)
    assert words == make_words(N, p, seed)
    assert set("".join(words)) <= set(ALPHABET.strip())
    numbers = [w for w in words if any(c.isdigit() for c in w)]
    letters = ["".join(c for c in w if c.isalpha()) for w in words if not any(c.isdigit() for c in w)]
    about(len(numbers), N, p.digit_word_prob)
    assert all(len([c for c in w if c.isdigit()]) <= p.digit_max_length for w in numbers)
    assert all(p.min_length <= len(w) <= p.max_length for w in letters)
    about(sum(w.isupper() for w in letters), len(letters), p.uppercase_prob)
    capitalized = sum(w[0].isupper() and w[1:].islower() for w in letters)
    about(capitalized, len(letters), (1 - p.uppercase_prob) * p.capitalize_prob)
    about(sum('"' in w or "'" in w for w in words), N, p.quote_prob)
    about(sum("(" in w or ")" in w for w in words), N, p.parenthesis_prob)
    none = 1.0  # probability that no mark has come yet
    for mark, q in zip(p.punctuations, p.punctuation_probs):
        if mark != ".":
            about(sum(w.endswith(mark) for w in words), N, p.sentence_flow_prob * none * q)
        none *= 1 - q
    total = sum(length_weights(p).values())
    for n, weight in length_weights(p).items():
        about(sum(len(w) == n for w in letters), len(letters), weight / total)


def prompts(**changes):
    "Settings of which only these make something happen."
    none = dict(digit_word_prob=0.0, quote_prob=0.0, parenthesis_prob=0.0, sentence_flow_prob=0.0)
    return Prompts(**{**none, **changes})


def test_decimals_full_stops_and_apostrophes_are_as_often_as_they_should_be():
    p = prompts(digit_word_prob=1.0, digit_decimal_prob=0.3)
    about(sum("." in w for w in make_words(5000, p)), 5000, 0.3)
    p = prompts(sentence_flow_prob=0.8, punctuation_probs=(0.05,) * 4)
    about(sum(w.endswith(".") for w in make_words(5000, p)), 5000, 0.8 * 0.95 * 0.05)
    p = prompts(quote_prob=1.0, min_length=4)
    about(sum("'" in w[1:-1] for w in make_words(5000, p)), 5000, 0.25)


def test_letters_are_as_frequent_as_their_table_says():
    text = "".join(make_words(8000, prompts(), 5)).lower()
    for letter, weight in LETTERS.items():
        about(text.count(letter), len(text), weight / sum(LETTERS.values()))
    assert set(LETTERS) == set(string.ascii_lowercase)
    assert max(LETTERS.values()) / min(LETTERS.values()) == 1.5


@pytest.mark.parametrize(
    "wrong, says",
    [
        (dict(uppercase_prob=1.5), "uppercase_prob lies between"),
        (dict(min_length=9, max_length=3), "min_length"),
        (dict(quote_prob=float("nan")), "quote_prob"),
        (dict(punctuation_probs=(0.1,)), "one for each"),
        (dict(punctuations=";.?!"), "';'"),
        (dict(punctuation_probs=(0.1, 2, 0, 0)), "between 0 and 1"),
    ],
)
def test_settings_that_make_no_words_say_why(wrong, says):
    with pytest.raises(CursiveError, match=says):
        Prompts(**wrong)


def test_settings_stay_sound_when_they_are_changed():
    p = Prompts(punctuation_probs=[0.1, 0.2, 0.3, 0.4], quote_prob=1)
    assert p.punctuation_probs == (0.1, 0.2, 0.3, 0.4)
    with pytest.raises(CursiveError, match="quote_prob lies between"):
        p.quote_prob = 2
    with pytest.raises(CursiveError, match="min_length takes int"):
        Prompts(min_length="3")
    assert p.quote_prob == 1


WORD = st.text(ALPHABET.strip(), min_size=1, max_size=12)


def gain(word, held):
    "How many characters and pairs a word has that are not held yet."
    new = parts(word) - held
    return sum(len(part) == 1 for part in new), sum(len(part) == 2 for part in new)


@settings(max_examples=200, deadline=None)
@given(st.lists(WORD, max_size=60))
def test_a_cover_holds_everything_and_no_word_for_nothing(words):
    chosen = cover(words)
    assert set(chosen) <= set(words)
    assert len(set(chosen)) == len(chosen)
    assert set().union(*map(parts, chosen)) == set().union(*map(parts, words))
    held = set()
    for w in chosen:
        assert gain(w, held) == max(gain(x, held) for x in words)  # greedy, as it says
        assert gain(w, held) > (0, 0)
        held |= parts(w)


def test_made_up_words_cover_all_characters_and_pairs_with_few():
    chosen = cover(make_words(20_000))
    assert set("".join(chosen)) == set(ALPHABET.strip())
    pairs = {part for word in chosen for part in parts(word) if len(part) == 2}
    assert pairs == {a + b for a in string.ascii_lowercase for b in string.ascii_lowercase}
    assert len(chosen) < 140  # 676 pairs, and at most nine in a word of ten letters
    assert set("".join(chosen[:20])) == set(ALPHABET.strip())  # characters come first


@given(st.integers(0, 1500), st.integers(0, 10**6))
@settings(deadline=None)
def test_little_words_are_balanced(n, seed):
    words = little_words(n, seed)
    assert len(words) == n and all(len(w) == 2 for w in words)
    for place in 0, 1:
        counts = [sum(w[place] == c for w in words) for c in string.ascii_lowercase]
        assert max(counts) - min(counts) <= 1
    pairs = [words.count(w) for w in set(words)]
    assert n == 0 or max(pairs) <= -(-n // 676)


@given(st.text(max_size=300))
@settings(deadline=None)
@pytest.mark.filterwarnings("ignore")
def test_words_of_any_text_can_be_written(text):
    try:
        words = words_of_text(text)
    except CursiveError:
        return
    assert len(set(words)) == len(words)
    assert set("".join(words)) <= set(ALPHABET.strip())
    assert all(0 < len(w) <= 50 for w in words)


def test_words_of_a_text_come_once_and_in_order():
    with pytest.warns(UserWarning, match="1 different words"):
        words = words_of_text("The “well-known” café, the 5€ café,\nthe end.")
    assert words == ["The", '"well', 'known"', "cafe,", "the", "end."]
    with pytest.raises(CursiveError, match="no word"):
        words_of_text("€ €")


def test_files_and_what_is_said_about_them(tmp_path):
    words = ["Quick", 'b"', "it's", "Quick"]
    assert json.loads(save_words(words, tmp_path / "a.json").read_text()) == words
    assert save_words(words, tmp_path / "a.TXT").read_text().splitlines() == words
    with pytest.raises(CursiveError, match="csv"):
        save_words(words, tmp_path / "a.csv")
    said = describe(words, 2)
    assert "4 words, 3 different" in said
    assert "16 characters" in said
    assert "i      3  18.8%" in said
    assert said.splitlines()[1] == 'Quick b"'
    assert said.splitlines()[-1].startswith("4 of 676")


def test_sentences_are_the_same_for_a_seed_hold_everything_and_can_be_written():
    assert sentences(5, 3)[:2] == sentences(2, 3)
    assert sentences(5, 3) != sentences(5, 4)
    texts = sentences(200)
    assert texts[:7] == sentences(7) and texts[0] != sentences(1, seed=1)[0]
    for characters in string.digits, string.ascii_uppercase, "\"(,'":
        assert sum(bool(set(text) & set(characters)) for text in texts) > 60
    for sentence in texts:
        assert set(sentence) <= set(ALPHABET)
        assert sentence[0].isupper() and sentence[-1] in ".?!"
        assert 5 <= len(sentence.split()) <= 9


def test_the_command_writes_words_of_each_kind(cursive, tmp_path):
    flags = "--num_examples", 40, "--uppercase_prob", 1, "--digit_word_prob", 0
    done = cursive("wordbank", *flags, "-o", "a.json")
    words = json.loads((tmp_path / "a.json").read_text())
    assert done.returncode == 0
    assert len(words) == 40 and all(w.upper() == w for w in words)
    assert "40 words" in done.stdout
    (tmp_path / "t.txt").write_text("the cat sat on the mat at the end")
    assert cursive("wordbank", "--text", "t.txt", "--cover", "-o", "b.txt").returncode == 0
    words = (tmp_path / "b.txt").read_text().split()
    assert set(words) < set("the cat sat on mat at end".split())
    assert set("".join(words)) == set("thecatsonmd")
    cursive("wordbank", "--little", "--num_examples", 26, "-o", "c.json")
    little = json.loads((tmp_path / "c.json").read_text())
    assert sorted(w[0] for w in little) == sorted(string.ascii_lowercase)
    assert cursive("wordbank", "--help").stdout.count("--") > 17


@pytest.mark.parametrize(
    "flags, says",
    [
        ("--little --text t.txt", "one of them"),
        ("--little --quote_prob 1", "--quote-prob is about made-up words"),
        ("--num_examples 0", "between 1 and"),
        ("-o a.csv", "a.csv"),
        ("--text no.txt", "no.txt"),
        ("--quote_prob 2", "quote_prob"),
        ("--uper 2", "uper"),
    ],
)
def test_the_command_says_what_is_wrong_and_writes_nothing(cursive, tmp_path, flags, says):
    (tmp_path / "t.txt").write_text("the cat sat on the mat at the end")
    done = cursive("wordbank", *flags.split())
    assert done.returncode == 2
    assert says in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["t.txt"]
