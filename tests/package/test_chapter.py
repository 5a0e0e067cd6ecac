"""A chapter opens repeatably, refuses what it does not know and records what it found."""

import random
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import threadpoolctl

import medxfer_utils
from medxfer_utils import chapter

Shown = list[tuple[dict[str, str], dict[str, Any]]]


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What the chapter displays: data and metadata of each output."""
    outputs: Shown = []
    monkeypatch.setattr(
        chapter, "display", lambda data, raw, metadata: outputs.append((data, metadata))
    )
    return outputs


def start(profile: Any = "full", seed: Any = 0, data: Any = "builtin") -> chapter.Chapter:
    return chapter.start(profile, seed, data)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"profile": "Full"}, "PROFILE is 'Full': choose one of full, fast"),
        ({"data": "no/such/folder"}, "DATA is .no/such/folder.: choose .builtin., or the path"),
        ({"seed": -1}, "SEED is -1: choose a whole number from 0 to 4294967295"),
        ({"seed": 2**32}, "SEED is 4294967296: choose"),
        ({"seed": 0.5}, "SEED is 0.5: choose"),
        ({"seed": "0"}, "SEED is '0': choose"),
        ({"seed": True}, "SEED is True: choose"),
    ],
)
def test_unknown_parameter_is_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        start(**parameters)


def test_threads_are_one_or_as_many_as_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEDXFER_THREADS", raising=False)
    assert medxfer_utils.threads() == 1
    for number in (1, 2):
        monkeypatch.setenv("MEDXFER_THREADS", str(number))
        start()
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} == {number}
    for text in ("0", "-1", "two", "1.5", "", "²"):
        monkeypatch.setenv("MEDXFER_THREADS", text)
        with pytest.raises(ValueError, match="MEDXFER_THREADS is"):
            medxfer_utils.threads()


def test_start_seeds_python_and_numpy() -> None:
    def draw(seed: int) -> tuple[float, float]:
        start(seed=seed)
        return random.random(), np.random.rand()

    assert draw(3) == draw(3)
    assert all(a != b for a, b in zip(draw(3), draw(4), strict=True))


def test_pick_follows_the_profile() -> None:
    assert start("full").pick(full=20, fast=4) == 20
    assert start("fast").pick(full=20, fast=4) == 4


def test_rng_depends_on_seed_and_name_only() -> None:
    book = start()
    first = book.rng("labels").random(5)
    np.random.rand()
    np.testing.assert_array_equal(book.rng("labels").random(5), first)
    np.testing.assert_array_equal(start("fast").rng("labels").random(5), first)
    others = [book.rng("label"), book.rng("slabel"), start(seed=1).rng("labels")]
    assert not set(first) & {x for rng in others for x in rng.random(5)}


@pytest.mark.parametrize(
    ("value", "within", "verdict"),
    [
        (0.992, True, "within band"),
        (0.97, True, "within band"),
        (1.0, True, "within band"),
        (0.9699, False, "OUTSIDE BAND"),
        (np.float32(1.5), False, "OUTSIDE BAND"),
        (float("inf"), False, "OUTSIDE BAND"),
    ],
)
def test_record_shows_value_and_band(
    shown: Shown, value: float, within: bool, verdict: str
) -> None:
    start().record("auc", value, (0.97, 1.0), "AUROC <A on B>")
    ((data, metadata),) = shown
    words = f"{value:.3f}, expected 0.97 to 1: {verdict}"
    assert data["text/plain"] == f"AUROC <A on B>: {words}"
    assert "AUROC &lt;A on B&gt;" in data["text/html"]
    assert f'class="band {"band-ok" if within else "band-off"}"' in data["text/html"]
    expected = {"name": "auc", "value": value, "low": 0.97, "high": 1.0, "within": within}
    assert metadata == {"medxfer": expected}
    assert type(metadata["medxfer"]["value"]) is float, "a notebook holds plain numbers only"


def test_bar_puts_the_value_beside_the_band(shown: Shown) -> None:
    for value, centre in ((0, 30), (1, 90), (0.5, 60), (-9, 3), (9, 117)):
        start().record("x", value, (0, 1), "Value")
        assert f'cx="{centre:.1f}"' in shown[-1][0]["text/html"]
    start().record("x", 2, (2, 2), "Value")
    assert 'cx="60.0"' in shown[-1][0]["text/html"], "a band of no width has a bar too"


@pytest.mark.parametrize(
    ("value", "band", "message"),
    [
        (float("nan"), (0, 1), "record 'x': the value is NaN"),
        (0.5, (1, 0), "record 'x': the band runs from 1.0 to 0.0"),
        (0.5, (float("nan"), 1), "the band runs from nan to 1.0"),
        (0.5, (0, float("inf")), "the band runs from 0.0 to inf"),
    ],
)
def test_unusable_record_is_refused(
    shown: Shown, value: float, band: tuple[float, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        start().record("x", value, band, "Value")
    assert not shown


def test_name_is_used_once_until_the_chapter_starts_again(shown: Shown) -> None:
    book = start()
    book.record("x", 0.5, (0, 1), "Value")
    with pytest.raises(ValueError, match="'x': this name is used already"):
        book.record("x", 0.6, (0, 1), "Value")
    start().record("x", 0.6, (0, 1), "Value")
    assert len(shown) == 2


def test_same_cell_may_run_again(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(cell: str, count: int) -> None:
        parent = {"metadata": {"cellId": cell}}
        kernel = SimpleNamespace(get_parent=lambda: parent, execution_count=count)
        monkeypatch.setattr(chapter, "get_ipython", lambda: kernel)
        book.record("x", 0.5, (0, 1), "Value")

    book = start()
    run("a", 1)
    run("a", 2)
    with pytest.raises(ValueError, match="used already"):
        run("a", 2)  # twice in one run of the cell
    with pytest.raises(ValueError, match="used already"):
        run("b", 3)
    assert len(shown) == 2


BAND = (0.1, 0.6)


def about(answered: bool, within: bool) -> dict[str, Any]:
    return {"medxfer_check": {"name": "loss", "answered": answered, "within": within}}


def test_open_exercise_is_no_error(shown: Shown) -> None:
    for answer in (..., None):
        start().check("loss", answer, BAND, "Loss <A>")
        data, metadata = shown[-1]
        assert data["text/plain"] == "Loss <A>: not answered yet: replace the ... above"
        assert "Loss &lt;A&gt;: " in data["text/html"]
        assert metadata == about(answered=False, within=False)


def test_number_of_any_kind_is_compared(shown: Shown) -> None:
    numbers = [0.1, 0.6, np.float32(0.3), np.array(0.3), np.array([0.3]), [0.3], pd.Series([0.3])]
    for answer in (*numbers, np.True_):
        start().check("loss", answer, BAND if answer is not np.True_ else (1, 1), "Loss")
        data, metadata = shown[-1]
        assert data["text/plain"].endswith(", within the expected band")
        assert 'class="band band-ok"' in data["text/html"]
        assert metadata == about(answered=True, within=True)
    for answer in (0.0999, -0.3, 30, float("inf")):
        start("fast", 7).check("loss", answer, BAND, "Loss")
        data, metadata = shown[-1]
        words = f"Loss: {answer:.3f}, outside the expected band 0.1 to 0.6. Read the exercise again"
        assert data["text/plain"].startswith(words)
        assert "PROFILE 'fast' and SEED 7" in data["text/plain"]
        assert 'class="band band-off"' in data["text/html"]
        assert metadata == about(answered=True, within=False)


def test_what_is_no_number_is_named(shown: Shown) -> None:
    for answer, said in [
        (np.array([0.3, 0.4]), "of type ndarray and shape (2,)"), ([0.3, 0.4], "of type list"),
        ([[1], [2, 3]], "of type list"), ("0.3", "the text '0.3'"), (["0.3"], "of type list"),
        ("<b>" * 90, "the text '<b><b>"), (float("nan"), "NaN"), (np.float32("nan"), "NaN"),
        (np.array([np.nan]), "of type ndarray and shape (1,)"), (10**400, "of type int"),
        (start, "of type function"),
    ]:  # fmt: skip
        start().check("loss", answer, BAND, "Loss")
        data, metadata = shown[-1]
        assert data["text/plain"].startswith(f"Loss: one number is wanted, and this is {said}")
        assert "<b>" not in data["text/html"]
        assert metadata == about(answered=True, within=False)


def test_check_is_repeated_and_leaves_the_name_free(shown: Shown) -> None:
    book = start()
    for answer in (..., 0.3, 0.3):
        assert book.check("loss", answer, BAND, "Loss") is None  # type: ignore[func-returns-value]
    book.record("loss", 0.3, BAND, "Loss")
    assert len(shown) == 4


def test_unusable_band_is_the_chapters_fault(shown: Shown) -> None:
    with pytest.raises(ValueError, match=r"check .loss.: the band runs from 0\.6 to 0\.1"):
        start().check("loss", ..., (0.6, 0.1), "Loss")
    assert not shown


DETERMINISM = """
import sys, warnings
warnings.simplefilter("error")
from medxfer_utils import chapter
{before}
chapter.start("fast", {seed}, "builtin")
{after}
import keras, tensorflow as tf
print(tf.config.threading.get_intra_op_parallelism_threads(),
      tf.config.threading.get_inter_op_parallelism_threads())
def train():
    layers = keras.layers
    model = keras.Sequential([layers.Dense(3), layers.Dropout(0.5), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = tf.random.normal((64, 4)) + keras.random.normal((64, 4))
    model.fit(x, x[:, :1], epochs=2, batch_size=8, verbose=0)
    return float(tf.reduce_sum(model(x))).hex()
print(train())
chapter.start("fast", {seed}, "builtin")
print(train())
"""
MODELS = "import medxfer_utils.models.network"


def printed(source: str) -> subprocess.CompletedProcess[str]:
    """Run this in a process of its own."""
    command = [sys.executable, "-c", source]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def lines(before: str = "", after: str = "", seed: int = 5) -> list[str]:
    """Train a small network: threads, result, result after a restart."""
    run = printed(DETERMINISM.format(before=before, after=after, seed=seed))
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def test_keras_is_repeatable_whenever_it_is_imported() -> None:
    before, after, other = lines(before=MODELS), lines(after=MODELS), lines(MODELS, seed=6)
    assert before[0] == "1 1"
    assert before[1] == before[2], "a second start begins again"
    assert before == after, "models may be imported before the start or after it"
    assert before[1] != other[1]


def test_kernels_are_deterministic_and_a_thread_count_that_comes_too_late_is_said() -> None:
    run = printed(
        "import os, tensorflow as tf\nfrom medxfer_utils import chapter\ntf.zeros(1)\n"
        "os.environ['MEDXFER_THREADS'] = '2'\nchapter.start('fast', 0, 'builtin')\n"
        "tf.random.set_seed(None)\ntf.random.normal((2,))"
    )
    assert "Random ops require a seed to be set when determinism is enabled" in run.stderr
    assert "RuntimeWarning: TensorFlow has already computed" in run.stderr
