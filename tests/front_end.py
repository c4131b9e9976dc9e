"""A front end that is no notebook: `page.js` in a browser, and what goes to and fro between it and Python.

As ipywidgets' own does, it takes all of a message before it tells of any change, tells of them in the order
of the message, and an error in what it calls ends that.
"""

from queue import SimpleQueue

import ipywidgets
import pytest

from cursivetransformer.apps.view import clickable_page

STATE = ("page", "offers", "state")  # what the two share
MODEL = """({ script, style, state }) => {
  const handlers = {};
  const attributes = { ...state };
  const tell = name => { for (const handler of handlers[name] ?? []) handler(); };
  const model = {
    get: name => attributes[name],
    set(name, value) { attributes[name] = value; tell(`change:${name}`); },
    save_changes() { window.sent.push({ update: JSON.parse(JSON.stringify(attributes)) }); },
    send: message => window.sent.push(message),
    on(name, handler) { (handlers[name] ??= []).push(handler); },
    off(name, handler) { handlers[name] = handlers[name].filter(h => h !== handler); },
  };
  window.sent = [];
  window.answer = message => { for (const handler of handlers["msg:custom"] ?? []) handler(message, []); };
  window.receive = update => {
    Object.assign(attributes, update);
    for (const name of Object.keys(update)) tell(`change:${name}`);
  };
  const sheet = document.createElement("style");
  sheet.textContent = style;
  document.head.append(sheet);
  const address = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
  return import(address).then(module => {
    module.default.render({ model, el: document.getElementById("view") });
  });
}"""
BODY = """<!DOCTYPE html><html lang="en"><title>panel</title><body>
<main><button>before</button><div id="view"></div><button>after</button></main>"""


class Line:
    "What a widget has to say to the browser, kept."

    def __init__(self):
        self.updates = SimpleQueue()  # states, those that changed
        self.messages = SimpleQueue()  # what is said besides

    def send(self, message: dict, buffers=None):
        if message.get("method") == "update":
            self.updates.put(message["state"])
        elif message.get("method") == "custom":
            self.messages.put(message["content"])


def listen(widget) -> Line:
    "Keep what a widget has to say."
    if int(ipywidgets.__version__.split(".")[0]) < 8:
        pytest.skip("widgets of ipywidgets 7 say nothing where there is no kernel")
    line = Line()
    widget._send = line.send
    return line


def open_view(page, state: dict, body: str = BODY) -> list:
    "Have a browser's page show a page of ink; gives the errors that it comes to."
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.set_content(body)
    kind = clickable_page()
    run_module(page, kind._esm, kind._css, state)
    return errors


def run_module(page, script: str, style: str, state: dict):
    "Have a browser's page, which has a place for it, show a widget."
    page.evaluate(MODEL, dict(script=script, style=style, state=state))


class FrontEnd:
    "A browser that shows the page of an application of this very process."

    def __init__(self, page, app):
        self.page = page
        self.app = app
        widget = app.view.widget
        self.line = listen(widget)
        self.errors = open_view(page, {name: getattr(widget, name) for name in STATE})

    def settle(self):
        "Until nobody has anything more to say."
        while True:
            assert self.app.wait()
            sent = self.page.evaluate("window.sent.splice(0)")
            for message in sent:
                self.app.view.widget._handle_custom_msg(message, [])
            assert self.app.wait()
            if self.line.updates.empty() and not sent:
                break
            while not self.line.updates.empty():
                self.page.evaluate("update => window.receive(update)", self.line.updates.get())
        assert not self.errors, self.errors

    def word(self, index: int):
        return self.page.locator(f".cursive-word[data-index='{index}']")

    def paths(self) -> list:
        "The ink of every word that is seen."
        return self.page.locator(".cursive-word path").evaluate_all(
            "all => all.map(p => p.getAttribute('d'))"
        )

    def marked(self) -> list:
        words = self.page.locator(".cursive-word[aria-pressed=true]")
        return words.evaluate_all("words => words.map(w => Number(w.dataset.index))")
