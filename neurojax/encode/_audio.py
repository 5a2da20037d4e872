"""A front end for sound: log power in frequency bands, frame by frame."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Num

from ._rate import as_float


def log_band_power(
    samples: Num[ArrayLike, "*batch samples"],
    *,
    frame: int = 256,
    hop: int = 128,
    bands: int = 16,
    floor: float = 1e-6,
) -> Float[Array, "*batch frames bands"]:
    """Cut sound into frames and give the logarithm of the power in each of a few bands.

    Hann window, Fourier transform, mean power of the bins in each band, natural logarithm.
    Band edges are spaced geometrically from bin 1 to the highest (the constant part is left
    out), at least one bin wide. No mel scale, no normalisation: simple, fast, differentiable.

    Args:
        samples: sound in [-1, 1], time last.
        frame: samples per frame.
        hop: samples from one frame to the next.
        bands: number of bands.
        floor: power added before the logarithm, the level of silence.

    Returns:
        One row per frame that fits in whole: `1 + (samples - frame) // hop` rows.

    Raises:
        ValueError: if the sound is shorter than a frame, or there are more bands than bins.

    Example:
        >>> log_band_power(jnp.zeros(1000), bands=8).shape
        (6, 8)
    """
    samples = as_float(samples)
    if samples.shape[-1] < frame:
        raise ValueError(
            f"log_band_power: {samples.shape[-1]} samples are shorter than a frame of {frame}."
        )
    edges = _band_edges(frame // 2 + 1, bands)
    starts = np.arange(1 + (samples.shape[-1] - frame) // hop) * hop
    frames = samples[..., starts[:, None] + np.arange(frame)]
    spectrum = jnp.fft.rfft(frames * np.hanning(frame).astype(np.float32), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    # One column per band, holding 1 / width over its bins.
    bins = np.arange(frame // 2 + 1)[:, None]
    member = (bins >= edges[:-1]) & (bins < edges[1:])
    average = (member / np.diff(edges)).astype(np.float32)
    return jnp.log(jnp.matmul(power, average, precision="highest") + floor)


def _band_edges(bins: int, bands: int) -> np.ndarray:
    if not 1 <= bands < bins:
        raise ValueError(
            f"log_band_power: {bands} bands; a frame of {2 * (bins - 1)} samples has bins for "
            f"1 to {bins - 1}. Lower `bands` or raise `frame`."
        )
    edges = np.rint(np.geomspace(1, bins, bands + 1)).astype(int)
    # Low bands would share a bin: push each edge above the one before, and leave room above.
    edges = np.maximum.accumulate(edges - np.arange(bands + 1)) + np.arange(bands + 1)
    return np.minimum(edges, bins - np.arange(bands, -1, -1))
