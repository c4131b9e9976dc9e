"""Chromium, Firefox and WebKit behind one small interface, for what has to work in all three.

Each is the one that Debian packages, steered by what it brings: Chromium by its debugging protocol,
Firefox by WebDriver BiDi, WebKitGTK by WebKitWebDriver. A browser has a folder for its profile, so that it
can be killed in the middle and started again with all that it had kept. No page here needs the network.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import CHROMIUM, CHROMIUM_FLAGS

PATIENCE = 60  # seconds for anything to come true on a busy machine
# Steered from outside, with nothing said of the crash before.
STEERED = ["--headless=new", "--hide-crash-restore-bubble", "--remote-debugging-port=0"]
# Firefox asks nobody for anything, restores no windows after a crash and saves files without a question.
FIREFOX_SETTINGS = {
    "app.normandy.enabled": False,
    "app.update.disabledForTesting": True,
    "browser.download.alwaysOpenPanel": False,
    "browser.download.folderList": 2,
    "browser.sessionstore.resume_from_crash": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.page": 0,
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,#remote-settings-dummy/v1",
    "toolkit.startup.max_resumed_crashes": -1,
    "toolkit.telemetry.server": "",
}
HERE = Path(__file__).parent
# Before the scripts of a page: errors are noted, and pointers that a driver lacks are played.
PRELOAD = (HERE / "browser_preload.js").read_text()
# In what is asked of a page: elements by their names.
NAMED = (HERE / "browser_names.js").read_text()
# Choose from a list, if the field of this name is one.
CHOOSE = """
  const [name, text] = args;
  const node = field(name);
  if (node.localName !== "select") return false;
  node.value = [...node.options].find(o => o.textContent.trim() === text).value;
  for (const event of ["input", "change"]) node.dispatchEvent(new Event(event, {bubbles: true}));
  return true;
"""
# Where to click a button or a field, once it can be.
PLACE = """(() => {
  const node = button(args[0]) ?? field(args[0]);
  if (!node || node.disabled) return null;
  node.scrollIntoView({block: "center", behavior: "instant"});
  const {left, top, width, height} = node.getBoundingClientRect();
  const x = Math.round(left + width / 2 + args[1]);
  const y = Math.round(top + height / 2);
  return node.contains(document.elementFromPoint(x, y)) && [x, y];
})()"""
KEYS = {
    "Enter": ("\ue007", 13, "\r"),
    "Escape": ("\ue00c", 27, ""),
    "Tab": ("\ue004", 9, ""),
    "Backspace": ("\ue003", 8, ""),
    "Delete": ("\ue017", 46, ""),
    "ArrowLeft": ("\ue012", 37, ""),
    "ArrowUp": ("\ue013", 38, ""),
    "ArrowRight": ("\ue014", 39, ""),
    "ArrowDown": ("\ue015", 40, ""),
    "Shift": ("\ue008", 16, ""),
    "Control": ("\ue009", 17, ""),
}


class Socket:
    "Questions and answers as JSON, to a browser that listens."

    def __init__(self, address):
        websocket = pytest.importorskip(
            "websocket",
            reason="browser tests need websocket-client: pip install -e '.[dev]' -c constraints.txt",
        )
        self.line = websocket.create_connection(address, suppress_origin=True, timeout=PATIENCE)
        self.asked, self.answers = 0, {}

    def ask(self, method, params, **more):
        self.asked += 1
        self.line.send(json.dumps({"id": self.asked, "method": method, "params": params, **more}))
        return self.asked

    def answer(self, number):
        while number not in self.answers:
            said = json.loads(self.line.recv())
            if "id" in said:
                self.answers[said["id"]] = said
        said = self.answers.pop(number)
        if "error" in said:
            raise RuntimeError(f"{said['error']} {said.get('message', '')}")
        return said["result"]

    def call(self, method, params, **more):
        return self.answer(self.ask(method, params, **more))


class Browser:
    """A browser with one tab or several, of which one is in front. What differs between engines is in the
    subclasses: `start`, `goto`, `run`, `point`, `type_keys`, `new_tab`, `front`, `close_last`."""

    name = ""
    points_with = frozenset(["mouse"])  # pointers of the driver; others are played by a script

    def __init__(self, folder, size=(1100, 900), preload=""):
        self.folder = Path(folder)
        self.size = size
        self.preload = PRELOAD + preload
        self.downloads = self.folder / "downloads"
        self.downloads.mkdir(parents=True, exist_ok=True)
        self.process, self.errors = None, []
        self.begin()

    def begin(self):
        "Start the program, and give it a first tab."
        self.tabs, self.tab = [], 0
        try:
            self.start()
        except BaseException:
            self.kill()
            raise

    def launch(self, command, **environment):
        "Start a program in a group of its own, so that a crash leaves nothing of it."
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, **environment},
        )
        return self.process.stderr

    def listening(self, lines, pattern):
        "What a program says about where it listens; the rest of what it says is thrown away."
        found = next(found[1] for line in lines if (found := re.search(pattern, line)))
        threading.Thread(target=lines.read, daemon=True).start()
        return found

    def kill(self):
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def crash(self, url):
        "End the program and all its processes at once, as a power cut would, and open a page again."
        self.kill()
        self.begin()
        self.open(url)

    def close(self):
        "Close it, and hand on the errors of its pages."
        self.note_errors()
        self.kill()
        return self.errors

    def note_errors(self):
        for tab in range(len(self.tabs)):
            self.front(tab)
            self.errors += self.evaluate("return window.testErrors ?? []")

    def open(self, url):
        self.goto(url)
        return self

    def tab_of(self, url):
        "Open a page in another tab, and answer its number."
        self.new_tab()
        self.goto(url)
        return self.tab

    def close_tab(self):
        "Close the tab opened last, and have the first one in front."
        self.close_last()
        self.tabs.pop()
        self.front(0)

    def evaluate(self, body, *values):
        "The value of the body of a function, which may wait; `values` are its `args`."
        args = ", ".join(json.dumps(v) for v in values)
        code = f"const args = [{args}];\n{NAMED}\n{body}"
        said = json.loads(self.run(f"(async () => {{ {code} }})()"))
        if "error" in said:
            raise RuntimeError(f"{self.name}: {said['error']}")
        return said.get("value")

    def until(self, condition, *values, patience=PATIENCE):
        "Wait for an expression to be true, and answer its value, or True for an element."
        deadline = time.monotonic() + patience
        while not (
            value := self.evaluate(f"const it = {condition}; return it instanceof Node || it", *values)
        ):
            if time.monotonic() > deadline:
                page = self.evaluate("return document.body.innerText.slice(0, 500)")
                raise AssertionError(f"{self.name}: never true: {condition} {values}\nThe page says:\n{page}")
            time.sleep(0.02)
        return value

    def pointer(self, kind, steps):
        "A mouse, pen or finger does `(move, x, y)`, `(down,)`, `(up,)`; CSS pixels of the window."
        if kind in self.points_with:
            return self.point(kind, steps)
        self.evaluate("testPlay(...args)", kind, [list(s) for s in steps])

    def cancel(self, kind):
        "The system takes the pointer away that is down: for a palm, for a gesture."
        if kind not in self.points_with:
            return self.pointer(kind, [("cancel",)])
        self.evaluate("""
          const {target, pointerId, pointerType} = testPointer;
          const about = {pointerId, pointerType, bubbles: true};
          target.dispatchEvent(new PointerEvent("pointercancel", about));
          target.dispatchEvent(new PointerEvent("lostpointercapture", about));
        """)
        self.pointer(kind, [("up",)])  # the driver's own button, of which the page has heard enough

    def click(self, name, times=1):
        """Click a button that is called so, where it is. Each click goes a little beside the one before: this
        hand is so quick that two clicks at one place would be a double one."""
        self.beside = 8 - self.beside
        place = self.until(PLACE, name, self.beside)
        self.pointer("mouse", [("move", *place), *[("down",), ("up",)] * times])

    beside = 0  # CSS pixels

    def has(self, name):
        "Whether a button of that name is seen and can be pressed."
        return self.evaluate("const b = button(args[0]); return !!b && !b.disabled", name)

    def fill(self, name, text):
        "Type into a field in place of what stands there, and leave it; choose, where it is a list."
        self.until("field(args[0])", name)
        if self.evaluate(CHOOSE, name, text):
            return
        place = self.until(PLACE, name, 0)
        self.pointer("mouse", [("move", *place), ("down",), ("up",)])
        self.evaluate("field(args[0]).select()", name)
        self.type("Backspace", *text)
        self.evaluate("document.activeElement.blur()")

    def type(self, *keys):
        "Press keys one after the other: characters, names of keys, and `Shift+...`, `Control+...`."
        self.type_keys([k.rsplit("+", 1) if len(k) > 1 and "+" in k else ["", k] for k in keys])

    def choose(self, css, name, text, kind="application/json"):
        "Hand a file to an input of the document."
        self.evaluate(
            """
          const [css, name, text, type] = args;
          const input = document.querySelector(css);
          const files = new DataTransfer();
          files.items.add(new File([text], name, {type}));
          input.files = files.files;
          input.dispatchEvent(new Event("change", {bubbles: true}));
        """,
            css,
            name,
            text,
            kind,
        )

    def download(self, pattern="*.json"):
        "The text of the file that arrives among the downloads."
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for path in self.downloads.glob(pattern):
                text = path.read_text()
                if text.endswith("\n"):
                    path.unlink()
                    return text
            time.sleep(0.05)
        raise AssertionError(f"{self.name}: no {pattern} was saved")


class Chromium(Browser):
    name = "chromium"
    points_with = frozenset(["mouse", "pen", "touch"])

    @staticmethod
    def lacks():
        return "" if any(map(shutil.which, CHROMIUM)) else "needs Chromium: apt-get install chromium"

    def start(self):
        program = next(filter(None, map(shutil.which, CHROMIUM)))
        size = f"--window-size={self.size[0]},{self.size[1]}"
        profile = f"--user-data-dir={self.folder / 'profile'}"
        said = self.launch([program, *CHROMIUM_FLAGS, *STEERED, profile, size, "about:blank"])
        self.socket = Socket(self.listening(said, r"DevTools listening on (ws:\S+)"))
        saving = {"behavior": "allow", "downloadPath": str(self.downloads)}
        self.socket.call("Browser.setDownloadBehavior", saving)
        pages = self.socket.call("Target.getTargets", {})["targetInfos"]
        self.attach(next(p["targetId"] for p in pages if p["type"] == "page"))

    def attach(self, target):
        about = {"targetId": target, "flatten": True}
        self.tabs.append(self.socket.call("Target.attachToTarget", about)["sessionId"])
        self.tab = len(self.tabs) - 1
        self.call("Page.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=self.preload)
        self.resize(*self.size)

    def call(self, method, **params):
        return self.socket.call(method, params, sessionId=self.tabs[self.tab])

    def resize(self, width, height):
        "Make the window so large, in CSS pixels."
        about = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **about)

    def new_tab(self):
        self.attach(self.socket.call("Target.createTarget", {"url": "about:blank"})["targetId"])

    def front(self, tab):
        self.tab = tab
        self.call("Page.bringToFront")

    def close_last(self):
        self.tab = len(self.tabs) - 1
        self.call("Page.close")

    def goto(self, url):
        self.call("Page.navigate", url=url)
        self.until("document.readyState === 'complete' && location.href.startsWith(args[0])", url)

    def run(self, promise):
        expression = f"""{promise}.then(value => JSON.stringify({{value}}),
            e => JSON.stringify({{error: String(e?.stack ?? e)}}))"""
        said = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        return said["result"]["value"]

    def point(self, kind, steps):
        place = (0, 0)
        questions = []
        for what, *at in steps:
            place = at or place
            self.pressed = {"down": 1, "up": 0}.get(what, self.pressed)
            self.clicks = 0 if what == "move" else self.clicks + (what == "down")
            if kind == "touch" and what == "move" and not self.pressed:
                continue  # a finger is nowhere before it touches
            questions.append(self.socket.ask(*self.event(kind, what, *place), sessionId=self.tabs[self.tab]))
        for number in questions:
            self.socket.answer(number)

    pressed = 0  # whether a button is
    clicks = 0  # at one place

    def event(self, kind, what, x, y):
        "The name and content of one event of a pointer."
        if kind == "touch":
            name = {"down": "touchStart", "move": "touchMove", "up": "touchEnd"}[what]
            return "Input.dispatchTouchEvent", {
                "type": name,
                "touchPoints": [] if what == "up" else [{"x": x, "y": y}],
            }
        name = {"down": "mousePressed", "move": "mouseMoved", "up": "mouseReleased"}[what]
        about = {"type": name, "x": x, "y": y, "pointerType": kind, "buttons": self.pressed}
        button = "none" if what == "move" and not self.pressed else "left"
        return "Input.dispatchMouseEvent", {**about, "button": button, "clickCount": self.clicks}

    def type_keys(self, keys):
        questions = []
        for held, key in keys:
            modifiers = {"": 0, "Control": 2, "Shift": 8}[held]
            number = ord(key.upper()) if key.isalnum() and len(key) == 1 else 0
            _, code, text = KEYS.get(key, ("", number, key))
            name = f"Key{key.upper()}" if key.isalpha() and len(key) == 1 else key
            about = {"key": key, "code": {" ": "Space"}.get(key, name), "modifiers": modifiers}
            about["windowsVirtualKeyCode"] = 32 if key == " " else code
            down = {**about, "type": "keyDown"}
            if text and held != "Control":
                down["text"] = text
            for event in down, {**about, "type": "keyUp"}:
                questions.append(
                    self.socket.ask("Input.dispatchKeyEvent", event, sessionId=self.tabs[self.tab])
                )
        for number in questions:
            self.socket.answer(number)


def actions_of(kind, steps):
    "Steps of a pointer, as WebDriver has them."
    names = {"down": "pointerDown", "up": "pointerUp"}
    ticks = [
        {"type": "pointerMove", "duration": 0, "x": s[1], "y": s[2]}
        if s[0] == "move"
        else {"type": names[s[0]], "button": 0}
        for s in steps
    ]
    return [{"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": ticks}]


def actions_of_keys(keys):
    "Keys, as WebDriver has them."
    ticks = []
    for held, key in keys:
        codes = [KEYS[k][0] if k in KEYS else k for k in (held, key) if k]
        ticks += [{"type": "keyDown", "value": c} for c in codes]
        ticks += [{"type": "keyUp", "value": c} for c in reversed(codes)]
    return [{"type": "key", "id": "keyboard", "actions": ticks}]


class Firefox(Browser):
    name = "firefox"
    points_with = frozenset(["mouse", "touch"])

    @staticmethod
    def lacks():
        found = shutil.which("firefox-esr") or shutil.which("firefox")
        return "" if found else "needs Firefox: apt-get install firefox-esr"

    def start(self):
        program = shutil.which("firefox-esr") or shutil.which("firefox")
        profile = self.folder / "profile"
        profile.mkdir(exist_ok=True)
        settings = {**FIREFOX_SETTINGS, "browser.download.dir": str(self.downloads)}
        lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});\n" for k, v in settings.items()]
        (profile / "user.js").write_text("".join(lines))
        command = [program, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0"]
        said = self.launch(command)
        self.socket = Socket(self.listening(said, r"WebDriver BiDi listening on (ws:\S+)") + "/session")
        self.call("session.new", capabilities={})
        self.call("script.addPreloadScript", functionDeclaration=f"() => {{ {self.preload} }}")
        (first,) = self.call("browsingContext.getTree")["contexts"]
        self.new_tab()  # the first one never gets the focus, and so is told of no change in a field
        self.call("browsingContext.close", context=first["context"])

    def call(self, method, **params):
        return self.socket.call(method, params)

    def attach(self, context):
        self.tabs.append(context)
        self.tab = len(self.tabs) - 1
        self.resize(*self.size)

    def resize(self, width, height):
        "Make the window so large, in CSS pixels."
        viewport = {"width": width, "height": height}
        self.call("browsingContext.setViewport", context=self.tabs[self.tab], viewport=viewport)

    def new_tab(self):
        self.attach(self.call("browsingContext.create", type="tab")["context"])

    def front(self, tab):
        self.tab = tab
        self.call("browsingContext.activate", context=self.tabs[tab])

    def close_last(self):
        self.call("browsingContext.close", context=self.tabs[-1])

    def goto(self, url):
        self.call("browsingContext.navigate", context=self.tabs[self.tab], url=url, wait="complete")

    def run(self, promise):
        expression = f"""{promise}.then(value => JSON.stringify({{value}}),
            e => JSON.stringify({{error: String(e?.message ?? e)}}))"""
        where = {"context": self.tabs[self.tab]}
        said = self.call("script.evaluate", expression=expression, target=where, awaitPromise=True)
        if "exceptionDetails" in said:
            raise RuntimeError(said["exceptionDetails"]["text"])
        return said["result"]["value"]

    def perform(self, actions):
        self.call("input.performActions", context=self.tabs[self.tab], actions=actions)

    def point(self, kind, steps):
        self.perform(actions_of(kind, steps))

    def type_keys(self, keys):
        self.perform(actions_of_keys(keys))


class WebKit(Browser):
    name = "webkit"

    @staticmethod
    def lacks():
        if not shutil.which("WebKitWebDriver") or not shutil.which("Xvfb"):
            return "needs WebKit: apt-get install webkit2gtk-driver xvfb"
        bindings = "import gi; gi.require_version('WebKit2', '4.1')"
        if subprocess.run(["/usr/bin/python3", "-c", bindings], capture_output=True).returncode:
            return "needs WebKit's bindings: apt-get install python3-gi gir1.2-webkit2-4.1"
        return ""

    def start(self):
        (self.folder / "preload.js").write_text(self.preload)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        screen = f"-screen 0 {max(1400, self.size[0])}x{max(1100, self.size[1])}x24 -nolisten tcp"
        # `exec` so that all is one group: a screen, which tells its number, and a driver with its browser.
        shell = f"""Xvfb -displayfd 3 {screen} 3> "$1/display" 2> /dev/null &
            until [ -s "$1/display" ]; do sleep 0.02; done
            DISPLAY=:$(cat "$1/display") exec WebKitWebDriver --port={self.port} 1>&2"""
        (self.folder / "display").unlink(missing_ok=True)
        self.launch(["bash", "-c", shell, "webkit", self.folder], GDK_BACKEND="x11", NO_AT_BRIDGE="1")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        window = [HERE / "webkit_window.py", self.folder, *self.size]
        options = {"binary": "/usr/bin/python3", "args": list(map(str, window))}
        wanted = {"capabilities": {"alwaysMatch": {"webkitgtk:browserOptions": options}}}
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.session = self.ask("POST", "/session", wanted)["sessionId"]
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline, "WebKitWebDriver does not answer"
                time.sleep(0.05)
        self.attach(self.call("GET", "/window"))

    def ask(self, method, path, content=None):
        data = None if content is None else json.dumps(content).encode()
        heading = {"Content-Type": "application/json"}
        address = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(address, data, heading, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as e:
            raise RuntimeError(f"{path}: {e.read().decode()}") from None

    def call(self, method, path, **content):
        return self.ask(method, f"/session/{self.session}{path}", content if method == "POST" else None)

    def attach(self, handle):
        self.tabs.append(handle)
        self.front(len(self.tabs) - 1)

    def resize(self, width, height):
        "Make the window so large, in CSS pixels."
        self.call("POST", "/window/rect", width=width, height=height)

    def new_tab(self):
        self.attach(self.call("POST", "/window/new", type="tab")["handle"])

    def front(self, tab):
        self.tab = tab
        self.call("POST", "/window", handle=self.tabs[tab])

    def close_last(self):
        self.front(len(self.tabs) - 1)
        self.call("DELETE", "/window")

    def goto(self, url):
        self.call("POST", "/url", url=url)

    def run(self, promise):
        script = f"""const done = arguments[arguments.length - 1];
            {promise}.then(value => done(JSON.stringify({{value}})),
                e => done(JSON.stringify({{error: String(e?.message ?? e)}})))"""
        return self.call("POST", "/execute/async", script=script, args=[])

    def point(self, kind, steps):
        self.call("POST", "/actions", actions=actions_of(kind, steps))

    def type_keys(self, keys):
        self.call("POST", "/actions", actions=actions_of_keys(keys))


ENGINES = {engine.name: engine for engine in (Chromium, Firefox, WebKit)}
# To run a test in: Chromium always, the others together take more than a minute.
EVERY_ENGINE = [
    Chromium.name,
    *(pytest.param(engine.name, marks=pytest.mark.slow) for engine in (Firefox, WebKit)),
]


@contextlib.contextmanager
def browser(name, folder, **options):
    "One of the engines with a profile in a folder; skips the test where this machine has none."
    engine = ENGINES[name]
    if lacking := engine.lacks():
        pytest.skip(lacking)
    it = engine(folder, **options)
    try:
        yield it
    finally:
        it.kill()
