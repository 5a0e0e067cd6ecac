"""What can be downloaded: official address, checksum, licence, citation and faults of each file.

The sums of the images are those of the `medmnist` package 3.0.2, those of the weights are Keras's
(3.15), with one exception, marked below.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class RemoteFile:
    """One file that can be had.

    Parameters
    ----------
    name, url : str
        Name of the file and its official address.
    sum : str
        "md5:…" or "sha256:…", of the official file.
    licence, citation, faults : str
        Terms of use, key in the book's bibliography, and what one should know before trusting it.
    folder : str
        Where it belongs in `MEDXFER_DATA` and in the cache.
    arrays : mapping of str to tuple of int
        Shape of each array that an npz file must hold.
    """

    name: str
    url: str
    sum: str
    licence: str
    citation: str
    faults: str = ""
    folder: str = "medmnist"
    arrays: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class ImageSet:
    """One data set of MedMNIST: what is the same at each size (md5 of each; counts of each part).

    `disease` is the official code of the disease in a binary set, None in the others.
    """

    md5: Mapping[int, str]
    counts: tuple[int, int, int]
    labels: tuple[str, ...]
    citation: str
    faults: str
    disease: int | None = None
    axes: str = "hw"  # of one image; "hwc" in colour, "dhw" for a volume
    licence: str = "CC BY 4.0"

    def file(self, name: str, size: int) -> RemoteFile:
        """The file of this set with images of `size` pixels."""
        file_name = f"{name}.npz" if size == 28 else f"{name}_{size}.npz"
        shape = tuple(3 if axis == "c" else size for axis in self.axes)
        arrays: dict[str, tuple[int, ...]] = {}
        for part, n in zip(PARTS, self.counts, strict=True):
            arrays |= {f"{part}_images": (n, *shape), f"{part}_labels": (n, 1)}
        url = f"https://zenodo.org/records/10519652/files/{file_name}"
        about = (self.licence, self.citation, self.faults)
        return RemoteFile(file_name, url, f"md5:{self.md5[size]}", *about, arrays=arrays)


# fmt: off
SETS = {
    "breastmnist": ImageSet(
        {28: "750601b1f35ba3300ea97c75c52ff8f6", 64: "742edef2a1fd1524b2efff4bd7ba9364",
         128: "363e4b3f8d712e9b5de15470a2aaadf1", 224: "b56378a6eefa9fed602bb16d192d4c8b"},
        (546, 78, 156), ("malignant", "normal or benign"), "aldhabyani2020breast",
        "The file codes malignant as 0; the book turns it round. One image is in train as "
        "malignant and in test as benign. Divided by image, not by patient.", disease=0,
    ),
    "pneumoniamnist": ImageSet(
        {28: "28209eda62fecd6e6a2d98b1501bb15f", 64: "8f4eceb4ccffa70c672198ea285246c6",
         128: "05b46931834c231683c68f40c47b2971", 224: "d6a3c71de1b945ea11211b03746c1fe1"},
        (4708, 524, 624), ("normal", "pneumonia"), "kermany2018identifying",
        "Eight images are in both train and val. Pneumonia is 74 % of val but 62 % of test. "
        "Children of one hospital.", disease=1,
    ),
    "organamnist": ImageSet(
        {28: "68e3f8846a6bd62f0c9bf841c0d9eacc", 64: "2dcccc29b88e6da5a01161ef20cda288",
         128: "eeae80d0a227a8d099027e1b3cfd3b60", 224: "50747347e05c87dd3aaf92c49f9f3170"},
        (34561, 6491, 17778),
        ("bladder", "left femur", "right femur", "heart", "left kidney", "right kidney", "liver",
         "left lung", "right lung", "pancreas", "spleen"), "bilic2023lits",
        "Grey values of an abdominal window: the Hounsfield units are lost.",
    ),
    "nodulemnist3d": ImageSet(
        {28: "8755a7e9e05a4d9ce80a24c3e7a256f3", 64: "c47c5b7d457bf6332200d2ea6d64ecd8"},
        (1158, 165, 310), ("benign", "malignant"), "armato2011lidc",
        "Malignant is what radiologists thought (4 or 5 against 1 or 2 of 5), not pathology. Not "
        "said to be divided by patient.", disease=1, axes="dhw",
    ),
    "dermamnist": ImageSet(
        {28: "0744692d530f8e62ec473284d019b0c7", 64: "b70a2f5635c6199aeaa28c31d7202e1f",
         128: "2defd784463fa5243564e855ed717de1", 224: "8974907d8e169bef5f5b96bc506ae45d"},
        (7007, 1003, 2005),
        ("actinic keratosis or carcinoma in situ", "basal cell carcinoma", "benign keratosis",
         "dermatofibroma", "melanoma", "melanocytic naevus", "vascular lesion"),
        "tschandl2018ham10000", "Images of one lesion are in more than one part.",
        axes="hwc", licence="CC BY-NC 4.0",
    ),
    "bloodmnist": ImageSet(
        {28: "7053d0359d879ad8a5505303e11de1dc", 64: "2b94928a2ae4916078ca51e05b6b800b",
         128: "adace1e0ed228fccda1f39692059dd4c", 224: "b718ff6835fcbdb22ba9eacccd7b2601"},
        (11959, 1712, 3421),
        ("basophil", "eosinophil", "erythroblast", "immature granulocyte", "lymphocyte",
         "monocyte", "neutrophil", "platelet"), "acevedo2020blood",
        "Divided by cell, not by donor. Healthy donors only.", axes="hwc",
    ),
}
_KERAS = "https://storage.googleapis.com/"
WEIGHTS = tuple(
    RemoteFile(path.rpartition("/")[2], _KERAS + path, known, "Apache-2.0", key, folder="weights")
    for path, known, key in (
        # Keras publishes no sum of this one: it is that of the file when it was first read here.
        ("tensorflow/keras-applications/mobilenet/mobilenet_2_5_224_tf_no_top.h5",
         "sha256:dbdb03ee2a22fd895301636cd328b234bb3a9952358f436d82f46b81e0d5b0bf",
         "howard2017mobilenets"),
        ("keras-applications/efficientnetb0_notop.h5",
         "md5:50bc09e76180e00e4465e1a485ddc09d", "tan2019efficientnet"),
        ("tensorflow/keras-applications/resnet/"
         "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
         "md5:4d473c1dd8becc155b73f8504c6f6626", "he2016resnet"),
        ("tensorflow/keras-applications/densenet/"
         "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
         "md5:30ee3e1110167f948a6b9946edeeb738", "huang2017densenet"),
    )
)
_UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/heart-disease/"
# By hospital; Zurich is Zurich and Basel. The archive publishes no sums: these are those of the
# files when they were first read here.
HEART: Mapping[str, RemoteFile] = {
    hospital: RemoteFile(
        name, _UCI + name, f"sha256:{known}", "CC BY 4.0", "janosi1989heart",
        f"A ? is a missing value. {faults}", folder="uci_heart",
    )
    for hospital, name, known, faults in (
        ("Cleveland", "processed.cleveland.data",
         "a74b7efa387bc9d108d7d0115d831fe9b414b29ae7124f331b622b4efa0427c8",
         "Of 303 patients 4 have no vessels and 2 no thallium scan."),
        ("Budapest", "processed.hungarian.data",
         "d1ad108f785768cd3d7e82dc522e6f5a61eea93cccfb3a46ee8076f73fc3d796",
         "Of 294 patients 3 have vessels, 28 a thallium scan and 104 an ST slope, which was "
         "reported for the ill more often than for the healthy. One row is there twice."),
        ("Zurich", "processed.switzerland.data",
         "834a405ccf5b66ab4056bb77794adc8df0b7125186454c0a1d002d33c6c3b314",
         "Cholesterol is 0, which means missing, in all 123. Of them 5 have vessels, 48 a fasting "
         "sugar, 71 a thallium scan and 106 an ST slope. 93.5 % are ill."),
        ("Long Beach", "processed.va.data",
         "e7c93d8d0d2acdadfa4c5e8de768e2191e7f618b952e29623f1f0d5949ff6b8f",
         "Cholesterol is 0, which means missing, in 49 of 200 and resting pressure in one; 2 have "
         "vessels, 34 a thallium scan and 98 an ST slope. One row is there twice."),
    )
}
REGISTRY = {
    file.name: file
    for file in (
        *(s.file(name, size) for name, s in SETS.items() for size in s.md5),
        *WEIGHTS, *HEART.values(),
    )
}
# Cut out of LIDC-IDRI [armato2011lidc] and offered nowhere: only a reader's own folder can hold it.
LIDC = RemoteFile(
    "lidc_centre_slices_64.npz", "https://doi.org/10.7937/K9/TCIA.2015.LO9QL9SX", "", "CC BY 3.0",
    "armato2011lidc",
    "Malignancy is what radiologists thought, not pathology. Around each nodule the cut-out is the "
    "larger the larger the nodule is, and beyond it the last row or column is repeated to the "
    "margin: only the middle 28 pixels are free of that in (almost) all.", folder="lidc",
)
# Copies that are in use though they are not the official files, and why one may accept them.
KNOWN_COPIES = {
    "sha256:ce5b81972a53a35bac77bc672ec94ce0dcf0ea03bfc5e57283c5fb34c98e5c69":
        "BreastMNIST at 28 pixels, saved again: the pixels and counts of the official file",
    "sha256:8c555c787c4594882835129e3cee6a02cf9b8a6d8aed162b512521a5697177c8":
        "PneumoniaMNIST at 28 pixels, put together from two partial copies: the official counts, "
        "but not the official order, so shuffle it",
}
# fmt: on
