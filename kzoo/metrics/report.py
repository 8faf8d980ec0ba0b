"""Scores, each with how it was measured."""

import dataclasses
import json
import pathlib

from kzoo.files import replacing


@dataclasses.dataclass
class Report:
    """Scores of one model: `report["frechet_distance"]`, `print(report)`.

    Attributes:
        protocol: how all of them were measured.
        results: one dict a score, with `metric`, `value`, and what is its own.
    """

    protocol: dict
    results: list

    def __getitem__(self, metric):
        for result in self.results:
            if result["metric"] == metric:
                return result["value"]
        raise KeyError(f"Expected one of {', '.join(self.scores())}. Got {metric!r}.")

    def scores(self):
        """`{metric: value}`."""
        return {result["metric"]: result["value"] for result in self.results}

    def save(self, path):
        """Writes `{"results": [...]}`, where each result has its whole protocol."""
        results = [self.protocol | result for result in self.results]
        results = [
            {k: None if v != v else v for k, v in result.items()} for result in results
        ]
        with replacing(pathlib.Path(path)) as partial:
            partial.write_text(json.dumps({"results": results}, indent=1))

    def __str__(self):
        shared = ", ".join(
            f"{key.replace('_', ' ')} {value}"
            for key, value in self.protocol.items()
            if value is not None
        )
        rows = [("metric", "value", "±", "protocol"), *map(_row, self.results)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  "
            f"{row[3]}".rstrip()
            for row in rows
        ]
        return "\n".join([shared, *lines])


def _row(result):
    spread = result.get("standard_error", result.get("standard_deviation"))
    known = ("metric", "value", "standard_error", "standard_deviation")
    rest = {key: value for key, value in result.items() if key not in known}
    return (
        result["metric"],
        f"{result['value']:.4g}",
        "" if spread is None or spread != spread else f"{spread:.2g}",
        ", ".join(
            f"{key.replace('_', ' ')} {value:.4g}"
            if isinstance(value, float)
            else f"{key.replace('_', ' ')} {value}"
            for key, value in rest.items()
        ),
    )
