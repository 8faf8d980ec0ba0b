"""The pairs of networks that a `GAN` chooses from by name."""

from kzoo.layers import SelfAttention
from kzoo.networks.dcgan import (
    build_dcgan_discriminator,
    build_dcgan_generator,
    dcgan_widths,
)
from kzoo.networks.mlp import build_mlp_discriminator, build_mlp_generator, mlp_widths
from kzoo.networks.resnet import (
    build_resnet_discriminator,
    build_resnet_generator,
    resnet_widths,
)
from kzoo.networks.stylegan import (
    build_stylegan_discriminator,
    build_stylegan_generator,
    stylegan_widths,
)

# Builders of the generator and of the discriminator, and the default widths.
ARCHITECTURES = {
    "dcgan": (build_dcgan_generator, build_dcgan_discriminator, dcgan_widths),
    "mlp": (build_mlp_generator, build_mlp_discriminator, mlp_widths),
    "resnet": (build_resnet_generator, build_resnet_discriminator, resnet_widths),
    "stylegan": (
        build_stylegan_generator,
        build_stylegan_discriminator,
        stylegan_widths,
    ),
}

# Those with a choice of normalisation, attention and the like; the others have none.
WITH_OPTIONS = ("dcgan", "resnet")


def clashes_of_networks(gan):
    """What a `GAN`'s architecture does not have, though it is asked for.

    Triples `(whether it is, argument, what the argument is expected to be)`.
    """
    name, plain = gan.architecture, gan.architecture not in WITH_OPTIONS
    dropout, normalization = gan.dropout, gan.normalization
    return (
        (dropout and name != "mlp", "dropout", "None but for architecture='mlp'"),
        (
            normalization and name == "stylegan",
            "normalization",
            "None for architecture='stylegan'",
        ),
        (gan.attention and plain, "attention", f"None for architecture={name!r}"),
        (
            gan.minibatch_stddev and plain,
            "minibatch_stddev",
            f"False for architecture={name!r}",
        ),
    )


def check_attention(attention, network, image_shape):
    """Raises a `ValueError` if `network` lacks self-attention though it is wanted."""
    found = any(isinstance(layer, SelfAttention) for layer in network.layers)
    if attention is not None and not found:
        raise ValueError(
            "Expected attention to be the height of hidden maps of both networks, half "
            f"of {image_shape[0]} or a quarter. Received: attention={attention!r}, "
            f"which the {network.name} does not have. Pass another, or more widths."
        )
