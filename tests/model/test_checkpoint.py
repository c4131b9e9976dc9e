import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cursivetransformer.config import ConfigError, CursiveError, preset
from cursivetransformer.data.banks import EMBEDDED
from cursivetransformer.model.checkpoint import (
    DEFAULT,
    CheckpointError,
    load_checkpoint,
    load_model,
    load_original,
    load_state,
    open_checkpoint,
    pick_device,
    read_safetensors,
    save_model,
    save_state,
)
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.writing.hands import hand_of, read_hand, save_hand
from cursivetransformer.writing.reader import BUNDLED, load_reader


@pytest.fixture(scope="module")
def saved(tiny, tmp_path_factory):
    return save_model(tiny, tmp_path_factory.mktemp("saved") / "m.safetensors", 5, 1.5)


def test_there_and_back(tiny, saved):
    again, header = load_model(saved)
    assert again.config == tiny.config and (
        header["step"],
        header["loss"],
        header["format"],
        header["version"],
    ) == ("5", "1.5", "cursivetransformer", "3")
    assert all(torch.equal(a, b) for a, b in zip(tiny.state_dict().values(), again.state_dict().values()))
    assert torch.equal(load_checkpoint(saved, "cpu").lm_head.weight, tiny.lm_head.weight)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_always_noticed(tiny, saved, tmp_path, place, bit):
    data = bytearray(saved.read_bytes())
    data[int(place * len(data))] ^= 1 << bit
    (tmp_path / "f.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="f.safetensors"):
        load_model(tmp_path / "f.safetensors")


@pytest.mark.parametrize("cut", [0, 3, 8, 100, 5000, -1])
def test_truncated_files(saved, tmp_path, cut):
    (tmp_path / "t.safetensors").write_bytes(saved.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path / "t.safetensors")


def test_foreign_newer_and_missing(saved, tmp_path):
    from safetensors.torch import save_file

    save_file({"w": torch.zeros(2)}, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match="something else"):
        load_model(tmp_path / "w.safetensors")
    weights, header = read_safetensors(saved)
    save_file(weights, tmp_path / "n.safetensors", {**header, "version": "4"})
    with pytest.raises(CheckpointError, match="version 4"):
        load_model(tmp_path / "n.safetensors")

    def signed(**changes):
        from cursivetransformer.model.checkpoint import digest

        changed = {**header, **changes}
        return {**changed, "sha256": digest(weights, changed)}

    save_file(
        weights, tmp_path / "u.safetensors", signed(config=header["config"].replace("n_layer", "n_lair"))
    )
    with pytest.raises(CheckpointError, match="n_lair"):
        load_model(tmp_path / "u.safetensors")
    save_file(
        weights,
        tmp_path / "s.safetensors",
        signed(config=header["config"].replace('"n_layer": 2', '"n_layer": 3')),
    )
    with pytest.raises(CheckpointError, match="does not describe"):
        load_model(tmp_path / "s.safetensors")
    with pytest.raises(CheckpointError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")


def test_models_of_the_first_version_load(tmp_path):
    from safetensors.torch import save_file

    from cursivetransformer.model.checkpoint import digest

    torch.manual_seed(0)
    model = Transformer(
        preset(
            "debug",
            vocab_size=525,
            block_size=64,
            context_vocab_size=72,
            context_block_size=50,
            end_mark=False,
            coverage=False,
            place=False,
            spell=0.0,
        )
    ).eval()
    weights, header = read_safetensors(save_model(model, tmp_path / "new.safetensors"))
    config = {
        k: v
        for k, v in json.loads(header["config"]).items()
        if k not in ("end_mark", "coverage", "place", "spell")
    }
    header = {**header, "version": "1", "config": json.dumps(config)}
    save_file(weights, tmp_path / "old.safetensors", {**header, "sha256": digest(weights, header)})
    idx = torch.randint(0, 522, (2, 20))
    context = torch.randint(1, 72, (2, 5))
    with torch.no_grad():
        assert torch.equal(
            load_checkpoint(tmp_path / "old.safetensors", "cpu")(idx, context)[0], model(idx, context)[0]
        )


def test_runs_of_an_earlier_version_are_refused(tmp_path):
    torch.save({"format": "cursivetransformer", "version": 1}, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="earlier version.*--local-checkpoint-path .*last.safetensors"):
        load_state(tmp_path / "state.pt")


class Evil:
    def __reduce__(self):
        return os.system, ("touch pwned",)


def test_pickles_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best_checkpoint.pt").write_bytes(pickle.dumps({"model_state_dict": Evil()}))
    torch.save({"model_state_dict": Evil()}, tmp_path / "zip.pt")
    for name in "best_checkpoint.pt", "zip.pt":
        with pytest.raises(CheckpointError, match="more than weights"):
            load_original(name)
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    "content", [{}, {"model_state_dict": {"a": torch.zeros(1)}}, [1], {"model_state_dict": {}}], ids=str
)
def test_other_pickles(tmp_path, content):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="no checkpoint of the original|model_state_dict"):
        load_original(tmp_path / "x.pt")


def test_the_originals_checkpoint_loads_strictly(shared, tmp_path):
    model, _ = load_original(shared / "fixtures/upstream_checkpoint.pt")
    assert (
        model.config.n_layer,
        model.config.block_size,
        model.config.positions,
        model.config.start_token,
    ) == (2, 256, "learned", False)
    c = torch.load(shared / "fixtures/upstream_checkpoint.pt", weights_only=True)
    del c["model_state_dict"]["transformer.ln_f.bias"]
    torch.save(c, tmp_path / "less.pt")
    with pytest.raises(CheckpointError, match="ln_f.bias"):
        load_original(tmp_path / "less.pt")


@pytest.mark.parametrize("place", [0.02, 0.3, 0.6, 0.9])
def test_flipped_pickles_are_noticed(shared, tmp_path, place):
    data = bytearray((shared / "fixtures/upstream_checkpoint.pt").read_bytes())
    data[int(place * len(data))] ^= 4
    (tmp_path / "f.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match="f.pt"):
        load_original(tmp_path / "f.pt")
    for junk in b"\x80\x02.", b"", b"x":
        (tmp_path / "j.pt").write_bytes(junk)
        with pytest.raises(CheckpointError, match="j.pt"):
            load_original(tmp_path / "j.pt")


def test_state_there_and_back(tiny, tmp_path):
    optimizer = torch.optim.AdamW(tiny.parameters())
    state = load_state(save_state(tmp_path / "state.pt", tiny, optimizer, 9, None))
    assert state["step"] == 9 and state["best_loss"] is None and len(state["model"]) == len(tiny.state_dict())
    torch.save({"step": 3}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match="not the state"):
        load_state(tmp_path / "other.pt")


def test_bundled_model(default, monkeypatch, tmp_path):
    from cursivetransformer.model import checkpoint

    assert checkpoint.DEFAULT.stat().st_size < 4e6 and default.config.start_token
    (tmp_path / "default.safetensors").write_bytes(checkpoint.DEFAULT.read_bytes()[:-1] + b"x")
    monkeypatch.setattr(checkpoint, "DEFAULT", tmp_path / "default.safetensors")
    with pytest.raises(CheckpointError, match="install"):
        load_checkpoint()


def test_devices_that_are_not_there():
    assert pick_device("cpu") == "cpu"
    with pytest.raises(ConfigError, match="no device 'quantum'"):
        pick_device("quantum")


def test_a_failed_write_leaves_the_old_file(tiny, tmp_path, monkeypatch):
    path = save_model(tiny, tmp_path / "m.safetensors")
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="No space left"):
        save_model(tiny, path, 99)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


def test_a_run_of_the_version_before_goes_on(tmp_path):
    "Version 2 called the parameters of coverage otherwise."
    from models import small_model

    from cursivetransformer.model.coverage import OLD_NAMES
    from cursivetransformer.model.lora import build_model

    model = small_model()
    path = save_state(tmp_path / "state.pt", model, torch.optim.AdamW(model.parameters()), 3, 2.5)
    state = torch.load(path, weights_only=True)
    old_of = {new: old for old, new in OLD_NAMES.items()}
    weights = {}
    for key, value in state["model"].items():
        module, _, name = key.rpartition(".")
        weights[f"{module}.{old_of[name]}" if module.endswith("coverage") else key] = value
    assert weights.keys() != state["model"].keys()
    torch.save({**state, "version": 2, "model": weights}, path)
    again = build_model(model.config)
    again.load_state_dict(load_state(path)["model"])
    for key, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[key], value)


# Files as people have them


@pytest.fixture(scope="module")
def upstream(shared):
    "What the original's checkpoint holds."
    return torch.load(shared / "fixtures/upstream_checkpoint.pt", weights_only=True)


@pytest.mark.parametrize("front", ["_orig_mod.", "module.", "module._orig_mod.", "_orig_mod.module."])
def test_compiled_and_parallel_models_load_as_they_are(upstream, shared, tmp_path, front):
    weights = {front + name: weight for name, weight in upstream["model_state_dict"].items()}
    torch.save({**upstream, "model_state_dict": weights}, tmp_path / "wrapped.pt")
    plain = load_checkpoint(shared / "fixtures/upstream_checkpoint.pt", "cpu")
    wrapped = load_checkpoint(tmp_path / "wrapped.pt", "cpu")
    assert wrapped.config == plain.config
    assert all(torch.equal(a, b) for a, b in zip(wrapped.parameters(), plain.parameters(), strict=True))


def renamed(path, old: bytes, new: bytes):
    "Put another name into the pickle of a file of `torch.save`, as an earlier numpy writes it."
    with zipfile.ZipFile(path) as z:
        files = {name: z.read(name) for name in z.namelist()}
    with zipfile.ZipFile(path, "w") as z:
        for name, content in files.items():
            z.writestr(name, content.replace(old, new) if name.endswith("data.pkl") else content)


@pytest.mark.parametrize("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_numbers_of_numpy_are_numbers(upstream, tmp_path, module):
    numbers = dict(
        step=np.int64(7), best_loss=np.float64(1.25), a=np.float32(0.5), b=np.bool_(True), c=np.uint8(3)
    )
    torch.save({**upstream, **numbers}, tmp_path / "numbers.pt")
    renamed(tmp_path / "numbers.pt", b"cnumpy._core.multiarray\n", b"c" + module + b"\n")
    model, beside = open_checkpoint(tmp_path / "numbers.pt", "cpu")
    assert {name: beside[name] for name in numbers} == dict(step=7, best_loss=1.25, a=0.5, b=True, c=3)
    assert type(beside["step"]) is int and type(beside["best_loss"]) is float and type(beside["b"]) is bool
    # Whoever loads pickles beside us gets what they had before.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "numbers.pt", weights_only=True)


@pytest.mark.parametrize(
    "content, name",
    [(np.array(["so"])[0], "numpy._core.multiarray.scalar|str"), (np.zeros(3), "numpy.*reconstruct")],
    ids=["text of numpy", "array"],
)
def test_what_is_more_than_weights_is_named(upstream, tmp_path, content, name):
    torch.save({**upstream, "more": content}, tmp_path / "more.pt")
    with pytest.raises(CheckpointError, match="more than weights"):
        open_checkpoint(tmp_path / "more.pt", "cpu")


def test_a_whole_model_in_a_pickle_is_named(tmp_path):
    torch.save(torch.nn.Sequential(torch.nn.Linear(2, 2)), tmp_path / "whole.pt")
    says = "holds more than weights: torch.nn.modules.container.Sequential, .*save it again, by torch.save"
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(tmp_path / "whole.pt", "cpu")


@pytest.mark.parametrize("share", [0.0001, 0.02, 0.5, 0.999999])
def test_a_state_that_was_cut_short_is_said_to_be(tiny, tmp_path, share):
    path = save_state(tmp_path / "state.pt", tiny, torch.optim.AdamW(tiny.parameters()), 9, None)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match="state.pt is cut short; fetch or save it again"):
        load_state(path)
    path.write_bytes(whole[-int(share * len(whole)) :])  # of which the beginning is missing
    with pytest.raises(
        CheckpointError, match="state.pt is (a file of another kind|a text), not a checkpoint; give"
    ):
        load_state(path)


FOREIGN_FILES = {
    "empty": (b"", "an empty file"),
    "text": (b"Dear Ann,", "a text"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture"),
    "zip": (EMBEDDED.read_bytes(), "a zip file"),
}


@pytest.mark.parametrize("ending", [".pt", ".safetensors", ""])
@pytest.mark.parametrize("kind", FOREIGN_FILES)
def test_other_files_are_said_to_be_what_they_are(tmp_path, kind, ending):
    content, name = FOREIGN_FILES[kind]
    path = tmp_path / f"file{ending}"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"file{ending} is .*{name}.*; (give|fetch)"):
        load_checkpoint(path, "cpu")


def test_readers_and_hands_are_no_models(default, tmp_path):
    with pytest.raises(CheckpointError, match="is not a model but a reader; --reader takes it"):
        load_checkpoint(BUNDLED, "cpu")
    hand = save_hand(replace(hand_of(default, default.authors[0]), name="Cy"), tmp_path)
    with pytest.raises(CheckpointError, match="is not a model but a hand; cursive hands add takes it"):
        load_checkpoint(hand, "cpu")
    with pytest.raises(CheckpointError, match="is not a reader but a hand; cursive hands add takes it"):
        load_reader(hand)
    with pytest.raises(CursiveError, match="is no hand but a model; --checkpoint takes it"):
        read_hand(DEFAULT)
    with pytest.raises(CursiveError, match="is no hand that can|is a folder; give a file that ends in .hand"):
        read_hand(tmp_path)


def test_a_file_is_what_it_is_whatever_it_is_called(shared, tmp_path):
    (tmp_path / "ours.pt").write_bytes(DEFAULT.read_bytes())
    (tmp_path / "theirs").write_bytes((shared / "fixtures/upstream_checkpoint.pt").read_bytes())
    (tmp_path / "theirs.safetensors").write_bytes((tmp_path / "theirs").read_bytes())
    layers = [
        load_checkpoint(tmp_path / n, "cpu").config.n_layer
        for n in ("ours.pt", "theirs", "theirs.safetensors")
    ]
    assert layers == [4, 2, 2]


def test_a_folder_is_a_runs_or_gets_a_sentence(saved, tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    says = f"There is no checkpoint in {tmp_path}: it holds neither best.safetensors nor last.safetensors"
    with pytest.raises(CheckpointError, match=says):
        load_checkpoint(".", "cpu")
    path = save_state(tmp_path / "state.pt", tiny, torch.optim.AdamW(tiny.parameters()), 9, None)
    with pytest.raises(CheckpointError, match="state.pt is what a run goes on with; give its folder"):
        load_checkpoint(path, "cpu")
    (tmp_path / "last.safetensors").write_bytes(saved.read_bytes())
    assert load_checkpoint(".", "cpu").config.n_layer == 2


@pytest.mark.parametrize("name", ["meta", "cuda:7", "xpu", "nonsense", "", "é", "cpu:x"])
def test_devices_that_are_not_there_are_named(name):
    if name == "cuda:7" and torch.cuda.device_count() > 7:
        pytest.skip("this machine has eight GPUs")
    if name == "xpu" and hasattr(torch, "xpu") and torch.xpu.is_available():
        pytest.skip("this machine has one")
    with pytest.raises(ConfigError, match=f"There is no device '{name}' here .*use cpu or auto"):
        pick_device(name)
