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
    "widgets": "apps.desk apps.view",
    "wordbank": "data.wordbank",
}
PACKAGES = ("data", "ink", "model")  # old modules that are rooms now
PACKAGE = __package__


def names_of(old: str):
    "A module's `__getattr__` that finds the names of an old module where they are now, and says where that is."

    def find(name: str):
        for place in MODULES[old].split() if not name.startswith("__") else ():
            try:
                value = getattr(import_module(f"{PACKAGE}.{place}"), name)
            except AttributeError:
                continue
            message = f"{PACKAGE}.{old}.{name} is now {PACKAGE}.{place}.{name}; the old path goes with the next release."
            warnings.warn(message, FutureWarning, stacklevel=2)
            return value
        raise AttributeError(f"module '{PACKAGE}.{old}' has no attribute '{name}'")

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
