"""NIfTI files that are written for a test, with known axes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

MARK = "MUSTERFRAU"  # stands wherever a hospital may have written a name


def save(image: Any, path: Path) -> Path:
    nibabel.save(image, path)
    return path


def nifti(
    path: Path, values: NDArray[Any], spacing: tuple[float, ...], axes: str, turned: float = 0.0
) -> Path:
    """Write an array whose axes are "SPL" with others; turned about the body's axis (degrees)."""
    to_axes = ornt_transform(axcodes2ornt("SPL"), axcodes2ornt(axes))
    # The affine of the SPL array towards right, anterior, superior, and of what is written.
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = spacing[0], -spacing[1], -spacing[2], 1
    angle, turn = np.deg2rad(turned), np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    written = apply_orientation(values, to_axes)
    affine = turn @ affine @ inv_ornt_aff(to_axes, values.shape)
    return save(nibabel.Nifti1Image(written, affine), path)
