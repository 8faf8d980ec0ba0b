"""The only package that imports TensorFlow, JAX or PyTorch.

Each framework has a package: `step` trains and runs networks, `kernels` computes layers
and optimizers, `replicas` trains on several devices, `random` draws. The one that
`keras.backend.backend()` names is chosen. All have the same functions:

Steps:

- `portable_step(step)` adapts a stateful `step(self, images, labels)` to Keras's
  trainer. On JAX the trainer expects a pure function of the state.
- `phase(loss_fn, variables, optimizer, state, ...)` returns a function of a batch. It
  takes one optimizer step on `loss, logs = loss_fn(*batch)` over `variables`, moves
  nothing else, and returns `logs`. What `loss_fn` assigns to `state` (batch statistics,
  seeds) is kept. `run_eagerly` and `jit_compile` are those of `keras.Model.compile`.
  PyTorch needs them here; the other backends compile the whole training step.
- `execution(execution, step, steps)` runs `steps` training steps at a time. `execution`
  is what Keras makes of the one `step`.
- `prepare()` sets the options of the framework that training needs, for the process.
  Every `compile` calls it.
- `input_gradient(fn, x)` is the gradient of `sum(fn(x))` with respect to `x`, itself
  differentiable.
- `cond(predicate, function, otherwise)` is `keras.ops.cond`, also where a branch
  assigns to variables: what only one of them assigns, such as seeds, is kept.
- `inference(fn, state)` compiles `fn(*tensors)`, which reads the variables `state`.

Random numbers:

- `normal(shape, seed)` and `uniform(shape, seed)` draw float32 numbers from N(0, 1) and
  from [0, 1), and advance the `keras.random.SeedGenerator` `seed`.
- `reseed(seed)` is `keras.utils.set_random_seed`, but keeps compiled functions.

Kernels, all channels last:

- `convolution`, `transposed_convolution` and `batch_normalization` compute the layers
  of `kzoo.layers`. `batch_normalization` also returns the batch's mean and (biased)
  variance of each channel.

Several devices:

- `data_parallel(devices)` divides each batch among devices from now on. `replicas()` is
  their number, `parts()` the number of parts of each batch that `fit` is given.
- `replica_mean(x)` averages over the replicas, each of which runs the step on its part
  of the batch. `whole_batch(x)` concatenates their parts, without gradients. On JAX a
  step sees the whole batch, and the compiler divides it.
- `synchronize(variables)` gives all processes the same start. `is_chief()` is whether
  this process writes files.
- `own_share(x, y, batch_size, shuffle)` are the arguments that this process gives to
  `fit`. `shuffle` is None if Keras has to see the arrays; a False that is returned
  means that the data shuffle themselves. `data_shard()` is the part of a data set that
  this process reads, `(index, count)`.
- `checked(dataset, check, plausible)` is a `tf.data` set that calls `check(batch)`,
  with NumPy arrays, on each batch of which `plausible(batch)`, a boolean tensor, is
  False. Only TensorFlow trains on such sets.
- `by_itself()` is a context in which this process does what the others do not do.
  `alone(variables)` ends training on several devices.
"""

import keras

match keras.backend.backend():
    case "jax":
        from kzoo.backend import jax as chosen
    case "tensorflow":
        from kzoo.backend import tensorflow as chosen
    case "torch":
        from kzoo.backend import torch as chosen
    case other:
        raise ImportError(
            "kzoo runs on the Keras backends 'jax', 'tensorflow' and 'torch'. "
            f"Received: {other!r}. Set the environment variable KERAS_BACKEND to one "
            "of them before Python starts."
        )

__all__ = [
    "alone",
    "batch_normalization",
    "by_itself",
    "checked",
    "cond",
    "convolution",
    "data_parallel",
    "data_shard",
    "execution",
    "inference",
    "input_gradient",
    "is_chief",
    "normal",
    "own_share",
    "parts",
    "phase",
    "portable_step",
    "prepare",
    "replica_mean",
    "replicas",
    "reseed",
    "synchronize",
    "transposed_convolution",
    "uniform",
    "whole_batch",
]
globals().update({name: getattr(chosen, name) for name in __all__})


def portable_step(step):
    """`chosen.portable_step`, marked; a step that is adapted already stays as it is."""
    if is_portable(step):
        return step
    adapted = chosen.portable_step(step)
    adapted.is_portable = True
    return adapted


def is_portable(step):
    return getattr(step, "is_portable", False)
