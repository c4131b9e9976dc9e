"""Chain tokens follow the line: what comes back is the ink, whatever recorded it, and smooth."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from ink_cases import cusps_of, furthest, turning_angles

from cursivetransformer.config import preset
from cursivetransformer.data.banks import load_bank
from cursivetransformer.data.dataset import create_datasets
from cursivetransformer.ink.chain import (
    BETWEEN_WORDS,
    FIRST_MERGE,
    MOVES,
    NEIGHBOURS,
    PEN_DOWN,
    PEN_UP,
    ROOM,
    ChainTokenizer,
    apply_merge,
    chain_code,
    in_a_row,
    learn_merges,
    line_steps,
    needed_points,
    smooth,
    stroke_steps,
)
from cursivetransformer.ink.curves import flatten
from cursivetransformer.ink.points import strokes, with_pen_up
from cursivetransformer.ink.tokenizers import tokenizer_of
from cursivetransformer.ink.tokens import FORBIDDEN

GRID = 0.01
BANK = load_bank("embedded").words
INKS = [word.points for word in BANK]
CODES = [chain_code(points, GRID) for points in INKS]
TOKENIZER = ChainTokenizer(GRID, learn_merges(CODES, 100))


@st.composite
def inks(draw, most=25):
    "Strokes of any shape, each ended by a point with the pen up; sometimes the last is open, some are taps."
    counts = draw(st.lists(st.integers(1, most), min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    step = draw(st.sampled_from([0.004, 0.02, 0.2]))
    place = rng.uniform(-1, 1, 2)
    points = []
    for n in counts:
        xy = place + rng.normal(0, step, (n, 2)).cumsum(0)
        place = xy[-1] + rng.normal(0, 0.1, 2)
        points.append(with_pen_up(xy))
    points = np.vstack(points)
    return points[:-1] if draw(st.booleans()) else points


def from_left(points):
    "Strokes of a word, from its own left edge."
    drawn = strokes(points)
    left = np.concatenate(drawn)[:, 0].min()
    return [xy - [left, 0] for xy in drawn]


def cells_of(codes):
    "The cells of each stroke, before they are smoothed."
    places = MOVES[codes].cumsum(0)
    return [places[stroke.cells] for stroke in stroke_steps(codes)]


def pieces_of(line, count):
    "A line with so many pieces for each of its own."
    at = np.arange(count * (len(line) - 1) + 1) / count
    return np.column_stack([np.interp(at, np.arange(len(line)), axis) for axis in line.T])


# What comes back


@settings(deadline=None)
@given(inks())
def test_recorded_points_come_back_within_half_a_cell_in_their_order(points):
    recorded = from_left(points)
    drawn = cells_of(chain_code(points, GRID))
    assert len(drawn) == len(recorded)
    for there, cells in zip(recorded, drawn):
        assert (np.abs(np.diff(cells, axis=0)).max(1, initial=0) <= 1).all()
        assert furthest(there, cells * GRID) <= GRID / 2 + 1e-9
        line = pieces_of(cells, 8) * GRID
        at = 0
        for point in there:  # one after the other, but for the order within a cell
            at = max(at - 12, 0)
            near = (np.abs(line[at:] - point) <= GRID * 0.57).all(1)
            assert near.any()
            at += int(near.argmax())
        assert (np.abs(line[[0, -1]] - there[[0, -1]]) <= GRID / 2 + 1e-9).all()


@settings(deadline=None)
@given(inks())
def test_the_finished_line_is_within_a_cell_of_every_recorded_point(points):
    (ink,) = TOKENIZER.decode_words(TOKENIZER.encode_words([points]))
    recorded = from_left(points)
    drawn = strokes(ink)
    assert len(drawn) == len(recorded) and ink[-1, 2] == 0
    for there, line in zip(recorded, drawn):
        assert furthest(there, flatten(line)) <= 1.1 * GRID
        assert (np.abs(line[[0, -1]] - there[[0, -1]]) <= GRID / 2 + 1e-9).all()


@pytest.mark.parametrize("grid", [0.008, 0.01, 0.0125])
def test_human_words_and_their_finished_lines_are_within_a_cell_of_each_other(grid):
    tokenizer = ChainTokenizer(grid, ())
    for points in INKS[:40]:
        (ink,) = tokenizer.decode_words(tokenizer.encode_words([points]))
        for there, line in zip(from_left(points), strokes(ink), strict=True):
            assert furthest(there, flatten(line)) <= grid
            assert furthest(flatten(line)[::2], flatten(there)[::2]) <= grid


def test_a_tap_is_down_and_up():
    tap = np.array([[0.3, 0, 1], [0.3, 0, 0]])
    assert chain_code(tap, GRID).tolist() == [PEN_DOWN, PEN_UP]
    (ink,) = TOKENIZER.decode_words(TOKENIZER.encode_words([tap]))
    assert ink.tolist() == [[0, 0, 1], [0, 0, 0]]
    high = tap - [0, 0.05, 0]  # its height is in the tokens
    assert chain_code(high, GRID).tolist() == [6] * 5 + [PEN_DOWN, PEN_UP]


@given(tokens=arrays(int, st.integers(0, 80), elements=st.integers(-5, TOKENIZER.vocab_size + 20)))
def test_any_integers_decode(tokens):
    for piece in [tokens, *TOKENIZER.split(tokens)]:
        ink = TOKENIZER.decode_word(piece)
        assert ink.ndim == 2 and ink.shape[1] == 3 and np.isfinite(ink).all()
        assert set(ink[:, 2]) <= {0, 1} and (len(ink) == 0 or ink[-1, 2] == 0)
        assert len(TOKENIZER.drawn_by(piece)) == len(ink)
    assert len(TOKENIZER.decode_words(TOKENIZER.split(tokens))) <= len(TOKENIZER.split(tokens))


def test_no_words_and_words_of_no_ink():
    air = np.array([[0.0, 0, 0], [1, 0, 0]])
    assert TOKENIZER.encode_words([]) == []
    assert [len(tokens) for tokens in TOKENIZER.encode_words([air, INKS[0], air])][::2] == [0, 0]
    assert TOKENIZER.decode_words([np.zeros(0, int)]) == []


@given(st.lists(inks(), min_size=1, max_size=4))
def test_words_come_apart_as_they_were_joined(words):
    tokens = TOKENIZER.encode_words(words)
    alone = [TOKENIZER.encode_words([word])[0] for word in words]
    END, PAD = TOKENIZER.END, TOKENIZER.PAD
    stream = np.concatenate([[END], TOKENIZER.join(tokens), [END, PAD, PAD]])
    for own, together, cut in zip(alone, tokens, TOKENIZER.split(stream), strict=True):
        assert own.tolist() == together.tolist() == cut.tolist()


# Whatever recorded it


@settings(deadline=None)
@given(inks(most=8), st.integers(2, 5))
def test_points_between_points_and_points_twice_change_little(points, pieces):
    drawn = strokes(points)
    code = chain_code(points, GRID)
    twice = chain_code(np.vstack([with_pen_up(np.repeat(xy, 2, axis=0)) for xy in drawn]), GRID)
    assert twice.tolist() == code.tolist()
    finer = chain_code(np.vstack([with_pen_up(pieces_of(xy, pieces)) for xy in drawn]), GRID)
    for cells, others in zip(cells_of(code), cells_of(finer), strict=True):
        assert furthest(cells[::3], others) <= 1 and furthest(others[::3], cells) <= 1


@pytest.mark.parametrize("pieces", [2, 3, 8])
def test_human_words_with_points_between_their_points_have_nearly_as_many_tokens(pieces):
    finer = [np.vstack([with_pen_up(pieces_of(xy, pieces)) for xy in strokes(points)]) for points in INKS]
    plain = sum(map(len, TOKENIZER.encode_words(INKS)))
    assert sum(map(len, TOKENIZER.encode_words(finer))) == pytest.approx(plain, rel=0.1)


def test_a_corner_is_cut_unless_a_point_lies_in_its_outer_half():
    inner = np.array([[0, 0], [0.9, 0.2], [1, 1]])
    outer = np.array([[0, 0], [1.2, -0.1], [1, 1]])
    for xy, wanted in (inner, [1]), (outer, [0, 2]):
        assert chain_code(with_pen_up(xy * GRID), GRID).tolist() == [PEN_DOWN, *wanted, PEN_UP]
    stairs = np.array([[0, 0], [1, 0], [1, 1], [2, 1], [2, 2], [3, 2]])
    assert chain_code(with_pen_up(stairs * GRID), GRID).tolist() == [PEN_DOWN, 1, 1, 0, PEN_UP]


def test_what_was_decoded_stays_when_it_is_encoded_again():
    words = INKS[:60]
    first = TOKENIZER.encode_words(words)
    ink = TOKENIZER.decode_words(first)
    start = ink
    for _ in range(4):
        tokens = TOKENIZER.encode_words(ink)
        ink = TOKENIZER.decode_words(tokens)
        assert sum(map(len, tokens)) == pytest.approx(sum(map(len, first)), rel=0.15)
    for one, other in zip(start, ink):
        for there, line in zip(strokes(one), strokes(other), strict=True):
            assert furthest(there, flatten(line)) <= 2.5 * GRID  # and not a cell each time


# Pairs


@given(arrays(int, st.integers(0, 40), elements=st.integers(-1, 2)), st.integers(0, 2), st.integers(0, 2))
def test_a_merge_is_what_one_would_do_by_hand(tokens, first, second):
    plain = []
    rest = tokens.tolist()
    while rest:
        if rest[:2] == [first, second]:
            plain.append(77)
            rest = rest[2:]
        else:
            plain.append(rest.pop(0))
    assert apply_merge(tokens, first, second, 77).tolist() == plain
    assert apply_merge(torch.from_numpy(tokens), first, second, 77).tolist() == plain


def test_merges_depend_on_the_words_alone():
    merges = learn_merges(CODES, 64)
    shuffled = [CODES[i] for i in np.random.default_rng(1).permutation(len(CODES))]
    assert learn_merges(shuffled, 64) == merges
    assert learn_merges(CODES, 16) == merges[:16]
    code = (
        "from cursivetransformer.data.banks import load_bank\n"
        "from cursivetransformer.ink.chain import chain_code, learn_merges\n"
        f"codes = [chain_code(word.points, {GRID}) for word in load_bank('embedded').words]\n"
        "print([list(pair) for pair in learn_merges(codes, 64)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [list(pair) for pair in merges]


def test_merges_take_the_most_frequent_pair_and_of_equals_the_lowest():
    assert learn_merges([np.array([3, 4, 3, 4]), np.array([1, 2, 1, 2])], 1) == ((1, 2),)
    assert learn_merges([np.array([3, 4]), np.array([3, 4]), np.array([1, 2])], 1) == ((3, 4),)
    assert learn_merges([np.array([0, 1, 2, 3])], 5) == ()  # none comes twice
    assert learn_merges([np.array([0]), np.array([1])] * 3, 5) == ()  # none reaches over a word's end
    assert learn_merges([], 5) == ()


def test_merged_tokens_stand_for_the_code():
    assert len(TOKENIZER.merges) == 100 and TOKENIZER.vocab_size == FIRST_MERGE + 100 + 3
    for code, tokens in zip(CODES, TOKENIZER.encode_words(INKS)):
        assert TOKENIZER.steps(tokens).tolist() == code.tolist()
        assert len(tokens) < len(code) / 2
    row = in_a_row(CODES)
    assert (row == BETWEEN_WORDS).sum() == len(CODES)
    assert torch.equal(TOKENIZER.merge(torch.from_numpy(row)), torch.from_numpy(TOKENIZER.merge(row)))


# Steps


@given(st.integers(-40, 40), st.integers(-40, 40))
def test_straight_lines_are_straight(dx, dy):
    count = max(abs(dx), abs(dy))
    steps = line_steps(np.array([[dx, dy]]), np.zeros(count, int), np.arange(count))
    way = NEIGHBOURS[steps].cumsum(0) if count else np.zeros((1, 2))
    assert way[-1].tolist() == [dx, dy]
    wanted = np.outer(np.arange(1, count + 1) / max(count, 1), [dx, dy])
    assert np.abs(way[:count] - wanted).max(initial=0) <= 0.5 + 1e-9
    same = line_steps(torch.tensor([[dx, dy]]), torch.zeros(count, dtype=torch.long), torch.arange(count))
    assert same.tolist() == steps.tolist()


def test_shifts_lead_where_the_ink_is():
    shifts = TOKENIZER.shifts()
    assert not shifts[[PEN_DOWN, PEN_UP, TOKENIZER.PAD, TOKENIZER.END, TOKENIZER.WORD]].any()
    for code, tokens in zip(CODES[:20], TOKENIZER.encode_words(INKS[:20])):
        np.testing.assert_allclose(shifts[tokens].sum(0), MOVES[code].sum(0) * GRID)


def test_every_point_is_drawn_by_the_token_that_leads_to_it():
    for tokens in TOKENIZER.encode_words(INKS[:30]):
        ink = TOKENIZER.decode_word(tokens)
        by = TOKENIZER.drawn_by(tokens)
        assert (np.diff(by) >= 0).all() and by.max() < len(tokens)
        after = TOKENIZER.shifts()[tokens].cumsum(0)
        before = after - TOKENIZER.shifts()[tokens]
        low = np.minimum(before, after)[by]
        high = np.maximum(before, after)[by]
        longest = max(len(TOKENIZER.parts[t]) for t in tokens) * GRID
        assert (ink[:, :2] > low - longest).all() and (ink[:, :2] < high + longest).all()
        lifts = [PEN_UP in TOKENIZER.parts[tokens[i]] for i in by[ink[:, 2] == 0]]
        assert all(lifts)


# Grammar


def state_after(machine, tokens):
    "The state of a `WordMachine` behind some tokens, FORBIDDEN where it refuses one."
    state = 0
    for token in tokens:
        state = machine.next_state[state, token]
        if state == FORBIDDEN:
            break
    return state


@given(inks())
def test_the_grammar_accepts_words(points):
    machine = TOKENIZER.word_machine()
    (tokens,) = TOKENIZER.encode_words([points])
    assert state_after(machine, tokens) == machine.may_end
    assert state_after(machine, tokens[:-1]) != machine.may_end or PEN_DOWN in TOKENIZER.parts[tokens[-1]]


@given(st.lists(st.integers(0, TOKENIZER.n_bins - 1), max_size=12))
def test_the_grammar_refuses_what_no_pen_can_do(tokens):
    machine = TOKENIZER.word_machine()
    moves = [step for step in TOKENIZER.steps(tokens).tolist() if step >= PEN_DOWN]
    possible = moves == [PEN_DOWN, PEN_UP] * (len(moves) // 2) + [PEN_DOWN] * (len(moves) % 2)
    state = state_after(machine, tokens)
    assert (state != FORBIDDEN) == possible
    if possible:
        assert (state == machine.may_end) == (len(moves) > 0 and len(moves) % 2 == 0)


def test_the_grammar_leaves_special_tokens_to_others_and_always_goes_on():
    next_state = TOKENIZER.word_machine().next_state
    assert (next_state[:, TOKENIZER.n_bins :] == FORBIDDEN).all()
    assert next_state[0, PEN_UP] == next_state[2, PEN_UP] == next_state[1, PEN_DOWN] == FORBIDDEN
    assert ((next_state != FORBIDDEN).sum(1) > 8).all()


def test_human_words_are_within_the_bounds():
    for word, tokens in zip(BANK, TOKENIZER.encode_words(INKS)):
        assert len(tokens) < TOKENIZER.max_tokens(len(word.text))


# Smooth again


def test_a_straight_staircase_becomes_straight():
    for slope in 0.15, 0.4, 0.8, 1.0:
        x = np.arange(80)
        cells = np.column_stack([x, np.rint(slope * x)]).astype(int)
        path = smooth(cells, np.zeros(80, int))
        off = (path[:, 1] - slope * path[:, 0])[10:-10]
        assert np.abs(off).max() < 0.2 and np.abs(path - cells).max() <= ROOM + 1e-9


def test_a_circle_keeps_its_radius():
    for radius in 4, 8, 20:
        angle = np.linspace(0, 2 * np.pi, 400)
        circle = np.column_stack([np.cos(angle), np.sin(angle)]) * radius * GRID
        (ink,) = TOKENIZER.decode_words(TOKENIZER.encode_words([with_pen_up(circle)]))
        off = np.hypot(*(flatten(strokes(ink)[0]) - [radius * GRID, 0]).T) / GRID - radius
        assert np.abs(off).max() < 0.75 and abs(off.mean()) < 0.3


def test_corners_of_a_hand_stay():
    "The tops of a `w`: two strokes that meet at an angle, also where the pen comes back on its own line."
    for width in 0, 0.02, 0.06:
        top = np.array([[0.1, -0.12]])
        stroke = np.vstack([[[0.1 - width, 0]], top, [[0.1 + width, 0]]])
        (ink,) = TOKENIZER.decode_words(TOKENIZER.encode_words([with_pen_up(stroke)]))
        shift = [(0.1 - width), 0]
        assert furthest(top - shift, flatten(strokes(ink)[0])) <= GRID / 2 + 1e-9


def test_strokes_are_smoothed_each_for_itself():
    one, two = (cells_of(code)[0] for code in CODES[:2])
    together = smooth(np.vstack([one, two]), np.repeat([0, 1], [len(one), len(two)]))
    for cells, path in zip((one, two), np.split(together, [len(one)])):
        np.testing.assert_allclose(smooth(cells, np.zeros(len(cells), int)), path, atol=1e-9)


@given(st.integers(1, 9), st.integers(1, 9))
def test_every_other_point_of_a_straight_line_is_needed_and_both_ends(a, b):
    stroke = np.repeat([0, 1], [a, b])
    path = np.column_stack([np.arange(a + b), np.zeros(a + b)]).astype(float)
    kept = needed_points(path, stroke)
    for own in np.split(kept, [a]):
        assert own[0] and own[-1] and own[::2].all() and not own[1:-1:2].any()


def test_the_line_turns_as_human_lines_do():
    """Turning angles at points 0.04 canvas heights apart: the words through the tokens differ from the words
    by less than nine in ten halves of them from the other half. The mean angle is 0.7 radians."""
    inks = TOKENIZER.decode_words(TOKENIZER.encode_words(INKS))
    human = [turning_angles(from_left(points), 0.04) for points in INKS]
    ours = [turning_angles(strokes(ink), 0.04) for ink in inks]
    levels = (np.arange(500) + 0.5) / 500

    def distance(some, others):  # Wasserstein's, radians
        a, b = (np.quantile(np.concatenate(angles), levels) for angles in (some, others))
        return np.abs(a - b).mean()

    rng = np.random.default_rng(0)
    halves = []
    for _ in range(50):
        order = rng.permutation(len(human))
        one, other = np.split(order, 2)
        halves.append(distance([human[i] for i in one], [human[i] for i in other]))
    assert distance(ours, human) < np.quantile(halves, 0.9)


def test_sharp_turns_of_human_lines_stay_where_they_are():
    moved = []
    for points, ink in zip(INKS, TOKENIZER.decode_words(TOKENIZER.encode_words(INKS))):
        for there, line in zip(from_left(points), strokes(ink), strict=True):
            moved += [furthest(cusp[None], flatten(line)) / GRID for cusp in cusps_of(there)]
    assert len(moved) > 200
    assert np.mean(moved) < 0.3 and np.quantile(moved, 0.95) < 0.6


def test_how_long_a_word_may_become_depends_on_the_pairs():
    few = ChainTokenizer(GRID, TOKENIZER.merges[:10], tokens_per_character=40.0)
    many = ChainTokenizer(GRID, TOKENIZER.merges, tokens_per_character=20.0)
    assert few.max_tokens(10) > 1.5 * many.max_tokens(10)
    config = preset("debug", dataset_name="embedded", merges=0)
    training, _ = create_datasets(config)
    longest = max(len(t) / len(w.text) for w in training.words for t in TOKENIZER.encode_words([w.points]))
    assert tokenizer_of(config).max_tokens(1) > 60 + 2 * config.tokens_per_character > longest
