"""The folding of a pipeline as JSON: what `--folding` reads, and the build folder keeps.

    {"name": "model", "interval": 8000,
     "stages": {"conv1": {"lanes": 3, "rows": 8, "out_lanes": 1, "engine": "packed"}, ...}}

Stages are called by the model's own names of their layers. What is left out is 1, or "lut".
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from bitwright.errors import BitwrightError
from bitwright.ir.dataflow import Engine, Fold, Pipeline


class FoldingError(BitwrightError):
    """A folding that cannot be read, or is not one of the model."""

    exit_code = 57


@dataclass(frozen=True)
class FoldingFile:
    """What a file says.

    Attributes:
        stages: fold by the name of a stage's result.
        interval: None for the most steps of a stage.
    """

    name: str
    interval: int | None
    stages: Mapping[str, Fold]

    @classmethod
    def of(cls, pipeline: Pipeline) -> "FoldingFile":
        """The folding of a pipeline."""
        folds = {stage.result.name: stage.fold for stage in pipeline.stages}
        return cls(pipeline.name, pipeline.interval, folds)

    @classmethod
    def load(cls, path: Path) -> "FoldingFile":
        """Read a file.

        Raises:
            FoldingError: it cannot be read, or does not have this form.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            stages = {name: _fold(name, item) for name, item in document["stages"].items()}
            interval = document.get("interval")
            return cls(
                str(document.get("name", path.stem)), interval and int(interval), stages
            )
        except OSError as error:
            raise FoldingError(f"Folding file {path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise FoldingError(
                f'Folding file {path} is not of the form {{"interval": 8000, "stages": {{"conv1": '
                f'{{"lanes": 3, "rows": 8}}}}}}: {error}; the folding.json of a build folder is one'
            ) from None

    def save(self, path: Path) -> None:
        """Write the file that `load` reads."""
        stages = {name: asdict(fold) for name, fold in self.stages.items()}
        document = {"name": self.name, "interval": self.interval, "stages": stages}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")

    def folds(self, pipeline: Pipeline) -> list[Fold]:
        """The folds in the order of the pipeline's stages.

        Raises:
            FoldingError: a stage without a fold, or a fold without a stage.
        """
        names = [stage.result.name for stage in pipeline.stages]
        for have, want, what in ((names, self.stages, "fold"), (self.stages, names, "stage")):
            for name in have:
                if name not in want:
                    raise FoldingError(
                        f"The folding has no {what} for {name!r}; expected one for each of "
                        f"{', '.join(names)}"
                    )
        return [self.stages[name] for name in names]


def _fold(name: str, item: Mapping[str, Any]) -> Fold:
    known = {field.name for field in fields(Fold)}
    for key, value in item.items():
        if key not in known:
            raise ValueError(f"{key} of {name} is no part of a fold")
        if key == "engine" and value not in get_args(Engine):
            raise ValueError(f"engine of {name} is {value!r}, not one of {get_args(Engine)}")
        if key != "engine" and (type(value) is not int or value < 1):
            raise ValueError(f"{key} of {name} is {value!r}, not a whole number from 1 on")
    return Fold(**item)
