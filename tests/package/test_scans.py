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
from pydicom.pixels.processing import apply_modality_lut
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from medxfer_utils.data import scans
from medxfer_utils.data.scans import AIR, ImagingError, Volume, read_dicom, read_nifti

SERIES, OTHER_SERIES = generate_uid(entropy_srcs=["a"]), generate_uid(entropy_srcs=["b"])
AXIAL = [1, 0, 0, 0, 1, 0]
STORED = np.arange(20, dtype=np.uint16).reshape(4, 5)


def write(path: Path, pixels: Any = STORED, **elements: Any) -> Path:
    """Write one slice of an axial CT with a rescale; an element that is None is left out."""
    pixels = np.asarray(pixels)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    given = {
        "Modality": "CT",
        "SeriesInstanceUID": SERIES,
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "BitsAllocated": 8 * pixels.itemsize,
        "BitsStored": 8 * pixels.itemsize,
        "HighBit": 8 * pixels.itemsize - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "PixelSpacing": [0.5, 0.75],
        "SliceThickness": 3,
        "ImageOrientationPatient": AXIAL,
        "ImagePositionPatient": [0, 0, 0],
        "RescaleSlope": 2,
        "RescaleIntercept": -1000,
    } | elements
    for name, value in given.items():
        if value is not None:
            setattr(data, name, value)
    if elements.get("PixelData", ...) is not None:
        data.PixelData = pixels.tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def series(folder: Path, places: list[float], **elements: Any) -> Path:
    """Write slices at these heights in mm, named in another order; each holds its own height."""
    folder.mkdir()
    for k, place in enumerate(places):
        value = np.full((4, 5), 1000 + place * 10, np.uint16)
        name = f"{(7 * k) % len(places)}.dcm"
        about = {"ImagePositionPatient": [0, 0, place], "RescaleSlope": 1} | elements
        write(folder / name, value, **about)
    return folder


# --- What the numbers mean -----------------------------------------------------------------------


def test_rescale_gives_hounsfield_units_and_spacing(tmp_path: Path) -> None:
    volume = read_dicom(write(tmp_path / "a"))
    np.testing.assert_array_equal(volume.hu, 2.0 * STORED[None] - 1000)
    assert volume.spacing_mm == (3.0, 0.5, 0.75)  # rows are 0.5 mm apart, columns 0.75
    assert volume.axes == "SPL"
    assert volume.hu.dtype == np.float32


def test_slope_zero_is_not_taken_for_no_slope(tmp_path: Path) -> None:
    assert (read_dicom(write(tmp_path / "a", RescaleSlope=0)).hu == -1000).all()


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize("bits", [12, 16])
def test_monochrome1_looks_as_monochrome2_does(tmp_path: Path, kind: type, bits: int) -> None:
    low = -(2 ** (bits - 1)) if kind is np.int16 else 0
    bright: Any = np.array([[low, low + 1], [low + 2**bits - 2, low + 2**bits - 1]], kind)
    about = {"Modality": "DX", "BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": None}
    usual = read_dicom(write(tmp_path / "2", bright, **about))
    dark = bright[::-1, ::-1]  # the same picture where the largest number is black
    turned = write(tmp_path / "1", dark, PhotometricInterpretation="MONOCHROME1", **about)
    np.testing.assert_array_equal(read_dicom(turned).values, usual.values)


def test_monochrome1_leaves_hounsfield_units_alone(tmp_path: Path) -> None:
    dark = write(tmp_path / "a", PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read_dicom(dark).hu, 2.0 * STORED[None] - 1000)


def test_padding_becomes_air(tmp_path: Path) -> None:
    hu = read_dicom(write(tmp_path / "a", PixelPaddingValue=0)).hu
    assert hu[0, 0, 0] == AIR
    assert hu[0, 0, 1] == 2 - 1000
    padded = read_dicom(write(tmp_path / "b", RescaleIntercept=-2000, PixelPaddingValue=7)).hu
    assert (padded == AIR).sum() == 1


def test_grey_values_cannot_be_taken_for_hounsfield_units(tmp_path: Path) -> None:
    volume = read_dicom(write(tmp_path / "a", Modality="MR"))
    assert volume.unit == "grey"
    with pytest.raises(ImagingError, match="not Hounsfield units"):
        _ = volume.hu


def test_the_libraries_ct_agrees_with_the_library() -> None:
    path = get_testdata_file("CT_small.dcm", download=False)
    data = pydicom.dcmread(str(path))
    volume = read_dicom(str(path))
    np.testing.assert_array_equal(volume.hu[0], apply_modality_lut(data.pixel_array, data))
    assert volume.spacing_mm == pytest.approx((5.0, 0.661468, 0.661468))


@pytest.mark.parametrize("other", ["RLE", "bigendian", "implicit", "expb", "padded"])
def test_one_mr_in_any_encoding_is_one_image(other: str) -> None:
    def values(name: str) -> Any:
        return read_dicom(str(get_testdata_file(name, download=False))).values

    np.testing.assert_array_equal(values("MR_small.dcm"), values(f"MR_small_{other}.dcm"))


# --- Where the slices are ------------------------------------------------------------------------


def test_slices_are_sorted_by_where_they_lie(tmp_path: Path) -> None:
    heights = [12.5, -5, 0, 2.5, -2.5, 5, 10, 7.5]
    volume = read_dicom(series(tmp_path / "s", heights))
    np.testing.assert_allclose(volume.hu[:, 0, 0], 10 * np.sort(heights), atol=1e-4)
    assert volume.spacing_mm == (2.5, 0.5, 0.75)  # of positions, not the thickness of 3


def test_the_libraries_series_is_sorted_by_its_slice_locations() -> None:
    folder = Path(str(get_testdata_file("CT_small.dcm", download=False))).parent
    folder = folder / "dicomdirtests" / "98892001" / "CT5N"
    files = [pydicom.dcmread(path) for path in folder.iterdir()]
    files.sort(key=lambda data: float(data.ImagePositionPatient[2]))
    volume = read_dicom(folder)
    expected = [apply_modality_lut(data.pixel_array, data) for data in files]
    np.testing.assert_array_equal(volume.hu, np.array(expected, np.float32))
    assert volume.spacing_mm[0] == pytest.approx(2.5)


def test_an_oblique_series_is_sorted_along_its_own_normal(tmp_path: Path) -> None:
    angle = np.deg2rad(30)
    row, column = [1, 0, 0], [0, np.cos(angle), np.sin(angle)]
    normal = np.cross(row, column)
    (tmp_path / "s").mkdir()
    for k in range(4):
        at = [f"{v:.6f}" for v in 4 * k * normal]
        way = [f"{v:.6f}" for v in (*row, *column)]
        about = {"ImagePositionPatient": at, "ImageOrientationPatient": way}
        write(tmp_path / "s" / f"{3 - k}", np.full((4, 5), k, np.uint16), **about)
    volume = read_dicom(tmp_path / "s")
    assert volume.hu[:, 0, 0].tolist() == [-1000, -998, -996, -994]
    assert volume.spacing_mm[0] == pytest.approx(4, abs=1e-4)


@pytest.mark.parametrize(
    ("way", "axes"),
    [
        (AXIAL, "SPL"),
        ([1, 0, 0, 0, 0, -1], "PIL"),
        ([0, 1, 0, 0, 0, -1], "RIP"),
        ([-1, 0, 0, 0, 1, 0], "IPR"),
    ],
)
def test_axes_are_named_by_where_they_lead(tmp_path: Path, way: list[int], axes: str) -> None:
    # Axial; coronal; sagittal; axial seen from the head.
    assert read_dicom(write(tmp_path / "a", ImageOrientationPatient=way)).axes == axes


def enhanced(path: Path, heights: list[float]) -> Path:
    """Write an enhanced CT: frames in one file, geometry and rescale in functional groups."""
    pixels = np.stack([np.full((4, 5), 100 * k, np.uint16) for k in range(len(heights))])
    gone = dict.fromkeys(
        ["PixelSpacing", "SliceThickness", "ImageOrientationPatient", "ImagePositionPatient"]
    )
    write(
        path, pixels, NumberOfFrames=len(heights), RescaleSlope=None, RescaleIntercept=None, **gone
    )
    data = pydicom.dcmread(path)

    def group(name: str, **elements: Any) -> Dataset:
        inner, outer = Dataset(), Dataset()
        for element, value in elements.items():
            setattr(inner, element, value)
        setattr(outer, name, [inner])
        return outer

    shared = group("PixelMeasuresSequence", PixelSpacing=[0.4, 0.6], SliceThickness=9)
    shared.update(group("PlaneOrientationSequence", ImageOrientationPatient=AXIAL))
    data.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k, height in enumerate(heights):
        frame = group("PlanePositionSequence", ImagePositionPatient=[0, 0, height])
        scale = {"RescaleSlope": 1, "RescaleIntercept": -1000 - k}  # a different one in each frame
        frame.update(group("PixelValueTransformationSequence", **scale))
        frames.append(frame)
    data.PerFrameFunctionalGroupsSequence = frames
    data.save_as(path, enforce_file_format=True)
    return path


def test_the_frames_of_an_enhanced_file_have_their_own_place_and_scale(tmp_path: Path) -> None:
    volume = read_dicom(enhanced(tmp_path / "a", [4, 0, 2]))
    assert volume.hu[:, 0, 0].tolist() == [100 - 1001, 200 - 1002, -1000]
    assert volume.spacing_mm == (2.0, 0.4, 0.6)


def test_frames_that_do_not_say_where_they_lie_are_refused() -> None:
    dose = get_testdata_file("rtdose.dcm", download=False)
    with pytest.raises(ImagingError, match="does not say where it lies"):
        read_dicom(str(dose))


# --- Faults --------------------------------------------------------------------------------------


def mixed(folder: Path, **elements: Any) -> Path:
    series(folder, [0, 1, 2])
    about = {"ImagePositionPatient": [0, 0, 3], "RescaleSlope": 1} | elements
    write(folder / "x", **about)
    return folder


def bundled(name: str) -> Callable[[Path], Path]:
    return lambda _: Path(str(get_testdata_file(name, download=False)))


def text(path: Path) -> Path:
    path.write_text("Ceci n'est pas une image." * 20)
    return path


def cut(path: Path) -> Path:
    write(path)
    path.write_bytes(path.read_bytes()[:-10])
    return path


def in_folder(name: str, make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def act(folder: Path) -> Path:
        series(folder, [0, 1, 2])
        make(folder / name)
        return folder

    return act


def empty(folder: Path) -> Path:
    folder.mkdir()
    (folder / ".hidden").touch()
    (folder / "DICOMDIR").touch()
    return folder


FAULTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "not there": (lambda path: path, "File 1 of 1 is not there"),
    "text": (text, "is not DICOM"),
    "no meta header": (bundled("no_meta.dcm"), "is not DICOM"),
    "text in a series": (in_folder("1x.txt", text), "File 3 of 4 is not DICOM"),
    "empty folder": (empty, "holds no file"),
    "report": (bundled("reportsi.dcm"), "holds no image"),
    "waveform": (bundled("waveform_ecg.dcm"), "holds no image"),
    "colour": (bundled("SC_rgb_small_odd.dcm"), "is in colour"),
    "palette": (bundled("examples_palette.dcm"), "is in colour"),
    "no decoder": (bundled("MR_small_jpeg_ls_lossless.dcm"), r"\(JPEG-LS Lossless.*install pylib"),
    "cut off": (cut, "cut off"),
    "cut off, the library's": (bundled("MR_truncated.dcm"), "cut off"),
    "no slope": (lambda path: write(path, RescaleSlope=None), "without rescale slope"),
    "no intercept": (lambda path: write(path, RescaleIntercept=None), "without rescale slope"),
    "no spacing": (lambda path: write(path, PixelSpacing=None), "pass pixel_mm"),
    "spacing zero": (lambda path: write(path, PixelSpacing=[0, 1]), "pass pixel_mm"),
    "two series": (lambda path: mixed(path, SeriesInstanceUID=OTHER_SERIES), "differ in series"),
    "two modalities": (lambda path: mixed(path, Modality="PT"), "differ in modality"),
    "a scout": (
        lambda path: mixed(path, ImageOrientationPatient=[1, 0, 0, 0, 0, -1]),
        "differ in directions",
    ),
    "two spacings": (lambda path: mixed(path, PixelSpacing=[1, 1]), "differ in spacing"),
    "two sizes": (lambda path: mixed(path, pixels=STORED[:3]), "differ in size"),
    "double": (lambda path: series(path, [0, 1, 1, 2]), "Slice 2 is there more than once"),
    "all double": (lambda path: series(path, [1, 1]), "more than once"),
    "gap": (
        lambda path: series(path, [0, 1, 2, 4, 5]),
        r"Slices 3 and 4 are 2\.00 mm apart, others 1\.00 mm",
    ),
    "uneven": (lambda path: series(path, [0, 1, 2.05, 3.05, 4.05]), "Slices 2 and 3"),
    "no position": (
        lambda path: series(path, [0, 1], ImagePositionPatient=None),
        "does not say where it lies",
    ),
    "no direction": (
        lambda path: series(path, [0, 1], ImageOrientationPatient=None),
        "which way they face",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_own_error(tmp_path: Path, fault: str) -> None:
    make, message = FAULTS[fault]
    with pytest.raises(ImagingError, match=message):
        read_dicom(make(tmp_path / "a"))


def test_the_spacing_may_be_given_where_the_file_has_none(tmp_path: Path) -> None:
    bare = write(tmp_path / "a", PixelSpacing=None)
    assert read_dicom(bare, pixel_mm=(0.1, 0.2)).spacing_mm[1:] == (0.1, 0.2)
    assert read_dicom(write(tmp_path / "b"), pixel_mm=(9, 9)).spacing_mm[1:] == (0.5, 0.75)


# --- Identity ------------------------------------------------------------------------------------

MARK = "MUSTERFRAU"
IDENTITY = {
    "PatientName": f"{MARK}^Erika",
    "PatientID": MARK,
    "PatientBirthDate": "19640812",
    "OtherPatientNames": MARK,
    "PatientAddress": MARK,
    "PatientComments": MARK,
    "AccessionNumber": MARK,
    "ReferringPhysicianName": MARK,
    "InstitutionName": MARK,
    "StudyDescription": MARK,
    "SeriesDescription": MARK,
    "ImageComments": MARK,
    "StationName": MARK,
    "DeviceSerialNumber": MARK,
    "StudyID": MARK,
    "RequestAttributesSequence": [],
    "StudyInstanceUID": "1.2.19640812",
    "FrameOfReferenceUID": "1.2.19640812",
    "StudyDate": "19640812",
    "SeriesInstanceUID": "1.2.19640812",
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


def test_nothing_of_the_patient_is_in_what_is_returned(tmp_path: Path) -> None:
    path = write(tmp_path / f"{MARK}.dcm", **IDENTITY)
    assert not is_silent(path.read_bytes())  # the mark is in the file
    volume = read_dicom(path)
    assert is_silent(pickle.dumps(volume))
    assert is_silent(repr(volume))
    assert set(vars(volume)) == {"values", "spacing_mm", "unit", "axes"}


def test_what_names_the_patient_is_not_even_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = []
    keep = scans._frames

    def spy(data: Dataset, *rest: Any) -> Any:
        kept.append(data)
        return keep(data, *rest)

    monkeypatch.setattr(scans, "_frames", spy)
    read_dicom(write(tmp_path / "a", **IDENTITY | {"SeriesInstanceUID": SERIES}))
    assert is_silent(str(kept))
    assert "Modality" in kept[0]


# What goes wrong is made to quote the patient where the library would do so.
QUOTED: dict[str, dict[str, Any]] = {
    "no slope": {"RescaleSlope": None},
    "no spacing": {"PixelSpacing": None},
    "colour": {"PhotometricInterpretation": "PALETTE COLOR"},
    "no image": {"PixelData": None},
    "wrong number of rows": {"Rows": 400},
    "one spacing": {"PixelSpacing": [1]},
}


@pytest.mark.parametrize("fault", [*QUOTED, "text", "cut off", "not there"])
@pytest.mark.parametrize("as_series", [False, True])
def test_nothing_of_the_patient_is_in_an_error_a_warning_or_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str, as_series: bool
) -> None:
    folder = tmp_path / MARK
    folder.mkdir()
    path = folder / f"{MARK}.dcm"
    write(path, **IDENTITY | QUOTED.get(fault, {}))
    if fault == "text":
        path.write_text(f"Patient {MARK}")
    elif fault == "cut off":
        path.write_bytes(path.read_bytes()[:-300])
    elif fault == "not there":
        path.unlink()
    if as_series:
        write(folder / f"{MARK}2.dcm", **IDENTITY)
        write(folder / f"{MARK}3.dcm", **IDENTITY)
    caplog.set_level(logging.DEBUG)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        with pytest.raises(ImagingError) as failed:
            read_dicom(folder if as_series else path)
    # The lines of this file that a traceback shows hold neither mark.
    assert is_silent(said(failed.value))
    assert is_silent(str([str(warning.message) for warning in heard]))
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
    path = tmp_path / f"{MARK}.nii"
    nibabel.save(image, path)
    assert is_silent(pickle.dumps(read_nifti(path, "HU")))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ImagingError) as failed:
        read_nifti(path, "HU")
    assert is_silent(said(failed.value))


# --- NIfTI ---------------------------------------------------------------------------------------

ANATOMY = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)  # axes lead to S, P, L
SPACING = (3.0, 0.5, 0.75)
TURNS = [
    "".join(side[way] for side, way in zip(order, ways, strict=True))
    for order in itertools.permutations(["RL", "AP", "IS"])
    for ways in itertools.product((0, 1), repeat=3)
]


def nifti(path: Path, axes: str) -> Path:
    """Write the anatomy with its axes in another order and direction, and the affine of that."""
    to_axes = ornt_transform(axcodes2ornt("SPL"), axcodes2ornt(axes))
    values = apply_orientation(ANATOMY, to_axes)
    # Column k of the affine is the step along axis k, towards right, anterior, superior.
    step = dict(zip(("S", "I", "P", "A", "L", "R"), np.repeat(SPACING, 2), strict=True))
    axis = {"R": 0, "L": 0, "A": 1, "P": 1, "S": 2, "I": 2}
    affine = np.eye(4)
    affine[:3, :3] = 0
    for k, side in enumerate(axes):
        affine[axis[side], k] = step[side] * (1 if side in "RAS" else -1)
    nibabel.save(nibabel.Nifti1Image(values, affine), path)
    return path


@pytest.mark.parametrize("axes", TURNS)
def test_nifti_in_each_of_48_orientations_is_one_volume(tmp_path: Path, axes: str) -> None:
    volume = read_nifti(nifti(tmp_path / "a.nii.gz", axes), "HU")
    np.testing.assert_array_equal(volume.hu, ANATOMY)
    assert volume.spacing_mm == SPACING
    assert volume.axes == "SPL"
    # The library's own idea of where the file's axes lead.
    image: Any = nibabel.load(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(io_orientation(image.affine), axcodes2ornt(axes))


def test_dicom_and_nifti_of_one_patient_are_the_same_array(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    for k, pixels in enumerate(ANATOMY.astype(np.uint16)):
        at = {"ImagePositionPatient": [0, 0, 3 * k], "RescaleIntercept": 0, "RescaleSlope": 1}
        write(tmp_path / "s" / str(9 - k), pixels, **at)
    from_dicom, from_nifti = (
        read_dicom(tmp_path / "s"),
        read_nifti(nifti(tmp_path / "a.nii", "RAS"), "HU"),
    )
    np.testing.assert_array_equal(from_dicom.hu, from_nifti.hu)
    assert vars(from_dicom) | {"values": 0} == vars(from_nifti) | {"values": 0}


def test_the_slope_and_intercept_of_nifti_are_used(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(8, dtype=np.int16).reshape(2, 2, 2), np.eye(4))
    image.header.set_slope_inter(0.5, -1024)
    image.header.set_data_dtype(np.int16)
    path = tmp_path / "a.nii"
    path.write_bytes(image.to_bytes())
    raw = bytearray(path.read_bytes())
    raw[352:368] = np.arange(8, dtype=np.int16).tobytes()  # as a scanner writes: stored integers
    raw[112:120] = np.array([0.5, -1024], np.float32).tobytes()  # scl_slope, scl_inter
    path.write_bytes(bytes(raw))
    hu = np.sort(read_nifti(path, "HU").hu.ravel())
    np.testing.assert_array_equal(hu, np.arange(8) * 0.5 - 1024)


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1), ("meter", 1000), ("micron", 0.001)])
def test_spacing_is_in_millimetres_whatever_the_file_uses(
    tmp_path: Path, unit: str, factor: float
) -> None:
    image = nibabel.Nifti1Image(ANATOMY, np.diag([1.0, 2.0, 4.0, 1.0]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "a.nii")
    spacing = read_nifti(tmp_path / "a.nii", "grey").spacing_mm
    assert spacing == pytest.approx((4 * factor, 2 * factor, 1 * factor))


def save(image: Any, path: Path) -> Path:
    nibabel.save(image, path)
    return path


def without_orientation(path: Path) -> Path:
    image = nibabel.Nifti1Image(ANATOMY, None)
    image.header["qform_code"] = image.header["sform_code"] = 0
    return save(image, path)


def without_spacing(path: Path) -> Path:
    content = bytearray(save(nibabel.Nifti1Image(ANATOMY, np.eye(4)), path).read_bytes())
    content[296:312] = bytes(16)  # srow_y: the step towards anterior of each axis
    path.write_bytes(bytes(content))
    return path


def cut_nifti(path: Path) -> Path:
    save(nibabel.Nifti1Image(ANATOMY, np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:-8])
    return path


def cut_gzip(path: Path) -> Path:
    whole = gzip.compress(cut_nifti(path).read_bytes())
    path = path.with_suffix(".nii.gz")
    path.write_bytes(whole[:-20])
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
}


@pytest.mark.parametrize("fault", NIFTI_FAULTS)
def test_each_fault_of_nifti_has_its_own_error(tmp_path: Path, fault: str) -> None:
    make, message = NIFTI_FAULTS[fault]
    with pytest.raises(ImagingError, match=message):
        read_nifti(make(tmp_path / "a.nii"), "HU")


def test_a_volume_cannot_be_changed() -> None:
    volume = Volume(ANATOMY, SPACING, "HU", "SPL")
    with pytest.raises(AttributeError):
        volume.unit = "grey"  # type: ignore[misc]
