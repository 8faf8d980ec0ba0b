"""Fixtures, and which tests run.

The suite runs on the backend that KERAS_BACKEND names. `pytest` runs the short suite,
`pytest --full` every test:

- a test marked `full` is left out of the short suite, as it is slow;
- one marked `one_backend` cannot depend on the backend: the short suite runs it on
  `FIRST_BACKEND` alone;
- of a model's tests, in `tests/models`, the other backends run those marked
  `every_backend`: the golden numbers of each kind of training step, and the contract of
  a few models. TensorFlow runs all golden numbers; JAX would compile each model.
"""

import json
import os
import pathlib
import resource
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
FIRST_BACKEND = "torch"  # the quickest to start

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

from kzoo import backend  # noqa: E402

full = False  # whether every test runs


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="run every test")
    parser.addoption(
        "--update-goldens",
        action="store_true",
        help="write the golden numbers that are not met to tests/goldens",
    )


def pytest_configure(config):
    global full
    full = config.getoption("--full")
    if config.getoption("--update-goldens") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--update-goldens writes files: run it without -n")


def pytest_collection_modifyitems(config, items):
    dropped = [] if full else [item for item in items if not is_short(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in set(dropped)]


def is_short(item):
    """Whether a test is in the short suite of this backend."""
    marks = {mark.name for mark in item.iter_markers()}
    here = keras.backend.backend()
    if "full" in marks or here == FIRST_BACKEND:
        return "full" not in marks
    if item.path.parent.name == "models":
        golden = "golden" in item.fixturenames and here != "jax"
        return golden or "every_backend" in marks
    return "one_backend" not in marks


@pytest.fixture(autouse=True)
def _fresh_seed():
    backend.reseed(0)


@pytest.fixture(autouse=True, scope="module")
def _forget_compiled():
    """Programs stay in memory once compiled: gigabytes by the end of the suite."""
    yield
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 3e6:  # kB
        keras.utils.clear_session()
        if keras.backend.backend() == "jax":
            import jax

            jax.clear_caches()


class Golden:
    """Numbers that a test has led to before, in `tests/goldens` by the test's file."""

    def __init__(self, path, update):
        self.path, self.update = path, update

    def check(self, name, got):
        """Compares a dict of numbers with those kept under `name`."""
        kept = json.loads(self.path.read_text()) if self.path.exists() else {}
        alike = pytest.approx(kept.get(name), rel=2e-4, abs=1e-5)
        if self.update and got != alike:
            kept[name] = {key: float(f"{value:.7g}") for key, value in got.items()}
            self.path.write_text(json.dumps(kept, indent=1) + "\n")
        else:
            assert got == alike, got


@pytest.fixture
def golden(request):
    path = ROOT / "tests" / "goldens" / f"{request.path.stem[5:]}.json"
    return Golden(path, request.config.getoption("--update-goldens"))


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


def ignore_rounding(model):
    """Keeps Adam from turning rounding errors of gradients into whole steps.

    Its step of a weight is the gradient divided by its own size: where the gradient is
    all rounding error, so is the direction of a full step.
    """
    members = getattr(model.optimizer, "members", {"": model.optimizer})
    for optimizer in members.values():
        optimizer.epsilon = 1e-3


def wave(shape, phase=0.0):
    """Deterministic numbers in [-1, 1] that are the same on every machine."""
    n = int(np.prod(shape))
    return np.sin(1.7 * np.arange(1, n + 1) + phase).reshape(shape).astype("float32")
