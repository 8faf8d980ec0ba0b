"""Image sets that do not fit in memory, read and decoded a batch at a time."""

import functools
import threading
import warnings
import weakref

import keras

from kzoo import backend, checks
from kzoo.data import decoding, embedded, finding, readers
from kzoo.data.synthetic import MIXTURES

IN_MEMORY = {*embedded.SETS, "sprites", "stacked_mnist", *MIXTURES}


def stream(
    name,
    batch_size,
    split="train",
    image_size=None,
    data_dir=None,
    labels=False,
    shuffle=True,
    seed=0,
    drop_remainder=False,
    steps_per_epoch=None,
    shard=None,
    workers=0,
    corrupt_limit=10,
):
    """Streams one split of an image data set that does not fit in memory.

    The batches are an endless sequence that depends on these arguments alone: pass
    after pass over the set, each in another order. Epoch `e` of `fit` is the batches
    from `e * len(stream)` on, so that a run which `kzoo.callbacks.Checkpoint` resumes
    sees what it would have seen.

    Folders and array_record files are read by Grain, in an order that is random over
    the whole set. TFRecord files can only be read from their beginning, by tf.data:
    sixteen of them at a time in random order, and shuffled on the way through a buffer
    of 2048 images; to resume within a pass reads up to there again.

    Args:
        name, split, image_size, data_dir: as in `kzoo.data.load`; a folder of image
            files or a TFDS set. What `load` draws or has embedded fits in memory. Of a
            folder every file is opened once, until one is not gray.
        batch_size: images a batch, of all processes together. The last batch of a pass
            has what is left.
        labels: whether batches are `(images, labels)` and not `images`. A model with
            `num_classes` wants labels, others refuse them.
        shuffle: whether to shuffle; if False every pass has the order of the set.
        seed: whole number, of the order.
        drop_remainder: whether to leave out the last batch of a pass, if it is smaller.
        steps_per_epoch: batches in an epoch, by default those of one pass. Fewer make
            short epochs, after each of which `Checkpoint` saves: the next epoch goes on
            within the pass. `fit` does not take it for a stream.
        shard: `(index, count)`: read every `count`-th image from number `index` on, as
            one of `count` processes, `batch_size / count` of them a batch. All have as
            many images; up to `count - 1` at the end of the set are left out. By
            default what this process needs: with several on PyTorch or JAX its own
            part, else all (`kzoo.distribution`).
        workers: processes that read and decode; 0 means threads of this process, which
            suffice unless a step of training is shorter than decoding a batch. Each
            process imports the main script again, which needs the usual
            `if __name__ == "__main__":`, and takes as much memory as its imports.
            TFRecord files are decoded in threads.
        corrupt_limit: how many unreadable images of this shard to put up with. Each is
            named by a warning, and the batch filled up with another of its images.

    Returns:
        A `Stream`, to be passed to `fit`, `evaluate` or a loop over batches. Images are
        uint8 `(batch, height, width, channels)`, as of `load`, labels int32 `(batch,)`.

    Raises:
        DatasetNotFound: as `load`.
        ValueError: a bad argument, fewer images than hosts or none at all, labels of a
            set without, or images of different sizes without `image_size`; while
            streaming, once more images than `corrupt_limit` are unreadable.
        ImportError: Grain is not installed, or TensorFlow where only it can read.

    Example:

    >>> images = kzoo.data.stream("./photos", batch_size=64, image_size=64)
    >>> model = kzoo.models.DCGAN(images.image_shape)
    >>> model.compile()
    >>> model.fit(images, epochs=10, callbacks=[Checkpoint("run.keras", resume=True)])
    """
    if isinstance(name, str) and name in IN_MEMORY:
        raise ValueError(
            "Expected a folder or a set of TensorFlow Datasets. Received: "
            f"name={name!r}, which fits in memory. Use kzoo.data.load({name!r})."
        )
    image_size = finding.checked_size(image_size)
    limit = checks.whole_number("corrupt_limit", corrupt_limit)
    batch_size = checks.positive_int("batch_size", batch_size)
    workers = checks.whole_number("workers", workers)
    seed = checks.whole_number("seed", seed)
    if steps_per_epoch is not None:
        checks.positive_int("steps_per_epoch", steps_per_epoch)
    encoded = finding.find(name, split, data_dir).read()
    if labels and not encoded.labelled:
        raise ValueError(
            "Expected a set with one class an image, as labels=True. "
            f"Received: {name}, split {split!r}, without. Leave labels out."
        )
    seed = seed if shuffle else None
    shard = backend.data_shard() if shard is None else shard
    count = _images_a_process(shard, encoded.count)
    own_size = _own_batch_size(batch_size, shard)
    plan = readers.Plan(count, own_size, drop_remainder, seed, shard)
    if not plan.steps:
        raise ValueError(
            f"Expected at least batch_size={batch_size} images, as drop_remainder=True."
            f" Received: {plan.count}."
        )
    steps = plan.steps if steps_per_epoch is None else steps_per_epoch
    decode = functools.partial(decoding.pixels, encoded.mode, image_size)
    place, image = _first_readable(decode, encoded.examples, limit)
    assemble = functools.partial(readers.assemble, decode, (image.shape, place), labels)
    reader = _reader(plan, encoded, assemble, workers)
    return Stream(reader, steps, image.shape, plan.count, limit, shard)


def _images_a_process(shard, count):
    index, processes = shard
    processes = checks.positive_int("the count of shard", processes)
    if checks.whole_number("the index of shard", index) >= processes:
        raise ValueError(
            "Expected shard=(index, count) with an index from 0 to count - 1. "
            f"Received: shard={shard}."
        )
    if count < processes:
        raise ValueError(
            f"Expected at least one image for each of {processes} processes. "
            f"Received: {count}."
        )
    return count // processes


def _own_batch_size(batch_size, shard):
    if batch_size % shard[1]:
        raise ValueError(
            f"Expected a batch_size that divides among {shard[1]} processes. "
            f"Received: batch_size={batch_size}."
        )
    return batch_size // shard[1]


def _first_readable(decode, examples, limit):
    unreadable = []
    for example in examples:
        try:
            return decode(*example)[:2]
        except decoding.Unreadable as error:
            unreadable.append(error.received)
        if len(unreadable) > limit:
            break
    raise _too_many(unreadable, limit)


def _reader(plan, encoded, assemble, workers):
    if encoded.pick is not None:
        return readers.RandomAccess(plan, encoded.pick, assemble, workers)
    if workers:
        raise ValueError(
            "Expected array_record files or a folder, as processes cannot share others."
            f" Received: TFRecord files and workers={workers}. Leave workers out."
        )
    return readers.InOrder(plan, encoded.ordered, assemble)


def _too_many(unreadable, limit):
    return ValueError(
        f"Expected at most corrupt_limit={limit} unreadable images, and one in each "
        f"batch that is readable. Received: {'; '.join(unreadable)}. Replace or remove "
        "them, or raise the limit."
    )


class Stream(keras.utils.PyDataset):
    """Batches of an image set, as `fit` takes them; `kzoo.data.stream` makes it.

    `stream[i]` is batch `i` of the current epoch, and iterating gives all of them.
    Batches asked for one after the other are read ahead. The models of kzoo call
    `set_epoch` in `fit`; in a loop of your own, or for a model that is none of kzoo's,
    call it, and pass `shuffle=False` to that model's `fit`.

    Attributes:
        image_shape: `(height, width, channels)`.
        num_images: images that this process reads in a pass.
        data_shard: `(index, count)`, which part of the set it reads.
        unreadable: names of the images that could not be read so far.
        failure: the exception that reading the last batch raised, or None.
    """

    def __init__(self, reader, steps, image_shape, num_images, corrupt_limit, shard):
        super().__init__()
        self.data_shard = shard
        self.image_shape, self.num_images = image_shape, num_images
        self.corrupt_limit, self.unreadable, self.failure = corrupt_limit, [], None
        self._reader, self._steps, self._epoch = reader, steps, 0
        self._last = self._next = None  # positions: asked for last, and read ahead
        self._stop = lambda: None
        self._lock = threading.Lock()

    def __len__(self):
        return self._steps

    def set_epoch(self, epoch):
        """Says which epoch the next batches are of, as a whole number from 0."""
        self._epoch = checks.whole_number("epoch", epoch)

    def close(self):
        """Stops reading ahead, and with it the workers; the next batches start it."""
        self._stop()
        self._next = None

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Expected 0 <= index < {len(self)}. Received: {index}.")
        try:
            with self._lock:  # Keras asks from other threads
                images, labels, unreadable = self._read(self._epoch * len(self) + index)
                self._count_unreadable(unreadable, images)
        except Exception as error:
            self.failure = error
            self.close()
            raise
        self.failure = None
        return images if labels is None else (images, labels)

    def _read(self, position):
        in_a_row, self._last = self._last == position - 1, position
        if position != self._next:
            if not in_a_row:
                return self._reader.one(position)
            self._read_ahead(position)
        self._next = position + 1
        return next(self._batches)

    def _read_ahead(self, position):
        self.close()
        self._batches = self._reader.ahead(position)
        # Or processes would outlive the stream.
        self._stop = weakref.finalize(self, self._batches.close)

    def _count_unreadable(self, unreadable, images):
        for name in unreadable:
            if name not in self.unreadable:
                warnings.warn(f"Skipped an unreadable image: {name}.", stacklevel=3)
                self.unreadable.append(name)
        if images is None or len(self.unreadable) > self.corrupt_limit:
            raise _too_many(self.unreadable, self.corrupt_limit)
