"""The only package that imports TensorFlow, JAX or PyTorch.

Each backend module defines the same names, and `keras.backend.backend()` picks one:

- `portable_step(step)` adapts a stateful `step(self, images, labels)` to Keras's
  trainer, which on JAX is a pure function of the state.
- `phase(loss_fn, variables, optimizer, state, ...)` is a function of a batch. It takes
  one optimizer step on `loss, logs = loss_fn(*batch)` over `variables` and nothing
  else, and returns `logs`. What `loss_fn` writes to `state` (batch statistics, seeds)
  is kept. `run_eagerly` and `jit_compile` are those of `keras.Model.compile`: PyTorch
  needs them here, the other backends compile the whole step that a phase is part of.
- `input_gradient(fn, x)` is the gradient of `sum(fn(x))` with respect to `x`, and can
  be differentiated again.
- `inference(fn, state)` compiles `fn(*tensors)`, which reads the variables `state`.
- `normal(shape, seed)` and `uniform(shape, seed)` draw float32 numbers from N(0, 1) and
  from [0, 1), and move the `keras.random.SeedGenerator` `seed` on.
- `convolution`, `transposed_convolution` and `batch_normalization` do the work of the
  layers of `kzoo.layers` in channels last. The last one also returns the batch's mean
  and (biased) variance of each channel.
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

batch_normalization = chosen.batch_normalization
convolution = chosen.convolution
inference = chosen.inference
input_gradient = chosen.input_gradient
normal = chosen.normal
phase = chosen.phase
portable_step = chosen.portable_step
transposed_convolution = chosen.transposed_convolution
uniform = chosen.uniform

__all__ = [
    "batch_normalization",
    "convolution",
    "inference",
    "input_gradient",
    "normal",
    "phase",
    "portable_step",
    "transposed_convolution",
    "uniform",
]
