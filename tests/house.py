"""The rules of the house, as functions from a syntax tree or a text to the lines that break them.

`test_house.py` applies them to every module, test and notebook, and tries each on a small bad example first.
"""

import ast
import json
import re
from pathlib import Path
from typing import NamedTuple

from conftest import ROOT

PACKAGE = ROOT / "cursivetransformer"
NOTEBOOKS = ROOT / "nbs"
WIDTH = 110
# What no notebook exports: written by hand, in Python.
BY_HAND = {"__init__", "__main__", "_moved"}
# An arrow points to an earlier one of these, or to a notebook of a lower number in the same room.
ORDER = tuple("files config options flags ink data model writing training study apps cli".split())
# The notebooks that people open, those that most open first.
OPENED = ("write", "gallery", "train", "clone", "attention", "compare")
ROOMS = tuple(name for name in ORDER if (NOTEBOOKS / name).is_dir())


class Source(NamedTuple):
    "A piece of code: a file, or a code cell of a notebook."

    place: str  # what a report calls it
    text: str  # Python, with the shell commands of a notebook blanked out

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


class Cell(NamedTuple):
    "A cell of a notebook."

    place: str  # path and id
    kind: str  # code or markdown
    text: str
    exported: bool


# Where things lie


def notebooks() -> list[Path]:
    "All notebooks: the index, those that people open, then the book, room by room."
    found = [p for p in NOTEBOOKS.rglob("*.ipynb") if ".ipynb_checkpoints" not in p.parts]
    return sorted(found, key=place_in_book)


def place_in_book(path: Path) -> tuple:
    "What sorts notebooks in the order in which they are read."
    room = path.parent.name if path.parent != NOTEBOOKS else re.sub(r"^\d+_", "", path.stem)
    number = OPENED.index(path.stem) if room == "colab" else path.stem
    return ("index", "colab", *ORDER).index(room), number


def cells(path: Path) -> list[Cell]:
    "The cells of a notebook."
    here = path.relative_to(ROOT).as_posix()
    answer = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        exported = cell["cell_type"] == "code" and re.match(r"#\|\s*exporti?\b", text) is not None
        answer.append(Cell(f"{here}[{cell.get('id')}]", cell["cell_type"], text, exported))
    return answer


def subtitle(path: Path) -> str:
    "What the reader of a notebook will be able to do: the `>` below its title, in one line."
    first = next(c.text for c in cells(path) if c.kind == "markdown")
    found = re.search(r"^# .+\n\n((?:> .*\n?)+)", first)
    assert found, (
        f"{path} begins with a title and, below it, a > that says what its reader will be able to do."
    )
    return " ".join(line.removeprefix("> ") for line in found.group(1).splitlines())


def modules() -> list[Path]:
    "The modules of the package, but the index that nbdev makes."
    return sorted(p for p in PACKAGE.rglob("*.py") if p.name != "_modidx.py")


def python_of(text: str) -> str:
    "A code cell's Python, each line where it was: magics and shell commands are blanked out."
    if re.match(r"%%(?!time)", text):
        return ""
    return re.sub(r"^(\s*)[!%].*$", r"\1pass", text, flags=re.M)


def sources() -> list[Source]:
    "All code: modules, tests, what is in the root, and the code cells of notebooks."
    files = [*modules(), *sorted((ROOT / "tests").rglob("*.py")), ROOT / "setup.py"]
    answer = [Source(p.relative_to(ROOT).as_posix(), p.read_text()) for p in files]
    code = [c for p in notebooks() for c in cells(p) if c.kind == "code"]
    return [*answer, *(Source(c.place, python_of(c.text)) for c in code)]


# Rules of one syntax tree: they yield the lines that break them


def nested_conditionals(tree):
    "Write an if statement, or give the inner one a name."
    for node in ast.walk(tree):
        if isinstance(node, ast.IfExp):
            inner = [n for part in ast.iter_child_nodes(node) for n in ast.walk(part)]
            if any(isinstance(n, ast.IfExp) for n in inner):
                yield node.lineno


def print_or(tree):
    "A print has no value: write two statements."
    for node in ast.walk(tree):
        if isinstance(node, ast.BoolOp):
            for value in node.values:
                if isinstance(value, ast.Call) and getattr(value.func, "id", None) == "print":
                    yield node.lineno


def packed_assignments(tree):
    "One assignment a line; unpacking, swaps and pairs of plain values may stay."
    for node in ast.walk(tree):
        if not isinstance(node, ast.Assign) or not isinstance(node.value, ast.Tuple | ast.List):
            continue
        for target in node.targets:
            if not isinstance(target, ast.Tuple | ast.List):
                continue
            called = any(isinstance(value, ast.Call) for value in node.value.elts)
            if len(target.elts) > 2 or called:
                yield node.lineno


def methods_from_outside(tree):
    "Write a class once and whole; where it is too large, make it functions, or two classes."
    classes = {n.name for n in ast.walk(tree) if isinstance(n, ast.ClassDef)}

    def is_class(node):
        return isinstance(node, ast.Name) and (node.id in classes or re.match(r"[A-Z]\w*[a-z]", node.id))

    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            names = [
                getattr(d, "id", getattr(getattr(d, "func", None), "id", "")) for d in node.decorator_list
            ]
            if any(name in ("patch", "patch_to") for name in names):
                yield node.lineno
    for node in tree.body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                for part in target.elts if isinstance(target, ast.Tuple | ast.List) else [target]:
                    if isinstance(part, ast.Attribute) and is_class(part.value):
                        yield node.lineno


def chosen_keywords(tree):
    "Choose the keywords in an if statement before the call."
    for node in ast.walk(tree):
        spread = []
        if isinstance(node, ast.Call):
            spread = [k.value for k in node.keywords if k.arg is None]
        if isinstance(node, ast.Dict):
            spread = [v for k, v in zip(node.keys, node.values) if k is None]
        for value in spread:
            if isinstance(value, ast.IfExp):
                yield value.lineno


def named_lambdas(tree):
    "Write a def: its name is in the traceback, and it has room for a docstring."
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.AnnAssign | ast.NamedExpr):
            values = node.value.elts if isinstance(node.value, ast.Tuple) else [node.value]
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [n for t in targets for n in (t.elts if isinstance(t, ast.Tuple) else [t])]
            if any(isinstance(v, ast.Lambda) for v in values) and isinstance(names[0], ast.Name):
                yield node.lineno
        if isinstance(node, ast.IfExp) and any(isinstance(v, ast.Lambda) for v in (node.body, node.orelse)):
            yield node.lineno


def hidden_options(tree):
    "Name the parameters, hand on one WritingOptions, or decorate with @takes(TABLE)."
    inner = {
        function
        for outer in ast.walk(tree)
        if isinstance(outer, ast.FunctionDef)
        for function in ast.walk(outer)
        if isinstance(function, ast.FunctionDef) and function is not outer
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or node.args.kwarg is None:
            continue
        decorators = [getattr(d, "func", d) for d in node.decorator_list]
        shown = any(getattr(d, "id", getattr(d, "attr", "")) in ("takes", "wraps") for d in decorators)
        if not shown and node not in inner:
            yield node.lineno


RULES = (
    nested_conditionals,
    print_or,
    packed_assignments,
    methods_from_outside,
    chosen_keywords,
    named_lambdas,
)


# Rules of a text


def is_wide(line: str) -> bool:
    "Whether a line of prose is too wide: the rows of tables may be, and what addresses make so."
    without = re.sub(r"\]\([^)]*\)|<?https?://\S+|data:\S+", "]", line)
    return len(line) > WIDTH and len(without) > WIDTH and not line.lstrip().startswith("|")


def wide_prose(text: str) -> list[int]:
    "The numbers of the lines of a markdown text that should be wrapped."
    return [number for number, line in enumerate(text.split("\n"), 1) if is_wide(line)]


def wide_code(text: str) -> list[int]:
    "The numbers of the lines of code that are too wide."
    return [number for number, line in enumerate(text.split("\n"), 1) if len(line) > WIDTH]


def length(text: str) -> int:
    "The lines of an export cell, without directives and the blank lines at its ends."
    lines = [line for line in text.split("\n") if not line.startswith("#|")]
    return len("\n".join(lines).strip("\n").split("\n"))


def longest(text: str) -> int:
    "How long an export cell may be: a cell that is one class up to twice as long."
    statements = [n for n in ast.parse(python_of(text)).body if not isinstance(n, ast.Assign | ast.AnnAssign)]
    return 80 if len(statements) == 1 and isinstance(statements[0], ast.ClassDef) else 40


# Rules of the whole


def exported_modules() -> dict[str, Path]:
    "Which module each notebook exports: `{'ink.points': nbs/ink/00_points.ipynb}`, in the order of imports."
    answer = {}
    for path in notebooks():
        for cell in cells(path):
            found = re.search(r"^#\|\s*default_exp\s+(\S+)", cell.text, flags=re.M)
            if cell.kind == "code" and found:
                answer[found.group(1)] = path
    return answer


def imported(tree: ast.Module, module: str) -> list[tuple[int, str]]:
    "What a module imports from the package, wherever it does: lines, and names without the package's."
    answer = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ["cursivetransformer", *module.split(".")][: -node.level] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            # `from package.room import module` and `from package.room.module import name` look alike
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        own = [n.partition(".")[2] for n in names if n.split(".")[0] == "cursivetransformer"]
        answer += [(node.lineno, name) for name in own]
    return answer


def target_of(name: str, order: list[str]) -> str | None:
    "The module that an imported name lies in, or is."
    return next((m for m in order if name == m or name.startswith(f"{m}.")), None)


def wrong_arrows(tree: ast.Module, module: str, order: list[str]):
    "Move what two modules need into the earlier one, or turn the arrow round."
    for line, name in imported(tree, module):
        target = target_of(name, order)
        if name == "__version__" or name.startswith("_moved."):
            continue  # of the root, which imports nothing
        if target is None:
            yield line, f"{name or 'the package itself'} is no module: import from where a thing is"
        elif order.index(target) >= order.index(module):
            yield line, f"{target} is not before {module}"


def old_paths(tree: ast.Module, order: list[str], promised: list[str]):
    "Import from the root what it promises, and all else from the module that it is in."
    for line, name in imported(tree, ""):
        known = {"", "_moved", *ROOMS, *promised, *(f"_moved.{n}" for n in ("install", "names_of"))}
        if target_of(name, order) is None and name not in known:
            yield line, f"no {name} of today"


def anchors(path: Path) -> set[str]:
    "The anchors that GitHub gives the headings of a page or notebook."
    if path.suffix == ".ipynb":
        text = "\n".join(c.text for c in cells(path) if c.kind == "markdown")
    else:
        text = path.read_text()
    text = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    headings = re.findall(r"^#{1,6} +(.+?) *#*$", text, flags=re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


OURS = re.compile(
    r"https://(?:colab\.research\.google\.com/)?github(?:\.com)?/"
    r"cursivetransformer/cursivetransformer/(?:blob|tree|raw)/main/"
)


def broken_links(text: str, page: Path):
    "The links of a page that lead to no file or heading of the repository."
    if page.suffix != ".ipynb":
        text = re.sub(r"^```.*?^```|^(?:    |\t)\S.*$|`[^`\n]*`", "", text, flags=re.M | re.S)
    for link in re.findall(r"\]\(<?([^)\s>]+)", text):
        target = OURS.sub("", link)
        if re.match(r"[a-z]+:", target):
            continue  # somebody else's
        folder = page.parent if target == link else ROOT
        name, _, anchor = target.partition("#")
        path = (folder / name).resolve() if name else page
        if not path.exists():
            yield link
        elif anchor and path.suffix in (".md", ".ipynb") and anchor not in anchors(path):
            yield link
