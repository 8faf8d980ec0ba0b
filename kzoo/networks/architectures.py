"""The pairs of networks that a `GAN` chooses from by name."""

import inspect

from kzoo.networks.dcgan import DCGANNetworks
from kzoo.networks.mlp import MLPNetworks
from kzoo.networks.resnet import ResNetNetworks
from kzoo.networks.stylegan import StyleGANNetworks

GAN_NETWORKS = {
    "dcgan": DCGANNetworks,
    "mlp": MLPNetworks,
    "resnet": ResNetNetworks,
    "stylegan": StyleGANNetworks,
}


def named(architecture, **settings):
    """Networks by name with the settings that a paper has; an object stays as it is.

    Settings that the networks of this name do not have are left out.
    """
    if not isinstance(architecture, str) or architecture not in GAN_NETWORKS:
        return architecture
    known = inspect.signature(GAN_NETWORKS[architecture]).parameters
    return GAN_NETWORKS[architecture](
        **{name: value for name, value in settings.items() if name in known}
    )
