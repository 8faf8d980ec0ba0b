"""PyTorch: each phase is traced once into a graph of tensor operations."""

# ruff: noqa: F401 (kzoo.backend exports these names)

from kzoo.backend.torch.kernels import (
    batch_normalization,
    convolution,
    transposed_convolution,
)
from kzoo.backend.torch.random import normal, reseed, uniform
from kzoo.backend.torch.replicas import (
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
from kzoo.backend.torch.step import (
    cond,
    execution,
    inference,
    input_gradient,
    phase,
    portable_step,
    prepare,
)
