import http.server
import io
import json
import threading
import zipfile

import numpy as np
import pytest
import torch
from data_cases import BAD, ITEM, meta
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data import banks as data
from cursivetransformer.data.banks import (
    embedded_words,
    find_bank,
    load_bank,
    report,
    save_bank,
    split_words,
    to_item,
    usable,
)
from cursivetransformer.data.dataset import StrokeDataset, collate, create_datasets
from cursivetransformer.ink.points import Word, offsets_to_strokes
from cursivetransformer.ink.tokens import CharTokenizer


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
    assert (
        len(got.words) == 1
        and len(got.skipped) == 1
        and says in got.skipped[0]
        and "skipped     1" in report(got)
    )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda v: (
        st.lists(v, max_size=4)
        | st.dictionaries(
            st.sampled_from(["metadata", "points", "asciiSequence", "aspectRatio", "x"]), v, max_size=4
        )
    ),
    max_leaves=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(items=json_values)
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
    monkeypatch.setattr(data, "MAX_BYTES", 2**20)
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
    "A loopback server that stands for the authors' repository; its files can be changed."
    pytest.importorskip("pooch")
    files = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = files.get(self.path.lstrip("/"))
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(data, "SOURCE", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CURSIVE_DATA", raising=False)
    yield files
    server.shutdown()


def test_published_banks_are_fetched_once_and_checked(published, tmp_path, monkeypatch):
    import hashlib

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as z:
        z.writestr("easybank.json", json.dumps([ITEM]))
    published["easybank.json.zip"] = buffer.getvalue()
    monkeypatch.setitem(data.PUBLISHED, "easybank", hashlib.sha256(buffer.getvalue()).hexdigest())
    assert len(load_bank("easybank").words) == 1
    del published["easybank.json.zip"]
    assert len(load_bank("easybank").words) == 1  # from the cache
    published["bigbank.json.zip"] = b"something else"
    with pytest.raises(CursiveError, match="not the file"):
        load_bank("bigbank")
    with pytest.raises(CursiveError, match="Cannot download"):
        load_bank("synthbank")
    published["mine.json"] = json.dumps([ITEM]).encode()
    assert len(load_bank(data.SOURCE + "mine.json").words) == 1


def test_the_shipped_bank_is_what_its_code_makes():
    pytest.importorskip("HersheyFonts", reason="glyphs: pip install Hershey-Fonts")
    made, shipped = embedded_words(), load_bank("embedded").words
    assert [w.text for w in made] == [w.text for w in shipped] and len(made) > 100
    for a, b in zip(made, shipped):
        np.testing.assert_allclose(a.points, b.points, atol=2e-4)
    assert set(CharTokenizer().alphabet) - {" "} == set("".join(w.text for w in shipped))


def test_saved_words_come_back(tmp_path):
    words = [
        Word(w.text, w.points - [w.points[:, 0].min(), 0, 0], "x", (1.5 * i, 0.35))
        for i, w in enumerate(load_bank("embedded").words[:5])
    ]
    again = load_bank(str(save_bank(words, tmp_path / "page.json"))).words
    from cursivetransformer.ink.curves import on_page

    for a, b in zip(words, again):
        assert (a.text, a.author) == (b.text, b.author)
        np.testing.assert_allclose(on_page(a), on_page(b), atol=2e-4)
    assert list(to_item(words[0])["metadata"]) == [
        "author",
        "asciiSequence",
        "pointCount",
        "strokeCount",
        "aspectRatio",
        "page",
    ]


def make(**options):
    return create_datasets(preset("debug", dataset_name="embedded", **options))


def test_no_text_stands_on_both_sides():
    words = load_bank("embedded").words
    doubled = words + [Word(w.text, w.points * [1.1, 1, 1], "other") for w in words]
    train, test = split_words(doubled, seed=5)
    assert not {w.text for w in train} & {w.text for w in test}
    assert len(train) + len(test) == len(doubled) and len({w.text for w in test}) == round(
        0.05 * len({w.text for w in words})
    )
    assert [w.text for w in split_words(doubled, seed=6)[1]] != [w.text for w in test]
    few = [Word(f"{w.text}s", w.points, "other") for w in words[:20]]
    again = [Word(w.text, w.points, w.author, (0.0, 0.0)) for w in doubled] + [
        Word("Neverwhere", words[0].points, words[0].author, (0.0, 0.0))
    ]
    learned, tested = split_words(
        doubled + again, seed=5
    )  # what a model wrote changes nothing about the words that are held out, and is none of them
    assert (
        tested == test
        and learned[: len(train)] == train
        and {w.text for w in learned} == {w.text for w in train} | {"Neverwhere"}
    )
    assert split_words(again, seed=5)[1]  # unless there is nothing else
    _, test = split_words(words + few, seed=5, share=0.2)  # every author is held out by as much
    assert len({w.text for w in test if w.author == "other"}) == 4 and len(
        {w.text for w in test}
    ) == 4 + round(0.2 * len({w.text for w in words}))
    assert [w.text for w in split_words(few, seed=1, share=0.01)[1]] == [
        "".join(w.text for w in split_words(few, seed=1, share=0.05)[1])
    ]


def test_samples_depend_on_seed_and_number_alone():
    a, _ = make(num_words=3)
    b, _ = make(num_words=3)
    b[5]
    for s, t in zip(a[11], b[11]):
        assert torch.equal(s, t)
    assert not torch.equal(a[11][0], a[12][0])
    c, _ = make(num_words=3, seed=1)
    assert not torch.equal(a[11][0], c[11][0])
    with pytest.raises(IndexError):
        a[len(a)]


def test_half_a_million_samples_are_there_without_being_made():
    train, _ = make(num_words=4, train_size=497_000)
    assert len(train) == 497_000
    assert len(train.decode_text(train[496_999][1]).split()) == 4


@pytest.mark.parametrize("tokenizer", ["polar", "cartesian"])
def test_input_target_and_text_belong_together(tokenizer):
    train, _ = make(num_words=3, tokenizer=tokenizer, max_seq_length=4000)
    for i in range(20):
        x, c, y = train[i]
        assert x.shape == y.shape == (train.get_stroke_seq_length(),) and c.shape == (
            train.get_text_seq_length(),
        )
        assert x[0] == train.END_TOKEN
        n = int((y == train.END_TOKEN).nonzero()[0, 0])
        assert (
            torch.equal(x[1 : n + 1], y[:n])
            and (y[n + 1 :] == train.PAD_TOKEN).all()
            and (x[n + 1 :] == train.PAD_TOKEN).all()
        )
        assert len(train.decode_stroke(x.numpy())) == len(train.decode_text(c).split()) == 3


def test_the_originals_layout_has_no_start_token_and_counts_no_padding():
    train, _ = make(num_words=2, start_token=False, mask_context=False)
    x, c, y = train[0]
    n = int((x == train.END_TOKEN).nonzero()[0, 0])
    assert torch.equal(x[1 : n + 1], y[:n]) and (y[n:] == train.PAD_TOKEN).all()
    assert x[0] == 411 and x[1] == 0  # the first offset is no step at all
    assert collate([train.sample(0)], train)[1].shape == (1, 50)


def test_long_samples_lose_whole_words():
    full, _ = make(num_words=6)
    cut, _ = make(num_words=6, max_seq_length=400)
    shorter = 0
    for i in range(30):
        tokens, text, _ = cut.sample(i)
        words = cut.tokenizer.split(tokens)
        assert len(tokens) < 400 and len(words) == len(text.split())
        for w in words:
            assert not cut.tokenizer.decode(w)[-1, 2]  # ends with the pen up: a whole word
        shorter += len(words) < 6
    assert shorter > 0 and all(len(full.sample(i)[1].split()) <= 6 for i in range(5))
    with pytest.raises(CursiveError, match="max_seq_length"):
        make(max_seq_length=16)


def test_ink_that_was_never_lifted_is(tmp_path):
    assert load_bank(bank(tmp_path, [{**ITEM, "points": ITEM["points"][:2]}])).words[0].points[
        -1
    ].tolist() == pytest.approx([0.06, 0.01, 0])


def test_words_of_a_sample_differ():
    d, _ = make(num_words=4)
    assert all(len(set(d.choose(i, 4))) == 4 for i in range(200))


def test_words_of_a_sample_share_their_author():
    words = [Word(w.text, w.points, a) for a in ("A", "B") for w in load_bank("embedded").words[:20]]
    d = StrokeDataset(words, preset("debug", num_words=3), 100, True)
    assert all(len({d.words[j].author for j in d.choose(i, 3)}) == 1 for i in range(100))
    assert {d.words[d.choose(i, 3)[0]].author for i in range(100)} == {"A", "B"}


def test_unusable_words_are_counted():
    words = load_bank("embedded").words
    with pytest.warns(UserWarning, match="left out"):
        assert len(usable(words, preset("debug", add_digits=False))) == len(words) - 3
    with pytest.raises(CursiveError, match="None of"):
        usable(words, preset("debug", alphabet="€"))


def test_decoded_samples_look_like_what_went_in():
    d, _ = make(num_words=1, augment=False, downsample_mean=0.0, downsample_width=0.0)
    for i in range(10):
        word = d.words[d.choose(i, 1)[0]]
        ink = offsets_to_strokes(d.decode_stroke(d[i][0].numpy())[0])
        from cursivetransformer.ink.points import SHEAR, shear

        expected = shear(word.points, SHEAR)
        assert np.abs(ink[:, 1] - expected[:, 1]).max() < 0.03 and len(ink) == len(expected)


def test_real_banks(shared):
    words = load_bank(str(shared / "data/bigbank_3325.json.zip")).words
    assert len(words) == 3325 and {w.author for w in words} == {"Sam"}
    assert len(load_bank(str(shared / "data/zachbank_900.json.zip")).words) == 900
