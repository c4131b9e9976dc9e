"""Every notebook runs top to bottom, in a process of its own, and leaves nothing but its package behind."""

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT
from house import NOTEBOOKS, notebooks

# Those that take over ten seconds of a quiet core.
SLOW = {"colab/gallery", "colab/train", "colab/clone", "colab/attention", "colab/compare"}
SLOW |= {"training/04_train", "training/05_train_reader", "training/09_clone"}
SLOW |= {"study/02_interventions", "study/03_bench", "study/04_recipe"}


def name_of(path):
    "A notebook's folder and name, as `ink/00_points`."
    return path.relative_to(NOTEBOOKS).with_suffix("").as_posix()


def case(path):
    "A notebook to be run."
    marks = [pytest.mark.slow] if name_of(path) in SLOW else []
    return pytest.param(path, id=name_of(path), marks=marks)


RUN = """
import sys
from pathlib import Path
from nbdev.test import test_nb
sys.exit(not test_nb(Path(sys.argv[1]))[0])
"""


@pytest.mark.parametrize("path", [case(p) for p in notebooks()])
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


def test_the_slow_ones_are_notebooks():
    assert SLOW < {name_of(path) for path in notebooks()}


@pytest.mark.parametrize("path", notebooks(), ids=name_of)
def test_committed_outputs_are_for_readers(path):
    cells = json.loads(path.read_text())["cells"]
    outputs = [o for c in cells for o in c.get("outputs", [])]
    # progress bars, warnings, failures
    assert not [o for o in outputs if o.get("name") == "stderr" or o["output_type"] == "error"]
    assert all(len(json.dumps(o)) < 1_000_000 for o in outputs)
    assert "site-packages" not in json.dumps(outputs)
