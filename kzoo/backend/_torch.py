"""PyTorch: eager, with gradients taken by `autograd.grad`."""

import functools

import keras
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
        _fuse(optimizer, variables)
        optimizer.apply(_averaged(grads), variables)
    return {name: value.detach() for name, value in logs.items()}


@torch.compiler.disable  # torch cannot differentiate twice through compiled code
def input_gradient(fn, x):
    with torch.enable_grad():  # Keras evaluates under no_grad
        x = x if x.requires_grad else x.detach().requires_grad_()
        return torch.autograd.grad(fn(x).sum(), x, create_graph=True)[0]


def inference(fn, state):
    return torch.no_grad()(fn)


def normal(shape, seed):
    return keras.random.normal(shape, seed=seed)


def uniform(shape, seed):
    return keras.random.uniform(shape, seed=seed)


def _fuse(optimizer, variables):
    """Makes Adam's step on a CPU one pass over memory, where Keras's takes nine."""
    adam = type(keras.optimizers.Adam())
    step = getattr(type(optimizer), "_parallel_update_step", None)
    plain = step is adam._parallel_update_step and not optimizer.amsgrad
    on_cpu = variables[0].value.device.type == "cpu"
    if plain and on_cpu and "_parallel_update_step" not in vars(optimizer):
        fused = functools.partial(_fused_adam, optimizer)
        object.__setattr__(optimizer, "_parallel_update_step", fused)


def _fused_adam(optimizer, grads, variables, learning_rate):
    """What `keras.optimizers.Adam` computes, by the kernel of `torch.optim.Adam`.

    Keras adds epsilon to the root of the raw second moment, PyTorch to that of the
    corrected one.
    """
    places = [optimizer._get_variable_index(variable) for variable in variables]
    weights = [variable.value for variable in variables]
    moments = [optimizer._momentums[place].value for place in places]
    squares = [optimizer._velocities[place].value for place in places]
    # The kernel takes numbers in the order of memory, whatever the strides.
    ordered = all(t.is_contiguous() for t in (*weights, *moments, *squares))
    if torch.compiler.is_compiling() or not ordered:
        step = type(optimizer)._parallel_update_step
        return step(optimizer, grads, variables, learning_rate)
    step = int(optimizer.iterations) + 1
    torch._fused_adam_(
        weights,
        [grad.contiguous() for grad in grads],
        moments,
        squares,
        [],
        [torch.tensor(float(step))] * len(places),
        lr=float(learning_rate),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        weight_decay=0.0,
        eps=optimizer.epsilon / (1 - optimizer.beta_2**step) ** 0.5,
        amsgrad=False,
        maximize=False,
    )


def _averaged(grads):
    """Averages gradients over the processes of a group, if there is one."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return grads
    for grad in grads:
        if grad is not None:
            torch.distributed.all_reduce(grad)
            grad /= torch.distributed.get_world_size()
    return grads
