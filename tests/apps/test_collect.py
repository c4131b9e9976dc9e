"""The collection page in a real browser, with real pointers, and the command that serves it."""

import base64
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile

import numpy as np
import pytest
from collect_screen import PAGE, Screen, drawn, line, write
from conftest import CURSIVE, ROOT
from data_cases import BAD, ITEM

from cursivetransformer.apps.collect import BankFile, Conflict, serve
from cursivetransformer.cli import main
from cursivetransformer.config import ALPHABET, CursiveError
from cursivetransformer.data.banks import arrays_of_points, load_bank, parse_item
from cursivetransformer.ink.points import drawn_steps, strokes


def test_the_page_allows_its_own_script_and_nothing_else():
    text = PAGE.read_text()
    script = re.search("<script>(.*)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in text, f"Put this into the page: script-src 'sha256-{digest}'"
    assert "default-src 'none'" in text and len(re.findall("<script", text)) == 1
    assert "innerHTML" not in text and "eval(" not in text


def test_what_is_drawn_is_what_load_bank_reads(screen, tmp_path):
    word = next(w for w in load_bank("embedded").words if w.text == "time")
    lines = [s + [0.4, 0.65] for s in strokes(word.points)]
    screen.page.fill("#author", "Ada")
    screen.own_text("time")
    screen.draw(*[s[::2].tolist() + [s[-1].tolist()] for s in lines])  # half of the points: the page fills in
    screen.click("Add")
    screen.said("Added “time”")
    path = screen.export(tmp_path, "ada.json")
    assert screen.page.locator("#pad .writing-line").get_attribute("y1") == "0.65"
    (item,) = json.loads(path.read_text())
    points = item["points"]
    counts = {"pointCount": len(points), "strokeCount": len(lines)}
    assert item["metadata"] == {"author": "Ada", "asciiSequence": "time", **counts, "aspectRatio": 6}
    assert points[-1] == [*points[-2][:2], 0]
    assert all(round(v, 4) == v for p in points for v in p)
    (read,) = load_bank(str(path)).words
    ours = strokes(read.points)
    theirs = [s - lines[0][0, :1] * [1, 0] - [0, 0.65] for s in lines]
    assert [len(s) > 1 for s in ours] == [len(s) > 1 for s in theirs]
    for a, b in zip(ours, theirs):  # every point lies on the line that was drawn
        assert np.abs(a[:, None] - b[None]).sum(2).min(1).max() < 0.02
    heights = [[w.points[:, 1].min(), w.points[:, 1].max()] for w in (read, word)]
    np.testing.assert_allclose(*heights, atol=0.01)
    gaps = np.hypot(*drawn_steps(read.points).T)
    assert 0.009 < np.median(gaps) < 0.0115 and np.percentile(gaps, 95) < 0.012  # as the published banks


@pytest.mark.slow
def test_words_from_the_page_become_a_hand_that_writes(screen, cursive, tmp_path):
    bank = {w.text: w for w in load_bank("embedded").words if len(w.text) <= 4 and w.text.isalpha()}
    texts = list(bank)[:12]
    screen.page.fill("#author", "Ada")
    screen.own_text(" ".join(texts))
    for _ in texts:
        text = screen.prompt()
        lines = [s + [0.4, 0.65] for s in strokes(bank[text].points)]
        screen.draw(*[s[::3].tolist() + [s[-1].tolist()] for s in lines])
        screen.click("Add")
        screen.said(f"Added “{text}”")
    path = screen.export(tmp_path, "ada.json")
    told = cursive("data", path)
    assert told.returncode == 0, told.stderr
    assert "12, 12 different" in told.stdout and "Ada (12)" in told.stdout
    steps = ["--max-steps=2", "--log-every=2"]
    base = cursive("train", "--preset=debug", "--dataset-name=embedded", *steps, "--run-dir=base")
    assert base.returncode == 0, base.stderr
    hand = ["--checkpoint", "base", "--run-dir", "ada"]
    learned = cursive("clone", path, *hand, *steps, "--batch-size=2")
    assert learned.returncode == 0, learned.stderr
    assert "--author Ada" in learned.stdout
    hand = ["--checkpoint", "ada", "--author", "Ada"]
    written = cursive("write", "so it", *hand, "--no-respell", "-o", "ada.svg")
    assert written.returncode == 0, written.stderr
    assert "<path" in (tmp_path / "ada.svg").read_text()


@pytest.mark.parametrize("kind", ["mouse", "pen", "touch"])
def test_every_pointer_draws_the_same(screen, tmp_path, kind):
    screen.own_text("l")
    screen.draw(line(0.4, 0.45, 0.05, 0.2), kind=kind)
    screen.click("Add")
    screen.said("Added")
    points = np.array(json.loads(screen.export(tmp_path).read_text())[0]["points"])
    np.testing.assert_allclose(points[[0, -1]], [[0.4 / 6, 0.45, 1], [0.45 / 6, 0.65, 0]], atol=0.003)
    assert 19 <= len(points) <= 23


def test_a_tap_is_a_dot(screen, tmp_path):
    screen.own_text(".")
    screen.draw([(0.5, 0.65)])
    screen.click("Add")
    screen.said("Added")
    assert [p[2] for p in json.loads(screen.export(tmp_path).read_text())[0]["points"]] == [1, 0]


def test_fast_mice_lose_no_points_between_frames(screen):
    "What the browser merged into one event is taken apart again."
    screen.stroke([(0.3, 0.5)], up=False)
    screen.page.evaluate("""() => {
      const pad = document.getElementById("pad");
      const box = pad.getBoundingClientRect();
      const at = (x, y) => ({
        pointerId: 1, clientX: box.left + x * box.height, clientY: box.top + y * box.height
      });
      const moved = ([x, y]) => new PointerEvent("pointermove", at(x, y));
      pad.addEventListener("pointerdown", e => window.id = e.pointerId, {once: true});
      const parts = [[0.3, 0.7], [0.5, 0.7], [0.5, 0.5]].map(moved);
      pad.dispatchEvent(new PointerEvent("pointermove", {...at(0.5, 0.5), coalescedEvents: parts}));
    }""")
    low = max(float(p.split()[1]) for p in screen.page.locator("#ink path").get_attribute("d")[1:].split("L"))
    assert low > 0.69


def test_a_second_finger_a_palm_and_an_interrupted_stroke_draw_nothing(screen):
    screen.draw(line(), kind="touch")
    assert screen.ink() == 1
    screen.stroke(line(0.6), "touch", up=False)
    screen.cdp.send("Input.dispatchTouchEvent", {"type": "touchCancel", "touchPoints": []})
    screen.until("document.querySelectorAll('#ink path').length === 2")  # what the system stopped stays
    screen.stroke(line(0.9), "touch", up=False)  # the palm lies there when the pen comes down
    screen.stroke(line(0.5), "pen")
    screen.send("touch", "up")
    assert screen.ink() == 2 and screen.page.locator("#ink path").last.get_attribute("d").startswith("M0.5")
    screen.draw(line(0.7), line(1.2), kind="touch")  # and from then on only the pen writes
    assert screen.ink() == 2
    screen.draw(line(0.8), kind="pen")
    assert screen.ink() == 3


def test_other_buttons_do_not_draw(screen):
    screen.send("mouse", "move", (0.4, 0.5))
    screen.page.mouse.down(button="right")
    screen.send("mouse", "move", (0.6, 0.5))
    screen.page.mouse.up(button="right")
    assert screen.ink() == 0


def test_undo_and_clear(screen):
    screen.draw(line(0.3), line(0.5), line(0.7))
    screen.click("Undo")
    assert screen.ink() == 2
    screen.page.keyboard.press("Control+z")
    assert screen.ink() == 1
    screen.click("Clear")
    assert screen.ink() == 0 and screen.page.get_by_role("button", name="Clear").is_disabled()
    screen.page.keyboard.press("z")  # clearing can be undone, too
    assert screen.ink() == 1
    screen.page.keyboard.press("z")
    assert screen.ink() == 0 and screen.page.get_by_role("button", name="Undo", exact=True).is_disabled()


# A picture of two pixels.
DOTS = "iVBORw0KGgoAAAANSUhEUgAAAAIAAAABCAYAAAD0In+KAAAAEUlEQVR4nGNgYGD4z8DA8B8ABgMBANkS3ysAAAAASUVORK5CYII="


def test_a_reload_and_a_closed_window_lose_nothing(screens, tmp_path):
    screen = screens()
    screen.page.fill("#author", "Ada")
    texts = [screen.add() for _ in range(3)]
    screen.page.select_option("#order", "random")
    prompt = screen.prompt()
    screen.draw(line(0.3), line(0.5))
    path = tmp_path / "dots.png"
    path.write_bytes(base64.b64decode(DOTS))
    screen.page.locator("#trace summary").click()
    screen.choose("Choose a picture…", path)
    screen.page.locator("#tracing image").wait_for(state="attached")
    screen.page.reload()

    def is_as_it_was(s):
        s.said("still in the box")
        assert s.words() == texts and s.prompt() == prompt and s.ink() == 2
        assert s.page.input_value("#author") == "Ada" and s.page.input_value("#order") == "random"
        s.page.locator("#tracing image").wait_for(state="attached")
        assert s.text("#image-name") in ("", "dots.png")
        assert s.page.locator("#image-name").text_content() == "dots.png"

    is_as_it_was(screen)
    other = screens(beside=screen)
    screen.page.close()
    is_as_it_was(other)
    other.click("Undo")
    assert other.ink() == 1


def test_without_storage_it_says_so_and_still_works(chromium, tmp_path):
    context = chromium.new_context()
    context.add_init_script("IDBFactory.prototype.open = () => { throw new Error('forbidden'); }")
    screen = Screen(context.new_page()).open()
    assert "export before you close it" in screen.text("#kept")
    text = screen.add()
    assert [w.text for w in load_bank(str(screen.export(tmp_path))).words] == [text] and screen.errors == []
    context.close()


def test_export_import_merge_and_replace(screens, tmp_path):
    screen = screens()
    texts = [screen.add() for _ in range(3)]
    first = screen.export(tmp_path, "first.json")
    other = screens()
    mine = other.add(x=0.7)
    other.offer(first)
    about = other.text("#importer-about")
    assert "3 usable words" in about and "keeps the 1 word here" in about
    other.click("Add to mine")
    other.said("Added 3 words")
    assert other.words() == [mine, *texts]
    other.offer(first)
    assert "All of them are here already" in other.text("#importer-about")
    assert other.page.locator("#merge").is_disabled()
    other.click("Cancel")
    other.offer(first)
    other.click("Replace mine")
    other.said("Replaced by 3 words")
    assert other.words() == texts
    other.click("Undo that")
    other.said("as it was")
    assert other.words() == [mine, *texts]
    other.page.reload()
    other.page.wait_for_selector("#words li")
    assert other.words() == [mine, *texts]
    again = other.export(tmp_path, "again.json")
    assert json.loads(again.read_text())[1:] == json.loads(first.read_text())
    assert len(load_bank(str(again)).words) == 4


def test_deleting_and_redrawing(screen, tmp_path):
    texts = [screen.add() for _ in range(3)]
    screen.page.get_by_role("button", name=f"Delete {texts[1]}", exact=True).click()
    screen.said(f"Deleted “{texts[1]}”")
    assert screen.words() == [texts[0], texts[2]]
    screen.page.keyboard.press("Enter")  # the way back has the focus
    screen.said("as it was")
    assert screen.words() == texts
    before = json.loads(screen.export(tmp_path).read_text())
    screen.page.get_by_role("button", name=f"Redraw {texts[1]}", exact=True).click()
    assert screen.prompt() == texts[1] and screen.text("#lead") == "Redraw"
    assert screen.page.locator("#ghost path").count() > 0
    screen.page.keyboard.press("Escape")
    assert screen.page.locator("#ghost path").count() == 0 and screen.text("#lead") == "Write"
    screen.page.get_by_role("button", name=f"Redraw {texts[1]}", exact=True).click()
    screen.draw(*drawn(texts[1], x=0.6))
    screen.click("Replace")
    screen.said(f"Replaced “{texts[1]}”")
    after = json.loads(screen.export(tmp_path).read_text())
    assert [a == b for a, b in zip(before, after)] == [True, False, True] and screen.words() == texts


def test_looking_and_replaying(screen):
    texts = [screen.add() for _ in range(2)]
    screen.page.get_by_role("button", name=f"Look at {texts[0]}", exact=True).click()
    assert screen.text("#viewer-title") == texts[0] and "word 1 of 2" in screen.text("#viewer-about")
    paths = "[...document.querySelectorAll('#viewer-ink .ink')]"
    length = f"{paths}.map(p => p.getTotalLength()).reduce((a, b) => a + b, 0)"
    whole = screen.page.evaluate(length)
    clock = screen.page.clock  # the page's own, which goes on when told to
    clock.install(time=0)
    clock.pause_at(1000)
    screen.click("Replay")
    clock.run_for(40)
    assert screen.page.evaluate(length) < whole * 0.9
    clock.run_for(60_000)
    assert screen.page.evaluate(length) > whole * 0.999
    clock.resume()
    screen.page.keyboard.press("ArrowRight")
    assert screen.text("#viewer-title") == texts[1]
    screen.page.locator("#viewer").get_by_role("button", name="Delete").click()
    screen.said("Deleted")
    assert screen.words() == texts[:1]


HOSTILE = "<img/src=x/onerror=document.title='bad'>"


def test_nothing_typed_or_loaded_becomes_markup(screen, tmp_path):
    screen.page.fill("#author", HOSTILE)
    screen.own_text(HOSTILE)
    screen.draw(line())
    screen.click("Add")
    screen.said("strokes at least")
    screen.click("Add anyway")
    screen.said("Added “<img")
    kept = {**ITEM["metadata"], "asciiSequence": HOSTILE + "2", "author": HOSTILE, "page": [1, 2]}
    more = {"__proto__": {"polluted": 1}, "constructor": 1}
    item = {**ITEM, "metadata": {**kept, HOSTILE: HOSTILE}, **more}
    bad = {**item, "metadata": {**item["metadata"], "asciiSequence": HOSTILE + "\n"}}
    path = write(tmp_path / "<b onclick=x>.json", [item, bad])
    screen.offer(path)
    assert "<b onclick=x>.json" in screen.text("#importer-about")
    assert "cannot be printed" in screen.text("#complaints")
    screen.click("Add to mine")
    screen.said("Added 1 word from <b")
    assert screen.words() == [HOSTILE, HOSTILE + "2"]
    screen.page.get_by_role("button", name=f"Look at {HOSTILE}2", exact=True).click()
    screen.click("Close")
    prompts = write(tmp_path / "<i>.txt", HOSTILE)
    screen.page.select_option("#source", "file")
    screen.choose("Choose a text or JSON file…", prompts)
    screen.said("1 word to write from <i>.txt")
    assert screen.prompt() == HOSTILE
    screen.page.reload()
    screen.page.wait_for_selector("#words li")
    assert screen.page.title() == "Your own hand"
    assert screen.page.locator("img, b, i, #words script").count() == 0
    assert screen.page.evaluate("({}).polluted") is None
    exported = json.loads(screen.export(tmp_path).read_text())
    assert exported[1] == {"metadata": kept, "points": ITEM["points"]}


def test_bad_items_are_told_apart_as_load_bank_tells_them(screen, tmp_path):
    # JSON has no such numbers.
    left_out = {k for k in BAD if "nan" in k or "infinity" in k or k == "huge int"}
    items = {k: item for k, (item, _) in BAD.items() if k not in left_out}

    def says(item):
        with pytest.raises(CursiveError) as e:
            parse_item(json.loads(json.dumps(item), object_hook=arrays_of_points))
        return str(e.value)

    expected = [says(item) for item in items.values()]
    screen.offer(write(tmp_path / "bad.json", [*items.values(), ITEM]))
    told = [
        re.fullmatch(r"Item (\d+) cannot be used: (.*)\. It is left out\.", t).groups()
        for t in screen.page.locator("#complaints li").all_inner_texts()
    ]
    assert len(told) == len(items) >= 16 and [int(i) for i, _ in told] == list(range(len(items)))
    for (_, ours), theirs, name in zip(told, expected, items):
        if name not in ("not an object", "empty points"):
            assert ours == theirs
    screen.click("Add to mine")
    screen.said("Added 1 word")


@pytest.mark.parametrize(
    "content, says",
    [
        ("{", "not JSON"),
        ("7", "not a word bank"),
        ("[]", "not a word bank"),
        ('[{"metadata": 1}]', "no usable word"),
        ("PK\x03\x04", "unpacked"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_files_that_are_no_banks(screen, tmp_path, content, says):
    screen.choose("Import…", write(tmp_path / "x.json", content))
    screen.said(says)
    assert screen.text("#size") == "0 words" and not screen.page.locator("#importer").is_visible()


def test_prompts_from_a_list_in_order_from_a_start_and_at_random(screen, tmp_path):
    words = [f"word{i}" for i in range(30)]
    screen.page.select_option("#source", "file")
    screen.choose("Choose a text or JSON file…", write(tmp_path / "w.json", words))
    screen.said("30 words")
    screen.page.select_option("#order", "listed")
    screen.page.fill("#start", "29")
    screen.page.locator("#lead").click()
    seen = []
    for _ in range(3):
        seen.append((screen.prompt(), screen.text("#place")))
        screen.page.keyboard.press("n")
    assert seen == [("word28", "29 of 30"), ("word29", "30 of 30"), ("word28", "29 of 30")]
    screen.page.select_option("#order", "random")
    screen.page.fill("#start", "11")
    screen.page.fill("#many", "3")
    screen.page.locator("#lead").click()
    seen = []
    for _ in range(12):
        seen += screen.prompt().split()
        screen.page.keyboard.press("n")
    assert len(seen) == 36 and set(seen) <= set(words[10:]) and len(set(seen)) > 8
    screen.choose("Choose a text or JSON file…", write(tmp_path / "bank.json", [ITEM]))
    screen.said("1 word to write from bank.json")
    assert screen.prompt().split() == [ITEM["metadata"]["asciiSequence"]] * 3
    for content, says in (("{}", "list of words"), (" \n", "no words"), ("[1]", "list of words")):
        screen.choose("Choose a text or JSON file…", write(tmp_path / "bad.json", content))
        screen.said(says)


def test_several_words_on_one_line_become_a_word_each(screen, tmp_path):
    screen.own_text("it’s  so — low", many=3)
    assert screen.prompt() == "it's so —" and "do not know —" in screen.text("#place")
    screen.own_text("it so low", many=3)
    first = drawn("it", 0.3)
    second = drawn("so", 0.8)
    third = drawn("low", 1.3)
    screen.draw(*first, *second)
    screen.click("Add")
    screen.said("no gaps show where they part")
    screen.draw(*third)
    assert screen.page.locator("#cuts line").count() == 2
    screen.draw([(0.4, 0.44), (0.42, 0.45)])  # a dot that was forgotten goes to its word
    screen.click("Add")
    screen.said("Added “it”, “so”, “low”")
    words = load_bank(str(screen.export(tmp_path))).words
    assert [(w.text, len(strokes(w.points))) for w in words] == [("it", 4), ("so", 1), ("low", 1)]
    assert screen.text("#size") == "3 words"


def test_what_looks_wrong_is_said_and_added_when_asked_twice(screen):
    screen.click("Add")
    screen.said("The box is empty")
    wave = drawn("o")[0]

    def doubt(text, says, *lines):
        screen.own_text(text)
        screen.draw(*lines)
        screen.click("Add")
        screen.said(says)
        assert screen.text("#size") == "0 words"
        screen.click("Clear")
        assert screen.page.locator("#message.warning").count() == 0

    doubt("it", "takes 3 strokes at least, with its dots and crosses, and there is 1", wave)
    doubt("o", "leaves the box at the right", line(3.9, 0.6, 0.2, 0))
    doubt("o", "leaves the box at the left and the top", line(0.1, 0.1, -0.15, -0.15))
    doubt("o", "above the solid line", line(0.3, 0.2, 0.2, 0.1))
    doubt("o", "below the solid line", line(0.3, 0.8, 0.2, 0.1))
    doubt("o", "too fast", line(0.3, 0.5, 0.2, 0.15, n=2))
    screen.own_text("it")
    screen.draw(wave)
    screen.page.keyboard.press("Enter")
    screen.said("Undo and mend it, or add it as it is")
    assert screen.text("#add") == "Add anyway"
    screen.page.keyboard.press("Enter")
    screen.said("Added “it”")


def test_coverage_counts_and_asks_for_what_is_missing(screens, tmp_path):
    screen = screens()
    shown = [b.inner_text() for b in screen.page.locator("#characters button").all()]
    assert sorted(shown) == sorted(ALPHABET[1:]) and screen.text("#coverage-summary") == "0 of 70 characters"
    texts = [c * 3 for c in ALPHABET[1:] if c not in "qZ"] + ["the", "then"]
    items = [{**ITEM, "metadata": {**ITEM["metadata"], "asciiSequence": t}} for t in texts]
    screen.offer(write(tmp_path / "most.json", items))
    screen.click("Add to mine")
    screen.said("Added")

    def level(character):
        buttons = screen.page.locator("#characters").get_by_role("button", name=f"{character}, ", exact=False)
        return buttons.first.get_attribute("class")

    assert screen.text("#coverage-summary") == "68 of 70 characters"
    assert level("q") == "none" and level("e") == "enough"
    assert {"q", "Z"} & set(screen.prompt())  # asked for by itself
    assert screen.page.locator("#prompt mark").count() >= 1
    wanted = screen.page.locator("#wanted button").all_inner_texts()
    assert len(wanted) == 12 and not {"th", "he", "en"} & set(wanted)
    screen.page.locator("#characters").get_by_role("button", name="Z, 0 examples").click()
    assert "Z" in screen.prompt()
    screen.page.locator("#wanted button").first.click()
    assert wanted[0] in screen.prompt()
    text = screen.add()
    assert wanted[0] in text and screen.page.locator("#wanted button").first.inner_text() != wanted[0]


def test_the_built_in_list_covers_the_alphabet_in_fifty_words(screen):
    seen = ""
    for _ in range(50):
        seen += screen.prompt()
        screen.page.keyboard.press("n")
    listed = seen
    screen.page.select_option("#order", "listed")
    ordered = []
    while not ordered or not screen.text("#place").startswith("1 of"):
        ordered.append(screen.prompt())
        screen.page.keyboard.press("n")
    assert len(ordered) == len(set(ordered)) == 200
    assert set("".join(ordered[:50])) == set(ALPHABET[1:]) and set(listed) <= set(ALPHABET)
    assert min("".join(ordered).count(c) for c in ALPHABET[1:]) >= 3


def test_tracing_a_picture(screen, tmp_path):
    from matplotlib.image import imsave

    imsave(tmp_path / "scan.png", np.zeros((10, 30, 3)))
    screen.page.locator("#trace summary").click()
    screen.choose("Choose a picture…", write(tmp_path / "no.png", "no picture"))
    screen.said("no.png is not a picture")
    screen.choose("Choose a picture…", tmp_path / "scan.png")
    image = screen.page.locator("#tracing image")
    image.wait_for(state="attached")

    def of(*names):
        return [float(image.get_attribute(n)) for n in names]

    assert of("x", "y", "width", "height", "opacity") == [0, 0, 3, 1, 0.4]
    for name, value in (("x", 0.5), ("y", -0.25), ("scale", 2), ("opacity", 0.8)):
        screen.page.locator(f"#image-{name}").fill(str(value))
    assert of("x", "y", "width", "height", "opacity") == [0.5, -0.25, 6, 2, 0.8]
    screen.add()
    screen.page.reload()
    image.wait_for(state="attached")
    assert of("x", "width") == [0.5, 6] and "image" not in screen.export(tmp_path).read_text()
    screen.page.locator("#trace summary").click()
    screen.click("Remove")
    assert image.count() == 0


def test_everything_works_from_the_keyboard(screen, tmp_path):
    screen.own_text("l")
    press = screen.page.keyboard.press
    screen.page.locator("h1").click()
    press("w")
    assert screen.page.evaluate("document.activeElement.id") == "pad"
    for _ in range(6):
        press("ArrowUp")
    press("Space")
    for _ in range(6):
        press("ArrowDown")
    press("Shift+ArrowRight")
    press("Space")
    press("Enter")
    screen.said("Added “l”")
    points = np.array(json.loads(screen.export(tmp_path).read_text())[0]["points"])
    np.testing.assert_allclose([np.ptp(points[:, 1]), np.ptp(points[:, 0]) * 6], [0.18, 0.01], atol=0.001)
    press("r")
    assert screen.text("#lead") == "Redraw"
    press("Escape")
    press("?")
    assert screen.page.locator("#shortcuts kbd").first.is_visible()
    screen.page.locator("#characters button").first.focus()
    press("ArrowRight")
    assert screen.page.evaluate("document.activeElement.textContent") == "b"
    press("Enter")
    assert "b" in screen.prompt()
    prompt = screen.prompt()
    screen.page.fill("#author", "")
    press("n")  # typing a name is no command
    assert screen.prompt() == prompt and screen.page.input_value("#author") == "n"
    screen.page.locator("#keys").uncheck()
    screen.page.locator("h1").click()
    press("n")
    assert screen.prompt() == prompt


def test_readers_of_screens_find_names(screen):
    box = screen.page.get_by_role("application", name="Box to write in")
    assert box.get_attribute("aria-describedby") == "prompt pad-help"
    assert screen.page.locator("#message").get_attribute("role") == "status"
    nameless = """[...document.querySelectorAll('button, input, select, textarea')]
      .filter(e => !(e.getAttribute('aria-label') || e.textContent || e.labels?.length)).length"""
    assert screen.page.evaluate(nameless) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 360, "height": 700}, "has_touch": True, "device_scale_factor": 3},
        {"color_scheme": "dark"},
    ],
    ids=["phone", "dark"],
)
def test_small_screens_and_dark_ones(screens, options):
    screen = screens(**options)
    texts = [screen.add() for _ in range(2)]
    inside = """[...document.querySelectorAll('button, #pad, input, select')]
      .filter(e => e.offsetParent !== null || e.id === 'pad')
      .map(e => e.getBoundingClientRect())
      .every(r => r.left >= 0 && r.right <= innerWidth)"""
    assert screen.page.evaluate(inside)
    assert screen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert screen.words() == texts
    assert screen.page.locator("#pad").bounding_box()["height"] > 90  # room to write
    assert screen.page.locator("#add").bounding_box()["y"] < 600  # and no need to scroll
    bright = """([selector, name]) => getComputedStyle(document.querySelector(selector))[name]
      .match(/[0-9]+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0)"""
    ink = screen.page.evaluate(bright, ["#words .ink", "stroke"])
    paper = screen.page.evaluate(bright, ["#paper", "backgroundColor"])
    dark = "color_scheme" in options
    assert ink > paper + 300 if dark else paper > ink + 300


@contextlib.contextmanager
def collecting(folder, *args):
    "A running `cursive collect`, and the address it prints."
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([*CURSIVE, "collect", "--no-browser", *args], cwd=folder, env=env, **pipes)
    try:
        first = process.stdout.readline()
        process.url = re.search(r"http://127\.0\.0\.1:\d+/\S+/", first)[0]
        process.first = first
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def stop(process):
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_collect_saves_straight_to_the_file(screens, cursive, tmp_path):
    with collecting(tmp_path) as process:
        screen = screens(url=process.url)
        assert screen.text("#kept") == "in mine.json" and not (tmp_path / "mine.json").exists()
        texts = [screen.add() for _ in range(3)]
        assert [w.text for w in load_bank(str(tmp_path / "mine.json")).words] == texts
        screen.page.get_by_role("button", name=f"Delete {texts[1]}", exact=True).click()
        screen.said("Deleted")
        assert [w.text for w in load_bank(str(tmp_path / "mine.json")).words] == [texts[0], texts[2]]
        screen.draw(line())
        screen.page.reload()
        screen.said("still in the box")
        assert screen.words() == [texts[0], texts[2]] and screen.ink() == 1
        code, out, err = stop(process)
        assert (code, err) == (0, "")
        assert "mine.json has 2 words" in out
        assert "cursive data mine.json" in out and "cursive clone mine.json" in out
        screen.draw(*drawn(screen.prompt(), x=0.8))
        screen.click("Add")
        screen.page.locator("#message", has_text=re.compile("has ended|anyway|as it is")).wait_for()
        if not screen.page.locator("#message", has_text="has ended").count():
            screen.click("Add anyway")
        screen.said("cursive collect has ended")
        assert screen.ink() > 1 and len(screen.words()) == 2
        screen.errors.clear()  # the browser reports that nobody answered
    with collecting(tmp_path, "mine.json") as process:
        assert "which has 2" in process.first
        other = screens(url=process.url)
        assert other.words() == [texts[0], texts[2]] and other.ink() == 0
        other.add()
        assert stop(process)[0] == 0
    done = cursive("data", "mine.json")
    assert done.returncode == 0 and "words       3" in done.stdout


def test_two_pages_do_not_overwrite_each_other(screens, tmp_path):
    page = serve(tmp_path / "mine.json")
    first = screens(url=page.url)
    second = screens(url=page.url)  # in another browser: two windows of one tell each other
    first.page.bring_to_front()
    text = first.add()
    second.page.bring_to_front()
    second.draw(*drawn(second.prompt()))
    second.click("Add")
    second.said("changed elsewhere")
    second.errors.clear()  # the browser reports the refusal
    assert second.ink() > 0
    second.page.reload()
    second.said("still in the box")
    second.click("Add")
    second.page.wait_for_selector("#words li:nth-child(2)")
    assert [w.text for w in load_bank(str(tmp_path / "mine.json")).words] == [text, second.words()[1]]
    page.close()


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("notes.json", '{"a": 1}', "something else than words"),
        ("notes.json", "milk", "not JSON"),
        ("notes.json", '[{"metadata": {}}]', "cannot be continued"),
        ("words.txt", None, ".json"),
        ("no.json/mine.json", None, "no.json"),
    ],
)
def test_files_that_hold_something_else_are_refused_before_anything_opens(
    cursive, tmp_path, name, content, says
):
    (tmp_path / "no.json").write_text("a file where a folder should be")
    if content is not None:
        (tmp_path / name).write_text(content)
    done = cursive("collect", "--no-browser", name, timeout=60)
    assert done.returncode == 2 and done.stdout == ""
    assert says in done.stderr and len(done.stderr.strip().splitlines()) == 1
    if content is not None:
        assert (tmp_path / name).read_text() == content


def test_the_browser_is_opened(monkeypatch, tmp_path, capsys):
    import webbrowser

    opened = []

    def browser(url):
        opened.append(url)
        assert urllib.request.urlopen(url).read() == PAGE.read_bytes()
        raise KeyboardInterrupt

    monkeypatch.setattr(webbrowser, "open", browser)
    assert main(["collect", str(tmp_path / "a.json")]) == 0
    out = capsys.readouterr().out
    assert opened[0] in out and "No word was added" in out and not (tmp_path / "a.json").exists()


def ask(url, method="GET", body=None, **headers):
    "The code and the content of an answer."
    headers = {k.replace("_", "-"): v for k, v in headers.items()}
    request = urllib.request.Request(url, method=method, data=body, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()


def test_strangers_get_nothing(tmp_path):
    write(tmp_path / "mine.json", [ITEM])
    page = serve(tmp_path / "mine.json")
    body = json.dumps({"revision": 0, "items": []}).encode()

    def put(url=page.url + "bank", **headers):
        return ask(url, "PUT", body, **{"Content_Type": "application/json", **headers})[0]

    root = f"http://127.0.0.1:{page.port}/"
    for url in (
        root,
        root + "bank",
        root + page.token,
        root + "x" * len(page.token) + "/bank",
        page.url + "mine.json",
        page.url + "../mine.json",
        page.url + "bank/",
        root + page.token[:-1] + "/bank",
    ):
        assert ask(url)[0] == 404, url
    hosts = ["evil.example", f"evil.example:{page.port}"]
    origins = ["https://evil.example", "null"]
    for h in [*({"Host": host} for host in hosts), *({"Origin": origin} for origin in origins)]:
        assert ask(page.url + "bank", **h)[0] == ask(page.url, **h)[0] == put(**h) == 404, h
    assert put(root + "bank") == put(page.url) == put(Content_Type="text/plain") == 404
    assert ask(page.url + "bank", "POST", body)[0] == ask(page.url + "bank", "DELETE")[0] == 501
    assert put(Content_Length="99999999999") == 413
    assert json.loads((tmp_path / "mine.json").read_text()) == [ITEM] and page.bank.revision == 0
    with socket.create_connection(("127.0.0.1", page.port)) as s:
        assert s.getpeername()[0] == "127.0.0.1"
    status, content = ask(page.url + "bank", Origin=f"http://127.0.0.1:{page.port}")
    assert status == 200 and json.loads(content) == {"name": "mine.json", "revision": 0, "items": [ITEM]}
    page.close()


@pytest.mark.parametrize(
    "body, code",
    [
        (b"{", 400),
        (b"7", 400),
        (b"{}", 400),
        (b"\xff", 400),
        (b"[" * 100_000, 400),
        (b'{"revision": 0, "items": 7}', 400),
        (b'{"revision": 0, "items": [7]}', 400),
        (b'{"revision": 0, "items": [1]}', 400),
        (b'{"revision": 0, "items": [true]}', 400),
        (b'{"revision": 0, "items": [0, 10000000000000000000000]}', 400),
        (b'{"revision": 9, "items": []}', 409),
        (json.dumps({"revision": 0, "items": [{**ITEM, "points": [[float("nan"), 0, 1]]}]}).encode(), 400),
        (json.dumps({"revision": 0, "items": [{**ITEM, "more": float("nan")}]}).encode(), 400),
    ],
)
def test_what_cannot_be_saved_leaves_the_file_alone(tmp_path, body, code):
    path = write(tmp_path / "mine.json", [ITEM])
    page = serve(path)
    status, content = ask(page.url + "bank", "PUT", body, Content_Type="application/json")
    assert status == code and json.loads(content)["error"].endswith((".", ")."))
    assert json.loads(path.read_text()) == [ITEM]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.json"]
    page.close()


def test_a_file_changed_by_someone_else_is_not_overwritten(tmp_path):
    path = write(tmp_path / "mine.json", [ITEM])
    bank = BankFile(path)
    other = {**ITEM, "metadata": {**ITEM["metadata"], "asciiSequence": "other"}}

    def parsed(items):
        return json.loads(json.dumps(items), object_hook=arrays_of_points)

    write(path, [ITEM, other])
    with pytest.raises(Conflict):
        bank.save(0, parsed([ITEM, ITEM]))
    assert json.loads(bank.answer()) == {"name": "mine.json", "revision": 1, "items": [ITEM, other]}
    assert bank.save(1, [1, *parsed([ITEM])]) == 2  # what stays is told by its place
    assert json.loads(path.read_text()) == [other, ITEM]
    assert bank.save(2, []) == 3 and BankFile(path).items == []  # all deleted, and continued


def test_a_wheel_has_the_pages(tmp_path):
    source = tmp_path / "source"
    package = "cursivetransformer"
    shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in "setup.py settings.ini pyproject.toml README.md LICENSE collect.html MANIFEST.in".split():
        shutil.copy(ROOT / name, source)
    build = "import sys; from setuptools import build_meta as b; print(b.build_wheel(sys.argv[1]))"
    build = [sys.executable, "-c", build, str(tmp_path)]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        assert wheel.read("cursivetransformer/collect.html") == PAGE.read_bytes()
        for name in "page.js", "page.css", "collect_frame.js":
            assert wheel.read(f"{package}/apps/{name}") == (ROOT / package / "apps" / name).read_bytes()
        wheel.extractall(tmp_path / "installed")
    code = "import cursivetransformer.apps.collect as c; print(c.__file__, len(c.page_html()))"
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, env=env)
    said = done.stdout.split()
    assert said[0].startswith(str(tmp_path)) and int(said[1]) == len(PAGE.read_bytes())
