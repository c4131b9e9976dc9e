"The page on which people guess: it says nothing away, keeps its place, and counts right."

import json
import re

import numpy as np
import pytest
from accessibility import faults_on

from cursivetransformer.apps.eyes import SPACE, WORDS, eyes_page, frame_of, in_line, pairs_of_lines
from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import Word
from cursivetransformer.study.verdicts import wilson

COUNT = 6


@pytest.fixture(scope="module")
def words():
    return [w for w in load_bank("embedded").words if w.text.isalpha()][: COUNT * WORDS + 2]


@pytest.fixture(scope="module")
def pairs(words):
    wide = [Word(w.text, w.points * [1.1, 1, 1]) for w in words]
    return pairs_of_lines(words, wide)


@pytest.fixture(scope="module")
def page_file(pairs, tmp_path_factory):
    path = tmp_path_factory.mktemp("eyes") / "page.html"
    path.write_text(eyes_page(pairs, "Ada <Lovelace>"))
    return path


@pytest.fixture
def page(chromium, page_file):
    "The page in a browser that has never seen it, with all that it asks the network for."
    context = chromium.new_context(viewport={"width": 900, "height": 700})
    page = context.new_page()
    page.asked, page.said = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.said.append(message.text))
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.goto(page_file.as_uri())
    yield page
    assert page.said == [] and {url.split(":")[0] for url in page.asked} <= {"file", "data"}
    context.close()


def right_lines(page, page_file):
    "For the pair that is shown: which line is the person's, 1 or 2."
    data = json.loads(re.search(r'id="data">(.*?)</script>', page_file.read_text())[1])
    first = page.locator("#first path").get_attribute("d")
    return 1 if first in {pair["person"] for pair in data["pairs"]} else 2


def test_lines_hold_the_same_words_with_the_same_space(words, pairs):
    assert len(pairs) == COUNT and {len(pair.text.split()) for pair in pairs} == {WORDS}
    assert len({word for pair in pairs for word in pair.text.split()}) == COUNT * WORDS
    line = in_line(words[:2])
    widths = [np.ptp(w.points[:, 0]) for w in words[:2]]
    assert np.ptp(line[:, 0]) == pytest.approx(sum(widths) + SPACE)
    with pytest.raises(CursiveError, match="takes 15 words or more"):
        pairs_of_lines(words[:9], words[:9])
    assert len(pairs_of_lines(words, words, most=3)) == 3


def test_both_lines_have_one_frame(pairs, page):
    x, y, width, height = frame_of(pairs)
    assert x < 0 and y < 0 < height < width
    boxes = page.eval_on_selector_all(".line svg", "them => them.map(it => it.getAttribute('viewBox'))")
    assert len(set(boxes)) == 1
    sizes = [page.locator(f"#{which} svg").bounding_box() for which in ("first", "second")]
    assert sizes[0]["width"] == sizes[1]["width"] and sizes[0]["x"] == sizes[1]["x"]


def test_names_and_texts_are_no_markup(page):
    assert "Ada <Lovelace> wrote one by hand" in page.inner_text("header")


def test_who_is_right_every_time_is_told_so(page, page_file):
    for number in range(COUNT):
        assert page.inner_text("#where") == f"Pair {number + 1} of {COUNT}"
        assert page.locator("#result").is_hidden()
        page.locator(("#first", "#second")[right_lines(page, page_file) - 1]).click()
    low = round(100 * wilson(COUNT, COUNT).low)
    assert page.inner_text("#figures") == f"6 of 6 right: 100 %, between {low} % and 100 %"
    assert "You can tell them apart" in page.inner_text("#meaning")
    assert page.locator("#pairs li.right").count() == COUNT and page.locator("#play").is_hidden()


def test_keys_answer_and_the_words_are_revealed_only_then(page, page_file, pairs):
    assert not any(word in page.inner_text("main") for word in pairs[0].text.split() if len(word) > 5)
    wrong = []
    for _ in range(COUNT):
        right = right_lines(page, page_file)
        wrong.append(len(wrong) % 2 == 0)
        page.keyboard.press(str(3 - right if wrong[-1] else right))
    interval = wilson(3, 6)
    low, high = (round(100 * share) for share in (interval.low, interval.high))
    assert page.inner_text("#figures") == f"3 of 6 right: 50 %, between {low} % and {high} %"
    assert "do not show that you can tell them apart" in page.inner_text("#meaning")
    marked = page.eval_on_selector_all("#pairs li", "them => them.map(it => it.className === 'right')")
    assert marked == [not it for it in wrong]
    revealed = page.locator("#pairs .text").all_inner_texts()
    assert sorted(revealed) == sorted(pair.text for pair in pairs)
    assert page.evaluate("document.activeElement.id") == "title"
    page.keyboard.press("1")  # nothing is left to answer
    assert page.inner_text("#figures").startswith("3 of 6")


def test_a_reload_goes_on_where_one_was(page):
    page.keyboard.press("1")
    page.keyboard.press("2")
    shown = page.locator("#first path").get_attribute("d")
    page.reload()
    assert page.inner_text("#where") == "Pair 3 of 6"
    assert page.locator("#first path").get_attribute("d") == shown
    page.evaluate("Object.keys(localStorage).forEach(key => localStorage.setItem(key, '{\"order\": [0]}'))")
    page.reload()
    assert page.inner_text("#where") == "Pair 1 of 6"  # what is no round of this page is left alone


def test_one_can_go_back_a_pair_and_begin_again(page):
    assert page.locator("#back").is_disabled()
    shown = page.locator("#first path").get_attribute("d")
    page.keyboard.press("1")
    page.locator("#back").click()
    assert page.inner_text("#where") == "Pair 1 of 6"
    assert page.locator("#first path").get_attribute("d") == shown
    for _ in range(COUNT):
        page.keyboard.press("2")
    page.locator("#again").click()
    assert page.inner_text("#where") == "Pair 1 of 6" and page.locator("#play").is_visible()


def test_the_order_is_drawn_by_lot(chromium, page_file):
    firsts = set()
    for _ in range(6):
        context = chromium.new_context()
        page = context.new_page()
        page.goto(page_file.as_uri())
        firsts.add(page.locator("#first path").get_attribute("d"))
        context.close()
    assert len(firsts) > 1


def test_it_shuts_nobody_out(chromium, page_file):
    for scheme in ("light", "dark"):
        # axe-core's own script is not in the page's policy.
        context = chromium.new_context(bypass_csp=True, color_scheme=scheme)
        page = context.new_page()
        page.goto(page_file.as_uri())
        assert faults_on(page) == []
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")  # the first line: the button to go back is off
        assert page.inner_text("#where") == "Pair 2 of 6"
        for _ in range(COUNT):
            page.keyboard.press("1")
        assert faults_on(page) == []
        context.close()


def test_nothing_but_its_own_script_runs(page):
    assert page.evaluate("typeof data") == "object"
    policy = page.locator("meta[http-equiv]").get_attribute("content")
    assert policy.startswith("default-src 'none'; script-src 'sha256-") and "unsafe" not in policy
