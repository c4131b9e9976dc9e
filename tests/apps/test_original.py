"""A notebook written for the original project: its sampling part, with nothing but the import lines changed."""

import shutil
import sys

import numpy as np
import pytest
import torch


@pytest.fixture
def notebook_folder(shared, tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    shutil.copy(
        shared / "data/bigbank_3325.json.zip", tmp_path / "data/bigbank_3500.json.zip"
    )  # the name that the notebook uses
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
    assert (args.vocab_size, args.block_size, args.context_vocab_size, args.context_block_size) == (
        525,
        1050,
        72,
        50,
    )

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
