"""What is said about legibility and about hands: measures, pictures for another reader, the report."""

import numpy as np
import pytest
from commands import Commands

from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import Word
from cursivetransformer.options import WritingOptions
from cursivetransformer.study.evaluate import (
    MEASURES,
    Measures,
    evaluate,
    hand_distances,
    independent_reader,
    measures,
    picture,
)
from cursivetransformer.writing.spelling import Spelling, generate_words


def test_words_are_measured():
    assert len(MEASURES) == len(Measures._fields)
    word = Word("ab", np.array([[0, 0, 1], [0, -0.1, 1], [0.1, -0.1, 1], [0.1, -0.1, 0]]))
    found = measures(word.points, word.text)
    assert found[3:] == pytest.approx([0.5, 0.05])
    assert found.curvature == pytest.approx(np.pi / 2 / 0.2, rel=1e-3)


def test_hands_are_told_apart():
    words = load_bank("embedded").words[:60]
    own = np.array([measures(w.points, w.text) for w in words])
    leaning = np.array([measures(w.points + np.outer(w.points[:, 1], [-0.3, 0, 0]), w.text) for w in words])
    rng = np.random.default_rng(0)
    same, chance = hand_distances(own, own, rng)
    assert np.allclose(same, chance)
    far, chance = hand_distances(own, leaning, rng)
    slant = MEASURES.index("slant")
    lifts = MEASURES.index("pen lifts a character")
    assert far[slant] > 3 * chance[slant]
    assert far[lifts] == pytest.approx(chance[lifts], rel=0.3)


def test_pictures_for_another_reader_show_size_and_place():
    low, high = (
        picture(np.array([[0, y, 1], [0.02, y + 0.02, 1], [0.02, y + 0.02, 0]])) for y in (0.0, -0.2)
    )
    assert low.shape[0] == high.shape[0] == 48
    # A comma hangs low, an apostrophe high.
    assert low[:24].min() > 200 > low[30:].min()
    assert high[30:].min() > 200 > high[:24].min()
    line = picture(np.array([[0, -0.05, 1], [1, -0.05, 1], [1, -0.05, 0]]))
    assert (line[:, line.shape[1] // 2] < 128).sum() == 2


def test_another_reader_reads_it_too(default):
    pytest.importorskip("rapidocr", reason="needs rapidocr, of the dev extra")
    words = "many brave soul hero the anger".split()
    said = independent_reader()(generate_words(default, words, WritingOptions(), spelling=Spelling()))
    assert sum(a == b for a, b in zip(said, words)) >= 4


def test_what_is_being_done_is_said_and_reported(default):
    said = []
    report = evaluate(default, load_bank("embedded").words, ["so it goes"], most=4, progress=said.append)
    judged = [f"{who}: {what}" for what, who in report.legibility]
    assert [s for s in said if not s.startswith("writing")] == judged
    assert set(said) - set(judged) == {"writing: same words", "writing: words of sentences"}
    assert report.legibility["model, same words", "shipped reader"].words == 20
    assert report.spelling["words of sentences"].words == 3
    assert all(len(distances) == len(MEASURES) for distances in report.distances)
    with pytest.raises(CursiveError, match="4 held-out words or more, and here are 3"):
        evaluate(default, load_bank("embedded").words, most=3)


def test_the_report_of_the_command(capsys, monkeypatch, tmp_path):
    command = Commands(capsys, monkeypatch, tmp_path)
    (tmp_path / "s.txt").write_text("Many a brave soul\n\nso it goes\n")
    legibility = ["eval", "--legibility", "--dataset", "embedded"]
    done = command(*legibility, "--sentences", "s.txt", "--words", 6)
    assert done.returncode == 0, done.stderr
    for part in (
        "human, held-out words",
        "same words, re-spelled",
        "words of sentences",
        "drawn again:",
        "slant",
        "human to human",
        "of 30 same words",
        "of 6 words of sentences",
    ):
        assert part in done.stdout
    assert done.stdout.count("±") >= 5
    for args, says in [
        (["--words", "3"], "--legibility"),
        (["--legibility", "--words", "0"], "at least 1"),
        (["--seed", "1"], "--legibility"),
        (["--legibility", "--seed", "-1"], "must not be negative"),
        (["--legibility", "--words", "3"], "here are 3"),
        (["--legibility", "--sentences", "none.txt"], "Cannot read none.txt"),
    ]:
        wrong = command("eval", "--dataset", "embedded", *args)
        assert wrong.returncode == 2 and says in wrong.stderr
