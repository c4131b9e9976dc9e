"""Short trainings that differ in one thing, and the table of what came of them."""

import json

import pytest

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import Word
from cursivetransformer.study.texts import fixed_lists
from cursivetransformer.study.trials import (
    CHOOSING,
    HEAD,
    Trial,
    bench_tokens,
    errors,
    run_trial,
    through_tokens,
)

TINY = dict(n_layer=2, n_embd=32, n_embd_context=32, n_ctx_head=2, batch_size=2, num_words=1, merges=40)
TINY |= dict(dataset_name="embedded", max_steps=4, log_every=4, device="cpu")


def test_nothing_is_chosen_by_what_is_a_goal():
    lists = fixed_lists()
    goals = {*lists.stops, *lists.commas, *lists.capitals, *lists.long}
    assert not goals & set(CHOOSING) and len(CHOOSING) > 100


def test_human_words_come_through_tokens_as_they_are():
    words = [Word(w.text, w.points) for w in load_bank("embedded").words[:3]]
    config = preset("debug", merges=0)
    again = through_tokens(words, config)
    assert [w.text for w in again] == [w.text for w in words]
    assert errors(again)["words"] == errors(words)["words"]


@pytest.mark.parametrize("tokenizer", ["polar", "chain"])
def test_a_trial_is_trained_and_measured(tmp_path, tokenizer):
    row = run_trial(Trial("tiny", dict(TINY, tokenizer=tokenizer)), tmp_path / "run", ["it"])
    assert row["name"] == "tiny" and row["changes"]["tokenizer"] == tokenizer
    assert (row["steps"], row["samples"], row["device"]) == (4, 8, "cpu")
    assert row["nats_a_word"] / row["tokens_a_word"] < 6.5  # nats a token: fewer than by chance
    assert row["bits_a_millimetre"] > 0 and 0 <= row["wrong at 0.3"]["words"] <= 100
    assert json.loads((tmp_path / "run" / "trial.json").read_text()) == row


def test_a_table_has_a_line_a_trial_and_goes_on_where_it_was(tmp_path):
    trials = (Trial("first", TINY), Trial("second", TINY))
    config = preset(dataset_name="embedded", run_dir=str(tmp_path), device="cpu")
    head, first, second = bench_tokens(config, trials, ["it"])
    assert head == HEAD and first.startswith("first") and second.startswith("second")
    (tmp_path / "second" / "trial.json").unlink()
    written = (tmp_path / "first" / "trial.json").stat().st_mtime_ns
    assert list(bench_tokens(config, trials, ["it"]))[1] == first
    assert (tmp_path / "first" / "trial.json").stat().st_mtime_ns == written
