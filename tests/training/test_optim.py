import pytest
import torch

from cursivetransformer.config import preset
from cursivetransformer.model.speed import multiplies_bfloat16
from cursivetransformer.training import optim
from cursivetransformer.training.optim import Muon, orthogonalize, rate_factor


@pytest.mark.parametrize("shape", [(3, 20, 50), (2, 50, 20), (1, 64, 64)])
def test_orthogonalized_matrices_have_singular_values_near_one(shape):
    m = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    s = torch.linalg.svdvals(orthogonalize(m, steps=8))
    assert s.min() > 0.5 and s.max() < 1.3


def test_muon_in_half_precision_takes_nearly_the_same_step():
    m = torch.randn((2, 64, 256), generator=torch.Generator().manual_seed(0))
    whole = orthogonalize(m)
    half = orthogonalize(m.bfloat16()).float()
    assert torch.nn.functional.cosine_similarity(half.flatten(), whole.flatten(), dim=0) > 0.999
    assert 0.5 < torch.linalg.svdvals(half).min() and torch.linalg.svdvals(half).max() < 1.3


def test_only_devices_that_multiply_bfloat16_are_asked_to():
    assert not multiplies_bfloat16(torch.device("mps")) and not multiplies_bfloat16(torch.device("meta"))
    assert multiplies_bfloat16(torch.device("cpu")) in (True, False)  # as PyTorch finds this processor


def test_muon_equals_going_matrix_by_matrix(monkeypatch):
    monkeypatch.setattr(optim, "multiplies_bfloat16", lambda device: False)
    g = torch.Generator().manual_seed(0)
    start = [torch.randn(s, generator=g) for s in [(8, 4), (8, 4), (4, 8)]]
    grads = [[torch.randn(p.shape, generator=g) for p in start] for _ in range(3)]
    fast = [torch.nn.Parameter(p.clone()) for p in start]
    optimizer = Muon(fast, lr=0.1, weight_decay=0.01)
    for step in grads:
        for p, grad in zip(fast, step):
            p.grad = grad.clone()
        optimizer.step()
    for i, p in enumerate(start):
        momentum = torch.zeros_like(p)
        for step in grads:
            momentum = 0.95 * momentum + 0.05 * step[i]
            (update,) = orthogonalize((0.05 * step[i] + 0.95 * momentum)[None])
            update = update * max(1, p.shape[0] / p.shape[1]) ** 0.5
            p = p * (1 - 0.1 * 0.01) - 0.1 * update
        torch.testing.assert_close(fast[i].data, p, atol=1e-4, rtol=1e-4)


def test_schedules():
    def factors(steps, **settings):
        config = preset(max_steps=1000, **settings)
        return [rate_factor(s, config) for s in steps]

    first, high, falling, last = factors((0, 300, 700, 999))
    assert first < 0.2 and high == 1 and falling == pytest.approx(0.5) and last < 0.01
    assert factors((100, 500), cooldown=1.0) == pytest.approx([0.9, 0.5])  # from the start
    assert factors((500,), schedule="cosine") == pytest.approx([0.5])
    stairs = factors((0, 9, 10, 25), schedule="step", step_lr_every=10, lr_decay=0.5)
    assert stairs == [1, 1, 0.5, 0.25]
