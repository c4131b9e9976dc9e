"""Collecting in a notebook: the page finds its server, or goes through the kernel, and leaves a sentence."""

import functools
import http.server
import json
import sys
import threading
import types
import urllib.error
import urllib.request

import ipywidgets
import pytest
from front_end import listen, run_module

from cursivetransformer.apps import collect_view
from cursivetransformer.apps.collect import page_html, serve
from cursivetransformer.apps.collect_view import (
    collect_words,
    framed_page,
    hub_path,
    page_widget,
    plain_frame,
)
from cursivetransformer.data.banks import load_bank

POINTS = [[0.1, 0.5, 1], [0.2, 0.4, 1], [0.3, 0.6, 1], [0.3, 0.6, 0]]
FACTS = dict(author="Ada", asciiSequence="it", pointCount=4, strokeCount=1, aspectRatio=6)
ITEM = dict(metadata=FACTS, points=POINTS)
NOTEBOOK = "http://notebook.example/"
STATE = ("local", "proxied", "session", "height")


@pytest.fixture
def collection(tmp_path):
    collection = serve(tmp_path / "mine.json")
    yield collection
    collection.close()


@pytest.fixture
def displayed(monkeypatch):
    "What a cell puts out."
    import IPython.display

    outputs = []
    monkeypatch.setattr(IPython.display, "display", lambda bundle, **_: outputs.append(bundle))
    return outputs


class Notebook:
    "A page with the widget on it, at an address of its own, and the kernel behind it."

    def __init__(self, context, collection, address=NOTEBOOK, base=None):
        self.page = context.new_page()
        self.page.set_default_timeout(20_000)
        body = (
            f'<!DOCTYPE html><body data-base-url="{base}"><div id="view"></div>' if base else "<div id=view>"
        )
        if address == NOTEBOOK:
            self.page.route(address, lambda route: route.fulfill(body=body, content_type="text/html"))
        self.page.goto(address)
        self.widget = page_widget(collection, 700)
        self.line = listen(self.widget)
        state = {name: getattr(self.widget, name) for name in STATE}
        run_module(self.page, self.widget._esm, "", state)
        self.frame = self.page.frame_locator("iframe[title='Write words of your own']")

    def settle(self):
        "Hand on what the page asks, and what it is answered."
        sent = self.page.evaluate("window.sent.splice(0)")
        for request in sent:
            self.widget._handle_custom_msg(request, [])
        while not self.line.messages.empty():
            self.page.evaluate("message => window.answer(message)", self.line.messages.get())
        return len(sent)

    def until(self, condition):
        for _ in range(600):
            self.settle()
            if condition():
                return
            self.page.wait_for_timeout(100)
        raise AssertionError("it never came true")

    def opened(self):
        "The frame's own page, once it shows where it keeps words."
        self.until(self.frame.get_by_text("in mine.json").first.is_visible)
        return self.inside()

    def inside(self):
        "The frame's own page."
        return next(f for f in self.page.frames if f != self.page.main_frame)


@pytest.fixture
def context(chromium):
    context = chromium.new_context()
    yield context
    context.close()


def test_the_page_comes_through_the_kernel_where_no_server_is_reached(context, collection):
    notebook = Notebook(context, collection)
    inside = notebook.opened()
    request = dict(method="PUT", headers={"Content-Type": "application/json"})
    request["body"] = json.dumps(dict(revision=0, items=[ITEM]))
    inside.evaluate(
        """request => { cursiveAsk("bank", request)
          .then(async answer => window.said = [answer.status, await answer.json()]) }""",
        request,
    )
    notebook.until(lambda: inside.evaluate("window.said"))
    assert inside.evaluate("said") == [200, {"revision": 1}]
    assert [w.text for w in load_bank(str(collection.bank.path)).words] == ["it"]
    assert inside.evaluate("cursiveSession") == str(collection.bank.path)


def test_what_the_kernel_refuses_is_refused_as_by_the_server(context, collection):
    notebook = Notebook(context, collection)
    inside = notebook.opened()
    inside.evaluate(
        """() => { window.all = {};
        const late = '{"revision": 7, "items": []}';
        for (const [path, body] of [["bank", "nonsense"], ["bank", late], ["more", "{}"]])
          cursiveAsk(path, { method: "PUT", body }).then(a => all[path + body] = a.status); }"""
    )
    notebook.until(lambda: len(inside.evaluate("all")) == 3)
    assert sorted(inside.evaluate("all").values()) == [400, 404, 409]
    assert not collection.bank.path.exists()


def test_a_request_can_be_given_up_and_a_late_answer_harms_nobody(context, collection):
    notebook = Notebook(context, collection)
    inside = notebook.opened()
    inside.evaluate(
        """() => { cursiveAsk("bank", { signal: AbortSignal.timeout(50) })
          .catch(error => window.gaveUp = error.name) }"""
    )
    notebook.page.wait_for_timeout(300)  # the kernel is busy
    assert inside.evaluate("gaveUp") == "TimeoutError"
    notebook.settle()


def test_the_server_is_taken_where_the_browser_reaches_it(context, collection, tmp_path):
    (tmp_path / "index.html").write_text("<!DOCTYPE html><div id=view>")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as jupyter:
        threading.Thread(target=jupyter.serve_forever, daemon=True).start()
        notebook = Notebook(context, collection, f"http://127.0.0.1:{jupyter.server_address[1]}/index.html")
        jupyter.shutdown()
    inside = notebook.opened()
    assert inside.url == collection.url and notebook.settle() == 0


def test_behind_a_hub_the_page_lies_below_jupyters_address(context, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    collection = serve(tmp_path / "mine.json", proxied=True)
    at = f"{NOTEBOOK}user/ada/{hub_path(collection)}"

    def proxy(route):
        request = urllib.request.Request(route.request.url.replace(at, collection.url))
        with urllib.request.urlopen(request) as answer:
            route.fulfill(body=answer.read(), content_type=answer.headers["Content-Type"])

    context.route(f"{at}**", proxy)
    notebook = Notebook(context, collection, base="/user/ada/")
    inside = notebook.opened()
    assert inside.url == at
    collection.close()


def test_a_cell_leaves_a_sentence(displayed, tmp_path):
    collection = collect_words(tmp_path / "mine.json")
    left, alive = displayed
    assert f"are in {tmp_path}/mine.json. To write more, run this cell again" in left["text/html"]
    assert "iframe" not in left["text/html"] and "127.0.0.1" not in left["text/html"]
    assert "application/vnd.jupyter.widget-view+json" in alive
    with urllib.request.urlopen(collection.url) as answer:
        assert answer.read() == page_html()
    collection.close()


def test_without_anywidget_there_is_a_plain_frame(displayed, collection, tmp_path, monkeypatch):
    framed_page.cache_clear()
    monkeypatch.setitem(sys.modules, "anywidget", None)
    frame = plain_frame(collection, 500)
    assert isinstance(frame, ipywidgets.HTML) and f'src="{collection.url}"' in frame.value
    assert "install anywidget there" in frame.value and 'title="Write words of your own"' in frame.value
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ada/")
    assert f'src="/user/ada/{hub_path(collection)}"' in plain_frame(collection, 500).value
    collect_words(tmp_path / "other.json").close()
    assert "To write more, run this cell again" in displayed[0]["text/html"]


def test_colab_has_a_way_of_its_own(monkeypatch, tmp_path, displayed):
    shown = []

    def serve_kernel_port_as_iframe(port, path, height):
        shown.append((port, path))

    output = types.SimpleNamespace(serve_kernel_port_as_iframe=serve_kernel_port_as_iframe)
    monkeypatch.setitem(sys.modules, "google", types.ModuleType("google"))
    monkeypatch.setitem(sys.modules, "google.colab", types.SimpleNamespace(output=output))
    collection = collect_words(tmp_path / "mine.json")
    port, path = shown[-1]
    headers = dict(Host="4242-colab.googleusercontent.com", Origin="https://4242-colab.googleusercontent.com")
    for asked, code in [(f"{path}?authuser=0", 200), (f"{path}bank", 200), ("/bank", 404)]:
        request = urllib.request.Request(f"http://127.0.0.1:{port}{asked}", headers=headers)
        try:
            with urllib.request.urlopen(request) as answer:
                assert answer.status == code
        except urllib.error.HTTPError as e:
            assert e.code == code
    assert displayed == [] and collect_view.hub_path(collection) == ""
    collection.close()
