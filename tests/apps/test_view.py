"""The views: a page to click and plain buttons show a desk, and hand on what was clicked. Passes under
ipywidgets 7.7, Colab's, and 8."""

import json
import os
import random
import subprocess
import sys
import types

import numpy as np
import pytest
from conftest import ROOT
from front_end import BODY, STATE, FrontEnd, open_view
from panel_session import without_model

from cursivetransformer.apps import desk as desk_module
from cursivetransformer.apps.desk import Desk, WritingDesk
from cursivetransformer.apps.panel import WritingApp
from cursivetransformer.apps.view import (
    ButtonView,
    ClickView,
    clickable_page,
    describe_page,
    page_svg,
    page_view,
)
from cursivetransformer.config import CursiveError
from cursivetransformer.ink.curves import INK, on_page
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.svg import path_data
from cursivetransformer.writing.reader import load_reader


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


# In a browser


@pytest.fixture
def browser_page(chromium):
    context = chromium.new_context(viewport=dict(width=900, height=700))
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


def session(seed: int, steps: int = 30) -> dict:
    "What a session with the panel sent to the browser, in a process of its own."
    command = [sys.executable, str(ROOT / "tests/panel_session.py"), str(seed), str(steps)]
    env = {**os.environ, "PYTHONHASHSEED": str(seed), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


LOOKS = """() => [...document.querySelectorAll(".cursive-word")].map(
  word => [word.querySelector("path").getAttribute("d"), word.getAttribute("aria-pressed") === "true"])"""


def check_replay(page, seed: int, order=lambda update: [update]):
    "Whether after each step the page that is shown is the page that would be saved."
    said = session(seed)
    errors = open_view(page, said["first"])
    for number, step in enumerate(said["steps"]):
        for update in step["updates"]:
            for part in order(update):
                page.evaluate("update => window.receive(update)", part)
        expected = [[d, i in step["marks"]] for i, d in enumerate(step["ink"])]
        assert page.evaluate(LOOKS) == expected, (number, step["what"])
        assert not errors, (number, step["what"], errors)


@pytest.mark.parametrize("seed", [1, 2, *(pytest.param(s, marks=pytest.mark.slow) for s in (3, 5, 8, 13))])
def test_the_page_shown_is_the_page_saved_in_every_hash_seed(browser_page, seed):
    check_replay(browser_page, seed)


def test_the_parts_of_a_state_may_come_in_any_order_and_one_by_one(browser_page):
    dice = random.Random(7)

    def torn(update):
        parts = [{name: value} for name, value in update.items()]
        dice.shuffle(parts)
        return parts

    check_replay(browser_page, 21, torn)


def test_a_shorter_text_with_a_word_marked_is_what_is_seen(browser_page, default):
    "As it was first seen to fail: seven words stayed where two had been written."
    app = WritingApp("many a brave soul did it send", WritingDesk(default), clickable=True)
    front = FrontEnd(browser_page, app)
    for text, count in [("many a brave soul did it send", 7), ("Sing goddess", 2)]:
        app.controls["text"].value = text
        app.controls["write"].click()
        front.settle()
        assert len(front.paths()) == count
        front.word(count - 1).click()
        front.settle()
        assert front.marked() == [count - 1]
    for count in 7, 0:
        if not app.controls["undo"].disabled:
            app.controls["undo"].click()
            front.settle()
            assert front.paths() == [path_data(on_page(word)) for word in app.desk.picture]
            assert count == 0 or len(front.paths()) == count


@pytest.fixture
def front(browser_page, zigzags):
    "A page of very many words in a browser; the reader finds all of them right."
    reader = load_reader()
    reader.judge = lambda inks, texts: (texts, np.ones(len(texts)))
    app = WritingApp("", WritingDesk(reader=reader), clickable=True)
    app.controls["text"].value = "many a brave soul did it send hurrying down to Hades " * 20
    app.controls["write"].click()
    front = FrontEnd(browser_page, app)
    front.settle()
    return front


@pytest.fixture
def zigzags(monkeypatch):
    "A desk that draws without a model."
    for name in "generate_words", "draw_words":
        monkeypatch.setattr(desk_module, name, getattr(desk_module, name))
    without_model()


def box(locator) -> dict:
    found = locator.bounding_box()
    return dict(found, bottom=found["y"] + found["height"], right=found["x"] + found["width"])


@pytest.mark.parametrize("index", [5, 160, 219])
def test_candidates_open_beside_the_word_that_was_clicked(front, index):
    word = front.word(index)
    word.scroll_into_view_if_needed()
    word.click()
    offer = front.page.locator(".cursive-offer")
    assert "Other drawings are being made" in offer.inner_text()  # at once
    assert front.marked() == [index]
    front.settle()
    assert offer.locator("[data-number]").count() == 4
    offered = box(offer)
    clicked = box(word)
    assert 0 <= offered["y"] - clicked["bottom"] < 40
    others = [box(front.word(i)) for i in range(max(0, index - 12), min(220, index + 13))]
    assert all(o["bottom"] <= offered["y"] or o["y"] >= offered["bottom"] for o in others)  # hides no word
    assert offered["x"] <= clicked["right"] and offered["right"] >= clicked["x"]
    assert offered["bottom"] <= box(front.page.locator(".cursive-paper"))["bottom"]
    assert 0 <= offered["y"] and offered["bottom"] <= 700  # seen without scrolling
    before = front.paths()
    offer.locator("[data-number]").nth(2).click()
    front.settle()
    assert [i for i, (a, b) in enumerate(zip(before, front.paths())) if a != b] == [index]
    assert offer.locator("[aria-pressed=true]").get_attribute("data-number") == "2"
    assert front.marked() == []


def test_a_word_opens_is_marked_and_unmarked(front):
    for index in 3, 4:
        front.word(index).click()
        front.settle()
    assert front.marked() == [3, 4]
    front.word(3).click()  # opens again what was found for it
    front.settle()
    assert front.marked() == [3, 4] and front.word(3).get_attribute("aria-expanded") == "true"
    front.word(3).click()
    front.settle()
    assert front.marked() == [4] and not front.page.locator(".cursive-offer").is_visible()
    front.word(4).click()
    front.page.locator(".cursive-close").click()
    front.settle()
    assert front.marked() == [4] and not front.page.locator(".cursive-offer").is_visible()


def test_what_came_marked_is_asked_for_when_it_is_looked_at(front):
    front.app.controls["words"].value = "1, 2, 3, 4, 5"  # more than have candidates drawn unasked
    front.settle()
    assert 5 not in front.app.desk.offers
    front.word(5).click()
    front.settle()
    assert front.page.locator(".cursive-offer [data-number]").count() == 4
    assert front.marked() == [1, 2, 3, 4, 5]


def test_after_undo_a_word_that_is_marked_opens_again(front):
    front.word(3).click()
    front.settle()
    front.app.controls["respell"].click()
    front.settle()
    assert front.page.locator(".cursive-offer").is_visible() and front.marked() == []
    front.app.controls["undo"].click()
    front.settle()
    assert not front.page.locator(".cursive-offer").is_visible() and front.marked() == [3]
    front.word(3).click()
    assert front.page.locator(".cursive-offer").is_visible()  # at once
    front.settle()
    assert front.page.locator("[data-number]").count() == 4 and front.marked() == [3]


def test_two_clicks_before_python_hears_of_the_first(front):
    for index in 3, 4, 4:
        front.word(index).click()
    assert front.marked() == [3]
    front.settle()
    assert front.marked() == [3] and front.app.desk.sheet.marks == {3}


def test_a_click_on_a_page_that_is_gone_marks_nothing(front):
    front.word(2).click()  # on its way
    front.app.controls["text"].value = "Sing, O goddess, the anger"
    front.app.controls["write"].click()
    front.settle()
    assert front.marked() == [] and len(front.paths()) == 5


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.slow), pytest.param(3, marks=pytest.mark.slow)]
)
def test_clicks_and_keys_in_any_order_end_in_the_page_of_the_desk(browser_page, zigzags, seed):
    "Some are heard at once, some only after others were made on what the browser still shows."
    dice = random.Random(seed)
    app = WritingApp("", clickable=True)
    front = FrontEnd(browser_page, app)

    def press(name: str, text: str = ""):
        app.controls["text"].value = text or app.controls["text"].value
        if not app.controls[name].disabled:
            app.controls[name].click()

    def click(selector: str):
        there = browser_page.locator(selector)
        if there.count():
            there.nth(dice.randrange(min(there.count(), 12))).dispatch_event("click", dict(bubbles=True))

    acts = [
        lambda: press(
            "write", dice.choice(["many a brave soul", "Sing", "many a brave soul did it send " * 4])
        ),
        lambda: press("undo"),
        lambda: press("respell"),
        lambda: click(".cursive-word"),
        lambda: click(".cursive-word"),
        lambda: click("[data-number]"),
        lambda: browser_page.keyboard.press(dice.choice(["Tab", "Enter", "Escape", "ArrowRight", "End"])),
    ]
    press("write", "many a brave soul did it send hurrying")
    for _ in range(40):
        dice.choice(acts)()
        if dice.random() < 0.6:
            front.settle()
            assert front.paths() == [path_data(on_page(word)) for word in app.desk.picture]
            assert front.marked() == sorted(app.desk.sheet.marks)


def test_everything_can_be_done_by_keyboard(front):
    page = front.page
    focused = "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
    page.get_by_text("before").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "0 many"
    for key, name in [
        ("ArrowRight", "1 a"),
        ("End", "219 Hades"),
        ("Home", "0 many"),
        ("ArrowRight", "1 a"),
        ("ArrowRight", "2 brave"),
    ]:
        page.keyboard.press(key)
        assert page.evaluate(focused) == name
    page.keyboard.press("ArrowDown")
    below = page.evaluate("document.activeElement.dataset.index")
    assert box(front.word(below))["y"] > box(front.word(2))["y"] + 20
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    front.settle()
    assert page.evaluate(focused).startswith("0 many") and front.marked() == [0]
    assert page.locator("[role=status]").inner_text() == "4 drawings of word 0 many"
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate(focused).startswith("drawing 2 of 4")
    before = front.paths()
    page.keyboard.press("Enter")
    front.settle()
    assert front.paths() != before
    assert page.evaluate(focused).endswith("on the page")  # where it was
    page.keyboard.press("Escape")
    assert page.evaluate(focused).startswith("0 many")
    assert not page.locator(".cursive-offer").is_visible()
    page.keyboard.press("Tab")
    assert page.evaluate(focused) == "after"


def test_sliders_have_names(browser_page):
    "As the sliders of ipywidgets 8 and 7, which have none."
    sliders = ""
    for handle in 'class="noUi-handle" role="slider" aria-valuenow="5"', 'class="ui-slider-handle"':
        sliders += f"""<div class="widget-hslider"><label class="widget-label">slant</label>
            <div class="slider"><span tabindex="0" {handle}></span></div>
            <div class="widget-readout" contenteditable="true">0.50</div></div>"""
    view = '<div id="view"></div>'
    body = BODY.replace(view, f'<div class="cursive-panel">{view}{sliders}</div>')
    state = {name: value for name, value in clickable_page()().get_state().items() if name in STATE}
    assert not open_view(browser_page, state, body)
    named = browser_page.get_by_role("slider", name="slant")
    named.nth(1).wait_for(state="attached")
    assert named.count() == 2
    assert browser_page.get_by_role("textbox", name="slant, as a number").count() == 2
    assert [slider.get_attribute("aria-valuenow") for slider in named.all()] == ["5", "0.50"]
