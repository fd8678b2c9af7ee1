"""A decoder's weights by canonical name: shapes checked at once, values read when used."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.frontend.llm.check import shapes
from bitwright.frontend.llm.decoder import BlockWeights, DecoderConfig
from bitwright.frontend.llm.errors import InvalidModelError, UnsupportedAttributeError

Weight = NDArray[np.float32] | BlockWeights


class LazyWeights(Mapping[str, Weight]):
    """Calls the reader of a weight each time that it is asked for; holds none of them."""

    def __init__(self, readers: Mapping[str, Callable[[], Weight]]) -> None:
        self._readers = readers

    def __getitem__(self, name: str) -> Weight:
        return self._readers[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._readers  # a Mapping's own would read it

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)


def check_shapes(
    where: str,
    config: DecoderConfig,
    names: Mapping[str, str],
    found: Mapping[str, tuple[int, ...]],
) -> None:
    """Compare the file's tensors with the configuration.

    Args:
        where: the file, for messages.
        config: what the shapes follow from.
        names: canonical name -> the file's name of a tensor.
        found: the file's name of a tensor -> its shape.

    Raises:
        InvalidModelError: names the tensor, what was found and what was expected.
    """
    needed, optional = shapes(config)
    known = needed | optional
    for name, stored in names.items():
        expected = list(known[name])
        if stored not in found:
            raise InvalidModelError(
                f"{where}: there is no tensor {stored!r}; expected one of shape {expected}. "
                "Download or convert the model again"
            )
        if list(found[stored]) != expected:
            raise InvalidModelError(
                f"{where}: tensor {stored!r} has shape {list(found[stored])}; expected {expected} "
                "by the model's configuration. Download or convert the model again"
            )


def refuse_unread(where: str, family: str, names: Mapping[str, Any], read: set[str]) -> None:
    """Fail on a tensor that no part of the model uses.

    Raises:
        UnsupportedAttributeError: names the tensor.
    """
    for name in names:
        if name not in read:
            raise UnsupportedAttributeError(
                f"{where}: tensor {name[:200]!r} is not part of a {family} model as this reader "
                "knows it; choose a model without it"
            )
