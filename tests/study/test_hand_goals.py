"One call judges a clone: the model's own words are its own, and another writer's are not."

import json

import pytest

from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.seeds import sample_rng
from cursivetransformer.data.writers import BOX, Hand, fonts_to_write
from cursivetransformer.ink.points import Word
from cursivetransformer.options import WritingOptions
from cursivetransformer.study.copying import Copying
from cursivetransformer.study.hand_goals import copying_goal, judge_hand, told_goal
from cursivetransformer.study.verdicts import (
    MET,
    NOT_MEASURED,
    NOT_MET,
    UNDECIDED,
    Interval,
    save_figures,
    wilson,
)
from cursivetransformer.writing.sample import draw_words

TEXTS = [w.text for w in load_bank("embedded").words if len(w.text) > 2][:62]


@pytest.fixture(scope="module")
def own_words(default):
    "What the bundled model wrote, as if it were a person; some of it twice."
    texts = TEXTS + TEXTS[:12]
    drawn = draw_words(default, texts, WritingOptions(seed=7))
    return [Word(text, d.ink, "Sam", page=(0.0, 0.0)) for text, d in zip(texts, drawn)]


@pytest.fixture(scope="module")
def own(default, own_words):
    steps = []
    found = judge_hand(
        default, None, own_words[:12] + own_words[62:], own_words[12:62], progress=steps.append
    )
    assert any("Sam: 62 of 62 words drawn" in step for step in steps), "each text once"
    return found


def goal(report, name):
    return next(g for g in report.goals if name in g.name)


@pytest.mark.slow
def test_a_hand_is_its_own(own):
    assert own.author == "Sam" and (own.learned, own.held_out) == (24, 50)
    assert own.likeness.mean < 1.6
    assert own.identified.clone.value > 0.9 and goal(own, "given").verdict in (MET, UNDECIDED)
    assert goal(own, "told").figures["model"].auc < 0.9
    assert goal(own, "same text").figures["clone"].value < 0.6


@pytest.mark.slow
def test_another_hand_is_told_by_everything_that_tells_hands(default):
    hand = Hand(BOX[5], fonts_to_write())
    words = [hand.write(text, sample_rng(0, i)) for i, text in enumerate(TEXTS)]
    found = judge_hand(default, "Sam", words[:12], words[12:], {"Ada": words[:5]})
    assert found.likeness.mean > 2 and found.identified.clone.value < 0.5
    assert [g.verdict for g in found.goals[:3]] == [NOT_MET] * 3
    assert goal(found, "same text").verdict == NOT_MEASURED, "nothing was written twice"
    assert {"the person", "Ada", "hasty"} <= found.identified.taken_for.keys()


@pytest.mark.slow
def test_the_report_is_a_table_and_a_file(own, tmp_path):
    text = str(own)
    assert "Sam: learned from 24 words, judged by 50 others" in text
    for name in ("distances, to those of two halves", "told from", "given to", "as near as a copy", "slant"):
        assert name in text
    figures = json.loads(save_figures(own.to_dict(), tmp_path / "hand.json").read_text())
    assert len(figures["goals"]) == 5 and len(figures["likeness"]["ratios"]) == 7
    assert not any(word in json.dumps(figures) for word in ("points", *TEXTS[:5]) if len(word) > 5)


@pytest.mark.parametrize(
    "clone, person, verdict",
    [((2, 100), (3, 100), MET), ((60, 100), (3, 100), NOT_MET), ((9, 100), (3, 100), UNDECIDED)],
)
def test_a_clone_may_come_as_near_as_the_person(clone, person, verdict):
    found = Copying(0.1, wilson(90, 100), wilson(*clone), wilson(*person))
    assert copying_goal("words", found).verdict == verdict


def test_without_a_word_to_compare_copying_is_not_measured():
    found = Copying(0.1, wilson(90, 100), wilson(9, 100), wilson(0, 0))
    assert copying_goal("words", found).verdict == NOT_MEASURED
    assert isinstance(found.person, Interval)


def test_few_words_are_not_asked_of_a_network(own_words):
    class Few:
        raw = drawn = own_words[:6]

    assert told_goal(Few).verdict == NOT_MEASURED
