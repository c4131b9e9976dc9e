"""A training step of padded batches, recorded in one piece, is the same step."""

import copy

import pytest
import torch

from cursivetransformer.config import preset
from cursivetransformer.data.batches import Batches
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.model.graphs import RecordedModel, Shape, pad_batch, padded_shape
from cursivetransformer.model.lora import build_model
from cursivetransformer.training.runs import set_sizes

MODELS = [
    dict(tokenizer="chain", merges=40),
    dict(tokenizer="polar"),
    dict(preset="paper", positions="learned", n_layer=2, max_seq_length=300, tokenizer="polar"),
]


def not_recorded(network, batch):
    return network


def model_and_batches(**settings):
    name = settings.pop("preset", "debug")
    config = preset(name, dataset_name="embedded", batch_size=5, train_size=200, **settings)
    training, _ = create_datasets(config)
    model = build_model(set_sizes(config, training.words)).train()
    return model, Batches(training)


@pytest.mark.parametrize("settings", MODELS, ids=str)
def test_a_padded_step_has_the_same_loss_and_gradients(settings):
    model, batches = model_and_batches(**settings)
    padded = RecordedModel(model, record=not_recorded)
    other = copy.deepcopy(model)
    for step in range(4):
        batch = batches(step)
        _, loss = other(*batch)
        _, same = padded(*batch)
        assert same.item() == pytest.approx(loss.item(), rel=1e-5)
        for network, value in (other, loss), (model, same):
            network.zero_grad()
            value.backward()
        for (name, p), q in zip(model.named_parameters(), other.parameters()):
            torch.testing.assert_close(p.grad, q.grad, rtol=1e-3, atol=1e-5, msg=name)
    assert len(padded.steps) <= 4


def test_shapes_are_few_and_waste_little():
    shapes = set()
    for rows in range(4, 200):
        for tokens in range(50, 400, 10):
            idx = torch.empty(rows, tokens, device="meta")
            shape = padded_shape(idx, torch.empty(rows, 20, device="meta"), None, 96)
            assert rows <= shape.rows < 1.25 * rows + 4 and tokens <= shape.tokens < tokens + 64
            assert shape.characters == 32
            shapes.add(shape.rows)
    assert len(shapes) < 24


def test_padding_ends_where_positions_do():
    assert padded_shape(torch.empty(4, 90), torch.empty(4, 40), 100, 50) == Shape(4, 100, 50)


def test_what_is_padded_does_not_count():
    idx = torch.tensor([[1, 2], [3, 4]])
    context = torch.tensor([[5], [6]])
    targets = torch.tensor([[2, 9], [4, 9]])
    author = torch.tensor([0, 1])
    padded = pad_batch(idx, context, targets, author, Shape(3, 4, 2), pad=7)
    assert padded[0].tolist() == [[1, 2, 7, 7], [3, 4, 7, 7], [3, 4, 7, 7]]
    assert padded[1].tolist() == [[5, 0], [6, 0], [6, 0]]
    assert padded[2].tolist() == [[2, 9, 7, 7], [4, 9, 7, 7], [7, 7, 7, 7]]
    assert padded[3].tolist() == [0, 1, 1]
