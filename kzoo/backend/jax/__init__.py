"""JAX: a training step is a pure function of the model's state."""

# ruff: noqa: F401 (kzoo.backend exports these names)

from kzoo.backend.jax.kernels import (
    batch_normalization,
    convolution,
    transposed_convolution,
)
from kzoo.backend.jax.random import normal, reseed, uniform
from kzoo.backend.jax.replicas import (
    alone,
    by_itself,
    checked,
    data_parallel,
    data_shard,
    is_chief,
    own_share,
    parts,
    replica_mean,
    replicas,
    synchronize,
    whole_batch,
)
from kzoo.backend.jax.step import (
    cond,
    execution,
    inference,
    input_gradient,
    phase,
    portable_step,
    prepare,
)
