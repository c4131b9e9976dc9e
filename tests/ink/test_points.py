import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cursivetransformer.ink.points import (
    LINE_START,
    PIXEL,
    STRIDE,
    Augmentation,
    Word,
    baseline,
    deslant,
    downsample,
    drawn_steps,
    offsets_to_strokes,
    resample,
    rotate,
    scale,
    shear,
    slant,
    snap_to_pixels,
    strokes,
    strokes_to_offsets,
)


@st.composite
def inks(draw, most=40):
    """Ink as collected: strokes of pen-down points, each ended by a repeated point with the pen up; sometimes
    the last one is open."""
    counts = draw(st.lists(st.integers(1, most), min_size=1, max_size=5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    points = []
    for n in counts:
        xy = rng.uniform(-1, 1, (n, 2))
        points += [np.c_[xy, np.ones(n)], [[*xy[-1], 0]]]
    points = np.vstack(points)
    return points[:-1] if draw(st.booleans()) else points


def plain_downsample(points, fraction):
    "Stroke by stroke, as one would first write it."
    out, stroke = [], []

    def flush():
        if stroke:
            count = max(2, int(len(stroke) * (1 - fraction)))
            out.extend(stroke[i] for i in np.linspace(0, len(stroke) - 1, count, dtype=int))

    for p in points:
        if p[2] == 1:
            stroke.append(p)
        else:
            flush()
            out.append(p)
            stroke = []
    flush()
    return np.array(out)


@given(inks(), st.floats(0, 0.99))
def test_downsample_equals_the_plain_loop(points, fraction):
    np.testing.assert_array_equal(downsample(points, fraction), plain_downsample(points, fraction))


@given(inks(), st.floats(0, 0.99), st.integers(0, 100))
def test_dropping_keeps_both_ends_of_every_stroke(points, fraction, seed):
    less = downsample(points, fraction, 0.5, np.random.default_rng(seed))
    assert len(strokes(less)) == len(strokes(points))
    for a, b in zip(strokes(points), strokes(less)):
        np.testing.assert_array_equal(a[[0, -1]], b[[0, -1]])


@given(inks())
def test_offsets_there_and_back(points):
    back = offsets_to_strokes(strokes_to_offsets(points))
    np.testing.assert_allclose(back, points - points[0] * [1, 1, 0], atol=1e-9)
    placed = offsets_to_strokes(strokes_to_offsets(points, LINE_START))
    # The left edge lies at 0, and the height above the line is kept.
    np.testing.assert_allclose(placed, points - [points[:, 0].min(), 0, 0], atol=1e-9)


@given(inks(), inks())
def test_words_touch_without_overlap(first, second):
    start = first[-1] + offsets_to_strokes(strokes_to_offsets(second, first))[0]
    assert start[0] - (second[0, 0] - second[:, 0].min()) == pytest.approx(first[:, 0].max())
    assert start[1] == pytest.approx(second[0, 1])


@given(inks(), st.floats(-0.5, 0.5), st.floats(0.5, 2), st.floats(-10, 10))
def test_transformations_can_be_undone(points, amount, factor, degrees):
    for there, back in (
        (shear(points, amount), lambda p: shear(p, -amount)),
        (scale(points, factor, 1 / factor), lambda p: scale(p, 1 / factor, factor)),
        (rotate(points, degrees), lambda p: rotate(p, -degrees)),
    ):
        np.testing.assert_array_equal(there[:, 2], points[:, 2])
        np.testing.assert_allclose(back(there), points, atol=1e-9)


def test_augmentation_depends_on_its_generator_alone():
    points = np.c_[np.random.default_rng(0).normal(size=(50, 2)), np.ones(50)]
    np.random.seed(1)
    before = np.random.get_state()[1].copy()

    def make():
        augmentation = Augmentation.draw(np.random.default_rng(3).random(5), 0.65, 0.1)
        return augmentation(Word("a", points), np.random.default_rng(4))

    np.testing.assert_array_equal(make(), make())
    np.testing.assert_array_equal(np.random.get_state()[1], before)


@given(inks(), st.floats(0.01, 0.5))
def test_resampled_points_are_evenly_spaced(points, spacing):
    even = resample(points, spacing)
    assert len(strokes(even)) == len(strokes(points))
    for a, s in zip(strokes(points), strokes(even)):
        np.testing.assert_allclose(s[[0, -1]], a[[0, -1]], atol=1e-9)
        assert np.hypot(*np.diff(s, axis=0).T).max() <= spacing + 1e-9


def test_slant_and_baseline_of_real_words(shared):
    from cursivetransformer.data.banks import load_bank

    words = load_bank(str(shared / "data/easybank.json.zip")).words[:200]
    for w in words:
        assert slant(shear(w.points, -0.3)) == pytest.approx(slant(w.points) + 0.3)
        assert slant(deslant(w.points, 0.2)) == pytest.approx(0.2)
    assert -0.4 < np.mean([slant(w.points) for w in words]) < 0.4
    assert slant(np.array([[0, 0, 1], [1, 0, 1], [1, 0, 0]])) is None
    # The collection page rules the line at 0.
    assert abs(np.median([baseline(w.points) for w in words])) < 0.04


def test_bad_spacing_is_refused():
    with pytest.raises(ValueError, match="positive"):
        resample(np.zeros((2, 3)), 0)


def test_half_of_the_samples_are_not_turned():
    degrees = Augmentation.draw(np.random.default_rng(0).random((4000, 5)), 0.65, 0.1).degrees
    assert (degrees == 0).mean() == pytest.approx(0.5, abs=0.03)
    assert -0.5 <= degrees.min() < -0.47 and 0.47 < degrees.max() <= 0.5


@settings(deadline=None, max_examples=50)
@given(inks(most=4))
def test_ink_snapped_to_pixels_is_the_same_line(points):
    again = snap_to_pixels(points)
    assert len(strokes(again)) == len(strokes(points)) and (again[:, 2] == 0).sum() == len(strokes(points))
    np.testing.assert_allclose(again[:, :2] / PIXEL, np.rint(again[:, :2] / PIXEL), atol=1e-6)
    for s, a in zip(strokes(points), strokes(again)):
        np.testing.assert_allclose(a[[0, -1], :2], s[[0, -1], :2], atol=PIXEL / 2 + 1e-9)
        far = np.abs(np.diff(a[:, :2], axis=0)).max(1) / PIXEL
        np.testing.assert_allclose(far[:-1], STRIDE, atol=1e-6)  # the last one is wherever the stroke ended
        fine = resample(np.c_[s, np.ones(len(s))], PIXEL / 2)[:, :2]
        away = np.sqrt(((a[:, None, :2] - fine[None]) ** 2).sum(-1)).min(1)
        assert away.max() <= PIXEL  # half a pixel each way, and what `fine` leaves out


def test_the_published_banks_lie_on_pixels_as_we_snap(shared):
    from cursivetransformer.data.banks import load_bank

    words = load_bank(str(shared / "data/bigbank_3325.json.zip")).words[:50]
    points = [np.abs(drawn_steps(w.points)).max(1) / PIXEL for w in words]
    assert np.mean(np.abs(np.concatenate(points) - STRIDE) < 0.2) > 0.9
    assert np.mean([len(snap_to_pixels(w.points)) / len(w.points) for w in words]) == pytest.approx(
        1, abs=0.05
    )
