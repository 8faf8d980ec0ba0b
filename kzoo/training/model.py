"""A model that is trained in phases: networks, optimizers, losses, logs."""

import inspect

import keras
from keras import ops

from kzoo import backend, checks, networks
from kzoo.optimizers import OptimizerGroup, serialize
from kzoo.training.fitting import WEIGHTS, Fitting
from kzoo.training.saving import Saving
from kzoo.verbs import Verbs


class GenerativeModel(Verbs, Fitting, Saving, keras.Model):
    """A `keras.Model` trained in phases, each minimising one loss over one network.

    A subclass builds its networks in `__init__`, names its logs with `watch`, returns
    the paper's optimizers from `default_optimizer`, and writes `train_step` and
    `test_step` once for all backends under `@backend.portable_step`, one phase a line:

        logs = self.minimize(self.critic_loss, images, labels, over="critic")
        logs |= self.minimize(self.generator_loss, images, labels, over="generator")
        return self.report(logs, images)

    A loss is a plain method: tensors in, `(loss, logs)` out. `generate_batch` maps
    latents to images in [0, 1], tensors to tensors.

    Args:
        image_shape: `(height, width, channels)` of the images.
        latent_dim: size of the latent vectors.
        num_classes: number of labels to condition on, or None for no labels.
    """

    def __init__(self, image_shape, latent_dim, num_classes=None, **kwargs):
        super().__init__(**kwargs)
        self.image_shape = checks.image_shape(image_shape)
        self.latent_dim = checks.positive_int("latent_dim", latent_dim)
        if num_classes is not None:
            num_classes = checks.positive_int("num_classes", num_classes)
        self.num_classes = num_classes
        self.own_networks = ()
        self.own_batches = False  # of this process alone, or to be divided
        self.seed = keras.random.SeedGenerator()

    def add_network(self, name, own, build, inputs, outputs):
        """Sets the attribute `name` to the user's `own` network, or builds one.

        Args:
            name: of the network, which is also its key among the optimizers.
            own: the user's network, or None.
            build: `build(image_shape, latent_dim, widths, num_classes)`, a network.
            inputs, outputs: the shapes it maps, without the batch axis.
        """
        if own is None:
            with networks.precision(self.dtype_policy):
                own = build(
                    self.image_shape, self.latent_dim, self.widths, self.num_classes
                )
        else:
            networks.check_shapes(name, own, inputs, outputs, self.num_classes)
            self.own_networks = (*self.own_networks, name)
        setattr(self, name, own)

    def given(self, inputs, labels):
        """What a network takes: `inputs`, or `[inputs, labels]` under a condition."""
        return inputs if labels is None else [inputs, labels]

    def default_optimizer(self):
        """The paper's optimizer, or for a model with phases a dict of one a network."""
        raise NotImplementedError(f"{type(self).__name__} has no default optimizer.")

    def compile(
        self,
        optimizer=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
    ):
        """Configures training; with no argument, as the model's paper trains it.

        Args:
            optimizer: a Keras optimizer or its name; for a model with phases a dict
                `{network: optimizer}`. None means `default_optimizer()`.
            run_eagerly, steps_per_execution, jit_compile: as in `keras.Model.compile`.

        Raises:
            ValueError: for a single optimizer where there are phases, or the reverse.
        """
        default = self.default_optimizer()
        optimizer = default if optimizer is None else optimizer
        if isinstance(default, dict):
            optimizer = self._optimizer_group(optimizer, default)
        elif isinstance(optimizer, dict | OptimizerGroup):
            raise ValueError(
                f"{type(self).__name__} trains all its networks by one loss. Expected "
                f"one optimizer. Received: optimizer={optimizer!r}."
            )
        super().compile(
            optimizer=optimizer,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=jit_compile,
            auto_scale_loss=not isinstance(optimizer, OptimizerGroup),
        )
        self._phases = {}
        if isinstance(optimizer, OptimizerGroup):
            optimizer.build({n: getattr(self, n).trainable_variables for n in default})
        else:
            self.optimizer.build(self.trainable_variables)

    def forget_compiled(self):
        super().forget_compiled()
        self._phases = {}

    def _optimizer_group(self, optimizer, default):
        group = isinstance(optimizer, OptimizerGroup)
        members = optimizer.members if group else optimizer
        if not isinstance(members, dict) or set(members) != set(default):
            names = ", ".join(f"{name!r}: ..." for name in default)
            raise ValueError(
                f"{type(self).__name__} trains each network with its own optimizer. "
                f"Expected optimizer={{{names}}}. Received: optimizer={optimizer!r}."
            )
        if group:
            return optimizer
        scale = self.dtype_policy.name == "mixed_float16"
        # In the model's order, by which Keras finds them in a file.
        return OptimizerGroup({name: members[name] for name in default}, scale)

    def get_compile_config(self):
        # Only the optimizer: jit_compile and steps_per_execution belong to the machine,
        # and Keras would carry JAX's jit_compile=True over to torch.compile.
        if not self.compiled:
            return None
        return {"optimizer": serialize(self.optimizer)}

    def compile_from_config(self, config):
        self.compile(keras.saving.deserialize_keras_object(config["optimizer"]))

    def unpack(self, data):
        """A batch as `(images, labels)`: float32 images in [0, 1], labels or None."""
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            raise ValueError(WEIGHTS.format("a sample_weight in the data"))
        checks.batch_shape(images, self.image_shape)
        checks.check_labels(labels, self.num_classes)
        if labels is not None:  # run eagerly, JAX leaves them NumPy's
            labels = ops.convert_to_tensor(labels)
        return checks.unit_range(images), labels

    def minimize(self, loss_fn, *batch, over=None):
        """Takes one optimizer step on `loss_fn(*batch)`; returns the loss's logs.

        Args:
            loss_fn: method that returns `(loss, logs)`, a scalar and a dict of them.
                Like all of `train_step` it is traced, on PyTorch too: Python in it runs
                once, unless `compile(run_eagerly=True)`.
            over: name of the network to train, or None for the whole model.
        """
        phase = self._phases.get((loss_fn, over))
        if phase is None:
            phase = self._phase(loss_fn, over)
            # Any other function than a method may be a new one in each step.
            if inspect.ismethod(loss_fn):
                self._phases[loss_fn, over] = phase
        return phase(*batch)

    def _phase(self, loss_fn, over):
        network = getattr(self, over) if over else self
        if not network.trainable_variables:  # frozen by the user
            return lambda *batch: keras.tree.map_structure(
                ops.stop_gradient, loss_fn(*batch)[1]
            )
        return backend.phase(
            loss_fn,
            network.trainable_variables,
            self.optimizer.members[over] if over else self.optimizer,
            state=[*self.variables, *self.optimizer.variables],
            run_eagerly=self.run_eagerly or not inspect.ismethod(loss_fn),
            jit_compile=self.jit_compile,
        )

    def noise(self, shape, draw=backend.normal):
        """Random numbers of `shape` from the model's seed, which is saved with it."""
        return draw(shape, seed=self.seed)

    def grown(self, steps, training=True):
        """From 0 to 1 over so many steps of training; 1 where nothing is trained."""
        if not steps or not training:
            return 1.0
        done = ops.cast(self.optimizer.iterations, "float32")
        return ops.minimum(done / steps, 1.0)

    def watch(self, *names):
        """Declares the logs: a running mean for each name."""
        self.means = {name: MeanOfImages(name=name) for name in names}

    def report(self, logs, images):
        """Adds a batch's logs to the means, each image counting once; returns them."""
        count = ops.cast(ops.shape(images)[0], "float32")
        if backend.replicas() > 1:
            values = [1.0 * logs[name] for name in self.means]  # no variables
            values = ops.unstack(backend.replica_mean(ops.stack(values)), len(values))
            logs = dict(zip(self.means, values, strict=True))
        for name, mean in self.means.items():
            mean.update_state(logs[name], count)
        return {name: mean.result() for name, mean in self.means.items()}

    @property
    def metrics(self):
        return list(self.means.values())


class MeanOfImages(keras.metrics.Mean):
    """The running mean of scalars, each the mean over `count` images.

    The same as `keras.metrics.Mean` with weights, in two operations instead of twenty.
    """

    def update_state(self, value, count):
        self.total.assign_add(value * count)
        self.count.assign_add(count)
