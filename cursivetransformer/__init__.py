__version__ = "0.1.0"

# What `from cursivetransformer import ...` finds, and where. Loaded when asked for, so that importing the package stays instant.
_HOME = {
    "config": "Config ConfigError CursiveError get_all_args load_config preset save_config",
    "ink": "Word downsample offsets_to_strokes strokes_to_offsets",
    "render": "page_bytes plot_strokes plot_words save_page to_svg",
    "tokenizer": "CharTokenizer fold stroke_tokenizer",
    "data": "StrokeDataset create_datasets load_bank save_bank",
    "wordbank": "Prompts cover little_words make_words save_words words_of_text",
    "model": "Transformer",
    "checkpoint": "load_checkpoint save_model",
    "reader": "Reader legibility load_reader read",
    "sample": "GenerationParams Spelling generate generate_helper_fn generate_paragraph plot_paragraph respell save_samples word_offsets_to_points write write_lines",
    "bulk": "write_bulk",
    "train": "evaluate_words get_checkpoint launch",
    "reader_train": "reader_config train_reader",
    "attention": "Trace align_strokes animate capture coverage_auc effect entropy head_off head_patched head_uniform induction_scores letter_share plot_alignment plot_attended plot_cross "
                 "plot_effect plot_entropy plot_heads plot_induction plot_self pointers rank_heads replay trace_ink trace_words without_characters",
    "widgets": "WritingApp WritingDesk",
    "form": "ConfigForm form_view",
    "live": "train_live",
    "collect": "collect_words",
    "clone": "clone_hand",
}
_MODULE = {name: module for module, names in _HOME.items() for name in names.split()}
__all__ = [*_MODULE, "__version__"]


def __getattr__(name):
    if name not in _MODULE: raise AttributeError(f"module 'cursivetransformer' has no attribute '{name}'")
    from importlib import import_module
    return getattr(import_module(f"cursivetransformer.{_MODULE[name]}"), name)


def __dir__(): return sorted(__all__)
