"What axe-core, which looks for what shuts people out, finds on a page: any page that runs scripts."

from pathlib import Path

import pytest

# Where to look, given as a CSS selector; what breaks no rule is left out of the answer.
LOOK = """
  const found = await axe.run(args[0] ?? document, {resultTypes: ["violations"]});
  return found.violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.target.join(" ")).join(", ")}`);
"""


def axe() -> str:
    "The script of axe-core."
    package = pytest.importorskip(
        "axe_playwright_python", reason="needs axe-core: pip install -e '.[dev]' -c constraints.txt"
    )
    return (Path(package.__file__).parent / "axe.min.js").read_text()


def faults_on(page, where=None) -> list[str]:
    "What is wrong on a page of Playwright's, or in a part of it."
    page.evaluate(axe())
    return page.evaluate(f"async args => {{ {LOOK} }}", [where])


def faults_in(browser, where=None) -> list[str]:
    "What is wrong on the page that a browser of ours shows."
    return browser.evaluate(f"{axe()}\n{LOOK}", where)
