"""Interventions do what they say and leave no trace, and the evidence is counted right."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from attention_cases import OPTIONS, all_at_once, batch, is_clean, make, name_of, step_by_step
from hypothesis import given
from hypothesis import strategies as st
from models import chain_options, small_model

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.options import WritingOptions
from cursivetransformer.study import interventions
from cursivetransformer.study.evaluate import auc
from cursivetransformer.study.interventions import (
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
    rank_heads,
    without_characters,
)
from cursivetransformer.writing.align import align_strokes, pointers
from cursivetransformer.writing.capture import KINDS, Trace, capture, replay, trace_words, watching
from cursivetransformer.writing.reader import load_reader

INTERVENTIONS = {
    "cross-attention off": lambda m: head_off(m, [(0, 1), (1, 0)]),
    "self-attention off": lambda m: head_off(m, [(1, 1)], "self"),
    "cross-attention uniform": lambda m: head_uniform(m, [(0, 0), (1, 1)]),
    "self-attention uniform": lambda m: head_uniform(m, [(0, 1)], "self"),
    "without characters": without_characters,
    "patched": lambda m: head_patched(m, "otherword", [(0, 0), (1, 1)]),
}

# Interventions


@pytest.mark.parametrize("name", INTERVENTIONS)
@pytest.mark.parametrize("options", OPTIONS, ids=name_of)
def test_writing_is_changed_as_the_forward_is(name, options):
    model = make(**options)
    idx, context = batch()
    plain = all_at_once(model, idx, context)
    with INTERVENTIONS[name](model):
        whole = all_at_once(model, idx, context)
        cached = step_by_step(model, idx, context)
    torch.testing.assert_close(whole, cached, atol=1e-9, rtol=0)
    assert (whole - plain).abs().max() > 1e-3
    torch.testing.assert_close(all_at_once(model, idx, context), plain)
    assert is_clean(model)


@pytest.mark.parametrize("name", INTERVENTIONS)
def test_nothing_is_left_of_an_intervention_that_fails(name):
    model = make()
    idx, context = batch()
    whole = all_at_once(model, idx, context)
    cached = step_by_step(model, idx, context)
    state = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ZeroDivisionError), capture(model), INTERVENTIONS[name](model), capture(model):
        all_at_once(model, idx, context)
        step_by_step(model, idx, context)
        raise ZeroDivisionError
    assert is_clean(model) and all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    torch.testing.assert_close(all_at_once(model, idx, context), whole)
    torch.testing.assert_close(step_by_step(model, idx, context), cached)


def test_a_head_that_is_off_is_one_whose_projection_is_zero():
    def silent():  # a head also says how long its characters have been looked at
        model = make()
        torch.nn.init.zeros_(model.transformer.h[1].cross_attn.coverage.stream_weight)
        return model

    model = silent()
    idx, context = batch()
    dim = model.config.n_embd // model.config.n_ctx_head
    for kind in KINDS:
        with head_off(model, [(1, 1)], kind):
            off = step_by_step(model, idx, context)
        other = silent()
        block = other.transformer.h[1]
        attention = block.cross_attn if kind == "cross" else block.attn
        with torch.no_grad():
            attention.c_proj.weight[:, dim : 2 * dim] = 0
        torch.testing.assert_close(off, all_at_once(other, idx, context), atol=1e-9, rtol=0)


def test_uniform_attention_is_alike_wherever_it_may_look():
    model = make()
    idx, context = batch()
    with head_uniform(model, [(0, 0)]), head_uniform(model, [(1, 1)], "self"), capture(model) as att:
        model(idx, context)
    cross = att.calls[0].join(("cross", 0))
    own = att.calls[0].join(("self", 1))
    # The second text has five characters and its end mark, the first nine.
    assert torch.allclose(cross[1, :, 0, :6], torch.full((), 1 / 6).double())
    assert not cross[1, :, 0, 6:].any()
    assert torch.allclose(cross[0, :, 0], torch.full((), 1 / 10).double())
    alike = torch.ones(30, 30).double().tril() / torch.arange(1, 31)[:, None]
    assert torch.allclose(own[0, :, 1], alike)
    assert not torch.allclose(own[0, :, 0], own[0, :, 1])


def test_without_characters_only_their_number_counts():
    model = make()
    idx, context = batch()
    other = torch.where(context > 0, context % 71 + 1, 0)
    assert not torch.allclose(model(idx, context)[0], model(idx, other)[0])
    with without_characters(model):
        torch.testing.assert_close(model(idx, context)[0], model(idx, other)[0])
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
    model = make()
    idx, context = batch()
    with capture(model) as before, head_off(model, [(0, 0)]), capture(model) as after:
        all_at_once(model, idx, context)
        step_by_step(model, idx, context)
    for call in 0, 1:
        seen = before.calls[call].join(("cross", 0))
        left = after.calls[call].join(("cross", 0))
        assert seen[:, :, 0].any() and not left[:, :, 0].any()
        assert torch.equal(seen[:, :, 1], left[:, :, 1])


def test_misuse_is_explained(default):
    with pytest.raises(CursiveError, match="no head 9.0.*counted from 0"), head_off(default, [(9, 0)]):
        pass
    with pytest.raises(CursiveError, match="no head 0.3"), head_patched(default, "so", [(0, 3)]):
        pass
    with pytest.raises(CursiveError, match="no head -1.0"), head_uniform(default, [(-1, 0)], "self"):
        pass
    (trace,) = trace_words(default, ["many"], kinds=())
    says = "'goddess' has 7 characters and the text to write 4"
    with pytest.raises(CursiveError, match=says), head_patched(default, "goddess"):
        replay(default, [trace])
    with pytest.raises(CursiveError, match="two or more"):
        induction_scores(default, [trace])
    assert is_clean(default)


# Evidence


def test_effects_are_seen_in_loss_ink_and_spelling(default):
    reader = load_reader()
    words = ["souls", "anger", "many", "brought"]
    style = WritingOptions(seed=1)
    before = trace_words(default, words, style, ())
    nothing = effect(default, head_off(default, []), before, style, reader)
    assert nothing.loss.before == pytest.approx(nothing.loss.after, abs=1e-5)
    assert all(np.array_equal(a.tokens, b.tokens) for a, b in zip(nothing.before, nothing.after))
    found = effect(default, without_characters(default), before, style, reader)
    assert found.loss.after > found.loss.before + 0.2
    assert found.legibility.after.wrong_words == 4 > found.legibility.before.wrong_words
    assert [t.text for t in found.after] == words
    assert "of 4" in str(found) and f"{found.loss.after:.3f}" in str(found)
    fig, axes = plot_effect(found, "blind")
    said = [ax.get_title() for ax in axes.flat]
    assert said[:4] == found.said.before
    assert said[4:] == [text or "(nothing)" for text in found.said.after]
    plt.close(fig)


def test_letters_are_seen_where_attention_is(default):
    traces = trace_words(default, ["anger", "brought", "many"], WritingOptions(seed=1), ("cross",))
    reader = load_reader()
    heads = pointers(traces)
    assert reader.judge([t.ink for t in traces])[0] == [t.text for t in traces]
    agree = []  # of each letter, whether both say the same
    for t in traces:
        places = letter_places(reader, t.ink, t.text)
        agree += (align_strokes(t, heads).letters[places] == np.arange(len(t.text))).tolist()
        assert (np.diff(places) > 0).all()
    assert np.mean(agree) > 0.7
    share = letter_share(traces, reader)
    assert share.shape == (4, 3, 3)
    # The lowest layer is not told what has been looked at, so it cannot know where in the word the pen is.
    best_three = np.sort(share[:, :, 1].ravel())[-3:]
    assert (best_three > 0.6).all() and (share[0, :, 1] < best_three.min()).all()
    assert (share.sum(-1) <= 1 + 1e-9).all()
    otherwise = [Trace("x", t.tokens, t.tokenizer, t.cross_attention) for t in traces]
    with pytest.raises(CursiveError, match="none of these words"):
        letter_share(otherwise, reader)


def test_heads_are_ranked_by_what_goes_wrong_without_them(default):
    style = WritingOptions(seed=1)
    written = trace_words(default, ["anger", "many", "soul"], style)
    done = []
    ranking = rank_heads(default, written, options=style, progress=done.append)
    wrong = [row.effect.legibility.after.edits() for row in ranking.rows]
    assert wrong == sorted(wrong, reverse=True)
    assert {row.head for row in ranking.rows} == set(np.ndindex(4, 3)) == set(done)
    assert ranking.rows[0].head[0] >= 1 and wrong[0] >= 3 and is_clean(default)
    lines = str(ranking).splitlines()
    assert len(lines) == 4 + 12
    assert lines[4].split()[:2] == ["{}.{}".format(*ranking.rows[0].head), str(wrong[0])]


def test_an_induction_head_scores_one(default):
    traces = trace_words(default, ["many", "souls"], kinds=())
    # Of a word twice, and how far apart its copies are.
    distances = {2 * len(t.tokens) + 1: len(t.tokens) + 1 for t in traces}

    def look_after_the_copy(layer, weights, mask):
        length = weights.shape[-1]
        if layer != 1 or length not in distances:
            return weights
        target = (torch.arange(length) - distances[length] + 1).clamp(min=0)
        wanted = torch.nn.functional.one_hot(target, length)
        third_head = torch.tensor([0, 0, 1.0])[:, None, None]
        return weights.index_fill(1, torch.tensor([2]), 0) + wanted * third_head

    with watching(default, "self", look_after_the_copy):
        copied, other = induction_scores(default, traces)
    assert copied[1, 2] == pytest.approx(1, abs=1e-5)
    assert other[1, 2] < 0.5 and copied.shape == (4, 3) == other.shape
    copied, other = induction_scores(default, traces)
    assert copied[1, 2] < 0.5


# Misspellings


@given(st.text("abc", min_size=2, max_size=6), st.integers(0, 99))
def test_misspelled_texts_have_one_fault(text, seed):
    if len(set(text)) == 1:
        with pytest.raises(CursiveError, match="none can be swapped"):
            misspelled(text, np.random.default_rng(seed))
        return
    wrong = misspelled(text, np.random.default_rng(seed))
    n = len(text)
    assert wrong["dropped"] in {text[:i] + text[i + 1 :] for i in range(n)}
    assert wrong["doubled"] in {text[:i] + text[i] * 2 + text[i + 1 :] for i in range(n)}
    swapped = {text[:i] + text[i + 1] + text[i] + text[i + 2 :] for i in range(n - 1)}
    assert wrong["swapped"] != text and wrong["swapped"] in swapped


@given(st.lists(st.integers(0, 4), max_size=5), st.lists(st.integers(0, 4), max_size=5))
def test_auc_counts_pairs(low, high):
    found = auc(np.array(low), np.array(high))
    if not low or not high:
        assert np.isnan(found)
        return
    wins = sum(a < b for a in low for b in high)
    ties = sum(a == b for a in low for b in high)
    assert found == pytest.approx((wins + ties / 2) / (len(low) * len(high)))


def test_ink_shorter_than_its_text_is_not_covered(default):
    (trace,) = trace_words(default, ["anger"], WritingOptions(seed=1), ("cross",))
    short = Trace("anger", trace.tokens[:5], trace.tokenizer, trace.cross_attention[:, :, :5])  # four moves
    assert least_coverage(short, [(2, 0)]) == 0 < least_coverage(trace, [(2, 0)])


def test_a_letter_too_many_is_not_covered(default):
    texts = [w.text for w in load_bank("embedded").words if len(w.text) >= 4][:24]
    found = coverage_auc(default, trace_words(default, texts, kinds=()))
    assert set(found) == {"dropped", "doubled", "swapped", "ink"}
    assert found["doubled"].coverage > 0.9 and found["swapped"].coverage > 0.7
    assert found["dropped"].surprise > 0.8  # what is missing in the text is for the loss to find
    assert found["doubled"].count + found["ink"].count == 24


# Tokens that span several steps


class DeafReader:
    "Reads every word as it was asked."

    def __init__(self, texts: list):
        self.texts = texts

    def judge(self, inks: list) -> tuple:
        assert all(len(ink) for ink in inks)
        return self.texts, None


def test_the_letter_seen_at_a_point_is_compared_with_what_its_token_looked_at(monkeypatch):
    model = small_model(**chain_options())
    (trace,) = trace_words(model, ["so"], WritingOptions(seed=1), ("cross",))
    places = np.array([2, len(trace.ink) - 1])
    monkeypatch.setattr(interventions, "letter_places", lambda reader, ink, text: places)
    drawn_by = trace.tokenizer.token_of_point(trace.tokens)[places]
    trace.cross_attention[:] = 0
    trace.cross_attention[:, :, :, 1] = 0.1  # the second letter everywhere, but for one token
    trace.cross_attention[0, 1, drawn_by[0] - 1, 0] = 1
    share = letter_share([trace], DeafReader(["so"]))
    assert share[0, 1].tolist() == [0, 1, 0] and share[0, 0].tolist() == [0, 0.5, 0.5]


def test_effects_and_induction_are_measured_with_chain_tokens():
    model = small_model(**chain_options())
    style = WritingOptions(seed=1)
    before = trace_words(model, ["so", "many"], style, ())
    found = effect(model, head_off(model, [(0, 0)]), before, style, DeafReader(["so", "many"]))
    assert found.loss.before != found.loss.after and [t.text for t in found.after] == ["so", "many"]
    copied, other = induction_scores(model, before)
    assert copied.shape == other.shape == (model.config.n_layer, model.config.n_ctx_head)
    nothing = Trace("so", before[0].tokens[:1], before[0].tokenizer)  # its pen never comes down
    found = interventions.Effect(before, [nothing, before[1]], found.said, found.loss)
    _, axes = plot_effect(found)
    assert len(axes) == 2
    plt.close("all")
