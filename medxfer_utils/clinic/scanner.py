"""The scanner of a simulated site: what it does to sharp edges, and what noise it adds.

Filtered back-projection is linear, so that a scan is two sums in the Fourier domain: the anatomy
times the modulation transfer function (MTF), and white noise times the root of the noise power.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]  # float32 where there are many
Doubles = NDArray[np.float64]

# Attenuation of water at 70 keV, about the mean energy of a 120 kV beam, per mm (NIST XCOM).
MU_WATER = 0.0193
# Readings every 0.3 mm at the axis (0.6 mm detectors, shifted by a quarter between opposite views)
# and 1,000 views: our choice, near the usual multi-slice scanner.
SPACING, VIEWS = 0.3, 1000
# Photons of a reading in air for 1 mm of slice. Our choice: it makes the standard deviation about
# 7 HU in an average abdomen at 5 mm slices, standard kernel, and 11 HU at 2 mm.
PHOTONS = 2.5e5
# Kernel: cut-off in 1/mm and edge enhancement. Our choice; the 10 % point of the MTF is at about
# 5, 7 and 11 line pairs per cm, the range that vendors print for body and lung kernels.
KERNELS = {"soft": (0.62, 0.0), "standard": (0.88, 0.0), "sharp": (1.35, 1.2)}
# An edge of this many mm is drawn around a patch and cut off, so that nothing wraps around.
MARGIN_MM = 3.0


def kernel_mtf(f: Floats, cutoff: float, enhancement: float = 0.0) -> Floats:
    """Apodisation W(f) of the ramp: a Hann window, times 1 + enhancement · (f / cutoff)²."""
    relative = np.minimum(f / cutoff, 1)
    hann = 0.5 + 0.5 * np.cos(np.pi * relative)
    return np.asarray(hann * (1 + enhancement * relative**2), np.float32)


def psf_mtf(f: Floats, fwhm: float) -> Floats:
    """Fourier transform of a Gaussian point spread with full width `fwhm` (mm) at half maximum."""
    return np.asarray(np.exp(-((np.pi * fwhm * f) ** 2) / (4 * np.log(2))), np.float32)


def noise_power(
    f: Floats, counts: float, w: Floats, spacing: float = SPACING, views: int = VIEWS
) -> Floats:
    """Noise power spectrum of filtered back-projection, in HU² mm².

    A reading of N photons gives the line integral p = -log N with variance 1/N. Readings are
    independent, `spacing` Δ apart, so a view has the noise density Δ/N up to the frequency
    1/(2Δ), and Δ f² W²/N after the ramp and the window W. Back-projection, (π/views) Σ, lays each
    view's density on a line through the origin of the Fourier plane; `views` lines over half a
    turn have the density views/(π f). Together

        NPS(f) = (π / views)² · views/(π f) · Δ f² W(f)²/N = (π / views) · Δ · f · W(f)² / N

    per mm², times (1000/μ)² in HU² [1]_. Its integral for W = 1 is Kak and Slaney's
    variance π²/(12 views Δ² N) [2]_.

    Parameters
    ----------
    f : ndarray
        Spatial frequency, 1/mm.
    counts : float
        Photons N of a reading behind the patient.
    w : ndarray, as `f`
        The kernel W(f).
    spacing, views : float, int
        Distance of the readings in mm; views of half a turn.

    References
    ----------
    .. [1] Riederer, Pelc and Chesler (1978), doi:10.1088/0031-9155/23/3/008.
    .. [2] Kak and Slaney (1988), *Principles of Computerized Tomographic Imaging*, section 5.2.
    """
    band = f <= 0.5 / spacing
    power = np.pi / views * spacing * f * w**2 * band / counts
    return (power * (1000 / MU_WATER) ** 2).astype(np.float32)


@dataclass(frozen=True)
class Grid:
    """The pixels that are computed: `size` of them are kept, `pad` on each side are cut off."""

    size: int
    pixel: float

    @property
    def pad(self) -> int:
        """Pixels on each side that are cut off; the sum is a good length for the FFT."""
        least = int(np.ceil(MARGIN_MM / self.pixel))
        whole = int(scipy.fft.next_fast_len(self.size + 2 * least, real=True))
        return (whole - self.size + 1) // 2

    @property
    def side(self) -> int:
        """Pixels that are computed along a side."""
        return self.size + 2 * self.pad

    @property
    def axis(self) -> Floats:
        """Coordinates of the pixel centres in mm; 0 is the middle of the patch."""
        return ((np.arange(self.side) - (self.side - 1) / 2) * self.pixel).astype(np.float32)

    @property
    def frequency(self) -> Floats:
        """Radial frequency in 1/mm of the half plane that `scipy.fft.rfft2` returns."""
        fy = scipy.fft.fftfreq(self.side, self.pixel)[:, None]
        return np.asarray(np.hypot(fy, scipy.fft.rfftfreq(self.side, self.pixel)), np.float32)

    def filtered(self, spectrum: NDArray[np.complex64]) -> Floats:
        """Back from the half plane to images."""
        shape = (self.side, self.side)
        image: Floats = scipy.fft.irfft2(spectrum, s=shape, workers=1)
        return image

    def crop(self, image: Floats) -> Floats:
        """Cut the margin off."""
        keep = slice(self.pad, self.pad + self.size)
        return image[..., keep, keep]


def _aperture(grid: Grid) -> Floats:
    """A pixel shows the mean over its area: sinc of both frequencies."""
    fy = scipy.fft.fftfreq(grid.side, grid.pixel)[:, None]
    fx = scipy.fft.rfftfreq(grid.side, grid.pixel)
    return np.asarray(np.sinc(fy * grid.pixel) * np.sinc(fx * grid.pixel), np.float32)


def counts(dose: float, slice_thickness: float, diameter: Doubles) -> Floats:
    """Photons of a reading behind `diameter` mm of water: dose times slice times transmission."""
    transmitted: Floats = PHOTONS * dose * slice_thickness * np.exp(-MU_WATER * diameter)
    return transmitted.astype(np.float32)


def scan_ct(
    anatomy: Floats, white: Floats, photons: Floats, grid: Grid, blur: float, kernel: str
) -> Floats:
    """Scan maps of HU, shape (n, side, side), with white noise of that shape; (n, size, size)."""
    f, w = grid.frequency, kernel_mtf(grid.frequency, *KERNELS[kernel])
    signal = scipy.fft.rfft2(anatomy, workers=1)
    signal *= w * psf_mtf(f, blur)
    # White noise of variance 1 has the density pixel² over the pixel grid.
    amplitude = np.sqrt(noise_power(f, 1.0, w)) * _aperture(grid) / grid.pixel
    noise = scipy.fft.rfft2(white, workers=1)
    noise *= amplitude
    noise *= (1 / np.sqrt(photons))[:, None, None]
    signal += noise
    return grid.crop(grid.filtered(signal))


# MR-like signal of each HU, arbitrary units. Our choice, after T2-weighted images: water, cysts
# and fat bright, soft-tissue lesions brighter than liver; air, lung, flowing blood, calcium dark.
MR_HU = (-1000, -850, -600, -150, -90, -30, 5, 35, 60, 105, 160, 400)
MR_SIGNAL = (10, 40, 260, 620, 700, 800, 900, 600, 400, 300, 110, 20)
MR_NOISE = 35.0


def scan_mr(anatomy: Floats, white: Floats, grid: Grid, blur: float, snr: float) -> Floats:
    """MR-like images of the same anatomy, arbitrary units from 0 to about 1,000.

    Each HU becomes a signal, a smooth coil profile multiplies it, the point spread blurs it, and
    the magnitude of two noisy channels makes the noise Rician [1]_.

    Parameters
    ----------
    anatomy : ndarray, shape (n, side, side)
        HU before any scanner.
    white : ndarray, shape (n, 2, side, side)
        Standard normal, one for each channel.
    grid, blur
        As for CT.
    snr : float
        Signal to noise relative to the reference.

    References
    ----------
    .. [1] Gudbjartsson and Patz (1995), doi:10.1002/mrm.1910340618.
    """
    signal = np.interp(anatomy, MR_HU, MR_SIGNAL).astype(np.float32)
    spectrum = scipy.fft.rfft2(signal, workers=1)
    spectrum *= psf_mtf(grid.frequency, blur)
    # The direction of the coil differs from lesion to lesion: two of its noise values tell it.
    lean = 0.004 * np.clip(white[:, :, :1, :1], -2, 2)
    profile = np.exp(lean[:, 0] * grid.axis[None, :, None] + lean[:, 1] * grid.axis)
    clean = grid.filtered(spectrum) * profile
    noise = white * np.float32(MR_NOISE / snr)
    return grid.crop(np.hypot(clean + noise[:, 0], noise[:, 1]))
