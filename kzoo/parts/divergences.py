"""Divergences: how a VAE's loss holds the latents of images to the prior."""

import keras
from keras import ops

from kzoo import checks
from kzoo.config import Part
from kzoo.parts.posteriors import DiagonalNormal, VonMisesFisher
from kzoo.parts.priors import Sphere, StandardNormal

ESTIMATES = ("analytic", "sampled")
IN_CLOSED_FORM = ((StandardNormal, DiagonalNormal), (Sphere, VonMisesFisher))


class Divergence(Part):
    """What a VAE's loss adds to the reconstruction.

    One of your own is a subclass, registered by
    `keras.saving.register_keras_serializable()`.
    """

    logs = ("kl",)  # names of what it logs

    def check(self, prior, posterior):
        """Raises a `ValueError` where it is not defined for these densities."""

    def __call__(self, model, parameters, latents, log_density, training):
        """The weighted divergence, a scalar in nats, and its logs.

        Args:
            model: a `VAE`, with `beta`, `prior`, `posterior`, `noise` and `ramp`.
            parameters: of the posterior, as the encoder puts them out.
            latents: one draw an image, `(batch, latent_dim)`.
            log_density: log q(latents | images), `(batch,)`.
            training: whether the model is being trained.
        """
        raise NotImplementedError


@keras.saving.register_keras_serializable("kzoo")
class KL(Divergence):
    """beta * KL(posterior || prior): Kingma and Welling, arXiv:1312.6114, equation 3.

    Args:
        estimate: `"analytic"` in closed form, or `"sampled"` from the same latents as
            the reconstruction. None means in closed form where there is one: for a
            normal posterior and a normal prior, or for those on the sphere.
        warmup_steps: steps over which `beta` grows linearly from 0 (Bowman et al.,
            arXiv:1511.06349).
        free_bits: nats of the KL divergence that each latent has for free, on average
            over the batch (Kingma et al., arXiv:1606.04934); on the sphere, and where
            it is sampled, that all have together.
        capacity: nats that the KL divergence is held at, by `beta * |kl - capacity|`
            (Burgess et al., arXiv:1804.03599), or None.
        capacity_steps: steps over which the capacity grows linearly from 0.
    """

    def __init__(
        self,
        estimate=None,
        warmup_steps=0,
        free_bits=0.0,
        capacity=None,
        capacity_steps=0,
    ):
        if estimate is not None:
            checks.one_of("estimate", estimate, ESTIMATES)
        self.estimate, self.capacity = estimate, capacity
        self.warmup_steps = checks.whole_number("warmup_steps", warmup_steps)
        self.free_bits = checks.number("free_bits", free_bits, least=0)
        self.capacity_steps = checks.whole_number("capacity_steps", capacity_steps)
        if capacity is not None:
            self.capacity = checks.number("capacity", capacity, least=0)
        check_capacity(self)

    def check(self, prior, posterior):
        if self.estimate == "analytic" and not in_closed_form(prior, posterior):
            raise ValueError(
                "The KL divergence is in closed form between normal densities, or on "
                "the sphere. Expected prior='normal' and posterior='normal', or "
                "prior='sphere' and posterior='von_mises_fisher'. Received: estimate="
                f"'analytic', prior={prior!r}, posterior={posterior!r}. Leave estimate "
                "out to sample it."
            )

    def __call__(self, model, parameters, latents, log_density, training):
        kl, floored = self.measured(model, parameters, latents, log_density)
        if self.capacity is not None:
            capacity = self.capacity * model.ramp(self.capacity_steps, training)
            floored = ops.abs(kl - capacity)
        beta = model.beta * model.ramp(self.warmup_steps, training)
        return beta * floored, {"kl": kl}

    def measured(self, model, parameters, latents, log_density):
        """The divergence in nats, and with its free bits: batch means."""
        closed = in_closed_form(model.prior, model.posterior)
        if self.estimate == "sampled" or not closed:
            kl = ops.mean(log_density - model.prior.log_density(latents))
            return kl, ops.maximum(kl, self.free_bits) if self.free_bits else kl
        by_latent = ops.mean(model.posterior.kl(parameters), axis=0)
        kl = ops.sum(by_latent)
        if not self.free_bits:
            return kl, kl
        return kl, ops.sum(ops.maximum(by_latent, self.free_bits))


def check_capacity(kl):
    """Raises a `ValueError` for settings of a `KL` that leave one without effect."""
    if kl.capacity is None and kl.capacity_steps:
        raise ValueError(
            "Expected a capacity that grows over capacity_steps. Received: "
            f"capacity=None, capacity_steps={kl.capacity_steps}. Pass capacity=25.0, "
            "say, or leave capacity_steps out."
        )
    if kl.capacity is not None and kl.free_bits:
        raise ValueError(
            "Expected free_bits or a capacity, which the KL divergence is then held "
            f"at. Received: free_bits={kl.free_bits}, capacity={kl.capacity}. Leave "
            "one out."
        )


def check_normal(asking, prior, posterior):
    """Raises a `ValueError` unless posterior and prior, where given, are normal."""
    for name, density, kind in (
        ("prior", prior, StandardNormal),
        ("posterior", posterior, DiagonalNormal),
    ):
        if density is not None and type(density) is not kind:
            raise ValueError(
                f"{type(asking).__name__} is of normal densities. Expected {name}="
                f"'normal'. Received: {name}={density!r}. Leave {name} out."
            )


def in_closed_form(prior, posterior):
    """Whether the KL divergence of the posterior from the prior is."""
    return (type(prior), type(posterior)) in IN_CLOSED_FORM


DIVERGENCES = {"kl": KL}
