"""Words drawn: once each and in order, by the rules of the grammar, the same for a seed in any company."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch
from models import chain_options, small_model

from cursivetransformer.apps.original import (
    generate,
    generate_paragraph,
    plot_paragraph,
    word_offsets_to_points,
)
from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import StrokeDataset, create_datasets
from cursivetransformer.data.seeds import sample_rng
from cursivetransformer.ink.chain import PEN_DOWN, PEN_UP
from cursivetransformer.ink.curves import on_page
from cursivetransformer.ink.points import strokes
from cursivetransformer.ink.tokenizers import tokenizer_of
from cursivetransformer.ink.tokens import CharTokenizer
from cursivetransformer.model.checkpoint import load_original
from cursivetransformer.options import GenerationParams, WritingOptions
from cursivetransformer.writing import sample
from cursivetransformer.writing.page import write
from cursivetransformer.writing.sample import (
    Grammar,
    GroupBuilder,
    WrittenWord,
    choose_tokens,
    draw_words,
    fill_holes,
    sample_tokens,
)
from cursivetransformer.writing.spelling import generate_words

WORDS = "Sing, O goddess, the anger of Achilles son of Peleus, a I .".split()
LINE = np.array([PEN_DOWN, 0, 0, PEN_UP])  # tokens of chain code


@pytest.mark.parametrize("at_a_time", [1, 2, 5])
def test_every_word_comes_back_once_and_in_order(default, at_a_time):
    inks = generate_words(default, WORDS, WritingOptions(n_at_a_time=at_a_time))
    assert len(inks) == len(WORDS)
    for points in inks:
        assert len(strokes(points)) >= 1 and np.isfinite(points).all()
        assert points[:, 0].min() == pytest.approx(0) and points[-1, 2] == 0
    page = write(" ".join(WORDS), default, n_at_a_time=at_a_time)
    assert [w.text for w in page] == WORDS


@pytest.mark.parametrize("options", [{}, dict(tokenizer="cartesian"), dict(positions="learned")], ids=str)
def test_even_an_untrained_model_ends_every_word(options):
    model = small_model(block_size=1050, **options)
    wild = WritingOptions(temperature=1.5, n_at_a_time=2, num_steps=2000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inks = generate_words(model, ["ab", "c", "def"], wild)
    tokenizer = tokenizer_of(model.config)
    for word, points in zip(["ab", "c", "def"], inks):
        assert 1 <= len(points) <= tokenizer.max_tokens(len(word)) // tokenizer.tokens_per_point + 1


@pytest.mark.parametrize("tries", [1, 2])
def test_a_pen_that_never_comes_down_is_not_waited_for(tries):
    model = small_model(**chain_options())
    torch.nn.init.zeros_(model.lm_head.weight)  # the likeliest token is then the first: a step to the right
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inks = generate_words(model, ["so", "a"], WritingOptions(do_sample=False), tries=tries)
    assert [ink.tolist() for ink in inks] == [sample.DOT.tolist()] * 2


def test_a_style_word_keeps_its_line_where_tokens_are_pieces_of_it():
    words = load_bank("embedded").words
    polar_model = small_model(block_size=1050, start_token=False)
    polar_words = StrokeDataset(words, polar_model.config, 20, augment=False)
    chain_model = small_model(**chain_options(), start_token=False)
    chain = GroupBuilder(chain_model, WritingOptions(warmup_sample_ix=3), polar_words)
    polar = GroupBuilder(polar_model, WritingOptions(warmup_sample_ix=3), polar_words)
    assert chain.style.text == polar.style.text and len(chain.style.points) > 1.5 * len(polar.style.points)
    (word,) = [w for w in words if w.text == chain.style.text]
    assert len(chain.style.points) == len(word.points)


def test_a_word_that_finds_no_end_is_written_again_and_named(monkeypatch, default):
    tries = []

    def never_ends(model, groups, options):
        tries.append((options.do_sample, [g.key for g in groups]))
        return [[WrittenWord(LINE, w != "endless", -1.0) for w in g.words] for g in groups]

    monkeypatch.setattr(sample, "sample_tokens", never_ends)
    with pytest.warns(UserWarning, match="'endless' .word 1."):
        inks = generate_words(default, ["one", "endless", "two"])
    assert len(inks) == 3 and [len(keys) for _, keys in tries] == [3, 1, 1, 1]
    # New random numbers each time, greedy at last.
    assert len({k for _, keys in tries for k in keys}) == 6 and tries[-1][0] is False


def test_words_behind_one_that_is_cut_off_are_written_by_themselves(monkeypatch, default):
    tries = []

    def stops_at_the_second(model, groups, options):
        tries.append([g.words for g in groups])
        word = WrittenWord(LINE, True, -1.0)
        return [[word] if len(g.words) == 1 else [word, word._replace(ended=False)] for g in groups]

    monkeypatch.setattr(sample, "sample_tokens", stops_at_the_second)
    done = []
    together = WritingOptions(n_at_a_time=4)
    inks = generate_words(default, ["a", "b", "c", "d"], together, progress=done.append)
    assert tries == [[["a", "b", "c", "d"]], [["b"], ["c"], ["d"]]] and len(inks) == 4 and done == [1, 4]


def test_a_seed_gives_the_same_ink_whatever_the_batch(default, monkeypatch):
    options = WritingOptions(seed=11)
    together = generate_words(default, WORDS[:6], options)
    monkeypatch.setattr(sample, "BATCH_ROWS", 1)
    for a, b in zip(together, generate_words(default, WORDS[:6], options), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    other = generate_words(default, WORDS[:6], dataclasses.replace(options, seed=12))
    assert not any(len(a) == len(b) and np.allclose(a, b) for a, b in zip(together, other))


def test_global_random_state_is_left_alone(default):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    generate_words(default, ["one"])
    assert torch.equal(before, torch.get_rng_state())


def test_a_style_word_is_continued_by_models_without_start_token_and_no_others(default):
    _, test = create_datasets(preset("debug", dataset_name="embedded"))
    original = small_model(start_token=False, block_size=1050)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, styled = (
            generate_words(
                original, ["one", "two"], WritingOptions(seed=1, num_steps=16, warmup_sample_ix=ix), test
            )
            for ix in (1, 3)
        )
        assert not np.array_equal(plain[0], styled[0]) and len(styled) == 2
        from_the_embedded_bank = WritingOptions(warmup_sample_ix=3, num_steps=16)
        assert len(generate_words(original, ["one"], from_the_embedded_bank)) == 1
    plain = generate_words(default, ["one", "two"], WritingOptions(seed=1))
    with pytest.warns(UserWarning, match="author says whose hand it is"):
        styled = generate_words(default, ["one", "two"], WritingOptions(seed=1, warmup_sample_ix=3), test)
    assert all(np.array_equal(a, b) for a, b in zip(plain, styled))


# The plain way


def plain_choice(logits, uniform, options):
    "A token by the book, in double precision."
    if not options.do_sample:
        return int(np.argmax(logits))
    p = np.exp((logits - logits.max()).astype(float) / options.temperature)
    if options.top_k:
        p[p < np.sort(p)[-options.top_k]] = 0
    p /= p.sum()
    if options.top_p:
        order = np.argsort(-p)
        p[order[np.cumsum(p[order]) - p[order] >= options.top_p]] = 0
    return int(np.searchsorted(np.cumsum(p), uniform * p.sum(), side="right"))


def polar_rules(t, word) -> tuple:  # (ids of ink, whether the word may end)
    "What may come behind a word: a direction, then a length; three points or more, the last with the pen up."
    if len(word) % 2:
        return list(range(302)), False
    return list(range(302, 522)), len(word) >= 6 and word[-1] >= 151


def pen_after(t, word) -> str | None:
    "Where the pen is after some chain tokens, followed step by step; None where they cannot be."
    pen = "at the beginning"
    for token in word:
        for step in t.parts[token]:
            if step >= PEN_DOWN:
                if (step == PEN_DOWN) == (pen == "down"):
                    return None
                if step == PEN_UP and pen != "down":
                    return None
                pen = "down" if step == PEN_DOWN else "up"
    return pen


def chain_rules(t, word) -> tuple:  # as `polar_rules`
    "The pen is put down when it is up, and lifted when it is down; a word ends with the pen up again."
    ink = [token for token in range(t.n_bins) if pen_after(t, [*word, token])]
    return ink, pen_after(t, word) == "up"


def plain_rules(t, tokens, word, is_last):
    "Which tokens may come behind these, the rules spelled out."
    allowed = np.zeros(t.vocab_size, bool)
    if tokens[-1] == t.WORD and tokens[-2] != t.WORD:
        allowed[t.WORD] = True
        return allowed
    ink, may_end = (chain_rules if t.name == "chain" else polar_rules)(t, word)
    allowed[ink] = True
    if may_end:
        allowed[[t.END, t.WORD] if is_last else [t.WORD]] = True
    return allowed


def plain_decode(model, words, options):
    "The same tokens without cache or batch: a full forward pass a token."
    t = tokenizer_of(model.config)
    uniform = sample_rng(options.seed, 0, 0, 1).random(4000)
    context = torch.from_numpy(CharTokenizer().encode(" ".join(words)))[None]
    tokens = [t.END]
    out, word = [], []
    while len(out) < len(words):
        is_last = len(out) == len(words) - 1
        logits = model(torch.tensor([tokens]), context)[0][0, -1].numpy()
        allowed = plain_rules(t, tokens, word, is_last)
        token = plain_choice(np.where(allowed, logits, -np.inf), uniform[len(tokens) - 1], options)
        tokens.append(token)
        if token < t.n_bins:
            word.append(token)
        elif token == t.END or tokens[-2] == t.WORD or is_last:
            out.append(word)
            word = []
    return out


@torch.no_grad()
@pytest.mark.parametrize(
    "words, how",
    [
        (["so", "it"], dict(seed=2, temperature=0.6)),
        (["goddess,"], dict(seed=0)),
        (["I"], dict(seed=1, temperature=1.2)),
        (["Hades,"], dict(seed=5, top_k=5)),
        (["a", "prey", "to"], dict(seed=3, top_p=0.8)),
        (["many"], dict(do_sample=False)),
    ],
    ids=str,
)
def test_cached_batched_writing_equals_the_plain_way(default, words, how):
    options = WritingOptions(**how)
    builder = GroupBuilder(default, options)
    group = builder.group(words, (options.seed, 0, 0, 1))
    others = [builder.group([w], (9, i)) for i, w in enumerate(["other", "by", "."])]
    plain = plain_decode(default, words, options)
    for batch in [others[0], group, *others[1:]], [group]:
        written = sample_tokens(default, batch, options)[batch.index(group)]
        assert [word.tokens.tolist() for word in written if word.ended] == plain


# Its parts


@pytest.mark.parametrize("options", [{}, chain_options()], ids=["polar", "chain"])
def test_the_grammar_allows_what_the_rules_allow_and_nothing_else(options):
    t = tokenizer_of(small_model(**options).config)
    grammar = Grammar(t, 2)
    rng = np.random.default_rng(0)
    for _ in range(5):
        state = grammar.start(2)
        tokens = [t.END]
        word = []  # the tokens of the one that is being written
        words = 0  # that are done
        while state != grammar.done:
            allowed = plain_rules(t, tokens, word, is_last=words == 1)
            np.testing.assert_array_equal((grammar.mask[state] == 0).numpy(), allowed)
            ends = allowed[t.WORD] and rng.random() < 0.2
            tokens.append(t.WORD if ends else int(rng.choice(np.flatnonzero(allowed))))
            state = grammar.next_state[state, tokens[-1]]
            if tokens[-1] < t.n_bins:
                word.append(tokens[-1])
            elif tokens[-2:] == [t.WORD, t.WORD]:
                word = []
                words += 1


@pytest.mark.parametrize("tokenizer", ["chain", "polar", "cartesian"])
def test_the_grammar_allows_what_words_are_made_of(tokenizer):
    config = preset("debug", dataset_name="embedded", num_words=2, tokenizer=tokenizer)
    train, _ = create_datasets(config)
    grammar = Grammar(train.tokenizer, 3)
    for i in range(20):
        tokens, text, _ = train.sample(i)
        state = grammar.start(len(text.split()))  # two words, or one that leaves no room for another
        for token in [*tokens.tolist(), train.END_TOKEN]:
            assert grammar.mask[state, token] == 0 and state != grammar.done
            state = grammar.next_state[state, token]
        assert state == grammar.done


def test_choosing_tokens():
    logits = torch.tensor([[0.1, 0.6, 0.3]]).log().repeat(1000, 1)
    uniform = torch.linspace(0.0005, 0.9995, 1000)

    def count(**how):
        return torch.bincount(choose_tokens(logits, uniform, WritingOptions(**how)), minlength=3).tolist()

    assert count(temperature=1.0) == pytest.approx([100, 600, 300], abs=2)
    assert count(temperature=1.0, top_k=2) == pytest.approx([0, 667, 333], abs=2)
    assert count(temperature=1.0, top_p=0.7) == pytest.approx([0, 667, 333], abs=2)
    assert count(temperature=0.01) == [0, 1000, 0] and count(do_sample=False) == [0, 1000, 0]


def test_rows_from_the_end_take_the_place_of_those_that_are_done():
    going = torch.tensor([True, False, True, False, True, True])
    assert fill_holes(going).tolist() == [0, 4, 2, 5]
    assert fill_holes(torch.zeros(3, dtype=bool)).tolist() == []
    assert fill_holes(torch.ones(3, dtype=bool)).tolist() == [0, 1, 2]


# The original's names: these belong into tests/apps/test_original.py


def test_folding_may_change_the_number_of_words(default):
    with pytest.warns(UserWarning):
        offsets = generate_paragraph(default, None, "a well-known man", GenerationParams())
    fig, ax = plot_paragraph(offsets, "a well-known man", show_indices=True)
    points = word_offsets_to_points(offsets, GenerationParams(), "a well-known man".split())
    assert len(offsets) == len(ax.texts) == len(points) == 4


def test_generate_grows_to_the_length_asked_for(default):
    idx = torch.tensor([[tokenizer_of(default.config).END]] * 2)
    context = torch.tensor([[7, 7], [2, 0]])
    out = generate(default, idx, context, 30)
    assert out.shape == (2, 30) and torch.equal(out[:, :1], idx)
    with torch.no_grad():
        plain = idx
        while plain.shape[1] < 30:
            plain = torch.cat([plain, default(plain, context)[0][:, -1:].argmax(-1)], 1)
    assert torch.equal(out, plain)
    generators = [torch.Generator().manual_seed(1) for _ in range(2)]
    sampled = [generate(default, idx, context, 30, do_sample=True, generator=g) for g in generators]
    assert torch.equal(*sampled) and not torch.equal(sampled[0], out)


def test_generate_slides_its_window_when_learned_positions_run_out():
    model = small_model(positions="learned", block_size=16, start_token=False)
    idx = torch.tensor([[411, 3]])
    context = torch.ones(1, 50, dtype=torch.long)
    out = generate(model, idx, context, 40)
    with torch.no_grad():
        plain = idx
        while plain.shape[1] < 40:
            plain = torch.cat([plain, model(plain[:, -16:], context)[0][:, -1:].argmax(-1)], 1)
    assert torch.equal(out, plain)


def test_an_original_model_writes_with_a_style_word_of_a_dataset_or_of_the_embedded_bank(shared):
    model, _ = load_original(shared / "fixtures/upstream_checkpoint.pt")
    _, test = create_datasets(preset("paper", dataset_name="embedded", max_seq_length=256, test_size=20))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dataset in test, None:
            offsets = generate_paragraph(model, dataset, "so it", GenerationParams(num_steps=250))
            assert len(offsets) == 2 and all(o.shape[1] == 3 for o in offsets)


def test_paragraphs_as_the_original_hands_them_around(default):
    params = GenerationParams(seed=4)
    text = "so were the counsels"
    offsets = generate_paragraph(default, None, text, params)
    again = generate_paragraph(default, None, text, params, offsets, [2])
    assert [np.array_equal(a, b) for a, b in zip(offsets, again)] == [True, True, False, True]
    page = write(text, default, params, respell=None)
    for placed, word in zip(word_offsets_to_points(offsets, params), page):
        np.testing.assert_allclose(placed, on_page(word), atol=1e-9)
    fig, ax = plot_paragraph(offsets, text, show_indices=True, include_title=True, params=params)
    assert len(ax.texts) == 4 and "counsels" in ax.get_title(loc="left")
    with pytest.raises(CursiveError, match="belong together"):
        generate_paragraph(default, None, "so were", params, offsets, [0])


def test_a_word_behind_one_that_is_cut_off_is_drawn_even_in_one_try(default):
    "Such a word has no drawing yet, however few tries there are."
    options = WritingOptions(n_at_a_time=3, num_steps=16)  # the first word of each group is cut off
    drawn = list(draw_words(default, ["many", "a", "soul", "brave"], options, tries=1))
    assert len(drawn) == 4 and all(len(d.ink) for d in drawn)
