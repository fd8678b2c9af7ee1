# For the type checker only: the bindings of MLIR's core are compiled and carry no types, so that
# without this file every annotation with them would be an error.
from typing import Any

def __getattr__(name: str) -> Any: ...
