"""Densities of latents, how to draw from them, and divergences between them.

Densities and divergences are in nats: summed over latents, one number an example.
"""

import math

from keras import ops


def normal_cdf(x):
    """The distribution function of N(0, 1): normal numbers to uniform ones."""
    return 0.5 + 0.5 * ops.erf(x / math.sqrt(2))


def normal_draw(mean, log_var, noise):
    """N(mean, exp(log_var)) of `noise` from N(0, I), with gradients to both.

    The reparameterisation of Kingma and Welling, arXiv:1312.6114, section 2.4.
    """
    return mean + ops.exp(0.5 * log_var) * noise


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
    """`normal_kl` of each latent by itself: `(batch, latents)` twice and out."""
    return 0.5 * (ops.exp(log_var) + ops.square(mean) - 1 - log_var)


def log_mean_exp(log_weights):
    """log of the mean of importance weights, `(..., samples)` to `(...)`.

    Burda et al., arXiv:1509.00519, equation 8.
    """
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


KERNELS = {"imq": inverse_multiquadratic, "rbf": radial_basis}
