"""What a cell leaves behind: seen where the widget is gone, and nowhere else."""

import ipywidgets
import pytest

from cursivetransformer.apps.still import Still, hide_when_live, hide_when_over, left_html, sentence

LEFT = left_html("3f", sentence("what is left, <as a sentence>"))


def outputs(*contents: str) -> str:
    return "".join(f'<div class="jp-OutputArea-child"><div>{content}</div></div>' for content in contents)


@pytest.mark.parametrize(
    "below, seen",
    [
        ("Error displaying widget: model not found", "what is left"),
        (f'<div class="cursive-live-3f">alive <style>{hide_when_live("3f")}</style></div>', "alive"),
    ],
)
def test_one_of_the_two_is_seen(chromium, below, seen):
    page = chromium.new_page()
    page.set_content(outputs("printed before", LEFT, below, "printed behind"))
    texts = [page.get_by_text(text) for text in ("what is left", "model not found", "alive")]
    assert [t.is_visible() for t in texts] == [seen == "what is left", False, seen == "alive"]
    assert page.get_by_text("printed before").is_visible()
    assert page.get_by_text("printed behind").is_visible()
    page.close()


def test_two_of_them_do_not_meddle():
    assert "3f" in hide_when_over("3f") and "4a" not in hide_when_over("3f")
    still, other = (Still(ipywidgets.Label(text)) for text in ("one", "two"))
    assert still.key != other.key and other.key not in still.bundle["text/html"]


def test_what_is_left_is_a_sentence_in_text_too():
    assert "&lt;as a sentence&gt;" in LEFT
    still = Still(ipywidgets.Label("alive"), sentence("seven words"), "seven words")
    assert still.bundle["text/plain"] == "seven words"
    still.leave(sentence("eight"), "eight")
    assert "eight" in still.bundle["text/html"] and still.bundle["text/plain"] == "eight"
