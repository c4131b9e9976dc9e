import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

from cursivetransformer.config import ConfigError, preset
from cursivetransformer.ink.points import LINE_START, offsets_to_strokes, strokes_to_offsets
from cursivetransformer.ink.tokens import stroke_tokenizer
from cursivetransformer.model.checkpoint import load_original
from cursivetransformer.model.transformer import (
    FEATURES,
    REACH,
    TOKENS_A_CHARACTER,
    Cache,
    PenPlace,
    Transformer,
)

SIZES = dict(vocab_size=525, block_size=128, context_vocab_size=72, context_block_size=50)


def make(**options):
    torch.manual_seed(1)
    vocab_size = stroke_tokenizer(options.get("tokenizer", "polar")).vocab_size
    model = Transformer(preset("debug", **{**SIZES, "vocab_size": vocab_size, **options})).eval()
    for block in model.transformer.h:  # coverage begins by saying nothing
        if block.cross_attn.coverage:
            for p in block.cross_attn.coverage.parameters():
                torch.nn.init.normal_(p, std=0.5)
    return model


def test_logits_and_loss_are_those_of_the_original(shared):
    model, checkpoint = load_original(shared / "fixtures/upstream_checkpoint.pt")
    z = np.load(shared / "fixtures/upstream_logits.npz")
    idx, context = torch.from_numpy(z["idx"]), torch.from_numpy(z["context"])
    with torch.no_grad():
        logits, loss = model(idx, context, idx)
    np.testing.assert_allclose(logits.numpy(), z["logits"], atol=1e-4)
    assert abs(loss.item() - float(z["loss"])) < 1e-4 and checkpoint["step"] == 3


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
    model = make(**options)
    idx, context = torch.randint(0, model.config.vocab_size, (3, 60)), torch.randint(1, 72, (3, 20))
    context[1, 9:] = 0
    with torch.no_grad():
        plain, _ = model(idx, context)
        cache = Cache(model, context, 60)
        steps = [model.advance(idx[:, :prefill], cache)] + [
            model.advance(idx[:, i : i + 1], cache) for i in range(prefill, 60)
        ]
    torch.testing.assert_close(
        torch.stack(steps, 1), plain[:, prefill - 1 :], atol=1e-4, rtol=1e-4
    )  # random steps lead far away, where places are coarse


@pytest.mark.parametrize("keep", [[0, 3], [3, 1], [2, 3, 1], [0, 1, 2, 3]], ids=str)
def test_rows_of_a_cache_can_be_dropped(keep):
    model = make()
    idx, context = torch.randint(0, 525, (4, 10)), torch.randint(1, 72, (4, 8))
    with torch.no_grad():
        plain, _ = model(idx, context)
        cache = Cache(model, context, 10)
        for i in range(9):
            model.advance(idx[:, i : i + 1], cache)
        keep = torch.tensor(keep)
        cache.keep(keep)
        torch.testing.assert_close(model.advance(idx[keep, 9:], cache), plain[keep, -1], atol=1e-5, rtol=1e-5)


def test_hands_differ_alike_in_both_ways_of_computing():
    model = make(authors=("Ann", "Bo", "Cy"))
    torch.nn.init.normal_(model.transformer["wae"].weight)
    idx, context, author = (
        torch.randint(0, 525, (3, 20)),
        torch.randint(1, 72, (3, 8)),
        torch.tensor([2, 0, 1]),
    )
    with torch.no_grad():
        plain, first = model(idx, context, author=author)[0], model(idx, context)[0]
        for name, row in ("Cy", 0), ("Bo", 2):
            with model.in_hand(name):
                cache = Cache(model, context, 20)
                for i in range(10):
                    model.advance(idx[:, i : i + 1], cache)
                cache.keep(torch.tensor([2, row]))
                torch.testing.assert_close(
                    model.advance(idx[[2, row], 10:11], cache)[1], plain[row, 10], atol=1e-5, rtol=1e-5
                )
    torch.testing.assert_close(first[1], plain[1])  # the first author is who writes if nobody says
    assert (first[0] - plain[0]).abs().max() > 0.1


def test_a_hand_that_is_added_changes_nothing_for_the_others():
    for options in {}, dict(authors=("Ann", "Bo")):
        model, idx, context = make(**options), torch.randint(0, 525, (2, 20)), torch.randint(1, 72, (2, 8))
        if not options:
            model.add_authors(("Ann",))
        with torch.no_grad():
            before = model(idx, context)[0]
            for name in "Cy", "Di":
                model.add_hand(name)
                with model.in_hand(name):
                    assert torch.equal(model(idx, context)[0], before)  # a new hand begins as the first
                learning = [p for p in model.parameters() if p.requires_grad]
                for p in learning:
                    torch.nn.init.normal_(p, std=0.1)
                assert torch.equal(model(idx, context)[0], before)
            assert model.authors == (*model.config.authors, "Cy", "Di")
            answers = {}
            for name in model.authors:
                with model.in_hand(name), parametrize.cached():
                    answers[name] = model(idx, context)[0]
                    cache = Cache(model, context, 20)
                    steps = [model.advance(idx[:, i : i + 1], cache) for i in range(20)]
                torch.testing.assert_close(torch.stack(steps, 1), answers[name], atol=1e-4, rtol=1e-4)
            assert all(
                (answers[a] - answers[b]).abs().max() > 0.01
                for a in ("Ann", "Cy", "Di")
                for b in ("Ann", "Cy", "Di")
                if a < b
            )
            assert torch.equal(model(idx, context)[0], before)
            again = Transformer(model.config).eval()
            again.load_state_dict(model.state_dict())
            with again.in_hand("Cy"):
                assert torch.equal(again(idx, context)[0], answers["Cy"])
        with pytest.raises(ConfigError, match="Did you mean 'Ann'"), model.in_hand("Amn"):
            pass
        assert sum(p.numel() for p in model.parameters() if p.requires_grad) == sum(
            p.numel() for p in learning
        )  # the last one learns


def test_new_authors_leave_the_old_hands_as_they_were():
    model, idx, context = make(), torch.randint(0, 525, (2, 20)), torch.randint(1, 72, (2, 8))
    with torch.no_grad():
        before = model(idx, context)[0]
        model.add_authors(("Ann",))
        assert model.config.authors == ("Ann",) and "wae" not in model.transformer
        model.add_authors(("Bo", "Ann"))
        assert model.config.authors == ("Ann", "Bo") and torch.equal(model(idx, context)[0], before)
        torch.nn.init.normal_(model.transformer["wae"].weight)
        ann = model(idx, context)[0]
        model.add_authors(("Cy",))
        assert torch.equal(model(idx, context)[0], ann) and len(model.transformer["wae"].weight) == 3


def test_training_takes_the_loss_and_the_gradients_of_the_plain_way(monkeypatch):
    from cursivetransformer.study.bench import written_out

    model = make(n_layer=2, spell=0.0)
    idx, context = torch.randint(0, 525, (7, 150)), torch.randint(0, 72, (7, 9)).clamp(min=1)
    context[0, 5:], targets = 0, idx.roll(-1, 1)
    targets[3, 100:] = model.pad
    logits, evaluated = model(idx, context, targets)

    def trained():
        model.train().zero_grad()
        nothing, loss = model(idx, context, targets)
        loss.backward()
        assert nothing is None
        return loss.item(), {
            name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None
        }

    loss, ours = trained()
    with written_out():
        torch.testing.assert_close(model.eval()(idx, context)[0], logits, atol=1e-5, rtol=1e-5)
        plain_loss, plain = trained()
    assert loss == pytest.approx(plain_loss, rel=1e-5) == pytest.approx(evaluated.item(), rel=1e-5)
    assert ours.keys() == plain.keys() and len(ours) > 20
    for name in ours:
        torch.testing.assert_close(ours[name], plain[name], atol=1e-6, rtol=1e-4, msg=name)
    monkeypatch.delattr(torch.nn, "LinearCrossEntropyOptions", raising=False)  # as in PyTorch before 2.13
    assert trained()[0] == pytest.approx(loss, rel=1e-5)


def test_a_step_in_bfloat16_is_nearly_the_same():  # as GPUs train
    model = make(n_layer=2).train()
    idx, context = torch.randint(0, 522, (3, 60)), torch.randint(1, 72, (3, 9))

    def step(half):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(idx, context, idx.roll(-1, 1))[1]
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])

    (whole, gradient), (half, rough) = step(False), step(True)
    assert half != whole and half == pytest.approx(whole, rel=0.01)
    assert torch.nn.functional.cosine_similarity(gradient, rough, dim=0) > 0.999


def test_the_future_and_the_padding_are_not_seen():
    model = make()
    idx, context = torch.randint(0, 522, (2, 30)), torch.randint(1, 72, (2, 9))
    logits, loss = model(idx, context, idx)
    changed = idx.clone()
    changed[:, 20:] = 3
    torch.testing.assert_close(model(changed, context)[0][:, :20], logits[:, :20], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model(changed, context)[0][:, 20:], logits[:, 20:], atol=1e-3)
    padded = torch.nn.functional.pad(context, (0, 7))
    torch.testing.assert_close(model(idx, padded)[0], logits, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(
        make(mask_context=False)(idx, padded)[0], make(mask_context=False)(idx, context)[0], atol=1e-3
    )


def test_padding_never_counts_in_the_loss():
    model = make()
    idx, context = torch.randint(0, 522, (2, 30)), torch.randint(1, 72, (2, 9))
    targets = idx.roll(-1, 1)
    short = model(idx[:, :20], context, targets[:, :20])[1]
    targets[:, 20:] = model.pad
    torch.testing.assert_close(model(idx, context, targets)[1], short, atol=1e-5, rtol=1e-5)


def test_rotary_models_read_further_than_they_were_built_for_and_learned_ones_say_so():
    idx, context = torch.randint(0, 522, (1, 200)), torch.randint(1, 72, (1, 9))
    assert make()(idx, context)[0].shape == (1, 200, 525)
    with pytest.raises(ConfigError, match="128 tokens, and got 200"):
        make(positions="learned")(idx, context)


def test_parameters_of_the_published_model():
    model = Transformer(
        preset("paper", vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50)
    )
    assert sum(p.numel() for p in model.parameters()) == 476_096


def test_every_weight_learns():
    model = make().train()
    model(torch.randint(0, 522, (2, 30)), torch.randint(1, 72, (2, 9)), torch.randint(0, 522, (2, 30)))[
        1
    ].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize(
    "options, says",
    [
        (dict(n_embd=48), "n_embd_context"),
        (dict(n_embd=30, n_embd_context=30, n_ctx_head=4), "multiple"),
        (dict(vocab_size=None), "vocab_size"),
    ],
)
def test_impossible_sizes_are_explained(options, says):
    with pytest.raises(ConfigError, match=says):
        Transformer(preset("debug", **{**SIZES, **options}))


def test_coverage_is_the_sum_of_what_the_layer_below_looked_at():
    "Against loops over layers, heads, tokens and characters."
    model, looked, leaned = make(n_layer=3), [], []
    idx, context = torch.randint(0, 525, (2, 9)), torch.randint(1, 72, (2, 7))
    for block in model.transformer.h:
        block.cross_attn.watchers = (lambda w, mask: looked.append(w) or w,)
    for block in model.transformer.h[1:]:
        block.cross_attn.coverage.scores = lambda *args, f=block.cross_attn.coverage.scores: (
            leaned.append(f(*args)) or leaned[-1]
        )
    with torch.no_grad():
        model(idx, context)
        for layer, (added, seen, after) in zip((1, 2), leaned):
            coverage = model.transformer.h[layer].cross_attn.coverage
            for b in range(2):
                sums = torch.zeros(8)  # seven characters and the end mark
                for t in range(9):
                    torch.testing.assert_close(seen[b, t], sums)
                    bent = torch.tensor(
                        [
                            [
                                sum(
                                    coverage.look[f, REACH + o] * sums[s + o]
                                    for o in range(-REACH, REACH + 1)
                                    if 0 <= s + o < 8
                                )
                                + coverage.bias[f]
                                for s in range(8)
                            ]
                            for f in range(FEATURES)
                        ]
                    ).tanh()
                    torch.testing.assert_close(added[b, t].view(2, 8), coverage.lean.T @ bent)
                    for h in range(2):
                        sums = (
                            sums
                            + coverage.below.softmax(0)[h] * looked[layer - 1][b, h, t] / TOKENS_A_CHARACTER
                        )
                torch.testing.assert_close(after[b, 0], sums)


@pytest.mark.parametrize("name", ["polar", "cartesian"])
def test_the_pen_is_where_its_steps_lead(name):
    tokenizer = stroke_tokenizer(name)
    rng = np.random.default_rng(0)
    inks = [
        np.column_stack([rng.random((n, 2)) * [0.8, 0.2] - [0, 0.1], rng.random(n) > 0.2]) for n in (30, 25)
    ]
    encoded = [
        tokenizer.encode(strokes_to_offsets(ink - [ink[:, 0].min(), 0, 0], LINE_START)) for ink in inks
    ]
    config = preset("debug", **{**SIZES, "vocab_size": tokenizer.vocab_size}, tokenizer=name)
    tokens = torch.tensor([[tokenizer.END, *tokenizer.join([encoded[0]])]])
    place = torch.cat(PenPlace(config).walk(tokens, PenPlace(config).start(1))[:2], -1)
    drawn = offsets_to_strokes(tokenizer.decode(encoded[0]))
    k = tokenizer.tokens_per_point
    np.testing.assert_allclose(place[0, k::k].numpy(), drawn[:, :2], atol=1e-4)
    both = torch.tensor([[tokenizer.END, *tokenizer.join(encoded)]])
    x, _, _ = PenPlace(config).walk(both, PenPlace(config).start(1))
    begins = (
        1 + len(encoded[0]) + 2
    )  # where the second word does: its edge is as far right as the first one reaches
    farthest = offsets_to_strokes(tokenizer.decode(encoded[0]))[:, 0].max()
    last = drawn[-1, 0]
    assert abs(x[0, begins - 1, 0].item() - (last - farthest)) < 1e-4


def test_training_also_asks_which_letters_have_been_written():
    idx, context = torch.randint(0, 522, (2, 60)), torch.randint(1, 72, (2, 9))
    targets = idx.roll(-1, 1)
    with torch.no_grad():
        model = make(spell=0.5)
        plain, both = model(idx, context, targets)[1], model.train()(idx, context, targets)[1]
        assert both > plain
        silent = make(spell=0.0)
        assert silent(idx, context, targets)[1] == silent.train()(idx, context, targets)[1]
        # a stream from which the letters can be read, in order, costs next to nothing; in another order it does
        width, letters = model.config.n_embd, torch.tensor([[3, 1, 4]])
        model.transformer["letters"].weight.zero_()
        model.transformer["letters"].bias.zero_()
        for letter in range(5):
            model.transformer["letters"].weight[letter, letter] = 1
        said = torch.zeros(1, 6, width)
        for at, letter in enumerate((0, 3, 3, 1, 0, 4)):
            said[0, at, letter] = 50
        misspelling = lambda letters: model.transformer["letters"].misspelling(
            said, letters, torch.tensor([6]), torch.tensor([3])
        )
        assert misspelling(letters) < 0.1 < misspelling(letters.flip(1))


def test_attention_may_look_at_the_first_padding_character_and_at_no_other():
    model, masks = make(), []
    model.transformer.h[0].cross_attn.watchers = (lambda w, mask: masks.append(w) or w,)
    context = torch.tensor([[5, 6, 7, 0, 0, 0]])
    with torch.no_grad():
        model(torch.randint(0, 522, (1, 4)), context)
        assert ((masks[0] > 0) == torch.tensor([1, 1, 1, 1, 0, 0, 0], dtype=torch.bool)).all()
        full = torch.randint(1, 72, (1, 50))  # no room for a mark
        model(torch.randint(0, 522, (1, 4)), full)
        assert masks[1].shape[-1] == 50
