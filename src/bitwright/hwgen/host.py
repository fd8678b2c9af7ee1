"""The host side of the core: the request port, the window decoder and the registers."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

ADDRESS_BITS = 28
DATA_BITS = 32


class HostSignature(wiring.Signature):
    """One request at a time, seen from the requester (the core has it as `In`).

    The requester raises `stb` with `addr` (bytes, multiple of 4), `we` and `wdata`, and keeps all
    of them until the cycle in which `ack` is 1; `rdata` is valid in that cycle only. The cycle
    after `ack` may carry the next request. `ack` is a register and never 1 without `stb`.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "addr": Out(ADDRESS_BITS),
                "wdata": Out(DATA_BITS),
                "we": Out(1),
                "stb": Out(1),
                "rdata": In(DATA_BITS),
                "ack": In(1),
            }
        )
