import numpy as np
import pytest
import torch
from models import SIZES, small_model

from cursivetransformer.config import ConfigError, preset
from cursivetransformer.model.checkpoint import load_original
from cursivetransformer.model.transformer import Transformer


def test_logits_and_loss_are_those_of_the_original(shared):
    model, checkpoint = load_original(shared / "fixtures/upstream_checkpoint.pt")
    z = np.load(shared / "fixtures/upstream_logits.npz")
    idx = torch.from_numpy(z["idx"])
    context = torch.from_numpy(z["context"])
    with torch.no_grad():
        logits, loss = model(idx, context, idx)
    np.testing.assert_allclose(logits.numpy(), z["logits"], atol=1e-4)
    assert abs(loss.item() - float(z["loss"])) < 1e-4 and checkpoint["step"] == 3


def test_a_step_in_bfloat16_is_nearly_the_same():  # as GPUs train
    model = small_model(n_layer=2).train()
    idx = torch.randint(0, 522, (3, 60))
    context = torch.randint(1, 72, (3, 9))

    def step(half):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(idx, context, idx.roll(-1, 1))[1]
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters()])

    (whole, gradient) = step(False)
    (half, rough) = step(True)
    assert half != whole and half == pytest.approx(whole, rel=0.01)
    assert torch.nn.functional.cosine_similarity(gradient, rough, dim=0) > 0.999


def test_the_future_and_the_padding_are_not_seen():
    model = small_model()
    idx = torch.randint(0, 522, (2, 30))
    context = torch.randint(1, 72, (2, 9))
    logits, loss = model(idx, context, idx)
    changed = idx.clone()
    changed[:, 20:] = 3
    torch.testing.assert_close(model(changed, context)[0][:, :20], logits[:, :20], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model(changed, context)[0][:, 20:], logits[:, 20:], atol=1e-3)
    padded = torch.nn.functional.pad(context, (0, 7))
    torch.testing.assert_close(model(idx, padded)[0], logits, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(
        small_model(mask_context=False)(idx, padded)[0],
        small_model(mask_context=False)(idx, context)[0],
        atol=1e-3,
    )


def test_padding_never_counts_in_the_loss():
    model = small_model()
    idx = torch.randint(0, 522, (2, 30))
    context = torch.randint(1, 72, (2, 9))
    targets = idx.roll(-1, 1)
    short = model(idx[:, :20], context, targets[:, :20])[1]
    targets[:, 20:] = model.pad
    torch.testing.assert_close(model(idx, context, targets)[1], short, atol=1e-5, rtol=1e-5)


def test_rotary_models_read_further_than_they_were_built_for_and_learned_ones_say_so():
    idx = torch.randint(0, 522, (1, 200))
    context = torch.randint(1, 72, (1, 9))
    assert small_model()(idx, context)[0].shape == (1, 200, 525)
    with pytest.raises(ConfigError, match="128 tokens, and got 200"):
        small_model(positions="learned")(idx, context)


def test_parameters_of_the_published_model():
    model = Transformer(
        preset("paper", vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50)
    )
    assert sum(p.numel() for p in model.parameters()) == 476_096


def test_every_weight_learns():
    model = small_model().train()
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


def test_training_also_asks_which_letters_have_been_written():
    idx = torch.randint(0, 522, (2, 60))
    context = torch.randint(1, 72, (2, 9))
    targets = idx.roll(-1, 1)
    with torch.no_grad():
        model = small_model(spell=0.5)
        plain = model(idx, context, targets)[1]
        both = model.train()(idx, context, targets)[1]
        assert both > plain
        silent = small_model(spell=0.0)
        evaluated = silent(idx, context, targets)[1]
        torch.testing.assert_close(silent.train()(idx, context, targets)[1], evaluated)
        # a stream from which the letters can be read in order costs next to nothing; in another order it does
        width = model.config.n_embd
        letters = torch.tensor([[3, 1, 4]])
        model.transformer["letters"].weight.zero_()
        model.transformer["letters"].bias.zero_()
        for letter in range(5):
            model.transformer["letters"].weight[letter, letter] = 1
        said = torch.zeros(1, 6, width)
        for at, letter in enumerate((0, 3, 3, 1, 0, 4)):
            said[0, at, letter] = 50

        def loss(letters):
            return model.transformer["letters"].loss(said, letters, torch.tensor([6]), torch.tensor([3]))

        assert loss(letters) < 0.1 < loss(letters.flip(1))


def test_attention_may_look_at_the_first_padding_character_and_at_no_other():
    model = small_model()
    masks = []

    def watch(weights, mask):
        masks.append(weights)
        return weights

    model.transformer.h[0].cross_attn.weight_hooks = (watch,)
    context = torch.tensor([[5, 6, 7, 0, 0, 0]])
    with torch.no_grad():
        model(torch.randint(0, 522, (1, 4)), context)
        assert ((masks[0] > 0) == torch.tensor([1, 1, 1, 1, 0, 0, 0], dtype=torch.bool)).all()
        full = torch.randint(1, 72, (1, 50))  # no room for a mark
        model(torch.randint(0, 522, (1, 4)), full)
        assert masks[1].shape[-1] == 50


def test_the_caller_of_a_model_can_be_watched():
    model = small_model()
    calls = []
    model.call_hooks = (lambda context, idx, cache: calls.append((context, idx, cache)),)
    idx = torch.randint(0, 522, (1, 4))
    context = torch.randint(1, 72, (1, 3))
    model(idx, context)
    assert len(calls) == 1 and calls[0][0] is context and calls[0][1] is idx and calls[0][2] is None


def test_attention_that_is_watched_is_what_the_fused_operation_computes():
    model = small_model()
    idx = torch.randint(0, 522, (2, 30))
    context = torch.randint(1, 72, (2, 9))
    with torch.no_grad():
        fused = model(idx, context)[0]
        for block in model.transformer.h:
            block.attn.weight_hooks = (lambda weights, mask: weights,)
        torch.testing.assert_close(model(idx, context)[0], fused, atol=1e-5, rtol=1e-5)
