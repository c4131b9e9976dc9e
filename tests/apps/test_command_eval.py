import dataclasses
import json
import zipfile
from types import SimpleNamespace

import pytest
from commands import Commands

from cursivetransformer.apps.command_eval import check_eval, eval_parser, goals_report
from cursivetransformer.config import CursiveError
from cursivetransformer.data.banks import EMBEDDED, load_bank, save_bank
from cursivetransformer.flags import parse_flags
from cursivetransformer.model.checkpoint import save_model


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    return Commands(capsys, monkeypatch, tmp_path)


GOOD = {
    "metadata": {"author": "me", "asciiSequence": "l", "aspectRatio": 6},
    "points": [[0.1, 0.4, 1], [0.1, 0.6, 1], [0.1, 0.6, 0]],
}


def test_data_reports_and_validates(command, tmp_path):
    assert "158 different" in command("data", "embedded").stdout
    (tmp_path / "b.json").write_text(json.dumps([GOOD, {"metadata": {}}]))
    assert command("data", "b.json").returncode == 2
    for flag in "--skip-bad", "--skip_bad":
        done = command("data", "b.json", flag)
        assert done.returncode == 0 and "skipped     1" in done.stdout


def changed_bank(path, change, author="Ada"):
    "The embedded bank as a file, its items changed."
    with zipfile.ZipFile(EMBEDDED) as z:
        items = json.loads(z.read(z.namelist()[0]))
    for item in items:
        item["metadata"]["author"] = author
        item["points"] = [list(p) for p in change(item["points"])]
    path.write_text(json.dumps(items))


# What a mistaken program writes, as the file has it.
MISTAKES = {
    "pen_down seems to be reversed": lambda points: [(x, y, 1 - pen) for x, y, pen in points],
    "y seems to grow upwards": lambda points: [(x, 1 - y, pen) for x, y, pen in points],
    "x and y seem to be pixels": lambda points: [(x * 60, y * 60, pen) for x, y, pen in points],
    "x and y seem to be steps": lambda points: [
        (x - before[0], y - before[1], pen) for before, (x, y, pen) in zip([points[0], *points], points)
    ],
}


@pytest.mark.parametrize("says", MISTAKES)
def test_banks_that_cannot_be_meant_are_not_called_sound(command, tmp_path, says):
    changed_bank(tmp_path / "b.json", MISTAKES[says])
    done = command("data", "b.json")
    assert done.returncode == 1 and f"verdict     The words of Ada cannot be meant: {says}" in done.stdout
    learned = command("clone", "b.json", "--run-dir", "hand")
    assert learned.returncode == 2 and says in learned.stderr and not (tmp_path / "hand").exists()


def test_a_sound_bank_is_called_so_and_each_hand_counted_by_itself(command, tmp_path):
    done = command("data", "embedded")
    assert done.stdout.endswith("hands       Hershey: 158 words, 70 of 70 characters\nverdict     sound\n")
    (tmp_path / "l.json").write_text(json.dumps([GOOD]))
    both = command("data", "embedded+l.json").stdout
    assert "Hershey: 158 words, 70 of 70" in both and "me: 1 word, 1 of 70 characters, without" in both
    changed_bank(tmp_path / "b.json", lambda points: points, author="")
    done = command("data", "b.json")
    assert done.returncode == 0 and "verdict     look at these:" in done.stdout
    assert "158 words have no author's name" in done.stdout


def test_eval_is_deterministic_and_counts_everything(command, tiny, tmp_path):
    first = command("eval", "--dataset", "embedded")
    assert first.returncode == 0 and first.stdout == command("eval", "--dataset", "embedded").stdout
    figures = dict(line.split() for line in first.stdout.splitlines())
    names = {"words", "tokens", "mm", "nats/token", "nats/word", "bits/mm"}
    assert set(figures) == names
    assert int(figures["words"]) == len(load_bank("embedded").words)
    assert float(figures["nats/word"]) == pytest.approx(
        float(figures["nats/token"]) * int(figures["tokens"]) / int(figures["words"]), rel=1e-3
    )
    save_model(tiny, tmp_path / "polar.safetensors")  # whose tokens are of points
    of_points = command("eval", "--dataset", "embedded", "--checkpoint", "polar.safetensors")
    figures = dict(line.split() for line in of_points.stdout.splitlines())
    assert set(figures) == names | {"points", "nats/point"}
    assert float(figures["nats/point"]) == pytest.approx(
        float(figures["nats/token"]) * int(figures["tokens"]) / int(figures["points"]), rel=1e-3
    )


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--words", "3"], "belong to --legibility"),
        (["--sentences", "s.txt"], "belong to --legibility"),
        (["--seed", "0"], "belongs to --legibility, --hand and --eyes"),
        (["--legibility", "--words", "0"], "--words must be at least 1"),
        (["--legibility", "--seed", "-1"], "--seed must not be negative"),
        (["--num_words", "0"], "--num-words must be at least 1"),
        (["--quick"], "belong to --goals"),
        (["--judge", "r.safetensors"], "belong to --goals"),
        (["--two-sample"], "belong to --goals"),
        (["-o", "goals.json"], "belong to --goals"),
        (["--goals", "--legibility"], "one at a time"),
        (["--goals", "--words", "3"], "belong to --legibility"),
        (["--goals", "--seed", "1"], "belongs to --legibility, --hand and --eyes"),
        (["--hand", "--eyes", "e.html"], "one at a time"),
        (["--hand", "--goals"], "one at a time"),
        (["--hand", "--quick"], "belong to --goals"),
        (["--eyes", "e.html", "-o", "f.json"], "belong to --goals and --hand"),
        (["--hand", "--seed", "-1"], "--seed must not be negative"),
        (["--author", "Ada"], "belong to --hand and --eyes"),
        (["--legibility", "--learned", "b.json"], "belong to --hand and --eyes"),
    ],
)
def test_flags_that_do_not_go_together(flags, says):
    args = parse_flags(eval_parser("cursive eval"), ["--dataset", "embedded", *flags])
    with pytest.raises(CursiveError, match=says):
        check_eval(args)


@pytest.fixture
def two_people(tmp_path):
    "A bank of two people, one of whom the bundled model knows, and some of that one's words for themselves."
    words = [dataclasses.replace(w, author="Sam") for w in load_bank("embedded").words if len(w.text) > 2][
        :56
    ]
    other = [dataclasses.replace(w, author="Ada") for w in words[:9]]
    save_bank(words[:20], tmp_path / "learned.json")
    return save_bank(words + other, tmp_path / "both.json").name


@pytest.mark.slow
def test_a_hand_is_judged_by_words_that_it_did_not_learn_from(command, tmp_path, two_people):
    asked = ["eval", "--dataset", two_people, "--hand", "--learned", "learned.json", "-o", "hand.json"]
    done = command(*asked)
    assert done.returncode == 0, done.stderr
    assert "Sam: learned from 20 words, judged by 36 others" in done.stdout
    assert "given to the person" in done.stdout and "as near as a copy" in done.stdout
    figures = json.loads((tmp_path / "hand.json").read_text())
    assert (
        figures["dataset"] == two_people
        and figures["learned"] == 20
        and figures["words_learned"] == "learned.json"
    )
    assert "Ada" in figures["identified"]["taken_for"]


def test_a_page_for_peoples_eyes(command, tmp_path, two_people):
    done = command("eval", "--dataset", two_people, "--eyes", "eyes.html", "--learned", "learned.json")
    assert done.returncode == 0 and "eyes.html: 7 pairs of lines" in done.stdout
    page = (tmp_path / "eyes.html").read_text()
    assert "Sam wrote one by hand" in page and page.count('"person"') == 7
    few = command("eval", "--dataset", two_people, "--eyes", "few.html", "--learned", two_people)
    assert few.returncode == 2 and "takes 15 words or more" in few.stderr
    assert not (tmp_path / "few.html").exists()


def test_whose_hand_has_to_be_clear(command, tmp_path, two_people):
    done = command("eval", "--dataset", "embedded", "--hand")
    assert done.returncode == 2 and "say whose with --author" in done.stderr
    done = command("eval", "--dataset", two_people, "--hand", "--author", "Eve")
    assert done.returncode == 2 and "not of 'Eve'" in done.stderr
    done = command("eval", "--dataset", two_people, "--eyes", "e.html", "--author", "Ada")
    assert done.returncode == 2 and "not of 'Ada'" in done.stderr  # whose words are there, not the hand


def test_sentences_that_are_not_there(command, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    legibility = ["eval", "--dataset", "embedded", "--legibility", "--sentences"]
    assert "no sentence in empty.txt" in command(*legibility, "empty.txt").stderr
    assert "Cannot read none.txt" in command(*legibility, "none.txt").stderr


def test_goals_that_cannot_be_written_are_shown(monkeypatch, tmp_path):
    report = SimpleNamespace(notes=[], to_dict=dict)

    def full(figures, path):
        raise CursiveError(f"Cannot write {path}: No space left on device.")

    monkeypatch.setattr("cursivetransformer.study.goals.read_goals", lambda *args: report)
    monkeypatch.setattr("cursivetransformer.study.verdicts.save_figures", full)
    args = SimpleNamespace(
        dataset="embedded", checkpoint=None, judge=None, quick=True, two_sample=False, output="found.json"
    )
    assert goals_report(args, None, []) is report
    assert report.notes == ["Cannot write found.json: No space left on device."]
