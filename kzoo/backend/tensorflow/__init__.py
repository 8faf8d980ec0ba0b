"""TensorFlow: variables are updated in place inside Keras's `tf.function`."""

# ruff: noqa: F401 (kzoo.backend exports these names)

from kzoo.backend.tensorflow.kernels import (
    batch_normalization,
    convolution,
    transposed_convolution,
)
from kzoo.backend.tensorflow.random import normal, reseed, uniform
from kzoo.backend.tensorflow.replicas import (
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
from kzoo.backend.tensorflow.step import (
    cond,
    execution,
    inference,
    input_gradient,
    phase,
    portable_step,
    prepare,
)
