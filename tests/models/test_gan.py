"""The GAN family: GAN and DCGAN."""

import keras
import numpy as np
import pytest
from conformance import (
    batch,
    check_golden,
    check_model,
    check_own_networks,
    check_paper,
    compiled,
    variants,
    with_fixed_noise,
    with_fixed_vectors,
)
from conftest import wave
from keras import layers, ops

from kzoo.models import DCGAN, GAN
from kzoo.networks import (
    DCGANNetworks,
    GANNetworks,
    MLPNetworks,
    StyleGANNetworks,
)
from kzoo.parts import (
    R1,
    R2,
    Adaptive,
    AdversarialLoss,
    Consistency,
    LeCam,
    Penalty,
)


def mlp(*widths, **settings):
    """Without dropout, whose random numbers differ by backend."""
    return MLPNetworks(widths, dropout=0.0, **settings)


MAKE = {
    "mlp": lambda: GAN((6, 4, 3), 3, mlp(8, 16), discriminator_steps=2),
    "dcgan": lambda: DCGAN((8, 8, 1), 3, DCGANNetworks((8, 4)), loss="hinge"),
    "wasserstein": lambda: DCGAN(
        (8, 8, 1),
        3,
        DCGANNetworks((8, 4), normalization="layer"),
        loss="wasserstein",
        penalty="gradient_penalty",
        ema=0.9,
    ),
    "spectral": lambda: with_fixed_vectors(
        DCGAN(
            (8, 8, 1), 3, DCGANNetworks((8, 4), normalization="spectral"), loss="hinge"
        )
    ),
    "augmented": lambda: GAN(
        (8, 8, 1),
        3,
        mlp(8),
        penalty=R1(10.0),
        augmentation=("color", "translation", "cutout"),
    ),
    "relativistic": lambda: GAN(
        (4, 4, 1),
        3,
        mlp(8),
        loss="relativistic_pairing",
        penalty=(R1(0.5, every=2), R2(0.5, every=2)),
    ),
    "adaptive": lambda: GAN(
        (8, 8, 1),
        3,
        mlp(8, normalization="layer"),
        penalty=[Consistency(0.1), LeCam(0.1)],
        augmentation=Adaptive("color"),
    ),
    "attention": lambda: with_fixed_vectors(
        DCGAN(
            (8, 8, 1),
            3,
            DCGANNetworks(
                (8, 4), normalization="spectral", attention=4, minibatch_stddev=True
            ),
        )
    ),
    "stylegan": lambda: GAN(
        (8, 8, 1), 3, StyleGANNetworks((8, 4)), num_classes=3, penalty=R1(10.0), ema=0.9
    ),
    "conditional": lambda: DCGAN(
        (4, 4, 1), 2, DCGANNetworks((4,)), num_classes=3, loss="least_squares"
    ),
    "projection": lambda: DCGAN(
        (8, 8, 1), 3, DCGANNetworks((8, 4), conditioning="projection"), num_classes=3
    ),
}


@pytest.mark.parametrize(
    "variant",
    variants(["wasserstein", "adaptive", "conditional"], everywhere="conditional"),
)
def test_gan_conforms(variant, tmp_path):
    check_model(MAKE[variant], tmp_path)


@pytest.mark.parametrize("variant", variants(MAKE, everywhere="wasserstein"))
def test_every_backend_trains_alike(variant, golden):
    scale = 1.4 if variant == "stylegan" else 0.3  # its layers scale their weights
    check_golden(MAKE[variant], golden, variant, scale)


STEM = 100 * 7 * 7 * 256
UP = 4 * 4 * 256 * 128 + 4 * 4 * 128 + 1
DOWN = 4 * 4 * 128 + 128 + 4 * 4 * 128 * 256 + 7 * 7 * 256 + 1


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "make, generator, discriminator",
    [
        (lambda: GAN((28, 28, 1), architecture=MLPNetworks((400,))), 354_784, 314_401),
        (lambda: GAN((28, 28, 1)), 579_728, 566_273),
        # the 7x7x256 stem; four numbers a channel for batch normalisation
        (lambda: DCGAN((28, 28, 1)), STEM + UP + 4 * (256 + 128), DOWN + 4 * 256),
    ],
)
def test_sizes_of_the_literature(make, generator, discriminator):
    model = make()
    assert model.generator.count_params() == generator
    assert model.discriminator.count_params() == discriminator


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "shape, widths",
    [
        ((8, 8, 1), (128,)),
        ((28, 28, 1), (256, 128)),
        ((32, 32, 3), (512, 256, 128)),
        ((64, 64, 3), (1024, 512, 256, 128)),
        ((128, 128, 1), (1024, 512, 256, 128)),
        ((16, 24, 3), (256, 128)),
    ],
)
def test_dcgan_fits_its_depth_to_the_images(shape, widths):
    assert DCGANNetworks().widths_for(shape) == widths
    narrow = DCGANNetworks([4] * len(widths))
    assert DCGAN(shape, 4, narrow).sample(2).shape == (2, *shape)


def test_minimax_starts_at_the_value_of_an_undecided_discriminator():
    model = compiled(lambda: GAN((4, 4, 1), 2, mlp(4), loss="minimax"))
    for variable in model.discriminator.trainable_variables:
        variable.assign(np.zeros(variable.shape))
    scores = model.evaluate(*batch(model), verbose=0, return_dict=True)
    expected = {"discriminator_loss": np.log(4), "generator_loss": -np.log(2)}
    assert scores == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("steps", [1, 3])
def test_discriminator_takes_its_steps(steps):
    model = compiled(lambda: GAN((4, 4, 1), 2, discriminator_steps=steps))
    model.fit(*batch(model, 16), batch_size=8, verbose=0)
    taken = {n: int(m.iterations) for n, m in model.optimizer.members.items()}
    assert taken == {"discriminator": 2 * steps, "generator": 2}


def test_labels_decide_what_is_drawn():
    model = GAN((4, 4, 1), 2, num_classes=3)
    zeros, ones = (model.sample(4, seed=0, labels=label) for label in (0, 1))
    assert not np.allclose(zeros, ones)
    np.testing.assert_array_equal(ones, model.sample(4, seed=0, labels=[1, 1, 1, 1]))
    with pytest.raises(ValueError, match="from 0 to 2"):
        model.sample(4, labels=3)
    with pytest.raises(ValueError, match="labels for"):
        model.sample(4, labels=[0, 1])


def own_networks(classes=None, logits=1):
    latents, images = keras.Input((2,)), keras.Input((4, 4, 1))
    pixels = layers.Dense(16, activation="sigmoid")(latents)
    flat = layers.Flatten()(images)
    return {
        "generator": keras.Model(latents, layers.Reshape((4, 4, 1))(pixels)),
        "discriminator": keras.Model(images, layers.Dense(logits)(flat)),
    }


def test_dropout_conforms(tmp_path):
    check_model(lambda: GAN((4, 4, 1), 3, MLPNetworks((8,))), tmp_path)


def test_your_own_networks(golden, tmp_path):
    def make():
        return GAN((4, 4, 1), 2, **own_networks())

    check_own_networks(make, tmp_path)
    check_golden(make, golden, "own_networks")


@pytest.mark.one_backend
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"image_shape": (28, 28, 0)}, "image_shape"),
        ({"image_shape": (31, 31, 1), "architecture": "dcgan"}, "divisible by 2"),
        ({"architecture": "resnet", "image_shape": (7, 7, 1)}, "divisible by 2"),
        ({"architecture": StyleGANNetworks((4,) * 4)}, "divisible by 8"),
        ({"architecture": DCGANNetworks(attention=4)}, "hidden maps"),
        ({"weight_clip": 0.01, "penalty": "r1"}, "weight_clip"),
        ({"discriminator_steps": 0}, "discriminator_steps"),
        ({"latent_dim": 3, **own_networks()}, "generator"),
        ({"latent_dim": 2, **own_networks(logits=2)}, "discriminator"),
        ({"latent_dim": 2, "num_classes": 3, **own_networks()}, "labels"),
    ],
)
def test_wrong_arguments_are_named(arguments, named):
    with pytest.raises(ValueError, match="Expected") as error:
        GAN(**{"image_shape": (4, 4, 1), **arguments})
    assert named in str(error.value)


@keras.saving.register_keras_serializable("kzoo_test")
class Quadratic(AdversarialLoss):
    """(D(real) - target)² + D(fake)²."""

    def __init__(self, target=1.0):
        self.target = target

    def discriminator(self, real, fake):
        return ops.mean(ops.square(real - self.target)) + ops.mean(ops.square(fake))

    def generator(self, real, fake):
        return ops.mean(ops.square(fake - self.target))


@keras.saving.register_keras_serializable("kzoo_test")
class Drift(Penalty):
    """D(real)²: arXiv:1710.10196, appendix A.1."""

    log, on_slope = "drift", False

    def measure(self, discriminate, real, fake, draw):
        return ops.mean(ops.square(discriminate(real)))


@keras.saving.register_keras_serializable("kzoo_test")
class Linear(GANNetworks):
    """One dense layer each."""

    def __init__(self, units=1):
        super().__init__()
        self.units = units

    def generator(self, image_shape, latent_dim, num_classes=None):
        pixels = layers.Dense(int(np.prod(image_shape)))
        return keras.Sequential(
            [keras.Input((latent_dim,)), pixels, layers.Reshape(image_shape)]
        )

    def discriminator(self, image_shape, num_classes=None):
        hidden = layers.Dense(self.units)
        return keras.Sequential(
            [keras.Input(image_shape), layers.Flatten(), hidden, layers.Dense(1)]
        )


def test_parts_of_your_own_conform(tmp_path):
    def make():
        return GAN((4, 4, 1), 3, Linear(2), Quadratic(2.0), penalty=[Drift(0.1), "r1"])

    check_model(make, tmp_path)
    names = {"discriminator_loss", "generator_loss", "drift", "r1"}
    assert {metric.name for metric in make().metrics} == names


def test_dcgan_is_a_gan_of_that_name(tmp_path):
    check_paper(lambda: DCGAN((4, 4, 1)), "DCGAN", ADAM, tmp_path)
    assert DCGAN((4, 4, 1)).architecture == DCGANNetworks()
    assert DCGAN((4, 4, 1), name="mine").name == "mine"


ADAM = {
    name: (
        keras.optimizers.Adam,
        {"learning_rate": 2e-4, "beta_1": 0.5, "beta_2": 0.999},
    )
    for name in ("discriminator", "generator")
}


def test_stylegans_weights_have_ten_times_the_rate():
    model = compiled(lambda: GAN((4, 4, 1), 2, StyleGANNetworks((4,))))
    rates = [float(m.learning_rate) for m in model.optimizer.members.values()]
    assert rates == pytest.approx([2e-3, 2e-3])


def test_stylegans_networks_are_saved_and_their_images_clipped(tmp_path):
    model = MAKE["stylegan"]()
    latents, labels = model.draw_latents(20, seed=0), np.arange(20) % 3
    drawn = np_of(model.ema_generator([latents, labels]))
    assert drawn.min() < 0 or drawn.max() > 1
    images = model.generate(latents, labels)
    np.testing.assert_allclose(images, np.clip(drawn, 0, 1), atol=1e-5)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.generate(latents, labels), images)
    assert not [v for v in model.generator.variables if v.name == "strength"]


def test_the_average_generator_makes_the_samples():
    model = compiled(lambda: GAN((4, 4, 1), 3, MLPNetworks((8,)), ema=0.99))
    images, _ = batch(model)
    model.fit(images, batch_size=8, epochs=3, verbose=0)
    latents = model.draw_latents(5, seed=0)
    averaged, last = model.ema_generator(latents), model.generator(latents)
    np.testing.assert_allclose(model.generate(latents), np_of(averaged), rtol=1e-5)
    assert not np.allclose(np_of(averaged), np_of(last), atol=1e-5)


def test_without_decay_the_average_is_the_generator():
    model = compiled(lambda: DCGAN((4, 4, 1), 3, DCGANNetworks((8,)), ema=0.0))
    images, _ = batch(model)
    model.fit(images, batch_size=8, verbose=0)
    pairs = zip(model.ema_generator.weights, model.generator.weights, strict=True)
    for mean, weight in pairs:
        np.testing.assert_array_equal(np_of(mean), np_of(weight))


def test_weights_are_clipped():
    model = compiled(lambda: GAN((4, 4, 1), 3, MLPNetworks((8,)), weight_clip=0.01))
    images, _ = batch(model)
    model.fit(images, batch_size=8, verbose=0)
    for weight in model.discriminator.trainable_variables:
        assert np.abs(np_of(weight)).max() <= 0.01 + 1e-9
    assert np.abs(np_of(model.generator.trainable_variables[0])).max() > 0.01


def history_of(*penalties):
    """Logs of four steps on the same batch in which no weight moves."""
    model = GAN((4, 4, 1), 3, mlp(8), penalty=list(penalties))
    names = ("discriminator", "generator")
    model.compile({name: keras.optimizers.SGD(0.0) for name in names})
    for i, variable in enumerate(model.trainable_variables):
        variable.assign(0.3 * wave(variable.shape, phase=i))
    with_fixed_noise(model)
    images, _ = batch(model)
    return [model.train_on_batch(images, return_dict=True) for _ in range(4)]


def test_a_lazy_penalty_is_rarer_and_heavier():
    always, lazy = (
        [logs["r1"] for logs in history_of(R1(every=every))] for every in (1, 2)
    )
    assert always == pytest.approx([always[0]] * 4)
    assert lazy == pytest.approx([2 * always[0], 0] * 2)


def test_each_penalty_has_its_own_weight_and_interval():
    plain = history_of()[0]["discriminator_loss"]
    always = history_of("r1", "r2")[0]
    history = history_of(R1(weight=0.5, every=2), R2(weight=3.0, every=3))
    r1, r2 = always["r1"], always["r2"]
    assert r1 > 0 and r2 > 0
    expected = [(2 * r1, 3 * r2), (0, 0), (2 * r1, 0), (0, 3 * r2)]
    for logs, (first, second) in zip(history, expected, strict=True):
        assert (logs["r1"], logs["r2"]) == pytest.approx((first, second))
        loss = plain + 0.5 * first + 3.0 * second
        assert logs["discriminator_loss"] == pytest.approx(loss, rel=1e-5)


@pytest.mark.parametrize("penalty", ["r1", "r2", "gradient_penalty", "dragan"])
def test_slopes_are_by_the_images_before_augmentation(penalty):
    """That of w.x, of images that lose the pixels of a cutout, is of the other w."""
    model = GAN((4, 4, 1), 3, Linear(1), penalty=penalty, augmentation="cutout")
    model.compile({n: keras.optimizers.SGD(0.0) for n in model.default_optimizer()})
    with_fixed_noise(model)
    images, _ = batch(model, 8)
    got = model.train_on_batch(images, return_dict=True)[penalty]
    hidden, last = (x.get_weights()[0] for x in model.discriminator.layers[-2:])
    weights = (hidden @ last).reshape(4, 4)
    augmented = model.random_augmentation(training=True)
    ones = np_of(augmented(ops.ones((8, 4, 4, 1))))[..., 0]
    squares = np.square(weights * (ones == 1)).sum(axis=(1, 2))
    assert (ones != 1).any()
    if penalty in ("r1", "r2"):
        expected = squares.mean() / 2
    else:
        expected = np.mean((np.sqrt(squares) - 1) ** 2)
    assert got == pytest.approx(expected, rel=1e-4)


def test_slopes_take_the_augmentation_of_the_logits():
    drawn = []

    def draw(shape, draw=None):
        drawn.append(shape)
        return ops.full(shape, 0.3)

    model = GAN((4, 4, 1), 3, Linear(1), penalty=["r1", "r2"], augmentation="cutout")
    model.noise = draw
    model.compile(run_eagerly=True)
    model.discriminator_loss(ops.convert_to_tensor(batch(model, 8)[0]))
    assert len(drawn) == 1 + 2 * 2  # latents, two numbers for real and two for fake


def np_of(tensor):
    return ops.convert_to_numpy(tensor)


def test_a_slope_keeps_the_statistics_of_its_pass():
    normalize = keras.layers.BatchNormalization(momentum=0.5)
    discriminator = keras.Sequential(
        [
            keras.Input((2, 2, 1)),
            normalize,
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model = GAN((2, 2, 1), 4, discriminator=discriminator, penalty="r1")
    model.compile()
    ones = ops.ones((3, 2, 2, 1))

    def discriminate(x):
        return model.logits(x, None, True)

    model.penalty[0].measure(discriminate, ones, ones, model.noise)
    np.testing.assert_allclose(ops.convert_to_numpy(normalize.moving_mean), 0.5)
