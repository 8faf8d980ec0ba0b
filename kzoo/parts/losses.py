"""Adversarial losses: what a GAN's discriminator and generator minimise."""

import keras
from keras import ops

from kzoo.config import Part


class AdversarialLoss(Part):
    """A discriminator's and a generator's loss: logits `(batch, 1)` to a scalar each.

    Scalars are means over the batch. The generator's loss gets the logits of real
    images only if `relativistic`, else None. One of your own is a subclass, registered
    by `keras.saving.register_keras_serializable()`.
    """

    relativistic = False
    kind = None  # what a discriminator gives it, for `kzoo.base.endings`; or anything

    def discriminator(self, real, fake):
        """What the discriminator minimises."""
        raise NotImplementedError

    def generator(self, real, fake):
        """What the generator minimises."""
        raise NotImplementedError


@keras.saving.register_keras_serializable("kzoo")
class NonSaturating(AdversarialLoss):
    """-log D(real) - log(1 - D(fake)), and -log D(fake) for the generator.

    Goodfellow et al., arXiv:1406.2661, section 3.
    """

    kind = "logits"

    def discriminator(self, real, fake):
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))

    def generator(self, real, fake):
        return ops.mean(ops.softplus(-fake))


@keras.saving.register_keras_serializable("kzoo")
class Minimax(NonSaturating):
    """The zero-sum loss: the generator minimises log(1 - D(fake)).

    arXiv:1406.2661, equation 1. Its gradient vanishes while the fakes are poor.
    """

    def generator(self, real, fake):
        return -ops.mean(ops.softplus(fake))


@keras.saving.register_keras_serializable("kzoo")
class LeastSquares(AdversarialLoss):
    """(D(real) - 1)² + D(fake)², halved. Mao et al., arXiv:1611.04076, equation 9."""

    def discriminator(self, real, fake):
        return 0.5 * (ops.mean(ops.square(real - 1)) + ops.mean(ops.square(fake)))

    def generator(self, real, fake):
        return 0.5 * ops.mean(ops.square(fake - 1))


@keras.saving.register_keras_serializable("kzoo")
class Wasserstein(AdversarialLoss):
    """D(fake) - D(real). Arjovsky et al., arXiv:1701.07875, equation 3.

    An estimate of the earth mover's distance, negated, if the discriminator is
    1-Lipschitz: clip its weights or penalise its gradient.
    """

    kind = "scores"

    def discriminator(self, real, fake):
        return ops.mean(fake) - ops.mean(real)

    def generator(self, real, fake):
        return -ops.mean(fake)


@keras.saving.register_keras_serializable("kzoo")
class Hinge(Wasserstein):
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)). Lim and Ye, arXiv:1705.02894."""

    kind = "logits"

    def discriminator(self, real, fake):
        return ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + fake))


@keras.saving.register_keras_serializable("kzoo")
class RelativisticPairing(AdversarialLoss):
    """-log sigmoid(D(real) - D(fake)) for pairs, and the reverse for the generator.

    Jolicoeur-Martineau, arXiv:1807.00734, equations 8 and 9; the loss of R3GAN,
    arXiv:2501.05441, equation 2.
    """

    kind = "scores"
    relativistic = True

    def discriminator(self, real, fake):
        return ops.mean(ops.softplus(fake - real))

    def generator(self, real, fake):
        return ops.mean(ops.softplus(real - fake))


@keras.saving.register_keras_serializable("kzoo")
class RelativisticAverage(AdversarialLoss):
    """Real against the mean fake, and fake against the mean real.

    Jolicoeur-Martineau, arXiv:1807.00734, equations 10 and 11. For the generator real
    and fake change places.
    """

    kind = "scores"
    relativistic = True

    def discriminator(self, real, fake):
        real_score, fake_score = real - ops.mean(fake), fake - ops.mean(real)
        return ops.mean(ops.softplus(-real_score)) + ops.mean(ops.softplus(fake_score))

    def generator(self, real, fake):
        return self.discriminator(fake, real)


LOSSES = {
    "hinge": Hinge,
    "least_squares": LeastSquares,
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "relativistic_average": RelativisticAverage,
    "relativistic_pairing": RelativisticPairing,
    "wasserstein": Wasserstein,
}
