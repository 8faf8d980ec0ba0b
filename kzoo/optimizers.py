"""One optimizer for each network of a model."""

import json

import keras

from kzoo.backend import keras_internals


def serialize(optimizer):
    """`keras.saving.serialize_keras_object`, by the optimizer's public name.

    Other backends can then load and run it.
    """
    config = keras.saving.serialize_keras_object(optimizer)
    return keras_internals.public_module_names(config)


def to_json(optimizers):
    """An optimizer, or a dict of them, as text."""
    return json.dumps(keras.tree.map_structure(serialize, optimizers))


def from_json(text):
    """New optimizers like those that `to_json` was given."""
    return keras.saving.deserialize_keras_object(json.loads(text))


def build(optimizer, variables):
    """Creates the optimizer's state for `variables`.

    Raises:
        ValueError: if it has been built for others, those of another model.
    """
    built = {id(v) for v in keras_internals.optimized_variables(optimizer)}
    if built and any(id(v) not in built for v in variables):
        raise ValueError(
            f"Expected an optimizer of this model alone, as it keeps moments of each "
            f"variable. Received: {optimizer.name!r}, which was built for other "
            "variables. Build a new one: type(optimizer).from_config("
            "optimizer.get_config())."
        )
    optimizer.build(variables)


@keras.saving.register_keras_serializable("kzoo")
class OptimizerGroup(keras.optimizers.Optimizer):
    """One optimizer for each network, kept in `model.optimizer` as Keras expects.

    Stock `keras.optimizers.MultiOptimizer` finds a variable's optimizer by its path and
    refuses loss scaling; here each phase applies the member that owns its network.

    Args:
        members: dict `{network name: optimizer or its name}`. Each member is renamed to
            its network, which is how callbacks log its learning rate.
        scale_loss: wraps each member in a `LossScaleOptimizer`, for `mixed_float16`.
    """

    def __init__(self, members, scale_loss=False, name="optimizer_group"):
        super().__init__(learning_rate=0.0, name=name)
        members = {k: keras.optimizers.get(v) for k, v in members.items()}
        if len({id(member) for member in members.values()}) < len(members):
            raise ValueError(
                "Expected a separate optimizer for each network, as each keeps its own "
                "moments. Received the same object twice: build one for each."
            )
        for network, member in members.items():
            member.name = network
            if scale_loss and not isinstance(
                member, keras.optimizers.LossScaleOptimizer
            ):
                members[network] = keras.optimizers.LossScaleOptimizer(
                    member, name=network
                )
        self.members = members

    @property
    def optimizers(self):
        """The members as a list: what Keras's callbacks look for."""
        return list(self.members.values())

    def build(self, variables):
        """Creates every member's state. `variables` is `{network: variables}`."""
        for network, member in self.members.items():
            build(member, variables[network])
        self.trained = variables
        self.built = True

    @property
    def variables(self):
        return [v for member in self.members.values() for v in member.variables]

    @property
    def iterations(self):
        """Steps of the last network: in a GAN, generator steps."""
        return self.optimizers[-1].iterations

    @property
    def learning_rate(self):
        raise AttributeError(
            "Each network has its own learning rate. Use "
            f"optimizer.members[name].learning_rate, name one of {list(self.members)}."
        )

    @learning_rate.setter
    def learning_rate(self, value):
        self.learning_rate  # raises  # noqa: B018

    def apply(self, grads, trainable_variables=None):
        raise NotImplementedError(
            "A group is applied one phase at a time: "
            "model.minimize(loss_fn, *batch, over=network)."
        )

    def finalize_variable_values(self, var_list):
        for network, member in self.members.items():
            member.finalize_variable_values(self.trained[network])

    # Keras walks into `members` and saves each there.

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass

    def get_config(self):
        return {
            "members": {
                network: serialize(member) for network, member in self.members.items()
            },
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        members = keras.saving.deserialize_keras_object(
            config["members"], custom_objects=custom_objects
        )
        return cls(members, name=config["name"])
