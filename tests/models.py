"""Small models of any kind, for the tests of the rooms model, writing and study."""

import functools

import torch

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.chain import chain_code, learn_merges
from cursivetransformer.ink.tokenizers import tokenizer_of
from cursivetransformer.model.lora import build_model

SIZES = dict(vocab_size=525, block_size=128, context_vocab_size=72, context_block_size=50)


@functools.cache
def chain_options() -> dict:
    "Settings of chain tokens with pairs from some embedded words: a token then spans several steps."
    words = [word.points for word in load_bank("embedded").words[:40]]
    merges = learn_merges([chain_code(points, grid=0.01) for points in words], 64)
    return dict(tokenizer="chain", grid=0.01, merges=64, merge_ids=tuple(i for pair in merges for i in pair))


def small_model(**options):
    "A model in eval mode whose coverage says something; a fresh one's says nothing."
    torch.manual_seed(1)
    config = preset("debug", **{"tokenizer": "polar", **SIZES, **options})
    config.vocab_size = tokenizer_of(config).vocab_size
    model = build_model(config).eval()
    for block in model.transformer.h:
        if block.cross_attn.coverage is not None:
            for p in block.cross_attn.coverage.parameters():
                torch.nn.init.normal_(p, std=0.5)
    return model
