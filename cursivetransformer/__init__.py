"""Writes in cursive: a small GPT that moves a pen."""

__version__ = "0.2.0"

from . import _moved

# What `from cursivetransformer import ...` finds, and where. Loaded when asked for, so that importing the
# package stays instant.
_HOME = {
    "config": "Config ConfigError CursiveError load_config preset save_config",
    "options": "GenerationParams WritingOptions",
    "ink.points": "Word downsample offsets_to_strokes strokes_to_offsets",
    "ink.curves": "plot_strokes plot_words",
    "ink.sheets": "Motion Plotter Sheet Style restyle",
    "ink.svg": "to_svg",
    "ink.tokens": "CharTokenizer fold",
    "ink.tokenizers": "stroke_tokenizer",
    "data.banks": "load_bank save_bank",
    "data.dataset": "StrokeDataset create_datasets",
    "data.wordbank": "Prompts cover little_words make_words save_words words_of_text",
    "model.transformer": "Transformer",
    "model.checkpoint": "load_checkpoint save_model",
    "writing.reader": "Reader legibility load_reader read",
    "writing.hands": "Hand known_hands open_hand read_hand save_hand",
    "writing.spelling": "Spelling",
    "writing.capture": "Trace capture replay trace_ink trace_words",
    "writing.align": "align_strokes pointers",
    "writing.page": "page_bytes respell save_page save_samples write write_lines",
    "writing.bulk": "write_bulk",
    "training.score": "evaluate_words",
    "training.train": "launch",
    "training.train_reader": "reader_config train_reader",
    "training.clone": "clone_hand",
    "study.attention": "animate entropy plot_alignment plot_attended plot_cross plot_entropy "
    "plot_heads plot_self",
    "study.interventions": "coverage_auc effect head_off head_patched head_uniform induction_scores "
    "letter_share plot_effect plot_induction rank_heads without_characters",
    "apps.original": "generate generate_helper_fn generate_paragraph get_all_args get_checkpoint "
    "plot_paragraph word_offsets_to_points",
    "apps.collect_view": "collect_words",
    "apps.form": "ConfigForm form_view",
    "apps.live": "train_live",
    "apps.desk": "WritingDesk",
    "apps.panel": "WritingApp",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = [*_MODULE, "__version__"]

_moved.install()


def __getattr__(name):
    if name not in _MODULE:
        raise AttributeError(f"module 'cursivetransformer' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"cursivetransformer.{_MODULE[name]}"), name)


def __dir__():
    return sorted(__all__)
