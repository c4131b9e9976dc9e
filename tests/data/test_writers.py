"Synthetic writers: habits that stay, words that differ, characters that are all there."

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.config import LATIN, ConfigError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import StrokeDataset, sample_shares
from cursivetransformer.data.seeds import sample_rng
from cursivetransformer.data.writers import (
    ACCENTED,
    BOX,
    HELD_OUT,
    TEMPLATES,
    Hand,
    Stroke,
    Texts,
    cast,
    clusters,
    draw_writer,
    even,
    filled_in,
    fonts_to_write,
    joined,
    ordered,
    stretched,
    with_accents,
    with_sign,
    writer_names,
    written_words,
)
from cursivetransformer.ink.points import SHEAR, shear, slant, strokes

TEXTS = Texts([w.text for w in load_bank("embedded").words])


def hand(writer):
    return Hand(writer, fonts_to_write())


def test_a_writer_depends_on_its_number_and_the_seed_alone():
    names = sorted(fonts_to_write())
    assert draw_writer(3, 7, names) == draw_writer(3, 7, names)
    assert len({draw_writer(n, 7, names) for n in range(50)}) == 50
    assert draw_writer(3, 8, names) != draw_writer(3, 7, names)
    assert cast(5, 7)[: len(BOX)] == BOX and len(cast(5, 7)) == len(BOX) + 5


def test_no_two_words_are_alike_and_the_same_key_gives_the_same():
    writer = hand(BOX[0])
    first, second, again = (writer.write("hand", sample_rng(1, n)).points for n in (0, 1, 0))
    assert first.shape != second.shape or np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("writer", BOX, ids=lambda w: w.name)
def test_the_hands_in_the_box_write_every_character(writer):
    writer = hand(writer)
    rng = sample_rng(0)
    letters = [c for c in LATIN if c != " " and not unicodedata.combining(c)]
    for text in (*letters, *(t for accented in ACCENTED.values() for t in accented)):
        word = writer.write(text, rng)
        assert word.text == text and np.isfinite(word.points).all()
        assert len(strokes(word.points)) >= 1
        assert word.points[-1, 2] == 0 and word.points[:, 0].min() == pytest.approx(0)
        assert np.abs(word.points[:, :2]).max() < 1.2


def test_habits_are_seen_in_the_ink():
    upright, slanted = BOX[0], BOX[1]
    rng = sample_rng(3)

    def lean(writer):
        words = [hand(writer).write(text, rng) for text in ("minimum", "tilt", "hill", "dull")]
        return np.mean([slant(shear(w.points, SHEAR)) for w in words])

    assert abs(lean(upright)) < 0.1 and lean(slanted) > 0.2


def test_letters_that_join_are_fewer_strokes_and_marks_come_last():
    rng = sample_rng(5)
    names = {w.name: w for w in BOX}
    alone, together = (strokes(hand(names[n]).write("minimum", rng).points) for n in ("print", "tidy"))
    assert len(together) < len(alone)
    *_, before, dot = together
    assert np.ptp(dot, axis=0).max() < 0.06 and dot[:, 1].mean() < before[:, 1].max()


@given(st.lists(st.floats(-4, 2), min_size=2, max_size=20), st.floats(0.5, 2), st.floats(0.5, 2))
def test_stretching_keeps_the_order_of_heights_and_small_letters_as_they_are(y, ascender, descender):
    y = np.sort(y)
    out = stretched(y, ascender, descender)
    assert (np.diff(out) >= -1e-9).all()
    inside = (y >= -1) & (y <= 0)
    np.testing.assert_allclose(out[inside], y[inside], atol=1e-9)


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), min_size=1, max_size=30), st.floats(0.02, 1))
def test_even_points_keep_the_ends_and_lie_no_farther_apart(points, spacing):
    line = np.array(points)
    out = even(line, spacing)
    np.testing.assert_allclose(out[[0, -1]], line[[0, -1]], atol=1e-9)
    assert len(out) >= 2 and np.hypot(*np.diff(out, axis=0).T).max() <= spacing + 1e-6


def test_strokes_are_joined_where_their_ends_are_near_and_no_mark_is():
    a = Stroke(np.array([[0.0, 0.0], [1.0, 0.0]]), late=False)
    b = Stroke(np.array([[1.1, 0.0], [2.0, 0.0]]), late=False)
    mark = Stroke(np.array([[1.05, 0.0], [1.06, 0.0]]), late=True)
    assert [len(line) for line in joined([a, b], 0.2)] == [4]
    assert [len(line) for line in joined([a, b], 0.05)] == [2, 2]
    assert len(joined([a, mark, b], 0.2)) == 3
    assert ordered([a, mark, b], marks_last=True) == [a, b, mark]
    assert ordered([a, mark, b], marks_last=False) == [a, mark, b]


@given(st.text("eiouaáéṹçąßd\u0301\u0323", min_size=1, max_size=12))
def test_clusters_are_letters_with_their_marks(text):
    text = unicodedata.normalize("NFD", text)
    found = clusters(text)
    assert "".join(found) == text and all(found)
    assert all(not unicodedata.combining(c[0]) for c in found[1:])
    assert all(unicodedata.combining(mark) for c in found for mark in c[1:])


def test_texts_are_spelled_in_the_alphabet_and_hold_all_of_it():
    rng = sample_rng(11)
    texts = [TEXTS.draw(rng) for _ in range(8000)]
    assert all(texts) and max(map(len, texts)) < 60
    assert all(unicodedata.normalize("NFD", t) == t for t in texts)
    assert set("".join(texts)) == set(LATIN) - {" "}


def test_accents_stand_on_letters_that_take_them_and_signs_anywhere():
    rng = sample_rng(2)
    for _ in range(50):
        for cluster in clusters(with_accents("handwriting", rng)):
            assert len(cluster) == 1 or cluster in ACCENTED[cluster[0]]
        assert len(with_sign("hand", rng)) == 5
    for template in TEMPLATES:
        pattern = "".join({"9": "[0-9]", "a": "[a-z]", "A": "[A-Z]"}.get(c, re.escape(c)) for c in template)
        assert re.fullmatch(pattern, filled_in(template, rng))


def test_no_writer_has_the_font_that_is_held_out():
    assert HELD_OUT not in fonts_to_write()
    for writer in cast(60, 1):
        assert HELD_OUT not in (writer.font, writer.capitals, writer.digits)


def test_samples_are_shared_out_among_people_and_writers():
    config = preset(writers=3, writer_words=2, bank_share=0.6)
    names = writer_names(config)
    words = written_words(cast(3, config.seed)[len(BOX) :], 2, TEXTS, config.seed)
    assert [w.author for w in words[::2]] == names[len(BOX) :]
    shares = sample_shares(["a", "b", *names[-2:]], np.array([5, 50, 10, 30]), config)
    np.testing.assert_allclose(np.diff(shares), [0.3, 0.3, 0.1, 0.3])
    shares = sample_shares(["a", "b"], np.array([5, 50]), config)
    np.testing.assert_allclose(np.diff(shares), [0.5, 0.5])
    people = load_bank("embedded").words[:40]
    data = StrokeDataset([*people, *words], preset(writers=3, bank_share=0.6, alphabet=LATIN), 2000, False)
    share = np.mean([not data.words[data.choose(i, 1)[0]].author.startswith("writer") for i in range(2000)])
    assert share == pytest.approx(0.6, abs=0.05)


def test_shares_lie_between_0_and_1():
    with pytest.raises(ConfigError, match="bank_share"):
        preset(bank_share=1.5)


def test_the_hand_that_is_learned_has_its_share_and_the_others_theirs_by_their_words():
    config = preset(hand_share=0.5, authors=("Sam", "print", "me"))
    shares = sample_shares(["Sam", "me", "print"], np.array([6, 3, 2]), config)
    np.testing.assert_allclose(np.diff(shares), [0.375, 0.5, 0.125])
    np.testing.assert_allclose(np.diff(sample_shares(["me"], np.array([3]), config)), [1.0])
