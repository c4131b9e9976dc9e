"""What only a GPU can show: the same numbers as on the CPU."""

import dataclasses

import pytest
import torch

from cursivetransformer.config import preset
from cursivetransformer.data.batches import Batches
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.model.checkpoint import load_checkpoint
from cursivetransformer.model.graphs import RecordedModel
from cursivetransformer.model.lora import build_model
from cursivetransformer.options import WritingOptions
from cursivetransformer.training.runs import set_sizes
from cursivetransformer.training.train import train
from cursivetransformer.writing.sample import draw_words

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.mark.parametrize("tokenizer", ["polar", "chain"])
def test_batches_are_the_same_on_both(tokenizer):
    config = preset("debug", dataset_name="embedded", tokenizer=tokenizer)
    training, _ = create_datasets(config)
    for here, there in zip(Batches(training, "cpu")(3), Batches(training, "cuda")(3)):
        same = (here == there.cpu()).float().mean()  # angles and roundings may fall to the other side
        assert here.shape == there.shape and same > 0.99


def test_the_bundled_model_computes_the_same():
    idx = torch.randint(0, 525, (3, 80))
    context = torch.randint(1, 72, (3, 12))
    with torch.no_grad():
        here = load_checkpoint(device="cpu")(idx, context)[0]
        there = load_checkpoint(device="cuda")(idx.cuda(), context.cuda())[0].cpu()
    torch.testing.assert_close(there, here, atol=5e-3, rtol=1e-3)


def test_the_bundled_model_writes_on_a_gpu():
    model = load_checkpoint(device="cuda")
    drawn = list(draw_words(model, ["goddess", "sing"], WritingOptions()))
    assert len(drawn) == 2


@pytest.mark.parametrize("compile", [False])
def test_a_run_learns_and_goes_on(tmp_path, compile):
    config = preset("debug", dataset_name="embedded", max_steps=30, compile=compile, wandb_mode="disabled")
    config = dataclasses.replace(config, run_dir=str(tmp_path / "run"), print_every=10, log_every=30)
    run = train(config)
    losses = [row["train_loss"] for row in run.metrics if "train_loss" in row]
    assert run.finished and losses[-1] < losses[0]
    assert set_sizes(config).device == "auto"
    config = dataclasses.replace(config, max_steps=40, resume=True)
    assert train(config).metrics[-1]["step"] == 40


@pytest.mark.parametrize("tokenizer", ["polar", "chain"])
def test_a_recorded_step_is_the_same_step(tokenizer):
    config = preset("debug", dataset_name="embedded", tokenizer=tokenizer, device="cuda")
    training, _ = create_datasets(config)
    model = build_model(set_sizes(config, training.words)).cuda().train()
    batches = Batches(training, "cuda")
    network = RecordedModel(model)
    for step in (0, 1, 0, 2, 1):
        batch = batches(step)
        losses = []
        gradients = []
        for one in (model, network):
            model.zero_grad()
            loss = one(*batch)[1]
            loss.backward()
            losses.append(loss.item())
            del loss  # or its graph, made outside of a recording, would be in the way of the next one
            gradients.append([p.grad.clone() for p in model.parameters()])
        assert losses[0] == pytest.approx(losses[1], rel=1e-3)
        for here, there in zip(*gradients):
            torch.testing.assert_close(here, there, rtol=2e-2, atol=2e-3)
