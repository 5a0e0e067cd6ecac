"""A reader's folder of images, and near copies among images."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medxfer_utils import chapter, images
from medxfer_utils.data import DataError, breast_ultrasound, chest_xrays, image_folder
from medxfer_utils.data import folder as folder_module

# isort: split
import keras

rng = np.random.default_rng(0)


def dicom(path: Path, pixels: np.ndarray, kind: str = "MONOCHROME2", **told: object) -> None:
    """Write a DICOM image with a window from 100 to 300, or what else is told."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.Rows, file.Columns = pixels.shape[:2]
    depth = 8 if kind == "RGB" else 16
    file.BitsAllocated = file.BitsStored = depth
    file.HighBit, file.PixelRepresentation = depth - 1, int(pixels.min() < 0)
    file.SamplesPerPixel, file.PlanarConfiguration = (3, 0) if kind == "RGB" else (1, None)
    file.PhotometricInterpretation = kind
    file.WindowCenter, file.WindowWidth = 200, 200
    for name, value in told.items():
        setattr(file, name, value)
    number = f"{'int' if pixels.min() < 0 else 'uint'}{depth}"
    file.PixelData = pixels.astype(number).tobytes()
    file.save_as(path, enforce_file_format=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes with spaces and Chinese in names; PNG, JPEG in colour, DICOM, and company."""
    root = tmp_path / "my images 图"
    (root / "benign").mkdir(parents=True)
    (root / "Malignant").mkdir()
    tall = np.zeros((40, 20), np.uint8)
    tall[10:30] = 200
    Image.fromarray(tall).save(root / "benign" / "a 张.PNG")
    Image.fromarray(np.full((30, 30, 3), 90, np.uint8)).save(root / "benign" / "b.jpeg")
    ramp = np.tile(np.linspace(0, 400, 64), (64, 1))
    dicom(root / "Malignant" / "c.DCM", ramp)
    dicom(root / "Malignant" / "d.dcm", ramp, "MONOCHROME1")
    for name in ("benign/Thumbs.db", "benign/.DS_Store", "Malignant/notes.txt"):
        (root / name).write_text("company")
    rows = ["file,patient", "a 张.PNG,x", "b.jpeg,x", "c.DCM,y", "d.dcm,z"]
    (root / "patients.csv").write_text("\ufeff" + "\n".join(rows), "utf-8")
    return root


def test_a_folder_is_read_whole_in_grey_with_its_proportions(folder: Path) -> None:
    with pytest.warns(UserWarning, match="Class 1 of 2, files left out: 1 that are no"):
        found = image_folder(folder, 32)
    # Capital letters sort first.
    assert found.y.tolist() == [1, 1, 0, 0]
    assert found.patient.tolist() == [1, 2, 0, 0]
    assert found.x.shape == (4, 32, 32)
    assert found.x.dtype == np.uint8
    ramp, turned, tall, grey = found.x
    assert (ramp[0, 0], ramp[0, -1]) == (0, 255), "values beyond the window are cut"
    assert np.all(np.diff(ramp[0].astype(int)) >= 0)
    np.testing.assert_allclose(ramp.astype(int) + turned, 255, atol=1)
    assert set(tall[:, :7].ravel()) == {0}, "black beside an image that is narrow"
    assert tall[16, 16] == 200
    np.testing.assert_allclose(grey, 90, atol=1)


Break = Callable[[Path], object]
FAULTS: list[tuple[Break, str]] = [
    (lambda f: shutil.rmtree(f), "a folder with 0 folders in it"),
    (lambda f: shutil.rmtree(f / "benign"), "with 1 folders in it, 1 of them called malignant"),
    (lambda f: (f / "Malignant").rename(f / "cancer"), "2 folders in it, 0 of them called"),
    (lambda f: (f / "other").mkdir(), "3 folders"),
    (lambda f: [*map(Path.unlink, (f / "benign").glob("[ab]*"))], "Class 2 of 2 holds no image"),
    (
        lambda f: [p.write_bytes(b"no") for p in (f / "Malignant").glob("*.[dD]*")],
        "Class 1 of 2 holds no image .* 2 damaged or empty",
    ),
    (lambda f: (f / "patients.csv").write_text("a,b\n1,2\n"), "needs the columns file and"),
    (lambda f: (f / "patients.csv").write_text("file,patient\nb.jpeg,x\n"), "for 3 of 4 images"),
    (lambda f: (f / "patients.csv").write_text("file,patient\na.png,ä", "latin-1"), "not in UTF-8"),
    (lambda f: (f / "patients.csv").write_text("file,patient\na.png,x", "utf-16"), "not in UTF-8"),
    (lambda f: (f / "patients.csv").write_text(""), "is empty"),
    (lambda f: (f / "Malignant" / "c.DCM").rename(f / "Malignant" / "b.jpeg"), "for 2 of 4.*two"),
    (
        lambda f: (f / "patients.csv").open("a").write("\nb.jpeg,other"),
        "several, for 1 of 4 images",
    ),
]


def test_what_is_wrong_with_a_folder_is_said_and_no_file_is_named(
    folder: Path, tmp_path: Path
) -> None:
    for number, (breaking, words) in enumerate(FAULTS):
        broken = tmp_path / f"broken {number}"
        shutil.copytree(folder, broken)
        breaking(broken)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(DataError, match=words) as raised:
                image_folder(broken, 16)
        assert not [n for n in ("a 张", "b.jpeg", "c.DCM") if n in str(raised.value)], words


def only(root: Path, **made: Callable[[Path], object]) -> Path:
    """A folder of the disease with a black picture, and another with what is made in it."""
    for name in ("ill", "other"):
        (root / name).mkdir(parents=True)
        Image.fromarray(np.zeros((40, 40), np.uint8)).save(root / name / "0.png")
    for name, make in made.items():
        make(root / "other" / name.replace("__", "."))
    return root


RAMP = np.tile(np.linspace(0, 1, 40), (40, 1))
SHADES = np.rint(255 * RAMP[0]).astype(int)
CT: dict[str, Any] = {"RescaleSlope": 1, "RescaleIntercept": -1024, "Modality": "CT"}
PADDED = 1000 + 1000 * RAMP  # HU, or anything else
PADDED[:5] = -20000
COLOURS = np.repeat(np.rint(255 * RAMP)[..., None], 3, axis=2)
DEPTHS: list[tuple[str, Callable[[Path], object]]] = [
    ("16 bits", lambda p: Image.fromarray((65535 * RAMP).astype(np.uint16)).save(p, "PNG")),
    ("12 in 16", lambda p: Image.fromarray((4095 * RAMP).astype(np.uint16)).save(p, "PNG")),
    ("float", lambda p: Image.fromarray(RAMP.astype(np.float32)).save(p, "TIFF")),
    ("HU", lambda p: dicom(p, 1124 + 200 * RAMP, **CT)),
    ("no window", lambda p: dicom(p, 4000 * RAMP, WindowCenter=None, WindowWidth=None)),
    (
        "small",
        lambda p: dicom(
            p,
            4000 * RAMP,
            WindowCenter=None,
            WindowWidth=None,
            RescaleSlope="0.0001",
            RescaleIntercept=0,
        ),
    ),
    ("colour", lambda p: dicom(p, COLOURS, "RGB")),
    ("said", lambda p: dicom(p, PADDED, WindowWidth=None, PixelPaddingValue=-20000)),
    (
        "unsaid",
        lambda p: dicom(
            p, PADDED, WindowWidth=None, Modality="CT", RescaleSlope=1, RescaleIntercept=0
        ),
    ),
]


@pytest.mark.parametrize(("kind", "write"), DEPTHS, ids=[kind for kind, _ in DEPTHS])
@pytest.mark.filterwarnings("ignore:Without")
def test_each_depth_runs_from_black_to_white(kind: str, write: Break, tmp_path: Path) -> None:
    name = {"16 bits": "1__png", "12 in 16": "1__png", "float": "1__tif"}.get(kind, "IM0001")
    x = image_folder(only(tmp_path, **{name: write}), 40).x[2]
    np.testing.assert_allclose(x[20].astype(int), SHADES, atol=2)
    if "said" in kind:
        assert set(x[:5].ravel()) == {0}, "padding is black"


@pytest.mark.filterwarnings("ignore:Without")
def test_an_image_inside_its_window_is_not_stretched(tmp_path: Path) -> None:
    root = only(tmp_path, one__dcm=lambda p: dicom(p, 150 + 100 * RAMP))
    x = image_folder(root, 40).x[2]
    assert (int(x.min()), int(x.max())) == pytest.approx((64, 191), abs=2)


@pytest.mark.filterwarnings("ignore:Without")
def test_photographs_stand_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    picture = Image.fromarray((255 * RAMP).astype(np.uint8))
    x = image_folder(only(tmp_path, turned__png=lambda p: picture.save(p, exif=exif)), 40).x[2]
    np.testing.assert_array_equal(x[:, 0], (255 * RAMP[0]).astype(np.uint8))


@pytest.mark.filterwarnings("ignore:Without")
def test_what_is_no_single_sound_image_is_left_out_and_counted(tmp_path: Path) -> None:
    picture = Image.fromarray(np.zeros((40, 40), np.uint8))
    many = np.zeros((40, 40, 2))
    root = only(
        tmp_path,
        a_mask__png=picture.save,
        a_mask_1__PNG=picture.save,
        pages__tif=lambda p: picture.save(p, save_all=True, append_images=[picture]),
        cine__dcm=lambda p: dicom(p, many, NumberOfFrames=2),
        empty__png=lambda p: p.write_bytes(b""),
        cut__jpeg=lambda p: p.write_bytes(b"\xff\xd8\xff cut"),
        nan__tif=lambda p: Image.fromarray(np.full((9, 9), np.nan, np.float32)).save(p),
        notes__txt=lambda p: p.write_text("company"),
        list__xml=lambda p: p.write_text("company"),
    )
    reportless = root / "other" / "report"
    dicom(reportless, many[..., 0])
    file = pydicom.dcmread(reportless)
    del file.PixelData
    file.save_as(reportless)
    for name in ("__MACOSX", ".ipynb_checkpoints", "other/.ipynb_checkpoints"):
        (root / name).mkdir(exist_ok=True)
        picture.save(root / name / "0.png")
    with pytest.warns(UserWarning, match="Class 2 of 2") as told:
        assert image_folder(root, 16).y.tolist() == [1, 0]
    words = str(told[0].message)
    for part in (
        "2 that are masks",
        "2 with several frames or pages",
        "2 damaged or empty, or for want of a decoder: UnidentifiedImageError",
        "1 with values that are NaN",
        "1 of DICOM without an image",
        "1 that are no images",
    ):
        assert part in words, words


TABLES = {
    "patients.csv": "file,patient\nill/0.png,x\nother/0.png,x",
    "Patients.CSV": "File; Patient\nill\\0.PNG; x \n./other/0.png;x",
    "PATIENTS.csv": "\ufefffile\tpatient\tage\nill/0.png\tx\t7\nother/0.png\tx\t8",
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_of_patients_are_read_as_spreadsheets_write_them(name: str, tmp_path: Path) -> None:
    only(tmp_path)
    (tmp_path / name).write_text(TABLES[name], "utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_folder(tmp_path, 16).patient.tolist() == [0, 0]


@pytest.mark.filterwarnings("ignore:Without")
def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    only(tmp_path / "mine")
    chapter.start("fast", 0, "~/mine")
    assert len(image_folder("~/mine", 16).x) == 2


def test_a_set_is_fitted_image_by_image_and_never_as_one() -> None:
    pictures = rng.integers(0, 256, (5, 30, 20), np.uint8)
    whole = images.grey_squares(pictures, 30)
    assert whole.shape == (5, 30, 30)
    np.testing.assert_array_equal(whole[:, :, 5:25], pictures)
    assert not whole[:, :, :5].any()
    shaded = pictures[0][..., None] * np.ones(3, np.uint8)
    np.testing.assert_array_equal(images.grey_squares([shaded, shaded[..., :1]], 30), whole[[0, 0]])
    for wrong in ([pictures], pictures[0], shaded):
        with pytest.raises(images.ImagingError, match="one picture alone goes in as"):
            images.grey_squares(wrong, 30)
    with pytest.raises(images.ImagingError, match="are NaN"):
        images.grey_squares([np.full((9, 9), np.nan)], 30)


@pytest.mark.filterwarnings("ignore:Class")
def test_without_patients_each_image_is_one_and_a_warning_says_so(folder: Path) -> None:
    (folder / "patients.csv").unlink()
    with pytest.warns(UserWarning, match="a patient of its own"):
        assert image_folder(folder, 16).patient.tolist() == [0, 1, 2, 3]


def squares(root: Path, number: int, shade: int) -> None:
    """Write two images each of some patients of two classes, and who they are."""
    rows = ["file,patient"]
    for k, name in enumerate(("benign 良性", "malignant")):
        (root / name).mkdir(parents=True)
        for i in range(2 * number):
            picture = rng.integers(0, 100, (40, 40)) + shade * k
            Image.fromarray(picture.astype(np.uint8)).save(root / name / f"{k} {i:03d} 图.png")
            rows.append(f"{k} {i:03d} 图.png,{k} {i // 2}")
    (root / "patients.csv").write_text("\n".join(rows), "utf-8")


def test_a_reader_s_patients_are_in_one_part_each_and_both_classes_in_every(tmp_path: Path) -> None:
    squares(tmp_path / "many", 15, 50)
    found = breast_ultrasound(str(tmp_path / "many"), 32)
    for name, share in {"train": 0.6, "val": 0.2, "test": 0.2}.items():
        inside = found.part == name
        assert inside.mean() == pytest.approx(share, abs=0.05)
        assert found.y[inside].mean() == pytest.approx(0.5, abs=0.1)
        assert not {*found.patient[inside]} & {*found.patient[~inside]}
    squares(tmp_path / "few", 9, 50)
    with pytest.raises(DataError, match=r"9 patients with the disease and 9 .* 10 of each"):
        breast_ultrasound(str(tmp_path / "few"), 32)


def test_keras_reads_the_same_from_a_folder(tmp_path: Path) -> None:
    squares(tmp_path, 3, 50)
    ours = image_folder(tmp_path, 40)
    told = {"color_mode": "grayscale", "image_size": (40, 40), "shuffle": False, "verbose": False}
    theirs = keras.utils.image_dataset_from_directory(tmp_path, batch_size=12, **told)
    (x, y), *_ = theirs.as_numpy_iterator()
    np.testing.assert_array_equal(ours.x[..., None], x)
    np.testing.assert_array_equal(ours.y, y)


def test_near_copies_are_found_through_others_and_nothing_else() -> None:
    one, other, third = np.kron(rng.random((3, 6, 6)), np.ones((10, 10)))
    marked = one.copy()
    marked[20:22, 20:22] = 1.5  # callipers
    again = 3 * marked + 50 + rng.normal(0, 0.1, marked.shape)  # another gain, some noise
    assert images.near_copies([one, other, marked, third, again]).tolist() == [0, 1, 0, 2, 0]
    both = [[one, np.ones((60, 60))], [one, np.full((60, 60), np.nan)]]
    for faulty, words in zip(both, ("image 1 has one grey value", "are NaN"), strict=True):
        with pytest.raises(ValueError, match=words):
            images.near_copies(faulty)
    with pytest.raises(ValueError, match="between 0 and 1, not 93"):
        images.near_copies([one, other], threshold=93)


def test_an_xray_that_is_there_twice_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    x = rng.integers(0, 255, (12, 28, 28)).astype(np.uint8)
    x[7] = x[1]  # in the first part and in the second
    parts = [SimpleNamespace(x=x[k : k + 4], y=np.arange(4) % 2) for k in (0, 4, 8)]
    whole = SimpleNamespace(**dict(zip(("train", "val", "test"), parts, strict=True)))
    monkeypatch.setattr(folder_module, "medmnist", lambda *_, **__: whole)
    found = chest_xrays()
    np.testing.assert_array_equal(found.x, np.delete(x, 7, axis=0))
    assert found.part.tolist() == ["train"] * 4 + ["val"] * 3 + ["test"] * 4
    assert len(np.unique(found.patient)) == 11
