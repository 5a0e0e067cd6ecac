"""Downloads: every fault a file can have, who comes first, and what the labels mean.

A server in this process stands in for the official one; the files are tiny ones that are written
here. Where `MEDXFER_DATA` holds the real sets, they go through the same tests as their stand-ins.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pooch
import pytest

from medxfer_utils.data import (
    HEART,
    KNOWN_COPIES,
    PARTS,
    REGISTRY,
    SETS,
    WEIGHTS,
    ChecksumError,
    ContentError,
    DataError,
    DownloadError,
    ImageSet,
    MedMNIST,
    RemoteFile,
    fetch,
    files,
    find_local,
    imagenet_weights,
    medmnist,
    sums_of,
)
from medxfer_utils.data.__main__ import main
from tests.faults import untold

ROOT = Path(__file__).resolve().parents[2]
COUNTS = (4, 2, 3)
Arrays = dict[str, Any]


def images(name: str = "tinymnist", seed: int = 0) -> Arrays:
    """Arrays as a set should hold them, at 28 pixels, labels in turn."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, n in zip(PARTS, SETS[name].counts if name in SETS else COUNTS, strict=True):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n, dtype=np.uint8) % 2)[:, None]
    return arrays


def npz(arrays: Arrays) -> bytes:
    """The bytes of an npz file of these arrays."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


def md5(content: bytes, folder: Path) -> str:
    path = folder / "summed"
    path.write_bytes(content)
    return f"md5:{pooch.file_hash(str(path), 'md5')}"


GOOD = npz(images())


class Server:
    """What it answers: bytes with status 200, or a status; `cut` announces more than it sends."""

    def __init__(self) -> None:
        self.content, self.status, self.cut, self.asked = GOOD, 200, 0, 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(outer.content) + outer.cut))
                self.end_headers()
                self.wfile.write(outer.content)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/tinymnist.npz"
        serve = partial(self.http.serve_forever, poll_interval=0.01)
        threading.Thread(target=serve, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.http.shutdown()
    running.http.server_close()


@pytest.fixture(autouse=True)
def away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's own folder or cache, and no proxy, has a part in these tests."""
    monkeypatch.delenv("MEDXFER_DATA", raising=False)
    monkeypatch.setenv("MEDXFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")


@pytest.fixture
def tiny(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RemoteFile:
    """A set of nine images in the registry, official on the local server."""
    about = ImageSet({28: md5(GOOD, tmp_path)[4:]}, COUNTS, ("ill", "well"), "-", "Tiny.", 0)
    file = replace(about.file("tinymnist", 28), url=server.url)
    monkeypatch.setitem(SETS, "tinymnist", about)
    monkeypatch.setitem(REGISTRY, file.name, file)
    return file


def kept(tmp_path: Path) -> list[str]:
    """The files in the cache."""
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes, at: str) -> Path:
    """A file in a reader's own folder."""
    path = tmp_path / "own" / at
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path / "own"))
    return path


def test_a_download_is_read_kept_and_not_asked_for_again(
    tiny: RemoteFile, server: Server, tmp_path: Path
) -> None:
    expected = images()
    for _ in range(2):
        data = medmnist("tinymnist")
        np.testing.assert_array_equal(data.val.x, expected["val_images"])
        np.testing.assert_array_equal(data.test.official, expected["test_labels"][:, 0])
    assert (server.asked, kept(tmp_path)) == (1, ["tinymnist.npz"])
    assert data.is_official
    assert data.sums[0] == tiny.sum


@pytest.mark.parametrize("at", ["medmnist/tinymnist.npz", "tinymnist.npz"])
def test_the_own_folder_comes_before_the_cache_and_the_cache_before_the_network(
    tiny: RemoteFile, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, at: str
) -> None:
    cached = fetch(tiny)
    server.status = 500
    assert fetch(tiny) == cached
    mine = own(monkeypatch, tmp_path, GOOD, at)
    assert fetch(tiny) == mine
    assert server.asked == 1


def spoiled(**changes: Any) -> bytes:
    """The good file with some arrays changed, or left out where the change is None."""
    return npz({k: v for k, v in (images() | changes).items() if v is not None})


def with_broken_bytes() -> bytes:
    """The good file with a stretch of the first array's compressed bytes overwritten."""
    return GOOD[:300] + bytes(50) + GOOD[350:]


WRONG_CONTENT = {
    "missing array": (spoiled(val_labels=None), r"no array 'val_labels', only train_images"),
    "objects": (spoiled(val_labels=np.array([[None]] * 2)), "array of Python objects"),
    "shape": (
        spoiled(val_images=images()["val_images"][:, :27]),
        r"'val_images' has shape \(2, 27, 28\) and type uint8, expected \(2, 28, 28\)",
    ),
    "count": (spoiled(test_labels=np.zeros((4, 1), np.uint8)), r"'test_labels' has shape \(4, 1\)"),
    "type": (spoiled(val_images=np.ones((2, 28, 28))), "type float64, expected .* uint8"),
    "text labels": (spoiled(val_labels=np.array([["a"], ["b"]])), "type <U1"),
    "broken bytes": (with_broken_bytes(), "'train_images' is damaged"),
}
PAGE = b"\n <!DOCTYPE html><html>Too many requests</html>"
NOT_THE_FILE = {
    "web page": (PAGE, "is a web page, not tinymnist.npz"),
    "empty": (b"", "is no .npz file"),
    "pickle": (pickle.dumps(images()), "is no .npz file"),
    "cut off": (GOOD[:-100], "is cut off"),
}


def test_a_faulty_file_has_its_own_error_and_a_faulty_download_is_not_kept(
    tiny: RemoteFile, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    faults = NOT_THE_FILE | WRONG_CONTENT

    def downloaded(_: str, content: bytes) -> None:
        server.content = content
        # As if this were what the registry knows, so that the sum does not speak first.
        fetch(replace(tiny, sum=md5(content, tmp_path)))

    assert untold(faults, downloaded, ContentError) == {}
    assert (server.asked, kept(tmp_path)) == (len(faults), [])
    mine = own(monkeypatch, tmp_path, b"", "tinymnist.npz")

    def readers(_: str, content: bytes) -> None:
        mine.write_bytes(content)
        medmnist("tinymnist", also=[md5(content, tmp_path)])

    assert untold(faults, readers, ContentError) == {}
    assert mine.read_bytes() == faults["broken bytes"][0]  # a reader's own is left alone


def test_python_objects_are_never_loaded(
    tiny: RemoteFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "sprung",)

    content = spoiled(train_labels=np.array([[Trap()]] * 4))
    own(monkeypatch, tmp_path, content, "tinymnist.npz")
    with pytest.raises(ContentError):
        medmnist("tinymnist", also=[md5(content, tmp_path)])
    assert not (tmp_path / "sprung").exists()


def test_another_sum_is_refused_with_both_sums_and_accepted_if_asked_for(
    tiny: RemoteFile, server: Server, tmp_path: Path
) -> None:
    server.content = npz(images(seed=1))
    other = md5(server.content, tmp_path)
    with pytest.raises(ChecksumError) as refused:
        medmnist("tinymnist")
    message = str(refused.value)
    assert all(part in message for part in (other, tiny.sum, tiny.url, "tinymnist.npz"))
    assert "It is known" not in message
    assert kept(tmp_path) == []
    (advice,) = re.findall(r"also=\['(sha256:\w+)'\]", message)
    for also in ([other], [advice], advice):
        data = medmnist("tinymnist", also=also)
        assert not data.is_official
        assert {other, advice} == set(data.sums)


def test_a_known_copy_is_refused_too_but_with_what_is_known_of_it(
    tiny: RemoteFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mine = own(monkeypatch, tmp_path, npz(images(seed=1)), "tinymnist.npz")
    monkeypatch.setitem(KNOWN_COPIES, sums_of(mine)[1], "made for a test")
    with pytest.raises(ChecksumError, match=r"It is known: made for a test.*also=KNOWN_COPIES"):
        medmnist("tinymnist")
    assert not medmnist("tinymnist", also=KNOWN_COPIES).is_official


def test_a_file_damaged_in_the_cache_is_replaced_or_at_least_goes(
    tiny: RemoteFile, server: Server, tmp_path: Path
) -> None:
    cached = fetch(tiny)
    cached.write_bytes(GOOD[:-100])
    with pytest.warns(UserWarning, match="Removed from the cache: .*cut off"):
        assert fetch(tiny).read_bytes() == GOOD
    assert server.asked == 2
    cached.write_bytes(PAGE)
    refuse(server)
    with pytest.warns(UserWarning, match="web page"), pytest.raises(DownloadError):
        fetch(tiny)
    assert kept(tmp_path) == []


def refuse(server: Server) -> None:
    server.http.shutdown()
    server.http.server_close()


NO_ANSWER: dict[str, tuple[Callable[[Server], None], str]] = {
    "404": (lambda server: setattr(server, "status", 404), "the server answered 404 Not Found"),
    "503": (lambda server: setattr(server, "status", 503), "the server answered 503"),
    "broken off": (lambda server: setattr(server, "cut", 1000), "ChunkedEncodingError"),
    "no server": (refuse, "no connection, or it broke off: ConnectionError"),
}


@pytest.mark.parametrize("fault", NO_ANSWER)
def test_without_an_answer_the_error_says_where_to_put_the_file(
    tiny: RemoteFile, server: Server, tmp_path: Path, fault: str
) -> None:
    act, why = NO_ANSWER[fault]
    act(server)
    with pytest.raises(DownloadError, match=why) as failed:
        medmnist("tinymnist")
    message = str(failed.value)
    assert all(part in message for part in (tiny.url, tiny.name, "called medmnist", "MEDXFER_DATA"))
    assert kept(tmp_path) == []


def test_a_fault_of_this_machine_is_not_called_a_network_fault(
    tiny: RemoteFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MEDXFER_CACHE", str(tmp_path / "file" / "cache"))
    # Not an OSError: chapter 05 goes on with simulated patients only after a DataError.
    with pytest.raises(DownloadError, match=r"Not a directory|cannot find the path|File exists"):
        fetch(tiny)
    monkeypatch.setenv("MEDXFER_CACHE", str(tmp_path / "cache"))
    ends: dict[type[BaseException], BaseException] = {
        DownloadError: OSError(28, "No space left on device"),
        KeyboardInterrupt: KeyboardInterrupt("No space left on device"),
    }
    for expected, end in ends.items():

        def interrupted(self: object, url: str, output: str, *_: object, end: Any = end) -> None:
            Path(output).write_bytes(GOOD[:100])
            raise end

        monkeypatch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
        with pytest.raises(expected, match="No space left on device"):
            fetch(tiny)
        assert kept(tmp_path) == []


def test_a_folder_that_is_not_there_is_an_error(
    tiny: RemoteFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MEDXFER_DATA", str(tmp_path / "typo"))
    with pytest.raises(DataError, match="typo': there is no such folder"):
        fetch(tiny)


def test_weights_come_from_the_folder_keras_or_the_network(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    path = tmp_path / "summed.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = np.ones(3)
    content = path.read_bytes()
    url = server.url.replace("tinymnist.npz", "w.h5")
    known = RemoteFile("w.h5", url, md5(content, tmp_path), "-", "-", folder="weights")
    monkeypatch.setitem(REGISTRY, "w.h5", known)
    server.content = PAGE
    with pytest.raises(ContentError, match=r"is a web page, not w\.h5"):
        imagenet_weights(url)
    server.content = content
    assert imagenet_weights(url) == tmp_path / "cache" / "weights" / "w.h5"
    theirs = tmp_path / "keras" / "models" / "w.h5"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(content)
    assert imagenet_weights(url) == theirs
    theirs.write_bytes(content + b"1")
    with pytest.raises(ChecksumError):
        imagenet_weights(url)
    mine = own(monkeypatch, tmp_path, content, "weights/w.h5")
    assert imagenet_weights(url) == mine
    # Of another width nobody publishes a sum.
    assert imagenet_weights(f"{server.url[:-13]}other.h5").read_bytes() == content


TEXT = b"63.0,1.0,?,0\r\n67.0,1.0,4.0,2\n"
NOT_TEXT = {
    "web page": (PAGE, "is a web page, not t.data"),
    "empty": (b"", r"is no \.data file"),
    "binary": (GOOD, r"is no \.data file"),
    "a zero byte": (TEXT + b"\0", r"is no \.data file"),
    "another encoding": (TEXT.decode().encode("utf-16"), r"is no \.data file"),
}


@pytest.fixture
def text(server: Server, tmp_path: Path) -> RemoteFile:
    """A text file, official on the local server."""
    server.content = TEXT
    return RemoteFile("t.data", server.url, md5(TEXT, tmp_path), "-", "-", folder="texts")


def test_a_text_file_is_kept_as_it_is(text: RemoteFile, tmp_path: Path) -> None:
    path = fetch(text)
    assert path == tmp_path / "cache" / "texts" / "t.data"
    assert path.read_bytes() == TEXT


def test_what_is_no_text_is_refused_before_its_sum_and_what_is_changed_by_it(
    text: RemoteFile, server: Server, tmp_path: Path
) -> None:
    def downloaded(_: str, content: bytes, known: str = text.sum) -> None:
        server.content = content
        fetch(replace(text, sum=known))

    assert untold(NOT_TEXT, downloaded, ContentError) == {}
    known = partial(md5, folder=tmp_path)
    same = untold(NOT_TEXT, lambda k, c: downloaded(k, c, known(c)), ContentError)
    assert same == {}
    not_official = r"not the official t\.data"
    changed = {
        "cut off": (TEXT[:-10], not_official),
        "": (TEXT.replace(b"67", b"76"), not_official),
    }
    assert untold(changed, downloaded, ChecksumError) == {}
    assert kept(tmp_path) == []


def closed_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    return port


def test_without_a_network_the_files_of_the_hospitals_fail_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    for file in HEART.values():
        with pytest.raises(DownloadError, match="called uci_heart, and set MEDXFER_DATA") as failed:
            fetch(file)
        assert file.url in str(failed.value)
    assert kept(tmp_path) == []


def test_a_server_that_says_nothing_is_not_waited_for(
    text: RemoteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert files.SECONDS[0] < 10  # to connect
    monkeypatch.setattr(files, "SECONDS", (5, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        file = replace(text, url=f"http://127.0.0.1:{silent.getsockname()[1]}/t.data")
        with pytest.raises(DownloadError, match="or it broke off: ReadTimeout"):
            fetch(file)


def test_every_file_has_address_sum_licence_and_a_cited_source() -> None:
    keys = set(
        re.findall(r"^@\w+\{(\w+),", (ROOT / "book/references.bib").read_text("utf-8"), re.M)
    )
    for name, file in REGISTRY.items():
        assert file.url.startswith("https://")
        assert file.url.endswith(f"/{name}")
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.sum)
        assert file.licence in {"CC BY 4.0", "CC BY-NC 4.0", "Apache-2.0"}
        assert file.citation in keys, file.citation
        assert file.faults or file.folder == "weights"
    assert len({file.sum for file in REGISTRY.values()}) == len(REGISTRY)


def test_the_sets_are_those_of_the_paper() -> None:
    # Yang et al. 2023, table 2: images and classes. NoduleMNIST3D has 1,633 volumes.
    published = {"breastmnist": (780, 2), "pneumoniamnist": (5856, 2), "nodulemnist3d": (1633, 2)}
    published |= {"dermamnist": (10015, 7), "bloodmnist": (17092, 8)}
    for name, (images_, classes) in published.items():
        assert (sum(SETS[name].counts), len(SETS[name].labels)) == (images_, classes)
    shape = {name: SETS[name].file(name, 64).arrays["val_images"] for name in SETS}
    assert shape["bloodmnist"] == (1712, 64, 64, 3)
    assert shape["nodulemnist3d"] == (165, 64, 64, 64)
    assert shape["organamnist"] == (6491, 64, 64)


def test_a_set_or_size_that_does_not_exist_is_refused() -> None:
    faults = {"mnist": (28, "choose breastmnist, pneu")}
    faults |= {"nodulemnist3d": (224, "nodulemnist3d at 28, 64 p")}
    assert untold(faults, medmnist, ValueError) == {}


def stand_in(name: str) -> Arrays:
    """A set with the counts, prevalence and known faults of the real one, and random pixels."""
    arrays = images(name)
    for part, prevalence in PREVALENCE[name].items():
        ill = np.arange(len(arrays[f"{part}_labels"])) < prevalence * len(arrays[f"{part}_labels"])
        arrays[f"{part}_labels"] = (ill if SETS[name].disease else ~ill)[:, None].astype(np.uint8)
    if name == "breastmnist":  # one image, malignant in train and benign in test
        arrays["test_images"][-1] = arrays["train_images"][0]
    else:
        arrays["val_images"][:8] = arrays["train_images"][:8]
    return arrays


# Prevalence of the disease: 210 malignant of 780 (Al-Dhabyani et al. 2020), the same in each part;
# 4,273 pneumonias of 5,856 (Kermany et al. 2018), 390 of the 624 in test.
PREVALENCE = {
    "breastmnist": dict.fromkeys(PARTS, 210 / 780),
    "pneumoniamnist": {"train": 3883 / 5232, "val": 3883 / 5232, "test": 390 / 624},
}
HERE = [name for name in PREVALENCE if find_local(f"{name}.npz", "medmnist")]
REAL_FOLDER = os.environ.get("MEDXFER_DATA", "")


@pytest.fixture(params=[*(f"{name}, stand-in" for name in PREVALENCE), *HERE])
def real(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> MedMNIST:
    name, _, made = request.param.partition(", ")
    if not made:
        monkeypatch.setenv("MEDXFER_DATA", REAL_FOLDER)
        return medmnist(name, also=KNOWN_COPIES)
    content = npz(stand_in(name))
    own(monkeypatch, tmp_path, content, f"medmnist/{name}.npz")
    return medmnist(name, also=[md5(content, tmp_path)])


def test_the_disease_is_one_in_the_published_numbers(real: MedMNIST) -> None:
    assert real.labels[1] == {"breastmnist": "malignant", "pneumoniamnist": "pneumonia"}[real.name]
    for part in PARTS:
        y = getattr(real, part).y
        assert set(y) == {0, 1}
        assert y.mean() == pytest.approx(PREVALENCE[real.name][part], abs=0.01)
        agree = (y == getattr(real, part).official).mean()
        assert agree == (0 if real.name == "breastmnist" else 1)


def test_the_known_faults_are_in_the_file(real: MedMNIST) -> None:
    where = {
        part: dict(zip(map(bytes, getattr(real, part).x), getattr(real, part).y, strict=True))
        for part in PARTS
    }
    other = "test" if real.name == "breastmnist" else "val"
    shared = where["train"].keys() & where[other].keys()
    labels = {(int(where["train"][image]), int(where[other][image])) for image in shared}
    if real.name == "breastmnist":
        assert (len(shared), labels) == (1, {(1, 0)})
        assert "One image is in train as malignant and in test as benign" in real.file.faults
    else:
        assert len(shared) == 8
        assert "Eight images are in both train and val" in real.file.faults


def test_from_the_command_line(
    tiny: RemoteFile, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tinymnist"]) == 0
    assert "4 in train, 2 in val, 3 in test" in capsys.readouterr().out
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{name}  " in listed for name in REGISTRY)
    assert main(["tinymnist", "--size", "64"]) == 1
    assert "28 pixels" in capsys.readouterr().out
    monkeypatch.setattr(f"{main.__module__}.imagenet_weights", lambda url: url)
    assert main(["weights"]) == 0
    assert capsys.readouterr().out == f"{WEIGHTS[0].url}: Apache-2.0.\n"


HEART_HERE = all(find_local(file.name, file.folder) for file in HEART.values())


@pytest.mark.parametrize("really", [False, *([True] if HEART_HERE else [])])
def test_the_hospitals_from_the_command_line(
    really: bool,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("MEDXFER_DATA", REAL_FOLDER if really else str(tmp_path))
    patients = {"Cleveland": 303, "Budapest": 294, "Zurich": 123, "Long Beach": 200}
    if not really:
        patients = {name: n for n, name in enumerate(HEART, start=1)}
        for (name, file), n in zip(HEART.items(), patients.values(), strict=True):
            (tmp_path / file.name).write_bytes(TEXT[14:] * n)
            monkeypatch.setitem(
                cast(dict[str, RemoteFile], HEART),
                name,
                replace(file, sum=md5(TEXT[14:] * n, tmp_path)),
            )
    assert main(["heart"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" Beware: ")[0] for line in lines] == [
        f"{name}: {n} patients." for name, n in patients.items()
    ]
    assert all(file.faults in line for file, line in zip(HEART.values(), lines, strict=True))
    own(monkeypatch, tmp_path, b"1", HEART["Cleveland"].name)
    assert main(["heart"]) == 1
    assert "not the official processed.cleveland.data" in capsys.readouterr().out
