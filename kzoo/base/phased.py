"""A model that is trained in phases: networks, optimizers, losses, logs."""

import functools
import inspect
import types

import keras
from keras import ops

from kzoo import backend, config
from kzoo.backend import keras_internals
from kzoo.base import endings, fitting, saving
from kzoo.base.settings import Settings
from kzoo.files import replacing
from kzoo.networks import blocks
from kzoo.optimizers import OptimizerGroup, build, from_json, serialize, to_json


@keras_internals.adapt_trainer
class PhasedModel(keras.Model):
    """A `keras.Model` trained in phases, each minimising one loss over one network.

    A subclass builds its networks in `__init__`, names its logs with `watch`, returns
    the paper's optimizers from `default_optimizer`, and writes `train_step` and
    `test_step` once for all backends under `@backend.portable_step`, a phase a line:

        logs = self.minimize(self.critic_loss, images, labels, over="critic")
        logs |= self.minimize(self.generator_loss, images, labels, over="generator")
        return self.report(logs, images)

    A loss is a plain method: tensors in, `(loss, logs)` out. `split_batch` divides a
    batch into its two parts, `check_batch` refuses what the model cannot be fitted to,
    and `unpack` makes a batch the tensors that `train_step` takes. The arguments of the
    constructor are attributes of the same names, which make up the config.

    Args:
        optimizers: what `compile()` without an argument trains by, in place of
            `default_optimizer()`: a Keras optimizer, or a dict of one a network.
        **kwargs: `name`, `dtype`, as for `keras.Model`.
    """

    def __init_subclass__(cls, **kwargs):
        """Makes steps that are written without the decorator portable, too."""
        super().__init_subclass__(**kwargs)
        for name in ("train_step", "test_step"):
            step = vars(cls).get(name)
            if step is not None and not backend.is_portable(step):
                check_step(cls, name, step)
                setattr(cls, name, backend.portable_step(step))

    def __init__(self, optimizers=None, **kwargs):
        super().__init__(**kwargs)
        self.own_networks = ()  # names of networks that the user has passed
        self.own_batches = False  # of this process alone, or to be divided
        self.seed = keras.random.SeedGenerator()
        self._optimizers = optimizers and to_json(optimizers)
        self.compiled_settings = None  # what compiled functions were made with
        self.forget_compiled()

    def __setattr__(self, name, value):
        settings = vars(self).get("compiled_settings")
        if settings and not name.startswith("_"):
            value = settings.checked(self, name, value)
        super().__setattr__(name, value)

    @property
    def optimizers(self):
        """New ones each time of those passed to the constructor, or None."""
        return self._optimizers and from_json(self._optimizers)

    def split_batch(self, batch):
        """A batch as `(x, y)`, the two arguments of `fit`; y may be None."""
        raise NotImplementedError(f"{type(self).__name__} does not split batches.")

    def check_batch(self, batch):
        """Raises a `ValueError` for a batch, or whole arrays, that `fit` cannot take.

        Called on every batch, before it goes to a device.
        """
        raise NotImplementedError(f"{type(self).__name__} does not check its data.")

    def plausible(self, batch):
        """Whether a batch of tensors certainly passes `check_batch`: a boolean tensor.

        Only a shortcut, for TensorFlow. As it is, no batch does.
        """
        return ops.array(False)

    def check_inputs(self, inputs):
        """Raises a `ValueError` for inputs that `call`, and so `predict`, cannot take.

        As it is, everything is left to `call`.
        """

    def unpack(self, data):
        """What `train_step` takes, of a batch of the data."""
        raise NotImplementedError(f"{type(self).__name__} does not unpack batches.")

    def add_network(
        self, name, own, build, inputs, outputs, num_classes=None, kinds=None
    ):
        """Sets the attribute `name` to the user's `own` network, or builds one.

        Args:
            name: of the network, which is also its key among the optimizers.
            own: the user's network, or None.
            build: function without arguments that returns a network.
            inputs, outputs: the shapes it maps, without the batch axis.
            num_classes: number of labels that are its last input, or None.
            kinds: what each of its outputs is to be, of `endings.KINDS`, or None for
                anything; a list where outputs are one.
        """
        if own is None:
            with blocks.precision(self.dtype_policy):
                own = build()
        else:
            blocks.check_shapes(name, own, inputs, outputs, num_classes)
            several = [None] * len(outputs) if isinstance(outputs, list) else None
            endings.check(name, own, inputs, kinds or several, num_classes)
            blocks.check_losses(name, own, inputs, num_classes)
            self.own_networks = (*self.own_networks, name)
        setattr(self, name, own)

    def default_optimizer(self):
        """The paper's optimizer, or for a model with phases a dict of one a network."""
        raise NotImplementedError(f"{type(self).__name__} has no default optimizer.")

    def compile(
        self,
        optimizer=None,
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        run_eagerly=False,
        steps_per_execution=1,
        jit_compile="auto",
        auto_scale_loss=True,
    ):
        """Configures training; with no argument, as the model's paper trains it.

        Args:
            optimizer: a Keras optimizer or its name; for a model with phases a dict
                `{network: optimizer}`. None means the constructor's `optimizers`, or
                `default_optimizer()`.
            loss, loss_weights, metrics, weighted_metrics: None, as each model has its
                own loss and logs.
            run_eagerly, steps_per_execution, jit_compile: as in `keras.Model.compile`.
            auto_scale_loss: as in `keras.Model.compile`, for every optimizer.

        Raises:
            ValueError: for a single optimizer where there are phases, or the reverse;
                for an optimizer of another model; for a loss or metrics.
        """
        fitting.check_compile(
            self,
            {
                "loss": loss,
                "loss_weights": loss_weights,
                "metrics": metrics,
                "weighted_metrics": weighted_metrics,
            },
            {"run_eagerly": run_eagerly, "auto_scale_loss": auto_scale_loss},
            jit_compile,
            steps_per_execution,
        )
        backend.prepare()
        self.synchronize_state()  # a callback may compile
        self.compiled_settings = None
        default = self.default_optimizer()
        if optimizer is None:
            optimizer = self.optimizers or default
        if isinstance(default, dict):
            optimizer = self._optimizer_group(optimizer, default, auto_scale_loss)
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
            auto_scale_loss=auto_scale_loss
            and not isinstance(optimizer, OptimizerGroup),
        )
        self.forget_compiled()
        if isinstance(optimizer, OptimizerGroup):
            optimizer.build({n: getattr(self, n).trainable_variables for n in default})
        else:
            build(self.optimizer, self.trainable_variables)
        self.compiled_settings = Settings(self)

    def make_train_function(self, force=False):
        """Makes the function that `fit` calls for each step, if there is none.

        Also where a setting has changed, which a compiled step has taken as it was.

        Raises:
            ValueError: where something was frozen, or the reverse, since `compile`.
        """
        self.check_trainability()
        self.renew_compiled()
        if self.train_function is not None and not force:
            return self.train_function
        with keras_internals.new_step(self, "train_step"):
            return super().make_train_function(force)

    def make_test_function(self, force=False):
        """`make_train_function` of `evaluate`."""
        self.renew_compiled()
        if self.test_function is not None and not force:
            return self.test_function
        with keras_internals.new_step(self, "test_step"):
            return super().make_test_function(force)

    def renew_compiled(self):
        """Drops compiled functions if they were made with other settings."""
        if self.compiled_settings and self.compiled_settings.have_changed():
            self.synchronize_state()
            self.forget_compiled()
            self.train_function = self.test_function = None

    def check_trainability(self):
        """Raises a `ValueError` if `trainable` of a layer has changed since compile."""
        if (
            not self.compiled_settings
            or not self.compiled_settings.trainable_has_changed()
        ):
            return
        self.synchronize_state()
        before, now = self.compiled_settings.trainable, saving.trainability(self)
        paths = sorted(p for p in {*before, *now} if before.get(p) != now.get(p))
        raise ValueError(
            "Expected the same layers to be trainable as when the model was compiled, "
            "as its optimizers are built for those. Received: trainable has changed "
            f"of {', '.join(paths)}. Call model.compile() again."
        )

    def synchronize_state(self):
        """Gives variables their values, which JAX holds elsewhere between two steps.

        In the order in which Keras took them: that of what was trainable then.
        """
        if self.compiled_settings and self.compiled_settings.trainable_has_changed():
            now = saving.trainability(self)
            saving.set_trainability(self, self.compiled_settings.trainable)
            keras_internals.synchronize_state(self)
            saving.set_trainability(self, now)
        else:
            keras_internals.synchronize_state(self)

    def forget_compiled(self):
        """Drops compiled functions, which hold on to the variables of the model."""
        self._phases = {}
        # In a namespace, because Keras and TensorFlow track what they find in a dict.
        self._inference = types.SimpleNamespace()

    def compiled_for_inference(self, function):
        """The method `function` of tensors, compiled once, without gradients."""
        self.renew_compiled()
        if not hasattr(self._inference, function.__name__):
            compiled = backend.inference(function, self.variables)
            setattr(self._inference, function.__name__, compiled)
        return getattr(self._inference, function.__name__)

    def _optimizer_group(self, optimizer, default, auto_scale_loss):
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
        scale = auto_scale_loss and self.dtype_policy.name == "mixed_float16"
        # In the model's order, by which Keras finds them in a file.
        return OptimizerGroup({name: members[name] for name in default}, scale)

    def get_compile_config(self):
        # Only the optimizer: jit_compile and steps_per_execution belong to the machine,
        # and Keras would carry JAX's jit_compile=True over to torch.compile.
        if not self.compiled:
            return None
        compiled = {"optimizer": serialize(self.optimizer)}
        if self.compiled_settings.trainable != saving.trainability(self):
            compiled["trainable"] = self.compiled_settings.trainable
        return compiled

    def compile_from_config(self, config):
        now = saving.trainability(self)
        # The optimizer is built for what was trained when it was compiled.
        saving.set_trainability(self, config.get("trainable", now))
        optimizer = keras.saving.deserialize_keras_object(config["optimizer"])
        self.compile(optimizer, auto_scale_loss=False)  # it was wrapped before saving
        saving.set_trainability(self, now)

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
        run_eagerly = self.run_eagerly or not inspect.ismethod(loss_fn)
        return backend.phase(
            with_regularizers(loss_fn, network.trainable_variables),
            network.trainable_variables,
            self.optimizer.members[over] if over else self.optimizer,
            state=[*self.variables, *self.optimizer.variables],
            run_eagerly=run_eagerly,
            jit_compile=self.jit_compile,
        )

    def noise(self, shape, draw=backend.normal):
        """Random numbers of `shape` from the model's seed, which is saved with it."""
        return draw(shape, seed=self.seed)

    def ramp(self, steps, training=True):
        """Linear ramp from 0 to 1 over `steps` optimizer steps; 1 outside training."""
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
        """The logs, then `keras.metrics` that are attributes of the model."""
        # Those of a layer: a `keras.Model` adds a mean loss that nothing updates.
        found = keras.Layer.metrics.fget(self)
        own = [m for m in found if not isinstance(m, MeanOfImages)]
        return [*self.means.values(), *own]

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
        """`keras.Model.fit`, with the data checked before it starts.

        Data with a method `set_epoch`, such as a `kzoo.data.stream`, shuffle themselves
        and are told which epoch begins.

        Raises:
            ValueError: for data that the model cannot be fitted to, weights, or an
                argument that would have no effect.
            FloatingPointError: when a loss is not finite; the message names it.
        """
        fitting.check_compiled(self, "fit")
        fitting.check_fit(epochs, batch_size, callbacks, kwargs)
        arguments = fitting.fit_arguments(self, x, y, batch_size, callbacks, kwargs)
        backend.synchronize([*self.variables, *self.optimizer.variables])
        arguments["verbose"] = verbose if backend.is_chief() else 0
        with fitting.reading(self, x, arguments["x"], arguments.get("validation_data")):
            try:
                return super().fit(epochs=epochs, **arguments)
            finally:
                keras_internals.forget_validation_data(self)

    def evaluate(
        self,
        x=None,
        y=None,
        batch_size=None,
        verbose="auto",
        sample_weight=None,
        steps=None,
        **kwargs,
    ):
        """`keras.Model.evaluate`, with data and arguments checked as in `fit`."""
        fitting.check_no_weights(sample_weight=sample_weight)
        fitting.check_counts(batch_size=batch_size, steps=steps)
        if not keras_internals.is_evaluation_inside_fit(kwargs):  # `fit` checked it
            fitting.check_compiled(self, "evaluate")
            source = x
            x, y, batch_size, _ = fitting.checked_share(self, x, y, batch_size)
            data = source, x
            if kwargs.get("callbacks"):
                callbacks = fitting.flat(kwargs["callbacks"])
                kwargs["callbacks"] = [*callbacks, fitting.TakeSettings(self)]
        else:
            data = (x,)
        with fitting.reading(self, *data):
            return super().evaluate(x, y, batch_size, verbose, steps=steps, **kwargs)

    def predict(self, x, *args, **kwargs):
        """`keras.Model.predict`, with the inputs checked: what `call` takes."""
        data = x
        if fitting.is_arrays(x):
            self.check_inputs(x)
        else:
            data = fitting.checked_inputs(self, x)
        with fitting.reading(self, x, data):
            return super().predict(data, *args, **kwargs)

    def train_on_batch(
        self, x, y=None, sample_weight=None, class_weight=None, **kwargs
    ):
        """`keras.Model.train_on_batch`, with the batch checked as in `fit`."""
        fitting.check_compiled(self, "train_on_batch")
        fitting.check_no_weights(sample_weight=sample_weight, class_weight=class_weight)
        return super().train_on_batch(*fitting.checked_arrays(self, x, y), **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """`keras.Model.test_on_batch`, with the batch checked as in `fit`."""
        fitting.check_compiled(self, "test_on_batch")
        fitting.check_no_weights(sample_weight=sample_weight)
        return super().test_on_batch(*fitting.checked_arrays(self, x, y), **kwargs)

    def predict_on_batch(self, x):
        """`keras.Model.predict_on_batch`, with what `call` takes checked."""
        self.check_inputs(x)
        return super().predict_on_batch(x)

    def quantize(self, *args, **kwargs):
        """Refused: a quantized model samples differently and cannot be trained."""
        raise NotImplementedError(
            f"{type(self).__name__} cannot be quantized. Build it with "
            "dtype='mixed_bfloat16' or dtype='mixed_float16' for less memory, or "
            "quantize what `export` writes by the tools of TensorFlow."
        )

    def save(self, filepath, overwrite=True, **kwargs):
        """`keras.Model.save`, but a crash while writing leaves the old file intact.

        Of several processes that train together one writes.

        Raises:
            ValueError: for the HDF5 format, which could not be loaded, and for
                arguments of it.
        """
        saving.check_format(filepath, kwargs)
        if not backend.is_chief():
            return None
        if str(filepath).startswith("hf://") or not overwrite:
            return super().save(filepath, overwrite=overwrite, **kwargs)
        with backend.by_itself(), replacing(filepath) as partial:
            super().save(partial, **kwargs)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        saving.save_seeds(self, store)

    def load_own_variables(self, store):
        super().load_own_variables(saving.load_seeds(self, store))

    def get_config(self):
        """The constructor's arguments, and what is frozen, if anything is.

        Networks that it has built itself are None.
        """
        own = {
            name: None
            if isinstance(value, keras.Model) and name not in self.own_networks
            else value
            for name, value in config.arguments(self, last=keras.Model).items()
        }
        frozen = saving.trainability(self)
        trainable = {"trainable": frozen} if frozen else {}
        return super().get_config() | config.serialized(own) | trainable

    @classmethod
    def from_config(cls, values):
        values = dict(values)
        trainable = values.pop("trainable", None)
        with endings.unchecked():  # files from before the check are to load
            model = cls(**config.deserialized(values))
        if trainable is False:  # of the whole, in earlier files
            trainable = {".": False}
        if isinstance(trainable, dict):
            saving.set_trainability(model, trainable)
        return model


def with_regularizers(loss_fn, variables):
    """The loss and what regularizers of the variables add to it, in its log as well."""
    regularized = [v for v in variables if v.regularizer is not None]
    if not regularized:
        return loss_fn

    @functools.wraps(loss_fn)
    def total(*batch):
        loss, logs = loss_fn(*batch)
        added = [ops.cast(v.regularizer(v), "float32") for v in regularized]
        whole = loss + sum(added)
        return whole, {k: whole if v is loss else v for k, v in logs.items()}

    return total


def check_step(cls, name, step):
    """Raises a `TypeError` for a step that takes the raw batch, as Keras's does."""
    names = list(inspect.signature(step).parameters)[1:]
    if "data" in names:
        raise TypeError(
            f"Expected {cls.__name__}.{name} to take what `unpack` makes of a batch, "
            f"such as {name}(self, images, labels=None): float32 images in [0, 1]. "
            f"Received: {name}(self, {', '.join(names)}). Write it for these arguments "
            "and call self.minimize for each phase; it then runs on every backend."
        )


class MeanOfImages(keras.metrics.Mean):
    """The running mean of scalars, each the mean over `count` images.

    `keras.metrics.Mean` with weights, in two operations instead of twenty.
    """

    def update_state(self, value, count):
        self.total.assign_add(value * count)
        self.count.assign_add(count)
