"""Attention: what is captured is what was computed, whichever way; interventions do what they say, leave no trace, and the evidence is counted right."""

import copy
import itertools
import re
import xml.etree.ElementTree as ElementTree

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.apps.original import generate
from cursivetransformer.config import CursiveError, GenerationParams, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.tokens import stroke_tokenizer
from cursivetransformer.model.transformer import Cache, Transformer
from cursivetransformer.study.attention import (
    animate,
    colour,
    entropy,
    plot_alignment,
    plot_attended,
    plot_cross,
    plot_entropy,
    plot_heads,
    plot_self,
    pooled,
)
from cursivetransformer.study.interventions import (
    auc,
    coverage_auc,
    effect,
    head_off,
    head_patched,
    head_uniform,
    induction_scores,
    least_coverage,
    letter_places,
    letter_share,
    misspelled,
    plot_effect,
    plot_induction,
    rank_heads,
    without_characters,
)
from cursivetransformer.writing.align import align_strokes, monotonic_path, pointers
from cursivetransformer.writing.capture import (
    KINDS,
    Trace,
    batch_of,
    capture,
    replay,
    trace_ink,
    trace_words,
    watching,
)
from cursivetransformer.writing.page import write
from cursivetransformer.writing.reader import load_reader
from cursivetransformer.writing.spelling import generate_words

SIZES = dict(vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50)
OPTIONS = {}, dict(positions="learned"), dict(mask_context=False), dict(tokenizer="cartesian")


def make(**options) -> Transformer:
    torch.manual_seed(1)
    vocab_size = stroke_tokenizer(options.get("tokenizer", "polar")).vocab_size
    model = Transformer(preset("debug", **{**SIZES, "vocab_size": vocab_size}, **options)).eval()
    for block in model.transformer.h:  # coverage begins by saying nothing
        if block.cross_attn.coverage:
            for p in block.cross_attn.coverage.parameters():
                torch.nn.init.normal_(p, std=0.5)
    return model.double()


def batch(rows: int = 3, length: int = 30, width: int = 9) -> tuple:
    generator = torch.Generator().manual_seed(2)
    idx, context = (
        torch.randint(0, 431, (rows, length), generator=generator),
        torch.randint(1, 72, (rows, width), generator=generator),
    )
    context[1, 5:] = 0
    return idx, context


def attention_outputs(model, idx, context) -> tuple:  # ({(kind, layer): (arguments, output)}, logits)
    "What every attention module is given and gives, by the fused path."
    seen, hooks = {}, []
    for layer, block in enumerate(model.transformer.h):
        for kind, module in ("self", block.attn), ("cross", block.cross_attn):
            hooks.append(
                module.register_forward_hook(
                    lambda m, args, out, key=(kind, layer): seen.update({key: (args, out)})
                )
            )
    with torch.no_grad():
        logits, _ = model(idx, context)
    for h in hooks:
        h.remove()
    return seen, logits


def both_ways(model, idx, context, prefill: int = 4) -> tuple:
    "Logits of the whole at once, and with a cache; from the position `prefill - 1` on."
    with torch.no_grad():
        cache = Cache(model, context, idx.shape[1])
        steps = [model.advance(idx[:, :prefill], cache)] + [
            model.advance(idx[:, i : i + 1], cache) for i in range(prefill, idx.shape[1])
        ]
        return model(idx, context)[0][:, prefill - 1 :], torch.stack(steps, 1)


def is_clean(model) -> bool:
    "Whether nothing is left of any context."
    return "advance" not in vars(model) and not any(
        m._forward_hooks or m._forward_pre_hooks or getattr(m, "watchers", ()) for m in model.modules()
    )


# ---- capture


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_captured_weights_give_what_the_fused_path_gives(options):
    model, (idx, context) = make(**options), batch()
    fused, plain = attention_outputs(model, idx, context)
    with torch.no_grad(), capture(model) as att:
        logits, _ = model(idx, context)
    torch.testing.assert_close(logits, plain, atol=1e-10, rtol=0)
    for layer, block in enumerate(model.transformer.h):
        (x, *_), out = fused["self", layer]
        values = block.attn.c_attn(x).split(x.shape[-1], 2)[2].view(*x.shape[:2], block.attn.n_head, -1)
        (_, (_, v), *_), (crossed, _) = fused["cross", layer]
        for kind, module, valued, answer in (
            ("self", block.attn, values.transpose(1, 2), out),
            ("cross", block.cross_attn, v, crossed),
        ):
            weights = att.calls[0].join((kind, layer)).transpose(1, 2)
            assert torch.allclose(weights.sum(-1), torch.ones(()).double())
            found = module.c_proj((weights @ valued).transpose(1, 2).reshape(x.shape))
            if kind == "cross" and module.coverage:
                tables, (now, below) = (
                    module.coverage.fold(v.shape[2]),
                    (att.calls[0].join((kind, which)).flatten(2) for which in (layer, layer - 1)),
                )
                found = module.coverage.tell_stream(
                    tables, found, now, module.coverage.scores(tables, below)[1]
                )
            torch.testing.assert_close(found, answer, atol=1e-10, rtol=0)


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
    assert same.item() == pytest.approx(loss.item(), abs=1e-5) and is_clean(default)
    assert [t.text for t in att.traces()] == ["goddess,", "Sing"] and [
        len(t.tokens) for t in att.traces()
    ] == [len(t.tokens) for t in traces]


def test_training_goes_on_while_attention_is_captured():
    model, (idx, context) = make().train(), batch()
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
    model, (idx, context) = make(**options), batch()
    with capture(model) as att:
        both_ways(model, idx, context)
    cached, whole = att.calls
    assert torch.equal(cached.join("tokens"), idx) and torch.equal(whole.join("tokens"), idx)
    for kind, layer in itertools.product(KINDS, range(model.config.n_layer)):
        torch.testing.assert_close(cached.join((kind, layer)), whole.join((kind, layer)), atol=1e-10, rtol=0)


def test_attention_while_words_are_written_is_that_of_a_replay(default):
    texts = ["goddess,", "a", "Achilles", "of"]  # they leave the batch one after the other
    plain = generate_words(default, texts, GenerationParams(seed=4))
    traces = trace_words(default, texts, GenerationParams(seed=4))
    replayed, nats = replay(default, traces, kinds=KINDS)
    for text, ink, a, b in zip(texts, plain, traces, replayed, strict=True):
        assert a.text == b.text == text and np.array_equal(a.tokens, b.tokens)
        np.testing.assert_array_equal(a.ink, ink)
        assert a.cross_attention.shape == (4, 3, len(a.tokens), len(text) + 1) and a.self_attention.shape == (
            4,
            3,
            len(a.tokens),
            len(a.tokens),
        )
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
    assert (
        all(np.array_equal(a.points, b.points) for a, b in zip(plain, page))
        and len(att.calls) >= 1
        and is_clean(default)
    )
    assert [t.text for t in att.traces(0)] == ["a", "many", "soul"]  # rows of a batch: the shorter ones first
    with capture(default) as att:
        write("many souls", default, respell=None, n_at_a_time=2)
    (pair,) = att.traces()
    assert (
        pair.text == "many souls"
        and len(pair.ink) == len(pair.decided)
        and pair.cross_attention.shape[2] == len(pair.tokens)
    )
    tokens, context = torch.tensor([[523]]), torch.tensor([[5, 6, 7]])
    with capture(default) as att:
        out = generate(default, tokens, context, 12)
    assert torch.equal(out, generate(default, tokens, context, 12)) and torch.equal(
        att.calls[0].join("tokens"), out[:, :-1]
    )


def test_models_without_a_start_token_are_traced_with_their_style_word():
    model = make(start_token=False, mask_context=False, positions="learned").float()
    bank = load_bank("embedded").words
    (trace,) = trace_words(model, ["so"], GenerationParams(num_steps=60))
    style, *rest = trace.text.split()
    assert style in {w.text for w in bank} and rest[0] == "so" and trace.cross_attention.shape[-1] == 50
    assert (
        0 < len(trace.ink) == len(trace.decided) and trace.decided[0] == 0 and plot_alignment(trace, [(0, 0)])
    )
    (again,), _ = replay(model, [trace])
    np.testing.assert_allclose(
        again.cross_attention[:, :, : len(trace.tokens)], trace.cross_attention, atol=1e-5
    )


def test_memory_is_bounded():
    model, (idx, context) = make(), batch(length=64)
    c, per_row = model.config, 64 * 64 * 8  # bytes of a head in double precision
    whole = 3 * c.n_layer * c.n_ctx_head * per_row
    with capture(model, ("self",), limit=whole) as att:
        model(idx, context)
    assert att.bytes == whole
    with pytest.raises(CursiveError, match="fewer rows"), capture(model, ("self",), limit=whole - 1) as att:
        model(idx, context)
    assert is_clean(model)
    with capture(model, ("self",), rows=1, limit=whole // 3) as att:
        both_ways(model, idx[:, :40], context)
    assert (
        att.calls[0].join(("self", 0)).shape[:2] == (1, 40) == att.calls[1].join(("self", 0)).shape[:2]
        and len(att.traces()) == 1
    )
    assert att.traces()[0].cross_attention is None


def test_misuse_is_explained(tiny, default):
    with capture(tiny) as att:
        pass
    with pytest.raises(CursiveError, match="within the with statement"):
        att.traces()
    with pytest.raises(CursiveError, match="cross and self, not 'both'"), capture(tiny, ("both",)):
        pass
    with pytest.raises(CursiveError, match="no head 9.0.*counted from 0"), head_off(default, [(9, 0)]):
        pass
    with pytest.raises(CursiveError, match="no head 0.3"), head_patched(default, "so", [(0, 3)]):
        pass
    with pytest.raises(CursiveError, match="no head -1.0"), head_uniform(default, [(-1, 0)], "self"):
        pass
    (trace,) = trace_words(default, ["many"], kinds=())
    with (
        pytest.raises(CursiveError, match="'goddess' has 7 characters and the text to write 4"),
        head_patched(default, "goddess"),
    ):
        replay(default, [trace])
    with pytest.raises(CursiveError, match="two or more"):
        induction_scores(default, [trace])
    with pytest.raises(CursiveError, match="Nothing was drawn for 'many'"):
        _ = Trace("many", trace.tokens[:1], trace.tokenizer).ink
    assert is_clean(default) and is_clean(tiny)


# ---- interventions

INTERVENTIONS = {
    "cross-attention off": lambda m: head_off(m, [(0, 1), (1, 0)]),
    "self-attention off": lambda m: head_off(m, [(1, 1)], "self"),
    "cross-attention uniform": lambda m: head_uniform(m, [(0, 0), (1, 1)]),
    "self-attention uniform": lambda m: head_uniform(m, [(0, 1)], "self"),
    "without characters": without_characters,
    "patched": lambda m: head_patched(m, "otherword", [(0, 0), (1, 1)]),
}


@pytest.mark.parametrize("name", INTERVENTIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_writing_is_changed_as_the_forward_is(name, options):
    model, (idx, context) = make(**options), batch()
    plain, _ = both_ways(model, idx, context)
    with INTERVENTIONS[name](model):
        whole, cached = both_ways(model, idx, context)
    torch.testing.assert_close(whole, cached, atol=1e-9, rtol=0)
    assert (whole - plain).abs().max() > 1e-3
    after = both_ways(model, idx, context)[0]
    assert torch.equal(after, plain) and is_clean(model)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_nothing_is_left_of_an_intervention_that_fails(name):
    model, (idx, context) = make(), batch()
    before, state = both_ways(model, idx, context), {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError), capture(model), INTERVENTIONS[name](model), capture(model):
        both_ways(model, idx, context)
        raise ZeroDivisionError
    assert is_clean(model) and all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert all(torch.equal(a, b) for a, b in zip(before, both_ways(model, idx, context)))


def test_a_head_that_is_off_is_one_whose_projection_is_zero():
    def silent():  # a head also says how long its characters have been looked at
        model = make()
        torch.nn.init.zeros_(model.transformer.h[1].cross_attn.coverage.tell)
        return model

    model, (idx, context) = silent(), batch()
    c = model.config
    dim = c.n_embd // c.n_ctx_head
    for kind in KINDS:
        with head_off(model, [(1, 1)], kind):
            off = both_ways(model, idx, context)[1]
        other = silent()
        block = other.transformer.h[1]
        with torch.no_grad():
            (block.cross_attn if kind == "cross" else block.attn).c_proj.weight[:, dim : 2 * dim] = 0
        torch.testing.assert_close(off, both_ways(other, idx, context)[0], atol=1e-9, rtol=0)


def test_uniform_attention_is_alike_wherever_it_may_look():
    model, (idx, context) = make(), batch()
    with head_uniform(model, [(0, 0)]), head_uniform(model, [(1, 1)], "self"), capture(model) as att:
        model(idx, context)
    cross, own = att.calls[0].join(("cross", 0)), att.calls[0].join(("self", 1))
    assert (
        torch.allclose(cross[1, :, 0, :6], torch.full((), 1 / 6).double())
        and not cross[1, :, 0, 6:].any()
        and torch.allclose(cross[0, :, 0], torch.full((), 1 / 10).double())
    )
    assert torch.allclose(own[0, :, 1], torch.ones(30, 30).double().tril() / torch.arange(1, 31)[:, None])
    assert not torch.allclose(own[0, :, 0], own[0, :, 1])


def test_without_characters_only_their_number_counts():
    model, (idx, context) = make(), batch()
    other = torch.where(context > 0, context % 71 + 1, 0)
    assert not torch.allclose(model(idx, context)[0], model(idx, other)[0])
    with without_characters(model):
        assert torch.equal(model(idx, context)[0], model(idx, other)[0])
        assert not torch.allclose(model(idx, context)[0][0], model(idx, context[:, :4])[0][0])


def test_a_model_patched_in_all_heads_is_told_the_other_text(default):
    (trace,) = trace_words(default, ["souls"], kinds=())
    _, told = replay(default, [trace], ["anger"])
    with head_patched(default, "anger"):
        _, nats = replay(default, [trace])
    assert nats == pytest.approx(told, abs=1e-5)
    with head_patched(default, "anger"):
        (other,) = trace_words(default, ["souls"], kinds=())
    assert load_reader().judge([other.ink])[0] == ["anger"]


def test_capture_within_an_intervention_sees_what_is_left():
    model, (idx, context) = make(), batch()
    with capture(model) as before, head_off(model, [(0, 0)]), capture(model) as after:
        both_ways(model, idx, context)
    for call in 0, 1:
        assert (
            before.calls[call].join(("cross", 0))[:, :, 0].any()
            and not after.calls[call].join(("cross", 0))[:, :, 0].any()
        )
        assert torch.equal(
            before.calls[call].join(("cross", 0))[:, :, 1], after.calls[call].join(("cross", 0))[:, :, 1]
        )


def test_effects_are_seen_in_loss_ink_and_spelling(default):
    reader, words = load_reader(), ["souls", "anger", "many", "brought"]
    before = trace_words(default, words, GenerationParams(seed=1), ())
    nothing = effect(default, head_off(default, []), before, GenerationParams(seed=1), reader)
    assert nothing.loss[0] == pytest.approx(nothing.loss[1], abs=1e-5) and all(
        np.array_equal(a.tokens, b.tokens) for a, b in zip(nothing.before, nothing.after)
    )
    found = effect(default, without_characters(default), before, GenerationParams(seed=1), reader)
    assert (
        found.loss[1] > found.loss[0] + 0.2
        and found.legibility[1].wrong_words == 4 > found.legibility[0].wrong_words
    )
    assert (
        [t.text for t in found.after] == words
        and "of 4" in str(found)
        and f"{found.loss[1]:.3f}" in str(found)
    )
    fig, axes = plot_effect(found, "blind")
    said = [ax.get_title() for ax in axes.flat]
    assert said[:4] == found.said[0] and said[4:] == [s or "(nothing)" for s in found.said[1]]
    plt.close(fig)


# ---- alignment and evidence


@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.integers(0, 4))
def test_the_path_is_the_best_of_all_paths(seed, count, more):
    n = count + more
    weights = np.random.default_rng(seed).random((n, count))

    def value(path):
        return np.log(np.maximum(weights[np.arange(n), path], 0.01)).sum()

    ways = [
        np.repeat(np.arange(count), np.diff([0, *cuts, n]))
        for cuts in itertools.combinations(range(1, n), count - 1)
    ]
    path = monotonic_path(weights)
    assert any(np.array_equal(path, w) for w in ways) and value(path) == pytest.approx(max(map(value, ways)))


def test_ink_is_aligned_with_its_letters(default):
    traces = trace_words(default, ["anger", "brought", "many"], GenerationParams(seed=1), ("cross",))
    reader, heads = load_reader(), pointers(traces)
    assert reader.judge([t.ink for t in traces])[0] == [t.text for t in traces]
    assert (2, 0) in heads and all(layer >= 2 for layer, _ in heads)
    for t in traces:
        found, places = align_strokes(t, heads), letter_places(reader, t.ink, t.text)
        assert (
            (np.diff(found.path) >= 0).all()
            and set(found.path) == set(range(len(t.text)))
            and len(found.path) == len(t.ink)
        )
        assert (found.path[places] == np.arange(len(t.text))).mean() > 0.7 and (np.diff(places) > 0).all()
        assert (
            found.coverage.shape == (len(t.text),) and 0.3 < found.coverage.min() <= found.coverage.max() <= 1
        )
    share = letter_share(traces, reader)
    assert (
        share.shape == (4, 3, 3)
        and (share[2, :, 1] > 0.6).all()
        and (share[0, :, 1] < 0.5).all()
        and (share.sum(-1) <= 1 + 1e-9).all()
    )
    with pytest.raises(CursiveError, match="none of these words"):
        letter_share([Trace("x", t.tokens, t.tokenizer, t.cross_attention) for t in traces], reader)
    short = Trace("anger", traces[0].tokens[:7], traces[0].tokenizer, traces[0].cross_attention[:, :, :7])
    assert least_coverage(short, heads) == 0
    with pytest.raises(CursiveError, match="3 points cannot go through 5"):
        align_strokes(short, heads)


def test_somebodys_ink_is_traced_as_it_would_be_in_training(default, shared):
    words = load_bank(str(shared / "data" / "easybank.json.zip")).words[:4]
    traces = trace_ink(default, words)
    assert [t.text for t in traces] == [w.text for w in words] and all(
        layer >= 2 for layer, _ in pointers(traces)
    )
    for t, w in zip(traces, words):
        assert np.ptp(t.ink[:, 1]) == pytest.approx(np.ptp(w.points[:, 1]), rel=0.15)
    assert replay(default, traces)[1].mean() < 2


@given(st.text("abc", min_size=2, max_size=6), st.integers(0, 99))
def test_misspelled_texts_have_one_fault(text, seed):
    if len(set(text)) == 1:
        with pytest.raises(CursiveError, match="none can be swapped"):
            misspelled(text, np.random.default_rng(seed))
        return
    wrong = misspelled(text, np.random.default_rng(seed))
    n = len(text)
    assert wrong["dropped"] in {text[:i] + text[i + 1 :] for i in range(n)} and wrong["doubled"] in {
        text[:i] + text[i] * 2 + text[i + 1 :] for i in range(n)
    }
    assert wrong["swapped"] != text and wrong["swapped"] in {
        text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(n - 1)
    }


@given(st.lists(st.integers(0, 4), max_size=5), st.lists(st.integers(0, 4), max_size=5))
def test_auc_counts_pairs(low, high):
    found = auc(np.array(low), np.array(high))
    if not low or not high:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(
            np.mean([1.0 if a < b else 0.5 if a == b else 0.0 for a in low for b in high])
        )


def test_a_letter_too_many_is_not_covered(default):
    texts = [w.text for w in load_bank("embedded").words if len(w.text) >= 4][:24]
    found = coverage_auc(default, trace_words(default, texts, kinds=()))
    assert set(found) == {"dropped", "doubled", "swapped", "ink"}
    assert (
        found["doubled"][0] > 0.9 and found["swapped"][0] > 0.7 and found["dropped"][1] > 0.8
    )  # what is missing in the text is for the loss to find
    assert found["doubled"][2] + found["ink"][2] == 24


def test_heads_are_ranked_by_what_goes_wrong_without_them(default):
    written = trace_words(default, ["anger", "many", "soul"], GenerationParams(seed=1))
    done = []
    ranking = rank_heads(default, written, params=GenerationParams(seed=1), progress=done.append)
    wrong = [r.effect.legibility[1].edits() for r in ranking.rows]
    assert wrong == sorted(wrong, reverse=True) and {r.head for r in ranking.rows} == set(
        np.ndindex(4, 3)
    ) == set(done)
    assert ranking.rows[0].head[0] == 2 and wrong[0] >= 3 and is_clean(default)
    lines = str(ranking).splitlines()
    assert len(lines) == 4 + 12 and lines[4].split()[:2] == [
        "{}.{}".format(*ranking.rows[0].head),
        str(wrong[0]),
    ]


def test_an_induction_head_scores_one(default):
    traces = trace_words(default, ["many", "souls"], kinds=())
    lengths = {
        2 * len(t.tokens) + 1: len(t.tokens) + 1 for t in traces
    }  # of a word twice, and how far apart its copies are

    def look_after_the_copy(layer, weights, mask):
        T, distance = weights.shape[-1], lengths.get(weights.shape[-1])
        if layer != 1 or distance is None:
            return weights
        target = (torch.arange(T) - distance + 1).clamp(min=0)
        return (
            weights.index_fill(1, torch.tensor([2]), 0)
            + torch.nn.functional.one_hot(target, T) * torch.tensor([0, 0, 1.0])[:, None, None]
        )

    with watching(default, "self", look_after_the_copy):
        copied, other = induction_scores(default, traces)
    assert (
        copied[1, 2] == pytest.approx(1, abs=1e-5)
        and other[1, 2] < 0.5
        and copied.shape == (4, 3) == other.shape
    )
    copied, other = induction_scores(default, traces)
    assert copied[1, 2] < 0.5


def test_entropy_is_a_share():
    tokens, tokenizer = trace_tokens(), make().config.tokenizer
    from cursivetransformer.ink.tokens import stroke_tokenizer

    cross, own = np.full((1, 2, 7, 4), 0.25), np.tril(np.ones((1, 2, 7, 7))) / np.arange(1, 8)[:, None]
    cross[0, 1] = [1, 0, 0, 0]
    own[0, 1] = np.eye(7)
    trace = Trace("abcd", tokens, stroke_tokenizer(tokenizer), cross, own)
    np.testing.assert_allclose(entropy([trace]), [[1, 0]], atol=1e-6)
    np.testing.assert_allclose(entropy([trace], "self"), [[1, 0]], atol=1e-6)


def trace_tokens() -> np.ndarray:
    return np.array([523, 400, 10, 410, 20, 420, 160])  # a start token and three points


# ---- pictures


def test_pictures_show_what_was_captured(default):
    (trace,) = trace_words(default, ["(souls)"], GenerationParams(seed=1))
    heads = [(2, 1)]
    looks = trace.looks(heads)
    np.testing.assert_array_equal(
        looks, trace.cross_attention[2, 1, 2 * np.arange(len(trace.ink))]
    )  # the tokens before each direction
    fig, ax = plot_cross(trace, 2, 1)
    assert [t.get_text() for t in ax.get_yticklabels()] == [*"(souls)", "∎"]
    np.testing.assert_array_equal(ax.images[0].get_array(), looks.T)
    fig, axes = plot_heads(trace)
    assert axes.shape == (4, 3)
    np.testing.assert_array_equal(axes[2, 1].images[0].get_array(), looks.T)
    fig, axes = plot_heads(trace, "self")
    np.testing.assert_allclose(axes[3, 0].images[0].get_array(), pooled(trace.self_attention[3, 0], 2))
    fig, ax = plot_self(trace, 3, 0, stride=8)
    n = len(trace.tokens) // 8
    assert ax.images[0].get_array().shape == (n, n)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()).sum(1), 1, atol=1e-5)
    fig, ax = plot_attended(trace, heads)
    drawn = (trace.ink[1:, 2] != 0) & (trace.ink[:-1, 2] != 0)
    wanted = [plt.matplotlib.colors.to_rgba(colour(c)) for c in looks.argmax(1)[1:][drawn]]
    np.testing.assert_allclose(ax.collections[0].get_colors(), wanted)
    assert [t.get_text() for t in ax.texts] == list("(souls)") and all(
        fig.get_facecolor()[3] == 0 for fig in map(plt.figure, plt.get_fignums())
    )
    fig, (left, right) = plot_alignment(trace, heads)
    np.testing.assert_array_equal(left.lines[0].get_ydata(), align_strokes(trace, heads).path)
    np.testing.assert_allclose([b.get_width() for b in right.patches], align_strokes(trace, heads).coverage)
    fig, axes = plot_entropy([trace])
    assert [t.get_text() for t in axes[0].texts] == [f"{v:.2f}" for v in entropy([trace]).ravel()]
    fig, ax = plot_induction(np.eye(3), np.zeros((3, 3)))
    for number in plt.get_fignums():  # a notebook puts a light card behind a picture with dark labels only, and a dark one behind light ones
        labels = [
            t.get_color()
            for a in plt.figure(number).axes
            for axis in (a.xaxis, a.yaxis)
            for t in axis.get_ticklabels()
        ]
        lights = {bool(np.dot(plt.matplotlib.colors.to_rgb(c), (0.299, 0.587, 0.114)) > 0.5) for c in labels}
        assert lights == {False, True}
    assert len(ax.patches) == 18 and [t.get_text() for t in ax.get_xticklabels()][:4] == [
        "0.0",
        "0.1",
        "0.2",
        "1.0",
    ]
    plt.close("all")


def test_the_moving_picture_is_whole(default):
    (trace,) = trace_words(default, ['"souls"'], GenerationParams(seed=1), ("cross",))
    picture = animate(trace, seconds=5)
    root = ElementTree.fromstring(picture)
    svg = "{http://www.w3.org/2000/svg}"
    assert (
        [t.text for t in root.iter(svg + "text")] == list('"souls"')
        and picture._repr_svg_() == picture
        and len(picture) < 200_000
    )
    paths = [
        [p.split() for p in re.findall(r"[-.0-9]+ [-.0-9]+", path.get("d"))]
        for path in root.iter(svg + "path")
    ]
    points = {tuple(p) for path in paths for p in path[::3]}  # between them, control points
    assert points == {
        (f"{x * 100:.1f}", f"{y * 100:.1f}") for x, y, pen in trace.ink if pen
    }  # all of the ink, and nothing else
    for a in root.iter(svg + "animate"):
        times, values = [float(t) for t in a.get("keyTimes").split(";")], a.get("values").split(";")
        assert (
            len(times) == len(values)
            and times[0] == 0
            and times[-1] == 1
            and times == sorted(times)
            and a.get("dur") == "6.5s"
        )
    brightest = max(
        root.iter(svg + "text"), key=lambda t: float(t.find(svg + "animate").get("values").split(";")[0])
    )
    assert brightest.text == '"'  # the first one, when the pen begins


def test_single_points_and_dots_are_drawn(default):
    (trace,) = trace_ink(default, [Word(".", np.array([[0, -0.01, 1], [0.01, 0, 1], [0.01, 0, 0]]))])
    assert (
        "<path" in animate(trace, [(2, 0)])
        and plot_attended(trace, [(2, 0)])
        and align_strokes(trace).path.tolist() == [0] * 3
    )
    plt.close("all")
