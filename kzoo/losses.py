"""Losses that several models share: densities, divergences and adversarial losses.

Densities and divergences are in nats: summed over pixels or latents, one number an
example.
"""

import math

from keras import ops


def normal_log_density(x, mean=0.0, log_var=0.0):
    """log N(x; mean, exp(log_var)) in nats: `(batch, latents)` to `(batch,)`."""
    squared = ops.square(x - mean) * ops.exp(-log_var)
    return -0.5 * ops.sum(squared + log_var + math.log(2 * math.pi), axis=-1)


def normal_kl(mean, log_var):
    """KL(N(mean, exp(log_var)) || N(0, I)) in nats: `(batch, latents)` to `(batch,)`.

    Kingma and Welling, arXiv:1312.6114, appendix B.
    """
    return ops.sum(normal_kl_of_latents(mean, log_var), axis=-1)


def normal_kl_of_latents(mean, log_var):
    """The same for each latent: `(batch, latents)` to `(batch, latents)`."""
    return 0.5 * (ops.exp(log_var) + ops.square(mean) - 1 - log_var)


def log_mean_exp(log_weights):
    """Of importance weights, `(..., samples)` to `(...)`: arXiv:1509.00519, eq. 8."""
    count = ops.cast(ops.shape(log_weights)[-1], "float32")
    return ops.logsumexp(log_weights, axis=-1) - ops.log(count)


def maximum_mean_discrepancy(x, y, kernel):
    """How far two samples differ: unbiased squared MMD, `(n, d)` twice to a scalar.

    Gretton et al., JMLR 13 (2012), equation 3. About 0, on either side, for samples of
    one density. `kernel` maps squared distances and d to similarities.
    """
    n, dim = ops.cast(ops.shape(x)[0], "float32"), x.shape[-1]

    def mean(a, b, pairs):
        squared = ops.sum(ops.square(a[:, None] - b[None]), axis=-1)
        return ops.sum(kernel(squared, dim)) / pairs

    # The n pairs of a point and itself are left out.
    itself = n * kernel(ops.zeros(()), dim)
    within = mean(x, x, 1.0) + mean(y, y, 1.0) - 2 * itself
    return within / ops.maximum(n * (n - 1), 1.0) - 2 * mean(x, y, n * n)


def inverse_multiquadratic(squared, dim):
    """Sum over scales s of C / (C + distance²), C = 2 d s.

    Tolstikhin et al., arXiv:1711.01558, section 4: heavy tails, so that codes far from
    the prior still feel it.
    """
    scales = [2.0 * dim * s for s in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)]
    return sum(scale / (scale + squared) for scale in scales)


def radial_basis(squared, dim):
    """exp(-distance² / (2 d)), the Gaussian kernel."""
    return ops.exp(-squared / (2 * dim))


class NonSaturating:
    """-log D(real) - log(1 - D(fake)), and -log D(fake) for the generator.

    Goodfellow et al., arXiv:1406.2661, section 3. All losses here take logits of shape
    `(batch, 1)` and return a scalar, the mean over the batch. The generator's get the
    logits of real images only if `relativistic`, else None.
    """

    relativistic = False

    def discriminator(self, real, fake):
        return ops.mean(ops.softplus(-real)) + ops.mean(ops.softplus(fake))

    def generator(self, real, fake):
        return ops.mean(ops.softplus(-fake))


class Minimax(NonSaturating):
    """The zero-sum game itself: the generator minimises log(1 - D(fake)).

    arXiv:1406.2661, equation 1. Its gradient vanishes while the fakes are poor.
    """

    def generator(self, real, fake):
        return -ops.mean(ops.softplus(fake))


class LeastSquares:
    """(D(real) - 1)² + D(fake)², halved. Mao et al., arXiv:1611.04076, equation 9."""

    relativistic = False

    def discriminator(self, real, fake):
        return 0.5 * (ops.mean(ops.square(real - 1)) + ops.mean(ops.square(fake)))

    def generator(self, real, fake):
        return 0.5 * ops.mean(ops.square(fake - 1))


class Wasserstein:
    """D(fake) - D(real). Arjovsky et al., arXiv:1701.07875, equation 3.

    An estimate of the earth mover's distance, negated, if the discriminator is
    1-Lipschitz: clip its weights or penalise its gradient.
    """

    relativistic = False

    def discriminator(self, real, fake):
        return ops.mean(fake) - ops.mean(real)

    def generator(self, real, fake):
        return -ops.mean(fake)


class Hinge(Wasserstein):
    """max(0, 1 - D(real)) + max(0, 1 + D(fake)). Lim and Ye, arXiv:1705.02894."""

    def discriminator(self, real, fake):
        return ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + fake))


class RelativisticPairing:
    """-log sigmoid(D(real) - D(fake)) for pairs, and the reverse for the generator.

    Jolicoeur-Martineau, arXiv:1807.00734, equations 8 and 9; the loss of R3GAN,
    arXiv:2501.05441, equation 2.
    """

    relativistic = True

    def discriminator(self, real, fake):
        return ops.mean(ops.softplus(fake - real))

    def generator(self, real, fake):
        return ops.mean(ops.softplus(real - fake))


class RelativisticAverage:
    """Real against the mean fake, and fake against the mean real.

    Jolicoeur-Martineau, arXiv:1807.00734, equations 10 and 11. For the generator real
    and fake change places.
    """

    relativistic = True

    def discriminator(self, real, fake):
        real_score, fake_score = real - ops.mean(fake), fake - ops.mean(real)
        return ops.mean(ops.softplus(-real_score)) + ops.mean(ops.softplus(fake_score))

    def generator(self, real, fake):
        return self.discriminator(fake, real)


KERNELS = {"imq": inverse_multiquadratic, "rbf": radial_basis}

ADVERSARIAL = {
    "hinge": Hinge,
    "least_squares": LeastSquares,
    "minimax": Minimax,
    "non_saturating": NonSaturating,
    "relativistic_average": RelativisticAverage,
    "relativistic_pairing": RelativisticPairing,
    "wasserstein": Wasserstein,
}
