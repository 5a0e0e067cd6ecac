"""Readers' own data: written folders with known lesions, faults in them, and identity."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nibabel.orientations import apply_orientation, axcodes2ornt, ornt_transform
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from medxfer_utils.cohorts import Cohort, split
from medxfer_utils.data import (
    ARRAYS,
    Lesions,
    Volume,
    lesions,
    msd_cohort,
    own_arrays,
    read_lung_and_liver,
    read_nifti,
)
from medxfer_utils.images import ImagingError
from tests.faults import untold

Patch = pytest.MonkeyPatch

MARK = "MUSTERFRAU"  # stands in every name of a file or folder that a hospital may choose
SIZE, PIXEL = 24, 1.0

# --- Written volumes -----------------------------------------------------------------------------

SHAPE = (24, 64, 64)
SPACING = (3.0, 1.5, 1.0)  # mm between slices, rows, columns
LESION_HU = 500.0  # like no tissue here, so that it is seen wherever it is
Ball = tuple[tuple[float, float, float], float]  # centre (slice, row, column) and radius in mm
GRID = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")


def ball(centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    at = [c * s for c, s in zip(centre, SPACING, strict=True)]
    return np.asarray(sum((g - a) ** 2 for g, a in zip(GRID, at, strict=True)) <= radius**2)


def tube(row: float, column: float, radii: tuple[float, float]) -> NDArray[np.bool_]:
    """An ellipse in each slice; centre and half axes in mm."""
    return np.asarray(((GRID[1] - row) / radii[0]) ** 2 + ((GRID[2] - column) / radii[1]) ** 2 <= 1)


def anatomy(organ: str, balls: list[Ball]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """A body in air with a liver or two lungs from front to back, and lesions in it."""
    hu = np.where(tube(48, 32, (44, 30)), 20.0, -1000.0)
    labels = np.zeros(SHAPE, np.uint8)
    if organ == "liver":
        inside = tube(48, 32, (36, 24))
        hu[inside], labels[inside] = 100, 1
    else:
        hu[tube(48, 18, (30, 11)) | tube(48, 46, (30, 11))] = -800
    for centre, radius in balls:
        lesion = ball(centre, radius)
        hu[lesion], labels[lesion] = LESION_HU, lesions.TUMOUR[organ]
    return hu.astype(np.float32), labels


def nifti(path: Path, values: NDArray[Any], axes: str = "RAS", turned: float = 0.0) -> None:
    """Write an array whose axes are "SPL" with others; turned about the body's axis (degrees)."""
    to_axes = ornt_transform(axcodes2ornt("SPL"), axcodes2ornt(axes))
    written = apply_orientation(values, to_axes)
    # The affine of the SPL array towards right, anterior, superior, and of what is written.
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2], affine[3, 3] = SPACING[0], -SPACING[1], -SPACING[2], 1
    angle = np.deg2rad(turned)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine = turn @ affine @ nibabel.orientations.inv_ornt_aff(to_axes, values.shape)
    nibabel.save(nibabel.Nifti1Image(written, affine), path)


def task(
    folder: Path,
    organ: str,
    patients: list[list[Ball]],
    axes: tuple[str, str] = ("RAS", "RAS"),
    turned: float = 0.0,
    change: Callable[[NDArray[Any]], NDArray[Any]] = lambda hu: hu,
) -> Path:
    """Write a task of the Decathlon; `axes` are those of the images and of the masks."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    labels = {"0": "background", "1": "liver", "2": "cancer"}
    if organ == "lung":
        labels = {"0": "background", "1": "cancer"}
    (folder / "dataset.json").write_text(json.dumps({"modality": {"0": "CT"}, "labels": labels}))
    for k, balls in enumerate(patients):
        hu, mask = anatomy(organ, balls)
        nifti(folder / "imagesTr" / f"{MARK}_{k}.nii.gz", change(hu), axes[0], turned)
        nifti(folder / "labelsTr" / f"{MARK}_{k}.nii.gz", mask, axes[1], turned)
    (folder / "imagesTr" / f"._{MARK}_0.nii.gz").write_text("what macOS leaves in archives")
    return folder


# Columns lead to the patient's left: the lungs of `anatomy` are around 18 and 46, livers around 32.
LUNG: list[Ball] = [((8, 28, 18), 6.0)]
LIVER: list[Ball] = [((8, 20, 28), 6.0)]


def positives(found: Lesions) -> NDArray[Any]:
    return np.asarray(found.cohort.x[found.cohort.y == 1])


def negatives(found: Lesions) -> NDArray[Any]:
    return np.asarray(found.cohort.x[found.cohort.y == 0])


def middle(patch: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.argwhere(patch > LESION_HU / 2).mean(axis=0))


@pytest.mark.parametrize(("organ", "balls"), [("lung", LUNG), ("liver", LIVER)])
@pytest.mark.parametrize("pixel", [0.5, 1.0, 2.0])
def test_a_lesion_is_in_the_middle_and_as_large_as_it_was_made(
    tmp_path: Path, organ: str, balls: list[Ball], pixel: float
) -> None:
    found = msd_cohort(task(tmp_path / "t", organ, [balls]), organ, 64, pixel, 0)
    (patch,) = positives(found)
    assert found.cohort.x.shape == (2, 64, 64)
    assert found.cohort.x.dtype == np.float32
    assert patch[32, 32] == LESION_HU
    np.testing.assert_allclose(middle(patch), 32, atol=0.51)
    edge = (LESION_HU + (100 if organ == "liver" else -800)) / 2
    near = np.hypot(*(np.indices(patch.shape) - 32)) * pixel < 9  # up to the chest wall
    # A disc of 6 mm out of pixels of 1.5 × 1 mm is not round.
    assert (near & (patch > edge)).sum() * pixel**2 == pytest.approx(np.pi * 6**2, rel=0.12)
    assert found.diameter_mm[0] == pytest.approx(12, rel=0.06)
    assert np.isnan(found.diameter_mm).tolist() == [False, True]


def test_the_slice_is_the_largest_of_the_lesion(tmp_path: Path) -> None:
    # A cone: its radius grows with the height, and each slice has its own HU.
    hu, mask = anatomy("liver", [])
    for k, radius in enumerate((3, 5, 8, 6), 8):
        here = ball((k, 30, 32), radius) & (np.arange(24) == k)[:, None, None]
        hu[here], mask[here] = 200 + k, 2
    folder = task(tmp_path / "t", "liver", [[]])
    nifti(folder / "imagesTr" / f"{MARK}_0.nii.gz", hu)
    nifti(folder / "labelsTr" / f"{MARK}_0.nii.gz", mask)
    (patch,) = positives(msd_cohort(folder, "liver", SIZE, PIXEL, 0))
    assert patch[12, 12] == 210


@pytest.mark.parametrize("axes", ["LAS", "LPS", "RPI", "SPL", "ARI", "PIR"])
def test_however_a_file_is_turned_the_patches_are_the_same(tmp_path: Path, axes: str) -> None:
    usual = msd_cohort(task(tmp_path / "a", "lung", [LUNG]), "lung", SIZE, PIXEL, 3)
    for name, both in (("b", (axes, axes)), ("c", ("RAS", axes))):
        turned = msd_cohort(task(tmp_path / name, "lung", [LUNG], both), "lung", SIZE, PIXEL, 3)
        np.testing.assert_array_equal(turned.cohort.x, usual.cohort.x)


def test_an_oblique_volume_keeps_its_own_axes(tmp_path: Path) -> None:
    usual = msd_cohort(task(tmp_path / "a", "liver", [LIVER]), "liver", SIZE, PIXEL, 3)
    oblique = task(tmp_path / "b", "liver", [LIVER], ("LPS", "RAS"), turned=12)
    found = msd_cohort(oblique, "liver", SIZE, PIXEL, 3)
    np.testing.assert_allclose(positives(found), positives(usual), atol=1e-2)
    assert negatives(found)[0][12, 12] == pytest.approx(100, abs=1e-2)


def test_voxels_that_share_a_corner_are_one_lesion() -> None:
    tumour = np.zeros((2, 12, 12), bool)
    tumour[0, :6, :6] = tumour[1, 6:, 6:] = True
    (lesion,) = lesions._components(tumour, (3.0, 2.0, 1.0))
    assert (lesion.slice, lesion.centre) == (0, (2.5, 2.5))
    assert lesion.diameter == pytest.approx(2 * np.sqrt(36 * 2 / np.pi))


# Two lesions that touch nothing else, one below 4 mm, and a patient with none.
MANY: list[list[Ball]] = [
    [((6, 20, 25), 5.0), ((6, 45, 38), 4.0), ((16, 30, 30), 1.4)],
    [],
    [((14, 32, 40), 7.0)],
]


def test_counts_labels_and_patients(tmp_path: Path) -> None:
    found = msd_cohort(task(tmp_path / "t", "liver", MANY), "liver", 16, PIXEL, 0)
    assert (
        found.cohort.patient.tolist()
        == ["msd-liver-001"] * 4 + ["msd-liver-002"] + ["msd-liver-003"] * 2
    )
    assert found.cohort.y.tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert found.diameter_mm[found.cohort.y == 1].tolist() == pytest.approx([10, 8, 14], rel=0.08)
    one, two = split(found.cohort, [0.5, 0.5], np.random.default_rng(0))
    assert not set(one.patients) & set(two.patients)


@pytest.mark.parametrize("organ", ["liver", "lung"])
def test_no_background_patch_touches_a_lesion_and_all_lie_in_the_organ(
    tmp_path: Path, organ: str
) -> None:
    balls = [(c, r) for patient in MANY for c, r in patient]
    if organ == "lung":
        balls = [((6, 22, 18), 5.0), ((6, 40, 18), 1.4), ((14, 30, 46), 6.0)]
    folder = task(tmp_path / "t", organ, [balls])
    low, high = (99, 101) if organ == "liver" else (-801, -799)
    for seed in range(8):
        patches = negatives(msd_cohort(folder, organ, 14, PIXEL, seed))
        assert len(patches) == sum(radius > 2 for _, radius in balls)
        assert patches.max() < 101
        # The organ surrounds the middle of a patch (index 14 // 2).
        assert (patches[:, 7, 7] > low).all()
        assert (patches[:, 7, 7] < high).all()


def test_background_lies_as_deep_as_the_lesion(tmp_path: Path) -> None:
    # Values tell the depth under the surface of the liver in mm.
    _, mask = anatomy("liver", [((8, 32, 14), 3.0)])
    far = mask > 0
    deep = np.stack([distance_transform_edt(here, sampling=SPACING[1:]) for here in far])
    assert deep.max() > 20
    folder = task(tmp_path / "t", "liver", [[]])
    nifti(folder / "imagesTr" / f"{MARK}_0.nii.gz", np.where(far, deep, -1000).astype(np.float32))
    nifti(folder / "labelsTr" / f"{MARK}_0.nii.gz", mask)
    truth = float(deep[8, 32, 14])
    depths = []
    for seed in range(12):
        found = msd_cohort(folder, "liver", 12, PIXEL, seed)
        assert positives(found)[0][6, 6] == pytest.approx(truth, abs=1)
        depths.append(float(negatives(found)[0][6, 6]))
    assert np.abs(np.array(depths) - truth).max() < 3.5  # 2 pixels, and the grids
    assert len(set(depths)) > 6


def test_background_is_of_the_same_slice_and_heeds_the_slices_beside_it(tmp_path: Path) -> None:
    # Values tell the slice. Beside the lesion's slice, most of the liver is lesion.
    hu, mask = anatomy("liver", [])
    hu[mask == 1] = (100 + np.arange(24)[:, None, None] + 0 * hu)[mask == 1]
    lesion, beside = np.zeros((2, *SHAPE), bool)
    lesion[12, 13:18, 26:32] = True
    beside[11, 30:62] = beside[13, 30:62] = mask[11, 30:62] == 1
    hu[12, 31:62] += 50 * (mask[12, 31:62] == 1)
    mask[lesion | beside] = 2
    folder = task(tmp_path / "t", "liver", [[]])
    nifti(folder / "imagesTr" / f"{MARK}_0.nii.gz", hu)
    nifti(folder / "labelsTr" / f"{MARK}_0.nii.gz", mask)
    for seed in range(8):
        found = msd_cohort(folder, "liver", 8, PIXEL, seed)
        (small,) = np.flatnonzero(found.diameter_mm < 12)
        assert found.cohort.y[small + 1] == 0
        assert np.unique(found.cohort.x[small + 1]).tolist() == [112]


def test_the_seed_moves_the_background_only(tmp_path: Path) -> None:
    def noisy(hu: NDArray[Any]) -> NDArray[Any]:
        noise = np.random.default_rng(1).normal(0, 10, hu.shape)
        return (hu + noise).astype(np.float32)

    folder = task(tmp_path / "t", "liver", MANY, change=noisy)
    one, again, other = (msd_cohort(folder, "liver", 16, PIXEL, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.cohort.x, again.cohort.x)
    np.testing.assert_array_equal(positives(one), positives(other))
    same = (negatives(one) == negatives(other)).all(axis=(1, 2))
    assert not same.any()


def test_padding_is_no_tissue(tmp_path: Path) -> None:
    def padded(hu: NDArray[Any]) -> NDArray[Any]:
        return np.where(hu == -1000, -3024, hu).astype(np.float32)

    edge: list[Ball] = [((8, 12, 32), 5.0)]
    found = msd_cohort(task(tmp_path / "t", "liver", [edge], change=padded), "liver", 48, 1.0, 0)
    assert found.cohort.x.min() == -1024


def test_only_one_volume_is_in_memory(tmp_path: Path, monkeypatch: Patch) -> None:
    made: list[weakref.ref[Volume]] = []
    alive: list[int] = []
    original = read_nifti

    def spy(path: Path, unit: Any) -> Volume:
        alive.append(sum(ref() is not None for ref in made))
        volume = original(path, unit)
        made.append(weakref.ref(volume))
        return volume

    monkeypatch.setattr(lesions, "read_nifti", spy)
    msd_cohort(task(tmp_path / "t", "liver", [LIVER] * 4), "liver", SIZE, PIXEL, 0)
    assert alive == [0] * 8  # when a mask or an image is opened, none before it is still there


def test_a_lesion_without_room_beside_it_is_counted(tmp_path: Path) -> None:
    column: list[Ball] = [((k, 32, 32), 9.0) for k in range(0, 24, 2)]
    folder = task(tmp_path / "t", "liver", [column])
    with pytest.warns(UserWarning, match="liver: 1 lesions have no background patch"):
        found = msd_cohort(folder, "liver", 80, PIXEL, 0)
    assert found.cohort.y.tolist() == [1]


def test_voxels_of_exactly_one_millimetre_are_worth_a_look(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setitem(globals(), "SPACING", (1.0, 1.0, 1.0))
    with pytest.warns(UserWarning, match="liver: 1 volumes have voxels of 1 x 1 x 1 mm"):
        msd_cohort(task(tmp_path / "t", "liver", [LIVER]), "liver", SIZE, PIXEL, 0)


# --- Faults of the Decathlon ---------------------------------------------------------------------


def second(folder: Path, kind: str) -> Path:
    return folder / kind / f"{MARK}_1.nii.gz"


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def remask(folder: Path, change: Callable[[NDArray[Any]], NDArray[Any]], axes: str = "RAS") -> None:
    nifti(second(folder, "labelsTr"), change(anatomy("liver", LIVER)[1]), axes)


def rescan(folder: Path, change: Callable[[NDArray[Any]], NDArray[Any]]) -> None:
    nifti(second(folder, "imagesTr"), change(anatomy("liver", LIVER)[0]).astype(np.float32))


def moved(folder: Path) -> None:
    """The mask's grid is that of the image, 30 mm away."""
    image: Any = nibabel.load(second(folder, "labelsTr"))
    affine = image.affine.copy()
    affine[0, 3] += 30
    values = np.asarray(image.dataobj)
    nibabel.save(nibabel.Nifti1Image(values, affine), second(folder, "labelsTr"))


def describe(folder: Path, **about: Any) -> None:
    old = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(old | about))


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (shutil.rmtree, r"dataset.json cannot be read \(FileNotFoundError\)"),
    "no list": (lambda f: (f / "dataset.json").write_text("[1, 2"), "JSONDecodeError"),
    "another list": (
        lambda f: (f / "dataset.json").write_text("[1]"),
        "dataset.json cannot be read",
    ),
    "another task": (lambda f: describe(f, labels={"0": "", "1": "spleen"}), "another task"),
    "MR": (lambda f: describe(f, modality={"0": "MRI"}), "another task: CT of the liver"),
    "not unpacked": (lambda f: shutil.rmtree(f / "imagesTr"), "is the archive unpacked"),
    "mask missing": (lambda f: second(f, "labelsTr").unlink(), "Volume 2 of 3 has no mask"),
    "image cut off": (lambda f: cut(second(f, "imagesTr")), "Volume 2 of 3: It cannot be read"),
    "mask cut off": (lambda f: cut(second(f, "labelsTr")), "Volume 2 of 3: It cannot be read"),
    "other shape": (lambda f: remask(f, lambda m: m[:-1]), "Volume 2 of 3: the mask is not on the"),
    "elsewhere": (moved, "Volume 2 of 3: the mask is not on the grid"),
    "third label": (lambda f: remask(f, lambda m: m + (m == 2)), "2 of 3: the mask has labels o"),
    "negative": (lambda f: remask(f, lambda m: m.astype(np.int16) - 1), "labels other than 0 to 2"),
    "NaN mask": (lambda f: remask(f, lambda m: m * np.float32(np.nan)), "labels other than 0 to 2"),
    "fractions": (lambda f: remask(f, lambda m: m * np.float32(0.9)), "the mask holds fractions"),
    "no liver": (lambda f: remask(f, np.zeros_like), "Volume 2 of 3 shows no liver"),
    "grey": (lambda f: rescan(f, lambda h: np.clip(h, 0, 255)), r"3: it has no air \(lowest value 0\)"),
    "stored": (lambda f: rescan(f, lambda h: h + 1024), r"has no air \(lowest value 24\)"),
    "NaN": (lambda f: rescan(f, lambda h: h * np.nan), "Volume 2 of 3: it has NaN or infinite"),
    "mask beside": (
        lambda f: rescan(f, lambda h: np.full_like(h, -900)),
        "the median of the liver is",
    ),
}


def test_each_fault_of_a_task_has_its_own_error_that_names_nobody(tmp_path: Path) -> None:
    whole = task(tmp_path / MARK / "whole", "liver", [LIVER] * 3)

    def damaged(fault: str, damage: Callable[[Path], object]) -> Lesions:
        folder = shutil.copytree(whole, tmp_path / MARK / fault)
        damage(folder)
        return msd_cohort(folder, "liver", SIZE, PIXEL, 0)

    assert untold(FAULTS, damaged, ImagingError, is_silent) == {}


def is_silent(error: BaseException) -> bool:
    return MARK not in str(error) and error.__cause__ is None and error.__context__ is None


def test_the_layout_of_nnu_net_is_the_same_data(tmp_path: Path) -> None:
    usual = msd_cohort(task(tmp_path / "a", "liver", [LIVER]), "liver", SIZE, PIXEL, 0)
    folder = task(tmp_path / "b", "liver", [LIVER])
    (image,) = (folder / "imagesTr").glob(f"{MARK}*")
    image.rename(image.with_name(f"{MARK}_0_0000.nii.gz"))
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "cancer": 2}}
    (folder / "dataset.json").write_text(json.dumps(about), "utf-8-sig")
    found = msd_cohort(folder, "liver", SIZE, PIXEL, 0)
    np.testing.assert_array_equal(found.cohort.x, usual.cohort.x)


def test_volumes_without_any_lesion_are_no_cohort(tmp_path: Path) -> None:
    with pytest.raises(ImagingError, match="None of 2 volumes has a lesion of 4 mm"):
        msd_cohort(task(tmp_path / "t", "liver", [[], [((8, 30, 30), 1.4)]]), "liver", 16, 1.0, 0)


def test_a_thorax_without_lung_is_refused(tmp_path: Path) -> None:
    def solid(hu: NDArray[Any]) -> NDArray[Any]:
        return np.where(hu == -800, 20, hu).astype(np.float32)

    with pytest.raises(ImagingError, match="Volume 1 of 1 shows no lung"):
        msd_cohort(task(tmp_path / "t", "lung", [LUNG], change=solid), "lung", SIZE, PIXEL, 0)


# --- Arrays of the reader's own ------------------------------------------------------------------


def arrays(folder: Path, **other: Any) -> Path:
    """Write four arrays, and others in place of them or beside them."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    given = {
        "lung_images": rng.normal(-700, 200, (6, 8, 8)).clip(-1024),
        "liver_images": rng.normal(60, 40, (4, 8, 8)),
        "lung_labels": np.array([0, 1, 1, 0, 1, 0]),
        "liver_labels": np.array([1, 0, 0, 1]),
    } | other
    for name, values in given.items():
        if values is not None:
            np.save(folder / f"{name}.npy", values, allow_pickle=True)
    return folder


WHO = {"lung_patients": [7, 7, 3, 9, 9, 9], "liver_patients": ["a", "b", "b", "a"]}


@pytest.mark.parametrize(
    "kind", [np.int16, np.float16, np.float32, np.float64, ">i2", ">f4", np.int64]
)
def test_arrays_of_any_real_type_become_cohorts(tmp_path: Path, kind: Any) -> None:
    values = np.random.default_rng(1).normal(-600, 150, (6, 8, 8)).clip(-1000).astype(kind)
    labels = np.array([[0], [1], [1], [0], [1], [0]], dtype=bool)
    folder = arrays(tmp_path / "a", lung_images=values[..., None], lung_labels=labels, **WHO)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lung, liver = own_arrays(folder)
    assert isinstance(lung, Cohort)
    np.testing.assert_array_equal(lung.x, values.astype(np.float32))
    assert lung.x.dtype == np.float32
    assert lung.y.tolist() == [0, 1, 1, 0, 1, 0]
    assert lung.patient.tolist() == [f"lung-000{k}" for k in (2, 2, 1, 3, 3, 3)]
    assert liver.patient.tolist() == [f"liver-000{k}" for k in (1, 2, 2, 1)]


def test_without_patients_each_image_is_one_and_the_risk_is_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="both sides of a split") as heard:
        lung, liver = own_arrays(arrays(tmp_path / "a", lung_patients=WHO["lung_patients"]))
    assert len(heard) == 1
    assert len(lung.patients) == 3
    assert len(liver.patients) == len(liver) == 4


HU = np.random.default_rng(0).normal(-700, 100, (6, 8, 8))
ONES = np.ones((6, 8, 8))
OWN_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "missing": ({"liver_labels": None, "lung_images": None}, "Missing: lung_images.npy, liver_lab"),
    "objects": ({"lung_images": np.array([{}])}, "lung_images.npy holds Python objects"),
    "objects as patients": ({"lung_patients": np.array([None] * 6)}, "holds Python objects"),
    "text": ({"lung_images": np.full((6, 8, 8), "x")}, "has the type <U1"),
    "complex": ({"lung_images": HU * 1j}, "has the type complex128"),
    "flat": ({"lung_images": HU[0]}, r"has the shape \(8, 8\); \(n, h, h\) or"),
    "colour": ({"lung_images": np.stack([HU] * 3, -1)}, r"has the shape \(6, 8, 8, 3\)"),
    "not square": ({"lung_images": HU[:, :4]}, "4 x 8 pixels; they must be square"),
    "no rows": ({"lung_images": HU[:0]}, "lung_images.npy has no rows"),
    "two sizes": (
        {"lung_images": HU[:, :4, :4]},
        "Lung images are 4 x 4 pixels and liver images 8",
    ),
    "NaN": ({"lung_images": np.where(np.eye(8), np.nan, HU)}, "NaN or infinite"),
    "infinite": ({"lung_images": np.where(np.eye(8), np.inf, HU)}, "put -1000 HU, air"),
    "window": ({"lung_images": np.clip(HU + 700, 0, 1)}, "from 0 to 1: grey values after a window"),
    "picture": ({"lung_images": (HU / 5 + 200).clip(0, 255).astype(np.uint8)}, "of a picture"),
    "stored": ({"lung_images": HU + 1400}, "without their intercept. Give HU"),
    "stored liver": ({"liver_images": HU[:4] + 1784}, "stored numbers without their intercept"),
    "padding": ({"lung_images": np.where(np.eye(8), -2000, HU)}, "only padding, make it -1000"),
    "damaged": ({"liver_images": np.where(np.eye(8), 1e300, HU[:4])}, "what any scanner stores"),
    "standardised": ({"lung_images": (HU + 700) / 100}, "seems to be standardised"),
    "liver as lung": ({"lung_images": HU + 750}, "a lung holds air"),
    "constant": ({"lung_images": ONES * -700}, "seems to be standardised"),
    "lengths": ({"lung_labels": [0, 1, 1]}, "'images': 6, 'labels': 3, 'patients': 6"),
    "lengths of patients": ({"lung_patients": [0, 1, 1]}, "'labels': 6, 'patients': 3"),
    "labels 1 and 2": ({"lung_labels": [1, 2, 1, 2, 1, 2]}, "must hold 0 and 1 only"),
    "labels NaN": ({"lung_labels": [1, np.nan, 1, 0, 1, 0]}, "must hold 0 and 1 only"),
    "one class": ({"lung_labels": [1] * 6}, "holds the class 1 only"),
    "one-hot": ({"lung_labels": np.eye(6)}, "lung_labels.npy has 2 dimensions"),
    "patients as fractions": ({"lung_patients": np.arange(6.0)}, "lung_patients.npy has the type"),
    "shared": (
        {"lung_patients": [1, 2, 3, 4, 5, 6], "liver_patients": ["6", "7", "5", "8"]},
        "2 patient identifiers are in both",
    ),
}


@pytest.mark.filterwarnings("ignore:.*patients.npy is missing")
def test_each_fault_of_own_arrays_has_its_own_error(tmp_path: Path) -> None:
    def damaged(fault: str, other: dict[str, Any]) -> object:
        return own_arrays(arrays(tmp_path / MARK / fault, **other))

    assert untold(OWN_FAULTS, damaged, ImagingError, is_silent) == {}


class Trap:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_pickles_are_refused_and_not_run(tmp_path: Path) -> None:
    folder, trap = arrays_without_warning(arrays(tmp_path / "a")), Trap(tmp_path / "ran")
    path = folder / "liver_labels.npy"
    with path.open("wb") as file:
        np.lib.format.write_array(file, np.array([trap]), allow_pickle=True)
    with pytest.raises(ImagingError, match=r"liver_labels\.npy holds Python objects"):
        own_arrays(folder)
    path.write_bytes(pickle.dumps(trap))
    with pytest.raises(ImagingError, match=r"liver_labels\.npy holds Python objects"):
        own_arrays(folder)
    assert not trap.path.exists()
    np.load(folder / "liver_labels.npy", allow_pickle=True)
    assert trap.path.exists()  # the trap works


def test_an_archive_under_another_name_is_refused(tmp_path: Path) -> None:
    folder = arrays_without_warning(arrays(tmp_path / "a"))
    np.savez(tmp_path / "z.npz", a=np.arange(4))
    shutil.copy(tmp_path / "z.npz", folder / "liver_labels.npy")
    with pytest.raises(ImagingError, match=r"liver_labels\.npy is an \.npz archive"):
        own_arrays(folder)


def arrays_without_warning(folder: Path) -> Path:
    for name, values in WHO.items():
        np.save(folder / f"{name}.npy", np.array(values))
    return folder


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_array_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    folder = arrays_without_warning(arrays(tmp_path / MARK))
    path = folder / data.draw(st.sampled_from(ARRAYS))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(bytes(content[: data.draw(st.integers(0, len(content)))]))
    said = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            lung, liver = own_arrays(folder)
            assert lung.x.shape[1:] == liver.x.shape[1:]
            assert np.isfinite(lung.x).all()
        except ImagingError as error:
            said = str(error)
    assert MARK not in said


# --- The front door ------------------------------------------------------------------------------


def test_own_arrays_come_before_all_else(tmp_path: Path) -> None:
    folder = arrays_without_warning(arrays(tmp_path / "a"))
    task(folder / "Task03_Liver", "liver", [LIVER])
    lung, liver = read_lung_and_liver(folder, 99, 9.0, 0)
    assert (lung.name, liver.name, lung.x.shape) == ("lung (own)", "liver (own)", (6, 8, 8))
    (folder / "lung_labels.npy").unlink()  # one that is missing is said to be missing
    with pytest.raises(ImagingError, match=r"Missing: lung_labels\.npy\. The folder needs"):
        read_lung_and_liver(folder, 99, 9.0, 0)


def test_two_tasks_of_the_decathlon(tmp_path: Path) -> None:
    task(tmp_path / "Task06_Lung", "lung", [LUNG] * 2)
    task(tmp_path / "Task03_Liver", "liver", MANY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lung, liver = read_lung_and_liver(str(tmp_path), 16, PIXEL, 0)
    assert (lung.name, liver.name) == ("lung (Decathlon)", "liver (Decathlon)")
    assert (lung.x.shape, liver.x.shape) == ((4, 16, 16), (7, 16, 16))


def test_patches_that_are_kept_are_arrays_of_ones_own(tmp_path: Path) -> None:
    task(tmp_path / "Task06_Lung", "lung", [LUNG] * 2)
    task(tmp_path / "Task03_Liver", "liver", MANY)
    made = read_lung_and_liver(tmp_path, 16, PIXEL, 0)
    (tmp_path / "kept").mkdir()
    for cohort, organ in zip(made, ("lung", "liver"), strict=True):
        np.save(tmp_path / "kept" / f"{organ}_images.npy", cohort.x)
        np.save(tmp_path / "kept" / f"{organ}_labels.npy", cohort.y)
        np.save(tmp_path / "kept" / f"{organ}_patients.npy", cohort.patient)
    for kept, cohort in zip(
        read_lung_and_liver(tmp_path / "kept", 16, PIXEL, 0), made, strict=True
    ):
        np.testing.assert_array_equal(kept.x, cohort.x)
        np.testing.assert_array_equal(kept.y, cohort.y)
        number = [np.unique(c.patient, return_inverse=True)[1] for c in (kept, cohort)]
        np.testing.assert_array_equal(*number)


def test_another_layout_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    layouts = {"": "Task06_Lung and Task03_Liver is", "Task03_Liver": "Task06_Lung is missing"}
    for there, words in (layouts | {"Task06_Lung": "Task03_Liver is missing"}).items():
        (tmp_path / MARK / there / there).mkdir(parents=True)
        with pytest.raises(ImagingError, match=words) as failed:
            read_lung_and_liver(tmp_path / MARK / there, SIZE, PIXEL, 0)
        assert all(name in str(failed.value) for name in (*ARRAYS, "Task03_Liver", "Task06_Lung"))
        assert is_silent(failed.value)
