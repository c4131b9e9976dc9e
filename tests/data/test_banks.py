"""Banks are found, read suspiciously, told about, split and written again."""

import hashlib
import io
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from data_cases import BAD, ITEM, FileServer, meta
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data import banks
from cursivetransformer.data.banks import (
    bank_writer,
    embedded_words,
    find_bank,
    held_out,
    load_bank,
    report,
    save_bank,
    split_words,
    text_hash,
    to_item,
    usable,
)
from cursivetransformer.ink.curves import on_page
from cursivetransformer.ink.points import Word
from cursivetransformer.ink.sheets import Sheet, WordStyle
from cursivetransformer.ink.tokens import CharTokenizer
from cursivetransformer.model.checkpoint import DEFAULT
from cursivetransformer.writing.reader import BUNDLED


def bank(tmp_path, items, name="b.json"):
    (tmp_path / name).write_text(json.dumps(items))
    return str(tmp_path / name)


def zipped(tmp_path, files, name="b.json.zip"):
    with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as z:
        for n, text in files.items():
            z.writestr(n, text)
    return str(tmp_path / name)


def test_points_become_canvas_heights_on_the_writing_line(tmp_path):
    word = load_bank(bank(tmp_path, [ITEM])).words[0]
    np.testing.assert_allclose(word.points, [[0, -0.2, 1], [0.06, 0.01, 1], [0.06, 0.01, 0]], atol=1e-12)
    assert (word.text, word.author) == ("l", "me")


@pytest.mark.parametrize("name", BAD)
def test_bad_items_are_named_and_can_be_skipped(tmp_path, name):
    item, says = BAD[name]
    path = bank(tmp_path, [ITEM, item])
    with pytest.raises(CursiveError, match="item 1") as e:
        load_bank(path)
    assert says in str(e.value) and "b.json" in str(e.value)
    got = load_bank(path, skip_bad=True)
    assert len(got.words) == 1
    assert len(got.skipped) == 1 and says in got.skipped[0]
    assert "skipped     1" in report(got)


def lists_and_objects(values):
    "JSON made of these values; some of its keys are those of a bank's items."
    keys = st.sampled_from(["metadata", "points", "asciiSequence", "aspectRatio", "x"])
    return st.lists(values, max_size=4) | st.dictionaries(keys, values, max_size=4)


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(items=st.recursive(VALUES, lists_and_objects, max_leaves=20))
def test_no_json_breaks_the_loader(tmp_path, items):
    path = bank(tmp_path, items)
    try:
        assert load_bank(path, skip_bad=True).words
    except CursiveError as e:
        assert str(e)


@pytest.mark.parametrize(
    "content, says",
    [
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "list of words"),
        (b'{"a": 1}', "list of words"),
        (b"[" * 100_000, "nested"),
        (b"PK\x03\x04 broken", "not JSON"),
        (b"[" + b"9" * 5000 + b"]", "not JSON|cannot be used"),
    ],
)
def test_bad_files(tmp_path, content, says):
    (tmp_path / "b.json").write_bytes(content)
    with pytest.raises(CursiveError, match=says):
        load_bank(str(tmp_path / "b.json"))


def test_zips(tmp_path, monkeypatch):
    good = json.dumps([ITEM])
    assert len(load_bank(zipped(tmp_path, {"__MACOSX/._b.json": "junk", "b.json": good})).words) == 1
    with pytest.raises(CursiveError, match="holds 2"):
        load_bank(zipped(tmp_path, {"a.json": good, "b.json": good}))
    with pytest.raises(CursiveError, match="holds 0"):
        load_bank(zipped(tmp_path, {"readme.txt": "hello"}))
    path = zipped(tmp_path, {"b.json": good * 50})
    whole = (tmp_path / "b.json.zip").read_bytes()
    (tmp_path / "b.json.zip").write_bytes(whole[:40] + bytes([whole[40] ^ 255]) + whole[41:])
    with pytest.raises(CursiveError, match="damaged|not JSON"):
        load_bank(path)
    monkeypatch.setattr(banks, "MAX_BYTES", 2**20)
    with pytest.raises(CursiveError, match="unpacks to more than 1 MB"):
        load_bank(zipped(tmp_path, {"b.json": "[" + " " * 2**22 + "]"}))


def test_banks_merge(tmp_path):
    other = meta(author="you", asciiSequence="o")
    merged = load_bank(f"{bank(tmp_path, [ITEM])}+{bank(tmp_path, [other, other], 'c.json')}")
    assert [w.author for w in merged.words] == ["me", "you", "you"]
    assert "3, 2 different" in report(merged) and "you (2), me (1)" in report(merged)
    assert len(load_bank(bank(tmp_path, [ITEM], "a+b.json")).words) == 1  # a plus in a file's name


def test_names(tmp_path, monkeypatch):
    with pytest.raises(CursiveError, match="Did you mean 'bigbank_3500'"):
        find_bank("bigbank3500")
    bank(tmp_path, [ITEM], "mine.json")
    with pytest.raises(CursiveError, match="no word bank"):
        find_bank("x" * 5000)
    monkeypatch.setenv("CURSIVE_DATA", str(tmp_path))
    assert len(load_bank("mine").words) == 1


@pytest.fixture
def published(tmp_path, monkeypatch):
    "A loopback server that stands for the authors' repository; these are its files."
    pytest.importorskip("pooch")
    server = FileServer()
    monkeypatch.setattr(banks, "SOURCE", server.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CURSIVE_DATA", raising=False)
    yield server.files
    server.close()


def test_published_banks_are_fetched_once_and_checked(published, monkeypatch):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("easybank.json", json.dumps([ITEM]))
    published["easybank.json.zip"] = buffer.getvalue()
    monkeypatch.setitem(banks.PUBLISHED, "easybank", hashlib.sha256(buffer.getvalue()).hexdigest())
    assert len(load_bank("easybank").words) == 1
    del published["easybank.json.zip"]
    assert len(load_bank("easybank").words) == 1  # from the cache
    published["bigbank.json.zip"] = b"something else"
    with pytest.raises(CursiveError, match="not the file"):
        load_bank("bigbank")
    with pytest.raises(CursiveError, match="Cannot download"):
        load_bank("synthbank")
    published["mine.json"] = json.dumps([ITEM]).encode()
    assert len(load_bank(banks.SOURCE + "mine.json").words) == 1


def test_the_shipped_bank_is_what_its_code_makes():
    pytest.importorskip("HersheyFonts", reason="glyphs: pip install Hershey-Fonts")
    made = embedded_words()
    shipped = load_bank("embedded").words
    assert len(made) > 100
    assert [w.text for w in made] == [w.text for w in shipped]
    for a, b in zip(made, shipped):
        np.testing.assert_allclose(a.points, b.points, atol=2e-4)
    assert set(CharTokenizer().alphabet) - {" "} == set("".join(w.text for w in shipped))


def test_saved_words_come_back(tmp_path):
    words = [
        Word(w.text, w.points - [w.points[:, 0].min(), 0, 0], "x", (1.5 * i, 0.35))
        for i, w in enumerate(load_bank("embedded").words[:5])
    ]
    again = load_bank(str(save_bank(words, tmp_path / "page.json"))).words
    for a, b in zip(words, again):
        assert (a.text, a.author) == (b.text, b.author)
        np.testing.assert_allclose(on_page(a), on_page(b), atol=2e-4)
    keys = "author asciiSequence pointCount strokeCount aspectRatio page"
    assert list(to_item(words[0])["metadata"]) == keys.split()


def test_a_saved_page_keeps_sheets_looks_and_layout(tmp_path):
    ink = load_bank("embedded").words[0].points
    looks = WordStyle(color="#bbb", dash=(1.0, 0.8))
    words = [Word("of", ink, "me", (1.0, 0.5)), Word("of", ink, "me", (1.0, 0.5), looks, 2)]
    with open(tmp_path / "page.json", "wb") as f, bank_writer(f, layout={"paper": "a6"}) as add:
        add(Sheet(words[:1]))
        add(Sheet(words[1:]))
    bank = load_bank(str(tmp_path / "page.json"))
    assert bank.layout == {"paper": "a6"} and [w.sheet for w in bank.words] == [0, 2]
    assert bank.words[0].style is None and bank.words[1].style == looks
    assert load_bank("embedded").layout is None


@pytest.mark.parametrize("bad", [dict(sheet=-1), dict(sheet="1"), dict(style=3), dict(style={"smell": 1})])
def test_bad_places_and_looks_are_named(tmp_path, bad):
    item = to_item(Word("of", load_bank("embedded").words[0].points, "", (1.0, 0.5)))
    item["metadata"] |= bad
    (tmp_path / "a.json").write_text(json.dumps([item]))
    with pytest.raises(CursiveError, match=f"item 0.*{next(iter(bad))}"):
        load_bank(str(tmp_path / "a.json"))


def test_banks_are_json_however_they_are_written(tmp_path):
    words = load_bank("embedded").words[:3]
    file = io.BytesIO()
    with bank_writer(file) as add:
        add(Sheet(words[:2]))
        add(Sheet([]))
        add(Sheet(words[2:]))
    assert json.loads(file.getvalue()) == [to_item(w) for w in words]
    assert save_bank(words, tmp_path / "b.json").read_bytes() == file.getvalue()
    assert json.loads(save_bank([], tmp_path / "none.json").read_text()) == []


def texts(words):
    return {w.text for w in words}


@pytest.fixture
def doubled():
    "Words of two authors who wrote the same texts."
    words = load_bank("embedded").words
    return words + [Word(w.text, w.points * [1.1, 1, 1], "other") for w in words]


def test_no_text_stands_on_both_sides(doubled):
    train, test = split_words(doubled, preset())
    assert not texts(train) & texts(test)
    assert len(train) + len(test) == len(doubled)
    assert texts(test) == {text for text in texts(doubled) if held_out(text)}


def test_a_text_is_held_out_whatever_stands_beside_it(doubled):
    _, test = split_words(doubled, preset(seed=5))
    _, half = split_words(doubled[::2], preset(seed=6))
    assert texts(half) == texts(test) & texts(doubled[::2])
    # SHA-256 of the composed text, here as the standard library gives it.
    for text in "Caf\u00e9", "Cafe\u0301":
        assert text_hash(text) == pytest.approx(
            int(hashlib.sha256("Caf\u00e9".encode()).hexdigest(), 16) / 2**256
        )
    shares = [text_hash(f"word {i}") for i in range(2000)]
    assert np.quantile(shares, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.05)


def test_the_split_of_the_fifth_edition_is_by_seed_and_author(doubled):
    old = preset(seed=5, split_version=1)
    _, test = split_words(doubled, old)
    assert len(texts(test)) == round(0.05 * len(texts(doubled)))
    assert [w.text for w in split_words(doubled, preset(seed=6, split_version=1))[1]] != [
        w.text for w in test
    ]
    words = load_bank("embedded").words
    few = [Word(f"{w.text}s", w.points, "other") for w in words[:20]]
    _, test = split_words(words + few, preset(seed=5, split_version=1, test_share=0.2))
    assert len(texts(w for w in test if w.author == "other")) == 4
    assert len(texts(test)) == 4 + round(0.2 * len(texts(words)))


@pytest.mark.parametrize("version", [1, 2])
def test_what_a_model_wrote_changes_nothing_about_the_words_that_are_held_out(doubled, version):
    config = preset(seed=5, split_version=version)
    train, test = split_words(doubled, config)
    again = [Word(w.text, w.points, w.author, (0.0, 0.0)) for w in doubled]
    again.append(Word("Neverwhere", doubled[0].points, doubled[0].author, (0.0, 0.0)))
    learned, tested = split_words(doubled + again, config)
    assert tested == test  # and is none of them
    assert learned[: len(train)] == train
    assert texts(learned) == texts(train) | {"Neverwhere"}
    assert split_words(again, config)[1]  # unless there is nothing else


@pytest.mark.parametrize("share", [0.01, 0.89])
def test_each_side_has_a_text(share):
    words = load_bank("embedded").words
    few = [Word(text, words[0].points, "me") for text in ("ab", "ba")]
    train, test = split_words(few, preset(test_share=share))
    assert len(train) == len(test) == 1
    _, smaller = split_words(few, preset(test_share=0.01))
    assert texts(smaller) == texts(test)


def test_ink_that_was_never_lifted_is(tmp_path):
    item = {**ITEM, "points": ITEM["points"][:2]}
    points = load_bank(bank(tmp_path, [item])).words[0].points
    assert points[-1].tolist() == pytest.approx([0.06, 0.01, 0])


def test_unusable_words_are_counted():
    words = load_bank("embedded").words
    with pytest.warns(UserWarning, match="left out"):
        assert len(usable(words, preset("debug", add_digits=False))) == len(words) - 3
    with pytest.raises(CursiveError, match="None of"):
        usable(words, preset("debug", alphabet="€"))


def test_real_banks(shared):
    words = load_bank(str(shared / "data/bigbank_3325.json.zip")).words
    assert len(words) == 3325 and {w.author for w in words} == {"Sam"}
    assert len(load_bank(str(shared / "data/zachbank_900.json.zip")).words) == 900


def test_decomposed_accents_are_composed(tmp_path):
    item = {**ITEM, "metadata": {**ITEM["metadata"], "asciiSequence": "cafe\u0301"}}
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([item]))
    assert load_bank(str(path)).words[0].text == "café"


def test_pixels_far_beyond_the_canvas_are_asked_after(tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(json.dumps([{**ITEM, "points": [[600, 300, 1], [601, 300, 0]]}]))
    with pytest.raises(CursiveError, match="more than 100 canvases away; are these pixels"):
        load_bank(str(path))


# Where files lie, and what they are called


@pytest.mark.parametrize(
    "name", ["me+you", "a+b+c", "it's", "a:b", "a,b", "My Drive", "Zoë", "-x", "~me", "+", "a 'b' \"c\""]
)
def test_any_name_of_a_folder_may_stand_in_a_path(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    first = bank(Path(name), [ITEM], "words.json")
    second = bank(Path(name), [ITEM, ITEM], "memory.json")
    assert len(load_bank(first).words) == 1
    assert len(load_bank(f"{first}+{second}").words) == 3
    assert len(load_bank(f"{second}+embedded+{first}").words) == 3 + len(load_bank("embedded").words)


def test_a_bank_with_a_plus_that_is_not_there_is_named_whole(tmp_path):
    with pytest.raises(CursiveError, match="no word bank 'runs/me\\+you/words.json'"):
        load_bank("runs/me+you/words.json")
    with pytest.raises(CursiveError, match="no word bank 'nothing'"):
        load_bank("embedded+nothing")


def test_what_macos_adds_is_passed_over_wherever_it_lies(tmp_path):
    good = json.dumps([ITEM])
    junk = {"__MACOSX/mine/._mine.JSON": "junk", "mine/._mine.JSON": "junk", "._other.json": "junk"}
    assert len(load_bank(zipped(tmp_path, {**junk, "mine/mine.JSON": good})).words) == 1
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "._mine.JSON").write_bytes(b"\x00\x05\x16\x07")
    bank(folder, [ITEM], "mine.JSON")
    assert len(load_bank(str(folder)).words) == 1
    with pytest.raises(CursiveError, match="not JSON but what macOS keeps beside another file"):
        load_bank(str(folder / "._mine.JSON"))


def test_a_place_with_two_banks_or_none_lists_its_names(tmp_path):
    good = json.dumps([ITEM])
    with pytest.raises(CursiveError, match=r"holds 2: a.JSON, b.json; take one out and name it"):
        load_bank(zipped(tmp_path, {"a.JSON": good, "b.json": good}))
    with pytest.raises(CursiveError, match="holds 0 beside photo.png, readme.txt"):
        load_bank(zipped(tmp_path, {"readme.txt": "hello", "photo.png": ""}))
    with pytest.raises(CursiveError, match="holds 0; export"):
        load_bank(zipped(tmp_path, {}))
    (tmp_path / "folder").mkdir()
    for number in range(11):
        bank(tmp_path / "folder", [ITEM], f"{number:02}.json")
    with pytest.raises(
        CursiveError, match="folder should hold one .json file, and holds 11: .*, 07.json and 3 more"
    ):
        load_bank(str(tmp_path / "folder"))


def test_names_find_banks_in_capitals(tmp_path, monkeypatch):
    monkeypatch.setenv("CURSIVE_DATA", str(tmp_path))
    bank(tmp_path, [ITEM], "mine.JSON")
    assert len(load_bank("mine").words) == 1


def test_a_bank_that_is_too_large_is_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr(banks, "MAX_BYTES", 100)
    with pytest.raises(CursiveError, match="is larger than 0 MB; split it") as e:
        load_bank(bank(tmp_path, [ITEM, ITEM, ITEM]))
    assert "not JSON" not in str(e.value)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig", "latin-1"])
def test_banks_in_other_encodings_are_read(tmp_path, encoding):
    text = json.dumps([meta(asciiSequence="Müller")], ensure_ascii=False)
    (tmp_path / "b.json").write_bytes(text.encode(encoding))
    with warnings.catch_warnings(record=True) as told:
        assert load_bank(str(tmp_path / "b.json")).words[0].text == "Müller"
    assert ["read as Windows-1252" in str(w.message) for w in told] == [True] * (encoding == "latin-1")


def test_what_is_no_bank_is_said_to_be_what_it_is():
    for path, kind in (DEFAULT, "a model"), (BUNDLED, "a reader"):
        with pytest.raises(CursiveError, match=f"is not JSON but {kind}; a word bank is a .json"):
            load_bank(str(path))
