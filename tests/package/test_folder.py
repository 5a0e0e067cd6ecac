"""A reader's folder of images, and near copies among images."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from medxfer_utils import images
from medxfer_utils.data import DataError, breast_ultrasound, chest_xrays, image_folder
from medxfer_utils.data import folder as folder_module

# isort: split
import keras

rng = np.random.default_rng(0)


def dicom(path: Path, pixels: np.ndarray, kind: str = "MONOCHROME2") -> None:
    """Write a grey DICOM image with a window from 100 to 300."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.Rows, file.Columns = pixels.shape
    file.BitsAllocated = file.BitsStored = 16
    file.HighBit, file.PixelRepresentation, file.SamplesPerPixel = 15, 0, 1
    file.PhotometricInterpretation = kind
    file.WindowCenter, file.WindowWidth = 200, 200
    file.PixelData = pixels.astype("uint16").tobytes()
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
    for name in ("benign/Thumbs.db", "benign/.DS_Store", "Malignant/notes.xml"):
        (root / name).write_text("company")
    rows = ["file,patient", "a 张.PNG,x", "b.jpeg,x", "c.DCM,y", "d.dcm,z"]
    (root / "patients.csv").write_text("\ufeff" + "\n".join(rows), "utf-8")
    return root


def test_a_folder_is_read_whole_in_grey_with_its_proportions(folder: Path) -> None:
    with pytest.warns(UserWarning, match="1 files that are no images"):
        found = image_folder(folder, 32)
    # Capital letters sort first.
    assert found.y.tolist() == [1, 1, 0, 0]
    assert found.patient.tolist() == [1, 2, 0, 0]
    assert (found.x.shape, found.x.dtype) == ((4, 32, 32), np.uint8)
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
    (lambda f: [p.unlink() for p in (f / "benign").glob("[ab]*")], "Class 2 of 2 holds no image"),
    (lambda f: (f / "benign" / "b.jpeg").write_bytes(b"\xff\xd8\xff cut"), "Image 4 of 4"),
    (lambda f: (f / "Malignant" / "c.DCM").write_bytes(b"no"), "Image 1 of 4.*InvalidDicomError"),
    (lambda f: (f / "patients.csv").write_text("a,b\n1,2\n"), "needs the columns file and"),
    (lambda f: (f / "patients.csv").write_text("file,patient\nb.jpeg,x\n"), "for 3 of 4 images"),
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


def test_a_reader_s_patients_are_in_one_part_each_and_both_classes_in_every(
    tmp_path: Path,
) -> None:
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
