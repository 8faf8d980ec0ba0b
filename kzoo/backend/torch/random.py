"""Random numbers on PyTorch: those of `keras.random`, by operators that can be traced.

In a traced graph the seed remains a tensor until the operator runs.
"""

import keras
import torch

from kzoo.backend.torch.replicas import rank

APART = 0x9E3779B1  # between the seeds of two processes

reseed = keras.utils.set_random_seed


def normal(shape, seed):
    return _normal(seed.next(), list(shape))


def uniform(shape, seed):
    return _uniform(seed.next(), list(shape))


@torch.library.custom_op("kzoo::normal", mutates_args=())
def _normal(seed: torch.Tensor, shape: list[int]) -> torch.Tensor:
    return torch.randn(shape, generator=_generator(seed), device=seed.device)


@torch.library.custom_op("kzoo::uniform", mutates_args=())
def _uniform(seed: torch.Tensor, shape: list[int]) -> torch.Tensor:
    return torch.rand(shape, generator=_generator(seed), device=seed.device)


@_normal.register_fake
@_uniform.register_fake
def _empty(seed, shape):
    return seed.new_empty(shape, dtype=torch.float32)


def _generator(seed):
    own = int(seed.sum()) + rank() * APART  # another one in every process
    return torch.Generator(seed.device).manual_seed(own & 0xFFFFFFFF)
