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
"""

import keras

match keras.backend.backend():
    case "jax":
        from kzoo.backend._jax import inference, input_gradient, minimize, portable_step
    case "tensorflow":
        from kzoo.backend._tensorflow import (
            inference,
            input_gradient,
            minimize,
            portable_step,
        )
    case "torch":
        from kzoo.backend._torch import (
            inference,
            input_gradient,
            minimize,
            portable_step,
        )
    case other:
        raise ImportError(
            "kzoo runs on the Keras backends 'jax', 'tensorflow' and 'torch'. "
            f"Received: {other!r}. Set the environment variable KERAS_BACKEND to one "
            "of them before Python starts."
        )

__all__ = ["inference", "input_gradient", "minimize", "portable_step"]
