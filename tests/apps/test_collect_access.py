"""Axe finds nothing on the collection page: not at the start, not with words, dialogs and everything open, on
a phone, in the dark, with forced colours."""

import pytest
from accessibility import faults_in
from browsers import EVERY_ENGINE, browser
from collect_writer import PHONE, Writer

PHONE_ON_ITS_SIDE = PHONE[::-1]
OPEN_ALL = "document.querySelectorAll('details').forEach(d => d.open = true)"


@pytest.fixture(params=EVERY_ENGINE)
def writer(request, tmp_path):
    with browser(request.param, tmp_path) as b:
        yield Writer(b)


def colours(writer, name, value):
    "Have Chromium show the page as somebody sees it who has set this."
    features = [{"name": name, "value": value}]
    writer.browser.call("Emulation.setEmulatedMedia", features=features)


def test_axe_sees_what_it_looks_for(writer):
    writer.browser.evaluate("document.querySelector('main').append(document.createElement('button'))")
    (found,) = faults_in(writer.browser)
    assert found.startswith("button-name: ")


def test_axe_finds_nothing_in_any_state(writer):
    b = writer.browser
    found = {"start": faults_in(b)}
    writer.click("Add")
    writer.said("name")
    found["a warning"] = faults_in(b)
    writer.begin("Ada", "so is an as ü")
    text = writer.write()
    bank = writer.export()
    b.evaluate(OPEN_ALL)
    found["everything open"] = faults_in(b)
    writer.click(f"Look at {text}")
    found["a word looked at"] = faults_in(b)
    writer.click("Close")
    writer.choose_bank("ada.json", bank.replace('"so"', '"to"'))
    b.until("button('Cancel')")
    found["an import"] = faults_in(b)
    writer.click("Cancel")
    writer.fill_the_screen()
    for size in b.size, PHONE, PHONE_ON_ITS_SIDE:
        b.resize(*size)
        found[f"{size} and the whole screen"] = faults_in(b)
    writer.click("Leave full screen")
    b.resize(*PHONE)
    found["a phone"] = faults_in(b)
    if b.name == "chromium":
        for feature in (
            ("forced-colors", "active"),
            ("prefers-color-scheme", "dark"),
            ("prefers-contrast", "more"),
        ):
            colours(writer, *feature)
            found[" ".join(feature)] = faults_in(b)
    assert {state: faults for state, faults in found.items() if faults} == {}
