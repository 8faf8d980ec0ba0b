"""PyTorch on several devices: one process for each, by `torch.distributed`."""

import atexit
import contextlib
import os
import random
import signal
import sys

import numpy as np
import torch
from torch import distributed

STOPPED = (
    "One process ended, and so all were stopped. A run that a Checkpoint has saved can "
    "be resumed, on any number of devices."
)

# Whether `fit` divides its batches. Not in a process group that a script has started.
dividing = False


def data_parallel(devices):
    global dividing
    if "WORLD_SIZE" not in os.environ:
        if devices in (None, 1):
            return
        _launch(devices)
    dividing = True
    if replicas() > 1:
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    atexit.register(alone)


def _launch(devices):
    """Runs this script by torchrun, one process a device, in place of this one."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        run.main(["--standalone", f"--nproc-per-node={devices}", *sys.argv])
    except ChildFailedError as error:
        sys.exit(f"{error}\n{STOPPED}")
    except SignalException as error:
        if error.sigval != signal.SIGINT:
            raise
        raise KeyboardInterrupt from None  # as if there was one process
    sys.exit()


def replicas():
    available = distributed.is_available() and distributed.is_initialized()
    return distributed.get_world_size() if available else 1


def rank():
    return distributed.get_rank() if replicas() > 1 else 0


def parts():
    return replicas() if dividing else 1


def is_chief():
    return rank() == 0


by_itself = contextlib.nullcontext


def data_shard():
    return rank(), replicas()


def own_share(x, y, batch_size, shuffle):
    return x, y, batch_size, shuffle  # each step takes its part of a batch


def checked(dataset, check, plausible):
    return dataset  # Keras's adapter checks what it hands over


def alone(variables=()):
    if replicas() > 1:
        distributed.destroy_process_group()


def synchronize(variables):
    if replicas() == 1:
        return
    for variable in variables:
        distributed.broadcast(variable.value.data, 0)
    # The same order of the data, too.
    states = [torch.get_rng_state(), np.random.get_state(), random.getstate()]
    distributed.broadcast_object_list(states, 0)
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])
    random.setstate(states[2])


def share(batch):
    """This process's part of a global batch `(n, ...)`."""
    if batch is None or parts() == 1:
        return batch
    part = len(batch) // replicas()
    if part * replicas() != len(batch):
        raise ValueError(
            f"Expected batches that divide among {replicas()} processes. Received: one "
            f"of {len(batch)} images. Leave out the last batch of an epoch, or take "
            "another batch_size."
        )
    return batch[rank() * part : (rank() + 1) * part]


def replica_mean(x):
    return x if replicas() == 1 else _sum_over_processes(x) / replicas()


def whole_batch(x):
    return x if replicas() == 1 else _gather_from_processes(x.detach())


def average(grads):
    """Averages the gradients of a phase over the processes, in one exchange."""
    if replicas() == 1:
        return grads
    some = [grad for grad in grads if grad is not None]
    bucket = torch.cat([grad.flatten() for grad in some])
    distributed.all_reduce(bucket)
    bucket /= replicas()
    parts = iter(bucket.split([grad.numel() for grad in some]))
    return [
        None if grad is None else next(parts).view(grad.shape).to(grad.dtype)
        for grad in grads
    ]


# Operators of their own can be traced, and this one differentiated at any order.


@torch.library.custom_op("kzoo::sum_over_processes", mutates_args=())
def _sum_over_processes(x: torch.Tensor) -> torch.Tensor:
    total = x.contiguous().clone()
    distributed.all_reduce(total)
    return total


@_sum_over_processes.register_fake
def _empty_sum(x):
    return torch.empty_like(x)


_sum_over_processes.register_autograd(lambda context, grad: _sum_over_processes(grad))


@torch.library.custom_op("kzoo::gather_from_processes", mutates_args=())
def _gather_from_processes(x: torch.Tensor) -> torch.Tensor:
    parts = [torch.empty_like(x) for _ in range(replicas())]
    distributed.all_gather(parts, x.contiguous())
    return torch.cat(parts)


@_gather_from_processes.register_fake
def _empty_gather(x):
    return x.new_empty((replicas() * x.shape[0], *x.shape[1:]))
