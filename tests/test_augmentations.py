"""Differentiable augmentations."""

import numpy as np
import pytest
from conftest import wave
from keras import ops

from kzoo import backend
from kzoo.parts import Adaptive, DiffAugment
from kzoo.parts.augmentations import (
    ADA_IMAGES,
    POLICIES,
    augmentation,
    color,
    cutout,
    repeatable,
    translation,
)

N = 200
IMAGES = ops.convert_to_tensor(0.5 + 0.4 * np.tile(wave((1, 8, 12, 3)), (N, 1, 1, 1)))


def augmented(policy):
    rng = np.random.default_rng(0)

    def draw(shape):
        return ops.convert_to_tensor(rng.random([int(n) for n in shape], "float32"))

    return ops.convert_to_numpy(POLICIES[policy](IMAGES, draw))


@pytest.mark.parametrize("policy", ["color", "translation", "cutout"])
def test_every_image_is_changed_in_its_own_way(policy):
    images = augmented(policy)
    assert images.shape == (N, 8, 12, 3)
    assert len(np.unique(images.reshape(N, -1), axis=0)) >= 15


def test_color_keeps_the_order_of_grey_levels():
    middle = ops.convert_to_numpy(color(IMAGES, lambda shape: ops.full(shape, 0.5)))
    np.testing.assert_allclose(middle, IMAGES, atol=1e-6)
    means = augmented("color").mean(axis=(1, 2, 3))
    assert np.ptp(means) > 0.4 and abs(means - 0.5).max() < 0.26 + 0.1


def test_translation_moves_by_whole_pixels_and_pads_with_grey():
    far = ops.convert_to_numpy(
        translation(IMAGES, lambda shape: ops.full(shape, 0.999))
    )
    original = ops.convert_to_numpy(IMAGES)
    # An eighth of 8 is 1, and of 12 is 2: down and to the right.
    np.testing.assert_allclose(far[:, 1:, 2:], original[:, :-1, :-2], atol=1e-6)
    np.testing.assert_allclose(far[:, 0], 0.5)
    np.testing.assert_allclose(far[:, :, :2], 0.5)
    still = ops.convert_to_numpy(
        translation(IMAGES, lambda shape: ops.full(shape, 0.5))
    )
    np.testing.assert_allclose(still, original, atol=1e-6)


def test_cutout_greys_a_part_of_at_most_half_the_sides():
    changed = np.any(augmented("cutout") != ops.convert_to_numpy(IMAGES), axis=-1)
    assert changed.sum(axis=(1, 2)).max() == 4 * 6
    assert changed.any(axis=0).all(), "some pixel is never cut out"
    full = ops.convert_to_numpy(cutout(IMAGES, lambda shape: ops.full(shape, 0.5)))
    np.testing.assert_allclose(full[:, 2:6, 3:9], 0.5)


def test_flip_mirrors_half_of_the_images():
    images, original = augmented("flip"), ops.convert_to_numpy(IMAGES)
    mirrored = np.all(images == original[:, :, ::-1], axis=(1, 2, 3))
    same = np.all(images == original, axis=(1, 2, 3))
    assert np.all(mirrored ^ same) and 70 <= mirrored.sum() <= 130


@pytest.mark.parametrize("policy", POLICIES)
def test_gradients_of_gradients_pass_through(policy):
    weights = ops.convert_to_tensor(wave((8, 12, 3)))

    def score(images):
        out = POLICIES[policy](images, lambda shape: ops.full(shape, 0.3))
        return ops.sum(ops.square(out) * weights, axis=(1, 2, 3))

    def slope(images):
        gradient = backend.input_gradient(score, images)
        return ops.sum(ops.square(gradient), axis=(1, 2, 3))

    second = backend.input_gradient(slope, IMAGES[:2])
    second = ops.convert_to_numpy(ops.stop_gradient(second))
    assert np.isfinite(second).all() and np.abs(second).max() > 0


def test_a_repeatable_augmentation_draws_once():
    augment = repeatable(DiffAugment(*POLICIES, probability=0.7).augment, uniform())
    first, again = (ops.convert_to_numpy(augment(IMAGES)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = repeatable(DiffAugment(*POLICIES).augment, uniform(1))
    assert not np.array_equal(first, ops.convert_to_numpy(other(IMAGES)))


def uniform(seed=0):
    rng = np.random.default_rng(seed)
    return lambda shape: ops.convert_to_tensor(
        rng.random([int(n) for n in shape], "float32")
    )


@pytest.mark.parametrize("probability, least, most", [(0, 0, 0), (0.5, 70, 130)])
def test_each_image_is_changed_with_the_probability(probability, least, most):
    augment = DiffAugment("color", probability=probability).augment
    images = ops.convert_to_numpy(augment(IMAGES, uniform()))
    changed = np.any(images != ops.convert_to_numpy(IMAGES), axis=(1, 2, 3))
    assert least <= changed.sum() <= most


def test_all_policies_at_probability_0_change_nothing():
    images = DiffAugment(*POLICIES, probability=0.0).augment(IMAGES, uniform())
    np.testing.assert_array_equal(images, IMAGES)


def test_the_adaptive_probability_follows_the_signs():
    adaptive = Adaptive("color")
    sure = ops.convert_to_tensor(np.float32([[3.0]] * 9 + [[-3.0]]))  # r_t = 0.8
    doubtful = ops.convert_to_tensor(np.float32([[3.0]] * 7 + [[-3.0]] * 3))  # 0.4

    def after(logits, steps):
        for _ in range(steps):
            adaptive.adapt(logits)
        return float(adaptive.probability)

    adjustment = 4 * len(sure) / ADA_IMAGES
    assert after(sure, 3) == 0
    assert after(sure, 1) == pytest.approx(adjustment)
    assert after(sure, 8) == pytest.approx(3 * adjustment)
    assert after(doubtful, 4) == pytest.approx(2 * adjustment)
    assert after(doubtful, 40) == 0
    adaptive.probability.assign(1.0)
    assert after(sure, 4) == 1


def test_adaptive_augmentation_starts_at_probability_0():
    adaptive = Adaptive(*POLICIES)
    np.testing.assert_array_equal(adaptive.augment(IMAGES, uniform()), IMAGES)
    adaptive.probability.assign(1.0)
    images = ops.convert_to_numpy(adaptive.augment(IMAGES, uniform()))
    always = ops.convert_to_numpy(Always().augment(IMAGES, uniform()))
    np.testing.assert_array_equal(images, always)


class Always(DiffAugment):
    """Draws whether it changes an image, and always does."""

    adaptive = True

    def __init__(self):
        super().__init__(*POLICIES)


def test_a_fixed_probability_does_not_adapt():
    fixed = DiffAugment("color", probability=0.5)
    fixed.adapt(ops.ones((4, 1)))
    assert fixed.probability == 0.5 and not fixed.variables


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "given, expected",
    [
        (None, DiffAugment()),
        ("color", DiffAugment("color")),
        (["flip", "cutout"], DiffAugment("flip", "cutout")),
        (DiffAugment("color", probability=0.5), DiffAugment("color", probability=0.5)),
        (Adaptive("color", "flip"), Adaptive("color", "flip")),
    ],
)
def test_an_augmentation_is_names_or_an_object(given, expected):
    got = augmentation(given)
    assert type(got) is type(expected) and got is not given
    assert got.get_config() == expected.get_config()
    again = type(got).from_config(got.get_config())
    assert again.get_config() == expected.get_config()
