"""Lesson 01 runs on a folder of a reader's own, and its idioms are Keras's."""

# nbformat and Keras say nothing of their types.
# mypy: allow-untyped-calls, no-warn-return-any

import os
from pathlib import Path
from unittest import mock

import numpy as np
import papermill
import pytest
from nbformat import NotebookNode
from PIL import Image

from medxfer_utils import models
from medxfer_utils.data import WEIGHTS, find_local, imagenet_weights

# isort: split
import keras

from tests.chapters.running import CHAPTERS, said
from tests.package.test_folder import dicom

LESSON = next(path for path in CHAPTERS if path.name.startswith("01"))
WHERE = find_local(WEIGHTS[0].name, WEIGHTS[0].folder)
RNG = np.random.default_rng(3)


def picture(ill: bool) -> np.ndarray:
    """Speckle with a dark spot, the larger and the more ragged in the ill."""
    height, width = np.mgrid[:60, :80]
    edge = 14 + 6 * ill + RNG.normal(0, 1 + 3 * ill, (60, 80))
    spot = np.hypot(height - 30, width - RNG.uniform(30, 50)) < edge
    return np.clip(RNG.gamma(4, 30, (60, 80)) * np.where(spot, 0.3, 1), 0, 255)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty images of each class, of 46 patients: PNG and DICOM, names with spaces and Chinese."""
    root = tmp_path / "my scans 超声"
    rows = ["file,patient"]
    for k, name in enumerate(("other", "Malignant")):
        (root / name).mkdir(parents=True)
        for i in range(30):
            file = f"scan {k} {i:02d} 图" + (".dcm" if i % 5 == 0 else ".png")
            if file.endswith(".dcm"):
                dicom(root / name / file, picture(k == 1))
            else:
                Image.fromarray(picture(k == 1).astype(np.uint8)).save(root / name / file)
            rows.append(f"{file},{k} {i - i % 4 // 3}")
    (root / "patients.csv").write_text("\n".join(rows), "utf-8")
    return root


def run_on(folder: Path) -> NotebookNode:
    told = {"PROFILE": "fast", "SEED": 0, "DATA": str(folder)}
    environment = {"MEDXFER_THREADS": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    with mock.patch.dict(os.environ, environment):
        return papermill.execute_notebook(
            LESSON, None, told, cwd=LESSON.parent, kernel_name="python3", progress_bar=False
        )


@pytest.mark.skipif(not WHERE, reason="MEDXFER_DATA holds no weights of MobileNet")
def test_the_lesson_runs_on_a_folder_of_a_readers_own(folder: Path) -> None:
    nb = run_on(folder)
    texts = "".join(o.get("text", "") for c in nb.cells for o in c.get("outputs", []))
    assert "train   36 images" in texts
    assert "SIMULATED" not in texts
    assert {"official", "flattered", "same"} <= {record["name"] for record in said(nb)}


@pytest.mark.skipif(not WHERE, reason="MEDXFER_DATA holds no weights of MobileNet")
def test_a_damaged_image_ends_the_lesson_with_its_number_and_no_name(folder: Path) -> None:
    (folder / "other" / "scan 0 07 图.png").write_bytes(b"\x89PNG cut off")
    with pytest.raises(
        papermill.PapermillExecutionError, match=r"Image 38 of 60.*Replace"
    ) as ended:
        run_on(folder)
    assert "scan 0 07" not in str(ended.value).replace(str(folder), "")


def test_preprocessing_inside_the_model_is_keras_s_own_and_keeps_proportions() -> None:
    inputs = keras.Input((None, None, 1))
    square = keras.layers.Resizing(32, 32, pad_to_aspect_ratio=True)(inputs)
    colour = keras.layers.Concatenate()([square, square, square])
    model = keras.Model(inputs, keras.layers.Rescaling(1 / 127.5, offset=-1)(colour))
    wide = RNG.uniform(0, 255, (2, 16, 32, 1)).astype("float32")
    grey = np.pad(wide, ((0, 0), (8, 8), (0, 0), (0, 0)))
    theirs = keras.applications.mobilenet.preprocess_input(np.repeat(grey, 3, axis=-1))
    np.testing.assert_allclose(model(wide), theirs, atol=1e-5)


@pytest.mark.skipif(not WHERE, reason="MEDXFER_DATA holds no weights of MobileNet")
def test_the_backbone_of_the_lesson_is_that_of_the_package() -> None:
    path = imagenet_weights(models.weights_url("MobileNet", 0.25))
    told = {"alpha": 0.25, "include_top": False, "pooling": "avg", "weights": path}
    base = keras.applications.MobileNet(input_shape=(64, 64, 3), **told)
    x = RNG.integers(0, 256, (3, 64, 64, 1)).astype("float32")
    ours = base(keras.applications.mobilenet.preprocess_input(np.repeat(x, 3, -1)), training=False)
    theirs = models.backbone("MobileNet", 64, path, alpha=0.25)(x / 255, training=False)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
