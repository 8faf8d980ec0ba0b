"""SAGAN: self-attention in residual networks, both spectrally normalised."""

import keras
import pytest
from conformance import check_golden, check_model, check_paper, with_fixed_vectors

from kzoo.layers import SelfAttention, SpectralNormalization
from kzoo.models import SAGAN
from kzoo.networks import ResNetNetworks, sagan_networks
from kzoo.networks.blocks import attention_height
from kzoo.parts import Hinge

NARROW = sagan_networks((8, 4))
MAKE = {
    "projection": lambda: with_fixed_vectors(SAGAN((8, 8, 1), 3, NARROW, num_classes=3))
}


@pytest.mark.full
def test_sagan_conforms(tmp_path):
    check_model(MAKE["projection"], tmp_path)


def test_every_backend_trains_alike(golden):
    check_golden(MAKE["projection"], golden, "projection")


@pytest.mark.parametrize(
    "shape, height",
    [((128, 128, 3), 32), ((64, 48, 3), 32), ((32, 32, 3), 16), ((28, 28, 1), 14)],
)
def test_attention_is_where_the_paper_has_it(shape, height):
    assert attention_height("auto", shape) == height
    widths = [8] * (2 + (shape[0] > 32) + (shape[0] > 64))
    model = SAGAN(shape, 4, sagan_networks(widths))
    for network in model.generator, model.discriminator:
        layers = [x for x in network.layers if isinstance(x, SelfAttention)]
        assert [layer.input.shape[1] for layer in layers] == [height]


def test_every_kernel_of_both_networks_is_normalised():
    model = SAGAN((8, 8, 1), 3, NARROW, num_classes=3)
    for network in model.generator, model.discriminator:
        wrapped = [
            layer.layer
            for layer in network._flatten_layers()
            if isinstance(layer, SpectralNormalization)
        ]
        kernels = [w for w in network.trainable_weights if w.name in KERNELS]
        assert len(wrapped) == len(kernels)


KERNELS = ("kernel", "embeddings")


def test_the_papers_defaults():
    model = SAGAN((4, 4, 1))
    assert (model.latent_dim, model.discriminator_steps) == (128, 1)
    assert model.loss == Hinge()
    assert model.architecture == ResNetNetworks(
        normalization="spectral",
        conditioning="projection",
        attention="auto",
        generator_normalization="spectral",
    )


def test_the_papers_name_and_optimizers(tmp_path):
    rates = {"discriminator": 4e-4, "generator": 1e-4}
    adam = {
        name: (
            keras.optimizers.Adam,
            {"learning_rate": rate, "beta_1": 0, "beta_2": 0.9},
        )
        for name, rate in rates.items()
    }
    check_paper(lambda: SAGAN((8, 8, 1), 3, NARROW), "SAGAN", adam, tmp_path)
