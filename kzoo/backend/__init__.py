"""The only package that imports TensorFlow, JAX or PyTorch.

Each backend module defines the same names, and `keras.backend.backend()` picks one:

- `portable_step(step)` adapts a stateful `step(self, images, labels)` to Keras's
  trainer, which on JAX is a pure function of the state.
- `minimize(loss_fn, variables, optimizer, state)` takes one optimizer step on
  `loss, logs = loss_fn()` over `variables` and nothing else, and returns `logs`.
  What `loss_fn` writes to `state` (batch statistics, seeds) is kept.
- `input_gradient(fn, x)` is the gradient of `sum(fn(x))` with respect to `x`, and can
  be differentiated again.
- `inference(fn, state)` compiles `fn(*tensors)`, which reads the variables `state`.
- `normal(shape, seed)` and `uniform(shape, seed)` draw float32 numbers from N(0, 1) and
  from [0, 1), and move the `keras.random.SeedGenerator` `seed` on.
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

inference = chosen.inference
input_gradient = chosen.input_gradient
minimize = chosen.minimize
normal = chosen.normal
portable_step = chosen.portable_step
uniform = chosen.uniform

__all__ = [
    "inference",
    "input_gradient",
    "minimize",
    "normal",
    "portable_step",
    "uniform",
]
