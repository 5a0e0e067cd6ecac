"""Reading scans: written files with known truth, the libraries' own files, faults, and identity."""

from __future__ import annotations

import gzip
import itertools
import logging
import pickle
import shutil
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
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
    generate_uid,
)
from skimage.transform import resize

from medxfer_utils.data import Volume, read_dicom, read_nifti, resample, scans
from medxfer_utils.images import AIR, ImagingError
from tests.faults import untold

Patch = pytest.MonkeyPatch

SERIES, OTHER_SERIES = generate_uid(entropy_srcs=["a"]), generate_uid(entropy_srcs=["b"])
AXIAL = [1, 0, 0, 0, 1, 0]
STORED = np.arange(20, dtype=np.uint16).reshape(4, 5)
RNG = np.random.default_rng(0)


def write(path: Path, pixels: Any = STORED, **elements: Any) -> Path:
    """Write one slice of an axial CT with a rescale; an element that is None is left out."""
    pixels, bits = np.asarray(pixels), 8 * np.asarray(pixels).itemsize
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = UID(elements.pop("syntax", ExplicitVRLittleEndian))
    data = Dataset()
    data.file_meta = meta
    data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    given = {
        **{"SOPClassUID": CTImageStorage, "Modality": "CT", "SeriesInstanceUID": SERIES},
        **{"PhotometricInterpretation": "MONOCHROME2", "SamplesPerPixel": 1},
        **{"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1},
        **{"PixelRepresentation": int(pixels.dtype.kind == "i")},
        **{"Rows": pixels.shape[-2], "Columns": pixels.shape[-1]},
        **{"PixelSpacing": [0.5, 0.75], "SliceThickness": 3, "ImageOrientationPatient": AXIAL},
        **{"ImagePositionPatient": [0, 0, 0], "RescaleSlope": 2, "RescaleIntercept": -1000},
    } | elements
    for name, value in given.items():
        if isinstance(value, tuple):  # with its type
            data.add_new(Tag(name), *value)
        elif value is not None:
            setattr(data, name, value)
    if elements.get("PixelData", ...) is not None:
        raw = pixels.tobytes()
        data.PixelData = encapsulate([raw]) if meta.TransferSyntaxUID.is_compressed else raw
    data.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, places: list[float], **elements: Any) -> Path:
    """Write slices at these heights in mm, named in another order; each holds its own height."""
    folder.mkdir(parents=True)
    for k, place in enumerate(places):
        value = np.full((4, 5), 1000 + place * 10, np.uint16)
        name = f"{(7 * k) % len(places)}.dcm"
        about = {"ImagePositionPatient": [0, 0, place], "RescaleSlope": 1} | elements
        write(folder / name, value, **about)
    return folder


def bundled(name: str) -> Path:
    """A file that comes with pydicom."""
    return Path(str(get_testdata_file(name, download=False)))


# --- What the numbers mean -----------------------------------------------------------------------


def test_rescale_gives_hounsfield_units_and_spacing(tmp_path: Path) -> None:
    volume = read_dicom(write(tmp_path / "a"))
    np.testing.assert_array_equal(volume.hu, 2.0 * STORED[None] - 1000)
    assert volume.spacing_mm == (3.0, 0.5, 0.75)  # rows are 0.5 mm apart, columns 0.75
    assert volume.axes == "SPL"
    assert volume.hu.dtype == np.float32
    bare = write(tmp_path / "b", PixelSpacing=None)
    assert read_dicom(bare, pixel_mm=(0.1, 0.2)).spacing_mm[1:] == (0.1, 0.2)
    assert read_dicom(tmp_path / "a", pixel_mm=(9, 9)).spacing_mm[1:] == (0.5, 0.75)


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("bits", [12, 16])
def test_monochrome1_looks_as_monochrome2_does(tmp_path: Path, kind: type, bits: int) -> None:
    low = -(2 ** (bits - 1)) if kind is np.int16 else 0
    bright: Any = np.array([[low, low + 1], [low + 2**bits - 2, low + 2**bits - 1]], kind)
    about = {"Modality": "DX", "BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": None}
    about |= {"ImageOrientationPatient": None, "ImagePositionPatient": None}  # as of an X-ray
    usual = read_dicom(write(tmp_path / "2", bright, **about))
    dark = bright[::-1, ::-1]  # the same picture where the largest number is black
    turned = write(tmp_path / "1", dark, PhotometricInterpretation="MONOCHROME1", **about)
    np.testing.assert_array_equal(read_dicom(turned).values, usual.values)
    assert (usual.unit, usual.axes) == ("grey", "")
    ct = write(tmp_path / "ct", PhotometricInterpretation="MONOCHROME1")  # HU have a meaning
    np.testing.assert_array_equal(read_dicom(ct).hu, 2.0 * STORED[None] - 1000)


@pytest.mark.parametrize("padding", [("SS", -2000), ("US", 63536)])  # the same bits
def test_padding_becomes_air(tmp_path: Path, padding: tuple[str, int]) -> None:
    pixels = np.array([[-2000, 40], [41, 42]], np.int16)
    about = {"RescaleSlope": 1, "RescaleIntercept": 0, "PixelPaddingValue": padding}
    hu = read_dicom(write(tmp_path / "a", pixels, **about)).hu
    assert hu[0].tolist() == [[AIR, 40], [41, 42]]


@pytest.mark.parametrize(
    ("about", "unit"),
    [
        ({"Modality": "MR"}, "grey"),
        ({"RescaleType": "HU"}, "HU"),
        ({"RescaleType": "US"}, "grey"),  # a map of perfusion, for one (PS3.3 C.11.1.1.2)
        ({"RescaleType": "Z_EFF"}, "grey"),
    ],
)
def test_grey_values_cannot_be_taken_for_hounsfield_units(
    tmp_path: Path, about: dict[str, str], unit: str
) -> None:
    volume = read_dicom(write(tmp_path / "a", **about))
    assert volume.unit == unit
    if unit == "grey":
        with pytest.raises(ImagingError, match="not Hounsfield units"):
            _ = volume.hu


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


# --- Where the slices are ------------------------------------------------------------------------


def test_slices_are_sorted_by_where_they_lie(tmp_path: Path) -> None:
    heights = [12.5, -5, 0, 2.5, -2.5, 5, 10, 7.5]
    volume = read_dicom(series(tmp_path / "s", heights))
    np.testing.assert_allclose(volume.hu[:, 0, 0], 10 * np.sort(heights), atol=1e-4)
    assert volume.spacing_mm == (2.5, 0.5, 0.75)  # of positions, not the thickness of 3


def test_axes_are_named_by_where_they_lead(tmp_path: Path) -> None:
    # Axial; coronal; sagittal; axial seen from the head.
    ways = {"SPL": AXIAL, "PIL": [1, 0, 0, 0, 0, -1], "RIP": [0, 1, 0, 0, 0, -1]}
    ways |= {"IPR": [-1, 0, 0, 0, 1, 0]}
    for axes, way in ways.items():
        assert read_dicom(write(tmp_path / "a", ImageOrientationPatient=way)).axes == axes


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
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k, height in enumerate(heights):
        frame = group("PlanePositionSequence", ImagePositionPatient=[0, 0, height])
        scale = {"RescaleSlope": 1, "RescaleIntercept": -1000 - k}  # a different one in each frame
        frame.update(group("PixelValueTransformationSequence", RescaleType=kind, **scale))
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.save_as(path, enforce_file_format=True)
    return path


def test_the_frames_of_an_enhanced_file_have_their_own_place_and_scale(tmp_path: Path) -> None:
    volume = read_dicom(enhanced(tmp_path / "a", [4, 0, 2]))
    assert volume.hu[:, 0, 0].tolist() == [100 - 1001, 200 - 1002, -1000]
    assert (volume.spacing_mm, volume.axes) == ((2.0, 0.4, 0.6), "SPL")
    assert read_dicom(enhanced(tmp_path / "b", [4, 0, 2], "US")).unit == "grey"


@pytest.mark.parametrize(("step", "digits"), [(0.625, 2), (1.25, 1)])
def test_positions_that_were_rounded_are_even(tmp_path: Path, step: float, digits: int) -> None:
    folder = series(tmp_path / "s", [round(step * k, digits) for k in range(8)])
    assert read_dicom(folder).spacing_mm[0] == pytest.approx(step, abs=0.01)
    (folder / "4.dcm").unlink()
    with pytest.raises(ImagingError, match="one is missing"):
        read_dicom(folder)


def test_what_stands_beside_the_slices_is_passed_over(tmp_path: Path) -> None:
    folder = series(tmp_path / "s", [0, 1, 2])
    for name in ("DICOMDIR", ".hidden", "Thumbs.db", "desktop.ini", "069.xml"):
        (folder / name).write_text("no image")
    medium = pydicom.dcmread(folder / "0.dcm")
    del medium.PixelData
    medium.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    medium.SOPClassUID = MediaStorageDirectoryStorage
    medium.save_as(folder / "DIRFILE")
    assert read_dicom(folder).hu.shape == (3, 4, 5)


# --- Faults --------------------------------------------------------------------------------------


def mixed(**elements: Any) -> Callable[[Path], Path]:
    def act(folder: Path) -> Path:
        about = {"ImagePositionPatient": [0, 0, 3], "RescaleSlope": 1} | elements
        write(series(folder, [0, 1, 2]) / "x", **about)
        return folder

    return act


def text(path: Path) -> Path:
    path.write_text("Ceci n'est pas une image." * 20)
    return path


def cut(path: Path) -> Path:
    write(path).write_bytes(path.read_bytes()[:-10])
    return path


def beside(name: str, make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def act(folder: Path) -> Path:
        make(series(folder, [0, 1, 2]) / name)
        return folder

    return act


def empty(folder: Path) -> Path:
    folder.mkdir()
    (folder / ".hidden").touch()
    return folder


def tilted(folder: Path) -> Path:
    t = np.radians(18)  # as of a head: 2.5 mm along the table, 0.77 mm beside each other
    way = [1, 0, 0, 0, round(np.cos(t), 6), round(-np.sin(t), 6)]
    return series(folder, [0, 2.5, 5, 7.5], ImageOrientationPatient=way)


def one(**elements: Any) -> Callable[[Path], Path]:
    return lambda path: write(path, **elements)


def several(places: list[float], **elements: Any) -> Callable[[Path], Path]:
    return lambda path: series(path, places, **elements)


def theirs(name: str) -> Callable[[Path], Path]:
    return lambda _: bundled(name)


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "not there": (lambda path: path, "File 1 of 1 is not there"),
    "text": (text, "is not DICOM"),
    "no meta header": (theirs("no_meta.dcm"), "is not DICOM"),
    "text in a series": (beside("1x.txt", text), "File 3 of 4 is not DICOM"),
    "empty folder": (empty, "holds no file"),
    "a study": (lambda path: series(path / "s", [0, 1]).parent, "holds folders only"),
    "report": (theirs("reportsi.dcm"), "holds no image"),
    "waveform": (theirs("waveform_ecg.dcm"), "holds no image"),
    "colour": (theirs("SC_rgb_small_odd.dcm"), "is in colour"),
    "palette": (theirs("examples_palette.dcm"), "is in colour"),
    "no decoder": (one(syntax="1.2.840.10008.1.2.4.201"), "no decoder is installed .pylibjpeg"),
    "cut off": (cut, "cut off"),
    "cut off, the library's": (theirs("MR_truncated.dcm"), "cut off"),
    "no slope": (one(RescaleSlope=None), "without rescale slope"),
    "slope 0": (one(RescaleSlope=0), "without rescale slope"),
    "no intercept": (one(RescaleIntercept=None), "without rescale slope"),
    "no spacing": (one(PixelSpacing=None), "pass pixel_mm"),
    "spacing zero": (one(PixelSpacing=[0, 1]), "pass pixel_mm"),
    "two series": (mixed(SeriesInstanceUID=OTHER_SERIES), "differ in SeriesI"),
    "two frames of reference": (mixed(FrameOfReferenceUID="1.2"), "differ in FrameOfR"),
    "two modalities": (mixed(Modality="PT"), "differ in Modality"),
    "a scout": (mixed(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "differ in ImageOr"),
    "two spacings": (mixed(PixelSpacing=[1, 1]), "differ in PixelSp"),
    "two sizes": (mixed(pixels=STORED[:3]), "differ in Rows"),
    "double": (several([0, 1, 1, 2]), "Slice 2 is there more than once"),
    "all double": (several([1, 1]), "more than once"),
    "gap": (several([0, 1, 2, 4, 5]), r"Slices 3 and 4 are 2\.00 mm apart, others 1\.00 mm"),
    "uneven": (several([0, 1, 2.2, 3.2, 4.2]), "Slices 2 and 3 are 1.20 mm apart"),
    "tilted": (tilted, "the gantry is tilted: shear the series back"),
    "tilted, enhanced": (
        lambda path: enhanced(path, [0, 2.5, 5], way=[1, 0, 0, 0, 0.951057, -0.309017]),
        "The image cannot be read",
    ),
    "no position": (several([0, 1], ImagePositionPatient=None), "does not say where it lies"),
    "no direction": (several([0, 1], ImageOrientationPatient=None), "which way it faces"),
    "frames without places": (theirs("rtdose.dcm"), "does not say where each lies"),
    "frames in a folder": (beside("9", lambda path: enhanced(path, [4, 0])), "many frames"),
}


def test_each_fault_has_its_own_error(tmp_path: Path) -> None:
    faults = dict(FAULTS)
    assert untold(faults, lambda k, make: read_dicom(make(tmp_path / k)), ImagingError) == {}


# --- Identity ------------------------------------------------------------------------------------

MARK = "MUSTERFRAU"
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

    def spy(slices: list[Dataset]) -> Volume:
        kept.append(slices)
        return keep(slices)

    monkeypatch.setattr(scans, "_volume", spy)
    path = write(tmp_path / f"{MARK}.dcm", **IDENTITY)
    assert not is_silent(path.read_bytes())  # the mark is in the file
    volume = read_dicom(path)
    assert is_silent(pickle.dumps(volume) + repr(volume).encode())
    assert set(vars(volume)) == {"values", "spacing_mm", "unit", "axes"}
    identifiers = {"FrameOfReferenceUID": "1.2", "SeriesInstanceUID": SERIES}
    read_dicom(write(tmp_path / "a", **IDENTITY | identifiers))
    assert is_silent(str(kept[1]))
    assert "Modality" in kept[1][0]


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
        if fault == "text":
            path.write_text(f"Patient {MARK}")
        elif fault == "cut off":
            path.write_bytes(path.read_bytes()[:-300])
        elif fault == "not there":
            path.unlink()
        if as_series:
            write(folder / f"{MARK}2.dcm", **IDENTITY)
            write(folder / f"{MARK}3.dcm", **IDENTITY)
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            with pytest.raises(ImagingError) as failed:
                read_dicom(folder if as_series else path)
        # The lines of this file that a traceback shows hold neither mark.
        told = said(failed.value) + str([str(warning.message) for warning in heard])
        loud += [] if is_silent(told) else [fault]
    assert loud == []
    assert is_silent(caplog.text)


def test_what_the_library_warns_of_is_kept_back(tmp_path: Path) -> None:
    path = write(tmp_path / "a", **IDENTITY)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.19640812", b"1.2.ERIKA812"))  # no valid identifier
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        read_dicom(path)
    assert heard == []


def test_nothing_of_the_patient_comes_out_of_nifti(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.ones((2, 3, 4), np.float32), np.eye(4))
    for field in ("descrip", "db_name", "aux_file", "intent_name"):
        image.header[field] = MARK[: image.header[field].dtype.itemsize]
    path = save(image, tmp_path / f"{MARK}.nii")
    assert is_silent(pickle.dumps(read_nifti(path, "HU")))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImagingError) as failed:
        read_nifti(path, "HU")
    assert is_silent(said(failed.value))


# --- NIfTI ---------------------------------------------------------------------------------------

ANATOMY = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)  # axes lead to S, P, L
SPACING = (3.0, 0.5, 0.75)


def save(image: Any, path: Path) -> Path:
    nibabel.save(image, path)
    return path


def nifti(path: Path, axes: str) -> Path:
    """Write the anatomy with its axes in another order and direction, and the affine of that."""
    values = apply_orientation(ANATOMY, ornt_transform(axcodes2ornt("SPL"), axcodes2ornt(axes)))
    # Column k of the affine is the step along axis k, towards right, anterior, superior.
    step = dict(zip(("S", "I", "P", "A", "L", "R"), np.repeat(SPACING, 2), strict=True))
    axis = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    affine = np.diag([0.0, 0, 0, 1])
    for k, side in enumerate(axes):
        affine[axis[side], k] = step[side] * (1 if side in "RAS" else -1)
    return save(nibabel.Nifti1Image(values, affine), path)


def test_nifti_in_each_of_48_orientations_is_one_volume(tmp_path: Path) -> None:
    turns = [
        "".join(side[way] for side, way in zip(order, ways, strict=True))
        for order in itertools.permutations(["RL", "AP", "IS"])
        for ways in itertools.product((0, 1), repeat=3)
    ]
    assert len(set(turns)) == 48
    for axes in turns:
        volume = read_nifti(nifti(tmp_path / "a.nii", axes), "HU")
        np.testing.assert_array_equal(volume.hu, ANATOMY)
        assert (volume.spacing_mm, volume.axes) == (SPACING, "SPL")
        # The library's own idea of where the file's axes lead.
        image: Any = nibabel.load(tmp_path / "a.nii")
        np.testing.assert_array_equal(io_orientation(image.affine), axcodes2ornt(axes))


def test_dicom_and_nifti_of_one_patient_are_the_same_array(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for k, pixels in enumerate(ANATOMY.astype(np.uint16)):
        at = {"ImagePositionPatient": [0, 0, 3 * k], "RescaleIntercept": 0, "RescaleSlope": 1}
        write(tmp_path / "s" / str(9 - k), pixels, **at)
    from_dicom = read_dicom(tmp_path / "s")
    from_nifti = read_nifti(nifti(tmp_path / "a.nii", "RAS"), "HU")
    np.testing.assert_array_equal(from_dicom.hu, from_nifti.hu)
    assert vars(from_dicom) | {"values": 0} == vars(from_nifti) | {"values": 0}


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("meter", 1000), ("micron", 0.001)])
def test_spacing_is_in_millimetres_whatever_the_file_uses(
    tmp_path: Path, unit: str, factor: float
) -> None:
    image = nibabel.Nifti1Image(ANATOMY[..., None], np.diag([1.0, 2.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit)
    volume = read_nifti(save(image, tmp_path / "a.nii"), "grey")
    assert volume.spacing_mm == pytest.approx((4 * factor, 2 * factor, 1 * factor))
    assert volume.values.shape == (4, 3, 2)  # a fourth axis of length 1 is none


def without_orientation(path: Path) -> Path:
    image = nibabel.Nifti1Image(ANATOMY, None)
    image.header["qform_code"] = image.header["sform_code"] = 0
    return save(image, path)


def whole(path: Path) -> Path:
    return save(nibabel.Nifti1Image(ANATOMY, np.eye(4)), path)


def without_spacing(path: Path) -> Path:
    content = bytearray(whole(path).read_bytes())
    content[296:312] = bytes(16)  # srow_y: the step towards anterior of each axis
    path.write_bytes(bytes(content))
    return path


def cut_nifti(path: Path) -> Path:
    path.write_bytes(whole(path).read_bytes()[:-8])
    return path


def cut_gzip(path: Path) -> Path:
    content = gzip.compress(whole(path).read_bytes())
    path = path.with_suffix(".nii.gz")
    path.write_bytes(content[:-20])
    return path


NIFTI_FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "not there": (lambda path: path, "FileNotFoundError"),
    "text": (text, "cannot be read as NIfTI"),
    "cut off": (cut_nifti, "may be cut off"),
    "cut off, compressed": (cut_gzip, "may be cut off"),
    "four dimensions": (
        lambda path: save(nibabel.Nifti1Image(np.ones((2, 2, 2, 3), np.int16), np.eye(4)), path),
        "has 4 dimensions",
    ),
    "no orientation": (without_orientation, "which side is left"),
    "no spacing": (without_spacing, "no spacing"),
    "DICOM": (lambda path: Path(shutil.copy(write(path.with_suffix("")), path)), "as NIfTI"),
    "another format": (
        lambda path: save(nibabel.MGHImage(ANATOMY, np.eye(4)), path.with_suffix(".mgz")),
        "is no NIfTI, but MGHImage",
    ),
}


def test_each_fault_of_nifti_has_its_own_error(tmp_path: Path) -> None:
    def read(name: str, make: Callable[[Path], Path]) -> Volume:
        return read_nifti(make(tmp_path / f"{name}.nii"), "HU")

    assert untold(NIFTI_FAULTS, read, ImagingError) == {}


# --- Resampling ----------------------------------------------------------------------------------


def ball(spacing: tuple[float, float, float], centre: tuple[float, ...], width: float) -> Volume:
    """A Gaussian ball; centre and standard deviation in mm, from the outer edge of the volume."""
    axes = [(np.arange(round(48 / step)) + 0.5) * step for step in spacing]
    grid = np.meshgrid(*axes, indexing="ij")
    squared = sum((axis - at) ** 2 for axis, at in zip(grid, centre, strict=True))
    values = np.exp(-np.asarray(squared) / (2 * width**2))
    return Volume(values.astype(np.float32), spacing, "HU", "SPL")


def moments(volume: Volume) -> tuple[Any, Any, float]:
    """Centre and standard deviation (mm) along each axis, and the integral."""
    weight = volume.values / volume.values.sum()
    axes = [(np.arange(n) + 0.5) * s for n, s in zip(weight.shape, volume.spacing_mm, strict=True)]
    one = [weight.sum(axis=tuple(j for j in range(3) if j != k)) for k in range(3)]
    centre = [float(w @ x) for w, x in zip(one, axes, strict=True)]
    spread = [float(np.sqrt(w @ (x - c) ** 2)) for w, x, c in zip(one, axes, centre, strict=True)]
    return centre, spread, float(volume.values.sum() * np.prod(volume.spacing_mm))


@pytest.mark.parametrize("spacing", [(1.5, 1.5, 1.5), (1.0, 1.0, 1.0), (3.0, 0.75, 2.0)])
def test_resampling_keeps_where_things_are_how_large_and_how_much(
    spacing: tuple[float, float, float],
) -> None:
    before = ball((2.0, 1.0, 1.5), (22.0, 25.0, 23.0), 5.0)
    after = resample(before, spacing)
    assert (after.spacing_mm, after.unit, after.axes) == (spacing, "HU", "SPL")
    for a, b, tolerance in zip(moments(before), moments(after), (0.02, 0.25, 50), strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance)
    for same in (before.spacing_mm, (None, None, None)):
        np.testing.assert_array_equal(resample(before, same).values, before.values)


@pytest.mark.parametrize("factor", [1.5, 2, 3])
def test_a_coarser_grid_is_that_of_scikit_image(factor: float) -> None:
    image = RNG.normal(size=(1, 36, 48)).astype(np.float32)
    ours = resample(Volume(image, (1.0, 1.0, 1.0), "grey"), (None, factor, factor)).values[0]
    theirs = resize(image[0], ours.shape, order=1, anti_aliasing=True, mode="edge")
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_a_ramp_stays_a_ramp() -> None:
    # Inside, linear interpolation is exact: voxel k of the new grid lies at (k + 1/2) * spacing.
    ramp = np.broadcast_to((np.arange(40) + 0.5) * 2, (2, 3, 40)).astype(np.float32)
    after = resample(Volume(ramp, (1.0, 1.0, 2.0), "grey"), (None, None, 0.5)).values
    assert after.shape == (2, 3, 160)
    np.testing.assert_allclose(after[0, 0, 2:-2], (np.arange(2, 158) + 0.5) * 0.5, rtol=1e-5)


def test_one_slice_of_unknown_thickness_keeps_its_axis() -> None:
    flat = Volume(np.zeros((1, 8, 8), np.float32), (np.nan, 1.0, 1.0), "HU")
    assert resample(flat, (None, 2.0, 2.0)).values.shape == (1, 4, 4)
    for spacing in ((1.0, 1.0, 1.0), (None, 0.0, 1.0)):
        with pytest.raises(ImagingError, match="Cannot go from"):
            resample(flat, spacing)
