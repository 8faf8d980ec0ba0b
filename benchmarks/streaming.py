"""Streams: the memory that a pass over a large set takes, and a DCGAN's speed on one.

Memory: a synthetic array_record set of 28x28 images, all different, is streamed whole.
The baseline is this process with everything imported; the peak, taken every tenth of a
second, is the resident memory of the process and its workers.

Speed: rounds of two `fit`s of one model, from arrays in memory and from a stream of
the same set, the one first and then the other in turn. Reported are the medians of the
rounds' ratios, stream over arrays, of time and of this process's processor time, which
neighbours on the machine hardly change: below 1, the stream takes less.

KERAS_BACKEND=torch python benchmarks/streaming.py
"""

import io
import json
import multiprocessing
import tempfile
import threading
import time
from pathlib import Path

import keras
import numpy as np
import psutil
import typer
from PIL import Image

import kzoo

BACKEND = keras.backend.backend()
SHARDS = 8


def main(
    images: int = 1_000_000,
    batch_size: int = 64,
    workers: int = 0,
    dataset: str = "mnist",
    steps: int = 20,
    rounds: int = 7,
    output: Path = Path("saved_models/streaming"),
):
    result = {"backend": BACKEND, "kzoo": kzoo.__version__, "workers": workers}
    if images:
        with tempfile.TemporaryDirectory() as folder:
            # In another process, whose memory does not count.
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                pool.apply(write, (folder, images))
            result["memory"] = memory(folder, images, batch_size, workers)
        print(BACKEND, result["memory"], flush=True)
    if rounds:
        result["speed"] = speed(dataset, batch_size, workers, steps, rounds)
        print(BACKEND, result["speed"])
    output.mkdir(parents=True, exist_ok=True)
    path = output / f"{BACKEND}.json"
    path.write_text(json.dumps(result, indent=1))
    print(f"Written: {path}")


def write(folder, count):
    """A set as TFDS prepares one; the first pixels of each image are its number."""
    import tensorflow_datasets as tfds
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    rng = np.random.default_rng(0)
    version = Path(folder, "synthetic", "1.0.0")
    version.mkdir(parents=True)
    template = tfds.core.ShardedFileTemplate(
        data_dir=version,
        dataset_name="synthetic",
        split="train",
        filetype_suffix="array_record",
    )
    lengths = [len(part) for part in np.array_split(np.arange(count), SHARDS)]
    number = 0
    for shard, length in enumerate(lengths):
        path = template.sharded_filepath(shard_index=shard, num_shards=SHARDS)
        writer = ArrayRecordWriter(str(path), "group_size:1")
        for pixels in rng.integers(0, 256, (length, 7, 7), "uint8"):
            pixels = pixels.repeat(4, axis=0).repeat(4, axis=1)
            pixels[0, :4] = np.array([number], "<u4").view("uint8")
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, format="png")
            example = tf_example_pb2.Example()
            feature = example.features.feature["image"]
            feature.bytes_list.value.append(file.getvalue())
            writer.write(example.SerializeToString())
            number += 1
        writer.close()
    split = tfds.core.SplitInfo(
        name="train", shard_lengths=lengths, num_bytes=0, filename_template=template
    )
    tfds.folder_dataset.write_metadata(
        data_dir=version,
        features=tfds.features.FeaturesDict(
            {"image": tfds.features.Image(shape=(28, 28, 1))}
        ),
        split_infos=[split],
        filename_template=template,
        check_data=False,
    )


def memory(folder, count, batch_size, workers):
    """Streams one pass; the peak over the baseline in MB, and images a second."""
    import tensorflow_datasets  # noqa: F401  imported before the baseline is taken

    with Peak() as peak:
        stream = kzoo.data.stream(
            "synthetic", batch_size, data_dir=folder, workers=workers
        )
        seen = np.zeros(count, bool)
        start = time.perf_counter()
        for number, batch in enumerate(stream):
            if number == len(stream) // 4:
                peak.mark()
            seen[np.ascontiguousarray(batch[:, 0, :4, 0]).view("<u4")[:, 0]] = True
        seconds = time.perf_counter() - start
    return {
        "images": count,
        "seen": int(seen.sum()),
        "baseline_mb": round(peak.baseline),
        "peak_over_baseline_mb": round(peak.highest - peak.baseline),
        "growth_after_a_quarter_mb": round(peak.highest - peak.marked),
        "images_a_second": round(count / seconds),
    }


class Peak:
    """The highest resident memory of this process and its children, in MB."""

    def __enter__(self):
        self.baseline = self.highest = self.marked = resident()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()
        return self

    def watch(self):
        while not self.stopped.wait(0.1):
            self.highest = max(self.highest, resident())

    def mark(self):
        """From here on memory should not grow."""
        self.marked = self.highest

    def __exit__(self, *error):
        self.stopped.set()
        self.thread.join()


def resident():
    process = psutil.Process()
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e6


def speed(dataset, batch_size, workers, steps, rounds):
    """Milliseconds a step of a DCGAN from arrays and from a stream, and the ratios."""
    images, _ = kzoo.data.load(dataset, limit=steps * batch_size)
    stream = kzoo.data.stream(
        dataset, batch_size, steps_per_epoch=steps, workers=workers
    )
    model = kzoo.models.DCGAN(stream.image_shape)
    model.compile()

    def train(way, epoch):  # an epoch of the stream goes on where the last one ended
        data, size = (images, batch_size) if way == "arrays" else (stream, None)
        model.fit(data, None, size, epoch + 1, 0, initial_epoch=epoch)

    ways = ("arrays", "stream")
    spent = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way in ways if number % 2 else reversed(ways):
            before = clocks()
            train(way, number)
            spent[way].append(clocks() - before)
    arrays, streamed = (np.array(spent[way][1:]) for way in ("arrays", "stream"))
    ratios = streamed / arrays  # (rounds, 2); the first round compiled
    return {
        "arrays_ms": float(1e3 * np.median(arrays[:, 0]) / steps),
        "stream_ms": float(1e3 * np.median(streamed[:, 0]) / steps),
        "lowest, median, highest ratio": {
            "of time": np.quantile(ratios[:, 0], [0, 0.5, 1]).round(3).tolist(),
            "of processor time": np.quantile(ratios[:, 1], [0, 0.5, 1])
            .round(3)
            .tolist(),
        },
    }


def clocks():
    """Seconds that have passed, and those that the processor worked for this."""
    return np.array([time.perf_counter(), time.process_time()])


if __name__ == "__main__":
    typer.run(main)
