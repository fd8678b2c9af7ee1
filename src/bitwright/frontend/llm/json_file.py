"""The JSON files of a model's folder."""

import json
from pathlib import Path
from typing import Any

from bitwright.frontend.llm.errors import InvalidModelError, ModelFileNotFoundError

MOST_BYTES = 1 << 28


def read_json(path: Path) -> dict[str, Any]:
    """The table that a JSON file holds.

    Raises:
        ModelFileNotFoundError: it cannot be read.
        InvalidModelError: it is something else.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES)
    except OSError as error:
        raise ModelFileNotFoundError(
            f"Cannot read {path}: {error.strerror}; expected a folder with config.json, "
            "*.safetensors and tokenizer.json"
        ) from None
    try:
        values = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidModelError(f"{path} is not JSON: {error}. Download the model again") from None
    if not isinstance(values, dict):
        raise InvalidModelError(f"{path} is not a table in JSON; download the model again")
    return values
