"""Old import paths, for one release: `cursivetransformer.train` still gives what it gave, with a warning that
names the new place."""

import sys
import warnings
from importlib import import_module
from importlib.util import spec_from_loader

# Where the names of the modules of version 0.1 are now, in the order in which they are looked for.
MODULES = {
    "attention": "writing.capture writing.align study.attention study.interventions",
    "batches": "data.batches",
    "bench": "study.bench",
    "bulk": "writing.bulk",
    "checkpoint": "model.checkpoint",
    "clone": "training.clone",
    "collect": "apps.collect",
    "data": "data.banks data.dataset data.seeds data.remote",
    "evaluate": "study.evaluate data.wordbank",
    "form": "apps.form",
    "ink": "ink.points",
    "live": "apps.live",
    "model": "model.transformer model.cpu model.decode model.lora",
    "reader": "writing.reader",
    "reader_train": "training.train_reader",
    "render": "ink.curves ink.pictures ink.motion ink.plotters data.banks writing.page",
    "runs": "data.remote training.runs",
    "sample": "config writing.sample writing.spelling writing.page apps.original",
    "tokenizer": "ink.tokens",
    "tracking": "training.tracking data.remote",
    "train": "training.optim training.runs training.train apps.original",
    "widgets": "apps.desk apps.view apps.panel",
    "wordbank": "data.wordbank",
}
# Old modules that are rooms now.
PACKAGES = ("data", "ink", "model")
# Modules that are still there, and where names that left them are now.
STAYED = {
    "cli": "flags",
    "config": "flags apps.original",
}
# Old name: its place and name today, where the name is another.
RENAMED = {}
# Old name: why nothing of the kind is left.
GONE = {}
PACKAGE = __package__


def place_of(old: str, name: str):
    "Where the name of an old module is now: a module, and its name there. None where there was no such name."
    if f"{old}.{name}" in RENAMED:
        module, _, today = RENAMED[f"{old}.{name}"].rpartition(".")
        return import_module(f"{PACKAGE}.{module}"), today
    for place in {**MODULES, **STAYED}[old].split():
        module = import_module(f"{PACKAGE}.{place}")
        if name in vars(module):
            return module, name
    return None


def all_names(old: str) -> list:
    "What `from` an old module `import *` gives."
    modules = [import_module(f"{PACKAGE}.{place}") for place in MODULES[old].split()]
    renamed = [name.partition(".")[2] for name in RENAMED if name.startswith(f"{old}.")]
    return [*renamed, *(name for module in modules for name in module.__all__)]


def names_of(old: str):
    "The `__getattr__` of an old module: finds its names where they are now, and says where that is."

    def find(name: str):
        if name == "__all__" and old in MODULES:
            return all_names(old)
        if f"{old}.{name}" in GONE:
            raise AttributeError(f"{PACKAGE}.{old}.{name} is no more: {GONE[f'{old}.{name}']}")
        found = None if name.startswith("__") else place_of(old, name)
        if found is None:
            raise AttributeError(f"module '{PACKAGE}.{old}' has no attribute '{name}'")
        module, today = found
        path = f"{PACKAGE}.{old}.{name} is now {module.__name__}.{today}"
        warnings.warn(f"{path}; the old path goes with the next release.", FutureWarning, stacklevel=2)
        return getattr(module, today)

    return find


class OldModules:
    "Finds and loads the modules that are no more: each is empty but for its `__getattr__`."

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        package, _, old = fullname.rpartition(".")
        if package != PACKAGE or old not in MODULES or old in PACKAGES:
            return None
        return spec_from_loader(fullname, OldModules, origin="moved")

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.__getattr__ = names_of(module.__name__.rpartition(".")[2])


def install():
    "Have Python ask here for modules that it does not find."
    if OldModules not in sys.meta_path:
        sys.meta_path.append(OldModules)
