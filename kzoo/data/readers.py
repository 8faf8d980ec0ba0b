"""Endless sequences of batches: which images each has, and how they are read.

A reader has `one(position)`, the batch of this number, and `ahead(position)`, an
iterator of all batches from it on, which reads ahead of whoever asks. A batch is a
tuple: images, labels or None, and names of images that were unreadable.
"""

import collections
import contextlib
import functools
import itertools
from concurrent import futures
from typing import NamedTuple

import numpy as np

from kzoo.data import decoding

AHEAD = 8  # batches that are read before they are asked for
THREADS = 4


class Plan(NamedTuple):
    """Which images a host reads, and in which order."""

    count: int  # of images in a pass of this host
    batch_size: int
    drop_remainder: bool
    seed: int | None  # None: in the order of the set
    shard: tuple  # (index, count) of the hosts

    @property
    def steps(self):
        """Batches in a pass."""
        rest = 0 if self.drop_remainder else self.batch_size - 1
        return (self.count + rest) // self.batch_size


def assemble(decode, expected, labelled, examples):
    """Decodes examples to one batch; unreadable ones leave their place to others.

    Args:
        decode: `decode(*example)`, a readable example with its pixels.
        expected: `(shape, place)` of the first image, which all others have to match.
        labelled: whether to give labels.
    """
    shape, place = expected
    readable, unreadable = [], []
    for example in examples:
        try:
            where, image, label = decode(*example)
        except decoding.Unreadable as error:
            unreadable.append(error.received)
            continue
        decoding.check_size(shape, place, image.shape, where)
        readable.append((image, label))
    if not readable:
        return None, None, unreadable
    # The images of the batch begin anew where some are missing.
    readable = list(itertools.islice(itertools.cycle(readable), len(examples)))
    images = np.stack([image for image, _ in readable])
    labels = np.array([label for _, label in readable], "int32") if labelled else None
    return images, labels, unreadable


class RandomAccess:
    """By Grain, for sources that pick images by their index.

    Args:
        plan: a `Plan`.
        pick: `pick(indices)`, a list of examples.
        assemble: `assemble(examples)`, a batch.
        workers: processes, or 0 for threads.
    """

    def __init__(self, plan, pick, assemble, workers):
        grain = _import_grain()
        order = grain.MapDataset.range(plan.count)
        if plan.seed is not None:
            order = order.shuffle(_number(plan.seed))
        order = order.batch(plan.batch_size, drop_remainder=plan.drop_remainder)
        read = functools.partial(_read, pick, assemble, *plan.shard)
        self.grain, self.workers = grain, workers
        self.batches = order.repeat().map(read)

    def one(self, position):
        return self.batches[position]

    def ahead(self, position):
        threads, buffer = (2, 2) if self.workers else (THREADS, AHEAD)
        batches = self.batches[position:].to_iter_dataset(
            self.grain.ReadOptions(num_threads=threads, prefetch_buffer_size=buffer)
        )
        if not self.workers:
            return iter(batches)
        _parse_flags()
        options = self.grain.MultiprocessingOptions(num_workers=self.workers)
        return _copied(iter(batches.mp_prefetch(options)))


def _read(pick, assemble, index, hosts, positions):
    return assemble(pick(positions * hosts + index))


def _copied(batches):
    """Batches in memory of this process, instead of what it shares with the workers."""
    with contextlib.closing(batches):
        for images, labels, unreadable in batches:
            arrays = (a if a is None else np.array(a) for a in (images, labels))
            yield *arrays, unreadable


def _import_grain():
    try:
        import grain
    except ImportError as error:
        raise ImportError(
            "Expected Grain, which streams folders and array_record files. Received: "
            "it is not installed. pip install grain, or pip install 'kzoo[stream]'."
        ) from error
    return grain


def _parse_flags():
    """Grain's processes take absl's flags, which nobody has parsed in a notebook."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()


class InOrder:
    """For sources that are read from their beginning.

    Args:
        plan: a `Plan`.
        ordered: `ordered(seed)`, examples in that seed's order.
        assemble: `assemble(examples)`, a batch.
    """

    def __init__(self, plan, ordered, assemble):
        self.plan, self.ordered, self.assemble = plan, ordered, assemble

    def one(self, position):
        return self.assemble(next(self._examples(position)))

    def ahead(self, position):
        pending = collections.deque()
        with futures.ThreadPoolExecutor(THREADS) as pool:
            for examples in self._examples(position):
                pending.append(pool.submit(self.assemble, examples))
                if len(pending) > AHEAD:
                    yield pending.popleft().result()

    def _examples(self, position):
        """Lists of the examples of each batch from `position` on, without end."""
        plan = self.plan
        first, step = divmod(position, plan.steps)
        for number in itertools.count(first):
            seed = None if plan.seed is None else _number(plan.seed, number)
            index, hosts = plan.shard
            own = itertools.islice(self.ordered(seed), index, None, hosts)
            own = itertools.islice(own, step * plan.batch_size, plan.count)
            for _ in range(step, plan.steps):
                yield list(itertools.islice(own, plan.batch_size))
            step = 0


def _number(*seed):
    """A seed of 32 bits: those of neighbouring seeds and passes have no pattern."""
    return int(np.random.SeedSequence(seed).generate_state(1)[0])
