"""Training on two devices, each time in processes of their own."""

import os
import signal
import socket
import subprocess
import sys
import time

import conftest
import keras
import numpy as np
import pytest
from conftest import ROOT
from parallel import BATCH, IMAGES, MODELS, train, weights

import kzoo
from kzoo import backend, checks, distribution
from kzoo.callbacks import Checkpoint
from kzoo.networks import MLPEncoderDecoder

BACKEND = keras.backend.backend()
SCRIPT = ROOT / "tests" / "parallel.py"


def load(path):
    with np.load(path) as file:
        arrays = [file[key] for key in file.files if not key.startswith("log_")]
        logs = {key[4:]: file[key] for key in file.files if key.startswith("log_")}
    return arrays, logs


def assert_alike(arrays, expected, tolerance=1e-4):
    for a, b in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


# What is trained by the one launch, on which the tests of its group look.
NAMES = list(MODELS) if conftest.full else ["VAE", "DCGAN"]
STEPS = 20 if conftest.full else 3
one_launch = pytest.mark.xdist_group("two devices")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder that two devices wrote to."""
    folder = tmp_path_factory.mktemp("two")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    settings = ["train", "2", folder, ",".join(NAMES), str(STEPS)]
    command = [sys.executable, SCRIPT, *settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@one_launch
@pytest.mark.parametrize("name", NAMES)
def test_two_devices_train_as_one(name, trained):
    arrays, logs = load(trained / f"{name}.npz")
    model, history = train(name, images=IMAGES[: BATCH * STEPS])
    assert_alike(arrays, weights(model))
    logs.pop("perplexity", None)  # of the codes in a replica's part of a batch
    assert logs
    for key, values in logs.items():
        np.testing.assert_allclose(values, history[key], rtol=1e-3, atol=1e-4)


@one_launch
@pytest.mark.parametrize("name", NAMES)
def test_every_process_has_the_same_weights(name, trained):
    """On PyTorch; the script looks at the copies of TensorFlow."""
    arrays, _ = load(trained / f"{name}.npz")
    other = trained / f"{name}-other.npz"
    assert other.exists() == (BACKEND == "torch")
    if other.exists():
        assert_alike(arrays, load(other)[0], tolerance=0)


@pytest.mark.full
def test_every_replica_draws_other_numbers(python, tmp_path):
    python(SCRIPT, "draw", 2, tmp_path)
    (drawn,), _ = load(tmp_path / "draws.npz")
    numbers, kept = drawn.reshape(2, BATCH)
    assert len(np.unique(numbers)) == BATCH
    assert set(kept) == {0.0, 2.0}
    assert (kept[: BATCH // 2] != kept[BATCH // 2 :]).any()


@pytest.mark.full
def test_a_stream_is_divided_among_processes(python, tmp_path):
    (tmp_path / "images").mkdir()
    for number, image in enumerate(IMAGES[: 4 * BATCH]):
        path = tmp_path / "images" / f"{number:03}.png"
        keras.utils.save_img(path, 255 * image, scale=False)
    python(SCRIPT, "stream", 2, tmp_path)
    arrays, logs = load(tmp_path / "VAE.npz")
    processes = 2 if BACKEND == "torch" else 1  # a device each, or one for both
    assert int((tmp_path / "shard").read_text()) == 4 * BATCH // processes
    images, _ = kzoo.data.load(tmp_path / "images")
    if processes == 2:
        assert_alike(arrays, load(tmp_path / "VAE-other.npz")[0], tolerance=0)
        batches = images.reshape(-1, BATCH, *images.shape[1:])
        # A process reads every second image, and they are the halves of a batch.
        batches = np.concatenate([batches[:, ::2], batches[:, 1::2]], axis=1)
        images = batches.reshape(images.shape)
    model, _ = train("VAE", images=images, shuffle=False)
    assert_alike(arrays, weights(model))
    assert np.isfinite(logs["loss"]).all()


if BACKEND == "jax":  # the others cannot

    @pytest.mark.full
    def test_kernels_on_two_devices_train_as_on_one(python, tmp_path):
        python(SCRIPT, "shard", 2, tmp_path)
        model, _ = train("VAE")
        assert_alike(load(tmp_path / "VAE.npz")[0], weights(model))


@pytest.mark.full
def test_a_recipe_trains_on_two_devices(python, tmp_path):
    options = {"devices": 2, "epochs": 1, "limit": 96, "output": tmp_path}
    arguments = [text for k, v in options.items() for text in (f"--{k}", v)]
    shown = python("recipes/vae.py", *arguments).stdout
    assert shown.count("Test negative ELBO") == 1
    written = {path.name for path in tmp_path.iterdir()}
    assert {"model.keras", "checkpoint.keras", "SavedModel", "samples"} <= written
    assert keras.saving.load_model(tmp_path / "model.keras").latent_dim


@pytest.mark.full
def test_a_checkpoint_of_two_devices_goes_on_with_one(python, tmp_path):
    python(SCRIPT, "two epochs", 2, tmp_path)

    def train_three(name, **arguments):
        checkpoint = Checkpoint(tmp_path / name, **arguments)
        return train("DCGAN", 3, IMAGES[: 5 * BATCH], callbacks=[checkpoint])

    resumed, history = train_three("run.keras", resume=True)
    model, expected = train_three("one.keras")
    assert_alike(weights(resumed), weights(model))
    for key, values in expected.items():
        np.testing.assert_allclose(history[key], values, rtol=1e-3, atol=1e-4)


@pytest.mark.full
def test_all_stop_when_one_is_killed_and_can_be_resumed(tmp_path):
    processes = launch("many epochs", tmp_path)
    checkpoint = tmp_path / "run.keras"
    for _ in range(2000):
        assert all(p.poll() is None for p in processes), "it has ended before"
        if checkpoint.exists():
            break
        time.sleep(0.1)
    os.kill(second(processes), signal.SIGKILL)
    output, _ = processes[0].communicate(timeout=60)  # a limit of ours: no hang beyond
    assert processes[0].returncode != 0
    reason = {
        "torch": "SIGKILL",
        "tensorflow": "Collective ops is aborted by",  # a lost heartbeat or connection
        "jax": "task died",
    }
    assert reason[BACKEND] in output
    epochs = 1 + len(saved_history(checkpoint))
    _, history = train("DCGAN", epochs, callbacks=[Checkpoint(checkpoint, resume=True)])
    assert len(history["generator_loss"]) == epochs


def saved_history(checkpoint):
    import json
    import zipfile

    with zipfile.ZipFile(checkpoint) as file:
        return json.loads(file.read("progress.json"))["history"]["generator_loss"]


def launch(job, folder):
    """Two processes: on PyTorch torchrun starts them, elsewhere the user does."""
    command = [sys.executable, SCRIPT, job, "2", folder]
    ports = [free_port(), free_port()]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    started = []
    for index in range(1 if BACKEND == "torch" else 2):
        workers = ", ".join(f'"localhost:{port}"' for port in ports)
        task = f'{{"type": "worker", "index": {index}}}'
        environment = {
            **os.environ,
            "TF_CONFIG": f'{{"cluster": {{"worker": [{workers}]}}, "task": {task}}}',
            "KERAS_DISTRIBUTION_JOB_ADDRESSES": f"localhost:{ports[0]}",
            "KERAS_DISTRIBUTION_NUM_PROCESSES": "2",
            "KERAS_DISTRIBUTION_PROCESS_ID": str(index),
        }
        started.append(subprocess.Popen(command, env=environment, **options))
    return started


def second(processes):
    """The number of the process that is not the chief."""
    if BACKEND != "torch":
        return processes[1].pid
    found = subprocess.run(
        ["pgrep", "--parent", str(processes[0].pid)], capture_output=True, text=True
    )
    return max(map(int, found.stdout.split()))


def free_port():
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def test_batches_that_cannot_be_shared_are_refused():
    checks.shared_alike(IMAGES, 7, 1)
    checks.shared_alike(IMAGES, 16, 8)
    for images, batch_size in ((IMAGES, 12), (IMAGES[:-1], 16), (IMAGES[:30], None)):
        with pytest.raises(ValueError, match="divide among 8 devices"):
            checks.shared_alike(images, batch_size, 8)


@pytest.mark.parametrize("devices", [0, -1, 1.5, "two"])
def test_devices_are_a_number(devices):
    with pytest.raises(ValueError, match="devices"):
        distribution.data_parallel(devices)


def test_more_devices_than_there_are_is_an_error(monkeypatch):
    if BACKEND == "torch":  # what torchrun has started
        for name, value in {
            "WORLD_SIZE": 1,
            "RANK": 0,
            "MASTER_PORT": free_port(),
        }.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("MASTER_ADDR", "localhost")
    with pytest.raises((ValueError, RuntimeError), match="Expected"):
        distribution.data_parallel(2)
    assert backend.replicas() == 1


def test_one_device_is_as_ever():
    distribution.data_parallel()
    distribution.data_parallel(1)
    model = kzoo.models.VAE((8, 8, 1), 2, MLPEncoderDecoder((4,)))
    model.compile()
    assert backend.replicas() == 1 and distribution.is_chief()
    distribution.finish(model)
    model.fit(IMAGES, verbose=0)
