"""What is captured is what was computed, whichever way, and capturing changes nothing."""

import copy
import itertools

import numpy as np
import pytest
import torch
from attention_cases import OPTIONS, all_at_once, batch, is_clean, make, step_by_step

from cursivetransformer.apps.original import generate
from cursivetransformer.config import CursiveError, WritingOptions
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import Word
from cursivetransformer.writing.align import align_strokes, pointers
from cursivetransformer.writing.capture import (
    KINDS,
    Trace,
    batch_of,
    capture,
    replay,
    trace_ink,
    trace_words,
)
from cursivetransformer.writing.page import write
from cursivetransformer.writing.spelling import generate_words


def attention_outputs(model, idx, context) -> tuple:  # ({(kind, layer): (arguments, output)}, logits)
    "What every attention module is given and gives, by the fused path."
    seen, hooks = {}, []
    for layer, block in enumerate(model.transformer.h):
        for kind, module in ("self", block.attn), ("cross", block.cross_attn):

            def keep(module, args, out, key=(kind, layer)):
                seen[key] = args, out

            hooks.append(module.register_forward_hook(keep))
    with torch.no_grad():
        logits, _ = model(idx, context)
    for hook in hooks:
        hook.remove()
    return seen, logits


def weights_of(att, kind: str, layer: int) -> torch.Tensor:  # (B, heads, T, S)
    "What was captured of a layer, in the first call."
    return att.calls[0].join((kind, layer)).transpose(1, 2)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_captured_weights_give_what_the_fused_path_gives(options):
    model = make(**options)
    idx, context = batch()
    fused, plain = attention_outputs(model, idx, context)
    with torch.no_grad(), capture(model) as att:
        logits, _ = model(idx, context)
    torch.testing.assert_close(logits, plain, atol=1e-10, rtol=0)
    for layer, block in enumerate(model.transformer.h):
        (x, _), out = fused["self", layer]
        values = block.attn.c_attn(x).split(x.shape[-1], 2)[2].view(*x.shape[:2], block.attn.n_head, -1)
        weights = weights_of(att, "self", layer)
        assert torch.allclose(weights.sum(-1), torch.ones(()).double())
        found = block.attn.c_proj((weights @ values.transpose(1, 2)).transpose(1, 2).reshape(x.shape))
        torch.testing.assert_close(found, out, atol=1e-10, rtol=0)

        cross = block.cross_attn
        (_, characters, *_), (out, _) = fused["cross", layer]
        _, values = cross.keys_values(characters)
        weights = weights_of(att, "cross", layer)
        assert torch.allclose(weights.sum(-1), torch.ones(()).double())
        found = cross.c_proj((weights @ values).transpose(1, 2).reshape(x.shape))
        if cross.coverage is not None:
            seen = cross.coverage.seen(weights_of(att, "cross", layer - 1))
            found = found + cross.coverage.progress(weights, seen)
        torch.testing.assert_close(found, out, atol=1e-10, rtol=0)


def test_the_bundled_model_is_not_disturbed(default):
    traces = trace_words(default, ["goddess,", "Sing"], kinds=())
    x, c, y = batch_of(default, traces)
    plain, loss = default(x, c, y)
    with capture(default) as att:
        logits, same = default(x, c, targets=y)
    torch.testing.assert_close(logits.softmax(-1), plain.softmax(-1), atol=1e-5, rtol=0)
    exact = copy.deepcopy(default).double()
    with capture(exact):
        logits, _ = exact(x, c)
    torch.testing.assert_close(logits, exact(x, c)[0], atol=1e-10, rtol=0)
    assert same.item() == pytest.approx(loss.item(), abs=1e-5)
    assert is_clean(default)
    assert [t.text for t in att.traces()] == ["goddess,", "Sing"]
    assert [len(t.tokens) for t in att.traces()] == [len(t.tokens) for t in traces]


def test_training_goes_on_while_attention_is_captured():
    model = make().train()
    idx, context = batch()
    model(idx, context, idx)[1].backward()
    plain = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    with capture(model, ("cross",)) as att:
        model(idx, context, idx)[1].backward()
    for p, grad in zip(model.parameters(), plain):
        torch.testing.assert_close(p.grad, grad, atol=1e-10, rtol=0)
    assert att.traces()[0].self_attention is None
    assert not att.calls[0].join(("cross", 0)).requires_grad


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_step_by_step_is_the_same_as_all_at_once(options):
    model = make(**options)
    idx, context = batch()
    with capture(model) as att:
        step_by_step(model, idx, context)
        all_at_once(model, idx, context)
    cached, whole = att.calls
    assert torch.equal(cached.join("tokens"), idx) and torch.equal(whole.join("tokens"), idx)
    for kind, layer in itertools.product(KINDS, range(model.config.n_layer)):
        torch.testing.assert_close(cached.join((kind, layer)), whole.join((kind, layer)), atol=1e-10, rtol=0)


def test_attention_while_words_are_written_is_that_of_a_replay(default):
    texts = ["goddess,", "a", "Achilles", "of"]  # they leave the batch one after the other
    plain = generate_words(default, texts, WritingOptions(seed=4))
    traces = trace_words(default, texts, WritingOptions(seed=4))
    replayed, nats = replay(default, traces, kinds=KINDS)
    for text, ink, a, b in zip(texts, plain, traces, replayed, strict=True):
        assert a.text == b.text == text and np.array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.ink, ink)
        length = len(a.tokens)
        assert a.cross_attention.shape == (4, 3, length, len(text) + 1)
        assert a.self_attention.shape == (4, 3, length, length)
        np.testing.assert_allclose(a.cross_attention, b.cross_attention, atol=1e-4)
        np.testing.assert_allclose(a.self_attention, b.self_attention, atol=1e-4)
        np.testing.assert_allclose(a.cross_attention.sum(-1), 1, atol=1e-5)
    x, c, y = batch_of(default, traces)
    counts = np.array([len(t.tokens) for t in traces])
    assert (nats * counts).sum() / counts.sum() == pytest.approx(default(x, c, y)[1].item(), abs=1e-4)


def test_capture_sees_all_ways_of_writing(default):
    plain = write("many a soul", default, seed=3)
    with capture(default, ("cross",)) as att:
        page = write("many a soul", default, seed=3)
    assert all(np.array_equal(a.points, b.points) for a, b in zip(plain, page))
    assert len(att.calls) >= 1 and is_clean(default)
    assert [t.text for t in att.traces(0)] == ["a", "many", "soul"]  # rows of a batch: the shorter ones first
    with capture(default) as att:
        write("many souls", default, respell=None, n_at_a_time=2)
    (pair,) = att.traces()
    assert pair.text == "many souls"
    assert len(pair.ink) == len(pair.decided) and pair.cross_attention.shape[2] == len(pair.tokens)
    tokens = torch.tensor([[523]])
    context = torch.tensor([[5, 6, 7]])
    with capture(default) as att:
        out = generate(default, tokens, context, 12)
    assert torch.equal(out, generate(default, tokens, context, 12))
    assert torch.equal(att.calls[0].join("tokens"), out[:, :-1])


def test_models_without_a_start_token_are_traced_with_their_style_word():
    model = make(start_token=False, mask_context=False, positions="learned").float()
    bank = load_bank("embedded").words
    (trace,) = trace_words(model, ["so"], WritingOptions(num_steps=60))
    style, *rest = trace.text.split()
    assert style in {w.text for w in bank} and rest[0] == "so" and trace.cross_attention.shape[-1] == 50
    assert 0 < len(trace.ink) == len(trace.decided) and trace.decided[0] == 0
    assert len(align_strokes(trace, [(0, 0)]).coverage) == len(trace.text)
    (again,), _ = replay(model, [trace])
    seen = again.cross_attention[:, :, : len(trace.tokens)]
    np.testing.assert_allclose(seen, trace.cross_attention, atol=1e-5)


def test_memory_is_bounded():
    model = make()
    idx, context = batch(length=64)
    c = model.config
    whole = 3 * c.n_layer * c.n_ctx_head * 64 * 64 * 8  # bytes of all weights in double precision
    with capture(model, ("self",), limit=whole) as att:
        model(idx, context)
    assert att.bytes == whole
    with pytest.raises(CursiveError, match="fewer rows"), capture(model, ("self",), limit=whole - 1) as att:
        model(idx, context)
    assert is_clean(model)
    with capture(model, ("self",), rows=1, limit=whole // 3) as att:
        step_by_step(model, idx[:, :40], context)
        all_at_once(model, idx[:, :40], context)
    assert [call.join(("self", 0)).shape[:2] for call in att.calls] == [(1, 40), (1, 40)]
    assert len(att.traces()) == 1 and att.traces()[0].cross_attention is None


def test_misuse_is_explained(tiny, default):
    with capture(tiny) as att:
        pass
    with pytest.raises(CursiveError, match="within the with statement"):
        att.traces()
    with pytest.raises(CursiveError, match="cross and self, not 'both'"), capture(tiny, ("both",)):
        pass
    (trace,) = trace_words(default, ["many"], kinds=())
    with pytest.raises(CursiveError, match="Nothing was drawn for 'many'"):
        _ = Trace("many", trace.tokens[:1], trace.tokenizer).ink
    assert is_clean(default) and is_clean(tiny)


def test_somebodys_ink_is_traced_as_it_would_be_in_training(default, shared):
    words = load_bank(str(shared / "data" / "easybank.json.zip")).words[:4]
    traces = trace_ink(default, words)
    assert [t.text for t in traces] == [w.text for w in words]
    assert all(layer >= 2 for layer, _ in pointers(traces))
    for t, w in zip(traces, words):
        assert np.ptp(t.ink[:, 1]) == pytest.approx(np.ptp(w.points[:, 1]), rel=0.15)
    assert replay(default, traces)[1].mean() < 2


def test_single_points_are_traced(default):
    (trace,) = trace_ink(default, [Word(".", np.array([[0, -0.01, 1], [0.01, 0, 1], [0.01, 0, 0]]))])
    assert len(trace.ink) == 3
