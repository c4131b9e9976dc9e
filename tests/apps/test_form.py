"""The form: every field it shows comes from the config, what it says is what it means, and its widgets show
what it knows. Passes under ipywidgets 7.7 and 8."""

import dataclasses
import math
import shlex

import ipywidgets
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cursivetransformer.apps.form import LEFT_OUT, ConfigForm, field_widget, form_fields, form_view, value_of
from cursivetransformer.config import PRESETS, Config, ConfigError, field_types, preset
from cursivetransformer.flags import config_parser, parse_config
from cursivetransformer.options import WritingOptions

FIELDS = [f for fields in form_fields().values() for f in fields]


def values_of(f):
    "Values that a field takes."
    types = field_types(f)
    m = f.metadata
    if m["choices"]:
        return st.sampled_from(m["choices"])
    if bool in types:
        return st.booleans()
    if int in types:
        return st.integers(m["low"], m["high"])
    if float in types:
        return st.floats(m["low"], m["high"])
    text = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1)
    text = text.filter(lambda s: s.strip() == s)
    if type(None) not in types:
        return text
    return st.none() | text.filter(lambda s: s.lower() != "none")


def test_all_fields_but_a_few_are_there_in_their_groups():
    there = {f.name for f in dataclasses.fields(Config) if f.metadata["group"] != "sizes"}
    assert {f.name for f in FIELDS} == there - {"preset", "sample_only", "wandb_api_key"}
    assert LEFT_OUT == ("preset", "sample_only", "wandb_api_key")
    assert all(f.metadata["group"] == group for group, fields in form_fields().items() for f in fields)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_code_and_command_mean_the_form(data):
    form = ConfigForm(data.draw(st.sampled_from([*PRESETS])))
    for f in data.draw(st.lists(st.sampled_from([f for f in FIELDS if f.name != "resume"]), max_size=6)):
        form.set(f.name, data.draw(values_of(f)))
    if form.complaints():  # only widths and heads can disagree
        with pytest.raises(ConfigError, match="n_embd"):
            form.config()
        return
    names = {"preset": preset}
    exec(form.to_code(), names)
    assert names["config"] == form.config()
    argv = shlex.split(form.to_command())
    assert argv[:2] == ["cursive", "train"] and parse_config(config_parser(), argv[2:]) == form.config()


def test_resuming_is_said_too():
    form = ConfigForm("debug", run_dir="runs/mine")
    form.set("resume", True)
    assert form.config().resume
    assert "resume=True" in form.to_code()
    assert form.to_command().endswith("--run-dir=runs/mine --resume=true")


@pytest.mark.parametrize(
    "name, value, says",
    [
        ("n_layer", 65, "n_layer lies between 1 and 64"),
        ("n_layer", "many", "n_layer takes int"),
        ("learning_rate", math.nan, "learning_rate"),
        ("schedule", "linaer", "Did you mean 'linear'"),
        ("n_layer", 2.5, "n_layer takes int"),
        ("augment", "perhaps", "true or false"),
        ("n_layer", "", "n_layer takes int"),
    ],
)
def test_what_is_wrong_is_said_and_forgotten_when_mended(name, value, says):
    form = ConfigForm("debug")
    before = form.values[name]
    form.set(name, value)
    assert says in form.complaints()[0] and form.values[name] == before
    with pytest.raises(ConfigError, match=name):
        form.config()
    form.set(name, before)
    assert form.complaints() == [] and form.config() == preset("debug")


def test_widths_that_do_not_go_together_are_told_before_a_model_is_made():
    form = ConfigForm("debug")
    form.set("n_embd", 48)
    assert "n_embd_context must equal n_embd" in form.complaints()[0]
    form.set("n_embd_context", 48)
    form.set("n_ctx_head", 5)
    assert "multiple of 2*n_ctx_head" in form.complaints()[0]
    form.set("n_ctx_head", 4)
    assert form.config().n_ctx_head == 4


def test_a_preset_keeps_what_was_given_and_drops_what_was_typed():
    form = ConfigForm("debug", dataset_name="embedded")
    form.set("seed", 3)
    form.begin("paper")
    assert form.config() == preset("paper", dataset_name="embedded")
    assert form.to_command() == "cursive train --preset=paper --dataset-name=embedded"
    with pytest.raises(ConfigError, match="papre"):
        form.begin("papre")


def inputs(view):
    rows = [row for page in view.children[2].children for row in page.children]
    widgets = [w for row in rows for w in row.children if not isinstance(w, ipywidgets.HTML)]
    return {w.description: w for w in widgets if isinstance(w, ipywidgets.ValueWidget)}


@pytest.mark.parametrize("name", PRESETS)
def test_the_view_shows_every_field_with_its_value_bounds_and_help(name):
    form = ConfigForm(name)
    view = form_view(form)
    shown = inputs(view)
    assert list(shown) == [f.name for f in FIELDS]
    titles = [view.children[2].get_title(i) for i in range(len(form_fields()))]
    assert titles == list(form_fields())
    for f in FIELDS:
        assert shown[f.name].value == ("" if form.values[f.name] is None else form.values[f.name])
        if f.metadata["low"] is not None:
            assert (shown[f.name].min, shown[f.name].max) == (f.metadata["low"], f.metadata["high"])
        if f.metadata["choices"]:
            assert tuple(shown[f.name].options) == f.metadata["choices"]
    page = " ".join(row.children[1].value for tab in view.children[2].children for row in tab.children)
    assert "Transformer blocks" in page and "joined by &#x27;+&#x27;" in page and "(1 to 64)" in page
    assert form.config() == preset(name)  # showing it changes nothing


def test_the_view_and_the_form_follow_each_other():
    form = ConfigForm("debug", dataset_name="embedded")
    view = form_view(form)
    top, wrong, _, pane = view.children
    chosen, code = top.children
    shown = inputs(view)
    shown["n_layer"].value = 5
    shown["wandb_entity"].value = "me"
    shown["augment"].value = False
    filled_in = preset("debug", dataset_name="embedded", n_layer=5, wandb_entity="me", augment=False)
    assert form.config() == filled_in
    shown["wandb_entity"].value = ""
    assert form.config().wandb_entity is None
    assert pane.value == ""
    code.value = True
    assert "n_layer=5" in pane.value and "--n-layer=5" in pane.value
    assert "wandb_entity" not in pane.value and "wandb-entity" not in pane.value
    shown["run_dir"].value = "runs/<b>"
    assert "runs/&lt;b&gt;" in pane.value and "<b>" not in pane.value
    shown["n_embd"].value = 50
    assert "n_embd_context must equal n_embd" in wrong.value and pane.value == "" and code.disabled
    chosen.value = "paper"
    assert wrong.value == ""
    assert shown["n_layer"].value == PRESETS["paper"]["n_layer"]
    assert shown["dataset_name"].value == "embedded"
    assert form.config() == preset("paper", dataset_name="embedded")


@pytest.mark.parametrize("f", dataclasses.fields(WritingOptions), ids=lambda f: f.name)
def test_every_option_of_writing_has_a_widget_too(f):
    widget = field_widget(f, f.default, label="here")
    assert widget.description == "here" and widget.value == ("" if f.default is None else f.default)
    assert value_of(WritingOptions, f.name, widget.value) == f.default


def test_a_field_that_does_not_exist_is_told():
    with pytest.raises(ConfigError, match="Did you mean 'n_layer'"):
        ConfigForm("debug").set("n_layers", 3)
