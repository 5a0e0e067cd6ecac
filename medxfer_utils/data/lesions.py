"""Real lesions of lung and liver, cut out of public CT data that the reader has downloaded.

Volumes are read one at a time, so that memory does not grow with their number. Messages count
("Volume 3 of 20", in the order of the names): the name of a file may be a patient's.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.measure import label, regionprops

from medxfer_utils import require
from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.checking import attempt, refuse
from medxfer_utils.data.own import AERATED, ARRAYS, LOWEST, own_arrays
from medxfer_utils.data.scans import Volume, open_nifti, read_nifti, resample
from medxfer_utils.images import AIR, Image, ImagingError, crop

TUMOUR = {"lung": 1, "liver": 2}  # in the masks of the Decathlon; the liver itself is 1
LIVER = (-100.0, 300.0)  # HU between which the median of any liver lies, fatty or enhanced
SMALLEST = 4.0  # mm, of a lesion that is cut out; as in the simulated clinic
ROUNDED = 0.01  # by which a label may miss a whole number, after slope and intercept of its file
# A volume of a task or its mask, and the name that both have: nnU-Net's images add a channel, and
# hidden are those of macOS.
VOLUME = re.compile(r"([^.].*?)(?:_0000)?\.nii(?:\.gz)?", re.IGNORECASE)
TRACE = 0.001  # share of a pixel from which on it shows a lesion; less is rounding
SLICES = 20  # in which a place for a background patch is looked for
SAME_DEPTH = 2.0  # pixels by which the depths of a lesion and of its background may differ
LEAST_AERATED = 0.05  # share of a slice that is lung, where there is lung
TASKS = ("Task06_Lung", "Task03_Liver")


class _Lesion(NamedTuple):
    """A connected lesion in its largest slice; centre in pixels of the file, diameter in mm."""

    slice: int
    centre: tuple[float, float]
    diameter: float


class _Patch(NamedTuple):
    """An image, and its label."""

    image: Image
    y: int


def read_lung_and_liver(
    folder: str | Path, size: int, pixel: float, seed: int
) -> tuple[Cohort, Cohort]:
    """Read lung and liver from a folder in whichever known layout it has.

    Looked for, in this order: `lung_images.npy` and its companions (see `own_arrays`, which keep
    the size they have); `Task06_Lung` and `Task03_Liver`, see `msd_cohort`. Used in lesson 07.

    Parameters
    ----------
    folder : str or Path
    size : int
        Pixels along a side of a patch.
    pixel : float
        Size of a pixel in mm.
    seed : int
        Of the places of background patches.

    Returns
    -------
    tuple of Cohort
        Lung and liver, images in HU.

    Raises
    ------
    ImagingError
        The folder has no known layout, or what is in it cannot be used.
    """
    folder = Path(folder).expanduser()
    if any((folder / name).exists() for name in ARRAYS):
        return own_arrays(folder)
    missing = " and ".join(name for name in TASKS if not (folder / name).is_dir())
    needed = f"Needed is either {', '.join(ARRAYS)}; or the folders {' and '.join(TASKS)}, of which"
    unknown = f"DATA is no folder with data in a known layout. {needed} {missing} is missing."
    require(not missing, unknown, ImagingError)
    rest = (size, pixel, seed)
    lung = msd_cohort(folder / TASKS[0], "lung", *rest)
    return lung, msd_cohort(folder / TASKS[1], "liver", *rest)


def msd_cohort(folder: str | Path, organ: str, size: int, pixel: float, seed: int) -> Cohort:
    """Cut lesions and background out of Task06_Lung or Task03_Liver of the Decathlon.

    The task is **lesion or background, not malignant or benign**: the Decathlon outlines tumours
    and says nothing of benign ones. Label 1 is a patch centred on the largest slice of a connected
    lesion of at least 4 mm; of larger lesions than a patch, their middle. To each belongs, where
    there is room, a patch with label 0: same volume, the same or a near slice, the same organ
    about as deep under its surface, and no lesion within the patch or in the slices next to it.
    A volume without a lesion, as some livers are, gives one such patch at random.

    Parameters
    ----------
    folder : str or Path
        With `imagesTr`, `labelsTr` and `dataset.json`; volumes that you do not have may be missing.
    organ : {"lung", "liver"}
    size : int
        Pixels along a side of a patch.
    pixel : float
        Size of a pixel in mm.
    seed : int
        Of the places of background patches; each volume has its own stream.

    Returns
    -------
    Cohort
        Images in HU, shape (n, size, size).
        Patients are "msd-lung-001", …: running numbers of the volumes, not their names.

    Raises
    ------
    ImagingError
        The folder is of another task, no volume can be used, or none has a lesion.

    Warns
    -----
    UserWarning
        Which volumes were left out, and why: a file is missing or cannot be read, image and mask do
        not belong together, the values are no HU, or the organ is not there. How many lesions have
        no background patch, and how many volumes have voxels of exactly 1 × 1 × 1 mm, as a header
        has when the true spacing was lost.
    """
    pairs, found, odd = _pairs(folder, organ), dict[int, list[_Patch]](), list[str]()
    bare, scan = 0, None
    for k, pair in enumerate(pairs, 1):
        rng, place = np.random.default_rng([seed, k]), f"Volume {k} of {len(pairs)}"
        try:
            scan = _Scan(*_read(*pair, organ, place), organ, size, pixel)
            found[k] = _from_volume(scan, place, rng)
            bare += scan.volume.spacing_mm == (1, 1, 1)
        except ImagingError as error:
            odd.append(str(error))
        scan = None  # before the next one is read
    require(found, [*odd, ""][0], ImagingError)
    patches = [patch for one in found.values() for patch in one]
    y = np.array([patch.y for patch in patches], dtype=np.int64)
    require(y.any(), f"None of {len(found)} volumes has a lesion of {SMALLEST:g} mm.", ImagingError)
    lonely = sum(max(0, sum(2 * patch.y - 1 for patch in one)) for one in found.values())
    told = {
        f"{len(odd)} of {len(pairs)} volumes were left out. {' '.join(odd[:3])}": odd,
        f"{lonely} lesions have no background patch: there is no room.": lonely,
        f"{bare} volumes have voxels of 1 x 1 x 1 mm.": bare,
    }
    for words in (words for words, there in told.items() if there):
        warnings.warn(f"{organ}: {words}", stacklevel=2)
    x = np.stack([patch.image for patch in patches])
    patient = [f"msd-{organ}-{k:03d}" for k, one in found.items() for _ in one]
    return Cohort(f"{organ} (Decathlon)", x, y, np.array(patient))


@dataclass(frozen=True, eq=False)
class _Scan:
    """One volume with its mask, on the way to patches of `size` × `size` pixels of `pixel` mm."""

    volume: Volume
    labels: NDArray[np.uint8]
    organ: str
    size: int
    pixel: float

    def drawn(self, values: NDArray[Any]) -> Image:
        """One slice on pixels of the wanted size; of a mask, how much of each is in it."""
        one = replace(self.volume, values=values[None].astype(np.float32, copy=False))
        image: Image = resample(one, (None, self.pixel, self.pixel)).values[0]
        return image

    def place(self, centre: tuple[float, float], image: Image) -> NDArray[np.intp]:
        """Pixel of the new image in which a point of the old one lies."""
        ratio = self.pixel / np.array(self.volume.spacing_mm[1:])
        new = np.rint((np.array(centre) + 0.5) / ratio - 0.5).astype(int)
        return np.asarray(np.clip(new, 0, np.array(image.shape) - 1))

    def patch(self, image: Image, centre: NDArray[np.intp]) -> Image:
        """Cut out a patch; beyond the image lies air."""
        patch: Image = crop(image, (self.size, self.size), AIR, [*centre])
        return patch

    def tumour(self, k: int) -> NDArray[np.bool_]:
        """Pixels with any lesion in them, in this slice or the ones above and below."""
        near = self.labels[max(k - 1, 0) : k + 2] == TUMOUR[self.organ]
        return np.asarray(self.drawn(near.any(axis=0)) > TRACE)

    def tissue(self, k: int, image: Image) -> NDArray[np.bool_]:
        """Pixels of the organ that are no lesion."""
        if self.organ == "liver":
            return np.asarray(self.drawn(self.labels[k] == 1) > 0.5)
        return _parenchyma(image, self.pixel)

    def slices(self, place: str) -> NDArray[np.intp]:
        """Slices that show the organ; an error if there are none."""
        if self.organ == "liver":
            shown = np.flatnonzero((self.labels > 0).any(axis=(1, 2)))
        else:
            few = self.volume.values[:, ::4, ::4]
            aerated = ((few > AERATED[0]) & (few < AERATED[1])).mean(axis=(1, 2))
            shown = np.flatnonzero(aerated >= LEAST_AERATED)
        none = f"{place} shows no {self.organ}: is it this task, and in HU?"
        require(len(shown), none, ImagingError)
        return shown


def _parenchyma(image: Image, pixel: float) -> NDArray[np.bool_]:
    """Aerated lung in a slice: neither air around the body, nor airways, nor blurred edges."""
    smooth = ndimage.gaussian_filter(image, 1 / pixel)  # 1 mm
    airy, _ = ndimage.label(smooth < AERATED[1])
    rim = np.concatenate([airy[0], airy[-1], airy[:, 0], airy[:, -1]])
    lung = (airy > 0) & ~np.isin(airy, rim) & (smooth > AERATED[0])
    return np.asarray(ndimage.binary_opening(lung, iterations=2))


def _components(tumour: NDArray[np.bool_], spacing: tuple[float, float, float]) -> list[_Lesion]:
    """Connected lesions of at least `SMALLEST` mm; voxels that share a corner are connected."""
    lesions = []
    for region in regionprops(label(tumour, connectivity=3)):
        k = int(region.image.sum(axis=(1, 2)).argmax())
        (largest,) = regionprops(region.image[k].astype(np.uint8), spacing=spacing[1:])
        diameter = float(largest.equivalent_diameter_area)
        if diameter >= SMALLEST:
            row, column = np.array(largest.centroid) / spacing[1:] + region.bbox[1:3]
            lesions.append(_Lesion(region.bbox[0] + k, (float(row), float(column)), diameter))
    return lesions


def _from_volume(scan: _Scan, place: str, rng: np.random.Generator) -> list[_Patch]:
    """Cut the patches out of one volume."""
    slices = scan.slices(place)
    lesions: Sequence[_Lesion | None] = _components(
        scan.labels == TUMOUR[scan.organ], scan.volume.spacing_mm
    )
    patches = []
    for lesion in lesions or [None]:  # of a volume without one, some background at random
        level, depth = (lesion.slice, None) if lesion else (int(rng.choice(slices)), None)
        if lesion:
            image = scan.drawn(scan.volume.values[level])
            centre = scan.place(lesion.centre, image)
            patches.append(_Patch(scan.patch(image, centre), 1))
            deep = scan.tissue(level, image) | scan.tumour(level)
            depth = float(ndimage.distance_transform_edt(deep)[tuple(centre)])
        background = _background(scan, slices, level, depth, rng)
        patches += [] if background is None else [_Patch(background, 0)]
    return patches


def _background(
    scan: _Scan, slices: NDArray[np.intp], level: int, depth: float | None, rng: np.random.Generator
) -> Image | None:
    """Cut out a patch without lesion near a slice and depth; None if there is no room for it."""
    for k in slices[np.argsort(np.abs(slices - level), kind="stable")][:SLICES].tolist():
        image, tumour = scan.drawn(scan.volume.values[k]), scan.tumour(k)
        tissue = scan.tissue(k, image)
        # The filter's window is the patch: index size // 2 is the middle of both.
        taken = ndimage.maximum_filter(tumour, scan.size, mode="constant")
        room = np.argwhere(tissue & ~taken)
        if not len(room):
            continue
        if depth is not None:
            deep = ndimage.distance_transform_edt(tissue | tumour)[tuple(room.T)]
            off = np.abs(deep - depth)
            room = room[off <= max(SAME_DEPTH, off.min())]
        return scan.patch(image, room[rng.integers(len(room))])
    return None


# --- Reading the Decathlon ---


def _pairs(folder: str | Path, organ: str) -> list[tuple[Path, Path]]:
    """Return the images of a task of the Decathlon with their masks, in the order of the names.

    Raises
    ------
    ImagingError
        `dataset.json` or `imagesTr` is missing, or it is another task's folder.
    """
    folder = Path(folder)

    def described() -> tuple[str, set[str]]:
        about = json.loads((folder / "dataset.json").read_text(encoding="utf-8-sig"))
        modality = (about.get("modality") or about["channel_names"])["0"]
        # nnU-Net, which keeps the same data, writes {"liver": 1} for {"1": "liver"}.
        # Regions there are lists of labels.
        return modality, {str(k) for pair in about["labels"].items() for k in np.hstack(pair)}

    unread = "dataset.json cannot be read ({}); it lies beside imagesTr and labelsTr."
    modality, labels = attempt(described, lambda error: unread.format(type(error).__name__))
    digits, wanted = {k for k in labels if k.isdigit()}, {str(k) for k in range(TUMOUR[organ] + 1)}
    needed = f"CT of the {organ} with a tumour labelled {TUMOUR[organ]} is needed."
    same = str(modality).upper() == "CT" and digits == wanted
    require(same, f"dataset.json describes another task: {needed}", ImagingError)
    images, masks = (_named(folder / kind) for kind in ("imagesTr", "labelsTr"))
    packed = "imagesTr holds no .nii or .nii.gz file: is the archive unpacked?"
    require(images, packed, ImagingError)
    return [(path, masks.get(name, folder / "no mask")) for name, path in images.items()]


def _named(folder: Path) -> dict[str, Path]:
    return {n[1]: p for p in sorted(folder.glob("*")) if (n := VOLUME.fullmatch(p.name))}


def _read(image: Path, mask: Path, organ: str, place: str) -> tuple[Volume, NDArray[np.uint8]]:
    """Read one volume and its mask, both with axes "SPL", and check that they belong together.

    Parameters
    ----------
    image, mask : Path
    organ : {"lung", "liver"}
    place : str
        What an error calls it: "Volume 3 of 20".

    Raises
    ------
    ImagingError
        Either cannot be read, there is no mask, the grids differ, the mask has other labels, or the
        values are no HU.
    """
    try:
        require(mask.is_file(), "it has no mask in labelsTr.", ImagingError)
        labels, volume = _labels(mask, organ), read_nifti(image, "HU")
        same = volume.values.shape == labels.shape and _aligned(image, mask)
        require(same, "the mask is not on the grid of the image.", ImagingError)
        np.maximum(volume.values, LOWEST, out=volume.values)
        _require_hu(volume.values, labels, organ)
        return volume, labels
    except ImagingError as error:
        why = str(error)
    raise ImagingError(f"{place}: {why}")


def _labels(path: Path, organ: str) -> NDArray[np.uint8]:
    """Read a mask; one byte a voxel, because a volume has up to a quarter of a billion."""
    values = read_nifti(path, "grey").values
    most, whole = TUMOUR[organ], np.rint(values)
    fine = whole.min() >= 0 and whole.max() <= most  # neither is NaN
    require(fine, f"the mask has labels other than 0 to {most}.", ImagingError)
    fractions = "the mask holds fractions: it is no mask, or was resampled."
    require(np.abs(whole - values).max() < ROUNDED, fractions, ImagingError)
    return whole.astype(np.uint8)


def _aligned(image: Path, mask: Path) -> bool:
    """Whether corresponding voxels of two files lie within half a voxel of each other."""
    first, second = (_canonical(path) for path in (image, mask))
    corners = np.array(list(np.ndindex(2, 2, 2))) * max(open_nifti(image).shape)
    apart = nibabel.affines.apply_affine(first - second, corners)
    half = min(nibabel.affines.voxel_sizes(first)) / 2
    return bool(np.abs(apart).max() <= half)


def _canonical(path: Path) -> NDArray[np.float64]:
    """Affine of a file after its axes are turned to lead right, anterior and superior."""
    image = open_nifti(path)
    turn = nibabel.io_orientation(image.affine)
    return np.asarray(image.affine @ nibabel.orientations.inv_ornt_aff(turn, image.shape))


def _require_hu(values: Image, labels: NDArray[np.uint8], organ: str) -> None:
    lowest, highest = float(values.min()), float(values.max())
    liver = values[labels == 1] if organ == "liver" else values[:0]
    tissue = float(np.median(liver)) if len(liver) else np.nan
    outside = organ == "liver" and labels.any() and not LIVER[0] <= tissue <= LIVER[1]
    faults = {
        f"it has NaN or infinite values: make them {AIR:g} HU, air.": not np.isfinite(
            [lowest, highest]
        ).all(),
        f"it has no air (lowest value {lowest:g}): its values are no HU.": lowest > AERATED[1],
        f"the median of the liver is {tissue:g}, not from {LIVER[0]:g} to {LIVER[1]:g} HU: the "
        "mask lies elsewhere, or the values are no HU.": outside,
    }
    refuse(ImagingError, faults)
