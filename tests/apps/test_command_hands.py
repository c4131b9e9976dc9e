"""`cursive hands`: a list, plates, hands that are added and removed, sentences for what cannot be."""

import dataclasses

import numpy as np
import pytest
import torch
from commands import Commands
from models import small_model

from cursivetransformer.apps.command_hands import (
    PANGRAM,
    characters_of,
    plate_of_characters,
    plate_of_hands,
    table_of,
)
from cursivetransformer.config import ALPHABET, LATIN
from cursivetransformer.model.checkpoint import edition_of, save_model
from cursivetransformer.writing.hands import hand_of, known_hands, save_hand

NOTES = dict(characters="abc", figures={"characters wrong": "1.2 %"}, author="Cy Doe", licence="CC BY 4.0")


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path / "hands"))
    return Commands(capsys, monkeypatch, tmp_path)


@pytest.fixture
def model():
    return small_model(block_size=1050, authors=("Ann", "Bo"))


@pytest.fixture
def checkpoint(model, tmp_path):
    "A model's file that says something of one of its hands."
    return save_model(model, tmp_path / "model.safetensors", hands={"Ann": {"licence": "OFL 1.1"}})


@pytest.fixture
def file(model, tmp_path):
    "A hand for it."
    hand = dataclasses.replace(hand_of(model, "Ann"), name="Cy", vector=torch.ones(32), **NOTES)
    return save_hand(hand, tmp_path)


def test_hands_are_added_listed_and_removed(command, checkpoint, file):
    own = "--checkpoint", checkpoint
    done = command("hands", *own)
    assert done.returncode == 0 and done.stderr == ""
    rows = [row.split() for row in done.stdout.splitlines()]
    assert rows[0] == ["name", "kind", "characters", "author", "licence", "figures"]
    assert rows[1:] == [["Ann", "vector", "-", "-", "OFL", "1.1"], ["Bo", "vector", "-", "-", "-"]]
    done = command("hands", "add", file, *own)
    assert done.returncode == 0 and "Added 'Cy'" in done.stdout and "Cy Doe: CC BY 4.0." in done.stdout
    assert "--author Cy" in done.stdout
    done = command("hands", "add", file, "--name", "Di", *own)
    assert done.returncode == 0
    rows = command("hands", *own).stdout.splitlines()
    assert [row.split()[0] for row in rows] == ["name", "Ann", "Bo", "Cy", "Di"]
    assert "3 " in rows[3] and "Cy Doe" in rows[3] and "CC BY 4.0" in rows[3]
    assert rows[3].endswith("characters wrong 1.2 %")
    done = command("hands", "remove", "CY")
    assert done.returncode == 0 and "Removed" in done.stdout
    assert [row.split()[0] for row in command("hands", *own).stdout.splitlines()][3:] == ["Di"]


def test_hands_of_another_edition_are_listed_as_such(command, model, checkpoint, file):
    command("hands", "add", file, "--checkpoint", checkpoint)
    done = command("hands")
    assert done.returncode == 0 and f"of the model {edition_of(model)}, not of this one" in done.stdout


@pytest.mark.parametrize(
    "args, says",
    [
        (["plat"], "Did you mean 'plate'?"),
        (["add"], "hands add FILE"),
        (["remove"], "remove NAME"),
        (["plate", "Ann"], "--author NAME"),
        (["-o", "a.png"], "belong to cursive hands plate"),
        (["add", "x", "--author", "Ann"], "belong to cursive hands plate"),
        (["plate", "--name", "x"], "hands add FILE"),
        (["plate", "-o", "a.gif"], "png, svg, pdf"),
        (["plate", "--author", "nobody"], "not of 'nobody'"),
        (["add", "none.hand.safetensors"], "none.hand.safetensors"),
        (["add", "broken"], "broken is damaged"),
        (["add", "Cy.hand.safetensors"], "belongs to the model"),
        (["remove", "Sam"], "those of the model itself stay"),
        (["add", "a", "b"], "one argument too many"),
        (["--checkpoint", "none"], "no checkpoint none"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(command, file, tmp_path, args, says):
    (tmp_path / "broken").write_bytes(b"x" * 100)
    before = sorted(tmp_path.iterdir())
    done = command("hands", *args)
    assert done.returncode == 2 and done.stdout == "" and says in done.stderr
    assert done.stderr.startswith("cursive: ") and done.stderr.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_names_that_are_taken_or_no_names_are_said(command, checkpoint, file):
    own = "--checkpoint", checkpoint
    command("hands", "add", file, *own)
    for name, says in (
        ("bo", "called 'Bo' already"),
        ("a+b", "cannot be called"),
        ("../x", "cannot be called"),
    ):
        done = command("hands", "add", file, "--name", name, *own)
        assert done.returncode == 2 and says in done.stderr
    assert "called 'Cy' already" in command("hands", "add", file, *own).stderr


@pytest.mark.filterwarnings("ignore:The model found no end")
def test_a_text_is_written_in_a_hand_that_was_added_and_again_in_the_same(
    command, checkpoint, file, tmp_path
):
    own = "--checkpoint", checkpoint
    command("hands", "add", file, *own)
    done = command("write", "so it", "--no-respell", "--author", "cy", *own, "-o", "a.json")
    assert done.returncode == 0 and '"hand": "Cy"' in (tmp_path / "a.json").read_text()
    done = command("write", "so it", "--no-respell", "--author", "cy:0.7+Ann:0.3", *own, "-o", "b.json")
    assert done.returncode == 0 and '"hand": "Cy:0.7+Ann:0.3"' in (tmp_path / "b.json").read_text()
    done = command("write", "--respell", "1", "--from", "a.json", *own, "-o", "c.json")
    assert done.returncode == 0 and (tmp_path / "c.json").read_text().count('"hand": "Cy"') == 2
    (tmp_path / "lines.txt").write_text("so\nit\n")
    lines = "write", "--file", "lines.txt", "--no-respell", *own, "--format", "svg"
    done = command(*lines, "--author", "all", "--out-dir", "d")
    labels = (tmp_path / "d/part-000000/labels.tsv").read_text().splitlines()
    assert done.returncode == 0 and [row.split("\t")[2] for row in labels] == ["hand", "Ann", "Bo"]
    for author, says in (
        ("ann+nobody", "not of 'nobody'"),
        ("ann,cy", "names several"),
        ("ann:x", "looks like"),
    ):
        done = command("write", "so", "--author", author, *own, "-o", "e.svg")
        assert done.returncode == 2 and says in done.stderr and not (tmp_path / "e.svg").exists()


@pytest.mark.slow
def test_plates_are_pictures(command, tmp_path):
    done = command("hands", "plate", "-o", "p.png")
    assert (done.returncode, done.stdout) == (0, "Drew p.png.\n")
    done = command("hands", "plate", "--author", "sam", "-o", "p.svg")
    assert done.returncode == 0 and (tmp_path / "p.svg").read_text().count("<path") > 71
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")


def test_a_plate_names_every_hand_and_shows_its_line(model, monkeypatch, tmp_path):
    from cursivetransformer.writing import page

    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path))
    asked = []
    real = page.write

    def quick(text, model, options):
        asked.append((text, options.author))
        return real("a", model, dataclasses.replace(options, num_steps=20, respell=False))

    monkeypatch.setattr(page, "write", quick)
    figure = plate_of_hands(model)
    assert asked == [(PANGRAM, "Ann"), (PANGRAM, "Bo")]
    assert [ax.get_title("left") for ax in figure.axes] == ["Ann", "Bo"]


def test_every_character_is_on_the_plate_of_a_hand_in_brown_where_it_was_never_seen(
    model, monkeypatch, tmp_path
):
    from cursivetransformer.apps import command_hands

    monkeypatch.setenv("CURSIVE_HANDS", str(tmp_path))
    drawn = []

    def dots(characters, hand):
        drawn.extend(characters)
        return [np.array([[0.0, 0, 1], [0.1, 0, 1], [0.1, 0, 0]]) for _ in characters]

    monkeypatch.setattr(command_hands, "drawn_characters", dots)
    ann = dataclasses.replace(known_hands(model)[0], characters="ab")
    (ax,) = plate_of_characters("ann", model, [ann]).axes
    assert sorted(drawn) == sorted(set(ALPHABET) - {" "})
    assert [text.get_text() for text in ax.texts] == drawn
    colors = {c: patch.get_edgecolor() for c, patch in zip(drawn, ax.patches, strict=True)}
    assert colors["a"] == colors["b"] != colors["c"] == colors["A"]


def test_characters_with_marks_are_written_where_letters_and_marks_are_known():
    known = characters_of(LATIN)
    assert len(known) == len(set(known)) > 350 and set("éőțơẻßøñ€„ÇŒ") <= set(known)
    assert not set(known) & {"\u0301", " "} and known.index("a") < known.index("é") < known.index("z")
    assert set(characters_of(ALPHABET)) == set(ALPHABET) - {" "}
    assert known.index("z") < known.index("0") < known.index("!")


def test_a_table_says_what_each_hand_is(model):
    text = table_of(known_hands(model)[:1], model)
    assert text.splitlines()[1].split() == ["Ann", "vector", "-", "-", "-"]
