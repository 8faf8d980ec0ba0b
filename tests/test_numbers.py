"""The range of every numeric argument is checked where it is given."""

import inspect

import numpy as np
import pytest

import kzoo
from kzoo import callbacks, checks, layers, metrics, models, networks, parts, samplers
from kzoo.models.beta_tcvae import TotalCorrelation
from kzoo.models.dip_vae import MomentMatching
from kzoo.models.infovae import KLAndMMD
from kzoo.networks.pixelcnn import PixelCNN
from kzoo.parts import quantizers

pytestmark = pytest.mark.one_backend

NO_NUMBERS = (float("nan"), float("inf"), "3", True)
FEATURES = np.random.default_rng(0).random((30, 2))
FACTORS = np.indices((5, 6), "int32").reshape(2, -1).T
IMAGES = np.zeros((4, 8, 8, 1), "uint8")
# What has to be passed beside the argument that is wrong.
NEEDED = {
    "disentanglement": {"model": None, "images": IMAGES, "factors": FACTORS},
    "tile": {"images": IMAGES, "columns": 2},
    "prdc": {"real": FEATURES, "fake": FEATURES},
    "kernel_distance": {"real": FEATURES, "fake": FEATURES, "subset_size": 5},
    "inception_score": {"probabilities": np.full((20, 2), 0.5)},
    "mutual_information_gap": {"codes": FEATURES, "factors": FACTORS},
    "dci": {"codes": FEATURES, "factors": FACTORS},
    "sap": {"codes": FEATURES, "factors": FACTORS},
    "factor_vae_score": {"codes": FEATURES, "factors": FACTORS},
    "ssim": {"images": IMAGES, "outputs": IMAGES},
    "Evaluator": {"images": IMAGES},
    "Checkpoint": {"path": "run.keras"},
    "SampleGrid": {"folder": "samples"},
    "ReconstructionGrid": {"folder": "pairs", "images": IMAGES},
    "LatentGrid": {"folder": "latents"},
    "Evaluate": {"images": IMAGES},
    "PixelCNN": {"codes": 4},
    "ConditionalBatchNormalization": {"num_classes": 3},
    "MaskedAutoregressiveFlow": {"latent_dim": 2},
}
OTHERS = (TotalCorrelation, MomentMatching, KLAndMMD, PixelCNN, kzoo.data.load)
OTHERS += (kzoo.data.sprites, kzoo.data.stream)


def public():
    """Constructors and functions that users call: `{name: callable}`."""
    found = {other.__name__: other for other in OTHERS}
    for package in (models, parts, layers, networks, metrics, callbacks):
        found |= {name: getattr(package, name) for name in package.__all__}
    found |= {type_.__name__: type_ for type_ in quantizers.QUANTIZERS.values()}
    # Faster kernels of Keras's layers, whose arguments are theirs to check.
    keras_own = ("BatchNormalization", "Conv2D", "Conv2DTranspose", "Dropout")
    return {n: f for n, f in found.items() if callable(f) and n not in keras_own}


def numeric_arguments():
    """Names of callables and of their arguments whose default is a number or widths."""
    for name, call in public().items():
        for p in inspect.signature(call).parameters.values():
            default = p.default
            several = isinstance(default, tuple) and default
            number = default[0] if several else default
            if type(number) in (int, float):
                yield name, p.name, default


def needed(name):
    if name in models.__all__:
        known = inspect.signature(public()[name]).parameters
        takes = "num_classes" in known
        return {"image_shape": (8, 8, 1)} | ({"num_classes": 3} if takes else {})
    if name == "stream":
        return {"name": "./missing", "batch_size": 4}
    return NEEDED.get(name, {})


@pytest.mark.parametrize("name, argument, default", list(numeric_arguments()))
def test_numbers_out_of_range_are_named(name, argument, default):
    wrong = [-1, *NO_NUMBERS]
    if isinstance(default, tuple):
        wrong = [(), *[(value,) for value in (0, 2.5, *wrong)]]
    elif isinstance(default, int):
        wrong.append(2.5)
    for value in wrong:
        with pytest.raises(ValueError, match="Expected") as error:
            public()[name](**{**needed(name), argument: value})
        assert argument in str(error.value) and "Received" in str(error.value)


@pytest.mark.parametrize(
    "make, argument",
    [
        (lambda v: models.GAN((8, 8, 1), weight_clip=v), "weight_clip"),
        (lambda v: models.GAN((8, 8, 1), ema=v), "ema"),
        (lambda v: models.GAN((8, 8, 1), num_classes=v), "num_classes"),
        (lambda v: parts.KL(capacity=v), "capacity"),
        (lambda v: networks.DCGANNetworks(attention=v), "attention"),
        (lambda v: networks.ResNetNetworks(attention=v), "attention"),
        (lambda v: layers.Sampling(seed=v), "seed"),
        (lambda v: layers.ConditionalBatchNormalization(v), "num_classes"),
        (lambda v: callbacks.SampleGrid("samples", columns=v), "columns"),
        (lambda v: kzoo.data.load("digits", limit=v), "limit"),
        (lambda v: kzoo.data.load("digits", image_size=v), "image_size"),
        (lambda v: metrics.gaussian_modes(FEATURES, FEATURES, v), "scale"),
        (lambda v: metrics.Evaluator(IMAGES, num_samples=v), "num_samples"),
        (lambda v: kzoo.show(IMAGES, columns=v), "columns"),
        (lambda v: samplers.fit("flow", FEATURES, steps=v), "steps"),
        (lambda v: samplers.fit("two_stage", FEATURES, widths=(v,)), "widths"),
        (lambda v: samplers.fit("mixture", FEATURES, components=v), "components"),
        (lambda v: samplers.fit("normal", FEATURES, seed=v), "seed"),
    ],
)
def test_optional_numbers_out_of_range_are_named(make, argument):
    for value in (-1, *NO_NUMBERS):
        with pytest.raises(ValueError, match="Expected") as error:
            make(value)
        assert argument in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": -1},
        {"n": 0},
        {"n": 2.5},
        {"n": True},
        {"n": 1, "seed": -1},
        {"n": 1, "truncation": 0},
        {"n": 1, "truncation": float("nan")},
        {"n": 1, "truncation": float("inf")},
    ],
)
def test_numbers_of_sample_are_named(arguments):
    model = models.VAE((4, 4, 1), 2, networks.MLPEncoderDecoder((4,)))
    for draw in model.sample, model.draw_latents:
        with pytest.raises(ValueError, match="Expected") as error:
            draw(**arguments)
        assert list(arguments)[-1] in str(error.value)


@pytest.mark.parametrize(
    "make, named",
    [
        (lambda: parts.Adaptive(), "policy"),
        (lambda: parts.DiffAugment(probability=0.5), "policy"),
        (lambda: parts.KL(capacity_steps=10), "capacity"),
        (lambda: parts.KL(capacity=1.0, free_bits=0.1), "free_bits"),
        (lambda: KLAndMMD(alpha=0.5, scale=0.4), "scale"),
    ],
)
def test_arguments_without_effect_are_refused(make, named):
    with pytest.raises(ValueError, match="Expected") as error:
        make()
    assert named in str(error.value)


def test_numbers_of_numpy_become_pythons():
    whole, share = np.int64(3), np.float32(0.5)
    assert type(checks.positive_int("n", whole)) is int
    assert type(checks.number("x", share, above=0)) is float
    assert checks.number("x", 3) == 3 and type(checks.number("x", 3)) is int
    penalty = parts.R1(weight=share, every=whole)
    assert penalty.get_config() == parts.R1(weight=0.5, every=3).get_config()
