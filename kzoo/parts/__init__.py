"""What models are put together from: each a name, or an object with settings."""

from kzoo.parts.augmentations import Adaptive, DiffAugment
from kzoo.parts.divergences import KL, Divergence
from kzoo.parts.likelihoods import (
    Bernoulli,
    Categorical,
    ContinuousBernoulli,
    Gaussian,
    Laplace,
    Likelihood,
    LogisticMixture,
)
from kzoo.parts.losses import (
    AdversarialLoss,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    RelativisticAverage,
    RelativisticPairing,
    Wasserstein,
)
from kzoo.parts.penalties import (
    DRAGAN,
    R1,
    R2,
    Consistency,
    GradientPenalty,
    LeCam,
    OneSidedGradientPenalty,
    Penalty,
)
from kzoo.parts.posteriors import (
    IAF,
    DiagonalNormal,
    Planar,
    Posterior,
    VonMisesFisher,
)
from kzoo.parts.priors import (
    AutoregressiveFlow,
    NormalMixture,
    Prior,
    Sphere,
    StandardNormal,
    VampPrior,
)

__all__ = [
    "DRAGAN",
    "IAF",
    "KL",
    "R1",
    "R2",
    "Adaptive",
    "AdversarialLoss",
    "AutoregressiveFlow",
    "Bernoulli",
    "Categorical",
    "Consistency",
    "ContinuousBernoulli",
    "DiagonalNormal",
    "DiffAugment",
    "Divergence",
    "Gaussian",
    "GradientPenalty",
    "Hinge",
    "Laplace",
    "LeCam",
    "LeastSquares",
    "Likelihood",
    "LogisticMixture",
    "Minimax",
    "NonSaturating",
    "NormalMixture",
    "OneSidedGradientPenalty",
    "Penalty",
    "Planar",
    "Posterior",
    "Prior",
    "RelativisticAverage",
    "RelativisticPairing",
    "Sphere",
    "StandardNormal",
    "VampPrior",
    "VonMisesFisher",
    "Wasserstein",
]
