"""Old import paths, for one release: `cursivetransformer.train` still gives what it gave, with a warning that
names the new place."""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder


# Where the names of the modules of version 0.1 are now, in the order in which they are looked for.
MODULES = {
    "attention": "writing.capture writing.align study.attention study.interventions",
    "batches": "data.batches",
    "bench": "study.bench",
    "bulk": "writing.bulk",
    "checkpoint": "model.checkpoint",
    "clone": "training.clone",
    "collect": "apps.collect apps.collect_view",
    "data": "data.banks data.dataset data.seeds data.remote",
    "evaluate": "study.evaluate data.wordbank",
    "form": "apps.form",
    "ink": "ink.points",
    "live": "apps.live",
    "model": "model.transformer model.positions model.coverage model.cpu model.decode model.lora",
    "reader": "writing.reader",
    "reader_train": "training.train_reader",
    "render": "ink.curves ink.svg ink.pdf ink.pictures ink.motion ink.plotters data.banks writing.page",
    "runs": "data.remote training.runs",
    "sample": "config writing.sample writing.spelling writing.page writing.layout writing.shape "
    "apps.original",
    "tokenizer": "ink.tokens ink.tokenizers",
    "tracking": "training.tracking data.remote",
    "train": "model.speed training.optim training.runs training.score training.train apps.original",
    "widgets": "apps.desk apps.view apps.saving apps.worker apps.panel",
    "wordbank": "data.wordbank",
}
# Old modules that are rooms now.
PACKAGES = ("data", "ink", "model")
# Modules that are still there, and where names that left them are now.
STAYED = {
    "cli": "apps.command_write apps.command_train apps.command_eval apps.command_collect apps.command_bench "
    "flags",
    "config": "options flags apps.original",
}
# Names that are others now: the old one, and where today's is.
RENAMED = {
    "attention.Call": "writing.capture.CapturedCall",
    "attention.Captured": "writing.capture.AttentionCapture",
    "attention.LETTERS": "study.attention.LETTER_COLORS",
    "attention.TONE": "study.attention.GREY",
    "attention.alone": "study.interventions.inks_of",
    "attention.auc": "study.evaluate.auc",
    "attention.changed": "study.interventions.change_attention",
    "attention.chosen": "study.interventions.head_mask",
    "attention.colour": "study.attention.letter_color",
    "attention.heat": "study.attention.draw_cross_attention",
    "attention.pooled": "study.attention.pool_attention",
    "attention.runs": "study.attention.one_letter_stretches",
    "attention.square": "study.attention.draw_self_attention",
    "attention.traced_places": "study.interventions.places_when_retraced",
    "batches.Flat": "data.batches.PackedWords",
    "cli.BENCHES": "apps.command_bench.MEASURED",
    "cli.params_of": "apps.command_write.options_of",
    "clone.REMEMBERED": "training.rehearse.DRAWN",
    "clone.hand_of": "training.clone.words_of_hand",
    "clone.remember": "training.rehearse.drawn_words",
    "collect.PACKAGE": "config.PACKAGE",
    "ink.rerecord": "ink.points.snap_to_pixels",
    "ink.steps": "ink.points.drawn_steps",
    "model.Cache": "model.decode.KVCache",
    "model.CausalAttention": "model.cpu.BlockedCausalAttention",
    "model.FEATURES": "model.coverage.CONV_CHANNELS",
    "model.HEADS": "model.cpu.HEAD_BLOCK",
    "model.Hands": "model.lora.LoRA",
    "model.Letters": "model.transformer.CTCHead",
    "model.PenPlace": "model.positions.PenPosition",
    "model.QUERIES": "model.cpu.QUERY_BLOCK",
    "model.REACH": "model.coverage.CONV_REACH",
    "model.TOKENS": "model.cpu.MLP_TOKENS",
    "model.WAVES_X": "model.positions.WAVELENGTHS_X",
    "model.WAVES_Y": "model.positions.WAVELENGTHS_Y",
    "model.piecewise": "model.cpu.fits",
    "model.ready": "model.decode.as_function",
    "model.turning": "model.decode.joint_rotation",
    "reader.align": "writing.reader.align_texts",
    "reader.kind_of": "writing.reader.kind_of_character",
    "reader_train.distort": "data.distort.distort",
    "reader_train.Lessons": "training.train_reader.ReaderBatches",
    "render.SIDE": "ink.pictures.LONGEST_SIDE",
    "render.pen_style": "ink.svg.line_attributes",
    "render.svg_around": "ink.svg.stream_svg",
    "runs.bring_run": "training.runs.download_state",
    "sample.FEW": "writing.spelling.MANY_WRONG",
    "sample.FEWEST_STEPS": "writing.sample.MIN_STEPS",
    "sample.MENDED": "writing.spelling.LEAST_SHARE_MENDED",
    "sample.REDRAWN": "writing.spelling.DRAWINGS_PER_TRY",
    "sample.SHORTEST": "ink.tokens.MIN_POINTS",
    "sample.close_up": "writing.sample.fill_holes",
    "sample.decode": "writing.sample.sample_tokens",
    "sample.words_of": "writing.sample.cut_words",
    "tracking.Line": "training.tracking.JobQueue",
    "train.Team": "training.train.ProcessGroup",
    "train.read_back": "training.train.written_legibility",
    "train.take_up": "training.runs.download_wandb_run",
    "train.train_in": "training.train.train_loop",
    "widgets.PAD": "apps.view.WORD_MARGIN",
    "widgets.Candidate": "apps.desk.WordCandidate",
    "widgets.drawing": "apps.view.describe_page",
    "widgets.offered": "apps.view.describe_offers",
    "widgets.still": "apps.view.page_svg",
}
# Names of which nothing is left that could be called in the same way, and what does the work now.
GONE = {
    "attention.TICKS": "it is a part of study.attention.STYLE",
    "attention.toned": "study.attention.readable_on_any_page() decorates too",
    "batches.Samples": "data.batches.make_samples makes them",
    "batches.spans": "data.batches.Spans has it",
    "bench.plain_attention": "model.transformer is the plain way",
    "bulk.KINDS": "config.BulkOptions has format, with its choices",
    "cli.legibility_command": "apps.command_eval has all of cursive eval",
    "cli.parse": "each command has a parser of its own in apps.command_write and those after it",
    "cli.write_lines_command": "apps.command_write.write_in_bulk takes options beside the arguments",
    "cli.shard_of": "writing.bulk.shard_of takes text only, apps.command_write.shards_of_torchrun makes it",
    "cli.writer": "apps.command_write.save_lines writes all files of a text",
    "data.prepare": "ink.tokens.StrokeTokenizer has encode_words",
    "model.ManyHands": "functions of model.lora do its work, on any Transformer",
    "model.TOKENS_A_CHARACTER": "a config has tokens_per_character",
    "model.advance_block": "model.decode.advance goes through all blocks",
    "model.attend": "model.transformer has attention in its plain form, model.cpu in its fast one",
    "model.watched": "model.transformer.attention_weights asks the hooks",
    "render.DPI": "ink.sheets.Style has dpi",
    "render.FEED": "ink.sheets.Plotter has feed",
    "render.HOLD": "ink.sheets.Motion has hold",
    "render.LIFT": "ink.sheets.Plotter has lift",
    "render.NIB": "ink.sheets.Motion has tip",
    "render.PAGE": "ink.pdf.A4_HEIGHT is in millimetres",
    "render.PAPERS": "ink.plotters.HP7475A_PAPERS says more of them",
    "render.PLOTTER": "ink.sheets.DEVICES names two",
    "render.in_bytes": "ink.svg.svg_writer takes a binary file, as all writers do",
    "reader_train.through_tokens": "encode_words and decode_words of a StrokeTokenizer do it",
    "sample.BOUND_PER_CHARACTER": "ink.tokens.MAX_POINTS_PER_CHARACTER counts points, not tokens",
    "sample.BOUND_PER_WORD": "ink.tokens.MAX_POINTS_PER_WORD counts points, not tokens",
    "sample.bound": "ink.tokens.StrokeTokenizer has max_tokens",
    "sample.make_group": "writing.sample.GroupBuilder makes groups",
    "sample.most_steps": "writing.sample.step_limit finds the limit by itself",
    "sample.reach": "ink.tokens.StrokeTokenizer has decode_words, which puts words one behind the other",
    "widgets.SCRIPT": "it is a file, apps/page.js",
    "widgets.STYLE": "it is a file, apps/page.css",
    "widgets.make_controls": "apps.panel.make_buttons and apps.panel.make_fields do its work",
    "widgets.NO_STYLE": "apps.panel offers no style words: author_choices offers hands",
}
PACKAGE = __package__


def place_of(old: str, name: str):
    "Where the name of an old module is now: a module, and its name there. None where there was no such name."
    if f"{old}.{name}" in RENAMED:
        module, _, today = RENAMED[f"{old}.{name}"].rpartition(".")
        return import_module(f"{PACKAGE}.{module}"), today
    for place in {**MODULES, **STAYED}[old].split():
        module = import_module(f"{PACKAGE}.{place}")
        if name in module.__all__:  # not what it imports itself
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
        found = None if name.startswith("_") else place_of(old, name)
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
        return ModuleSpec(fullname, OldModules, origin="moved")

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        module.__getattr__ = names_of(module.__name__.rpartition(".")[2])


class ModulesThatStayed:
    "Loads them as usual, and lets them find the names that left."

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        package, _, name = fullname.rpartition(".")
        spec = PathFinder.find_spec(fullname, path) if package == PACKAGE and name in STAYED else None
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_remember(module):
            execute(module)
            module.__getattr__ = names_of(name)

        spec.loader.exec_module = execute_and_remember
        return spec


def install():
    "Have Python ask here first for the modules that stayed, and last for those that it does not find."
    if OldModules not in sys.meta_path:
        sys.meta_path.insert(0, ModulesThatStayed)
        sys.meta_path.append(OldModules)
