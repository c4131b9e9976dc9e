"""Files come once, whole, in time, or with a sentence that says why not. `tests/training/test_tracking.py`
brings a server that has runs and models."""

import base64
import errno
import hashlib
import threading
from types import SimpleNamespace

import pytest
from data_cases import FileServer

from cursivetransformer.config import CursiveError, write_atomic
from cursivetransformer.data.remote import (
    Reference,
    RunError,
    explain,
    fetch,
    fetch_file,
    file_digest,
    find_model,
    find_weights,
    newest,
    parse_reference,
    within,
)

RUN = Reference("me", "cursive", "abc")
URL = "https://wandb.example.com"


@pytest.fixture
def server(tmp_path, monkeypatch):
    "A place to fetch files from, and an empty cache."
    pytest.importorskip("pooch")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    server = FileServer()
    yield server
    server.close()


def test_a_file_is_fetched_once_and_checked(server):
    url = server.url + "ink"
    server.files["ink"] = b"ink"
    sha256 = hashlib.sha256(b"ink").hexdigest()
    assert fetch(url, sha256).read_bytes() == b"ink"
    del server.files["ink"]
    assert fetch(url, sha256).read_bytes() == b"ink"  # from the cache
    assert fetch(url).read_bytes() == b"ink"
    server.files["ink"] = b"inc"
    with pytest.raises(CursiveError, match="not the file it was"):
        fetch(url, hashlib.sha256(b"another").hexdigest())
    with pytest.raises(CursiveError, match=f"Cannot download {server.url}nothing .*check the connection"):
        fetch(server.url + "nothing")


def test_what_takes_too_long_is_left_alone():
    gone_on = threading.Event()
    end = threading.Event()

    def slow():
        end.wait(60)
        gone_on.set()

    with pytest.raises(TimeoutError, match="0.01 seconds"):
        within(0.01, slow)
    end.set()
    assert gone_on.wait(60)  # in its thread
    assert within(60, lambda: None) is None
    with pytest.raises(ZeroDivisionError):
        within(60, lambda: 1 / 0)


@pytest.mark.parametrize("text", ["abc", "wandb:abc", "a//b", "/a/b", "a/b/c/d", ""])
def test_what_names_no_run_is_told_how_to(text):
    with pytest.raises(RunError, match="ENTITY/PROJECT/RUN"):
        parse_reference(text)


def test_references_are_read_and_written():
    assert parse_reference("wandb:me/cursive/abc:v3") == Reference("me", "cursive", "abc", "v3")
    assert str(parse_reference("me/cursive/abc")) == "me/cursive/abc"
    assert parse_reference("cursive/abc") == Reference(None, "cursive", "abc")
    assert str(parse_reference("cursive/abc:best")) == "cursive/abc"


def test_a_failure_is_told_by_its_cause():
    wrapped = RuntimeError("something went wrong")
    wrapped.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "no room for model" in str(explain(wrapped, "model", URL))
    for said, told in {
        "HTTP 401": "does not take the key",
        "HTTP 403": "may not read model",
        "HTTP 404": "no model at",
        "HTTP 4040": "did not send model",
    }.items():
        wrapped = RuntimeError("something went wrong")
        wrapped.__context__ = ValueError(said)
        assert told in str(explain(wrapped, "model", URL))
    assert "(first line)" in str(explain(ValueError("first line\nsecond"), "model", URL))
    assert "(ConnectionError)" in str(explain(ConnectionError(), "model", URL))


def artifact(version, *aliases, type="model", at="2026-01-01"):
    return SimpleNamespace(version=version, aliases=aliases, type=type, created_at=at)


def test_the_newest_model_is_chosen_or_the_one_asked_for():
    models = [artifact("v9", "best"), artifact("v10"), artifact("v2", at="2025-01-01")]
    logged = [artifact("v99", type="state"), *models]
    assert newest(models).version == find_model(logged, RUN).version == "v10"
    assert newest([]) is None
    for alias, version in {"best": "v9", "v2": "v2"}.items():
        assert find_model(logged, Reference("me", "cursive", "abc", alias)).version == version
    with pytest.raises(RunError, match="no model 'last'; there are best, v10, v2, v9"):
        find_model(logged, Reference("me", "cursive", "abc", "last"))
    with pytest.raises(RunError, match="me/cursive/abc has logged no model, only artifacts of type state;"):
        find_model(logged[:1], RUN)
    with pytest.raises(RunError, match="has logged no model; choose"):
        find_model([], RUN)


def test_our_weights_come_before_the_originals():
    assert find_weights(["a.pt", "config.json", "m.safetensors"], "model:v3") == "m.safetensors"
    assert find_weights(["config.json", "a.pt"], "model:v3") == "a.pt"
    with pytest.raises(RunError, match="model:v3 holds a.txt, b.txt, and none of it"):
        find_weights(["a.txt", "b.txt"], "model:v3")


class Entry(SimpleNamespace):
    "A file of an artifact that comes with these contents, one a download."

    def download(self, root, skip_cache):
        self.skipped.append(skip_cache)
        return write_atomic(f"{root}/file", self.contents.pop(0))


@pytest.mark.parametrize("contents", [[b"ink"], [b"inc", b"ink"], [b"in", b"inc"]])
def test_damaged_files_are_fetched_once_more_past_the_cache(contents, tmp_path, capsys):
    digest = base64.b64encode(hashlib.md5(b"ink").digest()).decode()
    entry = Entry(size=3, digest=digest, extra={}, contents=list(contents), skipped=[])
    source = SimpleNamespace(url=URL, ask=lambda what, function: function())
    model = SimpleNamespace(name="model:v3", get_entry=lambda name: entry)
    if b"ink" in contents:
        assert fetch_file(source, model, "file", tmp_path).read_bytes() == b"ink"
    else:
        with pytest.raises(RunError, match="file of model:v3 arrived damaged twice"):
            fetch_file(source, model, "file", tmp_path)
    assert entry.skipped == [False, True][: len(contents)]
    assert ("fetching it again" in capsys.readouterr().err) == (len(contents) > 1)


def test_digests_that_cannot_be_computed_are_named(tmp_path):
    path = write_atomic(tmp_path / "file", b"ink")
    with pytest.raises(RunError, match="checked with SHA3"):
        file_digest(path, "SHA3")


# Where files are kept


def test_a_cache_that_cannot_be_written_is_named_and_not_the_connection(server, tmp_path, monkeypatch):
    server.files["bank.json"] = b"[]"
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    says = f"Cannot keep .* in {tmp_path}/file/cursivetransformer .*: Not a directory"
    with pytest.raises(CursiveError, match=says) as e:
        fetch(server.url + "bank.json")
    assert "set XDG_CACHE_HOME to a folder that can be written" in str(e.value)
    assert "connection" not in str(e.value)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "elsewhere"))  # which helps
    assert fetch(server.url + "bank.json").read_bytes() == b"[]"


def test_a_full_cache_is_said(server, tmp_path, monkeypatch):
    server.files["bank.json"] = b"[]"

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("shutil.move", full)
    with pytest.raises(CursiveError, match="Cannot keep .* .No space left on device.; set XDG_CACHE_HOME"):
        fetch(server.url + "bank.json")


def test_a_folder_of_wandb_that_cannot_be_written_is_not_the_key():
    denied = PermissionError(errno.EACCES, "Permission denied", "/cache/wandb")
    said = str(explain(denied, "model", URL))
    assert said.startswith("Cannot keep model (/cache/wandb: Permission denied); set WANDB_CACHE_DIR")
    assert "ask its owner" not in said
    refused = explain(PermissionError("permission denied by the project"), "model", URL)
    assert "ask its owner for access" in str(refused)
