"""The writing application where people use it: JupyterLab on loopback, a browser that clicks. In the dark
theme, since that is where ink could vanish."""

import io
import json
import os
import re
import subprocess
import sys
import threading
import time
from urllib.parse import urlparse

import numpy as np
import pytest
from accessibility import faults_on
from conftest import ROOT
from PIL import Image

pytestmark = pytest.mark.slow  # JupyterLab takes its time to start

LAB = "notebook.ipynb"
CELLS = [
    "from cursivetransformer import WritingApp, WritingDesk\napp = WritingApp()\napp",
    "plain = WritingApp('many a brave soul', WritingDesk(app.desk.model), clickable=False)\nplain",
    "from cursivetransformer import collect_words\nmine = collect_words('mine.json', height=600)",
]
RUN_ALL = """async () => {
  const { context, sessionContext } = jupyterapp.shell.currentWidget;
  await Promise.all([context.ready, sessionContext.ready]);
  await sessionContext.session.kernel.info;
  await jupyterapp.commands.execute("notebook:run-all-cells");
}"""
PATHS = "paths => paths.map(p => p.getAttribute('d'))"
# Whether the page shows this ink, a word is marked, and a drawing that is on offer is taken.
SHOWS = f"""ink => JSON.stringify(({PATHS})([...document.querySelectorAll('.cursive-word path')]))
  === JSON.stringify(ink)"""
IS_MARKED = """i => document.querySelector(`.cursive-word[data-index="${i}"]`).getAttribute('aria-pressed')
  === 'true'"""
IS_TAKEN = """n => document.querySelector(`.cursive-offer [data-number="${n}"]`)
  ?.getAttribute('aria-pressed') === 'true'"""
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
    "A notebook of two applications, and the page to collect words on."
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
    candidates = panel.root.locator(".cursive-offer [data-number]")
    for i in 2, 4:
        panel.word(i).click()
        candidates.nth(3).wait_for()
    assert panel.marked() == [2, 4] and panel.field("words").input_value() == "2, 4"
    assert candidates.count() == 4 and differ(panel.looks(), picture)
    panel.press("Re-spell")
    panel.says("Written again: 2 'goddess,', 4 'anger'")
    again = panel.ink()
    assert again[:2] == first[:2] and again[2] != first[2] and again[4] != first[4]
    assert differ(panel.looks(), picture) and not panel.marked()
    candidates.nth(2).focus()  # of the word that was clicked last
    notebook.keyboard.press("Enter")  # by keyboard, as any button
    notebook.wait_for_function(IS_TAKEN, arg=2)
    assert panel.ink()[4] not in (first[4], again[4])
    for expected in again, first:
        panel.press("Undo")
        notebook.wait_for_function(SHOWS, arg=expected)
    assert panel.marked() == [2, 4]
    panel.word(4).focus()
    notebook.keyboard.press("Space")  # looks at it
    candidates.nth(3).wait_for()
    notebook.keyboard.press("Space")  # unmarks it
    panel.word(2).dblclick()
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
        shown = panel.root.locator(".cursive-panel svg[aria-label='many a brave soul'] path")
        return shown.evaluate_all(PATHS)

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


def test_sliders_have_names(notebook):
    panel = Panel(notebook, 0)
    for name in "temperature", "size, %", "slant":
        assert panel.root.get_by_role("slider", name=name, exact=True).count() == 1
        assert panel.root.get_by_role("textbox", name=f"{name}, as a number", exact=True).count() == 1
    assert not panel.root.locator("[role=slider]:not([aria-label])").count()


def test_axe_finds_nothing(notebook):
    Panel(notebook, 0).word(2).click()
    notebook.locator("[data-number]").first.wait_for()
    assert faults_on(notebook, ".cursive-panel") == []


def test_words_are_collected_below_the_cell(notebook):
    frame = notebook.frame_locator("iframe[title='Write words of your own']")
    frame.get_by_text("in mine.json").first.wait_for()
    assert not notebook.get_by_text("Words were collected here").is_visible()


def test_what_was_saved_is_not_overwritten(notebook, lab):
    panel = Panel(notebook, 1)
    (lab[1] / "page.svg.png").write_text("mine")
    panel.field("named").fill("page.svg.png")
    panel.press("Save")
    panel.says("page.svg.png is there already")
    assert (lab[1] / "page.svg.png").read_text() == "mine"
    panel.press("Replace")
    panel.says("Saved page.svg.png.")
    assert (lab[1] / "page.svg.png").read_bytes()[:4] == b"\x89PNG"


def test_reopened_without_its_kernel_the_last_page_is_there(notebook, chromium, lab):
    """The last test: the kernel goes. What the notebook then shows is what was last written, and of the
    widgets that are gone nothing, not even a message."""
    address, folder = lab
    panel = Panel(notebook, 0)
    panel.root.locator("textarea").fill("the last page")
    panel.press("Write")
    panel.says("3 words.")
    ink = panel.ink()
    still = "svg[aria-label='the last page']"
    notebook.locator(still).wait_for(state="attached")
    assert not notebook.locator(still).is_visible()  # while the panel lives
    notebook.evaluate("jupyterapp.commands.execute('docmanager:save')")
    saved = json.loads(wait_until(lambda: read_with(folder / LAB, "the last page")))
    assert "application/vnd.jupyter.widget-view+json" in saved["cells"][0]["outputs"][1]["data"]
    notebook.evaluate("jupyterapp.shell.currentWidget.sessionContext.shutdown()")
    again = chromium.new_context(viewport=dict(width=1100, height=1800)).new_page()
    again.set_default_timeout(60_000)
    again.goto(address.replace("/doc/tree/", "/doc/workspaces/again/tree/"))
    again.locator(still).wait_for()
    assert again.locator(f"{still} path").evaluate_all(PATHS) == ink
    again.get_by_text("To go on writing, run this cell again").first.wait_for()
    again.get_by_text("Words were collected here").wait_for()
    assert not again.locator("iframe").count()
    again.wait_for_timeout(8000)  # the widgets are looked for in vain
    assert again.get_by_text("model not found").count() == 0 or not any(
        text.is_visible() for text in again.get_by_text("model not found").all()
    )
    again.context.close()


def read_with(path, text: str) -> str | None:
    "What a file holds, once it holds that."
    content = path.read_text()
    return content if text in content else None


def wait_until(answer, seconds: float = 60):
    "What a function gives once it gives something."
    deadline = time.monotonic() + seconds
    while not (found := answer()):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.1)
    return found
