"""A command of `cursive` run in this process, for tests of what it does and not of how a process ends."""

import io
import sys
from typing import NamedTuple

from cursivetransformer.cli import main


class Done(NamedTuple):
    "What is left of a command, as `subprocess.run` would say it."

    returncode: int
    stdout: str
    stderr: str


class Commands:
    "Runs commands in a folder: `command('write', 'so', '-o', 'a.svg')`."

    def __init__(self, capsys, monkeypatch, folder):
        self.capsys = capsys
        self.monkeypatch = monkeypatch
        monkeypatch.chdir(folder)

    def __call__(self, *args, stdin: bytes = b"") -> Done:
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        self.capsys.readouterr()
        try:
            code = main([str(a) for a in args])
        except SystemExit as stop:
            code = stop.code
        said = self.capsys.readouterr()
        return Done(code, said.out, said.err)
