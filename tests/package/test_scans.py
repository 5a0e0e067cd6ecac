"""Reading scans: written files with known truth, the libraries' own files, faults, and identity."""

from __future__ import annotations

import gzip
import itertools
import logging
import pickle
import traceback
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from skimage.transform import resize

from medxfer_utils.data import Volume, read_dicom, read_nifti, resample, scans
from medxfer_utils.images import AIR, ImagingError
from tests.faults import untold
from tests.package.scan_files import MARK, nifti, save

Patch = pytest.MonkeyPatch
Make = Callable[[Path], Path]
Array = np.ndarray[Any, Any]

SERIES, OTHER_SERIES = generate_uid(entropy_srcs=["a"]), generate_uid(entropy_srcs=["b"])
AXIAL = [1, 0, 0, 0, 1, 0]
STORED = np.arange(20, dtype=np.uint16).reshape(4, 5)
HU = 2.0 * STORED[None] - 1000


def write(path: Path, pixels: Any = STORED, **elements: Any) -> Path:
    """Write one slice of an axial CT with a rescale; an element that is None is left out."""
    pixels, bits = np.asarray(pixels), 8 * np.asarray(pixels).itemsize
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = UID(elements.pop("syntax", ExplicitVRLittleEndian))
    data = Dataset()
    data.file_meta = meta
    raw = pixels.tobytes()
    given = {
        **{"SOPClassUID": CTImageStorage, "Modality": "CT", "SeriesInstanceUID": SERIES},
        **{"SOPInstanceUID": meta.MediaStorageSOPInstanceUID, "SamplesPerPixel": 1},
        **{"PhotometricInterpretation": "MONOCHROME2", "ImageOrientationPatient": AXIAL},
        **{"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1},
        **{"PixelRepresentation": int(pixels.dtype.kind == "i")},
        **{"Rows": pixels.shape[-2], "Columns": pixels.shape[-1]},
        **{"PixelSpacing": [0.5, 0.75], "SliceThickness": 3, "ImagePositionPatient": [0, 0, 0]},
        **{"RescaleSlope": 2, "RescaleIntercept": -1000},
        **{"PixelData": encapsulate([raw]) if meta.TransferSyntaxUID.is_compressed else raw},
    } | elements
    for name, value in given.items():
        if isinstance(value, tuple):  # with its type
            data.add_new(Tag(name), *value)
        elif value is not None:
            setattr(data, name, value)
    data.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, places: list[float], **elements: Any) -> Path:
    """Write slices at these heights in mm, named in another order; each holds its own height."""
    folder.mkdir(parents=True)
    for k, place in enumerate(places):
        value = np.full((4, 5), 1000 + place * 10, np.uint16)
        about = {"ImagePositionPatient": [0, 0, place], "RescaleSlope": 1} | elements
        write(folder / f"{(7 * k) % len(places)}.dcm", value, **about)
    return folder


def group(name: str, **elements: Any) -> Dataset:
    """A functional group of an enhanced file."""
    inner, outer = Dataset(), Dataset()
    for element, value in elements.items():
        setattr(inner, element, value)
    setattr(outer, name, [inner])
    return outer


def enhanced(path: Path, heights: list[float], kind: str = "HU", way: Any = AXIAL) -> Path:
    """Write an enhanced CT: frames in one file, geometry and rescale in functional groups."""
    pixels = np.stack([np.full((4, 5), 100 * k, np.uint16) for k in range(len(heights))])
    gone = ["PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"]
    none = dict.fromkeys([*gone, "RescaleSlope", "RescaleIntercept"])
    write(path, pixels, NumberOfFrames=len(heights), SOPClassUID=EnhancedCTImageStorage, **none)
    data = pydicom.dcmread(path)
    shared = group("PixelMeasuresSequence", PixelSpacing=[0.4, 0.6], SliceThickness=9)
    shared.update(group("PlaneOrientationSequence", ImageOrientationPatient=way))
    frames = []
    for k, height in enumerate(heights):
        frame = group("PlanePositionSequence", ImagePositionPatient=[0, 0, height])
        scale = {"RescaleSlope": 1, "RescaleIntercept": -1000 - k}  # a different one in each frame
        frame.update(group("PixelValueTransformationSequence", RescaleType=kind, **scale))
        frames.append(frame)
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    data.save_as(path, enforce_file_format=True)
    return path


def bundled(name: str) -> Path:
    """A file that comes with pydicom."""
    return Path(str(get_testdata_file(name, download=False)))


# --- What the numbers mean, and where they lie ---------------------------------------------------


def test_rescale_gives_hounsfield_units_and_spacing(tmp_path: Path) -> None:
    volume = read_dicom(write(tmp_path / "a"))
    np.testing.assert_array_equal(volume.hu, HU)
    assert volume.spacing_mm == (3.0, 0.5, 0.75)  # rows are 0.5 mm apart, columns 0.75
    assert (volume.axes, str(volume.hu.dtype)) == ("SPL", "float32")
    bare = write(tmp_path / "b", PixelSpacing=None)
    assert read_dicom(bare, pixel_mm=(0.1, 0.2)).spacing_mm[1:] == (0.1, 0.2)
    assert read_dicom(tmp_path / "a", pixel_mm=(9, 9)).spacing_mm[1:] == (0.5, 0.75)
    pixels = np.array([[-2000, 40], [41, 42]], np.int16)
    plain = {"RescaleSlope": 1, "RescaleIntercept": 0}
    for padding in (("SS", -2000), ("US", 63536)):  # the same bits
        padded = read_dicom(write(tmp_path / "a", pixels, **plain, PixelPaddingValue=padding))
        assert padded.hu[0].tolist() == [[AIR, 40], [41, 42]]


def test_padding_is_a_range_of_stored_numbers_that_any_slice_may_tell(tmp_path: Path) -> None:
    pixels = np.array([[-3024, -2500], [-2000, 40]], np.int16)
    plain = {"RescaleSlope": 1, "RescaleIntercept": 0}
    for ends in ((("SS", -3024), ("SS", -2000)), (("US", 63536), ("US", 62512))):
        told = dict(zip(("PixelPaddingValue", "PixelPaddingRangeLimit"), ends, strict=True))
        about = write(tmp_path / "a", pixels, **plain, **told)
        assert read_dicom(about).hu[0].tolist() == [[AIR, AIR], [AIR, 40]]
    for k in range(2):  # in the second slice only
        at = {"ImagePositionPatient": [0, 0, k], "PixelPaddingValue": ("SS", -2000) if k else None}
        (tmp_path / "s").mkdir(exist_ok=True)
        write(tmp_path / "s" / str(k), pixels, **plain, **at)
    assert read_dicom(tmp_path / "s").hu[:, 1].tolist() == [[AIR, 40]] * 2
    # Grey values have no air.
    grey = read_dicom(write(tmp_path / "a", pixels, **plain, **told, Modality="MR"))
    assert grey.values[0].tolist() == pixels.tolist()


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("bits", [12, 16])
def test_monochrome1_looks_as_monochrome2_does(tmp_path: Path, kind: type, bits: int) -> None:
    low = -(2 ** (bits - 1)) if kind is np.int16 else 0
    bright: Any = np.array([[low, low + 1], [low + 2**bits - 2, low + 2**bits - 1]], kind)
    about = {"Modality": "DX", "BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": None}
    about |= {"ImageOrientationPatient": None, "ImagePositionPatient": None}  # as of an X-ray
    usual = read_dicom(write(tmp_path / "2", bright, **about))
    dark, inverse = bright[::-1, ::-1], {"PhotometricInterpretation": "MONOCHROME1"}
    turned = read_dicom(write(tmp_path / "1", dark, **about, **inverse))
    np.testing.assert_array_equal(turned.values, usual.values)
    assert (usual.unit, usual.axes) == ("grey", "")
    np.testing.assert_array_equal(read_dicom(write(tmp_path / "ct", **inverse)).hu, HU)


def test_grey_values_cannot_be_taken_for_hounsfield_units(tmp_path: Path) -> None:
    # "US" is a map of perfusion, for one (PS3.3 C.11.1.1.2).
    kinds: tuple[dict[str, Any], ...] = (
        *({"Modality": "MR"}, {"RescaleType": "US"}, {"RescaleType": "Z_EFF"}),
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},  # a scout, with a rescale as if in HU
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "RescaleSlope": None},
        {"SOPClassUID": SecondaryCaptureImageStorage},  # a picture of a screen
    )
    grey = [read_dicom(write(tmp_path / "a", **about)) for about in kinds]
    grey.append(read_dicom(enhanced(tmp_path / "b", [4, 0, 2], "US")))
    faults = {str(k): (volume, "not Hounsfield units") for k, volume in enumerate(grey)}
    assert untold(faults, lambda _, volume: volume.hu, ImagingError) == {}
    assert read_dicom(write(tmp_path / "c", RescaleType="HU")).unit == "HU"


def test_the_libraries_files_agree_with_the_library() -> None:
    data = pydicom.dcmread(bundled("CT_small.dcm"))
    volume = read_dicom(str(bundled("CT_small.dcm")))
    np.testing.assert_allclose(volume.hu[0], apply_modality_lut(data.pixel_array, data))
    assert volume.spacing_mm == pytest.approx((5.0, 0.661468, 0.661468))
    folder = bundled("CT_small.dcm").parent / "dicomdirtests" / "98892001" / "CT5N"
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files.sort(key=lambda data: float(data.ImagePositionPatient[2]))
    expected = [apply_modality_lut(data.pixel_array, data) for data in files]
    np.testing.assert_allclose(read_dicom(folder).hu, expected)
    assert read_dicom(folder).spacing_mm[0] == pytest.approx(2.5)
    one = read_dicom(bundled("MR_small.dcm")).values  # in every encoding
    for other in ("RLE", "bigendian", "implicit", "expb", "padded", "jpeg_ls_lossless"):
        np.testing.assert_array_equal(read_dicom(bundled(f"MR_small_{other}.dcm")).values, one)


def test_slices_are_sorted_by_where_they_lie_and_axes_named_by_where_they_lead(
    tmp_path: Path,
) -> None:
    heights = [12.5, -5, 0, 2.5, -2.5, 5, 10, 7.5]
    volume = read_dicom(series(tmp_path / "s", heights))
    np.testing.assert_allclose(volume.hu[:, 0, 0], 10 * np.sort(heights), atol=1e-4)
    assert volume.spacing_mm == (2.5, 0.5, 0.75)  # of positions, not the thickness of 3
    # Axial; coronal; sagittal; axial seen from the head.
    ways = {"SPL": AXIAL, "PIL": [1, 0, 0, 0, 0, -1], "RIP": [0, 1, 0, 0, 0, -1]}
    for axes, way in (ways | {"IPR": [-1, 0, 0, 0, 1, 0]}).items():
        assert read_dicom(write(tmp_path / "a", ImageOrientationPatient=way)).axes == axes
    # The frames of an enhanced file have their own place and scale.
    volume = read_dicom(enhanced(tmp_path / "e", [4, 0, 2]))
    assert volume.hu[:, 0, 0].tolist() == [100 - 1001, 200 - 1002, -1000]
    assert (volume.spacing_mm, volume.axes) == ((2.0, 0.4, 0.6), "SPL")


def test_positions_that_were_rounded_are_even_and_what_is_no_slice_is_passed_over(
    tmp_path: Path,
) -> None:
    for step, digits in ((0.625, 2), (1.25, 1)):
        folder = series(tmp_path / str(step), [round(step * k, digits) for k in range(8)])
        for name in ("DICOMDIR", ".hidden", "Thumbs.db", "desktop.ini", "069.xml"):
            (folder / name).write_text("no image")
        medium = pydicom.dcmread(folder / "0.dcm")
        del medium.PixelData
        medium.SOPClassUID = MediaStorageDirectoryStorage
        medium.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
        medium.save_as(folder / "DIRFILE")
        volume = read_dicom(folder)
        assert volume.spacing_mm[0] == pytest.approx(step, abs=0.01)
        assert volume.hu.shape == (8, 4, 5)
        (folder / "4.dcm").unlink()
        with pytest.raises(ImagingError, match="one is missing"):
            read_dicom(folder)


def tilted(degrees: float) -> dict[str, Any]:
    """Directions of slices that lean on the table, which moves along the body."""
    angle = np.deg2rad(degrees)
    return {"ImageOrientationPatient": [1, 0, 0, 0, np.cos(angle).item(), -np.sin(angle).item()]}


def oblique(n: int, digits: int) -> tuple[list[float], Array]:
    """Directions and places of slices every 0.7 mm, turned about the first axis; rounded."""
    face, normal = [0, np.cos(0.5), np.sin(0.5)], np.array([0, -np.sin(0.5), np.cos(0.5)])
    places = np.round(np.arange(n)[:, None] * 0.7 * normal + 100, digits)
    return [1, 0, 0, *np.round(face, digits + 1).tolist()], places


@pytest.mark.parametrize(("n", "digits"), [(3, 1), (10, 1), (10, 2), (10, 6)])
def test_what_is_the_same_but_for_rounding_is_the_same(tmp_path: Path, n: int, digits: int) -> None:
    # Directions written to eight digits, sizes of pixels with and without the last.
    face, places = oblique(n, digits)
    for k, place in enumerate(places.tolist()):
        way = (np.array(face) + (k % 2) * 3e-8).tolist()
        about = {"ImagePositionPatient": place, "ImageOrientationPatient": way}
        pixel = [0.703125 + 1e-7 * k] * 2
        write(tmp_path / str(k), np.full((2, 2), k, np.uint16), **about, PixelSpacing=pixel)
    volume = read_dicom(tmp_path)
    assert volume.hu[:, 0, 0].tolist() == [2 * k - 1000 for k in range(n)]
    assert volume.spacing_mm == pytest.approx((0.7, 0.703125, 0.703125), abs=0.05)


def test_an_element_that_is_there_but_empty_is_not_there(tmp_path: Path) -> None:
    for name, kind in {"SliceThickness": "DS", "FrameOfReferenceUID": "UI"}.items():
        volume = read_dicom(write(tmp_path / "a", **{name: (kind, None)}))
        np.testing.assert_array_equal(volume.hu, HU)
    nowhere = {"ImageOrientationPatient": ("DS", None), "ImagePositionPatient": ("DS", None)}
    assert read_dicom(write(tmp_path / "a", **nowhere)).axes == ""
    for between, apart in ((0, 3.0), (-4, 4.0)):  # unknown is sometimes 0, downwards negative
        about = {"SpacingBetweenSlices": between}
        assert read_dicom(write(tmp_path / "a", **about)).spacing_mm[0] == apart


def test_what_is_left_out_of_a_folder_is_told(tmp_path: Path) -> None:
    whole = read_dicom(series(tmp_path / "whole", [0, 1, 2]))
    scout: dict[str, Any] = {
        "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"],
        "SeriesInstanceUID": OTHER_SERIES,
    }
    scout |= {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    again: dict[str, Any] = {
        "ImagePositionPatient": [0, 0, 1],
        "RescaleSlope": 1,
        "InstanceNumber": 9,
    }
    added: dict[str, tuple[Callable[[Path], object], str]] = {
        "1x.txt": (text, "Left out: File 3 of 4 is not DICOM"),
        "sr": (written(lambda _: bundled("reportsi.dcm").read_bytes()), "File 4 of 4 holds no ima"),
        "scout": (partial(write, **scout), "1 of 4 images, which are scouts"),
        "x": (partial(write, **again), "1 of 4 slices, which lie where another does"),
    }
    for name, (make, words) in added.items():
        folder = series(tmp_path / f"with {name}", [0, 1, 2], InstanceNumber=3)
        make(folder / name)
        with pytest.warns(UserWarning, match=words):
            volume = read_dicom(folder)
        np.testing.assert_array_equal(volume.hu, whole.hu)
        assert volume.spacing_mm == whole.spacing_mm
    # The lesser InstanceNumber stays, whatever the files are called.
    (tmp_path / "y").mkdir()
    for k, number in enumerate((2, 1, 3)):
        at = {"ImagePositionPatient": [0, 0, k // 2], "InstanceNumber": number}
        write(tmp_path / "y" / str(k), STORED + k, **at)
    with pytest.warns(UserWarning, match="1 of 3 slices"):
        np.testing.assert_array_equal(read_dicom(tmp_path / "y").hu[0], 2.0 * STORED + 2 - 1000)


# --- Faults --------------------------------------------------------------------------------------


def one(**elements: Any) -> Make:
    return lambda path: write(path, **elements)


def several(places: list[float], **elements: Any) -> Make:
    return lambda path: series(path, places, **elements)


def theirs(name: str) -> Make:
    return lambda _: bundled(name)


def beside(name: str, make: Callable[[Path], object]) -> Make:
    return lambda folder: (make(series(folder, [0, 1, 2]) / name), folder)[1]


def mixed(**elements: Any) -> Make:
    about = {"ImagePositionPatient": [0, 0, 3], "RescaleSlope": 1} | elements
    return beside("x", lambda path: write(path, **about))


def written(content: Callable[[Path], bytes], ending: str = "") -> Make:
    """Write what something else has written, changed."""

    def act(path: Path) -> Path:
        made = content(path)
        path = path.with_name(path.name + ending)
        path.write_bytes(made)
        return path

    return act


def empty(folder: Path) -> Path:
    folder.mkdir()
    (folder / ".hidden").touch()
    return folder


TEXT = b"Ceci n'est pas une image." * 20
text = written(lambda path: TEXT)
FAULTS: dict[str, tuple[Make, str]] = {
    "not there": (lambda path: path, "File 1 of 1 is not there"),
    "text": (text, "is not DICOM"),
    "no meta header": (theirs("no_meta.dcm"), "is not DICOM"),
    "empty folder": (empty, "holds no file"),
    "a study": (lambda path: series(path / "s", [0, 1]).parent, "holds folders only"),
    "report": (theirs("reportsi.dcm"), "holds no image"),
    "waveform": (theirs("waveform_ecg.dcm"), "holds no image"),
    "colour": (theirs("SC_rgb_small_odd.dcm"), "is in colour"),
    "palette": (theirs("examples_palette.dcm"), "is in colour"),
    "no decoder": (one(syntax="1.2.840.10008.1.2.4.201"), "no decoder is installed .pylibjpeg"),
    "cut off": (written(lambda path: write(path).read_bytes()[:-10]), "cut off"),
    "cut off, the library's": (theirs("MR_truncated.dcm"), "cut off"),
    "no slope": (one(RescaleSlope=None), "without rescale slope"),
    "slope 0": (one(RescaleSlope=0), "without rescale slope"),
    "no intercept": (one(RescaleIntercept=None), "without rescale slope"),
    "no spacing": (one(PixelSpacing=None), "pass pixel_mm"),
    "one spacing": (one(PixelSpacing=[1]), "pass pixel_mm"),
    "spacing zero": (one(PixelSpacing=[0, 1]), "pass pixel_mm"),
    "two series": (mixed(SeriesInstanceUID=OTHER_SERIES), "differ in SeriesInstanceUID"),
    "two frames of reference": (mixed(FrameOfReferenceUID="1.2"), "differ in FrameOfReference"),
    "two modalities": (mixed(Modality="PT"), "differ in Modality"),
    "a scout": (mixed(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "in ImageOrientationPatient"),
    "two spacings": (mixed(PixelSpacing=[1, 1]), "differ in PixelSpacing"),
    "two sizes": (mixed(pixels=STORED[:3]), "differ in Rows"),
    "all double": (several([1, 1]), "Most slices are there more than once"),
    "two phases": (several([0, 1, 0, 1]), "divide them by AcquisitionNumber"),
    "two units": (mixed(RescaleType="US"), "differ in what their numbers mean"),
    "gap": (several([0, 1, 2, 4, 5]), r"Slices 3 and 4 are 2\.00 mm apart, others 1\.00 mm"),
    "uneven": (several([0, 1, 2.2, 3.2, 4.2]), "Slices 2 and 3 are 1.20 mm apart"),
    "tilted": (several([0, 2.5, 5, 7.5], **tilted(18)), "the gantry is tilted: shear"),
    "tilted a little": (several(list(range(40)), **tilted(-2)), "the gantry is tilted: shear"),
    "tilted, enhanced": (
        partial(enhanced, heights=[0, 2.5, 5], **{"way": tilted(2)["ImageOrientationPatient"]}),
        "Frames are .* tilted: shear",
    ),
    "gap, enhanced": (partial(enhanced, heights=[0, 2, 4, 8]), "Frames are missing or double"),
    "double, enhanced": (partial(enhanced, heights=[0, 2, 2, 4]), "Frames are missing or double"),
    "no position": (several([0, 1], ImagePositionPatient=None), "does not say where it lies"),
    "no direction": (several([0, 1], ImageOrientationPatient=None), "which way it faces"),
    "frames without places": (theirs("rtdose.dcm"), "does not say where each lies"),
    "frames in a folder": (beside("9", partial(enhanced, heights=[4, 0])), "many frames"),
}


def test_each_fault_has_its_own_error(tmp_path: Path) -> None:
    assert untold(FAULTS, lambda k, make: read_dicom(make(tmp_path / k)), ImagingError) == {}


# --- Identity ------------------------------------------------------------------------------------

NAMED = (
    *("PatientID", "OtherPatientNames", "PatientAddress", "PatientComments", "AccessionNumber"),
    *("ReferringPhysicianName", "InstitutionName", "StudyDescription", "SeriesDescription"),
    *("ImageComments", "StationName", "DeviceSerialNumber", "StudyID"),
)
IDENTIFIED = ("StudyInstanceUID", "FrameOfReferenceUID", "SeriesInstanceUID")
IDENTITY: dict[str, Any] = {
    **{"PatientName": f"{MARK}^Erika", "RequestAttributesSequence": []},
    **dict.fromkeys(NAMED, MARK),
    **dict.fromkeys(["PatientBirthDate", "StudyDate"], "19640812"),
    **dict.fromkeys(IDENTIFIED, "1.2.19640812"),
}


def said(error: BaseException | None) -> str:
    """All that an error carries: text, arguments, notes, and every error it is chained to."""
    parts = []
    while error is not None:
        parts += [repr(error), *traceback.format_exception(error), repr(error.__dict__)]
        error = error.__cause__ or error.__context__
    return "\n".join(parts)


def is_silent(content: bytes | str) -> bool:
    text = content.decode("latin-1") if isinstance(content, bytes) else content
    return MARK not in text.upper() and "19640812" not in text and "ERIKA" not in text.upper()


def test_nothing_of_the_patient_is_in_what_is_returned_or_even_read(
    tmp_path: Path, monkeypatch: Patch
) -> None:
    kept: list[list[Dataset]] = []
    keep = scans._volume

    def kept_too(slices: list[Dataset], odd: list[str]) -> Volume:
        kept.append(slices)
        return keep(slices, odd)

    monkeypatch.setattr(scans, "_volume", kept_too)
    path = write(tmp_path / f"{MARK}.dcm", **IDENTITY)
    assert not is_silent(path.read_bytes())  # the mark is in the file
    volume = read_dicom(path)
    assert is_silent(pickle.dumps(volume) + repr(volume).encode())
    assert set(vars(volume)) == {"values", "spacing_mm", "unit", "axes"}
    identifiers = {"FrameOfReferenceUID": "1.2", "SeriesInstanceUID": SERIES}
    read_dicom(write(tmp_path / "a", **IDENTITY | identifiers))
    assert is_silent(str(kept[1]))
    assert "Modality" in kept[1][0]
    image = nibabel.Nifti1Image(np.ones((2, 3, 4), np.float32), np.eye(4))
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        image.header[field] = MARK[: image.header[field].dtype.itemsize]
    path = save(image, tmp_path / f"{MARK}.nii")
    assert is_silent(pickle.dumps(read_nifti(path, "HU")))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImagingError) as failed:
        read_nifti(path, "HU")
    assert is_silent(said(failed.value))


# What goes wrong is made to quote the patient where the library would do so.
QUOTED: dict[str, dict[str, Any]] = {
    "no slope": {"RescaleSlope": None},
    "no spacing": {"PixelSpacing": None},
    "colour": {"PhotometricInterpretation": "PALETTE COLOR"},
    "no image": {"PixelData": None},
    "wrong number of rows": {"Rows": 400},
    "one spacing": {"PixelSpacing": [1]},
    "no place": {"ImagePositionPatient": [0]},
    **{fault: {} for fault in ("text", "cut off", "not there")},
}


@pytest.mark.parametrize("as_series", [False, True])
def test_nothing_of_the_patient_is_in_an_error_a_warning_or_the_log(
    tmp_path: Path, caplog: Any, as_series: bool
) -> None:
    caplog.set_level(logging.DEBUG)
    loud = []
    for fault, elements in QUOTED.items():
        folder = tmp_path / fault / MARK
        folder.mkdir(parents=True)
        path = write(folder / f"{MARK}.dcm", **IDENTITY | elements)
        content = path.read_bytes()
        path.write_bytes({"text": MARK.encode(), "cut off": content[:-300]}.get(fault, content))
        if fault == "not there":
            path.unlink()
        for k in (2, 3) if as_series else ():
            write(folder / f"{MARK}{k}.dcm", **IDENTITY)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            with pytest.raises(ImagingError) as failed:
                read_dicom(folder if as_series else path)
        # The lines of this file that a traceback shows hold neither mark.
        told = said(failed.value) + str([str(warning.message) for warning in heard])
        loud += [] if is_silent(told) else [fault]
    assert loud == []
    path = write(tmp_path / "a", **IDENTITY)  # what the library warns of: no valid identifier
    path.write_bytes(path.read_bytes().replace(b"1.2.19640812", b"1.2.ERIKA812"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_dicom(path)
    assert is_silent(caplog.text)


# --- NIfTI ---------------------------------------------------------------------------------------

ANATOMY = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)  # axes lead to S, P, L
SPACING = (3.0, 0.5, 0.75)


def test_nifti_in_each_of_48_orientations_is_one_volume_and_that_of_dicom(tmp_path: Path) -> None:
    turns = {
        "".join(side[way] for side, way in zip(order, ways, strict=True))
        for order in itertools.permutations(["RL", "AP", "IS"])
        for ways in itertools.product((0, 1), repeat=3)
    }
    assert len(turns) == 48
    for axes in turns:
        path = nifti(tmp_path / "a.nii", ANATOMY, SPACING, axes)
        volume = read_nifti(path, "HU")
        np.testing.assert_array_equal(volume.hu, ANATOMY)
        assert (volume.spacing_mm, volume.axes) == (SPACING, "SPL")
        # The library's own idea of where the file's axes lead.
        image: Any = nibabel.load(path)
        np.testing.assert_array_equal(io_orientation(image.affine), axcodes2ornt(axes))
    (tmp_path / "s").mkdir()
    for k, pixels in enumerate(ANATOMY.astype(np.uint16)):
        at = {"ImagePositionPatient": [0, 0, 3 * k], "RescaleIntercept": 0, "RescaleSlope": 1}
        write(tmp_path / "s" / str(9 - k), pixels, **at)
    from_dicom = read_dicom(tmp_path / "s")
    np.testing.assert_array_equal(from_dicom.hu, ANATOMY)
    assert vars(from_dicom) | {"values": 0} == vars(volume) | {"values": 0}


def test_spacing_is_in_millimetres_whatever_the_file_uses(tmp_path: Path) -> None:
    for unit, factor in {"mm": 1, "meter": 1000, "micron": 0.001}.items():
        image = nibabel.Nifti1Image(ANATOMY[..., None], np.diag([1.0, 2.0, 4.0, 1.0]))
        image.header.set_xyzt_units(unit)
        volume = read_nifti(save(image, tmp_path / "a.nii"), "grey")
        assert volume.spacing_mm == pytest.approx((4 * factor, 2 * factor, 1 * factor))
        assert volume.values.shape == (4, 3, 2)  # a fourth axis of length 1 is none


def whole(path: Path) -> bytes:
    return save(nibabel.Nifti1Image(ANATOMY, np.eye(4)), path).read_bytes()


def test_the_name_of_a_nifti_file_is_not_its_content(tmp_path: Path) -> None:
    plain = whole(tmp_path / "a.nii")
    packed = gzip.compress(plain)
    expected = read_nifti(tmp_path / "a.nii", "grey").values
    names = ("b.NII", "b.nii.gz", "b", "b.hdr.bak", "B.NII.GZ")
    for content, name in itertools.product((plain, packed), names):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_nifti(tmp_path / name, "grey").values, expected)


def sheared(path: Path) -> Path:
    affine = np.diag([1.0, 2, 3, 1])
    affine[1, 2] = 0.12  # of 3 mm: two degrees
    return save(nibabel.Nifti1Image(ANATOMY, affine), path)


def without_orientation(path: Path) -> Path:
    image = nibabel.Nifti1Image(ANATOMY, None)
    image.header["qform_code"] = image.header["sform_code"] = 0
    return save(image, path)


def without_spacing(path: Path) -> bytes:  # srow_y: the step towards anterior of each axis
    return whole(path)[:296] + bytes(16) + whole(path)[312:]


FOUR, RGB = np.ones((2, 2, 2, 3), np.int16), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
NIFTI_FAULTS: dict[str, tuple[Make, str]] = {
    "not there": (lambda path: path, "It is not there"),
    "text": (text, "cannot be read .*something else"),
    "empty": (written(lambda _: b""), "cannot be read .*empty"),
    "cut off": (written(lambda path: whole(path)[:-8]), "empty or cut off"),
    "compressed": (written(lambda path: gzip.compress(whole(path))[:-20], ".gz"), "cut off"),
    "colour": (
        lambda path: save(nibabel.Nifti1Image(np.zeros((2, 3, 4), RGB), np.eye(4)), path),
        "colours or complex numbers",
    ),
    "complex": (
        lambda path: save(nibabel.Nifti1Image(ANATOMY.astype(np.complex64), np.eye(4)), path),
        "colours or complex numbers",
    ),
    "sheared": (sheared, "at no right angles, as when the gantry is tilted"),
    "4D": (lambda path: save(nibabel.Nifti1Image(FOUR, np.eye(4)), path), "has 4 dimensions"),
    "no orientation": (without_orientation, "which side is left"),
    "no spacing": (written(without_spacing), "no spacing"),
    "DICOM": (one(), "cannot be read .*something else"),
    "another format": (
        lambda path: save(nibabel.MGHImage(ANATOMY, np.eye(4)), path.with_suffix(".mgz")),
        "is no NIfTI, but MGHImage",
    ),
}


def test_each_fault_of_nifti_has_its_own_error(tmp_path: Path) -> None:
    def read(name: str, make: Make) -> Volume:
        return read_nifti(make(tmp_path / f"{name}.nii"), "HU")

    assert untold(NIFTI_FAULTS, read, ImagingError) == {}


# --- Resampling ----------------------------------------------------------------------------------


def moments(volume: Volume) -> tuple[Any, Any, float]:
    """Centre and standard deviation (mm) along each axis, and the integral."""
    weight = volume.values / volume.values.sum()
    axes = [(np.arange(n) + 0.5) * s for n, s in zip(weight.shape, volume.spacing_mm, strict=True)]
    each = [weight.sum(axis=tuple(j for j in range(3) if j != k)) for k in range(3)]
    centre = [float(w @ x) for w, x in zip(each, axes, strict=True)]
    spread = [float(np.sqrt(w @ (x - c) ** 2)) for w, x, c in zip(each, axes, centre, strict=True)]
    return centre, spread, float(volume.values.sum() * np.prod(volume.spacing_mm))


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (1.0, 1.0, 1.0), (3.0, 0.75, 2.0)])
def test_resampling_keeps_where_things_are_how_large_and_how_much(
    spacing: tuple[float, float, float],
) -> None:
    # A Gaussian ball; centre and standard deviation in mm, from the outer edge of the volume.
    old, centre = (2.0, 1.0, 1.5), (22.0, 25.0, 23.0)
    axes = [(np.arange(round(48 / step)) + 0.5) * step for step in old]
    grid = np.meshgrid(*axes, indexing="ij")
    squared = np.sum([(axis - at) ** 2 for axis, at in zip(grid, centre, strict=True)], axis=0)
    before = Volume(np.exp(-squared / (2 * 5.0**2)).astype(np.float32), old, "HU", "SPL")
    after = resample(before, spacing)
    assert (after.spacing_mm, after.unit, after.axes) == (spacing, "HU", "SPL")
    for a, b, tolerance in zip(moments(before), moments(after), (0.02, 0.25, 50), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)
    for same in (before.spacing_mm, (None, None, None)):
        np.testing.assert_array_equal(resample(before, same).values, before.values)


def test_a_coarser_grid_is_that_of_scikit_image_and_a_finer_one_exact() -> None:
    image = np.random.default_rng(0).normal(size=(1, 36, 48)).astype(np.float32)
    for factor in (1.5, 2, 3):
        new = resample(Volume(image, (1.0, 1.0, 1.0), "grey"), (None, factor, factor)).values[0]
        theirs = resize(image[0], new.shape, order=1, anti_aliasing=True, mode="edge")
        np.testing.assert_allclose(new, theirs, atol=1e-5)
    # Inside, linear interpolation is exact: voxel k of the new grid lies at (k + 1/2) * spacing.
    ramp = np.broadcast_to((np.arange(40) + 0.5) * 2, (2, 3, 40)).astype(np.float32)
    after = resample(Volume(ramp, (1.0, 1.0, 2.0), "grey"), (None, None, 0.5)).values
    assert after.shape == (2, 3, 160)
    np.testing.assert_allclose(after[0, 0, 2:-2], (np.arange(2, 158) + 0.5) * 0.5, rtol=1e-5)
    flat = Volume(np.zeros((1, 8, 8), np.float32), (np.nan, 1.0, 1.0), "HU")  # unknown thickness
    assert resample(flat, (None, 2.0, 2.0)).values.shape == (1, 4, 4)
    for spacing in ((1.0, 1.0, 1.0), (None, 0.0, 1.0)):
        with pytest.raises(ImagingError, match="Cannot go from"):
            resample(flat, spacing)
    flat.values[0, 0, 0] = np.nan  # would spread
    with pytest.raises(ImagingError, match="1 of 64 values are NaN or infinite: put what lies out"):
        resample(flat, (None, 2.0, 2.0))
