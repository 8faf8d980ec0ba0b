"""PyTorch: eager, with gradients taken by `autograd.grad`."""

import functools

import torch


def portable_step(step):
    @functools.wraps(step)
    def stateful(self, data):
        return step(self, *self.unpack(data))

    return stateful


def minimize(loss_fn, variables, optimizer, state):
    loss, logs = loss_fn()
    # Not `backward()`: no `.grad` may pile up on a network that this phase only reads.
    scaled = optimizer.scale_loss(loss)
    grads = torch.autograd.grad(scaled, [v.value for v in variables], allow_unused=True)
    with torch.no_grad():
        optimizer.apply(_averaged(grads), variables)
    return {name: value.detach() for name, value in logs.items()}


@torch.compiler.disable  # torch cannot differentiate twice through compiled code
def input_gradient(fn, x):
    with torch.enable_grad():  # Keras evaluates under no_grad
        x = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(fn(x).sum(), x, create_graph=True)[0]


def inference(fn, state):
    return torch.no_grad()(fn)


def _averaged(grads):
    """Averages gradients over the processes of a group, if there is one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return grads
    for grad in grads:
        if grad is not None:
            torch.distributed.all_reduce(grad)
            grad /= torch.distributed.get_world_size()
    return grads
