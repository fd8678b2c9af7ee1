"""An SDRAM chip at the pins of an FPGA, for simulation; it checks what the controller does."""

from amaranth.hdl import ClockSignal, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from bitwright.hwgen.memory_model import Sdram
from bitwright.hwgen.sdram import ROW_BITS, chip_signature

CHIP_MODULE = "bitwright_sdram_chip"


class SimulatedSdram(wiring.Component):
    """The pins' registers and the chip behind them, which ends the simulation at a broken rule.

    Args:
        clock_mhz: what the cycles of the simulation stand for.
        timing: the chip has its banks and columns.
        power_up_us: how long the chip wants to be left alone after power-up.

    Members:
        pins: those of a controller.
    """

    def __init__(
        self, *, clock_mhz: float, timing: Sdram, row_bits: int = ROW_BITS,
        power_up_us: float = 200,
    ) -> None:  # fmt: skip
        self._parameters = {
            "PERIOD": round(1e6 / clock_mhz),
            "BANK_BITS": (timing.banks - 1).bit_length(),
            "ROW_BITS": row_bits,
            "COLUMN_BITS": (timing.columns - 1).bit_length(),
            "POWER_UP": round(1e6 * power_up_us),
        }
        super().__init__({"pins": In(chip_signature(banks=timing.banks, row_bits=row_bits))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        pins = self.pins
        outputs = {
            name: getattr(pins, name)
            for name in ("cke", "csn", "rasn", "casn", "wen", "a", "ba", "dqm", "d_o", "d_oe")
        }
        held = {
            name: Signal.like(value, name=f"{name}_pin", reset_less=True)
            for name, value in outputs.items()
        }
        m.d.sync += [held[name].eq(value) for name, value in outputs.items()]
        given = Signal.like(pins.d_i)
        m.d.sync += pins.d_i.eq(given)
        m.submodules.chip = Instance(
            CHIP_MODULE,
            **{f"p_{name}": value for name, value in self._parameters.items()},
            p_ADDRESS_BITS=len(pins.a),
            i_clk=ClockSignal(),
            i_d=held.pop("d_o"),
            i_d_driven=held.pop("d_oe"),
            **{f"i_{name}": value for name, value in held.items()},
            o_q=given,
        )
        return m
