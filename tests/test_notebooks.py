"""Every notebook runs top to bottom, in a process of its own, and leaves nothing but its package behind."""

import json
import os
import re
import subprocess
import sys

import pytest
from conftest import ROOT

NOTEBOOKS = sorted(p for p in (ROOT / "nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook(path):
    pytest.importorskip(
        "nbdev", reason="notebooks are run by nbdev: pip install -e '.[dev]' -c constraints.txt"
    )
    code = f"import sys; from pathlib import Path; from nbdev.test import test_nb; sys.exit(not test_nb(Path({str(path)!r}))[0])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "IN_TEST": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_committed_outputs_are_for_readers(path):
    cells = json.loads(path.read_text())["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    assert not [
        o for o in outputs if o.get("name") == "stderr" or o["output_type"] == "error"
    ]  # progress bars, warnings, failures
    assert all(len(json.dumps(o)) < 1_000_000 for o in outputs) and "site-packages" not in json.dumps(outputs)


def test_the_readme_lists_every_notebook():
    linked = set(re.findall(r"\]\((nbs/[^)]+\.ipynb)\)", (ROOT / "README.md").read_text()))
    assert len(linked) > 20 and linked == {p.relative_to(ROOT).as_posix() for p in NOTEBOOKS}
