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
from tests.package import scan_files
from tests.package.scan_files import MARK

Patch = pytest.MonkeyPatch
Array = NDArray[Any]

# --- Written volumes -----------------------------------------------------------------------------

SHAPE = (24, 64, 64)
SPACING = (3.0, 1.5, 1.0)  # mm between slices, rows, columns
LESION_HU = 500.0  # like no tissue here, so that it is seen wherever it is
Ball = tuple[tuple[float, float, float], float]  # centre (slice, row, column) and radius in mm
GRID = np.meshgrid(*(np.arange(n) * s for n, s in zip(SHAPE, SPACING, strict=True)), indexing="ij")
# Columns lead to the patient's left: the lungs of `anatomy` are around 18 and 46, livers around 32.
LUNG: list[Ball] = [((8, 28, 18), 6.0)]
LIVER: list[Ball] = [((8, 20, 28), 6.0)]
# Two lesions that touch nothing else, one below 4 mm, and a patient with none.
MANY: list[list[Ball]] = [
    [((6, 20, 25), 5.0), ((6, 45, 38), 4.0), ((16, 30, 30), 1.4)],
    [],
    [((14, 32, 40), 7.0)],
]


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


def nifti(path: Path, values: Array, axes: str = "RAS", turned: float = 0.0) -> None:
    scan_files.nifti(path, values, SPACING, axes, turned)


def put(folder: Path, k: int, hu: Array | None = None, mask: Array | None = None) -> Path:
    """Put other values in the place of a volume or of its mask."""
    for kind, values in (("imagesTr", hu), ("labelsTr", mask)):
        if values is not None:
            nifti(folder / kind / f"{MARK}_{k}.nii.gz", values)
    return folder


def task(
    folder: Path,
    organ: str,
    patients: list[list[Ball]],
    axes: tuple[str, str] = ("RAS", "RAS"),
    turned: float = 0.0,
    change: Callable[[Array], Array] = lambda hu: hu,
) -> Path:
    """Write a task of the Decathlon; `axes` are those of the images and of the masks."""
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    named = ["background", "liver", "cancer"] if organ == "liver" else ["background", "cancer"]
    about = {"modality": {"0": "CT"}, "labels": {str(k): name for k, name in enumerate(named)}}
    (folder / "dataset.json").write_text(json.dumps(about))
    for k, balls in enumerate(patients):
        hu, mask = anatomy(organ, balls)
        nifti(folder / "imagesTr" / f"{MARK}_{k}.nii.gz", change(hu), axes[0], turned)
        nifti(folder / "labelsTr" / f"{MARK}_{k}.nii.gz", mask, axes[1], turned)
    (folder / "imagesTr" / f"._{MARK}_0.nii.gz").write_text("what macOS leaves in archives")
    return folder


def cut_out(folder: Path, organ: str = "liver", size: int = 24, seed: int = 0) -> Lesions:
    return msd_cohort(folder, organ, size, 1.0, seed)


def patches(found: Lesions, y: int) -> Array:
    return np.asarray(found.cohort.x[found.cohort.y == y])


def test_a_lesion_is_in_the_middle_and_as_large_as_it_was_made(tmp_path: Path) -> None:
    for organ, balls, tissue in (("lung", LUNG, -800), ("liver", LIVER, 100)):
        folder = task(tmp_path / organ, organ, [balls])
        for pixel in (0.5, 1.0, 2.0):
            found = msd_cohort(folder, organ, 64, pixel, 0)
            (patch,) = patches(found, 1)
            assert (found.cohort.x.shape, patch.dtype) == ((2, 64, 64), np.float32)
            assert patch[32, 32] == LESION_HU
            np.testing.assert_allclose(
                np.argwhere(patch > LESION_HU / 2).mean(axis=0), 32, atol=0.51
            )
            near = np.hypot(*(np.indices(patch.shape) - 32)) * pixel < 9  # up to the chest wall
            area = (near & (patch > (LESION_HU + tissue) / 2)).sum() * pixel**2
            # A disc of 6 mm out of pixels of 1.5 × 1 mm is not round.
            assert area == pytest.approx(np.pi * 6**2, rel=0.12)
            assert found.diameter_mm[0] == pytest.approx(12, rel=0.06)
            assert np.isnan(found.diameter_mm).tolist() == [False, True]


def test_a_lesion_is_what_shares_a_corner_and_is_shown_in_its_largest_slice(tmp_path: Path) -> None:
    tumour = np.zeros((2, 12, 12), bool)
    tumour[0, :6, :6] = tumour[1, 6:, 6:] = True
    (lesion,) = lesions._components(tumour, (3.0, 2.0, 1.0))
    assert (lesion.slice, lesion.centre) == (0, (2.5, 2.5))
    assert lesion.diameter == pytest.approx(2 * np.sqrt(36 * 2 / np.pi))
    hu, mask = anatomy("liver", [])  # a cone; each slice has its own HU
    for k, radius in enumerate((3, 5, 8, 6), 8):
        here = ball((k, 30, 32), radius) & (np.arange(24) == k)[:, None, None]
        hu[here], mask[here] = 200 + k, 2
    (patch,) = patches(cut_out(put(task(tmp_path / "t", "liver", [[]]), 0, hu, mask)), 1)
    assert patch[12, 12] == 210


def test_however_a_file_is_turned_the_patches_are_the_same(tmp_path: Path) -> None:
    usual = cut_out(task(tmp_path / "a", "lung", [LUNG]), "lung", seed=3)
    for axes in ("LAS", "LPS", "RPI", "SPL", "ARI", "PIR"):
        for both in ((axes, axes), ("RAS", axes)):
            folder = task(tmp_path / "-".join(both), "lung", [LUNG], both)
            np.testing.assert_array_equal(cut_out(folder, "lung", seed=3).cohort.x, usual.cohort.x)
    # An oblique volume keeps its own axes.
    straight = cut_out(task(tmp_path / "straight", "liver", [LIVER]))
    oblique = cut_out(task(tmp_path / "oblique", "liver", [LIVER], ("LPS", "RAS"), turned=12))
    np.testing.assert_allclose(patches(oblique, 1), patches(straight, 1), atol=1e-2)
    assert patches(oblique, 0)[0][12, 12] == pytest.approx(100, abs=1e-2)


def test_counts_labels_patients_and_what_the_seed_moves(tmp_path: Path) -> None:
    def noisy(hu: Array) -> Array:
        noise = np.random.default_rng(1).normal(0, 10, hu.shape)
        return (hu + noise).astype(np.float32)

    folder = task(tmp_path / "t", "liver", MANY, change=noisy)
    one, again, other = (cut_out(folder, size=16, seed=seed) for seed in (1, 1, 2))
    owners = [1, 1, 1, 1, 2, 3, 3]
    assert one.cohort.patient.tolist() == [f"msd-liver-00{k}" for k in owners]
    assert one.cohort.y.tolist() == [1, 0, 1, 0, 0, 1, 0]
    assert one.diameter_mm[one.cohort.y == 1].tolist() == pytest.approx([10, 8, 14], rel=0.08)
    half, rest = split(one.cohort, [0.5, 0.5], np.random.default_rng(0))
    assert not set(half.patients) & set(rest.patients)
    np.testing.assert_array_equal(one.cohort.x, again.cohort.x)
    np.testing.assert_array_equal(patches(one, 1), patches(other, 1))
    assert not (patches(one, 0) == patches(other, 0)).all(axis=(1, 2)).any()


def test_no_background_patch_touches_a_lesion_and_all_lie_in_the_organ(tmp_path: Path) -> None:
    of_liver = [each for patient in MANY for each in patient]
    of_lung: list[Ball] = [((6, 22, 18), 5.0), ((6, 40, 18), 1.4), ((14, 30, 46), 6.0)]
    for organ, balls, tissue in (("liver", of_liver, 100), ("lung", of_lung, -800)):
        folder = task(tmp_path / organ, organ, [balls])
        for seed in range(8):
            background = patches(cut_out(folder, organ, 14, seed), 0)
            assert len(background) == sum(radius > 2 for _, radius in balls)
            assert background.max() < 101
            # The organ surrounds the middle of a patch (index 14 // 2).
            assert np.abs(background[:, 7, 7] - tissue).max() < 1


def test_background_lies_as_deep_as_the_lesion(tmp_path: Path) -> None:
    # Values tell the depth under the surface of the liver in mm.
    _, mask = anatomy("liver", [((8, 32, 14), 3.0)])
    deep = np.stack([distance_transform_edt(here, sampling=SPACING[1:]) for here in mask > 0])
    assert deep.max() > 20
    hu = np.where(mask > 0, deep, -1000).astype(np.float32)
    folder = put(task(tmp_path / "t", "liver", [[]]), 0, hu, mask)
    found = [cut_out(folder, size=12, seed=seed) for seed in range(12)]
    truth = float(deep[8, 32, 14])
    lesion, depths = (np.array([patches(each, y)[0][6, 6] for each in found]) for y in (1, 0))
    assert np.abs(lesion - truth).max() < 1
    assert np.abs(depths - truth).max() < 3.5  # 2 pixels, and the grids
    assert len({*depths.tolist()}) > 6


def test_background_is_of_the_same_slice_and_heeds_the_slices_beside_it(tmp_path: Path) -> None:
    # Values tell the slice. Beside the lesion's slice, most of the liver is lesion.
    hu, mask = anatomy("liver", [])
    hu[mask == 1] = (100 + np.arange(24)[:, None, None] + 0 * hu)[mask == 1]
    lesion, beside = np.zeros((2, *SHAPE), bool)
    lesion[12, 13:18, 26:32] = True
    beside[11, 30:62] = beside[13, 30:62] = mask[11, 30:62] == 1
    hu[12, 31:62] += 50 * (mask[12, 31:62] == 1)
    mask[lesion | beside] = 2
    folder = put(task(tmp_path / "t", "liver", [[]]), 0, hu, mask)
    for seed in range(8):
        found = cut_out(folder, size=8, seed=seed)
        (small,) = np.flatnonzero(found.diameter_mm < 12)
        assert found.cohort.y[small + 1] == 0
        assert np.unique(found.cohort.x[small + 1]).tolist() == [112]


def test_only_one_volume_is_in_memory(tmp_path: Path, monkeypatch: Patch) -> None:
    made: list[weakref.ref[Volume]] = []
    alive: list[int] = []

    def spy(path: Path, unit: Any) -> Volume:
        alive.append(sum(ref() is not None for ref in made))
        volume = read_nifti(path, unit)
        made.append(weakref.ref(volume))
        return volume

    monkeypatch.setattr(lesions, "read_nifti", spy)
    cut_out(task(tmp_path / "t", "liver", [LIVER] * 4))
    assert alive == [0] * 8  # when a mask or an image is opened, none before it is still there


def test_what_is_worth_a_look_is_counted_and_padding_is_no_tissue(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    column: list[Ball] = [((k, 32, 32), 9.0) for k in range(0, 24, 2)]
    with pytest.warns(UserWarning, match="liver: 1 lesions have no background patch"):
        found = cut_out(task(tmp_path / "full", "liver", [column]), size=80)
    assert found.cohort.y.tolist() == [1]
    edge: list[Ball] = [((8, 12, 32), 5.0)]
    pad = lambda hu: np.where(hu == -1000, -3024, hu).astype(np.float32)  # noqa: E731
    padded = cut_out(task(tmp_path / "padded", "liver", [edge], change=pad), size=48)
    assert padded.cohort.x.min() == -1024
    monkeypatch.setitem(globals(), "SPACING", (1.0, 1.0, 1.0))
    with pytest.warns(UserWarning, match="liver: 1 volumes have voxels of 1 x 1 x 1 mm"):
        cut_out(task(tmp_path / "lost", "liver", [LIVER]))


# --- Faults of the Decathlon ---------------------------------------------------------------------


Damage = Callable[[Path], object]


def second(folder: Path, kind: str) -> Path:
    return folder / kind / f"{MARK}_1.nii.gz"


def cut(kind: str) -> Damage:
    return lambda f: second(f, kind).write_bytes(second(f, kind).read_bytes()[:-40])


def remask(change: Callable[[Array], Array]) -> Damage:
    return lambda f: put(f, 1, mask=change(anatomy("liver", LIVER)[1]))


def rescan(change: Callable[[Array], Array]) -> Damage:
    return lambda f: put(f, 1, hu=change(anatomy("liver", LIVER)[0]).astype(np.float32))


def moved(folder: Path) -> None:
    """The mask's grid is that of the image, 30 mm away."""
    image: Any = nibabel.load(second(folder, "labelsTr"))
    affine, values = image.affine.copy(), np.asarray(image.dataobj)
    affine[0, 3] += 30
    nibabel.save(nibabel.Nifti1Image(values, affine), second(folder, "labelsTr"))


def describe(**about: Any) -> Damage:
    def act(folder: Path) -> None:
        old = json.loads((folder / "dataset.json").read_text())
        (folder / "dataset.json").write_text(json.dumps(old | about))

    return act


def list_of(text: str) -> Damage:
    return lambda f: (f / "dataset.json").write_text(text)


FAULTS: dict[str, tuple[Damage, str]] = {
    "nothing": (shutil.rmtree, r"dataset.json cannot be read \(FileNotFoundError\)"),
    "no list": (list_of("[1, 2"), "JSONDecodeError"),
    "another list": (list_of("[1]"), "dataset.json cannot be read"),
    "another task": (describe(labels={"0": "", "1": "spleen"}), "another task"),
    "MR": (describe(modality={"0": "MRI"}), "another task: CT of the liver"),
    "not unpacked": (lambda f: shutil.rmtree(f / "imagesTr"), "is the archive unpacked"),
    "mask missing": (lambda f: second(f, "labelsTr").unlink(), "Volume 2 of 3 has no mask"),
    "image cut off": (cut("imagesTr"), "Volume 2 of 3: It cannot be read"),
    "mask cut off": (cut("labelsTr"), "Volume 2 of 3: It cannot be read"),
    "other shape": (remask(lambda m: m[:-1]), "Volume 2 of 3: the mask is not on the"),
    "elsewhere": (moved, "Volume 2 of 3: the mask is not on the grid"),
    "third label": (remask(lambda m: m + (m == 2)), "2 of 3: the mask has labels o"),
    "negative": (remask(lambda m: m.astype(np.int16) - 1), "labels other than 0 to 2"),
    "NaN mask": (remask(lambda m: m * np.float32(np.nan)), "labels other than 0 to 2"),
    "fractions": (remask(lambda m: m * np.float32(0.9)), "the mask holds fractions"),
    "no liver": (remask(np.zeros_like), "Volume 2 of 3 shows no liver"),
    "grey": (rescan(lambda h: np.clip(h, 0, 255)), r"3: it has no air \(lowest value 0\)"),
    "stored": (rescan(lambda h: h + 1024), r"has no air \(lowest value 24\)"),
    "NaN": (rescan(lambda h: h * np.nan), "Volume 2 of 3: it has NaN or infinite"),
    "mask beside": (rescan(lambda h: np.full_like(h, -900)), "the median of the liver is"),
}


def is_silent(error: BaseException) -> bool:
    return MARK not in str(error) and error.__cause__ is None and error.__context__ is None


def test_each_fault_of_a_task_has_its_own_error_that_names_nobody(tmp_path: Path) -> None:
    whole = task(tmp_path / MARK / "whole", "liver", [LIVER] * 3)

    def damaged(fault: str, damage: Damage) -> Lesions:
        folder = shutil.copytree(whole, tmp_path / MARK / fault)
        damage(folder)
        return cut_out(folder)

    assert untold(FAULTS, damaged, ImagingError, is_silent) == {}
    none = task(tmp_path / "none", "liver", [[], [((8, 30, 30), 1.4)]])
    solid = lambda hu: np.where(hu == -800, 20, hu).astype(np.float32)  # noqa: E731
    thorax = task(tmp_path / "solid", "lung", [LUNG], change=solid)
    useless = {
        "liver": (none, "None of 2 volumes has a lesion of 4 mm"),
        "lung": (thorax, "Volume 1 of 1 shows no lung"),
    }
    assert untold(useless, lambda organ, at: cut_out(at, organ), ImagingError) == {}


def test_the_layout_of_nnu_net_is_the_same_data(tmp_path: Path) -> None:
    usual = cut_out(task(tmp_path / "a", "liver", [LIVER]))
    folder = task(tmp_path / "b", "liver", [LIVER])
    (image,) = (folder / "imagesTr").glob(f"{MARK}*")
    image.rename(image.with_name(f"{MARK}_0_0000.nii.gz"))
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "cancer": 2}}
    (folder / "dataset.json").write_text(json.dumps(about), "utf-8-sig")
    np.testing.assert_array_equal(cut_out(folder).cohort.x, usual.cohort.x)


# --- Arrays of the reader's own ------------------------------------------------------------------

WHO = {"lung_patients": [7, 7, 3, 9, 9, 9], "liver_patients": ["a", "b", "b", "a"]}


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


def test_arrays_of_any_real_type_become_cohorts(tmp_path: Path) -> None:
    images = np.random.default_rng(1).normal(-600, 150, (6, 8, 8)).clip(-1000)
    labels = np.array([[0], [1], [1], [0], [1], [0]], dtype=bool)
    for kind in (np.int16, np.float16, np.float32, np.float64, ">i2", ">f4", np.int64):
        values = images.astype(kind)
        arrays(tmp_path, lung_images=values[..., None], lung_labels=labels, **WHO)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            lung, liver = own_arrays(tmp_path)
        np.testing.assert_array_equal(lung.x, values.astype(np.float32))
        assert (type(lung), str(lung.x.dtype), lung.y.tolist()) == (
            Cohort,
            "float32",
            [0, 1, 1, 0, 1, 0],
        )
        assert lung.patient.tolist() == [f"lung-000{k}" for k in (2, 2, 1, 3, 3, 3)]
        assert liver.patient.tolist() == [f"liver-000{k}" for k in (1, 2, 2, 1)]
    (tmp_path / "liver_patients.npy").unlink()  # each image is then a patient, and the risk is said
    with pytest.warns(UserWarning, match="both sides of a split") as heard:
        lung, liver = own_arrays(tmp_path)
    assert (len(heard), len(lung.patients), len(liver.patients)) == (1, 3, len(liver))


HU = np.random.default_rng(0).normal(-700, 100, (6, 8, 8))
EYE = np.eye(8)
# What the images of lung, or of liver, are made of, and what must be said.
LUNG_FAULTS: dict[str, tuple[Any, str]] = {
    "objects": (np.array([{}]), "lung_images.npy holds Python objects"),
    "text": (np.full((6, 8, 8), "x"), "has the type <U1"),
    "complex": (HU * 1j, "has the type complex128"),
    "flat": (HU[0], r"has the shape \(8, 8\); \(n, h, h\) or"),
    "colour": (np.stack([HU] * 3, -1), r"has the shape \(6, 8, 8, 3\)"),
    "not square": (HU[:, :4], "4 x 8 pixels; they must be square"),
    "no rows": (HU[:0], "lung_images.npy has no rows"),
    "two sizes": (HU[:, :4, :4], "Lung images are 4 x 4 pixels and liver images 8"),
    "NaN": (np.where(EYE, np.nan, HU), "NaN or infinite"),
    "infinite": (np.where(EYE, np.inf, HU), "put -1000 HU, air"),
    "window": (np.clip(HU + 700, 0, 1), "from 0 to 1: grey values after a window"),
    "picture": ((HU / 5 + 200).clip(0, 255).astype(np.uint8), "of a picture"),
    "stored": (HU + 1400, "without their intercept. Give HU"),
    "padding": (np.where(EYE, -2000, HU), "only padding, make it -1000"),
    "standardised": ((HU + 700) / 100, "seems to be standardised"),
    "liver as lung": (HU + 750, "a lung holds air"),
    "constant": (np.full((6, 8, 8), -700), "seems to be standardised"),
}
OWN_FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    **{name: ({"lung_images": images}, words) for name, (images, words) in LUNG_FAULTS.items()},
    "missing": ({"liver_labels": None, "lung_images": None}, "Missing: lung_images.npy, liver_lab"),
    "objects as patients": ({"lung_patients": np.array([None] * 6)}, r"objects.*\.astype\(str\)"),
    "a gap": ({"lung_patients": [1.0, 2, 3, 4, 5, np.nan]}, "has the type float64.*see astype"),
    "stored liver": ({"liver_images": HU[:4] + 1784}, "stored numbers without their intercept"),
    "damaged": ({"liver_images": np.where(EYE, 1e300, HU[:4])}, "what any scanner stores"),
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


def test_pickles_are_refused_and_not_run_and_an_archive_is_no_array(tmp_path: Path) -> None:
    folder, trap = arrays(tmp_path / "a", **WHO), Trap(tmp_path / "ran")
    path = folder / "liver_labels.npy"
    np.save(tmp_path / "trap.npy", np.array([trap]), allow_pickle=True)
    np.savez(tmp_path / "z.npz", a=np.arange(4))
    for content, what in (
        (pickle.dumps(trap), "holds Python objects"),
        ((tmp_path / "z.npz").read_bytes(), r"is an \.npz archive"),
        ((tmp_path / "trap.npy").read_bytes(), "holds Python objects"),
    ):
        path.write_bytes(content)
        with pytest.raises(ImagingError, match=rf"liver_labels\.npy {what}"):
            own_arrays(folder)
    assert not trap.path.exists()
    np.load(path, allow_pickle=True)
    assert trap.path.exists()  # the trap works


@given(data=st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_array_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    folder = arrays(tmp_path / MARK, **WHO)
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
    folder = arrays(tmp_path / "a", **WHO)
    task(folder / "Task03_Liver", "liver", [LIVER])
    lung, liver = read_lung_and_liver(folder, 99, 9.0, 0)
    assert (lung.name, liver.name, lung.x.shape) == ("lung (own)", "liver (own)", (6, 8, 8))
    (folder / "lung_labels.npy").unlink()  # one that is missing is said to be missing
    with pytest.raises(ImagingError, match=r"Missing: lung_labels\.npy\. The folder needs"):
        read_lung_and_liver(folder, 99, 9.0, 0)


def test_two_tasks_of_the_decathlon_and_patches_of_them_that_are_kept(tmp_path: Path) -> None:
    task(tmp_path / "Task06_Lung", "lung", [LUNG] * 2)
    task(tmp_path / "Task03_Liver", "liver", MANY)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = read_lung_and_liver(str(tmp_path), 16, 1.0, 0)
    assert [cohort.name for cohort in made] == ["lung (Decathlon)", "liver (Decathlon)"]
    assert [cohort.x.shape for cohort in made] == [(4, 16, 16), (7, 16, 16)]
    (tmp_path / "kept").mkdir()
    for cohort, organ in zip(made, ("lung", "liver"), strict=True):
        for name, values in (
            ("images", cohort.x),
            ("labels", cohort.y),
            ("patients", cohort.patient),
        ):
            np.save(tmp_path / "kept" / f"{organ}_{name}.npy", values)
    kept = read_lung_and_liver(tmp_path / "kept", 16, 1.0, 0)
    for own, cohort in zip(kept, made, strict=True):
        np.testing.assert_array_equal(own.x, cohort.x)
        np.testing.assert_array_equal(own.y, cohort.y)
        number = [np.unique(c.patient, return_inverse=True)[1] for c in (own, cohort)]
        np.testing.assert_array_equal(*number)


def test_another_layout_is_refused_with_what_was_looked_for(tmp_path: Path) -> None:
    layouts = {
        "": ("", "Task06_Lung and Task03_Liver is missing"),
        "Task03_Liver": ("Task03_Liver", "of which Task06_Lung is missing"),
        "Task06_Lung": ("Task06_Lung", "of which Task03_Liver is missing"),
    }

    def read(name: str, there: str) -> object:
        (tmp_path / MARK / f"with {name}" / there).mkdir(parents=True)
        return read_lung_and_liver(tmp_path / MARK / f"with {name}", 24, 1.0, 0)

    def helps(error: Exception) -> bool:
        return all(name in str(error) for name in (*ARRAYS, *lesions.TASKS)) and is_silent(error)

    assert untold(layouts, read, ImagingError, helps) == {}
