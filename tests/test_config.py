import copy
import dataclasses
import inspect
import json
import os
import pickle
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

import cursivetransformer
from cursivetransformer import config as config_module
from cursivetransformer.config import (
    ALPHABET,
    Config,
    ConfigError,
    Settings,
    check_shape,
    check_value,
    checks_arguments,
    did_you_mean,
    from_dict,
    knob,
    load_config,
    preset,
    save_config,
    takes,
    to_dict,
)
from cursivetransformer.options import (
    CANVAS_HEIGHT,
    OPEN_LENGTHS,
    ORIGINAL_NAMES,
    GenerationParams,
    WritingOptions,
    with_changes,
)

# Every name that the authors' notebooks and runs set.
THEIR_FIELDS = """max_steps print_every log_every lr_decay step_lr_every device seed n_layer n_embd
n_embd_context n_ctx_head learning_rate weight_decay batch_size train_size test_size num_words max_seq_length
augment downsample_mean downsample_width add_digits alphabet dataset_name wandb_project wandb_entity
wandb_run_name wandb_api_key load_from_run_id local_checkpoint_path vocab_size block_size context_block_size
context_vocab_size""".split()
THEIR_OPTIONS = """temperature top_k do_sample num_steps n_at_a_time n_words space_width sentence_line_width
sentence_line_height letter_height warmup_sample_ix verbose seed""".split()


@dataclasses.dataclass
class Pen(Settings):
    width: float = knob(0.4, "size", "millimetres", above=0)
    tip: float = knob(0.5, "size", "share of it", above=0, high=1.0)
    drops: int = knob(3, "ink", "of ink", low=1)
    ink: str | None = knob("blue", "ink", "what is in it", choices=("blue", "black"))


# Tables


def test_names_that_stay():
    assert set(THEIR_FIELDS) <= {f.name for f in fields(Config)}
    ours = {f.name for f in fields(WritingOptions)}
    assert set(THEIR_OPTIONS) <= ours | set(ORIGINAL_NAMES) and set(ORIGINAL_NAMES.values()) <= ours


@pytest.mark.parametrize("table", [Config, WritingOptions])
def test_every_field_has_facts(table):
    for f in fields(table):
        assert f.metadata["help"] and f.metadata["group"], f.name
        assert len(f.metadata["help"]) <= 80 and not f.metadata["help"].endswith("."), f.name
        # The default is a value that the field takes.
        assert check_value(table, f.name, f.default) == f.default
        facts = f.metadata
        bounded = facts["low"] is not None and facts["high"] is not None or facts["above"] is not None
        numeric = f.type in (int, float, int | None, float | None)
        assert not numeric or bounded, f"{f.name} has no bounds"


def test_the_form_needs_both_bounds_of_every_number_of_a_run():
    numbers = [f for f in fields(Config) if f.type in (int, float)]
    assert len(numbers) > 20
    assert all(None not in (f.metadata["low"], f.metadata["high"]) for f in numbers)


def test_a_group_is_in_one_place():
    for table in Config, WritingOptions:
        groups = [f.metadata["group"] for f in fields(table)]
        changes = sum(a != b for a, b in zip(groups, groups[1:], strict=False))
        assert changes == len(set(groups)) - 1


# Values


def test_assignments_are_checked():
    c = Config()
    with pytest.raises(ConfigError, match="n_layer"):
        c.n_layrs = 2
    with pytest.raises(ConfigError, match="n_layer takes int"):
        c.n_layer = True
    with pytest.raises(ConfigError, match="seed lies between"):
        c.seed = -1
    c.learning_rate = 1
    assert type(c.learning_rate) is float


@pytest.mark.parametrize(
    "table, name, value, sentence",
    [
        (Config, "n_layrs", 2, "There is no setting 'n_layrs'. Did you mean 'n_layer'?"),
        (Config, "n_layer", "2", "n_layer takes int, not '2'."),
        (Config, "n_layer", 2.0, "n_layer takes int, not 2.0."),
        (Config, "wandb_entity", 3, "wandb_entity takes str or None, not 3."),
        (Config, "augment", 1, "augment takes bool, not 1."),
        (Config, "optimizer", "moun", "optimizer is one of muon, adamw, not 'moun'. Did you mean 'muon'?"),
        (Config, "downsample_mean", 1.5, "downsample_mean lies between 0.0 and 0.99, and 1.5 does not."),
        (Config, "learning_rate", float("nan"), "learning_rate lies between 0.0 and 10.0, and nan does not."),
        (Config, "authors", ("Sam", "Sam"), "authors takes names, each once, not ('Sam', 'Sam')."),
        (Config, "authors", ["Sam", ""], "authors takes names, each once, not ('Sam', '')."),
        (Config, "authors", "Sam", "authors takes tuple, not 'Sam'."),
        (WritingOptions, "temperature", 0, "temperature must be above 0, and 0.0 is not."),
        (WritingOptions, "temperature", float("inf"), "temperature must be above 0, and inf is not."),
        (WritingOptions, "width", -1, "width must be above 0, and -1.0 is not."),
        (WritingOptions, "top_p", 1.5, "top_p must be above 0 and at most 1.0, and 1.5 is not."),
        (WritingOptions, "top_k", 0, "top_k lies between 1 and 1000000, and 0 does not."),
        (WritingOptions, "slant", 11, "slant lies between -10.0 and 10.0, and 11.0 does not."),
        (WritingOptions, "color", None, "color takes str, not None."),
        (Pen, "drops", 0, "drops must be at least 1, and 0 is not."),
        (Pen, "ink", "red", "ink is one of blue, black, not 'red'."),
    ],
)  # fmt: skip
def test_complaints_are_sentences(table, name, value, sentence):
    with pytest.raises(ConfigError) as e:
        setattr(table(), name, value)
    assert str(e.value) == sentence


def test_none_passes_where_a_field_may_have_none():
    pen = Pen(ink=None)
    assert pen.ink is None and WritingOptions(top_k=None, slant=None) == WritingOptions()


def test_numbers_of_numpy_and_lists_of_json_are_taken_for_pythons():
    options = WritingOptions(temperature=np.float32(0.5), seed=np.int64(3), top_k=np.uint8(5))
    assert [type(v) for v in (options.temperature, options.seed, options.top_k)] == [float, int, int]
    assert (options.temperature, options.seed, options.top_k) == (0.5, 3, 5)
    assert type(WritingOptions(width=np.int32(4)).width) is float
    assert Config(authors=["Sam", "Ada"]).authors == ("Sam", "Ada")
    for wrong in np.float64(3.0), np.array(3), np.bool_(True):
        with pytest.raises(ConfigError, match="seed takes int"):
            WritingOptions().seed = wrong


def test_a_notebook_shows_the_sentence_and_no_traceback():
    error = ConfigError("n_layer lies between 1 and 64, and 65 does not.")
    assert error._render_traceback_() == ["ConfigError: n_layer lies between 1 and 64, and 65 does not."]


def test_suggestions():
    assert did_you_mean("n_layers", ["n_layer", "n_embd"]) == " Did you mean 'n_layer'?"
    assert did_you_mean("xyz", ["n_layer"]) == "" == did_you_mean("x", [])


def test_widths_and_heads_go_together():
    for name in "default", "paper", "debug":
        check_shape(preset(name))
    with pytest.raises(ConfigError, match="n_embd_context must equal n_embd"):
        check_shape(Config(n_embd=64))
    with pytest.raises(ConfigError, match="multiple of 2\\*n_ctx_head, and 90 is not one of 8"):
        check_shape(Config(n_embd=90, n_embd_context=90, n_ctx_head=4))


# Presets and files


def test_presets_suggest_too():
    with pytest.raises(ConfigError, match="Did you mean 'n_layer'"):
        preset(n_layers=3)
    with pytest.raises(ConfigError, match="Did you mean 'debug'"):
        preset("debag")


def test_saved_and_loaded(tmp_path):
    c = preset("paper", wandb_api_key="secret", seed=3, resume=True)
    path = save_config(c, tmp_path / "c.json")
    assert "secret" not in path.read_text() and "resume" not in path.read_text()
    assert load_config(path) == preset("paper", seed=3)


@pytest.mark.parametrize(
    "text, says",
    [("{", "not JSON"), ('{"n_head": 3}', "n_head"), ("[1]", "object"), ('{"seed": "x"}', "seed takes int")],
)
def test_bad_files_are_named(tmp_path, text, says):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=says) as e:
        load_config(tmp_path / "c.json")
    assert "c.json" in str(e.value)


def test_files_that_are_not_there_or_no_text_are_named(tmp_path):
    (tmp_path / "c.json").write_bytes(b"\xff\xfe")
    for name in "c.json", "none.json":
        with pytest.raises(ConfigError, match=name):
            load_config(tmp_path / name)


def test_round_trip_through_json():
    assert from_dict(json.loads(json.dumps(to_dict(preset("debug"))))) == preset("debug")
    several = preset("debug", authors=("Sam", "Ada"), vocab_size=525)
    assert from_dict(json.loads(json.dumps(to_dict(several)))) == several


def test_paper_preset_is_the_published_recipe():
    c = preset("paper")
    shape = c.n_layer, c.n_embd, c.n_ctx_head, c.max_seq_length, c.num_words, c.batch_size, c.max_steps
    assert shape == (5, 64, 4, 1050, 4, 32, 125_000)
    assert len(ALPHABET) == len(set(ALPHABET)) == 71


# How to write


def test_their_names_are_ours():
    params = GenerationParams(sentence_line_width=4, letter_height=0.5, seed=3)
    assert (params.width, params.first_line, params.seed) == (100.0, 12.5, 3)
    params.sentence_line_height = 1
    params.word_space = 7.5
    assert (params.line_height, params.space_width) == (25.0, 0.3)
    for theirs, ours in ORIGINAL_NAMES.items():
        assert getattr(params, theirs) * CANVAS_HEIGHT == getattr(params, ours)
    assert isinstance(params, WritingOptions)


def test_their_lengths_are_canvas_heights_and_what_they_were():
    params = GenerationParams()
    usual = {name: getattr(params, name) for name in ORIGINAL_NAMES}
    assert usual == dict(
        sentence_line_width=8.0, sentence_line_height=0.6, space_width=0.16, letter_height=0.35
    )
    for name, value in usual.items():  # said or left open, they are the same
        given = GenerationParams(**{name: value})
        assert getattr(given, ORIGINAL_NAMES[name]) == pytest.approx(OPEN_LENGTHS[ORIGINAL_NAMES[name]])
    assert params.unevenness == 0 and WritingOptions().unevenness is None  # a little, but for learners


def test_their_names_are_checked_and_suggested_too():
    with pytest.raises(ConfigError, match="width must be above 0"):
        GenerationParams(sentence_line_width=0)
    with pytest.raises(ConfigError, match="word_space lies between"):
        GenerationParams().space_width = -1
    with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
        GenerationParams(temprature=1)
    with pytest.raises(AttributeError, match="Did you mean 'temperature'"):
        _ = GenerationParams().temprature
    assert not hasattr(WritingOptions(), "space_width")


def test_options_are_copied_and_stored_like_any_object():
    params = GenerationParams(sentence_line_width=4)
    for same in copy.copy(params), copy.deepcopy(params), pickle.loads(pickle.dumps(params)):
        assert same == params and same is not params and same.sentence_line_width == 4
    changed = dataclasses.replace(params, seed=2)
    assert type(changed) is GenerationParams and (changed.seed, changed.width) == (2, 100.0)
    assert dataclasses.asdict(params)["width"] == 100.0 and "width=100.0" in repr(params)


def test_a_margin_is_a_number_or_four():
    options = WritingOptions(margin="1,2,3,4")
    options.margin = 3
    assert options.margin == 3.0 and type(options.margin) is float
    with pytest.raises(ConfigError, match="margin takes float or str or None"):
        options.margin = [1, 2]
    with pytest.raises(ConfigError, match="margin"):
        options.margin = -1


def test_changes_make_other_options():
    for table in WritingOptions, GenerationParams:
        before = table(seed=1)
        after = with_changes(before, {"space_width": 0.2, "top_k": 5, "width": 3})
        assert (after.word_space, after.top_k, after.width, after.seed) == (5.0, 5, 3.0, 1)
        assert type(after) is table and before == table(seed=1)
        assert with_changes(before, {}) == before
        with pytest.raises(ConfigError, match="Did you mean 'temperature'"):
            with_changes(before, {"temprature": 1})
        with pytest.raises(ConfigError, match="top_p must be"):
            with_changes(before, {"top_p": 0})


# Signatures


def test_a_signature_shows_the_table_or_some_groups_of_it():
    def draw(words, width=1.0, **options):
        return words, width, options

    shown = inspect.signature(takes(Pen, "size")(draw))
    assert str(shown) == "(words, width=1.0, *, tip: float = 0.5)"
    whole = inspect.signature(takes(Pen)(draw)).parameters
    assert list(whole) == ["words", "width", "tip", "drops", "ink"]
    assert whole["ink"].default == "blue" and whole["drops"].annotation is int
    assert draw("so", ink="black") == ("so", 1.0, {"ink": "black"})


def test_presets_and_params_show_what_they_take():
    shown = inspect.signature(preset).parameters
    assert next(iter(shown)) == "name" and set(shown) - {"name"} == {f.name for f in fields(Config)}
    assert set(inspect.signature(GenerationParams).parameters) == {f.name for f in fields(WritingOptions)}


def test_what_the_page_exports_is_there():
    assert all(hasattr(config_module, name) for name in config_module.__all__)


# What functions take


@checks_arguments
def drawn(text: str, size: float = 1.0, many: int | None = None, to: str | os.PathLike = "a", **options):
    "Stands for a function of the package."
    return text


@pytest.mark.parametrize(
    "given, says",
    [
        (dict(text=None), "drawn() takes text as str, not None."),
        (dict(text=b"x"), "drawn() takes text as str, not b'x'."),
        (dict(text="a", size="big"), "drawn() takes size as float, not 'big'."),
        (dict(text="a", size=True), "drawn() takes size as float, not True."),
        (dict(text="a", many=2.5), "drawn() takes many as int or None, not 2.5."),
        (dict(text="a", to=3), "drawn() takes to as str or PathLike, not 3."),
    ],
)
def test_a_wrong_type_is_named_with_its_parameter(given, says):
    with pytest.raises(TypeError) as e:
        drawn(**given)
    assert str(e.value) == says


def test_names_that_no_file_has_are_refused():
    for name in "a\0b", "a\ud800":
        with pytest.raises(ConfigError, match="to names a file, and no file is called"):
            drawn("a", to=name)
    assert drawn("a", 2, np.int64(3), Path("a"), other=None) == "a"


PUBLIC = [getattr(cursivetransformer, name) for name in cursivetransformer.__all__]
# Some say it themselves, with what there is to choose from.
OWN = "restyle", "stroke_tokenizer"
FUNCTIONS = [f for f in PUBLIC if inspect.isfunction(f) and f.__name__ not in OWN]


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)
def test_every_function_of_the_front_page_says_which_parameter_is_wrong(function):
    parameters = inspect.signature(inspect.unwrap(function)).parameters.values()
    checked = [p for p in parameters if p.annotation is not p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    for parameter in checked:
        with pytest.raises(TypeError, match=f"{function.__name__}.*takes {parameter.name} as "):
            function(**{parameter.name: 1j})


@pytest.mark.parametrize(
    "value, says",
    [
        (True, "temperature takes float, not True."),
        ("warm", "temperature takes float, not 'warm'."),
        (float("nan"), "temperature must be above 0, and nan is not."),
        (10**400, "temperature must be above 0, and inf is not."),
    ],
)
def test_numbers_that_are_none_are_named(value, says):
    with pytest.raises(ConfigError) as e:
        WritingOptions(temperature=value)
    assert str(e.value) == says
    with pytest.raises(ConfigError, match="width takes float or None, not True"):
        GenerationParams(sentence_line_width=True)


def test_huge_integers_are_out_of_bounds():
    with pytest.raises(ConfigError, match="seed lies between 0 and .*, and 99999.*….* does not"):
        Config(seed=int("9" * 4000))
    with pytest.raises(ConfigError, match="a number of thousands of digits"):
        Config(seed=10**5000)


def test_a_flag_is_found_by_its_initials_and_its_beginning_and_never_is_itself():
    flags = ["--lr-decay", "--learning-rate", "--seed", "--temperature"]
    assert did_you_mean("--lr", flags) == " Did you mean '--learning-rate'?"
    assert did_you_mean("--temp", flags) == " Did you mean '--temperature'?"
    assert did_you_mean("--SEED", flags) == did_you_mean("seed", flags) == " Did you mean '--seed'?"
    assert did_you_mean("--seed", flags) == ""  # never itself


def test_a_name_that_is_empty_is_no_suggestion():
    assert did_you_mean("Tim", ["", "Tom"]) == " Did you mean 'Tom'?"
    assert did_you_mean("xyzzy", ["", "-", "a--b"]) == ""
