"""No ink is lost on the collection page: ways back, windows, storage that fails, pointers that stop."""

import json

import numpy as np
import pytest
from collect_screen import drawn, line, write
from data_cases import ITEM

from cursivetransformer.apps.collect import serve
from cursivetransformer.data.banks import load_bank


def named(text, author="me"):
    return {**ITEM, "metadata": {**ITEM["metadata"], "asciiSequence": text, "author": author}}


# Order


def test_next_with_ink_in_the_box_has_two_ways_back(screen):
    screen.own_text("one two three")
    screen.draw(line())
    screen.page.keyboard.press("n")
    assert screen.prompt() == "two" and screen.ink() == 0
    screen.said("“one” keeps its ink")
    screen.click("Undo that")
    assert screen.prompt() == "one" and screen.ink() == 1
    screen.click("Next")
    screen.draw(line(0.3), line(0.5))
    screen.click("Previous")
    assert screen.prompt() == "one" and screen.ink() == 1
    assert screen.page.get_by_role("button", name="Previous").is_disabled()
    screen.page.keyboard.press("n")
    assert screen.prompt() == "two" and screen.ink() == 2
    screen.page.keyboard.press("n")
    screen.page.keyboard.press("p")
    screen.page.keyboard.press("p")
    assert screen.prompt() == "one" and screen.ink() == 1
    screen.page.reload()
    screen.said("still in the box")
    screen.click("Next")
    assert screen.prompt() == "two" and screen.ink() == 2


def test_redrawing_and_asking_come_back_to_what_they_interrupted(screen):
    screen.own_text("one two")
    first = screen.add()
    screen.draw(line(0.3), line(0.5))
    screen.page.keyboard.press("r")
    assert screen.text("#lead") == "Redraw" and screen.prompt() == first and screen.ink() == 0
    screen.draw(*drawn(first, x=0.6))
    screen.click("Replace")
    screen.said(f"Replaced “{first}”")
    assert screen.prompt() == "two" and screen.ink() == 2
    screen.page.locator("#characters").get_by_role("button", name="Z, 0 examples", exact=True).click()
    assert "Z" in screen.prompt() and screen.ink() == 0
    screen.page.keyboard.press("Escape")
    assert screen.prompt() == "two" and screen.ink() == 2 and screen.text("#lead") == "Write"
    screen.page.keyboard.press("r")
    screen.draw(line())
    screen.click("Leave as it was")
    screen.click("Undo that")  # the ink that was left
    assert screen.text("#lead") == "Redraw" and screen.ink() == 1
    screen.page.reload()
    screen.said("still in the box")
    assert screen.text("#lead") == "Redraw" and screen.ink() == 1


def test_the_last_add_can_be_undone_and_done_again(screen, tmp_path):
    screen.own_text("one two")
    text = screen.add()
    before = json.loads(screen.export(tmp_path).read_text())
    count = len(drawn(text))
    screen.page.keyboard.press("z")
    screen.said("back in the box")
    assert screen.prompt() == text and screen.ink() == count and screen.words() == []
    screen.page.keyboard.press("z")
    assert screen.ink() == count - 1
    screen.page.keyboard.press("y")
    screen.page.keyboard.press("Control+Shift+z")
    screen.said("Done again")
    assert screen.words() == [text] and screen.prompt() == "two"
    assert json.loads(screen.export(tmp_path).read_text()) == before
    screen.click("Undo")
    screen.draw(line())
    assert screen.page.get_by_role("button", name="Redo", exact=True).is_disabled()


def test_a_double_click_on_add_answers_no_warning(screen):
    screen.own_text("it so")
    screen.draw(drawn("it")[0])
    screen.page.get_by_role("button", name="Add", exact=True).dblclick()
    screen.said("takes 3 strokes at least")
    assert screen.text("#add") == "Add anyway" and screen.words() == []
    screen.click("Add anyway")
    screen.said("Added “it”")
    screen.draw(*drawn("so"))
    screen.page.get_by_role("button", name="Add", exact=True).dblclick()
    screen.said("Added “so”")
    assert screen.words() == ["it", "so"]


# Pointers


def test_a_pen_up_that_nobody_saw_keeps_the_ink_and_locks_nothing(screen):
    play = """(type, more) => document.getElementById("pad").dispatchEvent(
      new PointerEvent(type, {button: 0, buttons: 1, pointerId: 7, pointerType: "pen", ...more}))"""
    box = screen.page.locator("#pad").bounding_box()

    def send(kind, x, y, **more):
        place = {"clientX": box["x"] + x * box["height"], "clientY": box["y"] + y * box["height"], **more}
        screen.page.evaluate(f"([type, more]) => ({play})(type, more)", [kind, place])

    send("pointerdown", 0.3, 0.5)
    send("pointermove", 0.3, 0.65)
    send("pointerdown", 0.6, 0.5, pointerId=8)  # another pen, before the first was seen to leave
    send("pointermove", 0.6, 0.65, pointerId=8)
    assert screen.ink() == 2
    send("pointermove", 0.9, 0.4, pointerId=8, buttons=0)  # it hovers: it must have been lifted
    assert screen.page.locator("#done path").count() == 2
    screen.draw(line(0.9))  # and the mouse still writes
    assert screen.page.locator("#done path").count() == 3
    send("pointerdown", 1.2, 0.5)
    send("pointermove", 1.2, 0.65)
    send("pointercancel", 1.2, 0.65)
    assert screen.page.locator("#done path").count() == 4


def test_the_palm_before_the_first_pen_leaves_nothing(screen):
    screen.draw([(0.9, 0.7), (0.91, 0.7)], kind="touch")
    assert screen.ink() == 1
    screen.draw(line(0.5), kind="pen")
    assert screen.ink() == 1 and screen.page.locator("#ink path").get_attribute("d").startswith("M0.5")
    screen.click("Undo")
    screen.click("Undo")  # in case it was a dot after all
    assert screen.ink() == 1


def test_whole_pixels_become_a_smooth_line(screen, tmp_path):
    screen.page.set_viewport_size(
        {"width": 700, "height": 700}
    )  # a small box: a pixel is 0.006 canvas heights
    screen.own_text("l")
    box = screen.page.locator("#pad").bounding_box()
    scale = box["height"]
    x, y = 0.3 + 0.08 * np.linspace(0, 1, 60), 0.4 + 0.25 * np.linspace(0, 1, 60) ** 2
    pixels = [(round(box["x"] + a * scale), round(box["y"] + b * scale)) for a, b in zip(x, y)]
    screen.draw([((a - box["x"]) / scale, (b - box["y"]) / scale) for a, b in pixels])
    screen.click("Add")
    screen.said("Added")
    points = np.array(json.loads(screen.export(tmp_path).read_text())[0]["points"])[:-1]
    ink = points[:, :2] * [6, 1]
    turns = np.diff(np.unwrap(np.arctan2(*np.diff(ink, axis=0).T)))
    assert np.abs(turns).max() < 0.35  # radians; a staircase of pixels has 0.8
    curve = np.column_stack([x, y])
    assert (
        np.hypot(*(ink[:, None] - curve[None]).T).min(0).max() < 1.2 / scale
    )  # and it goes where the hand went


# Windows


def test_undo_in_one_window_leaves_what_another_added(screens, tmp_path):
    first = screens()
    first.own_text("one two three four")
    mine = first.add()
    second = screens(beside=first)
    theirs = second.add()
    first.until("document.querySelectorAll('#words li').length === 2")  # it is told
    first.page.keyboard.press("z")
    first.said("back in the box")
    second.until("document.querySelectorAll('#words li').length === 1")
    assert first.words() == second.words() == [theirs] and mine != theirs
    first.offer(write(tmp_path / "other.json", [named("five")]))
    first.click("Replace mine")
    first.said("Replaced by 1 word")
    second.until("document.querySelector('#words .look').ariaLabel === 'Look at five'")
    more = second.add()
    first.until("document.querySelectorAll('#words li').length === 2")
    first.click("Undo that")
    first.said("as it was")
    assert first.words() == [theirs, more]


def test_every_window_has_a_draft_of_its_own(screens):
    first = screens()
    first.draw(line())
    second = screens(beside=first)
    assert second.ink() == 0  # the first is still open
    second.draw(line(0.3), line(0.5))
    second.click("Clear")
    second.draw(line(0.3), line(0.5), line(0.7))
    first.page.reload()
    first.said("still in the box")
    assert first.ink() == 1
    second.page.reload()
    second.said("still in the box")
    assert second.ink() == 3
    first.page.close()
    third = screens(beside=second)  # what the closed window left
    third.said("still in the box")
    assert third.ink() == 1 and second.ink() == 3


# Storage


def test_a_full_disk_keeps_words_in_memory_until_there_is_room(screen, tmp_path):
    screen.page.evaluate("""() => {
      const {put} = IDBObjectStore.prototype;
      IDBObjectStore.prototype.put = () => { throw new DOMException("full", "QuotaExceededError"); };
      window.makeRoom = () => { IDBObjectStore.prototype.put = put; };
    }""")
    text = screen.add()
    screen.said("this browser has no room left")
    assert "export before you close it" in screen.text("#kept") and screen.words() == [text]
    assert [w.text for w in load_bank(str(screen.export(tmp_path))).words] == [text]
    screen.draw(line())
    screen.page.evaluate("makeRoom()")
    screen.said("There is room again")
    assert screen.text("#kept").startswith("in this browser")
    screen.page.reload()
    screen.said("still in the box")
    assert screen.words() == [text] and screen.ink() == 1


def test_a_database_that_never_answers_does_not_stop_the_page(screens, tmp_path, chromium):
    context = chromium.new_context()
    context.add_init_script("IDBFactory.prototype.open = () => new EventTarget()")
    from collect_screen import Screen

    screen = Screen(context.new_page()).open()
    text = screen.add()
    assert "export before you close it" in screen.text("#kept")
    assert [w.text for w in load_bank(str(screen.export(tmp_path))).words] == [text] and screen.errors == []
    context.close()


def test_a_hundred_thousand_prompts_stay_quick(screen, tmp_path):
    words = [f"{a}{b}" for a in "bcdfghjklm" for b in range(10_000)]
    screen.page.select_option("#source", "file")
    screen.choose("Choose a text or JSON file…", write(tmp_path / "many.txt", "\n".join(words)))
    screen.said("100,000 words to write")
    screen.page.evaluate("""() => {
      const {gain} = Coverage.prototype;
      window.weighed = 0;
      Coverage.prototype.gain = function (text) { window.weighed++; return gain.call(this, text); };
    }""")
    seen = set()
    for _ in range(5):
        screen.page.keyboard.press("n")
        seen.add(screen.prompt())
    # All weighed would take seconds. Where a character is missing, words that have it are among them.
    assert len(seen) == 5 and 0 < screen.page.evaluate("weighed") <= 5 * 2 * 4000
    assert all(any(c in word for c in "0123456789") for word in seen)
    screen.page.reload()
    screen.page.wait_for_selector("#prompt:not(:empty)")
    assert "100,000 words" in screen.page.locator("#file-name").inner_text()


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("latin.txt", "caf\xe9 \xfcber".encode("latin-1"), ["café", "über"]),
        ("utf16.txt", "so é".encode("utf-16"), ["so", "é"]),
        ("notes.txt", b"[Chorus]\nso it", ["[Chorus]", "so", "it"]),
        ("apart.txt", "cafe\u0301".encode(), ["café"]),
        ("list.txt", b'["so", "it"]', ["so", "it"]),
    ],
)
def test_prompt_lists_as_people_have_them(screen, tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    screen.page.select_option("#source", "file")
    screen.page.select_option("#order", "listed")
    screen.choose("Choose a text or JSON file…", tmp_path / name)
    screen.said(f"to write from {name}")
    seen = []
    for _ in words:
        seen.append(screen.prompt())
        screen.click("Next")
    assert seen == words


# Whose hand


def test_the_name_is_asked_for_before_the_first_word(screens, tmp_path):
    screen = screens()
    screen.page.fill("#author", "")
    screen.page.evaluate("indexedDB.deleteDatabase('cursive-collect')")
    fresh = screens(name="")
    fresh.said("Type your name first")
    text = fresh.prompt()
    fresh.draw(*drawn(text))
    fresh.click("Add")
    fresh.said("every word is kept under it")
    assert fresh.page.evaluate("document.activeElement.id") == "author" and fresh.words() == []
    fresh.page.keyboard.type("(unnamed)\n")
    fresh.click("Add")
    assert fresh.words() == []
    fresh.page.fill("#author", "  Ada  Lovelace ")
    fresh.page.keyboard.press("Enter")
    fresh.click("Add")
    fresh.said(f"Added “{text}”")
    assert {w.author for w in load_bank(str(fresh.export(tmp_path))).words} == {"Ada Lovelace"}


def test_another_name_renames_the_hand_or_is_another_hand(screen, tmp_path):
    def rename(name):
        screen.page.fill("#author", name)
        screen.page.keyboard.press("Enter")

    def authors():
        return [i["metadata"]["author"] for i in json.loads(screen.export(tmp_path).read_text())]

    for _ in range(2):
        screen.add()
    rename("Ada")
    screen.said("2 words of me are Ada’s now")
    assert authors() == ["Ada", "Ada"]
    rename("Eve")
    screen.click("No, Eve is another hand")
    screen.said("stay Ada’s")
    assert screen.text("#coverage-summary").startswith("0 of 70 characters by Eve")  # each hand by itself
    screen.add()
    assert authors() == ["Ada", "Ada", "Eve"]
    rename("Ada")
    screen.said("Ada has 2 words here already")
    assert authors() == ["Ada", "Ada", "Eve"] and not screen.text("#coverage-summary").startswith("0")
    rename("Bob")
    screen.click("Undo that")
    screen.said("as it was")
    assert authors() == ["Ada", "Ada", "Eve"] and screen.page.input_value("#author") == "Ada"


def test_an_imported_hand_keeps_its_name(screen, tmp_path):
    path = write(tmp_path / "ada.json", [named("one", "Ada"), named("two", "")])
    screen.offer(path)
    assert "Whose hand are they?" in screen.text("#importer-name")
    screen.page.fill("#importer-author", "Ada")
    screen.click("Add to mine")
    screen.said("Added 2 words")
    assert screen.page.input_value("#author") == "Ada"
    screen.add()
    items = json.loads(screen.export(tmp_path).read_text())
    assert {i["metadata"]["author"] for i in items} == {"Ada"}


# With a server


def test_the_reader_says_when_ink_says_another_word(screens, tmp_path):
    from cursivetransformer.ink.points import strokes

    ink = {w.text: w for w in load_bank("embedded").words}
    page = serve(tmp_path / "mine.json")
    screen = screens(url=page.url)
    screen.own_text("there which")

    def draw(text):
        lines = [s + [0.4, 0.65] for s in strokes(ink[text].points)]
        screen.draw(*[s[::3].tolist() + [s[-1].tolist()] for s in lines])

    draw("there")
    screen.click("Add")
    screen.said("Added “there”")
    draw("about")
    screen.click("Add")
    if screen.text("#add") == "Add anyway":
        screen.click("Add anyway")
    screen.said("“which” reads as “")
    assert screen.page.locator("#words .doubt").count() == 1 and len(screen.words()) == 2
    screen.click("Undo that")
    screen.said("back in the box")
    assert screen.words() == ["there"]
    page.close()


def test_a_server_that_comes_back_is_found_again(screens, tmp_path):
    page = serve(tmp_path / "mine.json")
    screen = screens(url=page.url)
    text = screen.add()
    page.close()
    screen.draw(*drawn(screen.prompt()))
    screen.click("Add")
    screen.said("cursive collect has ended")
    assert "cannot be reached" in screen.text("#kept") and screen.ink() > 0
    again = serve(tmp_path / "mine.json", port=page.port)
    again.token = page.token
    screen.draw(line(1.5))
    screen.said("can be reached again")
    screen.errors.clear()  # the browser reports that nobody answered
    assert screen.words() == [text] and screen.text("#kept") == "in mine.json"
    again.close()
