"What a notebook shows without its kernel, in Chromium, Firefox and WebKit."

import pytest
from browsers import EVERY_ENGINE, browser

from cursivetransformer.apps.still import hide_when_live, left_html, sentence

LEFT = left_html("3f", sentence("what is left"))
GONE = "Error displaying widget: model not found"
ALIVE = f'<div class="cursive-live-3f">alive <style>{hide_when_live("3f")}</style></div>'
SEEN = "document.body.innerText.split('\\n').map(t => t.trim()).filter(Boolean)"


@pytest.mark.parametrize("engine", EVERY_ENGINE)
def test_either_what_is_left_or_the_widget_is_seen(engine, tmp_path):
    with browser(engine, tmp_path) as b:
        b.open("about:blank")
        for kind in "jp-OutputArea-child", "output_area":
            for below, seen in (GONE, "what is left"), (ALIVE, "alive"):
                outputs = ["printed before", LEFT, below, "printed behind"]
                page = "".join(f'<div class="{kind}"><div>{content}</div></div>' for content in outputs)
                b.evaluate("document.body.innerHTML = args[0]", page)
                assert b.evaluate(f"return {SEEN}") == ["printed before", seen, "printed behind"]
