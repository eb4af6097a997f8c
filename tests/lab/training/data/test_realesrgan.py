"""Real-ESRGAN's kernels and rounds, against closed forms."""

import numpy as np
import pytest
from support.pictures import scene

from livemoments.lab.training.data.realesrgan import (
    SEESR,
    bessel_j1,
    bump_kernel,
    draw_kernel,
    draw_two_rounds,
    sinc_kernel,
)


def test_the_bessel_function_against_tabulated_values():
    # Abramowitz and Stegun, table 9.1.
    x = np.array([0.0, 0.5, 1.0, 2.0, 5.0, 10.0])
    known = [0.0, 0.2422684577, 0.4400505857, 0.5767248078, -0.3275791376, 0.0434727462]
    np.testing.assert_allclose(bessel_j1(x), known, atol=1e-9)


def test_a_sinc_kernel_passes_low_frequencies_and_stops_high_ones():
    kernel = sinc_kernel(21, np.pi / 2)
    assert kernel.sum() == pytest.approx(1, abs=1e-5) and kernel.min() < 0  # it rings
    response = np.abs(np.fft.rfft(kernel.sum(0), 64))  # along one axis
    low, high = response[:10], response[24:]
    assert low.min() > 0.85 and high.max() < 0.15


@pytest.mark.parametrize("shape", ["gaussian", "plateau"])
def test_a_bump_lies_along_its_angle(shape):
    kernel = bump_kernel(shape, 21, (3.0, 1.0), 0.6, 1.0)
    y, x = np.mgrid[:21, :21] - 10
    along = (kernel * (x * np.cos(0.6) + y * np.sin(0.6)) ** 2).sum()
    across = (kernel * (y * np.cos(0.6) - x * np.sin(0.6)) ** 2).sum()
    assert along > 2 * across
    if shape == "gaussian":  # its variances are its sigmas squared
        assert along == pytest.approx(9, rel=0.05) and across == pytest.approx(1, rel=0.05)


def test_drawn_kernels_keep_brightness():
    rng = np.random.default_rng(0)
    for _ in range(200):
        kernel = draw_kernel(SEESR.first, rng)
        assert kernel.sum() == pytest.approx(1, abs=1e-4) and 7 <= len(kernel) <= 21


def test_the_key_frame_shares_every_parameter():
    truth, how = scene(96, 96), draw_two_rounds(SEESR, np.random.default_rng(1))
    np.testing.assert_array_equal(how(truth), how(truth, moving=False))
