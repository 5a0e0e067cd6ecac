"""The simulated scanner against a forward projection, against theory, and against its own laws."""

import numpy as np
import pytest
from skimage.transform import iradon, radon

from medxfer_utils.clinic import scanner
from medxfer_utils.clinic.scanner import Floats, Grid

SIDE, VIEWS, AIR, RADIUS = 128, 180, 2e4, 50


@pytest.fixture(scope="module")
def reconstructed() -> Floats:
    """Noise in HU around the middle of a water disc: projected, counted, reconstructed; 8 times.

    Pixels and readings are 1 mm apart.
    """
    axis = np.arange(SIDE) - (SIDE - 1) / 2
    disc = scanner.MU_WATER * (np.hypot(axis, axis[:, None]) < RADIUS)
    angles = np.linspace(0, 180, VIEWS, endpoint=False)
    lines = radon(disc, angles, circle=True)
    rng = np.random.default_rng(0)

    def image(projections: Floats) -> Floats:
        return np.asarray(
            iradon(projections, angles, filter_name="hann", interpolation="cubic", circle=True)
        )

    counted = [-np.log(rng.poisson(AIR * np.exp(-lines)) / AIR) for _ in range(8)]
    noise = np.array([image(one) for one in counted]) - image(lines)
    middle = noise[:, SIDE // 2 - 16 : SIDE // 2 + 16, SIDE // 2 - 16 : SIDE // 2 + 16]
    return np.asarray(middle * 1000 / scanner.MU_WATER)


def predicted(f: Floats) -> Floats:
    """Noise power that `scanner` gives for the scan of the fixture."""
    behind = AIR * np.exp(-scanner.MU_WATER * 2 * RADIUS)
    w = scanner.kernel_mtf(f, cutoff=0.5)
    return scanner.noise_power(f, behind, w, spacing=1.0, views=VIEWS)


def test_noise_spectrum_is_that_of_a_reconstruction(reconstructed: Floats) -> None:
    f = np.hypot(np.fft.fftfreq(32)[:, None], np.fft.fftfreq(32))
    measured = np.mean(np.abs(np.fft.fft2(reconstructed)) ** 2, axis=0) / 32**2
    # Above 0.3 / mm, where little noise is left, interpolation by iradon takes more of it.
    for low, high in ((0.03, 0.1), (0.1, 0.15), (0.15, 0.2), (0.2, 0.25), (0.25, 0.3)):
        ring = (f >= low) & (f < high)
        assert measured[ring].mean() == pytest.approx(predicted(f)[ring].mean(), rel=0.10)


def test_noise_standard_deviation_is_that_of_a_reconstruction(reconstructed: Floats) -> None:
    f = np.hypot(np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256))
    expected = np.sqrt(predicted(f).sum()) / 256
    assert reconstructed.std() == pytest.approx(expected, rel=0.10)


def test_noise_of_a_bare_ramp_has_the_textbook_variance() -> None:
    f = np.linspace(0, 0.5, 100_001)
    power = scanner.noise_power(f, 1000.0, np.ones_like(f), spacing=1.0, views=360)
    variance = np.trapezoid(power * 2 * np.pi * f, f) * (scanner.MU_WATER / 1000) ** 2
    assert variance == pytest.approx(np.pi**2 / (12 * 360 * 1000), rel=1e-4)


def flat(grid: Grid, hu: float = 0.0, n: int = 40) -> Floats:
    return np.full((n, grid.side, grid.side), hu, np.float32)


def white(grid: Grid, n: int = 40) -> Floats:
    return np.random.default_rng(1).standard_normal((n, grid.side, grid.side), np.float32)


def noise(grid: Grid, photons: float = 1e4, kernel: str = "standard") -> Floats:
    counts = np.full(40, photons, np.float32)
    return scanner.scan_ct(flat(grid), white(grid), counts, grid, 0.8, kernel)


def test_noise_follows_photons_and_kernel_and_photons_dose_slice_and_attenuation() -> None:
    grid = Grid(32, 0.75)
    assert np.allclose(noise(grid, 1e4), 2 * noise(grid, 4e4), rtol=1e-3, atol=1e-3)
    soft, standard, sharp = (noise(grid, kernel=k).std() for k in ("soft", "standard", "sharp"))
    assert 1.4 * soft < standard < sharp / 1.4
    further = np.log(2) / scanner.MU_WATER  # mm of water that halve the photons
    asked = [(1.0, 1.0, 300.0), (1.0, 5.0, 300.0), (3.0, 1.0, 300.0), (1.0, 1.0, 300.0 + further)]
    one, *others = (scanner.counts(dose, mm, np.array([water]))[0] for dose, mm, water in asked)
    assert others == pytest.approx([5 * one, 3 * one, one / 2], rel=1e-5)


def test_a_large_pixel_shows_the_mean_of_small_ones() -> None:
    small = noise(Grid(64, 0.75)).reshape(40, 32, 2, 32, 2).mean(axis=(2, 4))
    # Not quite: means over blocks also fold in a little of what is finer than the large pixel.
    assert noise(Grid(32, 1.5)).std() == pytest.approx(small.std(), rel=0.15)


def test_a_flat_map_keeps_its_level() -> None:
    grid = Grid(28, 1.0)
    image = scanner.scan_ct(flat(grid, 55.0), 0 * flat(grid), np.ones(40), grid, 2.0, "sharp")
    assert image.shape == (40, 28, 28)
    assert np.allclose(image, 55, atol=1e-3)


def test_point_spread_has_the_width_asked_for() -> None:
    f = np.fft.fftfreq(2000, 0.01)
    spread = np.fft.ifft(scanner.psf_mtf(np.abs(f), fwhm=2.0)).real
    assert 0.01 * np.sum(spread > spread.max() / 2) == pytest.approx(2.0, abs=0.02)


def test_nothing_wraps_around_the_patch() -> None:
    for size in (28, 33, 64, 96):
        grid = Grid(size, 0.75)
        anatomy = flat(grid, n=1)
        anatomy[:, :, grid.pad : grid.pad + 1] = 1000
        image = scanner.scan_ct(anatomy, 0 * anatomy, np.ones(1), grid, 1.0, "standard")
        assert image.shape == (1, size, size)
        assert image[..., 0].min() > 100
        assert np.abs(image[..., -1]).max() < 1


def test_mr_noise_is_rician() -> None:
    grid = Grid(64, 0.75)
    channels = np.random.default_rng(2).standard_normal((20, 2, grid.side, grid.side), np.float32)
    image = scanner.scan_mr(flat(grid, -1000.0, 20), channels, grid, 0.8, 0.1)
    # Far below the noise a magnitude is Rayleigh: mean / standard deviation = 1.913.
    assert image.min() >= 0
    assert image.mean() / image.std() == pytest.approx(1.913, rel=0.03)


def test_mr_shows_water_brighter_than_liver_and_blood_darker() -> None:
    cyst, liver, vein = np.interp((5, 105, 160), scanner.MR_HU, scanner.MR_SIGNAL)
    assert cyst > 2 * liver > 4 * vein
