"""What every model of the zoo shares: phases, optimizers, saving."""

import contextlib
import copy
import inspect
import math

import keras
import numpy as np
from keras import ops

from kzoo import backend, checks, networks
from kzoo.files import replacing
from kzoo.optimizers import OptimizerGroup, serialize
from kzoo.verbs import Verbs

WEIGHTS = (
    "Expected images, or images and labels: kzoo models weigh all images alike. "
    "Received: {}. Leave it out, or repeat images instead."
)


class GenerativeModel(Verbs, keras.Model):
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

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        **kwargs,
    ):
        """`keras.Model.fit` on images, or images and labels, checked before it starts.

        Data with a method `set_epoch`, such as a `kzoo.data.stream`, shuffle themselves
        and are told which epoch begins. Stops with a `FloatingPointError` that names
        the loss when one is not finite.
        """
        for argument in ("sample_weight", "class_weight"):
            if kwargs.get(argument) is not None:
                raise ValueError(WEIGHTS.format(argument))
        checks.data(self.image_shape, self.num_classes, x, y)
        shuffle = kwargs.get("shuffle", True)
        if kwargs.get("validation_split"):
            shuffle = None  # Keras has yet to split the arrays
        x, y, own_batch_size, shuffle = self._own_share(x, y, batch_size, shuffle)
        if shuffle is False:
            kwargs["shuffle"] = False
        if kwargs.get("validation_data") is not None:
            data = kwargs["validation_data"]
            data = data if isinstance(data, tuple) else (data,)
            checks.data(self.image_shape, self.num_classes, *data)
            size = kwargs.get("validation_batch_size") or batch_size
            images, labels = *data, *[None] * (2 - len(data))
            *data, size, _ = self._own_share(images, labels, size)
            kwargs |= {"validation_data": tuple(data), "validation_batch_size": size}
        if not isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks = [StopOnNonFinite(), *keras.tree.flatten(callbacks or [])]
        if hasattr(x, "set_epoch"):
            _check_shuffles_itself(kwargs)
            callbacks.append(
                keras.callbacks.LambdaCallback(
                    on_epoch_begin=lambda epoch, logs: x.set_epoch(epoch)
                )
            )
        backend.synchronize([*self.variables, *self.optimizer.variables])
        kwargs["verbose"] = verbose if backend.is_chief() else 0
        with self._reading(x):
            return super().fit(
                x, y, own_batch_size, epochs, callbacks=callbacks, **kwargs
            )

    def evaluate(self, x=None, y=None, batch_size=None, *args, **kwargs):
        """`keras.Model.evaluate`, with the data checked as in `fit`."""
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has checked it
            checks.data(self.image_shape, self.num_classes, x, y)
            x, y, batch_size, _ = self._own_share(x, y, batch_size)
        with self._reading(x):
            return super().evaluate(x, y, batch_size, *args, **kwargs)

    def _maybe_symbolic_build(self, *args, **kwargs):
        """Nothing is left to build. Keras would add up uint8 images over workers."""

    def __setattr__(self, name, value):
        if name == "_jax_state":  # Keras's, of each step: it holds no layers to track
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    def _make_function(self, step_function, **kwargs):
        execution = super()._make_function(step_function, **kwargs)
        one = self.steps_per_execution == 1 or self.run_eagerly or not self.jit_compile
        if kwargs or one:
            return execution
        return backend.execution(execution, step_function, self.steps_per_execution)

    def _own_share(self, x, y, batch_size, shuffle=False):
        """Data for this process, if others train on the rest."""
        checks.shared_alike(x, batch_size, backend.parts())
        return backend.own_share(x, y, batch_size, shuffle)

    @contextlib.contextmanager
    def _reading(self, data):
        """Says whether the batches of `data` are for this process alone.

        And names its errors: TensorFlow reads data in a thread and hides one there.
        """
        before = self.own_batches
        self.own_batches = getattr(data, "data_shard", (0, 1))[1] > 1
        try:
            yield
        except Exception:
            if getattr(data, "failure", None) is not None:
                raise data.failure from None
            raise
        finally:
            self.own_batches = before

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

    def save(self, filepath, overwrite=True, **kwargs):
        """`keras.Model.save`, but a crash while writing leaves the old file intact.

        Of several processes that train together one writes.
        """
        if not backend.is_chief():
            return None
        if str(filepath).startswith("hf://") or not overwrite:
            return super().save(filepath, overwrite=overwrite, **kwargs)
        with backend.by_itself(), replacing(filepath) as partial:
            super().save(partial, **kwargs)

    def save_own_variables(self, store):
        # Keras saves no seed, neither the model's own nor those inside Dropout.
        super().save_own_variables(store)
        for i, seed in enumerate(self._seed_states()):
            store[f"seed_{i}"] = ops.convert_to_numpy(seed)

    def load_own_variables(self, store):
        seeds = {
            key: store[key] for key in list(store.keys()) if key.startswith("seed_")
        }
        weights = {key: store[key] for key in list(store.keys()) if key not in seeds}
        super().load_own_variables(weights)
        for i, seed in enumerate(self._seed_states()):
            seed.assign(np.asarray(seeds[f"seed_{i}"]))

    def _seed_states(self):
        weights = {id(v) for v in self.weights}
        return [v for v in self.variables if id(v) not in weights]

    def get_config(self):
        own = {
            name: keras.saving.serialize_keras_object(getattr(self, name))
            for name in self.own_networks
        }
        return {
            **super().get_config(),
            "image_shape": self.image_shape,
            "latent_dim": self.latent_dim,
            "num_classes": self.num_classes,
            **own,
        }

    @classmethod
    def from_config(cls, config):
        config = copy.deepcopy(config)  # deserialising takes parts out
        nested = {
            key: keras.saving.deserialize_keras_object(value)
            for key, value in config.items()
            if isinstance(value, dict) and "class_name" in value
        }
        return cls(**{**config, **nested})


def _check_shuffles_itself(arguments):
    """Keras is not to shuffle batches, nor to end an epoch elsewhere."""
    arguments.setdefault("shuffle", False)
    if arguments.get("steps_per_epoch"):
        raise ValueError(
            "Expected data with set_epoch to know how long an epoch is. Received: "
            f"steps_per_epoch={arguments['steps_per_epoch']} in fit. Pass it to "
            "kzoo.data.stream instead."
        )


class MeanOfImages(keras.metrics.Mean):
    """The running mean of scalars, each the mean over `count` images.

    The same as `keras.metrics.Mean` with weights, in two operations instead of twenty.
    """

    def update_state(self, value, count):
        self.total.assign_add(value * count)
        self.count.assign_add(count)


class StopOnNonFinite(keras.callbacks.Callback):
    """Raises a `FloatingPointError` that names the loss which is not finite."""

    async_safe = True  # reads only the logs it is given

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        bad = [name for name, value in (logs or {}).items() if not math.isfinite(value)]
        if bad:
            raise FloatingPointError(
                f"{' and '.join(bad)} stopped being finite in epoch {self.epoch + 1}, "
                f"by step {batch + 1}. Training stopped; the weights in memory are "
                "spoilt, those saved by a callback are not. Lower the learning rate or "
                "look for outliers in the data."
            )
