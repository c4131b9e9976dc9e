"""What is captured is what was computed, whichever way, and capturing changes nothing."""

import copy
import itertools
import warnings

import numpy as np
import pytest
import torch
from attention_cases import OPTIONS, all_at_once, batch, is_clean, make, name_of, step_by_step
from models import chain_options, small_model

from cursivetransformer.apps.original import generate
from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.chain import PEN_DOWN, PEN_UP, ChainTokenizer
from cursivetransformer.ink.points import LINE_START, Word
from cursivetransformer.ink.tokenizers import tokenizer_of
from cursivetransformer.options import WritingOptions
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


@pytest.mark.parametrize("options", OPTIONS, ids=name_of)
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


@pytest.mark.parametrize("options", OPTIONS, ids=name_of)
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
    assert len(pair.ink) == len(pair.move_of_point) and pair.cross_attention.shape[2] == len(pair.tokens)
    tokens = torch.tensor([[tokenizer_of(default.config).END]])
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
    assert all(layer >= 1 for layer, _ in pointers(traces))
    for t, w in zip(traces, words):
        assert np.ptp(t.ink[:, 1]) == pytest.approx(np.ptp(w.points[:, 1]), rel=0.15)
    nats = replay(default, traces)[1] * [len(t.tokens) for t in traces]  # of all tokens of a word
    # What held-out ink of this hand costs, and a third more; if all tokens were alike it would be twice that.
    assert nats.sum() / sum(len(t.text) for t in traces) < 60


def test_single_points_are_traced(default):
    (trace,) = trace_ink(default, [Word(".", np.array([[0, -0.01, 1], [0.01, 0, 1], [0.01, 0, 0]]))])
    assert len(trace.ink) == 3


# Tokens that span several steps


def random_stream(tokenizer, seed: int) -> np.ndarray:
    "A start token and any ink, words apart, as a model without a grammar might write."
    rng = np.random.default_rng(seed)
    words = [rng.integers(0, tokenizer.n_bins, rng.integers(0, 40)) for _ in range(rng.integers(1, 4))]
    return np.append(tokenizer.END, tokenizer.join(words))


@pytest.mark.parametrize("name", ["chain", "polar", "cartesian"])
def test_every_point_has_the_token_that_drew_it(name):
    options = chain_options() if name == "chain" else dict(tokenizer=name)
    tokenizer = tokenizer_of(small_model(**options).config)
    for seed in range(50):
        stream = random_stream(tokenizer, seed)
        words = tokenizer.decode_words(tokenizer.split(stream), LINE_START)
        drawn_by = tokenizer.token_of_point(stream)
        assert len(drawn_by) == sum(map(len, words))
        assert (np.diff(drawn_by) >= 0).all() and (stream[drawn_by] < tokenizer.n_bins).all()
        assert np.isin(drawn_by, tokenizer.moves(stream)).all()
        if len(drawn_by):  # without the token of the last point, and what follows, it is not drawn
            fewer = tokenizer.decode_words(tokenizer.split(stream[: drawn_by[-1]]), LINE_START)
            assert sum(map(len, fewer)) <= len(drawn_by)


def test_a_chain_token_draws_the_points_that_its_steps_go_through():
    tokenizer = ChainTokenizer(0.01, ((PEN_DOWN, 0), (10, 0), (0, PEN_UP), (1, 1)))
    tokens = np.array([6, 11, 13, 13, 12, 0, 8, 9])  # up; down, two right; slanting; right, up; a dot
    stream = np.append(tokenizer.END, tokens)
    (ink,) = tokenizer.decode_words(tokenizer.split(stream), LINE_START)
    moves = np.concatenate([[[0, 0]], np.cumsum(tokenizer.shifts()[tokens], 0)])
    for (x, y, _), i in zip(ink, tokenizer.token_of_point(stream)):
        before, after = moves[i - 1 : i + 1]
        assert (np.minimum(before, after) - 0.01 <= [x, y]).all()
        assert ([x, y] <= np.maximum(before, after) + 0.01).all()
    drawn_by = tokenizer.token_of_point(stream)
    assert drawn_by[0] == 2 and drawn_by[-1] == 8 and drawn_by[-2] == 7
    assert np.flatnonzero(ink[:, 2] == 0).tolist() == [len(ink) - 3, len(ink) - 1]
    assert drawn_by[-3] == 5 and 1 not in drawn_by and 6 not in drawn_by  # travel in the air draws nothing


def test_words_of_chain_tokens_are_traced():
    model = small_model(**chain_options())
    style = WritingOptions(seed=1)
    texts = ["souls", "of", "many"]
    traces = trace_words(model, texts, style)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it is untrained, and ends no word
        plain = generate_words(model, texts, style, tries=1)
    replayed, _ = replay(model, traces, kinds=KINDS)
    for trace, again, ink in zip(traces, replayed, plain):
        np.testing.assert_array_equal(trace.ink, ink)
        np.testing.assert_allclose(trace.cross_attention, again.cross_attention, atol=1e-5)
        tokens = trace.tokens[trace.tokens < trace.tokenizer.n_bins]
        assert len(trace.decided) == len(tokens) == len(trace.looks([(0, 0)]))
        assert len(trace.move_of_point) == len(trace.ink) and trace.move_of_point.max() < len(tokens)
        longest = max(len(trace.tokenizer.parts[t]) for t in tokens)
        assert longest > 1 and len(set(trace.move_of_point)) < len(trace.ink)


def test_chain_words_that_were_written_together_stand_side_by_side():
    model = small_model(**chain_options())
    (word,) = trace_words(model, ["many"], WritingOptions(seed=1), ())
    gap = [word.tokenizer.WORD] * 2
    pair = Trace("many many", np.concatenate([word.tokens, gap, word.tokens[1:]]), word.tokenizer)
    first, second = np.split(pair.ink, 2)
    np.testing.assert_allclose(first, word.ink, atol=1e-12)
    np.testing.assert_allclose(second - [second[:, 0].min(), 0, 0], word.ink, atol=1e-12)
    assert second[:, 0].min() > first[:, 0].max()
    assert len(pair.move_of_point) == len(pair.ink)


def test_somebodys_ink_is_traced_with_chain_tokens_as_it_was_drawn():
    words = load_bank("embedded").words[:4]
    for word, trace in zip(words, trace_ink(small_model(**chain_options(), block_size=1050), words)):
        for axis in 0, 1:
            assert np.ptp(trace.ink[:, axis]) == pytest.approx(np.ptp(word.points[:, axis]), abs=0.25)
        assert len(align_strokes(trace, [(0, 0)]).letters) == len(trace.ink)
