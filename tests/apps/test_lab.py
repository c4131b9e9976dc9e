"""The writing application where people use it: JupyterLab on loopback, a browser that clicks. In the dark
theme, since that is where ink could vanish."""

import io
import json
import os
import re
import subprocess
import sys
import threading
from urllib.parse import urlparse

import numpy as np
import pytest
from conftest import ROOT
from PIL import Image

pytestmark = pytest.mark.slow  # JupyterLab takes its time to start

LAB = "notebook.ipynb"
CELLS = [
    "from cursivetransformer import WritingApp, WritingDesk\napp = WritingApp()\napp",
    "plain = WritingApp('many a brave soul', WritingDesk(app.desk.model), clickable=False)\nplain",
]
RUN_ALL = """async () => {
  const { context, sessionContext } = jupyterapp.shell.currentWidget;
  await Promise.all([context.ready, sessionContext.ready]);
  await sessionContext.session.kernel.info;
  await jupyterapp.commands.execute("notebook:run-all-cells");
}"""
PATHS = "paths => paths.map(p => p.getAttribute('d'))"
# Whether the page shows this ink, a word is marked, and a drawing of the second word on offer is taken.
SHOWS = f"""ink => JSON.stringify(({PATHS})([...document.querySelectorAll('.cursive-word path')]))
  === JSON.stringify(ink)"""
IS_MARKED = """i => document.querySelector(`.cursive-word[data-index="${i}"]`).getAttribute('aria-pressed')
  === 'true'"""
IS_TAKEN = """n => document.querySelectorAll('.cursive-offer')[1].querySelectorAll('button')[n]
  .getAttribute('aria-pressed') === 'true'"""
PAPER = "rgb(255, 253, 248)"


LAB_FLAGS = [
    "--no-browser",
    "--ip=127.0.0.1",
    "--port=0",
    "--allow-root",
    "--IdentityProvider.token=secret",
    "--LabApp.expose_app_in_browser=True",
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
]


def write_notebook(path):
    "A notebook of two applications."
    code = dict(cell_type="code", metadata={}, execution_count=None, outputs=[])
    cells = [dict(code, id=f"cell{i}", source=source) for i, source in enumerate(CELLS)]
    metadata = dict(kernelspec=dict(name="python3", display_name="python3"))
    path.write_text(json.dumps(dict(cells=cells, metadata=metadata, nbformat=4, nbformat_minor=5)))


def lab_environment(home):
    "Variables that have JupyterLab leave its files in a folder, and settings there: no news, the dark theme."
    settings = home / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    (settings / "themes.jupyterlab-settings").write_text('{"theme": "JupyterLab Dark"}')
    places = dict(
        JUPYTER_CONFIG_DIR="config",
        JUPYTER_DATA_DIR="data",
        JUPYTER_RUNTIME_DIR="runtime",
        IPYTHONDIR="ipython",
        JUPYTERLAB_SETTINGS_DIR="settings",
        JUPYTERLAB_WORKSPACES_DIR="workspaces",
    )
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    more = {"OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    return {**os.environ, **{k: str(home / v) for k, v in places.items()}, **more}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    "JupyterLab on loopback, with a notebook of two applications; gives the notebook's address and folder."
    pytest.importorskip("jupyterlab", reason="needs JupyterLab: pip install -e '.[dev]' -c constraints.txt")
    folder = tmp_path_factory.mktemp("work")
    write_notebook(folder / LAB)
    command = [sys.executable, "-m", "jupyterlab", *LAB_FLAGS]
    env = lab_environment(tmp_path_factory.mktemp("home"))
    server = subprocess.Popen(command, cwd=folder, env=env, stderr=subprocess.PIPE, text=True)
    started = re.compile(r"(http://127\.0\.0\.1:\d+)/lab\?token")
    try:
        address = next(found[1] for line in server.stderr if (found := started.search(line)))
        # What it goes on to say has to be read, or it would wait for that.
        threading.Thread(target=server.stderr.read, daemon=True).start()
        yield f"{address}/doc/tree/{LAB}?token=secret", folder
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()


@pytest.fixture(scope="module")
def notebook(chromium, lab):
    """The notebook in a browser, both cells run; whatever is asked of the network beyond loopback is refused,
    and listed."""
    address, _ = lab
    context = chromium.new_context(viewport=dict(width=1100, height=1800), accept_downloads=True)
    page = context.new_page()
    outside = []

    def only_here(route):
        if urlparse(route.request.url).hostname in ("127.0.0.1", None):
            return route.continue_()
        outside.append(route.request.url)
        route.abort()

    context.route("**/*", only_here)
    page.set_default_timeout(60_000)
    page.goto(address)
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(RUN_ALL)
    page.locator("button:text-is('Write')").nth(1).wait_for()
    yield page
    assert not outside
    for trouble in "stderr", "error":
        assert not page.locator(f"[data-mime-type='application/vnd.jupyter.{trouble}']").count()
    context.close()


class Panel:
    "One application on the page."

    def __init__(self, page, number):
        self.page = page
        self.root = page.locator(".jp-Cell").nth(number)

    def press(self, name):
        self.root.locator(f"button:text-is('{name}')").click()

    def field(self, name):
        return self.root.get_by_label(name, exact=True)

    def says(self, text):
        self.root.locator("[role=status]").filter(has_text=text).wait_for()

    def ink(self):
        return self.root.locator(".cursive-word path").evaluate_all(PATHS)

    def word(self, i):
        return self.root.locator(f".cursive-word[data-index='{i}']")

    def marked(self):
        words = self.root.locator(".cursive-word[aria-pressed=true]")
        return words.evaluate_all("words => words.map(w => Number(w.dataset.index))")

    def looks(self):
        "The page as pixels, nothing hovered."
        self.page.mouse.move(1, 1)
        picture = self.root.locator(".cursive-paper").screenshot()
        return np.asarray(Image.open(io.BytesIO(picture)).convert("L"), int)


def differ(a, b):
    "Whether two pictures differ by more than the edge of a line that falls otherwise on pixels."
    return a.shape != b.shape or (abs(a - b) > 40).any()


def style(node, name):
    return node.evaluate("(node, name) => getComputedStyle(node)[name]", name)


def test_type_write_click_respell_undo_export(notebook, lab):
    panel = Panel(notebook, 0)
    panel.root.locator("textarea").fill("Sing, O goddess, the anger of Achilles")
    panel.press("Write")
    panel.says("7 words.")
    first = panel.ink()
    picture = panel.looks()
    assert len(first) == 7 and all(d.startswith("M") for d in first)
    for i in 2, 4:
        panel.word(i).click()
    panel.root.locator(".cursive-offer").nth(1).wait_for()
    assert panel.marked() == [2, 4] and panel.field("words").input_value() == "2, 4"
    assert panel.root.locator(".cursive-offer button").count() == 8 and differ(panel.looks(), picture)
    panel.press("Re-spell")
    panel.says("Written again: 2 'goddess,', 4 'anger'")
    again = panel.ink()
    assert again[:2] == first[:2] and again[2] != first[2] and again[4] != first[4]
    assert differ(panel.looks(), picture) and not panel.marked()
    other = panel.root.locator(".cursive-offer").nth(1).locator("button").nth(2)
    other.focus()
    notebook.keyboard.press("Enter")  # by keyboard, as any button
    notebook.wait_for_function(IS_TAKEN, arg=2)
    assert panel.ink()[4] not in (first[4], again[4])
    for expected in again, first:
        panel.press("Undo")
        notebook.wait_for_function(SHOWS, arg=expected)
    assert panel.marked() == [2, 4]
    panel.word(4).focus()
    notebook.keyboard.press("Space")
    panel.word(2).click()
    notebook.wait_for_function("!document.querySelector('.cursive-word[aria-pressed=true]')")
    panel.root.locator("textarea").click()
    assert not differ(panel.looks(), picture)
    panel.field("save as").select_option(label="anim.svg, a drawing that draws itself in a browser")
    panel.field("named").fill("achilles")
    panel.press("Save")
    panel.says("Saved achilles.anim.svg.")
    with notebook.expect_download() as download:
        panel.root.locator("a[download]").click()
    saved = (lab[1] / "achilles.anim.svg").read_bytes()
    assert download.value.suggested_filename == "achilles.anim.svg"
    assert download.value.path().read_bytes() == saved
    assert b"<title>Sing, O goddess, the anger of Achilles</title>" in saved


def test_trouble_progress_stop_and_the_dark_theme(notebook):
    panel = Panel(notebook, 0)
    before = panel.ink()
    panel.root.locator("textarea").fill("5 €")
    panel.press("Write")
    panel.says("The model cannot write '€'")
    assert panel.ink() == before
    panel.root.locator("textarea").fill("many a brave soul did it send hurrying down to Hades, " * 200)
    panel.press("Write")
    panel.says("of 2200 words")
    panel.word(3).wait_for()  # the page grows
    panel.press("Stop")
    panel.says("Stopped:")
    assert 16 <= len(panel.ink()) < 2200 and panel.root.locator("button:text-is('Write')").is_enabled()
    panel.field("words").fill("[1, 3]")
    panel.field("words").press("Enter")
    notebook.wait_for_function(IS_MARKED, arg=3)
    assert style(panel.root.locator(".cursive-paper"), "backgroundColor") == PAPER
    assert style(panel.word(0).locator("path"), "stroke") == "rgb(31, 58, 147)"
    assert style(notebook.locator("body"), "backgroundColor") not in (PAPER, "rgb(255, 255, 255)")
    assert panel.word(3).get_attribute("aria-label") == "3 soul"
    panel.word(5).hover()
    assert style(panel.word(5).locator("text"), "visibility") == "visible"
    assert style(panel.word(6).locator("text"), "visibility") == "hidden"


def test_no_label_is_cut_off(notebook):
    panel = Panel(notebook, 0)
    assert panel.field("line length, mm").input_value() == "200"
    cut = "labels => labels.filter(l => l.scrollWidth > l.clientWidth).map(l => l.textContent)"
    assert panel.root.locator(".widget-label").evaluate_all(cut) == []


def test_plain_buttons_do_the_same(notebook):
    panel = Panel(notebook, 1)

    def picture():
        return panel.root.locator("svg[aria-label='many a brave soul'] path").evaluate_all(PATHS)

    panel.press("Write")
    panel.says("4 words.")
    first = picture()
    panel.press("2 brave")
    panel.root.locator("button:text-is('take')").nth(3).wait_for()
    panel.root.locator("button:text-is('take')").nth(1).click()
    panel.root.locator("button:text-is('taken')").wait_for()
    assert picture()[:2] == first[:2] and picture()[2] != first[2]
    panel.press("Undo")
    panel.says("Undone.")
    assert picture() == first
