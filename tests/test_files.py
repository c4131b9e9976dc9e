"""Files: whole or not at all, wherever a path leads, and read as text in whatever encoding."""

import errno
import os
import subprocess
import sys
import threading
import warnings
import zipfile

import pytest
import torch

import cursivetransformer.files as files_module
from cursivetransformer.files import (
    PACKAGE,
    CursiveError,
    atomic_file,
    decoded,
    kind_of_bytes,
    one_line,
    what_is,
    write_atomic,
)


def test_the_packages_files_are_found():
    assert (PACKAGE / "default.safetensors").exists() and PACKAGE.name == "cursivetransformer"


def test_a_file_is_whole_or_as_it_was(tmp_path):
    path = write_atomic(tmp_path / "new/page.txt", "before")
    assert path.read_text() == "before"
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as f:
        f.write(b"half")
        raise KeyboardInterrupt
    assert path.read_text() == "before" and [p.name for p in path.parent.iterdir()] == ["page.txt"]
    assert write_atomic(path, b"after").read_bytes() == b"after"
    plain = tmp_path / "plain"
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode


def test_places_that_cannot_be_written_are_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CursiveError, match="Cannot write .*Choose another place"):
        write_atomic(tmp_path / "file/page.txt", "")
    with pytest.raises(BrokenPipeError), atomic_file(tmp_path / "page.txt"):
        raise BrokenPipeError
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def refusing(monkeypatch, name, error, times):
    """Have a function of `os` fail so many times before it works, and note the pauses that are made."""
    pauses = []
    left = [error] * times
    works = getattr(os, name)

    def refuse(*args, **kwargs):
        if left:
            raise left.pop()
        return works(*args, **kwargs)

    monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr(files_module.time, "sleep", pauses.append)
    return pauses


@pytest.mark.parametrize("name", ["replace", "fsync"])
def test_what_the_disk_refuses_for_a_moment_is_tried_again(tmp_path, monkeypatch, name):
    busy = PermissionError(errno.EACCES, "Permission denied")
    pauses = refusing(monkeypatch, name, busy, 3)
    path = write_atomic(tmp_path / "page.txt", "whole")
    assert path.read_text() == "whole" and [p.name for p in tmp_path.iterdir()] == ["page.txt"]
    assert len(pauses) == 3 and pauses == sorted(pauses) and pauses[0] < pauses[-1]


def test_what_stays_refused_is_said_and_leaves_nothing(tmp_path, monkeypatch):
    pauses = refusing(monkeypatch, "replace", PermissionError(errno.EACCES, "Permission denied"), 99)
    with pytest.raises(CursiveError, match="Cannot write .*page.txt: Permission denied"):
        write_atomic(tmp_path / "page.txt", "whole")
    assert len(pauses) == len(files_module.PAUSES) and not list(tmp_path.iterdir())


def test_a_full_disk_is_said_at_once(tmp_path, monkeypatch):
    pauses = refusing(monkeypatch, "fsync", OSError(errno.ENOSPC, "No space left on device"), 1)
    with pytest.raises(CursiveError, match="No space left on device. .* make room"):
        write_atomic(tmp_path / "page.txt", "whole")
    assert not pauses and not list(tmp_path.iterdir())


# Where a path leads


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path):
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive/page.svg").write_text("before")
    (tmp_path / "link.svg").symlink_to("drive/page.svg")
    assert write_atomic(tmp_path / "link.svg", "after") == tmp_path / "link.svg"
    assert (tmp_path / "link.svg").is_symlink() and (tmp_path / "drive/page.svg").read_text() == "after"
    (tmp_path / "new.svg").symlink_to("drive/later/page.svg")
    write_atomic(tmp_path / "new.svg", "new")
    assert (tmp_path / "new.svg").is_symlink() and (tmp_path / "drive/later/page.svg").read_text() == "new"
    assert sorted(p.name for p in (tmp_path / "drive").iterdir()) == ["later", "page.svg"]


def test_a_file_keeps_who_may_read_it(tmp_path):
    path = write_atomic(tmp_path / "page.svg", "before")
    path.chmod(0o600)
    assert write_atomic(path, "after").stat().st_mode & 0o777 == 0o600


def test_a_read_only_file_is_refused(tmp_path):
    path = write_atomic(tmp_path / "page.svg", "before")
    path.chmod(0o444)
    (tmp_path / "link.svg").symlink_to("page.svg")
    for name in "page.svg", "link.svg":
        with pytest.raises(CursiveError, match=f"Cannot write .*{name}: it is read-only"):
            write_atomic(tmp_path / name, "after")
    assert path.read_text() == "before" and len(list(tmp_path.iterdir())) == 2


def listen(path) -> tuple:  # (thread, list that the content is put into)
    "Read a pipe from another thread."
    heard = []
    thread = threading.Thread(target=lambda: heard.append(path.read_bytes()), daemon=True)
    thread.start()
    return thread, heard


def test_a_pipe_gets_everything_at_once_and_stays_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe.svg")
    thread, heard = listen(tmp_path / "pipe.svg")
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "pipe.svg") as f:
        f.write(b"half")
        raise KeyboardInterrupt
    assert not heard
    write_atomic(tmp_path / "pipe.svg", "whole")
    thread.join(60)
    assert heard == [b"whole"] and (tmp_path / "pipe.svg").is_fifo()


@pytest.mark.parametrize("name", ["/dev/stdout", "link.svg"])
@pytest.mark.parametrize("into_file", [False, True])
def test_standard_output_is_written_in_its_place(tmp_path, name, into_file):
    (tmp_path / "link.svg").symlink_to("/dev/stdout")
    code = "import sys; from cursivetransformer.config import write_atomic; print('1')"
    code += "; write_atomic(sys.argv[1], '2\\n'); print('3')"
    with open(tmp_path / "out.txt", "wb") as out:
        stdout = out if into_file else subprocess.PIPE
        done = subprocess.run([sys.executable, "-c", code, name], cwd=tmp_path, stdout=stdout, check=True)
    assert ((tmp_path / "out.txt").read_bytes() if into_file else done.stdout) == b"1\n2\n3\n"
    assert (tmp_path / "link.svg").is_symlink()


def test_no_folder_stays_behind_that_was_made_for_nothing(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(KeyboardInterrupt), atomic_file(tmp_path / "there/new/deep/page.svg"):
        raise KeyboardInterrupt
    assert not list((tmp_path / "there").iterdir())


def test_a_name_may_be_as_long_as_a_folder_takes(tmp_path):
    name = "n" * 251 + ".svg"
    assert write_atomic(tmp_path / name, "so").read_text() == "so"
    with pytest.raises(CursiveError, match="Cannot write"):
        write_atomic(tmp_path / f"n{name}", "so")


@pytest.mark.parametrize(
    "path, says",
    [
        ("folder", "that is a folder; name a file in it"),
        ("file/page.svg", "file is no folder. Choose another place"),
        ("/dev/full", "No space left on device"),
        ("nul\0.svg", "null"),
    ],
)
def test_places_where_no_file_can_be_are_said(tmp_path, path, says):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(CursiveError, match=f"(?s)Cannot write .*{says}"):
        write_atomic(tmp_path / path, "so")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


# Texts


@pytest.mark.parametrize("encoding", "utf-8 utf-8-sig utf-16 utf-16-le utf-16-be utf-32".split())
def test_texts_of_unicode_are_read_in_any_encoding(encoding):
    text = "so é, Zoë\r\nan\tß\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decoded(text.encode(encoding), "a.txt") == text


@pytest.mark.parametrize("text", ["Café Müller", "¿Qué? ¡Sí!", "“L'œuvre” – 5 €", "Þór kom"])
def test_western_texts_are_read_with_a_notice(text):
    with pytest.warns(UserWarning, match="a.txt is not UTF-8 and was read as Windows-1252"):
        assert decoded(text.encode("cp1252"), "a.txt") == text


@pytest.mark.parametrize(
    "content",
    [
        "Zażółć gęślą".encode("cp1250"),
        "Привет всем".encode("cp1251"),
        b"so\xff",
        b"\xff\xfe",
    ],
)
def test_other_bytes_are_not_guessed_at(content):
    with pytest.raises(CursiveError, match="a.txt is not UTF-8 text .*save it as UTF-8"):
        decoded(content, "a.txt")


def test_what_is_no_text_is_said_to_be_what_it_is():
    for content, kind in (
        (b"\x89PNG\r\n", "a picture"),
        (b"PK\x03\x04\xff", "a zip file"),
        (b"%PDF\xff", "a PDF"),
    ):
        with pytest.raises(CursiveError, match=f"a.txt is {kind}.*, not a text; .*as plain text in UTF-8"):
            decoded(content, "a.txt")


def test_files_are_said_to_be_what_they_are(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "text").write_bytes("so é".encode("utf-16"))
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "noise").write_bytes(b"\1\0\2\0\0\0\3\0")
    torch.save({"so": 1}, tmp_path / "saved.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "saved.pt").read_bytes()[:200])
    with zipfile.ZipFile(tmp_path / "zip", "w") as z:
        z.writestr("a.txt", "so")
    said = {p.name: what_is(p) for p in tmp_path.iterdir()}
    assert said == {
        "empty": "an empty file",
        "text": "a text",
        "picture": "a picture",
        "noise": "a file of another kind",
        "saved.pt": "a file of torch.save",
        "cut.pt": "a zip file that is cut short",
        "zip": "a zip file",
    }
    assert what_is(tmp_path) == "a folder" and what_is(tmp_path / "none") == "no file that can be read"
    assert what_is(PACKAGE / "default.safetensors") == "a model"
    assert what_is(PACKAGE / "reader.safetensors") == "a reader"


def test_what_a_terminal_shows_moves_nothing():
    said = one_line("Zoë\x1b[2J\r\x07 \u202eevil\u2066\u2028\ud800\n漢字 👩‍👩‍👧\n")
    assert said == r"Zoë\x1b[2J\r\x07 \u202eevil\u2066\u2028\ud800 漢字 👩‍👩‍👧"
    assert len(one_line("x" * 5000)) < 300 and one_line("a b " * 100) == ("a b " * 100).rstrip()


@pytest.mark.parametrize("length", [0x80, 0x1F + (0x8B << 8)])
def test_a_models_length_is_not_taken_for_a_sign(length):
    header = b'{"__metadata__":{"format":"cursivetransformer"}}'
    assert kind_of_bytes(length.to_bytes(8, "little") + header) == "a model"
