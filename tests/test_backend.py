"""Steps, random numbers, gradients of embeddings and over replicas."""

import random
import types
import warnings

import keras
import numpy as np
import pytest
from conftest import wave
from keras import ops

from kzoo import backend
from kzoo.models import VAE
from kzoo.networks import MLPEncoderDecoder

BACKEND = keras.backend.backend()

TRAIN = """
import keras, numpy as np
from keras import ops
from kzoo.models import VAE
from kzoo.networks import MLPEncoderDecoder

def train(build=lambda make: make()):
    keras.utils.set_random_seed(0)
    model = build(lambda: VAE((4, 4, 1), 2, MLPEncoderDecoder((8,))))
    model.noise = lambda shape, draw=None: ops.zeros(shape)
    build(lambda: model.compile(keras.optimizers.SGD(0.01)))
    images = np.random.default_rng(0).random((16, 4, 4, 1), "float32")
    model.fit(images, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return [ops.convert_to_numpy(v) for v in model.trainable_variables]

def in_strategy(make):
    with strategy.scope():
        return make()

def assert_same(one, two):
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
"""

JAX = f"""
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
{TRAIN}
one = train()
assert len(keras.distribution.list_devices()) == 2
keras.distribution.set_distribution(keras.distribution.DataParallel())
assert_same(one, train())
"""

TENSORFLOW = f"""
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
{TRAIN}
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert strategy.num_replicas_in_sync == 2
assert_same(train(), train(in_strategy))
"""

TORCH = """
import sys, numpy as np, torch, torch.multiprocessing as mp

def train(rank, images, folder):
    import keras
    from keras import ops
    from kzoo.models import VAE
    from kzoo.networks import MLPEncoderDecoder
    if rank is not None:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
        images = images[rank::2]
    keras.utils.set_random_seed(0)
    model = VAE((4, 4, 1), 2, MLPEncoderDecoder((8,)))
    model.noise = lambda shape, draw=None: ops.zeros(shape)
    model.compile(keras.optimizers.SGD(0.01))
    model.fit(images, batch_size=len(images), epochs=3, shuffle=False, verbose=0)
    values = [ops.convert_to_numpy(v) for v in model.trainable_variables]
    np.savez(f"{folder}/{rank}.npz", *values)

if __name__ == "__main__":
    folder = sys.argv[1]
    images = np.random.default_rng(0).random((16, 4, 4, 1), "float32")
    train(None, images, folder)
    mp.spawn(train, (images, folder), nprocs=2)
    one, two = (np.load(f"{folder}/{name}.npz") for name in (None, 1))
    for key in one:
        np.testing.assert_allclose(one[key], two[key], rtol=1e-4, atol=1e-6)
"""


def test_reseeding_repeats_what_is_drawn_and_drops_nothing_compiled():
    draws = []
    for _ in range(2):
        backend.reseed(3)
        draws.append((random.random(), np.random.random()))
    assert draws[0] == draws[1]
    if BACKEND == "tensorflow":
        import tensorflow as tf  # whose own seeding costs seconds in each epoch

        tf.random.set_seed(3)
        first = tf.random.uniform(())
        backend.reseed(3)
        assert tf.random.uniform(()) != first


@pytest.mark.full
def test_two_replicas_train_as_one_does_on_the_whole_batch(python, tmp_path):
    scripts = {"jax": JAX, "tensorflow": TENSORFLOW, "torch": TORCH}
    script = tmp_path / "replicas.py"
    script.write_text(scripts[BACKEND])
    python(script, tmp_path)


@pytest.mark.one_backend
def test_other_backends_are_refused(python):
    result = python("-c", "import kzoo", backend="numpy", check=False)
    assert result.returncode and "KERAS_BACKEND" in result.stderr


if BACKEND == "tensorflow":

    def test_options_of_the_process_are_set_by_the_first_compile(python):
        python(
            "-c",
            """
import tensorflow as tf, kzoo
options = tf.config.optimizer.get_experimental_options
before = options()
model = kzoo.models.VAE((4, 4, 1), 2, kzoo.networks.MLPEncoderDecoder((8,)))
assert options() == before and "arithmetic_optimization" not in before
model.compile()
assert options() == {**before, "arithmetic_optimization": False}
""",
        )


def test_the_framework_can_be_prepared_again():
    backend.prepare()
    backend.prepare()
    assert float(ops.sum(ops.ones(3))) == 3.0


class Distance:
    """A loss of a variable, which notes how often Python runs it."""

    def __init__(self, target=None):
        self.weights, self.target, self.runs = keras.Variable([0.0]), target, 0
        self.sgd = keras.optimizers.SGD(0.25)
        self.sgd.build([self.weights])
        state = [self.weights, *self.sgd.variables]
        self.step = backend.phase(self.loss, [self.weights], self.sgd, state)

    def loss(self, x):
        self.runs += 1
        target = x if self.target is None else self.target
        loss = ops.sum(ops.square(self.weights - target))
        return loss, {"loss": loss}

    def train(self, sizes):
        """Takes a step on each of several batches of ones; returns the weight."""
        for size in sizes:
            self.step(ops.ones(size))
        return float(ops.convert_to_numpy(self.weights)[0])


def test_a_phase_runs_again_without_its_python(recwarn):
    distance = Distance()
    assert distance.train([1, 1, 1]) == pytest.approx(0.875)
    # Elsewhere the whole training step is compiled, not a phase of it.
    assert distance.runs == (1 if BACKEND == "torch" else 3)
    assert not [w for w in recwarn if "traced" in str(w.message)]


def test_a_compiled_model_trains_without_its_python():
    model, runs = VAE((4, 4, 1), 2, MLPEncoderDecoder((8,))), []
    negative_elbo = model.negative_elbo

    def noted(*args, **kwargs):
        runs.append(args)
        return negative_elbo(*args, **kwargs)

    model.negative_elbo = types.MethodType(lambda _, *a, **k: noted(*a, **k), model)
    model.compile()
    images = np.random.default_rng(0).random((16, 4, 4, 1), "float32")
    model.fit(images, batch_size=8, verbose=0)
    traced = len(runs)
    model.fit(images, batch_size=8, epochs=3, verbose=0)
    assert len(runs) == traced


def test_a_loss_that_cannot_be_traced_is_said_once_and_trained_on():
    distance = Distance(target=ops.convert_to_tensor([2.0]))  # no variable, no batch
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert distance.train([1, 2, 1, 2]) == pytest.approx(1.875)
    told = [str(w.message) for w in caught if "could not be traced" in str(w.message)]
    assert len(told) == (1 if BACKEND == "torch" else 0)
    assert all("Distance.loss" in text and "eagerly" in text for text in told)
    assert distance.runs >= 4


@pytest.mark.parametrize("arguments", [{}, {"beta_1": 0.5, "beta_2": 0.9}])
def test_adam_takes_the_steps_of_its_paper(arguments):
    """arXiv:1412.6980, section 2: the form with the corrections in the step size."""
    weights = keras.Variable(np.zeros((5, 2), "float32"))
    adam = keras.optimizers.Adam(0.01, **arguments)
    adam.build([weights])
    beta_1, beta_2 = adam.beta_1, adam.beta_2
    expected, m, v = np.zeros((5, 2)), 0.0, 0.0

    def loss(slope):  # its gradient is transposed, which PyTorch does by strides
        return ops.sum(ops.transpose(weights) * slope), {}

    minimize = backend.phase(loss, [weights], adam, [weights, *adam.variables])
    for step in range(1, 6):
        scale = 10.0 ** -np.arange(5)
        slope = np.float32(np.sin(step + np.arange(10).reshape(2, 5)) * scale)
        minimize(ops.convert_to_tensor(slope))
        m = beta_1 * m + (1 - beta_1) * slope.T
        v = beta_2 * v + (1 - beta_2) * slope.T**2
        rate = 0.01 * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        expected -= rate * m / (np.sqrt(v) + adam.epsilon)
        np.testing.assert_allclose(ops.convert_to_numpy(weights), expected, rtol=1e-4)
    assert int(adam.iterations) == 5


def test_random_numbers_have_their_distribution_and_go_on():
    seed = keras.random.SeedGenerator(3)
    normal = ops.convert_to_numpy(backend.normal((20_000,), seed))
    assert abs(normal.mean()) < 0.03 and abs(normal.std() - 1) < 0.03
    uniform = ops.convert_to_numpy(backend.uniform((20_000,), seed))
    assert 0 <= uniform.min() < 0.01 and 0.99 < uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.01
    other = ops.convert_to_numpy(backend.uniform((20_000,), seed))
    assert not np.array_equal(uniform, other)
    again = backend.normal((20_000,), keras.random.SeedGenerator(3))
    np.testing.assert_array_equal(normal, ops.convert_to_numpy(again))


def test_an_embedding_moves_by_the_sum_of_its_uses():
    embedding = keras.layers.Embedding(3, 2)
    embedding.build()
    optimizer = keras.optimizers.Adam(0.1)  # its first step is 0.1 along any slope
    optimizer.build(embedding.trainable_variables)
    before = np.array(ops.convert_to_numpy(embedding.embeddings))

    def loss(slopes):
        total = ops.sum(embedding(ops.convert_to_tensor([0, 0, 1])) * slopes)
        return total, {}

    state = [*embedding.variables, *optimizer.variables]
    minimize = backend.phase(loss, embedding.trainable_variables, optimizer, state)
    minimize(ops.convert_to_tensor(2 + wave((3, 2))))
    moved = ops.convert_to_numpy(embedding.embeddings) - before
    np.testing.assert_allclose(moved, [[-0.1] * 2, [-0.1] * 2, [0] * 2], atol=1e-5)
