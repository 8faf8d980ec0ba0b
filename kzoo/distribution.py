"""Training on several devices: each batch is divided among them.

A recipe or a script of your own calls `data_parallel` before it builds a model and
`finish` after `fit`; the rest of it stays as it is. `docs/scaling.md` has the commands
for one machine, for several, and what else changes with the number of devices.

The framework's own means do the work: `keras.distribution.DataParallel` on JAX,
`tf.distribute` on TensorFlow, the process groups of `torch.distributed` on PyTorch.
Gradients, losses, the statistics of `kzoo.layers.BatchNormalization`, and whatever else
a step moves by a batch are those of the whole batch. A step on JAX sees the whole batch
in all else as well. On TensorFlow and PyTorch, what a loss compares within a batch is
compared within a replica's part: minibatch standard deviation, relativistic averages,
MMD, total correlation. Random numbers differ from replica to replica.

A script that sets up a distribution, a strategy or a process group itself trains in the
same way; only that on PyTorch each of its processes then gives its own data to `fit`.
"""

import sys

from kzoo import backend, checks


def data_parallel(devices=None):
    """Divides each batch that is trained on among `devices`, from now on.

    Call it first of all: before data is loaded, and before a model is built. On a
    machine without accelerators the CPU counts as as many devices as are asked for. On
    PyTorch, where each device needs a process, `torchrun` starts the script anew, so
    many times.

    Args:
        devices: number of devices of this machine, or None: one, unless a launcher has
            started several processes (torchrun; `TF_CONFIG` on TensorFlow;
            `KERAS_DISTRIBUTION_NUM_PROCESSES` and its like on JAX). Then all devices of
            all of them take part.

    Raises:
        ValueError: for more devices than there are.
        RuntimeError: where the framework has started already, and the CPU cannot be
            divided any more.
    """
    if devices is not None:
        devices = checks.positive_int("devices", devices)
    backend.data_parallel(devices)
    if devices not in (None, backend.replicas()):
        raise ValueError(
            f"The launcher's processes have {backend.replicas()} devices together. "
            f"Expected devices to be as many, or None. Received: devices={devices}."
        )


def is_chief():
    """Whether this process writes files: of several that train together, one does."""
    return backend.is_chief()


def finish(model):
    """Ends training on several devices: the model is that of one device again.

    Of several processes only the chief goes on; the others end here.
    """
    chief = is_chief()
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    backend.alone(variables)
    model.forget_compiled()
    if not chief:
        sys.exit()
