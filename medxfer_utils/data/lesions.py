"""Real lesions of lung and liver, cut out of public CT data that the reader has downloaded.

Volumes are read one at a time, so that memory does not grow with their number.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from medxfer_utils.cohorts import Cohort
from medxfer_utils.data.own import (
    AERATED,
    ARRAYS,
    LOWEST,
    TUMOUR,
    Mark,
    Series,
    lidc_series,
    msd_pairs,
    msd_volume,
    own_arrays,
)
from medxfer_utils.data.scans import AIR, Image, ImagingError, Volume, read_dicom
from medxfer_utils.images import crop, resample

SMALLEST = 4.0  # mm, of a lesion that is cut out; as in the simulated clinic
TRACE = 0.001  # share of a pixel from which on it shows a lesion; less is rounding
SLICES = 20  # in which a place for a background patch is looked for
SAME_DEPTH = 2.0  # pixels by which the depths of a lesion and of its background may differ
LEAST_AERATED = 0.05  # share of a slice that is lung, where there is lung
SAME_NODULE = 3.0  # mm; the smallest nodule that LIDC outlines
SAME_HEIGHT = 0.2  # mm; the thinnest slices of LIDC-IDRI are more than twice that apart


class Lesions(NamedTuple):
    """A cohort of patches, and what is known of each beside its label.

    Parameters
    ----------
    cohort : Cohort
        Images in HU, shape (n, size, size).
    table : DataFrame
        One row for each image. `diameter_mm` is that of the circle of the same area in the slice
        shown, NaN for background. From LIDC also `malignancy`, the median of the radiologists, and
        `readers`, their number.
    """

    cohort: Cohort
    table: pd.DataFrame


@dataclass(frozen=True)
class _Grid:
    """Patches of `size` × `size` pixels of `pixel` mm."""

    size: int
    pixel: float

    def slice(self, volume: Volume) -> Image:
        """One slice, on pixels of the wanted size."""
        image: Image = resample(volume, (None, self.pixel, self.pixel)).values[0]
        return image

    def place(self, centre: tuple[float, float], volume: Volume, image: Image) -> NDArray[np.intp]:
        """Pixel of the new image in which a point of the old one lies."""
        ratio = self.pixel / np.array(volume.spacing_mm[1:])
        new = np.rint((np.array(centre) + 0.5) / ratio - 0.5).astype(int)
        return np.asarray(np.clip(new, 0, np.array(image.shape) - 1))

    def patch(self, image: Image, centre: NDArray[np.intp]) -> Image:
        """Cut out a patch; beyond the image lies air."""
        patch: Image = crop(image, (self.size, self.size), AIR, [*centre])
        return patch


@dataclass(frozen=True)
class _Lesion:
    """A connected lesion in its largest slice; centre in pixels of the file."""

    slice: int
    centre: tuple[float, float]
    diameter: float


class _Patch(NamedTuple):
    """An image, its label, and the diameter of the lesion in mm."""

    image: Image
    y: int
    diameter: float


class _Found(NamedTuple):
    """The patches of one volume, how many lesions have no background, and the size of a voxel."""

    patches: list[_Patch]
    lonely: int
    spacing: tuple[float, float, float]


def read(folder: str | Path, size: int, pixel: float, seed: int) -> tuple[Cohort, Cohort]:
    """Read lung and liver from a folder in whichever known layout it has.

    Looked for, in this order: `lung_images.npy` and its companions (see `folders.own_arrays`,
    which keep the size they have); `Task06_Lung` or `LIDC-IDRI` for the lung, with `Task03_Liver`.

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
        The folder has no known layout, or more than one lung, or what is in it cannot be used.

    Warns
    -----
    UserWarning
        With LIDC-IDRI the two cohorts ask different questions.
    """
    folder = Path(folder)
    if any((folder / name).exists() for name in ARRAYS):
        return own_arrays(folder)
    lungs = [name for name in ("Task06_Lung", "LIDC-IDRI") if (folder / name).is_dir()]
    if len(lungs) != 1 or not (folder / "Task03_Liver").is_dir():
        raise ImagingError(
            f"DATA is no folder with data in a known layout. Needed is either {', '.join(ARRAYS)}; "
            "or the folder Task03_Liver and one of Task06_Lung and LIDC-IDRI. "
            f"Of these folders there are {len(lungs)} with lungs and "
            f"{int((folder / 'Task03_Liver').is_dir())} with livers."
        )
    if lungs == ["LIDC-IDRI"]:
        warnings.warn(
            "The lungs of LIDC-IDRI ask malignant or benign (in the eyes of radiologists), the "
            "livers of Task03_Liver lesion or background: two tasks, not one.",
            stacklevel=2,
        )
        lung = lidc_cohort(folder / "LIDC-IDRI", size, pixel)
    else:
        lung = msd_cohort(folder / "Task06_Lung", "lung", size, pixel, seed)
    return lung.cohort, msd_cohort(folder / "Task03_Liver", "liver", size, pixel, seed).cohort


# --- Medical Segmentation Decathlon --------------------------------------------------------------


def msd_cohort(folder: str | Path, organ: str, size: int, pixel: float, seed: int) -> Lesions:
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
    Lesions
        Patients are "msd-lung-001", …: running numbers of the volumes, not their names.

    Raises
    ------
    ImagingError
        See `folders.msd_pairs` and `folders.msd_volume`; also if no volume has a lesion, or a
        thorax has no lung.

    Warns
    -----
    UserWarning
        How many lesions have no background patch, and how many volumes have voxels of exactly
        1 × 1 × 1 mm, as a header has when the true spacing was lost.
    """
    pairs, grid = msd_pairs(folder, organ), _Grid(size, pixel)
    found = []
    for k, pair in enumerate(pairs, 1):
        place = f"Volume {k} of {len(pairs)}"
        scan = _Scan(*msd_volume(*pair, organ, place), organ, grid)
        found.append(_from_volume(scan, place, np.random.default_rng([seed, k])))
        del scan  # before the next one is read
    patches = [patch for one in found for patch in one.patches]
    y = np.array([patch.y for patch in patches], dtype=np.int64)
    if not y.any():
        raise ImagingError(f"None of {len(pairs)} volumes has a lesion of {SMALLEST:g} mm.")
    for number, what in (
        (sum(one.lonely for one in found), "lesions have no background patch: there is no room"),
        (sum(one.spacing == (1, 1, 1) for one in found), "volumes have voxels of 1 x 1 x 1 mm"),
    ):
        if number:
            warnings.warn(f"{organ}: {number} {what}.", stacklevel=2)
    x = np.stack([patch.image for patch in patches])
    patient = [f"msd-{organ}-{k:03d}" for k, one in enumerate(found, 1) for _ in one.patches]
    table = pd.DataFrame({"diameter_mm": [patch.diameter for patch in patches]})
    return Lesions(Cohort(f"{organ} (Decathlon)", x, y, np.array(patient)), table)


@dataclass(frozen=True, eq=False)
class _Scan:
    """One volume with its mask, on the way to patches."""

    volume: Volume
    labels: NDArray[np.uint8]
    organ: str
    grid: _Grid

    def image(self, k: int) -> Image:
        """A slice on the grid of the patches."""
        return self.grid.slice(replace(self.volume, values=self.volume.values[k : k + 1]))

    def mask(self, here: NDArray[np.bool_]) -> Image:
        """A mask of one slice on the grid of the patches: how much of each pixel is in it."""
        return self.grid.slice(replace(self.volume, values=here[None].astype(np.float32)))

    def tumour(self, k: int) -> NDArray[np.bool_]:
        """Pixels with any lesion in them, in this slice or the ones above and below."""
        near = self.labels[max(k - 1, 0) : k + 2] == TUMOUR[self.organ]
        return np.asarray(self.mask(near.any(axis=0)) > TRACE)

    def tissue(self, k: int, image: Image) -> NDArray[np.bool_]:
        """Pixels of the organ that are no lesion."""
        if self.organ == "liver":
            return np.asarray(self.mask(self.labels[k] == 1) > 0.5)
        return _parenchyma(image, self.grid.pixel)

    def slices(self, place: str) -> NDArray[np.intp]:
        """Slices that show the organ; an error if there are none."""
        if self.organ == "liver":
            shown = np.flatnonzero((self.labels > 0).any(axis=(1, 2)))
        else:
            few = self.volume.values[:, ::4, ::4]
            aerated = ((few > AERATED[0]) & (few < AERATED[1])).mean(axis=(1, 2))
            shown = np.flatnonzero(aerated >= LEAST_AERATED)
        if not len(shown):
            raise ImagingError(f"{place} shows no {self.organ}: is it this task, and in HU?")
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
    numbered, _ = ndimage.label(tumour, np.ones((3, 3, 3)))
    lesions = []
    for number, box in enumerate(ndimage.find_objects(numbered), 1):
        part = numbered[box] == number
        areas = part.sum(axis=(1, 2))
        k = int(areas.argmax())
        diameter = 2 * float(np.sqrt(areas[k] * spacing[1] * spacing[2] / np.pi))
        if diameter >= SMALLEST:
            row, column = ndimage.center_of_mass(part[k])
            centre = (row + box[1].start, column + box[2].start)
            lesions.append(_Lesion(box[0].start + k, centre, diameter))
    return lesions


def _from_volume(scan: _Scan, place: str, rng: np.random.Generator) -> _Found:
    """Cut the patches out of one volume."""
    slices = scan.slices(place)
    lesions = _components(scan.labels == TUMOUR[scan.organ], scan.volume.spacing_mm)
    patches, lonely = [], 0
    for lesion in lesions:
        image = scan.image(lesion.slice)
        centre = scan.grid.place(lesion.centre, scan.volume, image)
        patches.append(_Patch(scan.grid.patch(image, centre), 1, lesion.diameter))
        deep = ndimage.distance_transform_edt(
            scan.tissue(lesion.slice, image) | scan.tumour(lesion.slice)
        )
        background = _background(scan, slices, lesion.slice, float(deep[tuple(centre)]), rng)
        if background is None:
            lonely += 1
        else:
            patches.append(_Patch(background, 0, np.nan))
    if not lesions:
        background = _background(scan, slices, int(rng.choice(slices)), None, rng)
        if background is not None:
            patches.append(_Patch(background, 0, np.nan))
    return _Found(patches, lonely, scan.volume.spacing_mm)


def _background(
    scan: _Scan,
    slices: NDArray[np.intp],
    level: int,
    depth: float | None,
    rng: np.random.Generator,
) -> Image | None:
    """Cut out a patch without lesion near a slice and depth; None if there is no room for it."""
    for k in slices[np.argsort(np.abs(slices - level), kind="stable")][:SLICES].tolist():
        image, tumour = scan.image(k), scan.tumour(k)
        tissue = scan.tissue(k, image)
        # The filter's window is the patch: index size // 2 is the middle of both.
        room = np.argwhere(
            tissue & ~ndimage.maximum_filter(tumour, scan.grid.size, mode="constant")
        )
        if not len(room):
            continue
        if depth is not None:
            deep = ndimage.distance_transform_edt(tissue | tumour)[tuple(room.T)]
            off = np.abs(deep - depth)
            room = room[off <= max(SAME_DEPTH, off.min())]
        return scan.grid.patch(image, room[rng.integers(len(room))])
    return None


# --- LIDC-IDRI -----------------------------------------------------------------------------------


def lidc_cohort(folder: str | Path, size: int, pixel: float) -> Lesions:
    """Cut the outlined nodules out of LIDC-IDRI; malignant is what radiologists thought.

    Label 1 is a median malignancy of 4 or more, label 0 of 2 or less; what lies between is left
    out. It is opinion, not pathology. A patch is centred on the nodule in the slice of its largest
    outline, at the median of the radiologists. Outlines run just outside a nodule, so diameters
    are about a pixel of the scan too large.

    Outlines of different radiologists are those of one nodule if their centres are no further apart
    than the larger radius, or 3 mm: our choice. pylidc groups by the smallest distance between
    outlines (Hancock and Magnan 2016, doi:10.1117/1.JMI.3.4.044504).

    Parameters
    ----------
    folder : str or Path
        With `LIDC-IDRI-0001/<study>/<series>/*.dcm`, … and the annotations (.xml) anywhere within.
    size : int
        Pixels along a side of a patch.
    pixel : float
        Size of a pixel in mm.

    Returns
    -------
    Lesions
        Patients are "lidc-0001", …: running numbers of the folders.

    Raises
    ------
    ImagingError
        A file cannot be read, or the nodules are of one class; see also `folders.lidc_series`.

    Warns
    -----
    UserWarning
        How many nodules and series are left out, and why.
    """
    grid = _Grid(size, pixel)
    out = {
        "nodules of median malignancy above 2 and below 4": 0,
        "nodules whose slice is missing": 0,
        "series without annotation": 0,
    }
    doubtful, gone, bare = out
    rows: list[tuple[str, Image, int, float, float, int]] = []
    for series in lidc_series(folder):
        out[bare] += series.marks is None
        for nodule in _nodules(series):
            malignancy = float(np.median([mark.malignancy for mark in nodule]))
            if 2 < malignancy < 4:
                out[doubtful] += 1
                continue
            image = _nodule_patch(series, nodule, grid)
            if image is None:
                out[gone] += 1
                continue
            diameter = float(np.median([_diameter(mark, series) for mark in nodule]))
            who = f"lidc-{series.patient:04d}"
            rows.append((who, image, int(malignancy >= 4), diameter, malignancy, len(nodule)))
    left = "; ".join(f"{number} {what}" for what, number in out.items() if number)
    if left:
        warnings.warn(f"LIDC-IDRI, left out: {left}.", stacklevel=2)
    return _lidc_lesions(rows)


def _lidc_lesions(rows: list[tuple[str, Image, int, float, float, int]]) -> Lesions:
    classes = {row[2] for row in rows}
    if len(classes) < 2:
        raise ImagingError(
            f"LIDC-IDRI: {len(rows)} nodules can be used, and they are not of both classes; "
            "more patients are needed."
        )
    patient, x, y, diameter, malignancy, readers = zip(*rows, strict=True)
    table = pd.DataFrame({"diameter_mm": diameter, "malignancy": malignancy, "readers": readers})
    cohort = Cohort("lung (LIDC-IDRI)", np.stack(x), np.array(y, np.int64), np.array(patient))
    return Lesions(cohort, table)


def _diameter(mark: Mark, series: Series) -> float:
    """Diameter in mm of the circle with the area of the largest outline."""
    return 2 * float(np.sqrt(mark.pixels * np.prod(series.spacing) / np.pi))


def _middle(marks: list[Mark], series: Series) -> NDArray[np.float64]:
    """Median height, row and column of some marks, in mm."""
    scale = np.array([1, *series.spacing])
    return np.asarray(np.median([(mark.z, *mark.centre) * scale for mark in marks], axis=0))


def _nodules(series: Series) -> list[list[Mark]]:
    """Group the marks by nodule; a radiologist has at most one mark in each."""
    nodules: list[list[Mark]] = []
    for mark in series.marks or []:
        reach = max(SAME_NODULE, _diameter(mark, series) / 2)
        near = []
        for number, nodule in enumerate(nodules):
            apart = np.linalg.norm(_middle([mark], series) - _middle(nodule, series))
            radius = max(_diameter(other, series) for other in nodule) / 2
            if apart <= max(reach, radius) and mark.reader not in {m.reader for m in nodule}:
                near.append((float(apart), number))
        if near:
            nodules[min(near)[1]].append(mark)
        else:
            nodules.append([mark])
    return nodules


def _nodule_patch(series: Series, nodule: list[Mark], grid: _Grid) -> Image | None:
    """Cut out a nodule; None if its slice is not there."""
    height, row, column = _middle(nodule, series)
    marked = min((mark.z for mark in nodule), key=lambda z: abs(z - height))
    nearest = min(series.files, key=lambda z: abs(z - marked))
    if abs(nearest - marked) > SAME_HEIGHT:
        return None
    why = ""
    try:
        volume = read_dicom(series.files[nearest])
        image = grid.slice(replace(volume, values=np.maximum(volume.hu, LOWEST)))
        centre = (row / series.spacing[0], column / series.spacing[1])
        if not all(0 <= c < n for c, n in zip(centre, volume.values.shape[1:], strict=True)):
            raise ImagingError("An outline lies beside it.")
    except ImagingError as error:
        why = str(error)
    if why:
        raise ImagingError(f"{series.place}: a slice cannot be used. {why}")
    return grid.patch(image, grid.place(centre, volume, image))
