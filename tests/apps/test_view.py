"""The views: a page to click and plain buttons show a desk, and hand on what was clicked. Passes under
ipywidgets 7.7, Colab's, and 8."""

import sys
import types

import numpy as np
import pytest

from cursivetransformer.apps.desk import Desk
from cursivetransformer.apps.view import (
    ButtonView,
    ClickView,
    clickable_page,
    describe_page,
    page_svg,
    page_view,
)
from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import INK
from cursivetransformer.ink.points import Word


def no_call(*_):
    raise AssertionError("nothing was clicked")


@pytest.fixture
def word():
    return Word('a"b', np.array([[0.0, 0, 1], [0.2, -0.2, 1], [0.2, -0.2, 0]]))


def test_paper_has_its_own_colour_and_text_is_escaped(word):
    page = describe_page([word])
    view = page_view(False, no_call, no_call)
    view.show(Desk().sheet, page, [])
    assert "background:#fffdf8" in view.picture.value and 'aria-label="a&quot;b"' in view.picture.value
    (x, _, width, _), shape = page["box"], page["words"][0]
    left, _, wide, _ = shape["box"]
    assert x < left and left + wide < x + width and shape["path"].startswith("M")


def test_an_empty_page_is_no_picture():
    assert page_svg(describe_page([])) == ""


def test_the_same_colours_in_both_views():
    style = clickable_page()._css
    assert f"--cursive-ink: {INK}; --cursive-paper: #fffdf8; --cursive-mark: #d9730d;" in style
    used = {part.split(")")[0] for part in style.split("var(")[1:] if part.startswith("--cursive")}
    assert used == {"--cursive-ink", "--cursive-paper", "--cursive-mark"}


def test_without_anywidget_there_are_buttons(monkeypatch):
    clickable_page.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    assert isinstance(page_view(None, no_call, no_call), ButtonView)
    with pytest.raises(CursiveError, match=r"pip install 'cursivetransformer\[widgets\]'"):
        page_view(True, no_call, no_call)
    monkeypatch.undo()
    assert isinstance(page_view(None, no_call, no_call), ClickView)


def test_colab_is_asked_to_show_custom_widgets(monkeypatch):
    asked = []
    output = types.SimpleNamespace(enable_custom_widget_manager=lambda: asked.append(1))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(output=output))
    clickable_page.__wrapped__()
    assert asked
