"""Somebody who uses the collection page in Chromium, with real pointers, and pages that may not fail."""

import contextlib
import json
import os
import re

import numpy as np
from conftest import ROOT

PAGE = ROOT / "collect.html"


def line(x=0.3, y=0.5, dx=0.0, dy=0.14, n=12):
    "A straight stroke of so many reports, in canvas heights of the page."
    return [(x + dx * t / n, y + dy * t / n) for t in range(n + 1)]


def drawn(text, x=0.3):
    "Strokes enough for a text: a wave on the writing line, as high as its letters, and short marks above it."
    half = 0.11 if re.search(r"[A-Z0-9bdfhklt()\"'!?]", text) else 0.05
    wave = [(x + 0.005 * t, 0.65 - half + half * np.cos(t / 4)) for t in range(48)]
    marks = sum(c in "ijtx" for c in text) + sum(1 + (c in '!?"') for c in text if not c.isalpha())
    return [wave, *([(x + 0.04 * i, 0.45), (x + 0.04 * i + 0.02, 0.46)] for i in range(marks))]


class Screen:
    "A page as someone uses it."

    def __init__(self, page):
        self.page, self.cdp = page, None
        self.errors, self.requests = [], []
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        page.on("request", lambda r: self.requests.append(r.url))

    def open(self, url=None, name="me"):
        self.page.goto(url or PAGE.as_uri())
        self.page.wait_for_selector("#prompt:not(:empty)")
        if not self.page.input_value("#author"):
            self.page.fill("#author", name)
            self.page.locator("#author").blur()
        return self

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def click(self, name):
        self.page.get_by_role("button", name=name, exact=True).click()

    def prompt(self):
        return self.text("#prompt")

    def said(self, what):
        self.page.locator("#message", has_text=what).wait_for()

    def ink(self):
        return self.page.locator("#ink path").count()

    def words(self):
        labels = [b.get_attribute("aria-label") for b in self.page.locator("#words .look").all()]
        return [re.sub("^Look at ", "", label) for label in labels][::-1]

    def send(self, kind, what, at=None):
        "A pointer of a kind goes `down`, `move`s or comes `up`, at a place in canvas heights of the box."
        if at:
            box = self.page.locator("#pad").bounding_box()
            self.at = box["x"] + at[0] * box["height"], box["y"] + at[1] * box["height"]
        if kind == "mouse":
            place = self.at if what == "move" else ()
            return getattr(self.page.mouse, what)(*place)
        self.cdp = self.cdp or self.page.context.new_cdp_session(self.page)
        x, y = self.at
        if kind == "touch":
            touch = {"down": "touchStart", "move": "touchMove", "up": "touchEnd"}[what]
            points = [] if what == "up" else [{"x": x, "y": y}]
            self.cdp.send("Input.dispatchTouchEvent", {"type": touch, "touchPoints": points})
        else:
            pen = {"down": "mousePressed", "move": "mouseMoved", "up": "mouseReleased"}[what]
            buttons = dict(button="left", buttons=int(what != "up"), clickCount=int(what != "move"))
            event = dict(type=pen, x=x, y=y, pointerType="pen", **buttons)
            self.cdp.send("Input.dispatchMouseEvent", event)

    def stroke(self, points, kind="mouse", up=True):
        if kind == "mouse":
            self.send(kind, "move", points[0])
        self.send(kind, "down", points[0])
        for p in points[1:]:
            self.send(kind, "move", p)
        if up:
            self.send(kind, "up")

    def draw(self, *lines, kind="mouse"):
        self.page.locator("#pad").scroll_into_view_if_needed()
        for points in lines:
            self.stroke(points, kind)

    def add(self, x=0.3):
        "Write the prompt, somehow, and add it."
        text = self.prompt()
        had = self.text("#size")
        self.draw(*drawn(text, x))
        self.click("Add")
        self.page.locator("#size", has_text=re.compile(f"^(?!{re.escape(had)}$)")).wait_for()
        return text

    def own_text(self, text, many=1):
        self.page.select_option("#source", "own")
        self.page.select_option("#order", "listed")
        self.page.fill("#many", str(many))
        self.page.fill("#own", text)
        self.page.locator("#lead").click()

    def choose(self, button, path):
        with self.page.expect_file_chooser() as chooser:
            self.click(button)
        chooser.value.set_files(path)

    def offer(self, path):
        "Choose a file to import, and wait for the question what to do with it."
        self.choose("Import…", path)
        self.page.locator("#importer[open]").wait_for()

    def until(self, expression):
        """Wait a minute for something to be true in the page. Playwright's own way would need `eval`, which
        the page forbids."""
        for _ in range(2400):
            if self.page.evaluate(expression):
                return
            self.page.wait_for_timeout(25)
        raise AssertionError(f"never true: {expression}")

    def export(self, tmp_path, name="out.json"):
        with self.page.expect_download() as download:
            self.click("Export")
        download.value.save_as(tmp_path / name)
        return tmp_path / name


@contextlib.contextmanager
def open_screens(chromium):
    """Makes screens, each with a browser of its own, or beside another one in the same browser. None may fail
    or ask the network for anything."""
    contexts, made = [], []

    def make(beside=None, url=None, name="me", **options):
        if not beside:
            contexts.append(chromium.new_context(**{"viewport": {"width": 1100, "height": 900}, **options}))
        made.append(Screen((beside.page.context if beside else contexts[-1]).new_page()))
        made[-1].page.set_default_timeout(int(os.environ.get("COLLECT_WAIT", 60_000)))
        return made[-1].open(url, name)

    yield make
    for context in contexts:
        context.close()
    here = ("file:", "blob:", "data:", "http://127.0.0.1:")
    for s in made:
        assert s.errors == []
        assert all(u.startswith(here) for u in s.requests), s.requests


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path
