import json
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from cursivetransformer.config import ALPHABET, ConfigError, CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import downsample, offsets_to_strokes
from cursivetransformer.ink.tokenizers import stroke_tokenizer
from cursivetransformer.ink.tokens import (
    RADIUS_EDGES,
    THETA_EDGES,
    UNIT_CELLS,
    CartesianTokenizer,
    CharTokenizer,
    PolarTokenizer,
    fold,
)

BOTH = PolarTokenizer(), CartesianTokenizer()


@st.composite
def offsets(draw):
    n = draw(st.integers(1, 30))
    radius = draw(arrays(float, n, elements=st.floats(0, 0.9)))
    theta = draw(arrays(float, n, elements=st.floats(-np.pi, np.pi)))
    pen_down = draw(arrays(float, n, elements=st.sampled_from([0.0, 1.0])))
    return np.column_stack([radius, theta, pen_down])


def fixture(shared):
    return json.loads((shared / "fixtures/polar_tokens.json").read_text())


@pytest.mark.parametrize("case", range(5))
def test_tokens_are_those_of_the_original(shared, case):
    case = fixture(shared)["cases"][case]
    polar = PolarTokenizer()
    words = [
        downsample(load_bank(str(shared / f"data/{name}.json.zip")).words[i].points, case["downsample"])
        for name, i in case["source"]
    ]
    tokens = polar.join(polar.encode_words(words, start=False))
    assert tokens.tolist() == case["tokens"]
    ids = CharTokenizer().encode(case["text"]).tolist()
    assert ids + [0] * (50 - len(ids)) == case["context"]
    for word, points in zip(polar.split(tokens), case["decoded_points"], strict=True):
        decoded = offsets_to_strokes(polar.decode(word, centre=False))
        np.testing.assert_allclose(decoded.round(6), points, atol=1.5e-6)


def test_special_tokens_are_those_of_the_original(shared):
    theirs = fixture(shared)
    polar = PolarTokenizer()
    ours = {"vocab_size": polar.vocab_size, "pad": polar.PAD, "end": polar.END, "word": polar.WORD}
    assert ours == {k: theirs[k] for k in ours}


@given(offsets())
def test_polar_is_off_by_half_a_bin_at_most(o):
    polar = PolarTokenizer()
    back = polar.decode(polar.encode(o))
    bin_width = np.append(np.diff(RADIUS_EDGES), 0)[np.digitize(o[:, 0], RADIUS_EDGES) - 1]
    smallest = o[:, 0] < RADIUS_EDGES[1]  # decodes to 0: the step of no length
    assert (np.abs(back[:, 0] - o[:, 0]) <= np.where(smallest, RADIUS_EDGES[1], bin_width / 2) + 1e-12).all()
    assert (np.abs(back[:, 1] - o[:, 1]) <= np.diff(THETA_EDGES)[0] / 2 + 1e-12).all()
    np.testing.assert_array_equal(back[:, 2], o[:, 2])


@given(offsets())
def test_cartesian_is_off_by_half_a_cell_at_most(o):
    cartesian, polar = BOTH[1], BOTH[0]
    back = cartesian.decode(cartesian.encode(o))
    assert (np.abs(back[:, 0] - polar.decode(polar.encode(o))[:, 0]) == 0).all()
    turn = np.angle(np.exp(1j * (back[:, 1] - o[:, 1])))
    assert (np.abs(turn) <= np.sqrt(2) / (UNIT_CELLS - 1) * 1.1).all()
    np.testing.assert_array_equal(back[:, 2], o[:, 2])


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda t: t.name)
@given(tokens=arrays(int, st.integers(0, 60), elements=st.integers(-5, 700)), centre=st.booleans())
def test_any_integers_decode(tokenizer, tokens, centre):
    for word in [tokens, *tokenizer.split(tokens)]:
        o = tokenizer.decode(word, centre)
        assert o.ndim == 2 and o.shape[1] == 3 and np.isfinite(o).all()


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda t: t.name)
@given(words=st.lists(offsets(), min_size=1, max_size=4))
def test_words_come_apart_as_they_were_joined(tokenizer, words):
    tokens = [tokenizer.encode(w) for w in words]
    END, PAD = tokenizer.END, tokenizer.PAD
    stream = np.concatenate([[END], tokenizer.join(tokens), [END, PAD, PAD]])
    for a, b in zip(tokens, tokenizer.split(stream), strict=True):
        np.testing.assert_array_equal(a, b)
    assert stream.max() < tokenizer.vocab_size and len({tokenizer.PAD, tokenizer.END, tokenizer.WORD}) == 3


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda t: t.name)
@given(o=offsets())
def test_step_tables_lead_to_the_decoded_points(tokenizer, o):
    k = tokenizer.tokens_per_point
    tokens = tokenizer.encode(o)
    length, direction = tokenizer.step_tables()
    assert not length[np.reshape(tokens, (-1, k))[:, :-1]].any() and not direction[tokens[k - 1 :: k]].any()
    way = direction[tokens].reshape(-1, k, 2).sum(1)
    way /= np.hypot(*way.T)[:, None]
    points = (length[tokens[k - 1 :: k], None] * way).cumsum(0)
    np.testing.assert_allclose(points, offsets_to_strokes(tokenizer.decode(tokens))[:, :2], atol=1e-9)
    special = [tokenizer.PAD, tokenizer.END, tokenizer.WORD]
    assert not length[special].any() and not direction[special].any()


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda t: t.name)
def test_tokens_that_lift_the_pen_are_those_that_decode_to_points_with_the_pen_up(tokenizer):
    k = tokenizer.tokens_per_point
    last = np.flatnonzero(tokenizer.slot == k - 1)  # every token that ends a point
    points = np.column_stack([*(np.full(len(last), slot.first) for slot in tokenizer.slots[:-1]), last])
    pen_down = tokenizer.decode(points.ravel())[:, 2]
    assert len(pen_down) == len(last) and 0 < pen_down.sum() < len(last)
    np.testing.assert_array_equal(np.flatnonzero(tokenizer.lifts_pen), last[pen_down == 0])
    assert tokenizer.lifts_pen.shape == (tokenizer.vocab_size,)


@pytest.mark.parametrize("tokenizer", BOTH, ids=lambda t: t.name)
def test_specs_make_the_same_tokenizer(tokenizer):
    again = stroke_tokenizer(json.loads(json.dumps(tokenizer.spec())))
    assert type(again) is type(tokenizer)
    assert [len(e) for e in tokenizer.spec()["edges"]] == [len(e) for e in tokenizer.edges]
    other_machine = [np.nextafter(e, 9).tolist() for e in tokenizer.edges]
    assert type(stroke_tokenizer({**tokenizer.spec(), "edges": other_machine})) is type(tokenizer)
    for change in (
        {"vocab_size": 999},
        {"edges": []},
        {"edges": 3},
        {"edges": [["x"]]},
        {"edges": [(e + 1e-6).tolist() for e in tokenizer.edges]},
    ):
        with pytest.raises(ConfigError, match="not the one"):
            stroke_tokenizer({**tokenizer.spec(), **change})
    with pytest.raises(ConfigError, match="polar, cartesian"):
        stroke_tokenizer("hex")


@given(st.text(ALPHABET, max_size=50))
def test_characters_there_and_back(text):
    chars = CharTokenizer()
    assert chars.decode([*chars.encode(text), 0, 0]) == text


def test_folding_says_once_what_it_changed():
    with pytest.warns(UserWarning, match="é as e") as notices:
        assert fold("café “Zoë’s” naïve") == 'cafe "Zoe\'s" naive'
    assert len(notices) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fold("plain text, no notice.") == "plain text, no notice."
    with pytest.warns(UserWarning):
        assert fold("well-known — so") == "well known   so"


@given(st.text(max_size=30))
def test_folding_ends_in_the_alphabet_or_names_what_it_cannot(text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert set(fold(text)) <= {*ALPHABET, "\n"}
        except CursiveError as e:
            assert any(repr(c) in str(e) for c in text)


def test_unknown_characters_are_named():
    with pytest.raises(CursiveError, match="'€', '漢'"):
        fold("5 € 漢 €")
    with pytest.raises(CursiveError, match="fold"):
        CharTokenizer().encode("é")
    with pytest.raises(ConfigError, match="twice"):
        CharTokenizer("aa")
