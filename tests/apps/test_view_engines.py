"The page of the panel in Chromium, Firefox and WebKit: mouse, finger and keys, and what axe makes of it."

import pytest
from accessibility import faults_in
from browsers import EVERY_ENGINE, browser
from front_end import FrontEnd
from panel_session import without_model

from cursivetransformer.apps import desk as desk_module
from cursivetransformer.apps.panel import WritingApp

TEXT = "many a brave soul did it send hurrying down to Hades " * 8
PHONE = (390, 844)
MARKED = """[...document.querySelectorAll(".cursive-word[aria-pressed=true]")]
  .map(word => Number(word.dataset.index))"""
OFFERED = "document.querySelectorAll('.cursive-offer [data-number]').length"


class Page:
    "What `front_end` asks of a page, of any browser."

    def __init__(self, browser):
        self.browser = browser

    def on(self, *_):
        pass

    def set_content(self, content):
        self.browser.evaluate("document.open(); document.write(args[0]); document.close()", content)

    def evaluate(self, script, *values):
        code = f"const it = {script}; return typeof it === 'function' ? it(args[0]) : it"
        return self.browser.evaluate(code, *values)


@pytest.fixture(params=EVERY_ENGINE)
def front(request, tmp_path, monkeypatch):
    "A page of 88 words in a browser."
    for name in "generate_words", "draw_words":
        monkeypatch.setattr(desk_module, name, getattr(desk_module, name))
    without_model()
    app = WritingApp("", clickable=True)
    blank = tmp_path / "blank.html"
    blank.touch()
    with browser(request.param, tmp_path) as b:
        it = FrontEnd(Page(b.open(blank.as_uri())), app)
        write(it, TEXT)
        yield it
        assert b.evaluate("return window.testErrors ?? []") == []


def write(front, text):
    front.app.controls["text"].value = text
    front.app.controls["write"].click()
    front.settle()


def boxes(front, *selectors):
    "Left, top, right and bottom of some elements."
    return front.page.evaluate(
        """selectors => selectors.map(selector => {
          const {left, top, right, bottom} = document.querySelector(selector).getBoundingClientRect();
          return [left, top, right, bottom];
        })""",
        selectors,
    )


def press(front, index, kind="mouse"):
    "Click a word, or tap it."
    word = f".cursive-word[data-index='{index}']"
    front.page.evaluate("css => document.querySelector(css).scrollIntoView({block: 'center'})", word)
    ((left, top, right, bottom),) = boxes(front, word)
    place = round((left + right) / 2), round((top + bottom) / 2)
    front.page.browser.pointer(kind, [("move", *place), ("down",), ("up",)])
    return word


def test_candidates_open_beside_a_word_and_a_shorter_text_is_shorter(front):
    word = press(front, 70)
    front.settle()
    assert front.page.evaluate(MARKED) == [70] and front.page.evaluate(OFFERED) == 4
    clicked, offer = boxes(front, word, ".cursive-offer")
    assert 0 <= offer[1] - clicked[3] < 40 and offer[0] <= clicked[2] and offer[2] >= clicked[0]
    assert offer[3] <= front.page.evaluate("innerHeight")
    write(front, "Sing goddess")
    assert front.page.evaluate("document.querySelectorAll('.cursive-word').length") == 2
    assert front.page.evaluate(MARKED) == []


def test_keys_open_a_word_and_axe_finds_nothing(front):
    b = front.page.browser
    found = {"a page": faults_in(b, "#view")}
    front.page.evaluate("""document.querySelector(".cursive-word[tabindex='0']").focus()""")
    b.type("ArrowRight", "Enter")
    front.settle()
    assert front.page.evaluate(MARKED) == [1]
    found["candidates"] = faults_in(b, "#view")
    b.resize(*PHONE)
    found["a phone"] = faults_in(b, "#view")
    if b.name == "chromium":
        b.call("Emulation.setEmulatedMedia", features=[{"name": "forced-colors", "value": "active"}])
        found["forced colours"] = faults_in(b, "#view")
    assert {state: faults for state, faults in found.items() if faults} == {}
