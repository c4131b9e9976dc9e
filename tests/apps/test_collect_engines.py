"""What happens to ink when pointers stop, tabs differ and storage fails, in Chromium, Firefox and WebKit.
Each test has the page at an address of its own, so that nothing is stored there yet."""

import contextlib
import functools
import http.server
import json
import threading

import pytest
from browsers import EVERY_ENGINE, browser
from collect_writer import PHONE, PROMPT, X_HEIGHT, Writer, drawings
from conftest import ROOT

# Asked for in the page's address: a database that is refused, one that never answers, one that is full.
STORAGE = """
switch (new URL(location).searchParams.get("database")) {
  case "blocked":
    IDBFactory.prototype.open = () => { throw new DOMException("no", "SecurityError"); };
    break;
  case "silent":
    IDBFactory.prototype.open = () => new EventTarget();
    break;
  case "full": {
    const {put} = IDBObjectStore.prototype;
    window.testFull = false;
    IDBObjectStore.prototype.put = function (...all) {
      if (window.testFull) throw new DOMException("The disk is full.", "QuotaExceededError");
      return put.apply(this, all);
    };
  }
}
"""
LEFT = [(0.4, 0.5 + 0.01 * i) for i in range(15)]
RIGHT = [(x + 0.3, y) for x, y in LEFT]
FAR = [(x + 0.8, y) for x, y in LEFT]
KINDS = ["mouse", "pen", "touch"]
# Another page of the same origin, whose frame shows a file without running scripts.
DEAD = b"""<!doctype html>
<iframe src="/collect.html" sandbox="allow-same-origin" width="600" height="600"></iframe>"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    "Serves files, and a page that holds the collection page dead; says nothing of it."

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path != "/dead":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(DEAD)


@pytest.fixture
def site(tmp_path):
    "The page at an address that no browser has seen."
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "collect.html").write_bytes((ROOT / "collect.html").read_bytes())
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module", params=EVERY_ENGINE)
def engine(request, tmp_path_factory):
    with browser(request.param, tmp_path_factory.mktemp(request.param), preload=STORAGE) as it:
        yield it


@pytest.fixture
def writer(engine, site):
    "A page of its own, ready to write two words."
    engine.front(0)
    engine.resize(*engine.size)
    it = Writer(engine, url=f"{site}/collect.html")
    it.begin("Ada", "so is an as")
    yield it
    assert engine.evaluate("return window.testErrors") == []


@contextlib.contextmanager
def second_tab(writer):
    "Another tab of the page, which is gone afterwards."
    writer.another_tab()
    yield
    writer.browser.close_tab()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pointer_that_the_system_takes_away_leaves_its_ink(writer, kind):
    writer.draw(LEFT, kind=kind, up=False)
    writer.browser.cancel(kind)
    assert writer.ink() == 1
    writer.draw(RIGHT, kind=kind)
    assert writer.ink() == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_pointer_that_never_comes_up_does_not_lock_the_box(writer, kind):
    writer.draw(LEFT, kind=kind, up=False)
    other = "mouse" if kind != "mouse" else "pen"
    writer.draw(RIGHT, kind=other)
    writer.draw(FAR, kind=other)
    starts = writer.starts()
    assert {0.7, 1.2} <= set(starts) and len(starts) == 3
    writer.browser.pointer(kind, [("up",)])


def test_a_palm_that_lies_there_before_the_pen_leaves_nothing(writer):
    writer.draw(FAR, kind="touch", up=False)
    writer.draw(LEFT, kind="pen")
    writer.browser.pointer("touch", [("up",)])
    assert writer.starts() == [0.4]
    writer.draw(RIGHT, kind="touch")
    assert writer.starts() == [0.4]


def test_a_double_click_on_add_leaves_the_warning(writer):
    writer.draw(LEFT[:2], kind="mouse")
    writer.browser.click("Add", times=2)
    writer.said("Undo and mend it")
    assert (writer.ink(), writer.words()) == (1, [])


def test_what_one_tab_undoes_is_not_what_another_added(writer):
    mine = writer.write()
    with second_tab(writer):
        writer.until_there_are(1)
        theirs = writer.write()
        writer.browser.front(0)
        writer.until_there_are(2)
        writer.click("Undo")
        writer.until_there_are(1)
        assert writer.words() == [theirs] != [mine]
        writer.browser.front(1)
        writer.until_there_are(1)
        assert writer.words() == [theirs]


def test_ink_in_one_tab_outlives_what_another_does(writer):
    writer.draw(LEFT, RIGHT)
    with second_tab(writer):
        if writer.ink():
            writer.click("Clear")
        writer.write()
        writer.browser.front(0)
        writer.until_there_are(1)
        assert writer.starts() == [0.4, 0.7]
    writer.again()
    assert writer.starts() == [0.4, 0.7]


@pytest.mark.parametrize("database", ["blocked", "silent"])
def test_without_a_database_words_are_written_and_exported(writer, database):
    writer.url += f"?database={database}"
    writer.again()
    writer.begin("Ada", "so is an as")
    text = writer.write()
    (item,) = json.loads(writer.export())
    assert item["metadata"]["asciiSequence"] == text
    assert "no safe place" in writer.browser.evaluate("return document.querySelector('header').innerText")


def test_a_full_disk_keeps_the_ink_until_there_is_room(writer):
    writer.url += "?database=full"
    writer.again()
    writer.browser.evaluate("testFull = true")
    text = writer.prompt()
    writer.draw(*drawings()[text])
    writer.said("room")
    writer.browser.click("Add")
    writer.said("room")
    assert text in writer.words() or writer.ink() == len(drawings()[text])
    writer.browser.evaluate("testFull = false")
    if text not in writer.words():
        writer.add()
    writer.write()
    writer.again()
    writer.until_there_are(2)


def test_a_page_without_scripts_says_so(engine, site):
    engine.front(0)
    engine.open(f"{site}/dead")
    said = engine.until("document.querySelector('iframe').contentDocument?.body?.innerText")
    assert "script" in said.lower(), said[:500]


def test_the_file_input_is_in_the_document_and_takes_a_bank(writer):
    text = writer.write()
    bank = writer.export()
    writer.click(f"Delete {text}")
    writer.until_there_are(0)
    writer.choose_bank("ada.json", bank)
    writer.click("Add to mine")
    writer.until_there_are(1)
    assert writer.words() == [text]


def test_the_next_prompt_and_the_one_before(writer):
    first = writer.prompt()
    writer.draw(LEFT, RIGHT)
    writer.click("Next")
    writer.browser.until(f"{PROMPT} !== args[0]", first)
    assert writer.ink() == 0
    writer.click("Previous")
    writer.browser.until(f"{PROMPT} === args[0]", first)
    assert writer.starts() == [0.4, 0.7]


def test_undo_and_redo_by_button_and_key(writer):
    writer.draw(LEFT, RIGHT)
    writer.click("Undo")
    assert writer.starts() == [0.4]
    writer.click("Redo")
    assert writer.starts() == [0.4, 0.7]
    writer.browser.type("Control+z")
    assert writer.starts() == [0.4]
    writer.browser.type("Control+y")
    assert writer.starts() == [0.4, 0.7]


def test_another_name_is_that_of_all_words_of_this_hand(writer):
    writer.write()
    writer.browser.fill("Your name", "Eve")
    writer.said("Eve")
    writer.write()
    assert {item["metadata"]["author"] for item in json.loads(writer.export())} == {"Eve"}


def test_small_letters_have_room_for_a_finger_right_after_turning(writer):
    writer.fill_the_screen()
    for size in PHONE, PHONE[::-1], PHONE:
        writer.browser.resize(*size)
        writer.browser.until("innerWidth === args[0]", size[0])
        # A window takes its height a moment after its width.
        height = "document.querySelector('[role=application]').getScreenCTM().d"
        writer.browser.until(f"args[0] * {height} >= 48", X_HEIGHT)
        writer.draw(LEFT, kind="touch")  # waits until the box lies still
        assert writer.x_height() >= 48
        assert writer.browser.evaluate("return document.documentElement.scrollWidth <= innerWidth")
    writer.click("Leave full screen")
