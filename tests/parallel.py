"""What `test_distribution.py` runs in processes of its own: trains on some devices.

python tests/parallel.py JOB DEVICES FOLDER [MODELS STEPS]
"""

import pathlib
import sys

import keras
import numpy as np
from conftest import ignore_rounding, wave
from keras import ops

import kzoo
from kzoo import backend, distribution
from kzoo.callbacks import Checkpoint
from kzoo.networks import DCGANNetworks, MLPEncoderDecoder
from kzoo.networks.began import BEGANNetworks
from kzoo.networks.vqvae import ResidualGridNetworks
from kzoo.parts import Adaptive
from kzoo.parts.quantizers import MovingAverageCodebook

BATCH, STEPS, SHAPE = 16, 20, (8, 8, 1)
MODELS = {
    "VAE": lambda: kzoo.models.VAE(SHAPE, 4, MLPEncoderDecoder((16,))),
    "WGANGP": lambda: kzoo.models.WGANGP(SHAPE, 4, DCGANNetworks((8,), "layer")),
    "BEGAN": lambda: kzoo.models.BEGAN(SHAPE, 4, architecture=BEGANNetworks((8, 8))),
    "DCGAN": lambda: kzoo.models.DCGAN(  # batch statistics, averages, adaptation
        SHAPE,
        4,
        DCGANNetworks((16, 8)),
        ema=0.9,
        penalty="lecam",
        augmentation=Adaptive("translation"),
    ),
    "VQVAE": lambda: kzoo.models.VQVAE(
        SHAPE, MovingAverageCodebook(8, 4), ResidualGridNetworks((8,))
    ),
}
IMAGES = (0.5 + 0.5 * wave((BATCH * STEPS, *SHAPE))).astype("float32")


def noise(shape, draw=None):
    """Fixed numbers, for the second half of a batch those of the first."""
    half = wave((BATCH // 2, *(int(n) for n in shape[1:])))
    if draw is backend.uniform:
        half = 0.99 * np.abs(half)
    times = shape[0] // (BATCH // 2)
    return ops.tile(ops.convert_to_tensor(half), [times] + [1] * (len(shape) - 1))


def train(name, epochs=1, images=IMAGES, **arguments):
    """Trains on fixed noise; returns the model and its history."""
    keras.utils.set_random_seed(0)
    model = MODELS[name]()
    model.compile()
    ignore_rounding(model)
    model.noise = noise
    size = None if hasattr(images, "set_epoch") else BATCH
    arguments = {"batch_size": size, "verbose": 0} | arguments
    return model, model.fit(images, epochs=epochs, **arguments).history


def weights(model):
    """All that training changes, as float64 arrays; seeds are not among them."""
    arrays = [
        np.array(ops.convert_to_numpy(v))
        for v in [*model.variables, *model.optimizer.variables]
    ]
    return [a.astype("float64") for a in arrays if a.dtype.kind == "f"]


class Draws(kzoo.GenerativeModel):
    """Keeps the random numbers of its last step, of all replicas."""

    def __init__(self):
        super().__init__(SHAPE, 1)
        self.dropout = kzoo.layers.Dropout(0.5)
        self.drawn = self.add_weight((2 * BATCH,), "zeros", trainable=False)
        self.watch("loss")
        self.built = True

    def default_optimizer(self):
        return keras.optimizers.SGD()

    @backend.portable_step
    def train_step(self, images, labels=None):
        numbers = self.noise((ops.shape(images)[0],))
        kept = self.dropout(ops.ones_like(numbers), training=True)
        both = [backend.whole_batch(x) for x in (numbers, kept)]
        self.drawn.assign(ops.reshape(ops.concatenate(both), (2 * BATCH,)))
        return self.report({"loss": ops.mean(numbers)}, images)


def run(job, folder, names="", steps=STEPS):
    of_process = "" if distribution.is_chief() else "-other"
    if job == "train":
        for name in names.split(","):
            model, history = train(name, images=IMAGES[: BATCH * int(steps)])
            check_copies(model)
            save(folder / f"{name}{of_process}.npz", weights(model), history)
    elif job == "draw":
        model = Draws()
        model.compile()
        model.fit(IMAGES[:BATCH], batch_size=BATCH, verbose=0)
        distribution.finish(model)
        save(folder / "draws.npz", [np.array(ops.convert_to_numpy(model.drawn))], {})
    elif job == "stream":
        stream = kzoo.data.stream(folder / "images", BATCH, shuffle=False)
        model, history = train("VAE", images=stream)
        save(folder / f"VAE{of_process}.npz", weights(model), history)
        (folder / f"shard{of_process}").write_text(str(stream.num_images))
    else:
        epochs = {"two epochs": 2, "many epochs": 5000}[job]
        images = np.uint8(255 * IMAGES) if epochs > 2 else IMAGES[: 5 * BATCH]
        train("DCGAN", epochs, images, callbacks=[Checkpoint(folder / "run.keras")])


def check_copies(model):
    """TensorFlow keeps one of each weight for each of its replicas."""
    for variable in model.trainable_variables:
        copies = getattr(variable.value, "values", ())
        for copy in copies if isinstance(copies, tuple) else ():
            np.testing.assert_array_equal(copy, copies[0])


def save(path, arrays, history):
    history = {f"log_{name}": values for name, values in history.items()}
    np.savez(path, *arrays, **history)


def shard_kernels(devices):
    """Keras's own, on JAX: every kernel is divided among the devices."""
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    found = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, devices), ["batch", "model"], found)
    layout = keras.distribution.LayoutMap(mesh)
    layout[".*kernel"] = (None, "model")
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layout, batch_dim_name="batch")
    )
    model, history = train("VAE")
    assert "model" in model.trainable_variables[0].value.sharding.spec
    return model, history


if __name__ == "__main__":
    job, devices, folder, *settings = sys.argv[1:]
    if job == "shard":
        model, history = shard_kernels(int(devices))
        save(pathlib.Path(folder) / "VAE.npz", weights(model), history)
    else:
        distribution.data_parallel(int(devices))
        run(job, pathlib.Path(folder), *settings)
