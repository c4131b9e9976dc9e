"""Every notebook runs top to bottom, in a process of its own, and leaves nothing but its package behind."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from house import notebooks

each_notebook = pytest.mark.parametrize(
    "path", notebooks(), ids=lambda p: p.relative_to(ROOT / "nbs").with_suffix("").as_posix()
)

RUN = """
import sys
from pathlib import Path
from nbdev.test import test_nb
sys.exit(not test_nb(Path(sys.argv[1]))[0])
"""


@each_notebook
def test_notebook(path):
    install = "notebooks are run by nbdev: pip install -e '.[dev]' -c constraints.txt"
    pytest.importorskip("nbdev", reason=install)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "IN_TEST": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


@each_notebook
def test_committed_outputs_are_for_readers(path):
    cells = json.loads(path.read_text())["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    # progress bars, warnings, failures
    assert not [o for o in outputs if o.get("name") == "stderr" or o["output_type"] == "error"]
    assert all(len(json.dumps(o)) < 1_000_000 for o in outputs)
    assert "site-packages" not in json.dumps(outputs)
