"""Sprites, and scores of codes where the right answer is known."""

import json
import types

import numpy as np
import pytest
from scipy.ndimage import center_of_mass

from kzoo import data, metrics
from kzoo.metrics import dci, factor_vae_score, mutual_information_gap, sap

pytestmark = pytest.mark.one_backend

SMALL = {"image_size": 24, "scales": 2, "orientations": 3, "positions": 4}


# Sprites


@pytest.fixture(scope="module")
def sprites():
    """The default sprites, indexed by their factors."""
    images, factors = data.sprites()
    sizes = tuple(factors.max(axis=0) + 1)
    assert sizes == (3, 4, 8, 12, 12)
    return images.reshape(*sizes, 32, 32)


def sum_of(images):
    return images.sum(axis=(-2, -1), dtype="int64")


@pytest.mark.parametrize("sizes", [{}, {"image_size": 28}, {"image_size": 64}, SMALL])
def test_each_combination_of_factors_is_one_image_like_no_other(sizes):
    images, factors = data.sprites(**sizes)
    size = sizes.get("image_size", 32)
    assert images.shape == (len(factors), size, size, 1)
    assert images.dtype == np.uint8 and factors.dtype == np.int32
    assert images.min() == 0 and images.max() == 255
    counts = factors.max(axis=0) + 1
    assert len(counts) == len(data.SPRITE_FACTORS)
    assert len(np.unique(factors, axis=0)) == len(factors) == counts.prod()
    assert len({image.tobytes() for image in images}) == len(images)


def test_sprites_are_the_same_each_time():
    for first, second in zip(data.sprites(), data.sprites(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_x_moves_to_the_right_and_y_down_in_even_steps(sprites):
    for kind in np.ndindex(3, 4):
        moves = sprites[kind][5]
        centres = np.array(
            [[center_of_mass(image) for image in column] for column in moves]
        )
        steps = np.arange(12) * (0.56 * 32 / 11)
        wanted = np.stack(np.meshgrid(steps, steps), axis=-1) + 0.22 * 32 - 0.5
        np.testing.assert_allclose(centres, wanted, atol=0.1)  # (y, x) of [x, y]


def test_no_shape_is_cut_off_anywhere(sprites):
    areas = sum_of(sprites) / 255
    np.testing.assert_allclose(areas, areas[..., :1, :1] + 0 * areas, atol=0.1)


def test_scale_is_the_root_of_the_area(sprites):
    areas = sum_of(sprites)[..., 0, 0].mean(axis=2)
    wanted = np.broadcast_to([0.5, 2 / 3, 5 / 6, 1], (3, 4))
    np.testing.assert_allclose(np.sqrt(areas / areas[:, -1:]), wanted, rtol=0.01)


def test_shapes_have_their_areas(sprites):
    areas = dict(zip(data.SPRITE_SHAPES, sum_of(sprites)[:, 3, 0, 0, 0], strict=True))
    assert areas["ellipse"] / areas["square"] == pytest.approx(np.pi / 4, rel=0.01)
    assert areas["heart"] > 1.05 * areas["square"]


def test_orientation_turns_clockwise(sprites):
    ellipses = sprites[data.SPRITE_SHAPES.index("ellipse"), 3, :, 5, 5]
    for turn, image in enumerate(ellipses[1:], start=1):
        y, x = np.indices(image.shape).reshape(2, -1)
        ((xx, xy), (_, yy)) = np.cov(x, y, aweights=image.flat)
        angle = np.degrees(np.arctan2(2 * xy, xx - yy) / 2)
        assert angle % 180 == pytest.approx(turn * 90 / 8, abs=1)


def test_a_heart_stands_on_its_tip_and_is_the_same_from_both_sides(sprites):
    heart = sprites[data.SPRITE_SHAPES.index("heart"), 3, 0, 4, 4] / 255
    rows = heart.sum(axis=1)[heart.any(axis=1)]
    assert rows[-1] < 0.5 * rows[0] and rows.argmax() < len(rows) / 2
    columns = heart.sum(axis=0)[heart.any(axis=0)]
    np.testing.assert_allclose(columns, columns[::-1], atol=1)


def test_images_too_small_to_differ_are_refused():
    with pytest.raises(ValueError, match=r"Expected images large .* image_size=8 "):
        data.sprites(8)


@pytest.mark.parametrize("name", ["image_size", "scales", "orientations", "positions"])
@pytest.mark.parametrize("value", [0, 2.5, None])
def test_numbers_of_sprites_are_checked(name, value):
    with pytest.raises(ValueError, match=f"Expected {name}"):
        data.sprites(**{name: value})


def test_sprites_load_like_any_set():
    images, labels = data.load("sprites")
    tests, test_labels = data.load("sprites", "test")
    assert images.shape == (12288, 32, 32, 1) and tests.shape == (1536, 32, 32, 1)
    both = [*images, *tests]
    assert len({image.tobytes() for image in both}) == len(both)
    assert labels.dtype == np.int32
    for part in (labels[:96], test_labels):  # in no order
        assert (np.bincount(part) > len(part) / 4).all()
    first, _ = data.load("sprites", limit=5)
    np.testing.assert_array_equal(first, images[:5])
    assert data.load("sprites", "test", 28, 3)[0].shape == (3, 28, 28, 1)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"split": "valid"}, "one of 'train', 'test' for sprites"),
        ({"image_size": (28, 32)}, "square"),
        ({"limit": 0}, "limit=0"),
    ],
)
def test_sprites_that_cannot_be_loaded_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load("sprites", **arguments)


# Codes


FACTORS = np.tile(np.indices((2, 3, 4)).reshape(3, -1).T, (20, 1))


def noise(d=3, seed=0):
    return np.random.default_rng(seed).normal(size=(len(FACTORS), d))


def perfect():
    """The factors in another order and scale, and codes that mean nothing."""
    codes = FACTORS[:, ::-1] * [1.0, -3.0, 5.0] + [0, 2, 100]
    return np.concatenate([codes, noise()], axis=1)


def close():
    return perfect() + 0.02 * noise(6, seed=1)


def rotated():
    """Each factor has the shares 1/9, 4/9 and 4/9 of the variance of three codes."""
    scaled = (FACTORS - FACTORS.mean(axis=0)) / FACTORS.std(axis=0)
    return scaled @ (np.eye(3) - 2 / 3)


def doubled():
    return np.concatenate([FACTORS, FACTORS], axis=1)


def constant():
    return np.full((len(FACTORS), 3), 7.0)


@pytest.mark.parametrize(
    "codes, least, most",
    [
        (perfect, 0.94, 1),
        (close, 0.9, 1),
        (rotated, 0, 0.35),
        (noise, 0, 0.05),
        (doubled, 0, 1e-9),
        (constant, 0, 0),
    ],
)
def test_mutual_information_gap_of_known_codes(codes, least, most):
    assert least <= mutual_information_gap(codes(), FACTORS) <= most + 1e-9


def test_the_factors_themselves_have_no_flaw():
    factors = FACTORS[:24]
    assert mutual_information_gap(factors, factors) == pytest.approx(1)
    assert sap(factors, factors, continuous=True) == pytest.approx(1)
    assert factor_vae_score(factors, factors, 300, 300) == 1


def test_mutual_information_gap_by_hand():
    codes = np.array([[0.0, 0], [0, 1], [1, 1], [1, 1]])
    factors = np.array([[0, 0], [0, 0], [1, 0], [1, 1]])
    half, quarter = np.log(2), np.log(4) - 0.75 * np.log(3)  # entropies of the columns
    joint = 1.5 * np.log(2)  # of the second code with either factor
    first = (half - (half + quarter - joint)) / half
    second = ((half + quarter - joint) - (2 * quarter - joint)) / quarter
    expected = (first + second) / 2
    assert mutual_information_gap(codes, factors, 2) == pytest.approx(expected)
    assert mutual_information_gap(codes, factors) == pytest.approx(expected)


def test_bins_are_of_equal_width():
    factors = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
    codes = np.stack([[0, 2, 8, 10], [3, 3, 3, 3]], axis=1)
    gaps = [mutual_information_gap(codes, factors, bins) for bins in (1, 2, 10)]
    assert gaps == pytest.approx([0, 0.5, 1])


@pytest.mark.parametrize(
    "codes, least, most",
    [(perfect, 0.4, 0.8), (rotated, 0, 0.3), (noise, 0, 0.1), (doubled, 0, 0)],
)
def test_sap_of_known_codes(codes, least, most):
    assert least <= sap(codes(), FACTORS) <= most


@pytest.mark.parametrize(
    "codes, least, most",
    [(perfect, 0.98, 1), (rotated, 0, 1e-9), (noise, 0, 0.02), (doubled, 0, 1e-9)],
)
def test_sap_of_amounts_is_a_difference_of_squared_correlations(codes, least, most):
    assert least <= sap(codes(), FACTORS, continuous=True) <= most
    table = np.corrcoef(codes().T, FACTORS.T)[-3:, :-3] ** 2
    best, second = -np.sort(-table, axis=1).T[:2]
    expected = np.mean(best - second)
    assert sap(codes(), FACTORS, continuous=True) == pytest.approx(expected)


def test_sap_of_two_classes_is_the_lead_in_accuracy():
    factors = np.indices((2, 2)).reshape(2, -1).T.repeat(100, axis=0)
    assert sap(np.c_[factors, constant()[:400]], factors) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "codes, least, most",
    [(perfect, 1, 1), (close, 1, 1), (doubled, 1, 1), (noise, 0.2, 0.45)],
)
def test_factor_vae_score_of_known_codes(codes, least, most):
    assert least <= factor_vae_score(codes(), FACTORS, 600, 600) <= most


def test_factor_vae_score_of_a_rotation_is_lower():
    assert factor_vae_score(rotated(), FACTORS, 600, 600) < 0.9


def test_collapsed_codes_do_not_vote():
    assert factor_vae_score(constant(), FACTORS) == 0
    dead = np.concatenate([1e-3 * noise(1), FACTORS], axis=1)
    votes = {"votes": 300, "test_votes": 300}
    assert factor_vae_score(dead, FACTORS, **votes) == 1
    assert factor_vae_score(1e-3 * FACTORS, FACTORS, **votes, min_std=1e-5) == 1


def test_perfect_codes_are_disentangled_complete_and_informative():
    assert dci(close(), FACTORS) == pytest.approx(
        {"disentanglement": 1, "completeness": 1, "informativeness": 1}, abs=1e-3
    )


def test_two_codes_of_a_factor_are_disentangled_but_not_complete():
    scores = dci(doubled(), FACTORS)
    assert scores["disentanglement"] > 0.999 and scores["informativeness"] == 1
    shared_evenly = 1 - np.log(2) / np.log(6)
    assert shared_evenly - 1e-6 <= scores["completeness"] < 0.9


def test_a_code_of_two_factors_is_complete_but_not_disentangled():
    merged = np.stack([FACTORS[:, 0] * 3 + FACTORS[:, 1], FACTORS[:, 2]], axis=1)
    scores = dci(merged, FACTORS)
    assert scores["completeness"] > 0.999 and scores["informativeness"] == 1
    first = 1 - np.log(2) / np.log(3)  # its use is shared by two factors of three
    assert scores["disentanglement"] == pytest.approx((2 * first + 1) / 3, abs=1e-3)


def test_rotated_codes_tell_the_factors_but_are_neither():
    scores = dci(rotated(), FACTORS)
    assert scores["informativeness"] > 0.9
    assert max(scores["disentanglement"], scores["completeness"]) < 0.6


def test_noise_tells_nothing():
    scores = dci(noise(), FACTORS)
    assert max(scores["disentanglement"], scores["completeness"]) < 0.1
    assert scores["informativeness"] == pytest.approx(13 / 36, abs=0.1)  # by chance


SCORES = {
    "mig": mutual_information_gap,
    "sap": sap,
    "continuous sap": lambda codes, factors: sap(codes, factors, continuous=True),
    "factor_vae": lambda codes, factors: factor_vae_score(codes, factors, 300, 300),
    "dci": lambda codes, factors: list(dci(codes, factors, rows=300).values()),
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
def test_neither_scale_nor_order_of_codes_nor_names_of_values_matter(score):
    codes = rotated() + 0.1 * noise()
    before = score(codes, FACTORS)
    assert score(codes, FACTORS) == before
    after = score(codes[:, [2, 0, 1]] * [4, 0.5, -16], FACTORS * 3 - 5)
    assert after == pytest.approx(before, abs=0.02)


BAD = {
    "another rank": (noise().ravel(), FACTORS),
    "NaN": (np.full((480, 3), np.nan), FACTORS),
    "other rows": (noise()[:-1], FACTORS),
    "floats": (noise(), noise()),
    "one column": (noise(), FACTORS[:, 0]),
    "one code": (noise(1), FACTORS),
    "one factor": (noise(), FACTORS[:, :1]),
    "a constant factor": (noise(), FACTORS * [1, 0, 1]),
}


@pytest.mark.parametrize("score", SCORES.values(), ids=SCORES)
@pytest.mark.parametrize("arrays", BAD.values(), ids=BAD)
def test_bad_codes_and_factors_are_refused(score, arrays):
    with pytest.raises(ValueError, match=r"Expected .*Received"):
        score(*arrays)


@pytest.mark.parametrize(
    "call",
    [
        lambda: mutual_information_gap(noise(), FACTORS, bins=0),
        lambda: sap(noise(), FACTORS, rows=0),
        lambda: dci(noise(), FACTORS, rows=2.5),
        lambda: factor_vae_score(noise(), FACTORS, votes=0),
        lambda: factor_vae_score(noise(), FACTORS, test_votes=0),
        lambda: factor_vae_score(noise(), FACTORS, batch_size=0),
    ],
)
def test_bad_numbers_are_refused(call):
    with pytest.raises(ValueError, match="Expected"):
        call()


# The report


def test_report_has_every_score_of_the_codes_of_a_model(tmp_path):
    model = types.SimpleNamespace(encode=lambda images, labels: images[:, 0, 0])
    images = close()[:, None, None]
    path = tmp_path / "report.json"
    report = metrics.disentanglement(
        model, images, FACTORS, seed=3, dataset="a table", path=path
    )
    scores = report.scores()
    assert scores.pop("mig") == mutual_information_gap(close(), FACTORS)
    assert scores.pop("sap") == sap(close(), FACTORS, seed=3)
    assert scores.pop("factor_vae") == 1
    assert scores == dci(close(), FACTORS, seed=3)
    for row in json.loads(path.read_text())["results"]:
        assert row["seed"] == 3 and row["codes"] == 6 and row["images"] == 480
        assert row["dataset"] == "a table" and row["backend"] and row["kzoo"]


def test_a_model_without_an_encoder_is_refused():
    with pytest.raises(TypeError, match=r"encode.*Received: SimpleNamespace"):
        metrics.disentanglement(types.SimpleNamespace(), noise(), FACTORS)
