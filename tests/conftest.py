"""Fixtures. The suite runs on the backend that KERAS_BACKEND names."""

import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]

# JAX spends most of the suite compiling, often the same program. It reads these when it
# is imported, here and in the processes that tests start.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
# A worker for each core (`pytest -n auto`) is fastest if each keeps to its core.
for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(name, "1")

import keras  # noqa: E402
import numpy as np  # noqa: E402


@pytest.fixture(autouse=True)
def _fresh_seed():
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled():
    """Programs stay in memory once compiled: gigabytes by the end of the suite."""
    yield
    keras.utils.clear_session()
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture(scope="session")
def prepared():
    """The folder of the real sets, or a skip; in CI they have to be there."""
    folder = os.environ.get("KZOO_TEST_TFDS") or ROOT.parent / "shared" / "tfds"
    if not pathlib.Path(folder, "array_record", "mnist").is_dir():
        missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        missing(f"needs the prepared sets in {folder}, or KZOO_TEST_TFDS to name them")
    return pathlib.Path(folder)


@pytest.fixture
def python():
    """Runs Python in a subprocess; returns what it printed, fails if it fails."""

    def run(*arguments, backend=None, check=True):
        env = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        env["KERAS_BACKEND"] = backend or keras.backend.backend()
        result = subprocess.run(
            [sys.executable, *map(str, arguments)],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=240,
        )
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    return run


def wave(shape, phase=0.0):
    """Deterministic numbers in [-1, 1] that are the same on every machine."""
    n = int(np.prod(shape))
    return np.sin(1.7 * np.arange(1, n + 1) + phase).reshape(shape).astype("float32")
