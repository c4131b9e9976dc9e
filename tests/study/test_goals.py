"""Each goal on words whose right answer is known, and all of them in miniature with readers that lie."""

import json

import numpy as np
import pytest
from commands import Commands

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.ink.points import scale, shear
from cursivetransformer.study import drawings, goals
from cursivetransformer.study.drawings import (
    HELD_OUT,
    SIZED,
    Readings,
    Writing,
    first_drawn,
    person_of,
    respelled,
)
from cursivetransformer.study.goals import (
    capital_effect,
    distance_goals,
    error_goals,
    height_goal,
    long_goals,
    marks_goals,
    noticed_goals,
    read_goals,
    x_height_goal,
)
from cursivetransformer.study.letters import kind_of_word
from cursivetransformer.study.texts import fixed_lists
from cursivetransformer.study.verdicts import MET, NOT_MEASURED, NOT_MET, UNDECIDED
from cursivetransformer.writing.reader import load_reader
from cursivetransformer.writing.spelling import Spelling

STEM = np.array([[0, -0.2, 1], [0, 0, 1], [0, 0, 0]])
DOT = np.array([[0.1, 0, 1], [0.11, 0, 1], [0.11, 0, 0]])
COMMA = np.array([[0.1, -0.02, 1], [0.09, 0.06, 1], [0.09, 0.06, 0]])


@pytest.fixture(scope="module")
def person():
    "Whose held-out words are sixty of the embedded bank."
    words = load_bank("embedded").words
    return person_of(words, preset("debug", context_block_size=50))._replace(words=words[:60])


def written(**lists) -> Writing:
    return Writing(lists, lists, 0, Spelling())


def held_out_writing(inks: list) -> Writing:
    return Writing({HELD_OUT: inks}, {HELD_OUT: inks}, 0, Spelling())


def readings_of(person, human: list, model: list) -> Readings:
    "Where in each text the first so many characters are misread."
    readings = Readings()
    texts = person.texts

    def misread(text: str, wrong: int) -> str:
        return "#" * min(wrong, len(text)) + text[wrong:]

    readings.add("human", "judge", texts, [misread(t, n) for t, n in zip(texts, human)])
    said = [misread(t, n) for seed in model for t, n in zip(texts, seed)]
    readings.add(first_drawn(HELD_OUT), "judge", texts * len(model), said)
    return readings


def test_errors_are_compared_with_the_persons(person):
    n = len(person.words)
    none = [0] * n
    one_in_six = [int(i % 6 == 0) for i in range(n)]
    for human, model, verdict in (
        (none, none, MET),
        (one_in_six, one_in_six, MET),
        (none, [1] * n, NOT_MET),
        (none, [int(i == 0) for i in range(n)], UNDECIDED),
    ):
        found = error_goals(person, readings_of(person, human, [model] * 3), {"judge": None}, 3)
        assert [goal.verdict for goal in found] == [verdict, NOT_MEASURED], found[0]
        assert len(found[0].figures["difference"]) == 3


def test_long_words_count_as_wrong_where_they_are_not_drawn():
    asked = fixed_lists().long
    for drawn, wrong, verdict in (20, 0, MET), (20, 2, MET), (20, 3, NOT_MET), (17, 0, NOT_MET):
        texts = asked[:drawn]
        said = texts[: drawn - wrong] + ["?"] * wrong
        readings = Readings()
        readings.add(respelled("long"), "judge", texts * 2, said * 2)
        judge, shipped = long_goals({"long": texts}, readings, {"judge": None}, 2, quick=False)
        assert judge.verdict == verdict and judge.figures["right"] == [drawn - wrong] * 2
        assert shipped.verdict == NOT_MEASURED
    judge, _ = long_goals({"long": []}, Readings(), {"judge": None}, 2, quick=False)
    assert judge.verdict == NOT_MET


def test_stops_and_commas_are_counted(person):
    lists = {"stops": ["l."] * 112, "commas": ["t,"] * 112}
    with_dot = np.vstack([STEM, DOT])
    with_comma = np.vstack([STEM, COMMA])
    touching = np.vstack([STEM, COMMA - [0.1, 0, 0]])

    def writing(missing: int, touch: int) -> Writing:
        return written(
            stops=[STEM] * missing + [with_dot] * (112 - missing),
            commas=[touching] * touch + [with_comma] * (112 - touch),
        )

    stops, commas = marks_goals(person, lists, [writing(2, 3)] * 3, quick=False)
    assert (stops.verdict, commas.verdict) == (MET, NOT_MET)
    assert stops.figures["right"] == [110] * 3 and commas.figures["right"] == [109] * 3
    stops, commas = marks_goals(person, lists, [writing(3, 0), writing(0, 9)], quick=False)
    assert (stops.verdict, commas.verdict) == (UNDECIDED, UNDECIDED)


def test_one_stroke_too_high_is_too_high(person):
    inks = person.inks
    assert height_goal(person, [held_out_writing(inks)] * 3).verdict == MET
    flown = [inks[0] - [0, 1, 0], *inks[1:]]
    found = height_goal(person, [held_out_writing(flown), held_out_writing(inks)])
    assert found.verdict == UNDECIDED and found.figures["too_high"] == [1, 0]
    assert height_goal(person, [held_out_writing(flown)]).verdict == NOT_MET


def test_the_effect_of_capitals_is_the_factor_that_it_is():
    rng = np.random.default_rng(0)
    texts = [f"{'Ww'[i % 2]}ord{'abcdefghij'[i // 10]}{'klmnopqrst'[i % 10]}" for i in range(100)]
    is_capital = np.arange(100) % 2 == 0
    human = 0.1 * np.where(is_capital, 0.92, 1) * np.exp(0.02 * rng.standard_normal(100))
    model = np.stack([1.3 * human * np.where(is_capital, 0.9, 1)] * 3)
    found = capital_effect(texts, human, model, np.random.default_rng(1))
    assert found.human == pytest.approx(0.92, rel=0.01)
    assert found.model == pytest.approx(0.9 * found.human)
    assert found.difference == pytest.approx((-0.1, -0.1, -0.1))
    human[0] = np.nan
    assert capital_effect(texts, human, model, rng) is not None
    assert capital_effect(["anger"] * 9, np.ones(9), np.ones((3, 9)), rng) is None


def test_smaller_letters_of_capitalised_words_are_seen(person):
    words = person.sized
    assert len({w.text for w in words}) == len(words) > 50

    def verdict(factor: float) -> tuple:
        inks = [scale(w.points, 1, factor if kind_of_word(w.text) == "capitalised" else 1) for w in words]
        found = x_height_goal(person, [Writing({SIZED: inks}, {}, 0, Spelling())] * 2, load_reader())
        return found.verdict, found.figures["difference"].value

    assert verdict(1) == (MET, 0)
    smaller, value = verdict(0.8)
    assert smaller == NOT_MET and value == pytest.approx(-0.2, abs=0.05)


def test_a_leaning_hand_is_farther_than_chance(person):
    "Human words get the slant of training first; the model's here have it too, or more."
    upright = held_out_writing([shear(ink, -0.2) for ink in person.inks])
    leaning = held_out_writing([shear(ink, -0.6) for ink in person.inks])
    near = distance_goals(person, [upright] * 2, load_reader(), halves=30)
    far = distance_goals(person, [leaning] * 2, load_reader(), halves=30)
    assert [goal.verdict for goal in near] == [MET] * 7
    assert {g.name: g.verdict for g in far}["distance: slant"] == NOT_MET
    mixed = distance_goals(person, [upright, leaning], load_reader(), halves=30)
    assert {g.name: g.verdict for g in mixed}["distance: slant"] == UNDECIDED


class Blind:
    "A reader that reads `l.` in whatever it is given."

    def judge(self, inks: list) -> tuple:
        return ["l."] * len(inks), None


def test_a_reader_that_reads_what_it_expects_notices_nothing(person):
    word = person.words[0]
    dotted = type(word)("l.", np.vstack([STEM, DOT]))
    for goal in noticed_goals(person._replace(bank=[dotted] * 4), Blind()):
        assert goal.verdict == NOT_MET and goal.figures == {"noticed": 0, "words": 4}
    for goal in noticed_goals(person._replace(bank=[dotted] * 3), Blind()):
        assert goal.verdict == NOT_MEASURED


def few(quick: bool = False):
    return fixed_lists(True)._replace(
        stops=["etc."] * 2, commas=["it,"], capitals=["HH"], long=["anger"], sentences=["so", "it"]
    )


@pytest.fixture
def miniature(monkeypatch):
    for module in goals, drawings:
        monkeypatch.setattr(module, "fixed_lists", few)
    monkeypatch.setattr(drawings, "MOST_SIZED", 6)


def test_all_goals_in_miniature(default, miniature):
    person = person_of(load_bank("embedded").words, default.config)
    texts = person.texts
    right = []

    def flatterer(inks: list) -> list:
        "Says of everything what was asked, in the order in which it is given everything."
        n = len(inks)
        for said in right:
            if len(said) == n:
                return said
        return [""] * n

    right += [texts, texts * 3, ["so", "it"] * 3, ["anger"] * 3]
    said = []
    readers = {"judge": flatterer, "shipped reader": lambda inks: ["?"] * len(inks)}
    report = read_goals(default, load_bank("embedded").words, readers=readers, progress=said.append)
    verdicts = {goal.name: goal.verdict for goal in report.goals}
    assert verdicts["characters wrong, judge"] == MET
    assert verdicts["characters wrong, rapidocr"] == NOT_MEASURED
    assert verdicts["long words right, re-spelled, shipped reader"] == NOT_MET
    assert len(report.goals) == 17 and set(verdicts.values()) <= {MET, NOT_MET, UNDECIDED, NOT_MEASURED}
    assert any("rapidocr" in note for note in report.notes)
    assert report.legibility[first_drawn(HELD_OUT), "judge"].words == 3 * len(texts)
    text = str(report)
    for part in (*verdicts, "nats/word", "bits/mm", "human", "held-out words, re-spelled"):
        assert part in text
    figures = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert len(figures["goals"]) == 17 and figures["seeds"] == [0, 1, 2]
    assert not any(text in json.dumps(figures) for text in texts if len(text) > 4)
    assert {s.split(":")[0] for s in said} >= {"seed 0", "seed 1", "seed 2", "judge", "shipped reader"}


def test_the_command_prints_a_table_and_writes_figures(capsys, monkeypatch, tmp_path, miniature):
    monkeypatch.setattr(
        "cursivetransformer.study.evaluate.independent_reader", lambda: lambda inks: [""] * len(inks)
    )
    monkeypatch.setattr(drawings, "JUDGE", tmp_path / "none")
    command = Commands(capsys, monkeypatch, tmp_path)
    done = command("eval", "--goals", "--dataset", "embedded", "--quick", "-o", "found.json")
    assert done.returncode == 0, done.stderr
    assert "verdict" in done.stdout and "found.json" in done.stdout and "Not asked: judge" in done.stdout
    figures = json.loads((tmp_path / "found.json").read_text())
    assert figures["dataset"] == "embedded" and figures["quick"] is True
    assert {goal["verdict"] for goal in figures["goals"]} >= {NOT_MEASURED, NOT_MET}
