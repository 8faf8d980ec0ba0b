"""SAGAN: self-attention in residual networks, both spectrally normalised."""

import pytest
from conformance import check_golden, check_model, with_fixed_vectors

from kzoo.layers import SelfAttention, SpectralNormalization
from kzoo.models import SAGAN
from kzoo.models.sagan import attention_height

MAKE = {
    "projection": lambda: with_fixed_vectors(
        SAGAN((8, 8, 1), 3, widths=(8, 4), num_classes=3)
    )
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
    assert attention_height(shape) == height
    model = SAGAN(shape, 4, widths=[8] * (2 + (shape[0] > 32) + (shape[0] > 64)))
    for network in model.generator, model.discriminator:
        layers = [x for x in network.layers if isinstance(x, SelfAttention)]
        assert [layer.input.shape[1] for layer in layers] == [height]


def test_every_kernel_of_both_networks_is_normalised():
    model = SAGAN((8, 8, 1), 3, widths=(8, 4), num_classes=3)
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
    model = SAGAN((8, 8, 1), widths=(8, 4))
    assert (model.latent_dim, model.loss_name, model.discriminator_steps) == (
        128,
        "hinge",
        1,
    )
    rates = {
        name: float(optimizer.learning_rate)
        for name, optimizer in model.default_optimizer().items()
    }
    assert rates == pytest.approx({"discriminator": 4e-4, "generator": 1e-4})
