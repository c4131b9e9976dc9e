"""The house stays in order: narrow lines, short cells, whole classes, arrows to earlier rooms, links that
lead somewhere. Each rule is tried on an example that breaks it, so that it cannot pass by not looking."""

import ast
import json
import re
import shutil
import subprocess
from importlib import import_module

import house
import pytest
from conftest import ROOT
from house import BY_HAND, NOTEBOOKS, ORDER, PACKAGE, ROOMS

from cursivetransformer import _MODULE, _moved

PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]
PAGES.append(PACKAGE / "MODEL_CARD.md")


def assert_none(found, advice):
    "Fail with a list of places and what to do about them."
    found = list(found)
    assert not found, "\n".join([f"{len(found)} places. {advice}", *found])


def broken(rule, text):
    "The lines of a piece of code that break a rule."
    return sorted(rule(ast.parse(house.python_of(text))))


# Lines and cells


def test_no_line_of_code_is_wider_than_a_page():
    assert house.wide_code("x\n" + 111 * "x" + "\n" + 110 * "x") == [2]
    found = (f"{s.place}:{line}" for s in house.sources() for line in house.wide_code(s.text))
    assert_none(
        found, "Wrap it: `ruff format` does what can be done to code, help texts and comments get shorter."
    )


def test_no_line_of_prose_is_wider_than_a_page():
    table, address = "| " + 120 * "x" + " |", "[x](https://example.org/" + 120 * "x" + ")"
    assert house.wide_prose("\n".join([table, address, 111 * "x", address + 111 * "y"])) == [3, 4]
    pages = [c for p in house.notebooks() for c in house.cells(p) if c.kind == "markdown"]
    written = ("CONTRIBUTING.md", "CHANGELOG.md")
    texts = [*((c.place, c.text) for c in pages), *((name, (ROOT / name).read_text()) for name in written)]
    assert_none(
        (f"{place}:{line}" for place, text in texts for line in house.wide_prose(text)), "Wrap it at 110."
    )


def test_export_cells_are_short():
    assert house.length("#| export\n\nx = 1\n\ny = 2\n\n") == 3
    assert house.longest("#| export\n@dataclass\nclass A:\n    x: int") == 80
    assert house.longest("#| export\nKINDS = ('a', 'b')\n\nclass A:\n    kind = KINDS[0]") == 80
    assert house.longest("#| export\nclass A:\n    x: int\n\ndef f():\n    pass") == 40
    exported = [c for p in house.notebooks() for c in house.cells(p) if c.exported]
    found = [
        f"{c.place}: {house.length(c.text)} lines, {house.longest(c.text)} may be"
        for c in exported
        if house.length(c.text) > house.longest(c.text)
    ]
    assert_none(found, "Cut it into named pieces, each in a cell of its own.")


def test_modules_are_read_in_one_sitting():
    sizes = {p: len(p.read_text().splitlines()) for p in house.modules()}
    assert len(sizes) > 40
    found = (f"{p.relative_to(ROOT)}: {n} lines" for p, n in sizes.items() if n > 600)
    assert_none(found, "Make two modules of it, 600 lines are enough.")


# Statements

BAD = {
    "nested_conditionals": ["a = 1 if b else 2 if c else 3", "a = (1 if b else 2) if c else 3"],
    "print_or": ["f = lambda: print(1) or 2"],
    "packed_assignments": ["a, b, c = 1, 2, 3", "a, b = f(1), 2", "[a, b] = [1, f(2)]", "a, b, *c = 1, 2, 3"],
    "methods_from_outside": [
        "class A: pass\nA.f = 1",
        "from b import Bb\nBb.f, Bb.g = 1, 2",
        "@patch\ndef f(self: Bb): pass",
        "@patch_to(Bb)\ndef f(self): pass",
    ],
    "chosen_keywords": ["f(**(a if b else {}))", "f(**dict(a=1) if b else {})", "{**(a if b else c)}"],
    "named_lambdas": [
        "f = lambda: 1",
        "f: object = lambda: 1",
        "f, g = lambda: 1, 2",
        "h((lambda: 1) if b else i)",
    ],
    "hidden_options": ["def f(**options): pass", "class A:\n    def f(self, **kwargs): pass"],
}
GOOD = {
    "nested_conditionals": [
        "a = 1 if b else 2\nc = [1 if d else 2, 3 if e else 4]",
        "if a: b = 1 if c else 2",
    ],
    "print_or": ["print(a or b)"],
    "packed_assignments": [
        "a, b = b, a",
        "a, b = 1, 2",
        "a, b, c = f(1)",
        "a = b, c, d",
        "for a, b in f(1), g(2): h()",
    ],
    "methods_from_outside": ["class A:\n    f = 1\na.b = 1", "page.seed, page.width = 1, 2"],
    "chosen_keywords": ["f(a=b if c else d, **e)", "{**a, 'b': 1 if c else 2}"],
    "named_lambdas": ["f(key=lambda a: 1)", "a = {'b': lambda: 1}"],
    "hidden_options": [
        "@takes(T)\ndef f(**options): pass",
        "def f(g):\n    def h(**options): pass\n    return h",
    ],
}
RULES = {rule.__name__: rule for rule in (*house.RULES, house.hidden_options)}


@pytest.mark.parametrize("name", RULES)
def test_the_rules_see_what_they_look_for(name):
    for text in BAD[name]:
        assert broken(RULES[name], text), text
    for text in GOOD[name]:
        assert not broken(RULES[name], text), text


@pytest.mark.parametrize("rule", house.RULES, ids=lambda r: r.__name__)
def test_no_statement_is(rule):
    sources = house.sources()
    assert len(sources) > 500
    assert_none((f"{s.place}:{line}" for s in sources for line in sorted(set(rule(s.tree)))), rule.__doc__)


def test_signatures_say_what_a_function_takes():
    rule, found = house.hidden_options, []
    for path in house.modules():
        found += [f"{path.relative_to(ROOT)}:{line}" for line in broken(rule, path.read_text())]
    assert_none(found, rule.__doc__)


# Rooms and arrows


def test_every_module_is_exported_by_the_notebook_of_its_name():
    exported = house.exported_modules()
    found = []
    for module, notebook in exported.items():
        room, _, name = module.rpartition(".")
        here = notebook.relative_to(NOTEBOOKS)
        if here.parent.as_posix() != (room or ".") or not re.fullmatch(rf"\d\d_{name}", here.stem):
            found.append(f"nbs/{here} exports {module}")
    names = {p: ".".join(p.relative_to(PACKAGE).with_suffix("").parts) for p in house.modules()}
    found += [
        f"{p.relative_to(ROOT)} comes from no notebook"
        for p, name in names.items()
        if name not in exported and p.stem not in BY_HAND
    ]
    found += [
        f"{name} is exported to a file that is not there" for name in set(exported) - set(names.values())
    ]
    assert_none(
        found, "nbs/ROOM/NN_NAME.ipynb exports ROOM.NAME; run nbdev_export, remove what is left over."
    )


def test_notebooks_are_numbered_within_their_room():
    for room in ROOMS:
        numbers = [p.name[:3] for p in house.notebooks() if p.parent.name == room]
        assert numbers == [f"{n:02}_" for n in range(len(numbers))], room


def test_imports_lead_to_earlier_rooms_and_modules():
    order = list(house.exported_modules())
    assert order[0] == "files" and order[-1] == "cli" and len(order) > 40
    found = []
    for module in order:
        path = PACKAGE / (module.replace(".", "/") + ".py")
        wrong = house.wrong_arrows(ast.parse(path.read_text()), module, order) if path.exists() else ()
        found += [f"{path.relative_to(ROOT)}:{line} {what}" for line, what in wrong]
    assert_none(found, house.wrong_arrows.__doc__)


def test_wrong_arrows_are_seen():
    order = ["config", "ink.points", "ink.tokens", "data.banks", "cli"]
    wrong = {
        "from cursivetransformer.data.banks import Bank": "ink.tokens",
        "def f():\n    from ..data import banks": "ink.tokens",
        "from .tokens import fold": "ink.points",
        "import cursivetransformer.cli": "data.banks",
        "from cursivetransformer import Word": "data.banks",
        "from cursivetransformer.ink import Word": "data.banks",
        "from ..config import preset\nfrom .banks import f": "data.banks",
    }
    right = {
        "from cursivetransformer.ink.points import Word\nimport numpy.random": "data.banks",
        "from ..ink import points": "data.banks",
        "from ..config import preset\nfrom .points import Word": "ink.tokens",
    }
    for text, module in wrong.items():
        assert list(house.wrong_arrows(ast.parse(text), module, order)), text
    for text, module in right.items():
        assert not list(house.wrong_arrows(ast.parse(text), module, order)), text


def test_nobody_takes_an_old_path():
    order = list(house.exported_modules())
    known = [*_MODULE, "__version__", "_MODULE", "_HOME"]
    wrong = ["from cursivetransformer.train import train", "from cursivetransformer.ink import Word"]
    wrong += ["import cursivetransformer.render", "from cursivetransformer import runs"]
    right = ["from cursivetransformer import write, cli", "import cursivetransformer.ink.points as p"]
    right += [
        "from cursivetransformer.ink import points",
        "from numpy import ink",
        "import cursivetransformer",
    ]
    for text in wrong:
        assert list(house.old_paths(ast.parse(text), order, known)), text
    for text in right:
        assert not list(house.old_paths(ast.parse(text), order, known)), text
    found = []
    for source in house.sources():
        if not source.place.startswith("cursivetransformer/"):
            found += [
                f"{source.place}:{line} {what}" for line, what in house.old_paths(source.tree, order, known)
            ]
    assert_none(found, house.old_paths.__doc__)


def test_names_do_not_shadow_each_other():
    modules = [m.rpartition(".") for m in house.exported_modules()]
    at_the_root = {name for room, _, name in modules if not room} | set(ROOMS)
    assert set(_moved.PACKAGES) == set(_moved.MODULES) & set(ROOMS), "the old modules that are rooms now"
    assert not set(_MODULE) & (at_the_root | set(_moved.MODULES)), "names of the root, rooms and old modules"
    assert not at_the_root & set(_moved.MODULES) - set(_moved.PACKAGES), (
        "old modules and new ones in the root"
    )
    old = json.loads((ROOT / "tests/old_names.json").read_text())
    for room in _moved.PACKAGES:
        inside = {name for place, _, name in modules if place == room}
        assert not inside & set(old[room]), f"modules of {room} and names of the module that it was"


def test_tests_stand_where_their_module_does():
    "`tests/ink/test_points.py`, or `test_points_of_something.py`, tests `ink.points`."
    order = list(house.exported_modules())
    whole = {"house", "package", "notebooks"}
    others = {"apps.lab", "training.gpu"}  # the panel in a real JupyterLab, and what needs a GPU
    tests = sorted((ROOT / "tests").rglob("test_*.py"))
    found = []
    for path in tests:
        room = ".".join(path.parent.relative_to(ROOT / "tests").parts)
        name = f"{room}.{path.stem.removeprefix('test_')}".removeprefix(".")
        if name not in whole | others and not any(f"{name}_".startswith(f"{m}_") for m in order):
            found.append(path.relative_to(ROOT).as_posix())
    assert_none(found, "tests/ROOM/test_NAME.py tests ROOM.NAME.")
    assert len({p.name for p in tests}) == len(tests), "pytest wants each name once"


# Files and links


def test_git_ignores_nothing_that_belongs_to_us(tmp_path):
    git = shutil.which("git")
    if not git:
        pytest.skip("asks git what is ignored: apt-get install git")
    subprocess.run([git, "init", "-q", tmp_path], check=True)
    shutil.copy(ROOT / ".gitignore", tmp_path)
    ours = [*house.modules(), *house.notebooks(), *(ROOT / "tests").rglob("*.py"), *PAGES]
    names = [p.relative_to(ROOT).as_posix() for p in ours]
    made = ["data/words.json", "runs/default/config.json", "build/lib/x.py", "x/__pycache__/x.pyc"]
    done = subprocess.run(
        [git, "check-ignore", "--stdin"],
        input="\n".join([*names, *made]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout.split() == made
    if (ROOT / ".git").exists():
        done = subprocess.run(
            [git, "ls-files", "-ci", "--exclude-standard"], capture_output=True, cwd=ROOT, text=True
        )
        assert_none(done.stdout.split(), "These are tracked and ignored: mend .gitignore.")


def test_links_lead_somewhere(tmp_path):
    page = tmp_path / "page.md"
    good = (
        "# A page's `end`\n[x](#a-pages-end) [x](page.md) [x](https://example.org) `[x](y)`\n\n    [x](z)\n"
    )
    page.write_text(good)
    assert list(house.broken_links(good, page)) == []
    ours = "https://github.com/cursivetransformer/cursivetransformer/blob/main/nbs/none.ipynb"
    wrong = ["gone.md", "#gone", "page.md#gone", ours]
    assert list(house.broken_links("".join(f"[x]({link}) " for link in wrong), page)) == wrong
    found = []
    for page in PAGES:
        found += [f"{page.relative_to(ROOT)}: {link}" for link in house.broken_links(page.read_text(), page)]
    for path in house.notebooks():
        for cell in house.cells(path):
            if cell.kind == "markdown":
                found += [f"{cell.place}: {link}" for link in house.broken_links(cell.text, path)]
    assert_none(found, "Link to a file or heading that is there.")


def test_text_names_notebooks_that_exist():
    "`11g_clone`, in a sentence, a docstring or an error, is a notebook of today."
    stems = {p.stem for p in house.notebooks()}
    pattern = r"(?<![\w/.])\d\d[a-h]?_[a-z]\w*(?!\w*\.(?:png|svg|json))"
    assert re.findall(pattern, "as 11g_clone says, and `05_model`, 497_000") == ["11g_clone", "05_model"]
    texts = [(s.place, s.text) for s in house.sources() if not s.place.startswith("tests/")]
    texts += [(c.place, c.text) for p in house.notebooks() for c in house.cells(p) if c.kind == "markdown"]
    texts += [(p.relative_to(ROOT).as_posix(), p.read_text()) for p in PAGES if p.name != "CHANGELOG.md"]
    found = [
        f"{place}: {name}" for place, text in texts for name in re.findall(pattern, text) if name not in stems
    ]
    assert_none(found, "Say the notebook's present name.")


def test_the_map_has_a_sentence_on_every_notebook_in_order():
    "It is the notebook's own, so that it stays true."
    index = "\n".join(c.text for c in house.cells(NOTEBOOKS / "index.ipynb") if c.kind == "markdown")
    rows = re.findall(r"^\| *\[(\w+)\]\((\S+\.ipynb)\) *\| *(.*?) *\|$", index, flags=re.M)
    others = [p for p in house.notebooks() if p.name != "index.ipynb"]
    links = [p.relative_to(NOTEBOOKS).as_posix() for p in others]
    names = [re.sub(r"^\d+_", "", p.stem) for p in others]
    assert rows == list(zip(names, links, map(house.subtitle, others)))


def test_the_readme_lists_every_notebook_in_order():
    text = (ROOT / "README.md").read_text()
    rows = "\n".join(re.findall(r"^\|.*\|$", text, flags=re.M))
    linked = re.findall(r"\]\((nbs/[^)]+\.ipynb)\)", rows)
    others = [p for p in house.notebooks() if p.name != "index.ipynb"]
    assert linked == [p.relative_to(ROOT).as_posix() for p in others]
    assert "(nbs/index.ipynb)" in text


def test_nbdev_leaves_our_readme_alone():
    "It makes one of the notebook that settings.ini names, where that is newer: of none."
    quarto = pytest.importorskip("nbdev.quarto", reason="pip install -e '.[dev]' -c constraints.txt")
    config = import_module("nbdev.config").get_config()
    assert not (NOTEBOOKS / config.readme_nb).exists()
    before = (ROOT / "README.md").read_bytes()
    quarto.nbdev_readme.__wrapped__(chk_time=True)  # what nbdev_docs and nbdev_prepare call
    quarto.nbdev_contributing.__wrapped__(chk_time=True)
    assert (ROOT / "README.md").read_bytes() == before


def test_rooms_are_in_the_order_that_the_map_tells():
    assert set(ORDER) - set(ROOMS) == {"files", "config", "options", "flags", "cli"}
    index = "\n".join(c.text for c in house.cells(NOTEBOOKS / "index.ipynb") if c.kind == "markdown")
    headings = [h for h in re.findall(r"^#+ `?(\w+)`?\b", index, flags=re.M) if h in ROOMS]
    assert headings == list(ROOMS)
