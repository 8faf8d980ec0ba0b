"""Penalties on functions whose slopes are known."""

import keras
import numpy as np
import pytest
from conftest import wave
from keras import ops

from kzoo.layers import SpectralNormalization
from kzoo.models import GAN
from kzoo.networks import MLPNetworks
from kzoo.parts import R1, Consistency, LeCam
from kzoo.parts.penalties import PENALTIES, Penalty, squared_slope

REAL, FAKE = wave((5, 2, 3, 1)), wave((5, 2, 3, 1), phase=1.0)


def half(shape, distribution=None):
    return ops.full(shape, 0.5)


def plane(norm):
    """Its slope is `norm` everywhere."""
    weights = wave((2, 3, 1))
    weights = ops.convert_to_tensor(weights * (norm / np.linalg.norm(weights)))
    return lambda x: ops.sum(x * weights, axis=(1, 2, 3))[:, None]


def bowl(x):
    """Its slope at x is the norm of x."""
    return 0.5 * ops.sum(ops.square(x), axis=(1, 2, 3))[:, None]


def measure(name, discriminate):
    real, fake = map(ops.convert_to_tensor, (REAL, FAKE))
    return float(PENALTIES[name]().measure(discriminate, real, fake, half))


def squared_norms(images):
    return np.square(images).sum(axis=(1, 2, 3))


@pytest.mark.parametrize(
    "name, of_slope",
    [
        ("gradient_penalty", lambda s: (s - 1) ** 2),
        ("one_sided_gradient_penalty", lambda s: max(0, s - 1) ** 2),
        ("dragan", lambda s: (s - 1) ** 2),
        ("r1", lambda s: s**2 / 2),
        ("r2", lambda s: s**2 / 2),
    ],
)
@pytest.mark.parametrize("slope", [0.4, 1.0, 3.0])
def test_penalties_of_a_plane(name, of_slope, slope):
    assert measure(name, plane(slope)) == pytest.approx(of_slope(slope), abs=1e-5)


def test_penalties_look_where_the_papers_say():
    real, fake, middle = map(squared_norms, (REAL, FAKE, (REAL + FAKE) / 2))
    around = squared_norms(REAL + 0.25 * REAL.std())
    expected = {
        "dragan": np.mean((np.sqrt(around) - 1) ** 2),
        "gradient_penalty": np.mean((np.sqrt(middle) - 1) ** 2),
        "one_sided_gradient_penalty": np.mean(np.maximum(np.sqrt(middle) - 1, 0) ** 2),
        "r1": np.mean(real) / 2,
        "r2": np.mean(fake) / 2,
    }
    on_slope = [name for name, penalty in PENALTIES.items() if penalty.on_slope]
    measured = {name: measure(name, bowl) for name in on_slope}
    assert measured == pytest.approx(expected, rel=1e-5)


def test_slope_is_of_each_image():
    slopes = squared_slope(bowl, ops.convert_to_tensor(REAL))
    np.testing.assert_allclose(
        ops.convert_to_numpy(slopes), squared_norms(REAL), rtol=1e-5
    )


@pytest.mark.parametrize("drawn, rows, columns", [(0.5, 0, 0), (0.999, 1, 1)])
def test_consistency_compares_with_moved_images(drawn, rows, columns):
    images = wave((3, 8, 8, 1))
    moved = np.full_like(images, 0.5)
    moved[:, rows:, columns:] = images[:, : 8 - rows, : 8 - columns]
    weights = wave((8, 8, 1), phase=2.0)

    def discriminate(x):
        return ops.sum(x * weights, axis=(1, 2, 3))[:, None]

    real = ops.convert_to_tensor(images)
    penalty = Consistency()
    got = penalty.measure(discriminate, real, None, lambda s, _: ops.full(s, drawn))
    expected = np.mean(((images - moved) * weights).sum(axis=(1, 2, 3)) ** 2)
    assert float(got) == pytest.approx(expected, rel=1e-4, abs=1e-8)


def test_lecam_pulls_to_the_means_so_far():
    """Of which the latest are part: with one step they are those of its batch."""
    real, fake = map(ops.convert_to_tensor, (REAL, FAKE))
    lecam, seen = LeCam(), []
    for norm in 2.0, 1.0, 3.0:
        score = plane(norm)
        scores = [
            ops.convert_to_numpy(score(x)).astype("float64") for x in (real, fake)
        ]
        seen.append([x.mean() for x in scores])
        shares = 0.99 ** np.arange(len(seen))[::-1]
        mean_real, mean_fake = shares @ np.array(seen) / shares.sum()
        above = scores[0] - mean_fake, mean_real - scores[1]
        expected = sum(np.square(np.maximum(x, 0)).mean() for x in above)
        assert min(x.min() for x in above) < 0 < expected
        got = float(lecam.measure(score, real, fake, half))
        assert got == pytest.approx(expected, rel=1e-4)
        kept = float(lecam.real)
        assert float(lecam.evaluate(score, real, fake, half)) == pytest.approx(got)
        assert float(lecam.real) == kept


@pytest.mark.parametrize("every", [1, 3])
def test_a_scheduled_penalty_is_0_but_in_every_so_many_steps(every):
    got = [
        float(R1(every=every).scheduled(lambda: ops.full((), 5.0), step))
        for step in range(2 * every)
    ]
    assert got == [5.0 * every if step % every == 0 else 0 for step in range(2 * every)]


@pytest.mark.one_backend
@pytest.mark.parametrize("name", PENALTIES)
def test_settings_are_the_config(name):
    kind = PENALTIES[name]
    settings = {"weight": 0.5} if kind is LeCam else {"weight": 0.5, "every": 4}
    penalty = kind(**settings)
    assert penalty.log == name and penalty.get_config() == settings
    again = kind.from_config(penalty.get_config())
    assert (again.weight, again.every) == (penalty.weight, penalty.every)
    weights = {"lecam": 0.3, "r1": 2.5, "r2": 2.5}
    assert kind().weight == weights.get(name, 10.0) and kind().every == 1


@keras.saving.register_keras_serializable("tests")
class Counted(Penalty):
    """Has state of its own, and draws by a layer."""

    log, on_slope = "counted", False

    def __init__(self, weight=1.0, every=1):
        super().__init__(weight, every)
        self.calls = self.add_weight((), "zeros", trainable=False, name="calls")
        self.dropout = keras.layers.Dropout(0.5, seed=3)

    def measure(self, discriminate, real, fake, draw):
        self.calls.assign(self.calls + 1)
        return ops.mean(self.dropout(ops.square(discriminate(real)), training=True))


def stateful_discriminator():
    layers = keras.layers
    images = keras.Input((8, 8, 1))
    x = layers.GaussianNoise(0.1, seed=1)(layers.Flatten()(images))
    x = SpectralNormalization(layers.Dense(4))(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(images, layers.Dense(1)(layers.Dropout(0.3, seed=2)(x)))


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_state_changes_where_a_penalty_is_due_and_nowhere_else(run_eagerly):
    penalties = [R1(every=2), Counted(every=3)]
    model = GAN(
        (8, 8, 1),
        4,
        MLPNetworks((4,)),
        penalty=penalties,
        discriminator=stateful_discriminator(),
    )
    model.compile(run_eagerly=run_eagerly)
    images = (0.5 + 0.5 * wave((32, 8, 8, 1))).astype("float32")
    history = model.fit(images, batch_size=8, verbose=0).history  # steps 0 to 3
    assert all(np.isfinite(value).all() for value in history.values())
    counted = model.penalty[1]
    assert float(ops.convert_to_numpy(counted.calls)) == 2
    fresh = Counted().dropout.seed_generator
    for _ in range(2):
        fresh.next()
    seeds = [
        ops.convert_to_numpy(s.state) for s in (counted.dropout.seed_generator, fresh)
    ]
    np.testing.assert_array_equal(*seeds)
    assert model.evaluate(images, verbose=0, return_dict=True).keys() == history.keys()
