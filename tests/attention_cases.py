"""Models, batches and questions that the tests of attention share: those of `capture`, of `align`, of the
pictures and of the interventions."""

import torch
from models import small_model

from cursivetransformer.model.decode import KVCache, advance

# Chain tokens that no words have: of several steps, and as many as other models' tokens.
PAIRS = [(n % 10, (3 * n + 1) % (10 + n)) for n in range(430)]
CHAIN = dict(tokenizer="chain", merges=len(PAIRS), merge_ids=tuple(i for pair in PAIRS for i in pair))
# Kinds of models that attend in different ways.
OPTIONS = {}, dict(positions="learned"), dict(mask_context=False), dict(tokenizer="cartesian"), CHAIN


def name_of(options: dict) -> str:
    "What a kind of model is called in a list of tests."
    return options.get("tokenizer") or str(options)


def make(**options):
    "A small model in double precision, so that nothing hides in rounding."
    return small_model(block_size=1050, **options).double()


def batch(rows: int = 3, length: int = 30, width: int = 9) -> tuple:  # (rows, length), (rows, width)
    "Stroke tokens and characters; the second row's text is the shorter one."
    generator = torch.Generator().manual_seed(2)
    idx = torch.randint(0, 431, (rows, length), generator=generator)
    context = torch.randint(1, 72, (rows, width), generator=generator)
    context[1, 5:] = 0
    return idx, context


@torch.no_grad()
def all_at_once(model, idx, context, prefill: int = 4) -> torch.Tensor:  # (B, T - prefill + 1, vocab_size)
    "Logits from the position `prefill - 1` on, by one call of the model."
    return model(idx, context)[0][:, prefill - 1 :]


@torch.no_grad()
def step_by_step(model, idx, context, prefill: int = 4) -> torch.Tensor:  # as `all_at_once`
    "The same logits with a cache."
    cache = KVCache(model, context, idx.shape[1])
    steps = [advance(model, idx[:, :prefill], cache)]
    for i in range(prefill, idx.shape[1]):
        steps.append(advance(model, idx[:, i : i + 1], cache))
    return torch.stack(steps, 1)


def is_clean(model) -> bool:
    "Whether nothing is left of any context."
    for module in model.modules():
        if module._forward_hooks or module._forward_pre_hooks or getattr(module, "watchers", ()):
            return False
    return True
