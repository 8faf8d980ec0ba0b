"""How good a generative model is, with the protocol beside every number.

`evaluate` scores a model on images, `disentanglement` on images whose factors are
known. What they compute is also here as plain functions of arrays: features `(n, d)`,
class probabilities `(n, classes)`, images, or codes `(n, d)` and factors `(n, k)`.
"""

from kzoo.metrics.classes import inception_score, mode_coverage
from kzoo.metrics.codes import dci, factor_vae_score, mutual_information_gap, sap
from kzoo.metrics.distances import Moments, frechet_distance, kernel_distance
from kzoo.metrics.evaluation import METRICS, Evaluator, evaluate
from kzoo.metrics.factors import disentanglement
from kzoo.metrics.features import Extractor, features_for
from kzoo.metrics.neighbours import copying, nearest_distances, prdc
from kzoo.metrics.points import gaussian_modes
from kzoo.metrics.reconstruction import mean_squared_error, psnr, ssim
from kzoo.metrics.report import Report

__all__ = [
    "METRICS",
    "Evaluator",
    "Extractor",
    "Moments",
    "Report",
    "copying",
    "dci",
    "disentanglement",
    "evaluate",
    "factor_vae_score",
    "features_for",
    "frechet_distance",
    "gaussian_modes",
    "inception_score",
    "kernel_distance",
    "mean_squared_error",
    "mode_coverage",
    "mutual_information_gap",
    "nearest_distances",
    "prdc",
    "psnr",
    "sap",
    "ssim",
]
