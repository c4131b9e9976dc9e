import dataclasses
import warnings

import numpy as np
import pytest
import torch

from cursivetransformer.apps.original import (
    generate,
    generate_paragraph,
    plot_paragraph,
    word_offsets_to_points,
)
from cursivetransformer.config import CursiveError, GenerationParams, preset
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.ink.curves import on_page, to_svg
from cursivetransformer.ink.points import slant, strokes
from cursivetransformer.ink.tokens import stroke_tokenizer
from cursivetransformer.model.checkpoint import load_original
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.writing.page import layout, respell, save_samples, write, write_lines
from cursivetransformer.writing.sample import Grammar, bound, choose_tokens, decode, make_group
from cursivetransformer.writing.spelling import generate_words

WORDS = "Sing, O goddess, the anger of Achilles son of Peleus, a I .".split()


def make(**options):
    torch.manual_seed(3)
    return Transformer(
        preset(
            "debug",
            **{
                **dict(vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50),
                **options,
            },
        )
    ).eval()


@pytest.mark.parametrize("at_a_time", [1, 2, 5])
def test_every_word_comes_back_once_and_in_order(default, at_a_time):
    ink = generate_words(default, WORDS, GenerationParams(n_at_a_time=at_a_time))
    assert len(ink) == len(WORDS)
    for points in ink:
        assert (
            len(strokes(points)) >= 1
            and np.isfinite(points).all()
            and points[:, 0].min() == pytest.approx(0)
            and points[-1, 2] == 0
        )
    page = write(" ".join(WORDS), default, n_at_a_time=at_a_time)
    assert [w.text for w in page] == WORDS


@pytest.mark.parametrize(
    "options", [{}, dict(tokenizer="cartesian", vocab_size=431), dict(positions="learned")], ids=str
)
def test_even_an_untrained_model_ends_every_word(options):
    model = make(**options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ink = generate_words(
            model, ["ab", "c", "def"], GenerationParams(temperature=1.5, n_at_a_time=2, num_steps=2000)
        )
    k = stroke_tokenizer(model.config.tokenizer).tokens_per_point
    for word, points in zip(["ab", "c", "def"], ink):
        assert 1 <= len(points) <= bound(word, k) // k + 1


def test_a_word_that_finds_no_end_is_written_again_and_named(monkeypatch, default):
    from cursivetransformer.writing import sample

    tries = []

    def never_ends(model, groups, params):
        tries.append((params.do_sample, [g.key for g in groups]))
        return [[(np.array([411, 5, 411, 160]), w != "endless", -1.0) for w in g.words] for g in groups]

    monkeypatch.setattr(sample, "decode", never_ends)
    with pytest.warns(UserWarning, match="'endless' .word 1."):
        ink = generate_words(default, ["one", "endless", "two"], GenerationParams())
    assert len(ink) == 3 and [len(keys) for _, keys in tries] == [3, 1, 1, 1]
    assert (
        len({k for _, keys in tries for k in keys}) == 6 and tries[-1][0] is False
    )  # new random numbers each time, greedy at last


def test_a_seed_gives_the_same_ink_whatever_the_batch(default, monkeypatch):
    from cursivetransformer.writing import sample

    params = GenerationParams(seed=11)
    together = generate_words(default, WORDS[:6], params)
    monkeypatch.setattr(sample, "BATCH_ROWS", 1)
    for a, b in zip(together, generate_words(default, WORDS[:6], params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)
    other = generate_words(default, WORDS[:6], dataclasses.replace(params, seed=12))
    assert not any(len(a) == len(b) and np.allclose(a, b) for a, b in zip(together, other))


def test_a_word_that_is_cut_off_does_not_hang_on_to_the_next(default):
    with pytest.warns(UserWarning, match="no end"):
        page = write("goddess it", default, num_steps=30)
    assert to_svg(page).count("M") == sum(len(strokes(w.points)) for w in page) >= 2
    assert all(w.points[-1, 2] == 0 for w in page)


@pytest.mark.parametrize(
    "bad",
    [
        dict(temperature=0.0),
        dict(temperature=float("inf")),
        dict(temperature=float("nan")),
        dict(top_p=0.0),
        dict(top_k=0),
        dict(seed=-1),
        dict(num_steps=1),
        dict(n_at_a_time=0),
        dict(slant=float("nan")),
        dict(sentence_line_width=0.0),
    ],
    ids=str,
)
def test_parameters_that_cannot_be_written_with_are_named(default, bad):
    with pytest.raises(CursiveError, match=next(iter(bad))):
        write("a", default, **bad)


def test_folding_may_change_the_number_of_words(default):
    with pytest.warns(UserWarning):
        offsets = generate_paragraph(default, None, "a well-known man", GenerationParams())
    fig, ax = plot_paragraph(offsets, "a well-known man", show_indices=True)
    assert (
        len(offsets)
        == len(ax.texts)
        == len(word_offsets_to_points(offsets, GenerationParams(), "a well-known man".split()))
        == 4
    )


def test_global_random_state_is_left_alone(default):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    generate_words(default, ["one"], GenerationParams())
    assert torch.equal(before, torch.get_rng_state())


def plain_choice(logits, uniform, params):
    "A token by the book, in double precision."
    if not params.do_sample:
        return int(np.argmax(logits))
    p = np.exp((logits - logits.max()).astype(float) / params.temperature)
    if params.top_k:
        p[p < np.sort(p)[-params.top_k]] = 0
    p /= p.sum()
    if params.top_p:
        order = np.argsort(-p)
        p[order[np.cumsum(p[order]) - p[order] >= params.top_p]] = 0
    return int(np.searchsorted(np.cumsum(p), uniform * p.sum(), side="right"))


def plain_decode(model, words, params):
    "The same tokens without cache or batch: a full forward pass a token, and the rules spelled out."
    from cursivetransformer.data.seeds import sample_rng
    from cursivetransformer.ink.tokens import CharTokenizer

    t = stroke_tokenizer(model.config.tokenizer)
    uniform = sample_rng(params.seed, 0, 0, 1).random(4000)
    context = torch.from_numpy(CharTokenizer().encode(" ".join(words)))[None]
    tokens, out, word = [t.END], [], []
    while len(out) < len(words):
        logits = model(torch.tensor([tokens]), context)[0][0, -1].numpy()
        allowed = np.zeros(t.vocab_size, bool)
        if tokens[-1] == t.WORD and tokens[-2] != t.WORD:
            allowed[t.WORD] = True
        elif len(word) % 2:
            allowed[:302] = True
        else:
            allowed[302:522] = True
            if len(word) >= 6 and word[-1] >= 151:
                allowed[[t.END, t.WORD] if len(out) == len(words) - 1 else [t.WORD]] = True
        token = plain_choice(np.where(allowed, logits, -np.inf), uniform[len(tokens) - 1], params)
        tokens.append(token)
        if token < t.n_bins:
            word.append(token)
        elif token == t.END or tokens[-2] == t.WORD or len(out) == len(words) - 1:
            out.append(word)
            word = []
    return out


@torch.no_grad()
@pytest.mark.parametrize(
    "words, options",
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
def test_cached_batched_writing_equals_the_plain_way(default, words, options):
    params = GenerationParams(**options)
    group = make_group(default, words, (params.seed, 0, 0, 1), None, None, 4)
    others = [make_group(default, [w], (9, i), None, None, 4) for i, w in enumerate(["other", "by", "."])]
    for batch in [others[0], group, *others[1:]], [group]:
        fast = [
            tokens.tolist()
            for tokens, ended, _ in decode(default, batch, params)[batch.index(group)]
            if ended
        ]
        assert fast == plain_decode(default, words, params)


@pytest.mark.parametrize("tokenizer", ["polar", "cartesian"])
def test_the_grammar_allows_what_words_are_made_of(tokenizer):
    train, _ = create_datasets(preset("debug", dataset_name="embedded", num_words=2, tokenizer=tokenizer))
    g = Grammar(train.tokenizer, 3)
    for i in range(20):
        state = g.start[2]
        for token in [*train.sample(i)[0].tolist(), train.END_TOKEN]:
            assert g.mask[state, token] == 0 and state != g.DONE
            state = g.after[state, token]
        assert state == g.DONE


def test_choosing_tokens():
    logits = torch.tensor([[0.1, 0.6, 0.3]]).log().repeat(1000, 1)
    u = torch.linspace(0.0005, 0.9995, 1000)
    count = lambda **k: torch.bincount(choose_tokens(logits, u, GenerationParams(**k)), minlength=3).tolist()
    assert count(temperature=1.0) == pytest.approx([100, 600, 300], abs=2)
    assert count(temperature=1.0, top_k=2) == pytest.approx([0, 667, 333], abs=2)
    assert count(temperature=1.0, top_p=0.7) == pytest.approx([0, 667, 333], abs=2)
    assert count(temperature=0.01) == [0, 1000, 0] and count(do_sample=False) == [0, 1000, 0]


def test_respelling_touches_nothing_else(default):
    page = write("many a brave soul did it send", default, seed=1)
    again = respell(page, [1, 3], default, seed=1)
    assert [np.array_equal(a.points, b.points) for a, b in zip(page, again)] == [
        i not in (1, 3) for i in range(7)
    ]
    assert [w.text for w in again] == [w.text for w in page]
    third = respell(again, [1, 3], default, seed=1)
    assert not np.array_equal(third[1].points, again[1].points)  # asking again gives another
    with pytest.raises(CursiveError, match="no word 7"):
        respell(page, [7], default)


def test_layout():
    params = GenerationParams(
        sentence_line_width=3.0, sentence_line_height=0.7, space_width=0.2, letter_height=0.4
    )
    page = layout([dataclasses.replace(w, page=None) for w in WIDE], params)
    assert [w.page[1] for w in page] == pytest.approx([0.4, 0.4, 1.1, 1.8, 2.5])
    assert page[1].page[0] == pytest.approx(1.2)
    assert all(on_page(w)[:, 0].max() <= 3.0 for w in page if np.ptp(w.points[:, 0]) <= 3)
    assert page[3].page[0] == 0  # wider than the line: alone on one
    assert layout(WIDE, params, breaks=(1,))[1].page == (0.0, pytest.approx(1.1))


def wide(width):
    from cursivetransformer.ink.points import Word

    return Word("w", np.array([[0, -0.1, 1], [width, 0, 1], [width, 0, 0]]))


WIDE = [wide(1.0), wide(1.5), wide(2.0), wide(4.0), wide(0.5)]


def test_one_slant_across_words(default):
    page = write("many a brave soul did it send hurrying", default, slant=0.3)
    slants = [slant(w.points) for w in page if slant(w.points) is not None]  # a dash has none
    assert len(slants) > 4 and slants == pytest.approx([0.3] * len(slants))
    free = write("many a brave soul did it send hurrying down", default)
    assert np.std([slant(w.points) or 0.0 for w in free]) > 0.01


def test_line_breaks_of_the_text_are_kept(default):
    page = write("one two\n\nsix", default)
    assert page[0].page[1] == page[1].page[1] < page[2].page[1] and page[2].page[0] == 0
    for nothing in "", " \n ":
        with pytest.raises(CursiveError, match="nothing to write"):
            write(nothing, default)


def test_words_too_long_are_named(default):
    with pytest.raises(CursiveError, match="x{60}.*50 characters"):
        write("x" * 60, default)


def test_a_style_word_is_continued(default):
    _, test = create_datasets(preset("debug", dataset_name="embedded"))
    plain = generate_words(default, ["one", "two"], GenerationParams(seed=1))
    styled = generate_words(default, ["one", "two"], GenerationParams(seed=1, warmup_sample_ix=3), test)
    assert not np.array_equal(plain[0], styled[0]) and len(styled) == 2
    assert (
        len(generate_words(default, ["one"], GenerationParams(warmup_sample_ix=3))) == 1
    )  # from the embedded bank


def test_generate_grows_to_the_length_asked_for(default):
    idx, context = torch.tensor([[523], [523]]), torch.tensor([[7, 7], [2, 0]])
    out = generate(default, idx, context, 30)
    assert out.shape == (2, 30) and torch.equal(out[:, :1], idx)
    with torch.no_grad():
        plain = idx
        while plain.shape[1] < 30:
            plain = torch.cat([plain, default(plain, context)[0][:, -1:].argmax(-1)], 1)
    assert torch.equal(out, plain)
    g = lambda: torch.Generator().manual_seed(1)
    sampled = [generate(default, idx, context, 30, do_sample=True, generator=g()) for _ in range(2)]
    assert torch.equal(*sampled) and not torch.equal(sampled[0], out)


def test_generate_slides_its_window_when_learned_positions_run_out():
    model = make(positions="learned", block_size=16, start_token=False)
    idx, context = torch.tensor([[411, 3]]), torch.ones(1, 50, dtype=torch.long)
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


def test_paragraphs_as_the_original_hands_them_around(default, tmp_path):
    params = GenerationParams(seed=4)
    offsets = generate_paragraph(default, None, "so were the counsels", params)
    again = generate_paragraph(default, None, "so were the counsels", params, offsets, [2])
    assert [np.array_equal(a, b) for a, b in zip(offsets, again)] == [True, True, False, True]
    page = write("so were the counsels", default, params, respell=None)
    for placed, word in zip(word_offsets_to_points(offsets, params), page):
        np.testing.assert_allclose(placed, on_page(word), atol=1e-9)
    fig, ax = plot_paragraph(
        offsets, "so were the counsels", show_indices=True, include_title=True, params=params
    )
    assert len(ax.texts) == 4 and "counsels" in ax.get_title(loc="left")
    with pytest.raises(CursiveError, match="belong together"):
        generate_paragraph(default, None, "so were", params, offsets, [0])
    _, test = create_datasets(preset("debug", dataset_name="embedded", test_size=3))
    assert all(p.read_bytes().startswith(b"\x89PNG") for p in save_samples(default, test, 2, True, tmp_path))


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_lines_come_as_they_are_done_and_are_those_of_the_page(default, monkeypatch, at_a_time):
    from cursivetransformer.writing import sample, spelling

    params = GenerationParams(n_at_a_time=at_a_time, sentence_line_width=2.5)
    page = write(" ".join(WORDS), default, params)
    decoded = []
    monkeypatch.setattr(sample, "CHUNK", 4)
    monkeypatch.setattr(spelling, "CHUNK", 4)
    monkeypatch.setattr(
        sample,
        "decode",
        lambda model, groups, params: decoded.extend(groups) or decode(model, groups, params),
    )
    lines = write_lines(" ".join(WORDS), default, params)
    first = next(lines)
    assert 0 < sum(len(g.words) for g in decoded) < len(WORDS)
    lines = [first, *lines]
    assert len(lines) > 2 and all(len({w.page[1] for w in line}) == 1 for line in lines)
    for a, b in zip(page, sum(lines, []), strict=True):
        assert a.text == b.text and a.page == pytest.approx(b.page)
        np.testing.assert_allclose(a.points, b.points, atol=1e-9)


def test_progress_counts_every_word(default, monkeypatch):
    from cursivetransformer.writing import sample, spelling

    monkeypatch.setattr(sample, "CHUNK", 4)
    monkeypatch.setattr(spelling, "CHUNK", 4)
    monkeypatch.setattr(sample, "BATCH_ROWS", 3)
    seen = []
    write(" ".join(WORDS), default, progress=seen.append)
    assert seen == sorted(seen) and seen[-1] == len(WORDS) and len(seen) > 3


def test_a_hand_is_chosen_by_its_author(tiny):
    torch.manual_seed(0)
    two = Transformer(
        preset(
            "debug",
            vocab_size=525,
            block_size=1050,
            context_vocab_size=72,
            context_block_size=50,
            authors=("Ann", "Bo"),
        )
    ).eval()
    torch.nn.init.normal_(two.transformer["wae"].weight)
    how = dict(seed=1, respell=None, num_steps=60)
    with pytest.warns(UserWarning, match="no end"):
        ann, first, bo = (write("to be", two, author=a, **how) for a in ("Ann", None, "Bo"))
    assert all(np.array_equal(a.points, b.points) for a, b in zip(ann, first)) and not np.array_equal(
        ann[0].points, bo[0].points
    )
    with pytest.raises(CursiveError, match="Ann, Bo, and not of 'Ben'"):
        write("to be", two, author="Ben", **how)
    with pytest.raises(CursiveError, match="does not say whose hand"):
        write("to be", tiny, author="Ann", **how)
