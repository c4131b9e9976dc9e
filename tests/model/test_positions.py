import numpy as np
import pytest
import torch
from models import SIZES

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.chain import chain_code, learn_merges
from cursivetransformer.ink.points import LINE_START, offsets_to_strokes, strokes, strokes_to_offsets
from cursivetransformer.ink.tokenizers import stroke_tokenizer, tokenizer_of
from cursivetransformer.model.positions import pen_position


@pytest.mark.parametrize("name", ["polar", "cartesian"])
def test_the_pen_is_where_its_steps_lead(name):
    tokenizer = stroke_tokenizer(name)
    rng = np.random.default_rng(0)
    inks = [
        np.column_stack([rng.random((n, 2)) * [0.8, 0.2] - [0, 0.1], rng.random(n) > 0.2]) for n in (30, 25)
    ]
    encoded = [
        tokenizer.encode(strokes_to_offsets(ink - [ink[:, 0].min(), 0, 0], LINE_START)) for ink in inks
    ]
    config = preset("debug", **{**SIZES, "vocab_size": tokenizer.vocab_size}, tokenizer=name)
    pen = pen_position(config)
    tokens = torch.tensor([[tokenizer.END, *tokenizer.join([encoded[0]])]])
    place = torch.cat(pen.walk(tokens, pen.start(1))[:2], -1)
    drawn = offsets_to_strokes(tokenizer.decode(encoded[0]))
    k = tokenizer.tokens_per_point
    np.testing.assert_allclose(place[0, k::k].numpy(), drawn[:, :2], atol=1e-4)
    both = torch.tensor([[tokenizer.END, *tokenizer.join(encoded)]])
    x, _, _ = pen.walk(both, pen.start(1))
    begins = (
        1 + len(encoded[0]) + 2
    )  # where the second word does: its edge is as far right as the first one reaches
    farthest = offsets_to_strokes(tokenizer.decode(encoded[0]))[:, 0].max()
    last = drawn[-1, 0]
    assert abs(x[0, begins - 1, 0].item() - (last - farthest)) < 1e-4


def chain_config(grid=0.01):
    "A config with the pairs of the embedded bank."
    codes = [chain_code(word.points, grid) for word in load_bank("embedded").words]
    merge_ids = tuple(i for pair in learn_merges(codes, 40) for i in pair)
    config = preset("debug", **SIZES, tokenizer="chain", grid=grid, merge_ids=merge_ids)
    config.vocab_size = tokenizer_of(config).vocab_size
    return config


def test_chain_positions_follow_the_drawn_ink():
    "Behind the token that draws a point the pen is near it, in every word from its own left edge."
    config = chain_config()
    tokenizer = tokenizer_of(config)
    pen = pen_position(config)
    inks = [word.points for word in load_bank("embedded").words[:12]]
    encoded = tokenizer.encode_words(inks)
    x, y, _ = pen.walk(torch.tensor([[tokenizer.END, *tokenizer.join(encoded)]]), pen.start(1))
    place = torch.cat([x, y], -1)[0].numpy()
    at = 1
    for points, tokens in zip(inks, encoded):
        here = place[at : at + len(tokens)]
        np.testing.assert_allclose(here, tokenizer.shifts()[tokens].cumsum(0), atol=1e-4)
        drawn = np.concatenate(strokes(points))
        last = drawn[-1] - [drawn[:, 0].min(), 0]
        assert np.abs(here[-1] - last).max() <= config.grid / 2 + 1e-4
        at += len(tokens) + 2


def test_a_pen_can_be_followed_piece_by_piece():
    config = chain_config()
    tokenizer = tokenizer_of(config)
    pen = pen_position(config)
    inks = [word.points for word in load_bank("embedded").words[:3]]
    tokens = torch.tensor([[tokenizer.END, *tokenizer.join(tokenizer.encode_words(inks)), tokenizer.WORD, 3]])
    x, y, last = pen.walk(tokens, pen.start(1))
    state = pen.start(1)
    for i in range(0, tokens.shape[1], 7):
        part_x, part_y, state = pen.walk(tokens[:, i : i + 7], state)
        torch.testing.assert_close(part_x, x[:, i : i + 7], atol=1e-5, rtol=0)
        torch.testing.assert_close(part_y, y[:, i : i + 7], atol=1e-5, rtol=0)
    torch.testing.assert_close(state.place, last.place, atol=1e-5, rtol=0)
