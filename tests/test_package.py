"""What people get who install this: a wheel with every room and file, and the names of the version before."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from importlib import import_module

import house
import pytest
from conftest import ROOT

import cursivetransformer
from cursivetransformer import _moved

# What version 0.1 had: the names of its root, and each module's classes, functions and values.
OLD = json.loads((ROOT / "tests/old_names.json").read_text())
OLD_MODULES = [name for name in OLD if name != "root"]


def python(*arguments, cwd, path=None):
    """What a Python process of its own prints. With a `path`, the package is found there only: `-S` leaves
    out what an editable install left in site-packages, which finds in the checkout what a wheel lacks."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *map(str, arguments)]
    if path:
        libraries = [p for p in sys.path if p.endswith(("site-packages", "dist-packages"))]
        environment["PYTHONPATH"] = os.pathsep.join([str(path), *libraries])
        command.insert(1, "-S")
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def copy_of(folder):
    "The package and what stands beside it, without what tools left there."
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, folder)
    unwanted = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    shutil.copytree(ROOT / "cursivetransformer", folder / "cursivetransformer", ignore=unwanted)
    return folder


def wheel_of(source, folder):
    "Build a wheel of a source tree, without network."
    python("-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "-w", folder, source, cwd=folder)
    return next(folder.glob("cursivetransformer-*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    "A wheel from a tree in which an earlier build, with a module that is no more, was left behind."
    folder = tmp_path_factory.mktemp("wheel")
    source = copy_of(folder / "source")
    stale = source / "build/lib/cursivetransformer/render.py"
    stale.parent.mkdir(parents=True)
    stale.write_text("'deleted'")
    return wheel_of(source, folder)


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    "The folder into which the wheel is installed, and nothing else."
    site = tmp_path_factory.mktemp("site")
    python("-m", "pip", "install", "-q", "--no-deps", "--target", site, wheel, cwd=site)
    return site


def test_a_wheel_has_every_module_and_file_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = {n.partition("/")[2] for n in z.namelist() if n.startswith("cursivetransformer/")}
        rest = {n for n in z.namelist() if not n.startswith("cursivetransformer/") and ".dist-info/" not in n}
        assert z.read("cursivetransformer/collect.html") == (ROOT / "collect.html").read_bytes()
    files = [p.relative_to(house.PACKAGE) for p in house.PACKAGE.rglob("*") if p.is_file()]
    ours = {p.as_posix() for p in files if p.parent.name not in ("__pycache__", ".ipynb_checkpoints")}
    assert {
        "default.safetensors",
        "reader.safetensors",
        "embedded.json.zip",
        "fonts.zip",
        "MODEL_CARD.md",
    } < ours
    assert names == ours | {"collect.html"} and not rest


def test_the_source_archive_makes_the_same_wheel(wheel, tmp_path):
    source = copy_of(tmp_path / "source")
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    python("-c", build, tmp_path, cwd=source)
    shutil.unpack_archive(next(tmp_path.glob("*.tar.gz")), tmp_path / "unpacked")
    again = wheel_of(next((tmp_path / "unpacked").iterdir()), tmp_path)
    with zipfile.ZipFile(wheel) as z, zipfile.ZipFile(again) as other:
        assert sorted(z.namelist()) == sorted(other.namelist())


IMPORT_ALL = """
import importlib, pathlib, pkgutil, sys, warnings
import cursivetransformer as package
here = pathlib.Path(package.__file__).parent
found = pkgutil.walk_packages([str(here)], "cursivetransformer.")
names = [m.name for m in found if not m.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
warnings.simplefilter("ignore")
for name in package._moved.MODULES:
    importlib.import_module(f"cursivetransformer.{name}")
everything = {name: getattr(package, name) for name in package.__all__}
ours = [module for name, module in sys.modules.items() if name.startswith("cursivetransformer.")]
files = [module.__file__ for module in ours if module.__spec__.has_location]
assert len(files) > 40 and all(here in pathlib.Path(f).parents for f in files), files
print(here)
print(*names)
"""


def test_an_installed_wheel_imports_every_room_and_module(installed, tmp_path):
    here, names = python("-c", IMPORT_ALL, cwd=tmp_path, path=installed).splitlines()
    assert here == str(installed / "cursivetransformer")
    ours = {m.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for m in house.modules()}
    ours = {name.removesuffix(".__init__") for name in ours} - {
        "cursivetransformer",
        "cursivetransformer.__main__",
    }
    assert set(names.split()) - {"cursivetransformer._modidx"} == ours


@pytest.mark.parametrize("command", [["-m", "cursivetransformer"], ["bin/cursive"]], ids=["module", "script"])
def test_an_installed_wheel_writes(command, installed, tmp_path):
    entry = [installed / part if part.startswith("bin/") else part for part in command]
    assert "0.2" in python(*entry, "--version", cwd=tmp_path, path=installed)
    python(*entry, "write", "Sing", "-o", "sing.svg", cwd=tmp_path, path=installed)
    assert (tmp_path / "sing.svg").read_text().count("<path") >= 1


# Names


def test_the_version_is_the_same_everywhere():
    settings = (ROOT / "settings.ini").read_text()
    version = cursivetransformer.__version__
    assert f"\nversion = {version}\n" in settings
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()


def test_the_root_is_imported_in_an_instant_with_the_names_it_promises(tmp_path):
    code = (
        "import sys; before = set(sys.modules); import cursivetransformer; print(*set(sys.modules) - before)"
    )
    loaded = python("-c", code, cwd=tmp_path, path=ROOT).split()
    assert not {"torch", "numpy", "matplotlib", "safetensors"} & set(loaded)
    assert {name for name in loaded if name.startswith("cursive")} == {
        "cursivetransformer",
        "cursivetransformer._moved",
    }
    promised = set(dir(cursivetransformer))
    assert promised == set(cursivetransformer.__all__) and set(OLD["root"]) <= promised
    for name in promised:
        assert getattr(cursivetransformer, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = cursivetransformer.nothing


def kind_of(value):
    "What the table of old names says of a value."
    if isinstance(value, type):
        return "class"
    return "function" if callable(value) else "value"


def found_and_said(module, name):
    "The value that an old path gives, and the warnings it comes with."
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        value = getattr(import_module(f"cursivetransformer.{module}"), name)
    return value, said


@pytest.mark.parametrize("module", OLD_MODULES)
def test_old_paths_give_what_they_gave_and_name_the_new_place(module):
    wrong = []
    for kind, names in OLD[module].items():
        for name in names:
            if f"{module}.{name}" in _moved.GONE:
                continue
            try:
                value, said = found_and_said(module, name)
            except AttributeError:
                wrong.append(f"{module}.{name} is not found: add it to RENAMED in _moved.py")
                continue
            if kind_of(value) != kind:
                wrong.append(f"{module}.{name} was a {kind} and is {value!r}")
            left = module in _moved.MODULES or name not in vars(import_module(f"cursivetransformer.{module}"))
            if left and not names_its_place(said, value):
                wrong.append(f"{module}.{name} is given without a warning that names its place")
    assert not wrong, "\n".join(wrong)


def names_its_place(said, value):
    "Whether exactly one warning says where a value is now, and it is there."
    if len(said) != 1 or said[0].category is not FutureWarning:
        return False
    place, _, name = str(said[0].message).split(" is now ")[1].split(";")[0].rpartition(".")
    return getattr(import_module(place), name) is value


def is_there(path):
    "Whether a module, or a name in a module, exists."
    try:
        import_module(path)
        return True
    except ModuleNotFoundError:
        module, _, name = path.rpartition(".")
        return hasattr(import_module(module), name)


def test_what_is_gone_says_why():
    for old, reason in _moved.GONE.items():
        module, _, name = old.rpartition(".")
        assert name in sum(OLD[module].values(), [])
        with pytest.raises(AttributeError, match=f"is no more: {re.escape(reason)}"):
            found_and_said(module, name)
        for place in re.findall(rf"\b(?:{'|'.join(house.ROOMS)})(?:\.\w+)+(?![\w/])", reason):
            assert is_there(f"cursivetransformer.{place}"), f"{old}: {reason}"


IMPORTED_IN_ALL_WAYS = """if True:
    import warnings
    warnings.simplefilter("ignore")
    from cursivetransformer import {module}
    import cursivetransformer.{module} as again
    assert again is {module}
    from cursivetransformer.{module} import *
    assert len(dir()) > 5
    """


def test_old_modules_are_imported_in_all_ways(tmp_path):
    "Each in a namespace of its own."
    parts = {module: IMPORTED_IN_ALL_WAYS.format(module=module) for module in _moved.MODULES}
    code = f"for name, code in {parts!r}.items():\n    exec(code, {{}})\n    print(name)"
    assert python("-c", code, cwd=tmp_path, path=ROOT).split() == list(_moved.MODULES)


def test_names_that_never_were_are_not_found():
    for module in ("train", "ink", "render"):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            found_and_said(module, "nothing")
    with pytest.raises(ModuleNotFoundError):
        import_module("cursivetransformer.nothing")
