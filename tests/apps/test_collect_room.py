"""The collection page for fingers, for readers of screens, and what it says about a drawing."""

import json
import re

import numpy as np
import pytest
from collect_screen import PAGE, drawn, line, write
from data_cases import ITEM

from cursivetransformer.data.banks import load_bank

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def x_height(screen):
    "Of small letters, in CSS pixels."
    return screen.page.evaluate("""() => {
      const pad = document.getElementById("pad");
      const height = Number(pad.getAttribute("viewBox").split(" ")[3]);
      return 0.12 * pad.getBoundingClientRect().height / height;
    }""")


def turn(screen, width, height):
    screen.page.set_viewport_size({"width": width, "height": height})
    screen.until(f"innerWidth === {width} && document.getElementById('paper').clientWidth <= {width}")
    screen.page.wait_for_timeout(100)


def put_on(screen, lines, kind="touch"):
    "Draw in full screen, where the box does not show the canvas from its top: in canvas heights."
    view = screen.page.locator("#pad").get_attribute("viewBox").split()
    top, height = (float(view[i]) for i in (1, 3))
    for points in lines:
        screen.stroke([(x / height, (y - top) / height) for x, y in points], kind)


@pytest.mark.parametrize("size", [(390, 844), (360, 640), (844, 390), (568, 320)])
def test_full_screen_gives_a_finger_room(screens, size):
    width, height = size
    screen = screens(**{**PHONE, "viewport": {"width": width, "height": height}})
    screen.click("Full screen")
    assert x_height(screen) >= 48
    for _ in range(5):  # whatever is asked for has room beforehand
        view = [float(v) for v in screen.page.locator("#pad").get_attribute("viewBox").split()]
        assert (
            0.16 * len(screen.prompt()) + 0.2 <= view[2] + 1e-6 and view[1] < 0.4 and view[1] + view[3] > 0.84
        )
        screen.click("Next")
    turn(screen, height, width)
    assert x_height(screen) >= 48
    inside = """[...document.querySelectorAll('.full .tools button, .full #pad')]
      .filter(e => !e.hidden).map(e => e.getBoundingClientRect())
      .every(r => r.left >= 0 && r.right <= innerWidth && r.bottom <= innerHeight + 1)"""
    assert screen.page.evaluate(inside)
    screen.click("Leave full screen")
    assert screen.page.locator("#write.full").count() == 0


def test_what_is_written_in_full_screen_is_what_is_kept(screens, tmp_path):
    screen = screens(**PHONE)
    screen.own_text("so")
    screen.click("Full screen")
    put_on(screen, drawn("so"))
    screen.click("Add")
    screen.said("Added “so”")
    screen.click("Leave full screen")
    (item,) = json.loads(screen.export(tmp_path).read_text())
    points = np.array(item["points"]) * [6, 1, 1]
    np.testing.assert_allclose([points[:, 1].min(), points[:, 1].max()], [0.55, 0.65], atol=0.01)


def test_turning_keeps_the_ink_and_asks_for_longer_words(screens):
    screen = screens(**PHONE)
    screen.own_text("so acknowledge it")
    screen.click("Full screen")
    put_on(screen, [line(0.3)])
    turn(screen, 844, 390)
    assert screen.ink() == 1 and x_height(screen) >= 48
    turn(screen, 390, 844)
    assert screen.ink() == 1 and screen.prompt() == "so"
    screen.click("Next")
    assert screen.prompt() == "it" and "1 longer word passed over" in screen.text("#place")
    turn(screen, 844, 390)
    assert screen.prompt() == "it"


def test_several_words_stand_on_two_lines_and_become_words(screens, tmp_path):
    screen = screens(viewport={"width": 500, "height": 900})
    screen.own_text("so we own", many=3)
    assert screen.page.locator("#pad .writing-line").count() == 2
    height = float(screen.page.locator("#pad").get_attribute("viewBox").split()[3])
    below = [(x, y + 0.62) for x, y in drawn("own", 0.3)[0]]
    for points in drawn("so", 0.3) + drawn("we", 1.0) + [below]:
        screen.stroke([(x / height, y / height) for x, y in points])
    screen.click("Add")
    screen.said("Added “so”, “we”, “own”")
    words = load_bank(str(screen.export(tmp_path))).words
    assert [w.text for w in words] == ["so", "we", "own"]
    assert all(-0.12 < w.points[:, 1].min() < w.points[:, 1].max() < 0.01 for w in words)


def test_words_that_no_canvas_holds_are_refused_beforehand(screen, tmp_path):
    screen.page.select_option("#source", "file")
    screen.choose("Choose a text or JSON file…", write(tmp_path / "w.txt", "so " + "m" * 42))
    screen.said("1 word to write from w.txt. 1 more cannot be written here: longer than 41 characters")


def test_the_page_scrolls_outside_the_box(screens):
    screen = screens(**PHONE)
    actions = "id => getComputedStyle(document.getElementById(id)).touchAction"
    assert screen.page.evaluate(actions, "pad") == "none"
    assert screen.page.evaluate(actions, "paper") == screen.page.evaluate(actions, "write") == "auto"
    assert screen.page.evaluate("document.documentElement.scrollHeight > innerHeight")


# What is said about a drawing


@pytest.mark.parametrize("factor, says", [(0.3, "much smaller than the guides"), (2.4, "much larger than")])
def test_size_is_held_against_the_guides(screen, factor, says):
    screen.own_text("one")
    wave = [(x, 0.65 + (y - 0.65) * factor) for x, y in drawn("one")[0]]
    screen.draw(wave)
    screen.click("Add")
    screen.said(says)
    assert screen.words() == []


def test_a_word_unlike_the_rest_is_said(screen, tmp_path):
    words = [w for w in load_bank("embedded").words if w.text.isalpha()][:20]
    from cursivetransformer.data.banks import save_bank

    screen.offer(save_bank(words, tmp_path / "hersey.json"))
    screen.click("Add to mine")
    screen.said("Added 20 words")
    screen.own_text("none")
    wave = drawn("none")[0]
    screen.draw([(0.3 + 8 * (x - 0.3), y) for x, y in wave])
    screen.click("Add")
    screen.said("your other words")
    screen.click("Clear")
    screen.draw([(x + 0.8 * (y - 0.65), y) for x, y in wave])
    screen.click("Add")
    screen.page.locator("#message", has_text=re.compile("Added|other words")).wait_for()


# For everybody


def test_colours_of_the_reader_hide_nothing(screens):
    screen = screens(forced_colors="active")
    screen.draw(line())
    stroke = "s => getComputedStyle(document.querySelector(s)).stroke"
    ground = "getComputedStyle(document.querySelector('#paper')).backgroundColor"
    assert screen.page.evaluate(stroke, "#ink .ink") != screen.page.evaluate(ground)
    assert screen.page.evaluate(stroke, "#pad .writing-line") != screen.page.evaluate(ground)
    border = "getComputedStyle(document.getElementById('add')).borderTopWidth"
    assert screen.page.evaluate(border) == "2px"
    mark = "getComputedStyle(document.querySelector('#characters button'), '::after').forcedColorAdjust"
    assert screen.page.evaluate(mark) == "none"


def test_the_font_size_of_the_reader_holds(screen):
    before = screen.page.evaluate("parseFloat(getComputedStyle(document.querySelector('#place')).fontSize)")
    assert not re.search(r"font(-size)?: *\d+px", PAGE.read_text())
    screen.page.evaluate("document.documentElement.style.fontSize = '200%'")
    after = screen.page.evaluate("parseFloat(getComputedStyle(document.querySelector('#place')).fontSize)")
    assert after == 2 * before
    assert screen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_focus_stays_where_one_can_go_on(screen):
    screen.draw(line())
    screen.page.get_by_role("button", name="Undo", exact=True).focus()
    screen.page.keyboard.press("Enter")
    assert screen.ink() == 0 and screen.page.evaluate("document.activeElement.id") == "pad"
    text = screen.add()
    screen.page.get_by_role("button", name=f"Delete {text}", exact=True).click()
    screen.said("Deleted")
    assert screen.page.evaluate("document.activeElement.textContent") == "Undo that"
    screen.page.keyboard.press("Enter")
    screen.said("as it was")
    assert screen.page.evaluate("document.activeElement.id") == "pad"


def test_what_happens_is_announced(screen):
    spoken = screen.page.locator("#spoken")
    assert spoken.get_attribute("aria-live") == "polite"
    assert spoken.text_content() == f"Write {screen.prompt()}"
    screen.page.locator("#pad").focus()
    screen.page.keyboard.press("Space")
    assert spoken.text_content() == "Pen down."
    screen.page.keyboard.press("ArrowDown")
    screen.page.keyboard.press("Space")
    assert spoken.text_content() == "Pen up."
    screen.page.keyboard.press("n")
    assert spoken.text_content() == f"Write {screen.prompt()}"


def test_without_scripts_the_page_says_so(chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(PAGE.as_uri())
    page.get_by_text("This page needs its scripts and they do not run here").wait_for()
    page.get_by_text("cursive collect --lan").wait_for()
    context.close()


def test_files_are_chosen_by_an_input_that_is_in_the_document(screen, tmp_path):
    path = write(tmp_path / "one.json", [ITEM])
    assert screen.page.locator("body input[type=file]").count() == 1
    for _ in range(2):  # the same file twice is a change, too
        screen.offer(path)
        screen.click("Cancel")
