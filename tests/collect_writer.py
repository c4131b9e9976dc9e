"""Somebody who writes words on the collection page, in any browser, with a mouse, a pen, a finger or arrow
keys. Buttons and fields are found by the names that people see. The ink is that of the embedded bank, so it
is what the page takes for handwriting.
"""

import functools
import time

import numpy as np
from conftest import ROOT

from cursivetransformer.data.banks import WRITING_LINE, load_bank
from cursivetransformer.ink.points import strokes

PAGE = (ROOT / "collect.html").as_uri()
PHONE = (390, 844)  # CSS pixels
PROMPT = """document.getElementById(document.querySelector("[role=application]")
  .getAttribute("aria-describedby").split(" ")[0]).textContent"""
STROKES = "[...document.querySelectorAll('#ink path')]"
CARDS = "[...document.querySelectorAll('button')].map(nameOf).filter(n => n.startsWith('Look at '))"
SAYS = (
    "[...document.querySelectorAll('[role=status], [role=alert]')].some(n => n.textContent.includes(args[0]))"
)
# The box once it lies still: scale and place of canvas heights, in CSS pixels of the window.
BOX = """
  const box = document.querySelector("[role=application]");
  box.scrollIntoView({block: "center", behavior: "instant"});
  const measure = () => {
    const {a, d, e, f} = box.getScreenCTM();
    return [a, d, e, f];
  };
  for (let before = []; ;) {
    const now = measure();
    if (now.every((v, i) => v === before[i])) return now;
    before = now;
    await new Promise(after => setTimeout(after, 30));
  }
"""
# Where the pen of the arrow keys stands.
PEN = """
  const [across, down] = document.querySelectorAll("#pen line");
  const of = (node, name) => Number(node.getAttribute(name));
  return [(of(across, "x1") + of(across, "x2")) / 2, (of(down, "y1") + of(down, "y2")) / 2];
"""

X_HEIGHT = 0.12  # of small letters, in canvas heights
BREATH = 1  # seconds: what is kept is on its way to a disk
STEP = 0.03  # of an arrow key, in canvas heights


@functools.cache
def drawings():
    "How short words of the embedded bank are drawn: strokes in canvas heights of the box, 0.03 apart."
    words = [w for w in load_bank("embedded").words if len(w.text) <= 4 and w.text.isalpha()]
    shift = [0.3, WRITING_LINE]
    lines = {w.text: [s + shift for s in strokes(w.points)] for w in words if w.text.islower()}
    return {text: [np.vstack([s[::3], s[-1:]]) for s in drawn] for text, drawn in lines.items()}


def short_words(count):
    "So many words, short ones first."
    return sorted(drawings(), key=lambda text: (len(text), text))[:count]


def key_path(stroke, start):
    "Arrow keys that lead from a place on the grid of steps along a stroke, and the place where they end."
    here = np.array(start)
    keys = []
    for point in stroke:
        while (far := np.abs(point - here)).max() > 0.6 * STEP:
            axis = int(far[1] > far[0])
            sign = int(np.sign(point - here)[axis])
            keys.append(
                {(0, -1): "ArrowLeft", (0, 1): "ArrowRight", (1, -1): "ArrowUp", (1, 1): "ArrowDown"}[
                    axis, sign
                ]
            )
            here[axis] += sign * STEP
    return keys, here


class Writer:
    "A page and a hand."

    def __init__(self, browser, kind="mouse", url=PAGE):
        self.browser = browser
        self.kind = kind
        self.url = url
        self.doubted = []  # words whose ink the page had doubts about
        browser.open(url)
        self.ready()

    def ready(self):
        self.browser.until(f"!!document.querySelector('[role=application]') && {PROMPT} !== ''")

    def again(self):
        "Leave the page, and come back."
        time.sleep(BREATH)
        self.browser.open("about:blank")
        self.browser.open(self.url)
        self.ready()

    def crash(self):
        self.browser.crash(self.url)
        self.ready()

    def begin(self, name, text):
        "Say who writes, and what."
        self.browser.fill("Your name", name)
        self.browser.fill("Words from", "my own text")
        self.browser.fill("Which next", "in order")
        self.browser.fill("My own text", text)

    def click(self, name, times=1):
        self.browser.click(name, times)

    def prompt(self):
        return self.browser.evaluate(f"return {PROMPT}")

    def said(self, text):
        "Wait until the page says something."
        self.browser.until(SAYS, text)

    def ink(self):
        "How many strokes are in the box."
        return self.browser.evaluate(f"return {STROKES}.length")

    def starts(self):
        "Where the strokes in the box begin: x in canvas heights."
        paths = self.browser.evaluate(f"return {STROKES}.map(p => p.getAttribute('d'))")
        return [round(float(p[1:].split()[0]), 1) for p in paths]

    def words(self):
        "The texts of the words that are shown, the newest first."
        return self.browser.evaluate(f"return {CARDS}.map(n => n.replace('Look at ', ''))")

    def draw(self, *lines, kind=None, up=True):
        "Draw strokes, given in canvas heights of the box."
        kind = kind or self.kind
        if kind == "keys":
            return self.draw_with_keys(lines)
        across, down, left, top = self.browser.evaluate(BOX)
        steps = []
        for line in lines:
            places = [(round(left + x * across), round(top + y * down)) for x, y in line]
            moves = [("move", *p) for p in places]
            steps += [moves[0], ("down",), *moves[1:], *[("up",)] * up]
        self.browser.pointer(kind, steps)

    def x_height(self):
        "How high small letters are to be, in CSS pixels."
        return X_HEIGHT * self.browser.evaluate(BOX)[1]

    def draw_with_keys(self, lines):
        self.browser.evaluate("document.querySelector('[role=application]').focus()")
        self.browser.type("ArrowRight", "ArrowLeft")
        here = self.browser.evaluate(PEN)
        keys = []
        for line in lines:
            there, here = key_path(line[:1], here)
            along, here = key_path(line[1:], here)
            keys += [*there, " ", *along, " "]
        self.browser.type(*keys)

    def fill_the_screen(self):
        "Full screen as on a phone that has none: the box takes the window. Drivers cannot size a real one."
        self.browser.evaluate("""
          delete Element.prototype.requestFullscreen;
          delete Element.prototype.webkitRequestFullscreen;
          delete Element.prototype.webkitRequestFullScreen;
          delete Element.prototype.mozRequestFullScreen;
        """)
        self.click("Full screen")
        self.browser.until("button('Leave full screen')")

    def another_tab(self):
        "The page once more, in another tab of the same browser."
        self.browser.tab_of(self.url)
        self.ready()

    def until_there_are(self, count):
        "Wait until so many words are shown."
        self.browser.until(f"{CARDS}.length === args[0]", count)

    def add(self):
        "Add what is in the box, and wait until it is a word; what the page doubts is added anyway."
        had = len(self.words())
        if self.kind == "keys":
            self.browser.type("Enter")
        else:
            self.click("Add")
        self.browser.until(f"{CARDS}.length === args[0] || button('Add anyway')", had + 1)
        if self.browser.has("Add anyway"):
            self.doubted.append(self.prompt())
            self.click("Add anyway")
        self.until_there_are(had + 1)

    def write(self):
        "Write the word that is asked for, and add it."
        text = self.prompt()
        self.draw(*drawings()[text])
        self.add()
        return text

    def choose_bank(self, name, text):
        "Choose a file to import. The browser's own dialog, which no driver reaches, does not open."
        self.browser.evaluate("HTMLInputElement.prototype.click = () => {}")
        self.click("Import…")
        self.browser.choose("input[type=file]", name, text)

    def export(self):
        self.browser.click("Export")
        return self.browser.download()
