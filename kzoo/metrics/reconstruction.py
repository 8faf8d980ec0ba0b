"""How close reconstructions are to their images: one number an image."""

import numpy as np
import scipy.ndimage

from kzoo import checks, media


def mean_squared_error(images, outputs):
    """Mean squared difference of pixels: float64 `(n,)`.

    Args:
        images, outputs: `(n, height, width, channels)`, uint8 in [0, 255] or float in
            [0, 1].
    """
    images, outputs = _pair(images, outputs)
    return np.mean(np.square(images - outputs), axis=(1, 2, 3))


def psnr(images, outputs):
    """Peak signal-to-noise ratio, -10 log10(MSE), in dB: float64 `(n,)`.

    Infinite for equal images. Arguments as in `mean_squared_error`.
    """
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mean_squared_error(images, outputs))


def ssim(images, outputs, window=11):
    """Structural similarity: float64 `(n,)`, 1 for equal images.

    Wang et al. 2004, doi:10.1109/TIP.2003.819861, equation 13: Gaussian weights of
    standard deviation 1.5 in a square window, K1 = 0.01, K2 = 0.03, mean over the
    positions where the window is inside the image, and over channels.

    Args:
        images, outputs: as in `mean_squared_error`.
        window: odd side of the window, at most that of the images.
    """
    images, outputs = _pair(images, outputs)
    side = min(images.shape[1:3])
    checks.positive_int("window", window)
    if window % 2 == 0 or window > side:
        raise ValueError(
            f"Expected an odd window of at most {side} pixels, the images' side. "
            f"Received: window={window}."
        )
    offsets = np.arange(window) - window // 2
    weights = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()

    def smooth(x):
        for axis in (1, 2):
            x = scipy.ndimage.correlate1d(x, weights, axis=axis)
        return x

    mean_x, mean_y = smooth(images), smooth(outputs)
    var_x = smooth(images**2) - mean_x**2
    var_y = smooth(outputs**2) - mean_y**2
    covariance = smooth(images * outputs) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    similarity /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    inside = slice(window // 2, -(window // 2) or None)
    return similarity[:, inside, inside].mean(axis=(1, 2, 3))


def _pair(images, outputs):
    shape = checks.to_numpy(images).shape[1:]
    return (
        media.images_array(images, shape, "images").astype("float64"),
        media.images_array(outputs, shape, "outputs").astype("float64"),
    )
