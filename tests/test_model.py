import numpy as np
import pytest
import torch

from cursivetransformer.checkpoint import load_original
from cursivetransformer.config import ConfigError, preset
from cursivetransformer.model import Cache, Transformer

SIZES = dict(vocab_size=525, block_size=128, context_vocab_size=72, context_block_size=50)


def make(**options):
    torch.manual_seed(1)
    return Transformer(preset("debug", **SIZES, **options)).eval()


def test_logits_and_loss_are_those_of_the_original(shared):
    model, checkpoint = load_original(shared / "fixtures/upstream_checkpoint.pt")
    z = np.load(shared / "fixtures/upstream_logits.npz")
    idx, context = torch.from_numpy(z["idx"]), torch.from_numpy(z["context"])
    with torch.no_grad(): logits, loss = model(idx, context, idx)
    np.testing.assert_allclose(logits.numpy(), z["logits"], atol=1e-4)
    assert abs(loss.item() - float(z["loss"])) < 1e-4 and checkpoint["step"] == 3


@pytest.mark.parametrize("options", [{}, dict(positions="learned"), dict(mask_context=False), dict(tokenizer="cartesian")], ids=str)
@pytest.mark.parametrize("prefill", [1, 7])
def test_cached_decoding_equals_the_full_forward(options, prefill):
    model = make(**options)
    idx, context = torch.randint(0, 525, (3, 60)), torch.randint(1, 72, (3, 20))
    context[1, 9:] = 0
    with torch.no_grad():
        plain, _ = model(idx, context)
        cache = Cache(model, context, 60)
        steps = [model.advance(idx[:, :prefill], cache)] + [model.advance(idx[:, i:i + 1], cache) for i in range(prefill, 60)]
    torch.testing.assert_close(torch.stack(steps, 1), plain[:, prefill - 1:], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("keep", [[0, 3], [3, 1], [2, 3, 1], [0, 1, 2, 3]], ids=str)
def test_rows_of_a_cache_can_be_dropped(keep):
    model = make()
    idx, context = torch.randint(0, 525, (4, 10)), torch.randint(1, 72, (4, 8))
    with torch.no_grad():
        plain, _ = model(idx, context)
        cache = Cache(model, context, 10)
        for i in range(9): model.advance(idx[:, i:i + 1], cache)
        keep = torch.tensor(keep)
        cache.keep(keep)
        torch.testing.assert_close(model.advance(idx[keep, 9:], cache), plain[keep, -1], atol=1e-5, rtol=1e-5)


def test_hands_differ_alike_in_both_ways_of_computing():
    model = make(authors=("Ann", "Bo", "Cy"))
    torch.nn.init.normal_(model.transformer["wae"].weight)
    idx, context, author = torch.randint(0, 525, (3, 20)), torch.randint(1, 72, (3, 8)), torch.tensor([2, 0, 1])
    with torch.no_grad():
        plain, first = model(idx, context, author=author)[0], model(idx, context)[0]
        cache = Cache(model, context, 20, author)
        for i in range(10): model.advance(idx[:, i:i + 1], cache)
        cache.keep(torch.tensor([2, 1]))
        torch.testing.assert_close(model.advance(idx[[2, 1], 10:11], cache), plain[[2, 1], 10], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(first[1], plain[1])                 # the first author is who writes if nobody says
    assert (first[0] - plain[0]).abs().max() > 0.1


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


def test_fused_attention_equals_attention_written_out(monkeypatch):
    from cursivetransformer import model as module
    from cursivetransformer.bench import plain_attention
    model = make()
    idx, context = torch.randint(0, 525, (2, 30)), torch.randint(0, 72, (2, 9)).clamp(min=1)
    context[0, 5:] = 0
    fused = model(idx, context, idx)
    monkeypatch.setattr(module.F, "scaled_dot_product_attention", plain_attention)
    for a, b in zip(fused, model(idx, context, idx)): torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


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
    assert not torch.allclose(make(mask_context=False)(idx, padded)[0], make(mask_context=False)(idx, context)[0], atol=1e-3)


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
    with pytest.raises(ConfigError, match="128 tokens, and got 200"): make(positions="learned")(idx, context)


def test_parameters_of_the_published_model():
    model = Transformer(preset("paper", vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50))
    assert sum(p.numel() for p in model.parameters()) == 476_096


def test_every_weight_learns():
    model = make().train()
    model(torch.randint(0, 522, (2, 30)), torch.randint(1, 72, (2, 9)), torch.randint(0, 522, (2, 30)))[1].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize("options, says", [(dict(n_embd=48), "n_embd_context"), (dict(n_embd=30, n_embd_context=30, n_ctx_head=4), "multiple"), (dict(vocab_size=None), "vocab_size")])
def test_impossible_sizes_are_explained(options, says):
    with pytest.raises(ConfigError, match=says): Transformer(preset("debug", **{**SIZES, **options}))
