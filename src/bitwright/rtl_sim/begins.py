"""When the images of a simulated pipeline begin: a monitor beside its source.

The monitor is a Verilog file that is simulated with the pipeline's own. It writes into the folder
in which the simulation runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_FOUND = "begins.txt"
_MONITOR = """\
// Writes of each image the cycle in which it begins, and that from which on there were its words
// and room for its result.
module bitwright_begins (input clk, input input_ready, input output_free, input start);
  integer file;
  reg [63:0] now = 0;
  reg [63:0] since = 0;
  initial file = $fopen("{found}", "w");
  final $fclose(file);
  always @(posedge clk) begin
    now <= now + 1;
    if (!(input_ready && output_free)) since <= now + 1;
    if (start) $fwrite(file, "%0d %0d\\n", now, since);
  end
endmodule

bind {core}_source bitwright_begins begins (
  .clk(clk), .input_ready(input_ready), .output_free(output_free), .start(start)
);
"""


@dataclass(frozen=True)
class Begin:
    """An image of a simulation.

    Attributes:
        cycle: in which its first word is read.
        since: the host has given it, and left room for its result, from this cycle on.
    """

    cycle: int
    since: int


def write_monitor(folder: Path, core: str) -> Path:
    """The monitor of the pipeline in the module `core`, as a file in `folder`."""
    path = folder / "bitwright_begins.v"
    path.write_text(_MONITOR.format(found=_FOUND, core=core), encoding="utf-8")
    return path


def read_begins(folder: Path, images: int) -> list[Begin]:
    """The images of a simulation that ran in `folder` and has ended; so many came out."""
    lines = (folder / _FOUND).read_text(encoding="utf-8").splitlines()
    assert len(lines) == images, f"the monitor saw {len(lines)} of {images} images"
    return [Begin(*map(int, line.split())) for line in lines]


def due(begins: Sequence[Begin], every: int) -> list[int]:
    """The cycles in which all images but the first should begin: `every` cycles after the one
    before, or later if the host keeps them waiting."""
    return [max(a.cycle + every, b.since) for a, b in pairwise(begins)]


def interval(begins: Sequence[Begin]) -> int | None:
    """Cycles from an image to the next, where the next one did not wait for the host."""
    found = [b.cycle - a.cycle for a, b in pairwise(begins) if b.since < b.cycle]
    return min(found, default=None)
