"""The project's fixed measures, which are not ours to change."""

import importlib.util
from pathlib import Path

import pytest


def load_measure(shared: Path, name: str):
    "A module of `shared/measure`; skips the test where it is absent."
    path = shared / "measure" / f"{name}.py"
    if not path.exists():
        pytest.skip(f"needs {path.name} of shared/measure, which the developers have")
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_project", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
