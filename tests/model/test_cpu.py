import pytest
import torch
from models import small_model

from cursivetransformer.model.cpu import use_cpu_kernels


@pytest.mark.parametrize("positions", ["rotary", "learned"])
def test_training_takes_the_loss_and_the_gradients_of_the_plain_way(monkeypatch, positions):
    model = small_model(n_layer=2, spell=0.0, positions=positions, block_size=150)
    idx = torch.randint(0, 525, (7, 150))
    context = torch.randint(0, 72, (7, 9)).clamp(min=1)
    context[0, 5:] = 0
    targets = idx.roll(-1, 1)
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

    plain_loss, plain = trained()
    use_cpu_kernels(model)
    torch.testing.assert_close(model.eval()(idx, context)[0], logits, atol=1e-5, rtol=1e-5)
    loss, ours = trained()
    assert loss == pytest.approx(plain_loss, rel=1e-5) == pytest.approx(evaluated.item(), rel=1e-5)
    assert ours.keys() == plain.keys() and len(ours) > 20
    for name in ours:
        torch.testing.assert_close(ours[name], plain[name], atol=1e-6, rtol=1e-4, msg=name)
    monkeypatch.delattr(torch.nn, "LinearCrossEntropyOptions", raising=False)  # as in PyTorch before 2.13
    assert trained()[0] == pytest.approx(loss, rel=1e-5)


def test_in_half_precision_the_loss_is_nearly_the_same_and_the_gradients_point_the_same_way():
    model = small_model(n_layer=2, spell=0.0).train()
    g = torch.Generator().manual_seed(0)
    idx = torch.randint(0, 525, (5, 150), generator=g)
    context = torch.randint(1, 72, (5, 9), generator=g)

    def step(half):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(idx, context, idx.roll(-1, 1))[1]
        loss.backward()
        return loss.item(), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])

    plain_loss, plain = step(half=False)
    use_cpu_kernels(model)
    loss, ours = step(half=True)
    assert ours.dtype == torch.float32 and loss == pytest.approx(plain_loss, rel=0.01)
    assert torch.nn.functional.cosine_similarity(ours, plain, dim=0) > 0.99
