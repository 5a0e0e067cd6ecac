"""Helpers for the course *Transfer Learning for Medical Diagnosis*.

Importing the package imports nothing heavy. It sets the environment variables that TensorFlow reads
while it is imported, unless they are set already, so it must come before ``import tensorflow``.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

for _name, _value in {
    "KERAS_BACKEND": "tensorflow",
    "TF_CPP_MIN_LOG_LEVEL": "3",  # its errors come as exceptions, too
    # By default TensorFlow decides by processor. Always on: faster, and the same everywhere.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}.items():
    os.environ.setdefault(_name, _value)

_seed = 0


def require(fine: object, message: str, error: type[Exception] = ValueError) -> None:
    """Raise `error` with a message that says what is wrong and what to do, unless all is fine."""
    if not fine:
        raise error(message)


def threads() -> int:
    """Return the number of threads that NumPy and TensorFlow may use.

    Returns
    -------
    int
        The environment variable ``MEDXFER_THREADS``, 1 if it is not set: two lessons can then run
        side by side, all runs end in the same digits, and the small matrices of this book are
        done before a second thread has started.

    Raises
    ------
    ValueError
        If the variable is not a whole number of at least 1.
    """
    text = os.environ.get("MEDXFER_THREADS", "1")
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"MEDXFER_THREADS is {text!r}: set it to a whole number of at least 1")
    return int(text)


@contextmanager
def _quiet() -> Iterator[None]:
    """Send file descriptor 2 to nowhere: TensorFlow logs there before it can be told not to."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _QuietStart:
    """Finds TensorFlow, whoever imports it first, so that its start stays off the reader's page."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where TensorFlow is, with a loader that is quiet; nothing for other modules."""
        spec = PathFinder.find_spec(name, path, target) if name == "tensorflow" else None
        if spec and spec.loader:
            load = spec.loader.exec_module

            def quietly(module: ModuleType) -> None:
                with _quiet():
                    load(module)

            spec.loader.exec_module = quietly  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _QuietStart)


def settle_tensorflow() -> None:
    """Fix TensorFlow's threads, ask for deterministic kernels, and seed them.

    Every module of this package that imports Keras calls this right after the import, so that a
    worker process is settled too. TensorFlow takes a number of threads only before it computes
    anything; a later change is impossible and ends in a warning.
    """
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads())
        tf.config.threading.set_inter_op_parallelism_threads(threads())
    except RuntimeError:
        warnings.warn(
            "TensorFlow has already computed with another number of threads, so results may differ "
            "in the last digits. Restart the kernel and run the cells from the top.",
            RuntimeWarning,
            stacklevel=2,
        )
    tf.config.experimental.enable_op_determinism()
    tf.get_logger().setLevel("ERROR")  # it warns whoever predicts with a fifth network
    # Deterministic kernels refuse to draw random numbers without a seed.
    tf.random.set_seed(_seed)


def seed_tensorflow(seed: int) -> None:
    """Settle and seed TensorFlow and Keras; where they are not imported, keep the seed for later.

    Parameters
    ----------
    seed : int
        From 0 to 2**32 - 1.
    """
    global _seed
    _seed = seed
    if "tensorflow" in sys.modules:
        import keras

        settle_tensorflow()
        keras.utils.set_random_seed(seed)
