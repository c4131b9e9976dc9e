"""Whole sessions on the collection page in Chromium, Firefox and WebKit: thirty words with a mouse, a pen, a
finger, arrow keys, and in two tabs; in the middle of each the browser is killed. Each ends in a bank that the
package takes."""

import json
import re
import time

import pytest
from browsers import ENGINES, browser
from collect_writer import BREATH, PHONE, Writer, drawings, short_words

from cursivetransformer.cli import main

pytestmark = pytest.mark.slow
COUNT = 30
STEPS = ["--max-steps=1", "--log-every=1", "--batch-size=2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    "A small model that a hand can be cloned from."
    folder = tmp_path_factory.mktemp("models") / "base"
    main(["train", "--preset=debug", "--dataset-name=embedded", *STEPS, f"--run-dir={folder}"])
    return folder


@pytest.fixture
def take(base, tmp_path, capsys):
    "Have the package look at a bank of so many words by Ada, and learn the hand."

    def take(bank, texts):
        items = json.loads(bank)
        assert [i["metadata"]["asciiSequence"] for i in items] == texts
        assert {i["metadata"]["author"] for i in items} == {"Ada"}
        path = tmp_path / "ada.json"
        path.write_text(bank)
        assert not main(["data", str(path)])
        told = capsys.readouterr()
        assert f"Ada ({len(texts)})" in told.out and re.search(r"verdict +sound\n", told.out), told.out
        folder = tmp_path / "ada"
        assert not main(["clone", str(path), "--checkpoint", str(base), "--run-dir", str(folder), *STEPS])

    return take


def lose_the_browser(writer, stroke):
    "The browser is killed when one stroke of a word is drawn; that stroke is still there afterwards."
    text = writer.prompt()
    writer.draw(stroke)
    writer.browser.until("document.querySelectorAll('#ink path').length === 1")
    time.sleep(BREATH)
    writer.crash()
    assert writer.prompt() == text and writer.ink() == 1


@pytest.mark.parametrize("kind", ["mouse", "pen", "touch", "keys"])
@pytest.mark.parametrize("engine", ENGINES)
def test_thirty_words_and_a_crash_end_in_a_bank(engine, kind, take, tmp_path):
    texts = short_words(COUNT)
    with browser(engine, tmp_path / "browser", size=PHONE if kind == "touch" else (1100, 900)) as b:
        writer = Writer(b, kind)
        writer.begin("Ada", " ".join(texts))
        for i, text in enumerate(texts):
            assert writer.prompt() == text
            first, *others = drawings()[text]
            if i == COUNT // 2:
                lose_the_browser(writer, first)
            else:
                writer.draw(first)
            writer.draw(*others)
            writer.add()
        bank = writer.export()
        assert b.close() == [] and len(writer.doubted) < 3, writer.doubted
    take(bank, texts)


@pytest.mark.parametrize("engine", ENGINES)
def test_two_tabs_and_a_crash_end_in_a_bank(engine, take, tmp_path):
    with browser(engine, tmp_path / "browser") as b:
        writer = Writer(b)
        writer.begin("Ada", " ".join(short_words(COUNT)))
        written = [writer.write()]
        writer.another_tab()
        for i in range(COUNT - 1):
            b.front(i % 2)
            if i == COUNT // 2:
                lose_the_browser(writer, drawings()[writer.prompt()][0])
                writer.click("Clear")
                writer.another_tab()
            writer.until_there_are(len(written))  # the other tab has heard of it
            written.append(writer.write())
        for tab in 0, 1:
            b.front(tab)
            writer.until_there_are(COUNT)
        bank = writer.export()
        assert b.close() == []
    take(bank, written)
