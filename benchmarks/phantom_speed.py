"""How fast the virtual clinic is, beside a scan of one patch after the other with scikit-image.

Both scan the same tissue. Ours is timed over all that a clinic is made of: findings, tissue, scan,
record and report. The other is timed over projection, photon counts and reconstruction only.
Run it with `make benchmark`; `README.md` beside this file says how to read the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.transform import iradon, radon
from threadpoolctl import threadpool_limits

from medxfer_utils import clinic

SIZES, ORGANS = (28, 64, 96), ("lung", "liver")
PATIENTS, LONGER, REPEATS, PATCHES, VIEWS = 240, 4, 5, 6, 180


def seconds(work: Callable[[], int]) -> float:
    """Processor time for each of the lesions whose number `work` returns; median of repeats."""
    taken = []
    for _ in range(REPEATS):
        start = time.process_time()
        lesions = work()
        taken.append((time.process_time() - start) / lesions)
    return float(np.median(taken))


def ours(site: clinic.Site, patients: int) -> int:
    """Draw a clinic in parts, and count its lesions."""
    return sum(len(part.cohort) for part in clinic.stream(site, patients, 0))


def one_by_one(hu: NDArray[np.float32], pixel: float, rng: np.random.Generator) -> int:
    """Project each patch over half a turn, count photons, reconstruct; return how many."""
    angles = np.linspace(0, 180, VIEWS, endpoint=False)
    for patch in hu:
        lines = radon(clinic.MU_WATER * (1 + patch / 1000), angles, circle=False) * pixel
        counted = np.maximum(rng.poisson(clinic.PHOTONS * np.exp(-lines)), 1)
        noisy = -np.log(counted / clinic.PHOTONS)
        iradon(noisy, angles, len(patch), filter_name="hann", circle=False)
    return len(hu)


def row(organ: str, size: int) -> dict[str, object]:
    """Time both at one organ and size; a patch is 48 mm wide."""
    site = clinic.Site(organ, size=size, pixel=48 / size)
    ours(site, 24)  # what is done once only
    fast = seconds(lambda: ours(site, PATIENTS))
    long = seconds(lambda: ours(site, LONGER * PATIENTS))
    hu = clinic.simulate(site, PATCHES, 0).cohort.x[:PATCHES]
    rng = np.random.default_rng(0)
    slow = seconds(lambda: one_by_one(hu, site.pixel, rng))
    return {
        "organ": organ,
        "size": size,
        "ours, lesions/s": round(1 / fast),
        "scikit-image, patches/s": round(1 / slow, 1),
        "ours, times faster": round(slow / fast),
        f"{LONGER} × as many patients, time per lesion ×": round(long / fast, 2),
    }


def main() -> None:
    """Print the table."""
    with threadpool_limits(1):
        table = pd.DataFrame([row(organ, size) for organ in ORGANS for size in SIZES])
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
