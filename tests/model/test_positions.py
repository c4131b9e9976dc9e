import numpy as np
import pytest
import torch
from models import SIZES

from cursivetransformer.config import preset
from cursivetransformer.ink.points import LINE_START, offsets_to_strokes, strokes_to_offsets
from cursivetransformer.ink.tokenizers import stroke_tokenizer
from cursivetransformer.model.positions import PenPosition


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
    pen = PenPosition(config)
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
