"""Downloads: every fault a file can have, who comes first, and what the labels mean.

A server in this process stands in for the official one; the files are tiny ones that are written
here. Where `MEDXFER_DATA` holds the real sets, they go through the same tests as a stand-in.
"""

from __future__ import annotations

import io
import os
import pickle
import re
import shutil
import socket
import ssl
import subprocess
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

from medxfer_utils import data
from medxfer_utils.data import files
from medxfer_utils.data.__main__ import from_command_line as main
from tests.faults import untold

ROOT = Path(__file__).resolve().parents[2]
REAL_FOLDER = os.environ.get("MEDXFER_DATA", "")
COUNTS = (4, 2, 3)
Arrays = dict[str, Any]


def images(counts: tuple[int, ...] = COUNTS, seed: int = 0) -> Arrays:
    """Arrays as a set should hold them, at 28 pixels, labels in turn."""
    rng, arrays = np.random.default_rng(seed), {}
    for part, n in zip(data.PARTS, counts, strict=True):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n, dtype=np.uint8) % 2)[:, None]
    return arrays


def npz(arrays: Arrays) -> bytes:
    """The bytes of an npz file of these arrays."""
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    return out.getvalue()


GOOD = npz(images())
PAGE = b"\n <!DOCTYPE html><html>Too many requests</html>"
TEXT = b"63.0,1.0,?,0\r\n67.0,1.0,4.0,2\n"
WOMEN = b"pid,age,meno,size,grade,nodes,pgr,er,rfstime,status\n1,50,0,21,3,2,5,0,900,1\n"
COUNTRIES = (("Rotterdam", 1), ("Germany", 2))  # who has how many of these women


class Place:
    """A reader's folder, a cache, and a server that answers with bytes or a status.

    `cut` announces more than is sent. `tiny` is a set of nine images in the registry, and `text` a
    text file, both official on this server.
    """

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.content, self.status, self.cut, self.asked = GOOD, 200, 0, 0
        self.folder, self.patch = folder, patch
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
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        serve = partial(self.http.serve_forever, poll_interval=0.01)
        threading.Thread(target=serve, daemon=True).start()
        about = data.ImageSet({28: self.md5(GOOD)[4:]}, COUNTS, ("ill", "well"), "-", "Tiny.", 0)
        self.tiny = replace(about.file("tinymnist", 28), url=f"{self.url}tinymnist.npz")
        self.text = self.file("t.data", TEXT, "texts")
        patch.setitem(data.SETS, "tinymnist", about)
        patch.setitem(data.REGISTRY, self.tiny.name, self.tiny)

    def md5(self, content: bytes) -> str:
        path = self.folder / "summed"
        path.write_bytes(content)
        return f"md5:{pooch.file_hash(str(path), 'md5')}"

    def file(self, name: str, content: bytes, folder: str) -> data.RemoteFile:
        return data.RemoteFile(name, self.url + name, self.md5(content), "-", "-", folder=folder)

    def kept(self) -> list[str]:
        """The files in the cache."""
        cache = self.folder / "cache"
        return sorted(path.name for path in cache.rglob("*") if path.is_file())

    def own(self, content: bytes, at: str) -> Path:
        """A file in a reader's own folder."""
        path = self.folder / "own" / at
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.patch.setenv("MEDXFER_DATA", str(self.folder / "own"))
        return path

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def fetched(self, _: str, content: bytes, file: data.RemoteFile | None = None) -> Path:
        """What comes of a download of this; as if the registry knew it, unless a file is given."""
        self.content = content
        return data.fetch(file or replace(self.tiny, sum=self.md5(content)))


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Place]:
    """Nobody's own folder or cache, and no proxy, has a part in these tests."""
    monkeypatch.delenv("MEDXFER_DATA", raising=False)
    monkeypatch.setenv("MEDXFER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    made = Place(tmp_path, monkeypatch)
    yield made
    made.close()


def test_a_download_is_read_kept_and_not_asked_for_again(place: Place) -> None:
    expected = images()
    for _ in range(2):
        found = data.medmnist("tinymnist")
        np.testing.assert_array_equal(found.val.x, expected["val_images"])
        np.testing.assert_array_equal(found.test.official, expected["test_labels"][:, 0])
        np.testing.assert_array_equal(found.test.y, 1 - found.test.official)  # the disease is 1
    assert (place.asked, place.kept()) == (1, ["tinymnist.npz"])
    assert (found.is_official, found.sums[0], found.labels[1]) == (True, place.tiny.sum, "ill")


@pytest.mark.parametrize("at", ["medmnist/tinymnist.npz", "tinymnist.npz"])
def test_the_own_folder_comes_before_the_cache_and_the_cache_before_the_network(
    place: Place, at: str
) -> None:
    cached = data.fetch(place.tiny)
    place.status = 500
    assert data.fetch(place.tiny) == cached
    mine = place.own(GOOD, at)
    assert data.fetch(place.tiny) == mine
    assert place.asked == 1
    place.patch.setenv("MEDXFER_DATA", str(place.folder / "typo"))
    with pytest.raises(data.DataError, match="typo': there is no such folder"):
        data.fetch(place.tiny)


def spoiled(**changes: Any) -> bytes:
    """The good file with some arrays changed, or left out where the change is None."""
    return npz({k: v for k, v in (images() | changes).items() if v is not None})


FAULTS = {
    "web page": (PAGE, "is a web page, not tinymnist.npz"),
    "empty": (b"", "is no .npz file"),
    "pickle": (pickle.dumps(images()), "is no .npz file"),
    "cut off": (GOOD[:-100], "is cut off"),
    "missing array": (spoiled(val_labels=None), r"no array 'val_labels', only train_images"),
    "objects": (spoiled(val_labels=np.array([[None]] * 2)), "array of Python objects"),
    "shape": (
        spoiled(val_images=images()["val_images"][:, :27]),
        r"'val_images' has shape \(2, 27, 28\) and type uint8, expected \(2, 28, 28\)",
    ),
    "count": (spoiled(test_labels=np.zeros((4, 1), np.uint8)), r"'test_labels' has shape \(4, 1\)"),
    "type": (spoiled(val_images=np.ones((2, 28, 28))), "type float64, expected .* uint8"),
    "text labels": (spoiled(val_labels=np.array([["a"], ["b"]])), "type <U1"),
    "broken bytes": (GOOD[:300] + bytes(50) + GOOD[350:], "'train_images' is .*damaged"),
}


def test_a_faulty_file_has_its_own_error_and_a_download_of_it_is_not_kept(place: Place) -> None:
    assert untold(FAULTS, place.fetched, data.ContentError) == {}
    assert (place.asked, place.kept()) == (len(FAULTS), [])

    def readers(_: str, content: bytes) -> None:
        mine = place.own(content, "tinymnist.npz")
        try:
            data.medmnist("tinymnist", also=[place.md5(content)])
        finally:
            assert mine.read_bytes() == content  # a reader's own is left alone

    assert untold(FAULTS, readers, data.ContentError) == {}


def test_what_is_no_text_is_refused_before_its_sum_and_what_is_changed_by_it(place: Place) -> None:
    faults = {
        "web page": (PAGE, "is a web page, not t.data"),
        "empty": (b"", r"is no \.data file"),
        "binary": (GOOD, r"is no \.data file"),
        "a zero byte": (TEXT + b"\0", r"is no \.data file"),
        "another encoding": (TEXT.decode().encode("utf-16"), r"is no \.data file"),
    }
    assert untold(faults, partial(place.fetched, file=place.text), data.ContentError) == {}
    changed = {"cut": (TEXT[:-10], "not the official t"), "": (TEXT[::-1], "not the official t")}
    assert untold(changed, partial(place.fetched, file=place.text), data.ChecksumError) == {}
    assert place.kept() == []
    path = place.fetched("whole", TEXT, place.text)
    assert (path, path.read_bytes()) == (place.folder / "cache" / "texts" / "t.data", TEXT)


def test_python_objects_are_never_loaded(place: Place) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (place.folder / "sprung",)

    content = spoiled(train_labels=np.array([[Trap()]] * 4))
    place.own(content, "tinymnist.npz")
    with pytest.raises(data.ContentError):
        data.medmnist("tinymnist", also=[place.md5(content)])
    assert not (place.folder / "sprung").exists()


def test_another_sum_is_refused_with_both_sums_and_accepted_if_asked_for(place: Place) -> None:
    place.content = npz(images(seed=1))
    other = place.md5(place.content)
    with pytest.raises(data.ChecksumError) as refused:
        data.medmnist("tinymnist")
    message = str(refused.value)
    assert all(part in message for part in (other, place.tiny.sum, place.tiny.url, "tinymnist.npz"))
    assert "It is known" not in message
    assert place.kept() == []
    (advice,) = re.findall(r"also=\['(sha256:\w+)'\]", message)
    for also in ([other], [advice], advice):
        found = data.medmnist("tinymnist", also=also)
        assert (found.is_official, {*found.sums}) == (False, {other, advice})
    mine = place.own(place.content, "tinymnist.npz")
    place.patch.setitem(data.KNOWN_COPIES, data.sums_of(mine)[1], "made for a test")
    with pytest.raises(data.ChecksumError, match=r"known: made for a test.*also=KNOWN_COPIES"):
        data.medmnist("tinymnist")
    assert not data.medmnist("tinymnist", also=data.KNOWN_COPIES).is_official


def test_a_file_damaged_in_the_cache_is_replaced_or_at_least_goes(place: Place) -> None:
    cached = data.fetch(place.tiny)
    cached.write_bytes(GOOD[:-100])
    with pytest.warns(UserWarning, match="Removed from the cache: .*cut off"):
        assert data.fetch(place.tiny).read_bytes() == GOOD
    assert place.asked == 2
    cached.write_bytes(PAGE)
    place.close()
    with pytest.warns(UserWarning, match="web page"), pytest.raises(data.DownloadError):
        data.fetch(place.tiny)
    assert place.kept() == []


def test_without_an_answer_the_error_says_where_to_put_the_file(place: Place) -> None:
    answers: dict[str, tuple[Callable[[], None], str]] = {
        "404": (lambda: setattr(place, "status", 404), "the server answered 404 Not Found"),
        "503": (lambda: setattr(place, "status", 503), "the server answered 503"),
        "broken off": (lambda: vars(place).update(status=200, cut=1000), "ChunkedEncodingError"),
        "no server": (place.close, "no connection, or it broke off: ConnectionError"),
    }
    parts = (place.tiny.url, place.tiny.name, "called medmnist", "MEDXFER_DATA")

    def fetched(_: str, act: Callable[[], None]) -> None:
        act()
        data.medmnist("tinymnist")

    def helps(error: Exception) -> bool:
        return all(part in str(error) for part in parts)

    assert untold(answers, fetched, data.DownloadError, helps) == {}
    assert place.kept() == []


def test_a_fault_of_this_machine_is_not_called_a_network_fault(place: Place) -> None:
    (place.folder / "file").touch()
    place.patch.setenv("MEDXFER_CACHE", str(place.folder / "file" / "cache"))
    # Not an OSError: a lesson goes on with simulated patients only after a DataError.
    taken = r"Not a directory|cannot find the path|File exists"
    with pytest.raises(data.DownloadError, match=taken):
        data.fetch(place.tiny)
    place.patch.setenv("MEDXFER_CACHE", str(place.folder / "cache"))
    ends = {
        data.DownloadError: OSError(28, "No space left"),
        KeyboardInterrupt: KeyboardInterrupt(),
    }
    for expected, end in ends.items():

        def interrupted(self: object, url: str, output: str, *_: object, end: Any = end) -> None:
            Path(output).write_bytes(GOOD[:100])
            raise end

        place.patch.setattr(pooch.HTTPDownloader, "__call__", interrupted)
        with pytest.raises(expected, match="No space left" if end.args else None):
            data.fetch(place.tiny)
        assert place.kept() == []


def test_weights_come_from_the_folder_keras_the_cache_or_the_network(place: Place) -> None:
    place.patch.setenv("KERAS_HOME", str(place.folder / "keras"))
    path = place.folder / "made.h5"
    with h5py.File(path, "w") as file:
        file["kernel"] = np.ones(3)
    known = place.file("w.h5", content := path.read_bytes(), "weights")
    place.patch.setitem(data.REGISTRY, "w.h5", known)
    place.content = PAGE
    with pytest.raises(data.ContentError, match=r"is a web page, not w\.h5"):
        data.imagenet_weights(known.url)
    place.content = content
    assert data.imagenet_weights(known.url) == place.folder / "cache" / "weights" / "w.h5"
    theirs = place.folder / "keras" / "models" / "w.h5"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(content)
    assert data.imagenet_weights(known.url) == theirs
    theirs.write_bytes(content + b"1")
    with pytest.raises(data.ChecksumError):
        data.imagenet_weights(known.url)
    mine = place.own(content, "weights/w.h5")
    assert data.imagenet_weights(known.url) == mine
    # Of another width nobody publishes a sum.
    assert data.imagenet_weights(f"{place.url}other.h5").read_bytes() == content


def test_without_a_network_nobody_waits(place: Place) -> None:
    assert files.SECONDS[0] < 10  # to connect
    place.patch.setattr(files, "SECONDS", (5, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and never answers
        file = replace(place.text, url=f"http://127.0.0.1:{silent.getsockname()[1]}/t.data")
        with pytest.raises(data.DownloadError, match="or it broke off: ReadTimeout"):
            data.fetch(file)
        port = silent.getsockname()[1]
    for name in ("NO_PROXY", "no_proxy"):
        place.patch.delenv(name, raising=False)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):  # nobody listens there
        place.patch.setenv(name, f"http://127.0.0.1:{port}")
    message = "the proxy of HTTPS_PROXY refused.*called uci_heart, and set MEDXFER_DATA"
    faults = {name: (file, message) for name, file in data.HEART.items()}
    assert untold(faults, lambda _, file: data.fetch(file), data.DownloadError) == {}
    assert place.kept() == []


def secured(port_of: ThreadingHTTPServer, folder: Path) -> str:
    """Serve with a certificate that nobody has signed; the address."""
    named = ["-keyout", str(folder / "key"), "-out", str(folder / "cert"), "-subj", "/CN=localhost"]
    named += ["-addext", "subjectAltName=DNS:localhost"]
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", *named]
    subprocess.run(make, capture_output=True, check=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    port_of.socket = context.wrap_socket(port_of.socket, server_side=True)
    return f"https://localhost:{port_of.server_port}/t.data"


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificate")
def test_a_certificate_is_not_called_a_missing_network(place: Place) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        place.patch.setenv(name, "localhost")
    file = replace(place.text, url=secured(place.http, place.folder))
    refused = r"\(its certificate was refused: name your hospital's in REQUESTS_CA_BUNDLE"
    with pytest.raises(data.DownloadError, match=refused):
        data.fetch(file)
    place.patch.setenv("REQUESTS_CA_BUNDLE", str(place.folder / "not there"))
    with pytest.raises(data.DownloadError, match=r"invalid path: .*not there"):
        data.fetch(file)
    place.patch.setenv("REQUESTS_CA_BUNDLE", str(place.folder / "cert"))
    place.content = TEXT
    assert data.fetch(file).read_bytes() == TEXT  # what is advised helps


# --- The catalogue -------------------------------------------------------------------------------


def test_every_file_has_address_sum_licence_and_a_cited_source() -> None:
    bibliography = (ROOT / "book/references.bib").read_text("utf-8")
    keys = set(re.findall(r"^@\w+\{(\w+),", bibliography, re.M))
    licences = {"CC BY 4.0", "CC BY-NC 4.0", "Apache-2.0"}
    wrong = [
        name
        for name, file in data.REGISTRY.items()
        if not re.fullmatch(rf"https://.*/{re.escape(name)}", file.url)
        or not re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", file.sum)
        or not (file.licence in licences and file.citation in keys)
        or not (file.faults or file.folder == "weights")
    ]
    assert wrong == []
    assert len({file.sum for file in data.REGISTRY.values()}) == len(data.REGISTRY)


def test_the_sets_are_those_of_the_paper() -> None:
    # Yang et al. 2023, table 2: images and classes. NoduleMNIST3D has 1,633 volumes.
    published = {"breastmnist": (780, 2), "pneumoniamnist": (5856, 2), "nodulemnist3d": (1633, 2)}
    published |= {"dermamnist": (10015, 7), "bloodmnist": (17092, 8)}
    found = {name: (sum(data.SETS[name].counts), len(data.SETS[name].labels)) for name in published}
    assert found == published
    shapes = {"bloodmnist": (1712, 64, 64, 3), "nodulemnist3d": (165, 64, 64, 64)}
    for name, shape in (shapes | {"organamnist": (6491, 64, 64)}).items():
        assert data.SETS[name].file(name, 64).arrays["val_images"] == shape
    faults = {"mnist": (28, "choose breastmnist, pneu")}
    faults |= {"nodulemnist3d": (224, "nodulemnist3d at 28, 64 p")}
    assert untold(faults, data.medmnist, ValueError) == {}


# Prevalence of the disease: 210 malignant of 780 (Al-Dhabyani et al. 2020), the same in each part;
# 4,273 pneumonias of 5,856 (Kermany et al. 2018), 390 of the 624 in test.
PREVALENCE = {
    "breastmnist": dict.fromkeys(data.PARTS, 210 / 780),
    "pneumoniamnist": {"train": 3883 / 5232, "val": 3883 / 5232, "test": 390 / 624},
}
HERE = [name for name in PREVALENCE if data.find_local(f"{name}.npz", "medmnist")]


def stand_in(name: str) -> Arrays:
    """A set with the counts, prevalence and known faults of the real one, and random pixels."""
    arrays = images(tuple(data.SETS[name].counts))
    for part, prevalence in PREVALENCE[name].items():
        n = len(arrays[f"{part}_labels"])
        ill = np.arange(n) < prevalence * n
        arrays[f"{part}_labels"] = (ill == data.SETS[name].disease)[:, None].astype(np.uint8)
    if name == "breastmnist":  # one image, malignant in train and benign in test
        arrays["test_images"][-1] = arrays["train_images"][0]
    else:
        arrays["val_images"][:8] = arrays["train_images"][:8]
    return arrays


@pytest.mark.parametrize("which", [*(f"{name}, stand-in" for name in PREVALENCE), *HERE])
def test_the_disease_is_one_and_the_known_faults_are_in_the_file(place: Place, which: str) -> None:
    name, _, made = which.partition(", ")
    content = npz(stand_in(name)) if made else b""
    place.own(content, f"medmnist/{name}.npz")
    if not made:
        place.patch.setenv("MEDXFER_DATA", REAL_FOLDER)
    found = data.medmnist(name, also=[*data.KNOWN_COPIES, place.md5(content)])
    assert found.labels[1] == {"breastmnist": "malignant", "pneumoniamnist": "pneumonia"}[name]
    labels: dict[str, dict[bytes, int]] = {}
    for part in data.PARTS:
        x, y, official = getattr(found, part)
        assert y.mean() == pytest.approx(PREVALENCE[name][part], abs=0.01)
        assert (y == official).mean() == (0 if name == "breastmnist" else 1)
        labels[part] = dict(zip(map(bytes, x), y.tolist(), strict=True))
    other = labels["test" if name == "breastmnist" else "val"]
    shared = [(labels["train"][image], other[image]) for image in labels["train"].keys() & other]
    if name == "breastmnist":
        assert shared == [(1, 0)]
        assert "One image is in train as malignant and in test as benign" in found.file.faults
    else:
        assert len(shared) == 8
        assert "Eight images are in both train and val" in found.file.faults


# --- The command line ----------------------------------------------------------------------------


def test_from_the_command_line(place: Place, capsys: Any) -> None:
    def told(*arguments: str, status: int = 0) -> str:
        assert main([*arguments]) == status
        return str(capsys.readouterr().out)

    assert "4 in train, 2 in val, 3 in test" in told("tinymnist")
    assert all(f"{name}  " in told("--list") for name in data.REGISTRY)
    assert "28 pixels" in told("tinymnist", "--size", "64", status=1)
    place.patch.setattr(f"{main.__module__}.imagenet_weights", lambda url: url)
    assert told("weights") == f"{data.WEIGHTS[0].url}: Apache-2.0.\n"
    hospitals = cast(dict[str, data.RemoteFile], data.HEART)
    for n, (name, file) in enumerate(data.HEART.items(), start=1):
        place.own(TEXT[14:] * n, file.name)
        place.patch.setitem(hospitals, name, replace(file, sum=place.md5(TEXT[14:] * n)))
    each = (
        f"{k}: {n} patients. Beware: {f.faults}" for n, (k, f) in enumerate(hospitals.items(), 1)
    )
    assert told("heart").splitlines() == [*each]
    place.own(WOMEN, "rotterdam.csv")
    place.own(WOMEN + WOMEN[WOMEN.index(b"\n") + 1 :], "gbsg.csv")
    told_of = [f"{s}: {n} women. Beware: {data.BREAST[s].faults}" for s, n in COUNTRIES]
    assert told("breast").splitlines() == told_of
    place.own(WOMEN.replace(b"nodes", b"knots"), "gbsg.csv")
    assert "has no column nodes" in told("breast", status=1)
    place.own(b"1", data.HEART["Cleveland"].name)
    assert "not the official processed.cleveland.data" in told("heart", status=1)
