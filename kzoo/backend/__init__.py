"""The only package that imports TensorFlow, JAX or PyTorch.

Each backend module defines the same names, and `keras.backend.backend()` picks one:

- `portable_step(step)` adapts a stateful `step(self, images, labels)` to Keras's
  trainer, which on JAX is a pure function of the state.
- `phase(loss_fn, variables, optimizer, state, ...)` is a function of a batch. It takes
  one optimizer step on `loss, logs = loss_fn(*batch)` over `variables` and nothing
  else, and returns `logs`. What `loss_fn` writes to `state` (batch statistics, seeds)
  is kept. `run_eagerly` and `jit_compile` are those of `keras.Model.compile`: PyTorch
  needs them here, the other backends compile the whole step that a phase is part of.
- `execution(execution, step, steps)` is what takes so many of a trainer's steps, in
  place of the `execution` that Keras has made of the one `step`.
- `input_gradient(fn, x)` is the gradient of `sum(fn(x))` with respect to `x`, and can
  be differentiated again.
- `inference(fn, state)` compiles `fn(*tensors)`, which reads the variables `state`.
- `normal(shape, seed)` and `uniform(shape, seed)` draw float32 numbers from N(0, 1) and
  from [0, 1), and move the `keras.random.SeedGenerator` `seed` on. `reseed(seed)` is
  `keras.utils.set_random_seed`, but leaves compiled functions as they are.
- `convolution`, `transposed_convolution` and `batch_normalization` do the work of the
  layers of `kzoo.layers` in channels last. The last one also returns the batch's mean
  and (biased) variance of each channel.
- `data_parallel(devices)` divides each batch among devices from now on, `replicas()` is
  among how many, and `parts()` into how many a batch that `fit` is given. A step, of
  which each replica runs its own on its part of the batch, averages what has to be the
  same everywhere by `replica_mean(x)`, or sees the parts of all of them, without
  gradients, by `whole_batch(x)`; on JAX a step sees the whole batch anyway, and the
  compiler divides it. `synchronize(variables)` makes the processes start alike; of them
  `is_chief()` is the one that writes files.
  `own_share(x, y, batch_size, shuffle)` is what a process gives to `fit` in place of
  them (`shuffle` is None where Keras has to see the arrays, and comes back as False
  where that is taken care of), `data_shard()` which part of a data set,
  `(index, count)`, it should read. Within `by_itself()` a
  process does what the others do not do, and `alone(variables)` ends all this.
"""

import keras

match keras.backend.backend():
    case "jax":
        from kzoo.backend import _jax as chosen
    case "tensorflow":
        from kzoo.backend import _tensorflow as chosen
    case "torch":
        from kzoo.backend import _torch as chosen
    case other:
        raise ImportError(
            "kzoo runs on the Keras backends 'jax', 'tensorflow' and 'torch'. "
            f"Received: {other!r}. Set the environment variable KERAS_BACKEND to one "
            "of them before Python starts."
        )

alone = chosen.alone
batch_normalization = chosen.batch_normalization
by_itself = chosen.by_itself
convolution = chosen.convolution
data_parallel = chosen.data_parallel
data_shard = chosen.data_shard
execution = chosen.execution
inference = chosen.inference
input_gradient = chosen.input_gradient
is_chief = chosen.is_chief
normal = chosen.normal
own_share = chosen.own_share
parts = chosen.parts
phase = chosen.phase
portable_step = chosen.portable_step
replica_mean = chosen.replica_mean
replicas = chosen.replicas
reseed = chosen.reseed
synchronize = chosen.synchronize
transposed_convolution = chosen.transposed_convolution
uniform = chosen.uniform
whole_batch = chosen.whole_batch

__all__ = [
    "alone",
    "batch_normalization",
    "by_itself",
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
    "replica_mean",
    "replicas",
    "reseed",
    "synchronize",
    "transposed_convolution",
    "uniform",
    "whole_batch",
]
