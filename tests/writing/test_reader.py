"""The reader: what it sees and says, how its scores are made, its file, and what is said about legibility."""

import collections
import itertools
import json
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.config import CursiveError, preset
from cursivetransformer.data.banks import load_bank, split_words, usable
from cursivetransformer.ink.chain import ChainTokenizer
from cursivetransformer.ink.points import resample, snap_to_pixels, strokes, with_pen_up
from cursivetransformer.model.checkpoint import CheckpointError
from cursivetransformer.options import WritingOptions
from cursivetransformer.writing.reader import (
    BUNDLED,
    COLUMN,
    SPACING,
    STRIP,
    TOP,
    VIEWS,
    Reader,
    align_texts,
    collapse,
    compare,
    features,
    ink_above_and_below,
    legibility,
    load_reader,
    log_likelihood,
    plot_confusions,
    read,
    retrace,
    save_reader,
    see,
)
from cursivetransformer.writing.spelling import generate_words

TEXTS = "Sing, O goddess, the anger of Achilles son of Peleus, that brought 10 ills".split()
# Polylines that begin and end anywhere; the last stroke may lack its pen-up point.
POINT = st.tuples(st.integers(-40, 40), st.integers(-20, 20))
INKS = st.lists(st.lists(POINT, min_size=1, max_size=6), min_size=1, max_size=4)


@pytest.fixture(scope="module")
def reader():
    return load_reader()


@pytest.fixture(scope="module")
def held_out(shared):
    "Human words whose texts neither the bundled model nor the bundled reader has seen."
    bank = []
    for name in "bigbank_3325", "easybank":
        bank += load_bank(str(shared / "data" / f"{name}.json.zip")).words
    return split_words(usable(bank, preset()), preset(split_version=1))[1]


def ink_of(lines: list) -> np.ndarray:
    "Points, (N, 3), of strokes given in hundredths."
    return np.vstack([np.column_stack([np.array([*s, s[-1]]) / 100, [1] * len(s) + [0]]) for s in lines])


# What it sees


@given(st.lists(INKS, min_size=1, max_size=4), st.booleans())
def test_many_inks_are_resampled_as_each_alone(inks, cut):
    inks = [ink_of(i) for i in inks]
    if cut:
        inks[0] = inks[0][:-1]
    points, counts = retrace(inks, 0.0317)
    for ink, part in zip(inks, np.split(points, np.cumsum(counts)[:-1]), strict=True):
        alone = resample(ink, 0.0317)
        assert part.shape == alone.shape and np.allclose(part, alone, atol=1e-6)


def subdivide(ink: np.ndarray, parts: int) -> np.ndarray:
    "The same line with each of its steps in so many."
    out = []
    for stroke in strokes(ink):
        places = np.linspace(0, len(stroke) - 1, 1 + parts * (len(stroke) - 1))
        xy = [np.interp(places, np.arange(len(stroke)), v) for v in stroke.T]
        out.append(with_pen_up(np.column_stack(xy)))
    return np.vstack(out)


def with_air(ink: np.ndarray) -> np.ndarray:
    "The same line with the pen's way through the air recorded too."
    out = []
    for stroke in strokes(ink):
        out += [with_pen_up(stroke), [[*stroke[-1] + 0.01, 0], [*stroke[-1] + 0.02, 0]]]
    return np.vstack(out)


@given(INKS, st.integers(2, 5), st.sampled_from(sorted(VIEWS)))
def test_the_same_line_of_more_points_is_seen_the_same(lines, parts, view):
    # Hundredths make many lengths that are whole multiples of the spacing.
    ink = ink_of(lines)
    (expected,), (count,) = see([ink], view)
    for again in (subdivide(ink, parts), np.repeat(ink, 2, axis=0), with_air(ink)):
        (seen,), (points,) = see([again], view)
        assert points == count and (seen - expected).abs().max() < 1e-4


@given(st.lists(INKS, min_size=1, max_size=3))
def test_every_stroke_is_seen_by_as_many_points_as_it_needs(inks):
    inks = [ink_of(i) for i in inks]
    for number, view in VIEWS.items():
        points, counts = retrace(inks, view=view)
        lines = [s for ink in inks for s in strokes(ink)]
        for line, seen in zip(lines, strokes(points), strict=True):
            length = np.hypot(*np.diff(line, axis=0).T).sum()
            assert len(seen) >= view.fewest and (len(seen) % 2 or not view.odd)
            assert length / (len(seen) - 1) <= SPACING + 1e-6
        assert see(inks, number)[0].shape[-1] == max(counts)


def fields_by_hand(points, bins):
    "The amount of ink in each field, with each point shared out among the four nearest middles, one by one."
    amounts = collections.defaultdict(float)
    left = points[:, 0].min()
    for x, y, down in points:
        column, along = divmod((x - left) / COLUMN, 1)
        strip = min(max((y - TOP) / STRIP - 0.5, 0), bins - 1)
        row = min(int(strip), bins - 2)
        for i, share_x in ((0, 1 - along), (1, along)):
            for j, share_y in ((0, 1 - (strip - row)), (1, strip - row)):
                amounts[column + i, row + j] += down * share_x * share_y
    return amounts


@given(st.lists(INKS, min_size=1, max_size=3))
def test_ink_above_and_below_is_that_of_the_same_word_at_the_same_place(inks):
    inks = [ink_of(i) for i in inks]
    points, counts = retrace(inks, view=VIEWS[3])
    bins = VIEWS[3].bins
    seen = np.split(ink_above_and_below(points, counts, bins), np.cumsum(counts)[:-1])
    for own, word in zip(seen, np.split(points, np.cumsum(counts)[:-1]), strict=True):
        if not len(word):
            continue
        amounts = fields_by_hand(word, bins)
        for (x, _, _), found in list(zip(word, own))[:5]:
            column, along = divmod((x - word[:, 0].min()) / COLUMN, 1)
            expected = [
                (1 - along) * np.tanh(amounts[column, j]) + along * np.tanh(amounts[column + 1, j])
                for j in range(bins)
            ]
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_mark_is_seen_where_its_letter_is_however_late_it_comes():
    line = with_pen_up(np.column_stack([np.linspace(0, 2, 80), np.full(80, -0.05)]))
    dot = with_pen_up(np.array([[0.5, -0.25], [0.51, -0.25]]))
    (with_dot,), _ = see([np.vstack([line, dot])], 3)
    (without,), _ = see([line], 3)
    points, _ = retrace([line], view=VIEWS[3])
    differs = (with_dot[:, : without.shape[1]] - without).abs().amax(0).numpy() > 0.1
    assert differs.any() and np.abs(points[differs, 0] - 0.5).max() < 0.1


def test_speed_is_not_seen_and_shape_is():
    word = load_bank("embedded").words[13].points
    slow, fast, tall = (features(*retrace([p])) for p in (word, resample(word, 0.003), word * [1, 1.5, 1]))
    assert slow.shape == fast.shape and (slow - fast).abs().max() < 0.6 and (slow - fast).abs().mean() < 0.05
    assert tall.shape != slow.shape


def test_a_word_reads_the_same_in_any_company(default, reader):
    inks = generate_words(default, TEXTS, WritingOptions())
    together, scores = reader.judge(inks, TEXTS)
    for ink, text, said, score in zip(inks, TEXTS, together, scores):
        (alone,), (other,) = reader.judge([ink], [text])
        assert alone == said and other == pytest.approx(score, abs=1e-3)
    assert reader.judge(inks)[1] is None and reader.judge([]) == ([], None)


@pytest.fixture(scope="module")
def generated(default):
    return generate_words(default, TEXTS, WritingOptions(temperature=0.4))


EXACTLY = {
    "subdivided": lambda ink: subdivide(ink, 3),
    "twice": lambda ink: np.repeat(ink, 2, axis=0),
    "with the way through the air": with_air,
}
NEARLY = {  # corners are cut a little
    "many points": lambda ink: resample(ink, 0.003),
    "pixels": snap_to_pixels,
    "subdivided, then many points": lambda ink: resample(subdivide(ink, 2), 0.004),
}


@pytest.mark.parametrize("recorder", EXACTLY)
def test_more_points_of_a_line_change_no_reading(recorder, reader, generated):
    # The embedded bank is in a hand that the reader does not know, where a little would change much.
    inks = [w.points for w in load_bank("embedded").words] + generated
    said, _ = reader.judge(inks)
    again, _ = reader.judge([EXACTLY[recorder](ink) for ink in inks])
    assert again == said


@pytest.mark.parametrize("recorder", NEARLY)
def test_recording_a_line_again_changes_no_reading(recorder, reader, generated):
    said, _ = reader.judge(generated)
    again, _ = reader.judge([NEARLY[recorder](ink) for ink in generated])
    # It is not quite the same line, and a word may be at the edge of being another.
    assert sum(a != b for a, b in zip(again, said)) <= 1


def test_chain_tokens_change_no_reading_however_ink_was_recorded(reader, generated):
    chain = ChainTokenizer(0.01, ())
    said, _ = reader.judge(generated)
    for inks in generated, [subdivide(ink, 2) for ink in generated]:
        again, _ = reader.judge(chain.decode_words(chain.encode_words(inks)))
        assert sum(a != b for a, b in zip(again, said)) <= 1


# How it scores


@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.lists(st.integers(1, 2), max_size=4))
def test_the_score_is_the_sum_over_all_alignments(seed, positions, text):
    generator = torch.Generator().manual_seed(seed)
    logp = torch.randn(1, positions, 3, generator=generator).double().log_softmax(-1)
    ways = [
        sum(logp[0, t, c] for t, c in enumerate(path))
        for path in itertools.product(range(3), repeat=positions)
        if collapse(np.array(path)).tolist() == text
    ]
    found = log_likelihood(logp, torch.tensor([positions]), [text])[0]
    if ways:
        assert found.item() == pytest.approx(torch.stack(ways).logsumexp(0).item(), abs=1e-6)
    else:
        assert found == -np.inf  # more letters than positions


def test_scores_prefer_what_is_there(default, reader):
    inks = generate_words(default, ["anger"], WritingOptions(seed=3))
    said, (right, doubled, other) = reader.judge(inks * 3, ["anger", "angger", "soul"])
    assert said == ["anger"] * 3 and right == pytest.approx(0, abs=1e-6) and 0 > doubled > other
    with pytest.raises(CursiveError, match="'€'.*one word at a time"):
        reader.judge(inks, ["5€"])
    assert reader.judge([np.zeros((1, 3))], ["a"])[0] == [""]  # nothing drawn


def test_human_words_that_nobody_trained_on_are_read(held_out, reader):
    from cursivetransformer.training.train_reader import as_written

    texts = [w.text for w in held_out]
    for inks in ([w.points for w in held_out], as_written(held_out)):
        found = compare(texts, reader.judge(inks)[0])
        assert found.character_error < 0.015, str(found)
    few = held_out[:20]
    assert legibility(few, reader).words == 20
    assert read(few) == reader.judge([w.points for w in few])[0]


# How errors are counted


def distance(a: str, b: str) -> int:
    "Plain recursion."
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b[1:]) + (a[0] != b[0]), distance(a[1:], b) + 1, distance(a, b[1:]) + 1)


@given(st.text("aab1", max_size=5), st.text("aab.", max_size=5))
def test_alignments_are_shortest_and_whole(asked, said):
    pairs = align_texts(asked, said)
    assert "".join(a for a, _ in pairs) == asked and "".join(b for _, b in pairs) == said
    assert sum(a != b for a, b in pairs) == distance(asked, said)


def test_errors_are_counted_by_kind():
    found = compare(["Hades,", "goddess", "10"], ["Hades", "goddesss", "1o"])
    assert found.words == 3 and found.wrong_words == 3
    assert found.word_error == 1 and found.character_error == 3 / 15
    kinds = "lower case", "capitals", "digits", "punctuation"
    assert [found.edits(k) for k in kinds] == [1, 0, 1, 1]
    assert [found.count(k) for k in kinds] == [11, 1, 2, 1]
    assert found.error("punctuation") == 1 and np.isnan(compare(["a"], ["a"]).error("digits"))
    assert "20.00% of 15 characters" in str(found)


def test_how_sure_an_error_is_agrees_with_drawing_the_words_again():
    rng = np.random.default_rng(0)
    asked = ["".join(rng.choice(list("abcdefg"), rng.integers(1, 12))) for _ in range(150)]
    said = [a.replace("a", "") if rng.random() < 0.3 else a for a in asked]  # errors come together
    again = []
    for _ in range(300):
        ix = rng.integers(0, len(asked), len(asked))
        again.append(compare([asked[i] for i in ix], [said[i] for i in ix]).character_error)
    found = compare(asked, said)
    assert found.uncertainty == pytest.approx(np.std(again), rel=0.15)
    assert found.words == 150 and found.wrong_words == sum(a != s for a, s in zip(asked, said))
    assert compare(asked, asked).uncertainty == 0 == compare([], []).uncertainty
    # The same words five times over say no more about others.
    assert compare(asked * 5, said * 5).uncertainty == pytest.approx(found.uncertainty)


def test_confusions_are_a_table_of_what_goes_wrong_most():
    found = compare(["Hades,", "goddess", "go"], ["Hades", "goddesss", "qo"])
    fig, ax = plot_confusions(found, most=4)
    assert [t.get_text() for t in ax.get_xticklabels()] == [",", "g", "q", "s", "–"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("read", "asked")


# Its file


def test_a_damaged_or_foreign_file_is_refused(tmp_path, reader, monkeypatch):
    path = save_reader(reader, tmp_path / "reader.safetensors", character_error=0.5)
    whole = path.read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])["__metadata__"]
    assert header["character_error"] == "0.5" and "word_error" not in header
    same = load_reader(tmp_path)  # a run's folder
    weights = zip(reader.state_dict().values(), same.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in weights) and same.alphabet == reader.alphabet
    for data, says in [
        (whole[:-9], "damaged"),
        (whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], "not what was saved"),
        (b"", "damaged"),
        ((BUNDLED.parent / "default.safetensors").read_bytes(), "not a reader"),
        (re.sub(rb'"version":"\d"', b'"version":"9"', whole), "version 9"),
    ]:
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=says):
            load_reader(path)
    with pytest.raises(CheckpointError, match="Cannot read"):
        load_reader(tmp_path / "none.safetensors")
    monkeypatch.setattr("cursivetransformer.writing.reader.BUNDLED", path)
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="not the file this version was released with"):
        load_reader()
    assert BUNDLED.stat().st_size < 3e6


@pytest.mark.parametrize("view", VIEWS)
def test_what_a_reader_sees_is_kept_in_its_file(tmp_path, view):
    torch.manual_seed(0)
    path = save_reader(Reader(width=16, view=view), tmp_path / "reader.safetensors")
    assert f'"version":"{view}"'.encode() in path.read_bytes()
    reader = load_reader(path)
    assert reader.view == view
    dot = ink_of([[(0, 0)]])
    (found,) = reader.log_probs([dot])
    assert found.counts == (VIEWS[view].fewest + 2) // 2
