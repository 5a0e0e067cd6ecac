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
from tests.faults import untold
from tests.package.conftest import Shown


def start(profile: Any = "full", seed: Any = 0, data: Any = "builtin") -> chapter.Chapter:
    return chapter.start(profile, seed, data)


def test_an_unknown_parameter_is_refused() -> None:
    faults: dict[str, tuple[dict[str, Any], str]] = {
        "profile": ({"profile": "Full"}, "PROFILE is 'Full': choose one of full, fast"),
        "data": ({"data": "no/folder"}, "DATA is .no/folder.: choose .builtin., or the path"),
        "below": ({"seed": -1}, "SEED is -1: choose a whole number from 0 to 4294967295"),
        "above": ({"seed": 2**32}, "SEED is 4294967296: choose"),
    }
    faults |= {repr(s): ({"seed": s}, f"SEED is {s!r}: choose") for s in (0.5, "0", True)}
    assert untold(faults, lambda _, given: start(**given), ValueError) == {}


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


def test_chance_and_sizes_follow_seed_profile_and_purpose() -> None:
    def draw(seed: int) -> tuple[float, float]:
        start(seed=seed)
        return random.random(), np.random.rand()

    assert draw(3) == draw(3)
    assert not {*draw(3)} & {*draw(4)}
    assert [start(profile).pick(full=20, fast=4) for profile in ("full", "fast")] == [20, 4]
    book = start()
    first = book.rng("labels").random(5)
    np.random.rand()
    np.testing.assert_array_equal(book.rng("labels").random(5), first)
    np.testing.assert_array_equal(start("fast").rng("labels").random(5), first)
    others = [book.rng("label"), book.rng("slabel"), start(seed=1).rng("labels")]
    assert not set(first) & {x for rng in others for x in rng.random(5)}


def test_record_shows_a_value_beside_its_band(shown: Shown) -> None:
    inside: tuple[Any, ...] = (0.992, 0.97, 1.0)
    outside: tuple[Any, ...] = (0.9699, np.float32(1.5), float("inf"))
    for value in (*inside, *outside):
        start().record("auc", value, (0.97, 1.0), "AUROC <A on B>")
        data, metadata = shown[-1]
        within = value in inside
        verdict = "within band" if within else "OUTSIDE BAND"
        assert data["text/plain"] == f"AUROC <A on B>: {value:.3f}, expected 0.97 to 1: {verdict}"
        assert "AUROC &lt;A on B&gt;" in data["text/html"]
        assert f'class="band {"band-ok" if within else "band-off"}"' in data["text/html"]
        expected = {"name": "auc", "value": value, "low": 0.97, "high": 1.0, "within": within}
        assert metadata == {"medxfer": expected}
        assert type(metadata["medxfer"]["value"]) is float, "a notebook holds plain numbers only"
    for value, centre in ((0, 30), (1, 90), (0.5, 60), (-9, 3), (9, 117)):
        start().record("x", value, (0, 1), "Value")
        assert f'cx="{centre:.1f}"' in shown[-1][0]["text/html"]
    start().record("x", 2, (2, 2), "Value")
    assert 'cx="60.0"' in shown[-1][0]["text/html"], "a band of no width has a bar too"


def test_an_unusable_value_or_band_is_the_chapters_fault(shown: Shown) -> None:
    nan, inf, ends = float("nan"), float("inf"), "the band runs from"
    faults: dict[str, tuple[Any, str]] = {
        "value": ((nan, (0, 1)), "record 'x': the value is NaN"),
        "order": ((0.5, (1, 0)), f"record 'x': {ends} 1.0 to 0.0"),
        "NaN": ((0.5, (nan, 1)), f"{ends} nan to 1.0"),
        "infinite": ((0.5, (0, inf)), f"{ends} 0.0 to inf"),
    }
    assert (
        untold(faults, lambda _, given: start().record("x", given[0], given[1], "V"), ValueError)
        == {}
    )
    with pytest.raises(ValueError, match=r"check .loss.: the band runs from 0\.6 to 0\.1"):
        start().check("loss", ..., (0.6, 0.1), "Loss")
    assert not shown


def test_a_name_is_used_once_but_the_same_cell_may_run_again(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = start()
    book.record("x", 0.5, (0, 1), "Value")
    with pytest.raises(ValueError, match="'x': this name is used already"):
        book.record("x", 0.6, (0, 1), "Value")
    book = start()
    # The last two: twice in one run of the cell, and in another cell.
    for cell, count, fine in (("a", 1, True), ("a", 2, True), ("a", 2, False), ("b", 3, False)):
        parent = {"metadata": {"cellId": cell}}
        kernel = SimpleNamespace(get_parent=lambda parent=parent: parent, execution_count=count)
        monkeypatch.setattr(chapter, "get_ipython", lambda kernel=kernel: kernel)
        told = untold(
            {"": (0, "used already")}, lambda *_: book.record("x", 0, (0, 1), ""), ValueError
        )
        assert bool(told) is fine, (cell, count)
    assert len(shown) == 3


BAND = (0.1, 0.6)


def checked(shown: Shown, answer: Any, book: chapter.Chapter, band: Any = BAND) -> tuple[str, str]:
    """What a student is told of an answer, and whether it was given and is right."""
    book.check("loss", answer, band, "Loss <A>")
    data, metadata = shown[-1]
    about = metadata["medxfer_check"]
    assert about["name"] == "loss"
    assert "Loss &lt;A&gt;: " in data["text/html"]
    assert "<b>" not in data["text/html"]
    colour = "band-ok" if about["within"] else "band-off"
    assert ('class="band band-' in data["text/html"]) == (f"band {colour}" in data["text/html"])
    verdict = ["open", "answered", "within"][about["answered"] + about["within"]]
    return data["text/plain"].removeprefix("Loss <A>: "), verdict


def test_an_answer_of_any_kind_is_compared_or_named(shown: Shown) -> None:
    book, late = start(), start("fast", 7)
    answer: Any
    for answer in (..., None):
        told = checked(shown, answer, book)
        assert told == ("not answered yet: replace the ... above", "open")
    numbers = [0.1, 0.6, np.float32(0.3), np.array(0.3), np.array([0.3]), [0.3], pd.Series([0.3])]
    for answer in (*numbers, np.True_):
        text, verdict = checked(shown, answer, book, BAND if answer is not np.True_ else (1, 1))
        assert text.endswith(", within the expected band")
        assert verdict == "within"
    for answer in (0.0999, -0.3, 30, float("inf")):
        text, verdict = checked(shown, answer, late)
        words = f"{answer:.3f}, outside the expected band 0.1 to 0.6. Read the exercise again"
        assert (text[: len(words)], verdict) == (words, "answered")
        assert "PROFILE 'fast' and SEED 7" in text
    nan = float("nan")
    kinds: dict[str, Any] = {"of type list": ([0.3, 0.4], [[1], [2, 3]], ["0.3"])}
    kinds |= {"of type ndarray and shape (2,)": (np.array([0.3, 0.4]),), "the text '0.3'": ("0.3",)}
    kinds |= {"the text '<b><b>": ("<b>" * 90,), "NaN": (nan, np.float32("nan"))}
    kinds |= {"of type ndarray and shape (1,)": (np.array([nan]),), "of type int": (10**400,)}
    for said, answers in (kinds | {"of type function": (start,)}).items():
        for answer in answers:
            text, verdict = checked(shown, answer, book)
            assert text.startswith(f"one number is wanted, and this is {said}")
            assert verdict == "answered"
    book.record("loss", 0.3, BAND, "Loss")  # however often it was asked, the name is free


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
LATE = """
import os, tensorflow as tf
from medxfer_utils import chapter
tf.zeros(1)
os.environ['MEDXFER_THREADS'] = '2'
chapter.start('fast', 0, 'builtin')
tf.random.set_seed(None)
tf.random.normal((2,))
"""
MODELS = "import medxfer_utils.models.network"


def printed(source: str) -> subprocess.CompletedProcess[str]:
    """Run this in a process of its own."""
    command = [sys.executable, "-c", source]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_keras_is_repeatable_whenever_it_is_imported() -> None:
    def lines(before: str = "", after: str = "", seed: int = 5) -> list[str]:
        """Train a small network: threads, result, result after a restart."""
        run = printed(DETERMINISM.format(before=before, after=after, seed=seed))
        assert run.returncode == 0, run.stderr
        return run.stdout.splitlines()

    before, after, other = lines(before=MODELS), lines(after=MODELS), lines(MODELS, seed=6)
    assert before[0] == "1 1"
    assert before[1] == before[2], "a second start begins again"
    assert before == after, "models may be imported before the start or after it"
    assert before[1] != other[1]


def test_tensorflow_starts_without_a_word_whoever_imports_it_first() -> None:
    told = ["keras", "tensorflow", "skada", "medxfer_utils.models.network"]
    lines = [f"from medxfer_utils import chapter\nimport {name}" for name in told]
    assert {line: printed(line).stderr for line in lines} == dict.fromkeys(lines, "")


def test_kernels_are_deterministic_and_a_thread_count_that_comes_too_late_is_said() -> None:
    said = printed(LATE).stderr
    assert "Random ops require a seed to be set when determinism is enabled" in said
    assert "RuntimeWarning: TensorFlow has already computed" in said
