import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.config import ConfigError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.chain import ChainTokenizer
from cursivetransformer.ink.tokenizers import TOKENIZERS, pairs_of, stroke_tokenizer, tokenizer_of


def test_a_config_names_its_tokenizer():
    for name, kind in TOKENIZERS.items():
        tokenizer = tokenizer_of(preset(tokenizer=name))
        assert type(tokenizer) is kind and tokenizer.name == name
    chain = tokenizer_of(preset(tokenizer="chain", grid=0.0125, merge_ids=(0, 0, 10, 2)))
    assert (chain.grid, chain.merges) == (0.0125, ((0, 0), (10, 2)))
    assert pairs_of(()) == ()


@given(st.floats(0.001, 0.1), st.data())
def test_a_chain_tokenizer_comes_back_from_its_spec(grid, data):
    count = data.draw(st.integers(0, 20))
    merges = [data.draw(st.tuples(st.integers(0, 9 + n), st.integers(0, 9 + n))) for n in range(count)]
    tokenizer = ChainTokenizer(grid, tuple(merges))
    again = stroke_tokenizer(json.loads(json.dumps(tokenizer.spec())))
    assert type(again) is ChainTokenizer and again.spec() == tokenizer.spec()
    assert (again.grid, again.merges, again.parts) == (grid, tuple(merges), tokenizer.parts)
    assert (again.vocab_size, again.PAD, again.END, again.WORD) == (
        13 + count,
        10 + count,
        11 + count,
        12 + count,
    )


def test_tokens_of_a_spec_and_of_a_config_are_the_same():
    config = preset(tokenizer="chain", merge_ids=(0, 0, 2, 2, 10, 10, 6, 7))
    tokenizer = tokenizer_of(config)
    again = stroke_tokenizer(tokenizer.spec())
    inks = [word.points for word in load_bank("embedded").words[:9]]
    for one, other in zip(tokenizer.encode_words(inks), again.encode_words(inks), strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize("spec", ["hex", {"name": "hex"}, {}, 3, None, ["chain"]])
def test_what_is_no_tokenizer_is_refused(spec):
    with pytest.raises(ConfigError, match="no stroke tokenizer like .*; there are chain, polar, cartesian"):
        stroke_tokenizer(spec)


BROKEN = {
    "no grid": {"name": "chain", "merges": []},
    "no merges": {"name": "chain", "grid": 0.01},
    "grid a text": {"name": "chain", "grid": "x", "merges": []},
    "no cells": {"name": "chain", "grid": 0, "merges": []},
    "ids to come": {"name": "chain", "grid": 0.01, "merges": [[0, 11]]},
    "negative": {"name": "chain", "grid": 0.01, "merges": [[0, -1]]},
    "a triple": {"name": "chain", "grid": 0.01, "merges": [[0, 1, 2]]},
    "no list": {"name": "chain", "grid": 0.01, "merges": 7},
    "a name": "chain",
}


@pytest.mark.parametrize("spec", BROKEN.values(), ids=BROKEN)
def test_a_chain_that_cannot_be_made_is_refused(spec):
    with pytest.raises(ConfigError, match="chain"):
        stroke_tokenizer(spec)
