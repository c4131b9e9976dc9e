"""The reader: what it sees and says, how its scores are made, its file, its training; words drawn again that read wrong; what is said about legibility."""

import dataclasses
import itertools
import json
import re
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cursivetransformer.apps.original import generate_paragraph
from cursivetransformer.config import ALPHABET, ConfigError, CursiveError, GenerationParams, preset
from cursivetransformer.data.banks import load_bank, split_words, usable
from cursivetransformer.ink.points import Word, resample, strokes
from cursivetransformer.ink.tokens import PolarTokenizer
from cursivetransformer.model.checkpoint import CheckpointError
from cursivetransformer.model.transformer import Transformer
from cursivetransformer.training.train_reader import Lessons, as_written, distort, reader_config, train_reader
from cursivetransformer.writing.page import write
from cursivetransformer.writing.reader import (
    BUNDLED,
    Reader,
    align,
    collapse,
    compare,
    features,
    legibility,
    load_reader,
    log_likelihood,
    read,
    retrace,
    save_reader,
)
from cursivetransformer.writing.spelling import Spelling, generate_words

TEXT = "Sing, O goddess, the anger of Achilles son of Peleus, that brought 10 ills"
HOT = dict(seed=6, temperature=1.2)  # as the bundled model writes by default, next to nothing reads wrong
# Polylines that begin and end anywhere; the last stroke may lack its pen-up point.
INKS = st.lists(
    st.lists(st.tuples(st.integers(-40, 40), st.integers(-20, 20)), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)


@pytest.fixture(scope="session")
def reader():
    return load_reader()


@pytest.fixture(scope="session")
def held_out(shared):
    "Human words whose texts neither the bundled model nor the bundled reader has seen."
    bank = sum(
        (load_bank(str(shared / "data" / f"{name}.json.zip")).words for name in ("bigbank_3325", "easybank")),
        [],
    )
    return split_words(usable(bank, preset()), preset().seed)[1]


def ink_of(lines: list) -> np.ndarray:
    "Points, (N, 3), of strokes given in hundredths."
    return np.vstack([np.column_stack([np.array([*s, s[-1]]) / 100, [1] * len(s) + [0]]) for s in lines])


@given(st.lists(INKS, min_size=1, max_size=4), st.booleans())
def test_many_inks_are_resampled_as_each_alone(inks, cut):
    inks = [ink_of(i) for i in inks]
    if cut:
        inks[0] = inks[0][:-1]
    points, counts = retrace(inks, 0.0317)
    for ink, part in zip(inks, np.split(points, np.cumsum(counts)[:-1]), strict=True):
        alone = resample(ink, 0.0317)
        assert part.shape == alone.shape and np.allclose(part, alone, atol=1e-6)


def test_speed_is_not_seen_and_shape_is(reader):
    word = load_bank("embedded").words[13].points
    seen = [features(*retrace([p])) for p in (word, resample(word, 0.003), word * [1, 1.5, 1])]
    assert (
        seen[0].shape == seen[1].shape
        and (seen[0] - seen[1]).abs().max() < 0.6
        and (seen[0] - seen[1]).abs().mean() < 0.05
    )
    assert seen[2].shape != seen[0].shape


def test_a_word_reads_the_same_in_any_company(default, reader):
    inks = generate_words(default, TEXT.split(), GenerationParams())
    texts = TEXT.split()
    together, scores = reader.judge(inks, texts)
    for ink, text, said, score in zip(inks, texts, together, scores):
        (alone,), (other,) = reader.judge([ink], [text])
        assert alone == said and other == pytest.approx(score, abs=1e-3)
    assert reader.judge(inks)[1] is None and reader.judge([]) == ([], None)


@given(st.integers(0, 2**31 - 1), st.integers(1, 4), st.lists(st.integers(1, 2), max_size=4))
def test_the_score_is_the_sum_over_all_alignments(seed, positions, text):
    logp = (
        torch.randn(1, positions, 3, generator=torch.Generator().manual_seed(seed)).double().log_softmax(-1)
    )
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
    inks = generate_words(default, ["anger"], GenerationParams(seed=3))
    said, (right, doubled, other) = reader.judge(inks * 3, ["anger", "angger", "soul"])
    assert said == ["anger"] * 3 and right == pytest.approx(0, abs=1e-6) and 0 > doubled > other
    with pytest.raises(CursiveError, match="'€'.*one word at a time"):
        reader.judge(inks, ["5€"])
    assert reader.judge([np.zeros((1, 3))], ["a"])[0] == [""]  # nothing drawn


def distance(a: str, b: str) -> int:
    "Plain recursion."
    if not a or not b:
        return len(a) + len(b)
    return min(distance(a[1:], b[1:]) + (a[0] != b[0]), distance(a[1:], b) + 1, distance(a, b[1:]) + 1)


@given(st.text("aab1", max_size=5), st.text("aab.", max_size=5))
def test_alignments_are_shortest_and_whole(asked, said):
    pairs = align(asked, said)
    assert "".join(a for a, _ in pairs) == asked and "".join(b for _, b in pairs) == said
    assert sum(a != b for a, b in pairs) == distance(asked, said)


def test_errors_are_counted_by_kind():
    found = compare(["Hades,", "goddess", "10"], ["Hades", "goddesss", "1o"])
    assert (
        found.words == 3
        and found.wrong_words == 3
        and found.word_error == 1
        and found.character_error == 3 / 15
    )
    assert [found.edits(k) for k in ("lower case", "capitals", "digits", "punctuation")] == [1, 0, 1, 1]
    assert [found.count(k) for k in ("lower case", "capitals", "digits", "punctuation")] == [11, 1, 2, 1]
    assert found.error("punctuation") == 1 and np.isnan(compare(["a"], ["a"]).error("digits"))
    assert "20.00% of 15 characters" in str(found)


def test_human_words_that_nobody_trained_on_are_read(held_out, reader):
    for inks in ([w.points for w in held_out], as_written(held_out)):
        found = compare([w.text for w in held_out], reader.judge(inks)[0])
        assert found.character_error < 0.015, str(found)
    assert (
        legibility(held_out[:20], reader).words == 20
        and read(held_out[:20]) == reader.judge([w.points for w in held_out[:20]])[0]
    )


def test_a_damaged_or_foreign_file_is_refused(tmp_path, reader, monkeypatch):
    path = save_reader(reader, tmp_path / "reader.safetensors", character_error=0.5)
    assert (
        json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])[
            "__metadata__"
        ]["character_error"]
        == "0.5"
    )
    same = load_reader(tmp_path)  # a run's folder
    assert (
        all(
            torch.equal(a, b)
            for a, b in zip(reader.state_dict().values(), same.state_dict().values(), strict=True)
        )
        and same.alphabet == reader.alphabet
    )
    whole = path.read_bytes()
    for data, says in [
        (whole[:-9], "damaged"),
        (whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:], "not what was saved"),
        (b"", "damaged"),
        ((BUNDLED.parent / "default.safetensors").read_bytes(), "not a reader"),
        (whole.replace(b'"version":"1"', b'"version":"9"'), "version 9"),
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


# ---- drawing again


def told(spelling, text, model, **options):
    "A page, and the warnings given."
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        return write(text, model, respell=spelling, **options), [str(w.message) for w in caught]


def test_words_that_read_wrong_are_drawn_again(default, reader):
    spelling = Spelling(reader)
    plain, _ = told(None, TEXT, default, **HOT)
    page, said = told(spelling, TEXT, default, **HOT)
    before, after = legibility(plain, reader), legibility(page, reader)
    assert after.wrong_words < before.wrong_words == spelling.wrong and spelling.words == len(TEXT.split())
    assert after.wrong_words == len(spelling.misread) and spelling.drawn >= spelling.wrong
    wrong = [w.text != r for w, r in zip(plain, read(plain, reader))]
    for a, b, redrawn in zip(plain, page, wrong):
        assert a.text == b.text and (redrawn or np.array_equal(a.points, b.points))
    again, _ = told(Spelling(reader), TEXT, default, **HOT)
    assert all(np.array_equal(a.points, b.points) and a.page == b.page for a, b in zip(page, again))


def test_what_still_reads_wrong_is_named(default):
    deaf = Reader().eval()  # untrained: it reads nothing right
    spelling = Spelling(deaf)
    page, said = told(spelling, "many souls", default)
    assert [(i, text) for i, text, _ in spelling.misread] == [
        (0, "many"),
        (1, "souls"),
    ] and spelling.drawn == 2 * sum(spelling.tries)
    assert (
        len(said) == 1
        and "2 of 2 words still read wrong: 0 'many' as '" in said[0]
        and "1 'souls' as '" in said[0]
    )
    assert [w.text for w in page] == ["many", "souls"]
    hopeless = Spelling(deaf)
    page, said = told(hopeless, TEXT, default)
    assert (
        hopeless.drawn == len(page)
        and len(hopeless.misread) == hopeless.given_up == len(page)
        and len(said) == 1
        and "does not know this hand" in said[0]
    )
    greedy = Spelling(deaf)
    told(greedy, "many", default, do_sample=False)
    assert greedy.drawn == 0 and len(greedy.misread) == 1  # no other drawing to be had
    with pytest.raises(CursiveError, match="'auto', a Spelling or None"):
        write("so", default, respell="often")


def test_among_drawings_that_read_right_the_likeliest_is_kept():
    class Scripted:
        alphabet = "abc"

        def judge(self, inks, texts):
            return [i[0] for i in inks], np.array([i[1] for i in inks])

    @dataclasses.dataclass
    class Drawing:
        ink: tuple  # what it reads as, and the reader's score
        likelihood: float
        ended: bool = True

    spelling = Spelling(Scripted(), tries=(3,))
    new = {
        0: [Drawing(("a", -5.0), -1.0), Drawing(("a", 0.0), -2.0), Drawing(("b", -0.1), 0.0)],
        1: [Drawing(("c", -4.0), 0.0), Drawing(("", -0.5), -9.0), Drawing(("c", -2.0), 0.0)],
    }
    best = spelling.choose(
        ["a", "b", "c", "€"],
        {
            0: Drawing(("c", -9.0), 0.0),
            1: Drawing(("a", -3.0), 0.0),
            2: Drawing(("c", 0.0), -7.0),
            3: Drawing(("", 0.0), 0.0),
        },
        lambda keys: [new[i][n] for i, _, n in keys],
    )
    assert (
        best[0] is new[0][0] and best[1] is new[1][1] and best[2].likelihood == -7.0
    )  # likeliest of the right ones; best read of the wrong ones
    assert (
        spelling.misread == [(1, "b", "")]
        and spelling.unread == [(3, "€")]
        and (spelling.words, spelling.wrong, spelling.drawn) == (3, 2, 6)
    )


@pytest.mark.parametrize(
    "options",
    [
        dict(tokenizer="cartesian", vocab_size=431),
        dict(alphabet=ALPHABET + "€", context_vocab_size=73),
        dict(positions="learned", start_token=False, mask_context=False),
    ],
    ids=str,
)
def test_any_model_can_be_read_back(options, reader):
    torch.manual_seed(3)
    model = Transformer(
        preset(
            "debug",
            **{
                **dict(vocab_size=525, block_size=1050, context_vocab_size=72, context_block_size=50),
                **options,
            },
        )
    ).eval()
    spelling = Spelling(reader, tries=(1,))
    text = "a 5€" if "alphabet" in options else "a 5"
    page, said = told(spelling, text, model, temperature=0.5, num_steps=60)
    assert [w.text for w in page] == text.split()
    assert spelling.unread == ([(1, "5€")] if "alphabet" in options else []) and (
        not spelling.unread or any("does not know" in s for s in said)
    )
    assert all(len(strokes(w.points)) for w in page)


def test_a_paragraph_and_words_written_together_are_read_back_too(default, reader):
    spelling, text = Spelling(reader), "many a brave soul"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        offsets = generate_paragraph(
            default, None, text, GenerationParams(seed=2, n_at_a_time=2), respell=spelling
        )
    assert len(offsets) == 4 and spelling.words == 4
    plain = generate_paragraph(default, None, text, GenerationParams(seed=2))
    again = generate_paragraph(default, None, text, GenerationParams(seed=2), plain, regenerate_ixs=[1])
    assert [np.array_equal(a, b) for a, b in zip(plain, again)] == [True, False, True, True]


def test_the_command_says_what_reads_wrong(cursive, tmp_path):
    hot = [v for k, value in HOT.items() for v in (f"--{k}", value)]
    plain = cursive("write", TEXT, *hot, "--no-respell", "-o", "a.json")
    assert plain.returncode == 0 and plain.stderr == ""
    done = cursive("write", TEXT, *hot, "-o", "b.json")
    a, b = (legibility(load_bank(str(tmp_path / n)).words) for n in ("a.json", "b.json"))
    assert done.returncode == 0 and b.wrong_words < a.wrong_words
    named = re.findall(r"(\d+) '\S+' as ", done.stderr)
    assert len(named) == b.wrong_words
    both = cursive("write", "--respell", "1", "--from", "b.json", "--no-respell")
    assert both.returncode == 2 and "give one of them" in both.stderr
    save_reader(Reader(), tmp_path / "r/reader.safetensors")
    done = cursive("write", "many", "--reader", "r", "-o", "d.svg")
    assert done.returncode == 0 and "0 'many' as '" in done.stderr
    for args in (["--reader", "none"], ["--reader", "r", "--no-respell"]):
        assert cursive("write", "many", *args).returncode == 2
    done = cursive("write", "--respell", "1", "--from", "b.json", "-o", "c.json")
    pages = [load_bank(str(tmp_path / n)).words for n in ("b.json", "c.json")]
    assert done.returncode == 0 and [np.array_equal(p.points, q.points) for p, q in zip(*pages)] == [
        i != 1 for i in range(len(pages[0]))
    ]


# ---- training


def test_words_are_bent_but_stay_words():
    inks = [w.points for w in load_bank("embedded").words[:20]]
    a, b = (distort(inks, np.random.default_rng(s), PolarTokenizer()) for s in (0, 0))
    assert all(np.array_equal(p, q) for p, q in zip(a, b)) and len(a) == 20
    for ink, bent in zip(inks, a):
        assert len(strokes(bent)) == len(strokes(ink)) and len(bent) <= len(ink) and np.isfinite(bent).all()
        assert (
            0.5 < np.ptp(bent[:, 0]) / np.ptp(ink[:, 0]) < 2
            and abs(bent[:, 1].mean() - ink[:, 1].mean()) < 0.15
        )


def test_every_word_is_seen_in_each_round():
    words = load_bank("embedded").words
    lessons = Lessons(words, Reader(), reader_config(batch_size=16))
    for start in (0, lessons.round):
        assert sorted(np.concatenate([lessons.rows(start + i) for i in range(lessons.round)])) == list(
            range(len(words))
        )
    x, counts, texts = lessons(3)
    assert len(x) == len(counts) == len(texts) == len(lessons.rows(3)) and torch.equal(lessons(3)[0], x)


def test_a_stopped_run_goes_on_as_if_nothing_had_been(tmp_path):
    config = dict(
        dataset_name="embedded", max_steps=8, batch_size=16, print_every=2, log_every=4, device="cpu"
    )
    whole = train_reader(reader_config(**config, run_dir=str(tmp_path / "whole")))
    half = train_reader(
        reader_config(**{**config, "max_steps": 4}, run_dir=str(tmp_path / "cut"), learning_rate=3e-3)
    )
    assert half.finished and [r["step"] for r in half.metrics if "train_loss" in r] == [2, 4]
    with pytest.raises(CursiveError, match="already holds a run"):
        train_reader(reader_config(**config, run_dir=str(tmp_path / "cut")))
    with pytest.raises(ConfigError, match="batch_size=16"):
        train_reader(reader_config(**{**config, "batch_size": 8}, run_dir=str(tmp_path / "cut"), resume=True))
    with pytest.raises(CursiveError, match="no run to resume"):
        train_reader(reader_config(**config, run_dir=str(tmp_path / "none"), resume=True))
    rest = train_reader(reader_config(**config, run_dir=str(tmp_path / "cut"), resume=True))
    assert [r["step"] for r in rest.metrics if "train_loss" in r] == [
        2,
        4,
        6,
        8,
    ] and "character_error" in rest.metrics[-1]
    assert (
        load_reader(tmp_path / "whole").alphabet == ALPHABET.replace(" ", "")
        and whole.metrics[-1]["step"] == 8
    )
    with pytest.raises(ConfigError, match="no setting 'n_layer'"):
        reader_config(n_layer=2)


def test_the_training_command(cursive, tmp_path):
    done = cursive(
        "train-reader", "--dataset_name", "embedded", "--max_steps", 3, "--batch_size", 8, "--run_dir", "r"
    )
    assert done.returncode == 0 and "r/reader.safetensors" in done.stdout, done.stderr
    assert {p.name for p in (tmp_path / "r").iterdir()} == {
        "config.json",
        "metrics.jsonl",
        "reader.safetensors",
        "state.pt",
    }
    assert load_reader(tmp_path / "r").width > 0
    assert cursive("train-reader", "--resume", "--run_dir", "r", "--max_steps", 4).returncode == 0
    for args, says in [
        (["--n_layer", "2"], "n_layer"),
        (["--resume"], "runs/reader"),
        (["--batch_size", "0"], "batch_size"),
    ]:
        wrong = cursive("train-reader", *args)
        assert wrong.returncode == 2 and says in wrong.stderr


# ---- what is said about legibility


def test_how_sure_an_error_is_agrees_with_drawing_the_words_again():
    rng = np.random.default_rng(0)
    asked = ["".join(rng.choice(list("abcdefg"), rng.integers(1, 12))) for _ in range(150)]
    said = [a.replace("a", "") if rng.random() < 0.3 else a for a in asked]  # errors come together
    again = []
    for _ in range(300):
        ix = rng.integers(0, len(asked), len(asked))
        again.append(compare([asked[i] for i in ix], [said[i] for i in ix]).character_error)
    found = compare(asked, said)
    assert (
        found.uncertainty == pytest.approx(np.std(again), rel=0.15)
        and found.words == 150
        and found.wrong_words == sum(a != s for a, s in zip(asked, said))
    )
    assert compare(asked, asked).uncertainty == 0 == compare([], []).uncertainty
    assert compare(asked * 5, said * 5).uncertainty == pytest.approx(
        compare(asked, said).uncertainty
    )  # the same words five times over say no more about others


def test_sentences_hold_everything_and_are_always_the_same():
    from cursivetransformer.data.wordbank import sentences

    texts = sentences(200)
    assert (
        texts[:7] == sentences(7)
        and texts[0] != sentences(1, seed=1)[0]
        and set("".join(texts)) <= set(ALPHABET)
    )
    assert all(t[0].isupper() and t[-1] in ".?!" for t in texts)
    for kind in (str.isdigit, str.isupper, lambda c: c in "\"(,'"):
        assert sum(any(map(kind, t)) for t in texts) > 60


def test_hands_are_told_apart(default):
    from cursivetransformer.study.evaluate import MEASURES, hand_distances, measures

    words = load_bank("embedded").words[:60]
    own = np.array([measures(w.points, w.text) for w in words])
    leaning = np.array([measures(w.points + np.outer(w.points[:, 1], [-0.3, 0, 0]), w.text) for w in words])
    rng = np.random.default_rng(0)
    same, chance = hand_distances(own, own, rng)
    assert np.allclose(same, chance)
    far, chance = hand_distances(own, leaning, rng)
    assert far[MEASURES.index("slant")] > 3 * chance[MEASURES.index("slant")] and far[
        MEASURES.index("points a character")
    ] == pytest.approx(chance[MEASURES.index("points a character")], rel=0.3)
    word = Word("ab", np.array([[0, 0, 1], [0, -0.1, 1], [0.1, -0.1, 1], [0.1, -0.1, 0]]))
    assert measures(word.points, word.text)[3:] == pytest.approx([2, 0.5, 0.05])
    assert measures(word.points, word.text)[MEASURES.index("curvature")] == pytest.approx(
        np.pi / 2 / 0.2, rel=1e-3
    )


def test_pictures_for_another_reader_show_size_and_place():
    from cursivetransformer.study.evaluate import picture

    low, high = (
        picture(np.array([[0, y, 1], [0.02, y + 0.02, 1], [0.02, y + 0.02, 0]])) for y in (0.0, -0.2)
    )
    assert low.shape[0] == high.shape[0] == 48
    assert (
        low[:24].min() > 200 > low[30:].min() and high[30:].min() > 200 > high[:24].min()
    )  # a comma hangs low, an apostrophe high
    line = picture(np.array([[0, -0.05, 1], [1, -0.05, 1], [1, -0.05, 0]]))
    assert (line[:, line.shape[1] // 2] < 128).sum() == 2


def test_the_report_of_the_command(cursive, tmp_path):
    (tmp_path / "s.txt").write_text("Many a brave soul\n\nso it goes\n")
    done = cursive(
        "eval", "--legibility", "--dataset", "embedded", "--sentences", "s.txt", "--words", 6, timeout=300
    )
    assert done.returncode == 0, done.stderr
    for part in (
        "human, held-out words",
        "same words, re-spelled",
        "words of sentences",
        "drawn again:",
        "slant",
        "human to human",
    ):
        assert part in done.stdout
    assert (
        "of 30 same words" in done.stdout
        and "of 6 words of sentences" in done.stdout
        and done.stdout.count("±") >= 5
    )
    for args, says in [
        (["--words", "3"], "--legibility"),
        (["--legibility", "--words", "0"], "at least 1"),
        (["--seed", "1"], "--legibility"),
        (["--legibility", "--seed", "-1"], "must not be negative"),
        (["--legibility", "--words", "3"], "here are 3"),
        (["--legibility", "--sentences", "none.txt"], "Cannot read none.txt"),
    ]:
        wrong = cursive("eval", "--dataset", "embedded", *args)
        assert wrong.returncode == 2 and says in wrong.stderr


def test_another_reader_reads_it_too(default):
    pytest.importorskip("rapidocr", reason="needs rapidocr, of the dev extra")
    from cursivetransformer.study.evaluate import independent_reader

    words = "many brave soul hero the anger".split()
    said = independent_reader()(generate_words(default, words, GenerationParams(), spelling=Spelling()))
    assert sum(a == b for a, b in zip(said, words)) >= 4
