import pytest
import torch
from models import small_model

from cursivetransformer.model.decode import KVCache, advance
from cursivetransformer.model.lora import in_hand


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(positions="learned"),
        dict(mask_context=False),
        dict(tokenizer="cartesian"),
        dict(coverage=False),
        dict(place=False),
        dict(end_mark=False),
    ],
    ids=str,
)
@pytest.mark.parametrize("prefill", [1, 7])
def test_cached_decoding_equals_the_full_forward(options, prefill):
    model = small_model(**options)
    idx = torch.randint(0, model.config.vocab_size, (3, 60))
    context = torch.randint(1, 72, (3, 20))
    context[1, 9:] = 0
    with torch.no_grad():
        plain, _ = model(idx, context)
        cache = KVCache(model, context, 60)
        steps = [advance(model, idx[:, :prefill], cache)] + [
            advance(model, idx[:, i : i + 1], cache) for i in range(prefill, 60)
        ]
    torch.testing.assert_close(
        torch.stack(steps, 1), plain[:, prefill - 1 :], atol=1e-4, rtol=1e-4
    )  # random steps lead far away, where places are coarse


@pytest.mark.parametrize("keep", [[0, 3], [3, 1], [2, 3, 1], [0, 1, 2, 3]], ids=str)
def test_rows_of_a_cache_can_be_dropped(keep):
    model = small_model()
    idx = torch.randint(0, 525, (4, 10))
    context = torch.randint(1, 72, (4, 8))
    with torch.no_grad():
        plain, _ = model(idx, context)
        cache = KVCache(model, context, 10)
        for i in range(9):
            advance(model, idx[:, i : i + 1], cache)
        keep = torch.tensor(keep)
        cache.keep_rows(keep)
        torch.testing.assert_close(
            advance(model, idx[keep, 9:], cache), plain[keep, -1], atol=1e-5, rtol=1e-5
        )


def test_hands_differ_alike_in_both_ways_of_computing():
    model = small_model(authors=("Ann", "Bo", "Cy"))
    torch.nn.init.normal_(model.transformer["wae"].weight)
    idx = torch.randint(0, 525, (3, 20))
    context = torch.randint(1, 72, (3, 8))
    author = torch.tensor([2, 0, 1])
    with torch.no_grad():
        plain = model(idx, context, author=author)[0]
        first = model(idx, context)[0]
        for name, row in ("Cy", 0), ("Bo", 2):
            with in_hand(model, name):
                cache = KVCache(model, context, 20)
                for i in range(10):
                    advance(model, idx[:, i : i + 1], cache)
                cache.keep_rows(torch.tensor([2, row]))
                torch.testing.assert_close(
                    advance(model, idx[[2, row], 10:11], cache)[1], plain[row, 10], atol=1e-5, rtol=1e-5
                )
    torch.testing.assert_close(first[1], plain[1])  # the first author is who writes if nobody says
    assert (first[0] - plain[0]).abs().max() > 0.1


def test_watched_attention_is_the_same_and_can_be_changed():
    model = small_model()
    idx = torch.randint(0, 525, (2, 12))
    context = torch.randint(1, 72, (2, 8))

    def halved(weights, mask):
        return weights / 2

    with torch.no_grad():
        for watchers in ((lambda weights, mask: weights,), (halved,)):
            for block in model.transformer.h:
                block.attn.weight_hooks = block.cross_attn.weight_hooks = watchers
            plain = model(idx, context)[0]
            cache = KVCache(model, context, 12)
            steps = [advance(model, idx[:, i : i + 1], cache) for i in range(12)]
            torch.testing.assert_close(torch.stack(steps, 1), plain, atol=1e-4, rtol=1e-4)
