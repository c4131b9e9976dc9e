"""Where a run is saved when its own folder takes nothing."""

from pathlib import Path

import pytest

from cursivetransformer.config import CursiveError
from cursivetransformer.model.checkpoint import save_state
from cursivetransformer.model.places import (
    bring_back,
    clear_second_places,
    how_to_resume,
    places_of_run,
    save_in_first,
    second_places,
    step_of,
)


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


def save(model, folder, step, run="1f2e"):
    save_state(folder / "state.pt", model, model, step, None, beside={"run": run})
    (folder / "best.safetensors").write_text(f"best at {step}")


def test_the_first_place_that_takes_it_is_used(tmp_path):
    places = [tmp_path / "a", *second_places(tmp_path / "a", "1f2e")]

    def save(folder):
        if folder != places[2]:
            raise CursiveError(f"{folder.name} is full")

    saved = save_in_first(places, save)
    assert saved.place == places[2] and str(saved.error) == "a is full"
    assert save_in_first(places[:2], save).place is None
    assert save_in_first(places[2:], save) == (places[2], None)


def test_the_newest_state_comes_home_and_the_rest_goes(tmp_path, tiny):
    home = tmp_path / "run"
    first, second = second_places(home, "1f2e")
    save(tiny, home, 4)
    assert bring_back(home) is None
    save(tiny, first, 6)
    save(tiny, second, 8)
    save(tiny, first.parent / "run-0000", 99, "0000")  # another run of this name
    assert places_of_run("1f2e") == [first, second]
    assert bring_back(home) == second and step_of(home) == 8
    clear_second_places(home, "1f2e")
    assert not first.exists() and not second.exists() and step_of(first.parent / "run-0000") == 99
    assert bring_back(home) is None and step_of(tmp_path / "nowhere") == -1


def test_a_run_of_an_earlier_version_has_no_second_place(tmp_path, tiny):
    save_state(tmp_path / "run/state.pt", tiny, tiny, 4, None)
    save(tiny, second_places(tmp_path / "run", "None")[0].with_name("run-other"), 8, "other")
    assert bring_back(tmp_path / "run") is None


def test_the_command_can_be_typed():
    assert how_to_resume(Path("runs/My Drive 3"), "train-reader") == (
        "cursive train-reader --resume --run-dir 'runs/My Drive 3'"
    )
