"""What a perfect model would score: training images against test images.

For each data set, as many random training images as there are test images, three times.

python benchmarks/floor.py --output runs/floor
"""

from pathlib import Path

import numpy as np
import typer

import kzoo


def main(
    datasets: str = "mnist,fashion_mnist,cifar10",
    seeds: int = 3,
    limit: int | None = None,
    output: Path = Path("saved_models/floor"),
):
    for dataset in datasets.split(","):
        images, _ = kzoo.data.load(dataset, "train", limit=limit)
        test_images, _ = kzoo.data.load(dataset, "test", limit=limit)
        evaluator = kzoo.metrics.Evaluator(
            test_images,
            features=kzoo.metrics.features_for(dataset),
            dataset=dataset,
            split="test",
            verbose=False,
        )
        reports = []
        for seed in range(seeds):
            rng = np.random.default_rng(seed)
            chosen = rng.permutation(len(images))[: len(test_images)]
            reports.append(evaluator(images[chosen]))
            reports[-1].save(output / f"{dataset}_{seed}.json")
        print(reports[0])
        for name in reports[0].scores():
            values = [report[name] for report in reports]
            print(f"{name}: {np.mean(values):.4g} ± {np.std(values, ddof=1):.2g}")


if __name__ == "__main__":
    typer.run(main)
