"""The Verilog modules written by hand: memories, what fits the cells of an FPGA, a chip."""

import re
from pathlib import Path

MODULES = (
    "bitwright_ram",
    "bitwright_add",
    "bitwright_adders",
    "bitwright_choose",
    "bitwright_count7",
    "bitwright_gated_add",
    "bitwright_lutram",
    "bitwright_sdram_chip",
)


def source(module: str) -> Path:
    """The file of one of `MODULES`."""
    return Path(__file__).with_name(f"{module}.v")


def used(text: str) -> list[Path]:
    """The files of the modules that a Verilog text names."""
    return [source(module) for module in MODULES if re.search(rf"\b{module}\b", text)]
