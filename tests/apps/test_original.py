"""A notebook written for the original project runs, with nothing but its import lines changed."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from models import chain_options, small_model
from wandb_cases import cursive as command
from wandb_cases import python

from cursivetransformer.config import ALPHABET, CursiveError, preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import Codec
from cursivetransformer.ink.points import LINE_START, offsets_to_strokes
from cursivetransformer.model.checkpoint import save_model
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.training.runs import set_sizes
from cursivetransformer.writing.spelling import generate_words

NAMES = """get_all_args get_checkpoint Transformer create_datasets offsets_to_strokes strokes_to_offsets
    StrokeDataset GenerationParams generate generate_paragraph generate_helper_fn word_offsets_to_points
    plot_strokes plot_paragraph save_samples"""


@pytest.fixture
def notebook_folder(shared, tmp_path, monkeypatch):
    "A folder as the notebook expects it, with the names that it uses, in a kernel of Jupyter's."
    (tmp_path / "data").mkdir()
    shutil.copy(shared / "data/bigbank_3325.json.zip", tmp_path / "data/bigbank_3500.json.zip")
    shutil.copy(shared / "fixtures/upstream_checkpoint.pt", tmp_path / "best_checkpoint.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher", "-f", "kernel.json"])
    return tmp_path


@pytest.mark.filterwarnings("ignore:The model found no end")
def test_the_sampling_part_runs(notebook_folder, capsys):
    from cursivetransformer import (
        GenerationParams,
        create_datasets,
        generate_paragraph,
        get_all_args,
        get_checkpoint,
        plot_paragraph,
        plot_strokes,
        save_samples,
        word_offsets_to_points,
    )

    args = get_all_args(use_argparse=False)
    args.train_size = 7000
    args.max_seq_length = 1050
    args.sample_only = True
    args.n_layer = 5
    args.dataset_name = "bigbank_3500"
    args.wandb_project = "bigbank_2k"
    args.local_checkpoint_path = "best_checkpoint.pt"
    torch.manual_seed(args.seed)

    train_dataset, test_dataset = create_datasets(args)
    args.block_size = train_dataset.get_stroke_seq_length()
    args.context_block_size = train_dataset.get_text_seq_length()
    args.vocab_size = train_dataset.get_vocab_size()
    args.context_vocab_size = train_dataset.get_char_vocab_size()
    sizes = (args.vocab_size, args.block_size, args.context_vocab_size, args.context_block_size)
    assert sizes == (525, 1050, 72, 50)

    model, optimizer, scheduler, step, best_loss = get_checkpoint(args, sample_only=True)
    assert step == 3 and not model.training

    text = "Sing, O goddess"
    word_list = text.split()
    params = GenerationParams()
    params.seed = 0
    params.num_steps = 250
    word_list_offsets = generate_paragraph(model, test_dataset, text, params)
    sentence_points = word_offsets_to_points(word_list_offsets, params, word_list=word_list)
    point_samp = np.vstack(sentence_points)
    fig, ax = plot_strokes(point_samp, "", figsize=(9, 3 * 2), dpi=150)
    assert len(word_list_offsets) == 3 and all(o.ndim == 2 and o.shape[1] == 3 for o in word_list_offsets)

    new = generate_paragraph(
        model, test_dataset, text, params, word_list_offsets=word_list_offsets, regenerate_ixs=[1]
    )
    assert np.array_equal(new[0], word_list_offsets[0]) and not np.array_equal(new[1], word_list_offsets[1])
    plot_paragraph(
        new, text, figsize=(12, 4 * 2), dpi=200, params=params, show_indices=True, include_title=True
    )
    save_samples(model, test_dataset, num=1, do_sample=True)
    assert (notebook_folder / "test_sample_1.png").exists()

    x, c, y = test_dataset[0]
    words = test_dataset.split_by_word_tokens(x)
    assert len(words) == args.num_words and test_dataset.decode_text(c).split()[0]
    assert test_dataset.PAD_TOKEN == 522 and test_dataset.END_TOKEN == 523 and test_dataset.WORD_TOKEN == 524
    assert torch.equal(test_dataset.encode_text("So")[:3], torch.tensor([42, 7, 0]))


@pytest.mark.filterwarnings("ignore:The model found no end")
@pytest.mark.parametrize("style", [None, 1])
def test_paragraphs_of_chain_tokens_are_offsets_too(style):
    from cursivetransformer import (
        GenerationParams,
        create_datasets,
        generate_paragraph,
        get_all_args,
        offsets_to_strokes,
        plot_paragraph,
        word_offsets_to_points,
    )

    args = get_all_args(use_argparse=False)
    args.dataset_name = "embedded"
    _, dataset = create_datasets(args)  # of polar tokens, as the original's are
    model = small_model(**chain_options())
    params = GenerationParams(warmup_sample_ix=style, verbose=False, seed=3)
    offsets = generate_paragraph(model, dataset, "So do", params)
    inks = generate_words(model, ["So", "do"], params, dataset)
    points = word_offsets_to_points(offsets, params, word_list=["So", "do"])
    for o, ink, placed in zip(offsets, inks, points):
        assert o.shape == ink.shape == placed.shape
        assert (o[:, 0] >= 0).all() and set(o[:, 2]) == {0, 1}
        np.testing.assert_allclose(offsets_to_strokes(o), ink, atol=1e-9)
        np.testing.assert_allclose(np.diff(placed, axis=0), np.diff(ink, axis=0), atol=1e-9)
    again = generate_paragraph(model, dataset, "So do", params, offsets, regenerate_ixs=[1])
    assert np.array_equal(again[0], offsets[0]) and not np.array_equal(again[1], offsets[1])
    _, ax = plot_paragraph(again, "So do", params=params, show_indices=True)
    assert len(ax.texts) == 2 and ax.has_data()


def test_offsets_become_chain_tokens_and_back():
    from cursivetransformer import strokes_to_offsets

    codec = Codec(small_model(**chain_options()).config)
    word = load_bank("embedded").words[0]
    tokens = codec.encode_stroke(strokes_to_offsets(word.points, LINE_START))
    assert tokens.tolist() == codec.tokenizer.encode_words([word.points])[0].tolist()
    (offsets,) = codec.decode_stroke(tokens)
    (ink,) = codec.tokenizer.decode_words([tokens])
    np.testing.assert_allclose(offsets_to_strokes(offsets), ink, atol=1e-9)
    assert codec.decode_stroke([codec.END_TOKEN])[0].shape == (0, 3)


def test_all_names_come_with_a_star():
    names = {}
    exec("from cursivetransformer.apps.original import *", names)
    assert set(NAMES.split()) <= set(names)


def test_get_checkpoint(shared, tiny, tmp_path, monkeypatch):
    from cursivetransformer import get_checkpoint

    c = set_sizes(preset("paper", dataset_name="embedded", max_seq_length=256, device="cpu"))
    model, optimizer, scheduler, step, best = get_checkpoint(c)
    assert step == 0 and best is None
    assert optimizer.param_groups[0]["lr"] == 0.01 and scheduler.get_last_lr() == [0.01]
    c.local_checkpoint_path = str(shared / "fixtures/upstream_checkpoint.pt")
    model, optimizer, scheduler, step, best = get_checkpoint(c)
    assert step == 3 and best == pytest.approx(4.444, abs=1e-3)
    assert model.config.n_layer == 2 and len(optimizer.optimizers[0].state) == 47
    assert get_checkpoint(c, sample_only=True)[1:3] == (None, None)
    c.local_checkpoint_path = None
    assert get_checkpoint(c, sample_only=True)[0].config.start_token  # the bundled model
    save_model(tiny, tmp_path / "last.safetensors", step=7)
    c.local_checkpoint_path = str(tmp_path)  # as a run's folder
    model, _, _, step, best = get_checkpoint(c, sample_only=True)
    assert (model.config.n_layer, step, best) == (tiny.config.n_layer, 0, None)
    c.local_checkpoint_path = None
    c.load_from_run_id = "7coqq2c4"
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(CursiveError, match="needs a key"):
        get_checkpoint(c)


# A run of the original authors in W&B


@pytest.fixture
def published(wandb_server, tmp_path):
    "A run as the original project leaves it: one pickle, and a config with names of its own."
    torch.manual_seed(0)
    sizes = dict(vocab_size=525, block_size=256, context_vocab_size=72, context_block_size=50)
    model = Transformer(preset("paper", n_layer=2, n_ctx_head=2, max_seq_length=256, **sizes))
    path = tmp_path / "original.pt"
    torch.save({"model_state_dict": model.state_dict(), "step": 7, "best_loss": 2.5}, path)
    r = wandb_server.run("sam-greydanus", "bigbank_2k", "7coqq2c4")
    theirs = dict(n_ctx_head=2, n_embd2=64, ablate_cross_attention=False, num_words=3, downsample_mean=0.7)
    theirs |= dict(alphabet=ALPHABET, device="cuda")
    r["config"] = json.dumps({name: {"value": value} for name, value in theirs.items()})
    for data in b"older", path.read_bytes():
        wandb_server.add_artifact(r, "best_checkpoint", "model", {"best_checkpoint.pt": data})
    return model


def test_the_originals_run_writes_and_can_be_tuned(wandb_client, published, tmp_path):
    checkpoint = "wandb:sam-greydanus/bigbank_2k/7coqq2c4"
    wrote = command("write", "So", "--checkpoint", checkpoint, "-o", "so.svg", env=wandb_client, cwd=tmp_path)
    assert wrote.returncode == 0 and "best_checkpoint.pt of best_checkpoint:v1" in wrote.stderr, wrote.stderr
    assert (tmp_path / "so.svg").stat().st_size > 500
    code = """
from cursivetransformer import get_all_args, get_checkpoint
args = get_all_args(use_argparse=False)
args.wandb_entity, args.wandb_project, args.load_from_run_id = "sam-greydanus", "bigbank_2k", "7coqq2c4"
model, optimizer, scheduler, step, best_loss = get_checkpoint(args, sample_only=True)
c = model.config
print(step, best_loss, optimizer, c.n_ctx_head, c.num_words, c.downsample_mean, c.tokenizer, c.positions)
print(float(model.lm_head.weight.detach().sum()))
model, optimizer, scheduler, step, best_loss = get_checkpoint(args)
print(step, best_loss, optimizer is None, args.n_ctx_head)
"""
    done = python(code, wandb_client, tmp_path)
    assert done.returncode == 0, done.stderr
    sampled, total, tuned = done.stdout.splitlines()
    assert (sampled, tuned) == ("7 2.5 None 2 3 0.7 polar learned", "7 2.5 False 2")
    expected = published.lm_head.weight.detach()
    assert float(total) == pytest.approx(float(expected.sum()), abs=1e-5 * float(expected.abs().sum()))


def test_the_originals_run_in_the_writing_panel(wandb_client, published, tmp_path):
    code = """
from cursivetransformer import WritingApp
app = WritingApp("So", clickable=False)
for run in "7coqq2c4", "nobody":
    app.controls["checkpoint"].value = f"wandb:sam-greydanus/bigbank_2k/{run}"
    for button in "load", "write":
        app.controls[button].click()
        assert app.wait()
        print(app.desk.message)
print(app.desk.model.config.n_layer, [w.text for w in app.desk.page])
"""
    done = python(code, wandb_client, tmp_path)
    loaded, wrote, missing, again, last = done.stdout.splitlines()
    assert loaded.startswith("Writing with wandb:sam-greydanus/bigbank_2k/7coqq2c4:"), done.stderr
    assert "2 layers" in loaded and wrote.startswith("1 word.") and again.startswith("1 word."), done.stdout
    assert missing.startswith("There is no run sam-greydanus/bigbank_2k/nobody") and last == "2 ['So']"
