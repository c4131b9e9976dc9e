"""Small models of any kind, for the tests of the rooms model, writing and study."""

import torch

from cursivetransformer.config import preset
from cursivetransformer.ink.tokenizers import stroke_tokenizer
from cursivetransformer.model.lora import build_model

SIZES = dict(vocab_size=525, block_size=128, context_vocab_size=72, context_block_size=50)


def small_model(**options):
    "A model in eval mode whose coverage says something; a fresh one's says nothing."
    torch.manual_seed(1)
    vocab_size = stroke_tokenizer(options.get("tokenizer", "polar")).vocab_size
    model = build_model(preset("debug", **{**SIZES, "vocab_size": vocab_size, **options})).eval()
    for block in model.transformer.h:
        if block.cross_attn.coverage is not None:
            for p in block.cross_attn.coverage.parameters():
                torch.nn.init.normal_(p, std=0.5)
    return model
