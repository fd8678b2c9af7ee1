"""Every target of the registry loads, and says what the real board is."""

import pytest
from amaranth.build import Pins, Resource
from amaranth_boards.icebreaker import ICEBreakerPlatform
from amaranth_boards.ulx3s import ULX3S_12F_Platform, ULX3S_25F_Platform, ULX3S_85F_Platform

from bitwright import targets
from bitwright.targets.target import BlockRam, CpuTarget, FpgaTarget, Pin

BOARDS = {
    "ulx3s-85f": ULX3S_85F_Platform,
    "ulx3s-25f": ULX3S_25F_Platform,
    "ulx3s-12f": ULX3S_12F_Platform,
    "icebreaker": ICEBreakerPlatform,
}


@pytest.mark.parametrize("name", targets.names())
def test_every_row_loads(name: str) -> None:
    target = targets.get(name)
    assert target.name == name
    assert isinstance(target, CpuTarget if target.kind == "cpu" else FpgaTarget)


def test_unknown_name() -> None:
    with pytest.raises(targets.UnknownTarget) as error:
        targets.get("ulx4s")
    assert str(error.value) == (
        "Target 'ulx4s' does not exist; choose one of: "
        "cpu, ulx3s-85f, ulx3s-25f, ulx3s-12f, icebreaker"
    )
    assert error.value.exit_code == 5


def test_cpu_is_no_fpga() -> None:
    with pytest.raises(targets.NotAnFpga) as error:
        targets.get_fpga("cpu")
    assert str(error.value) == (
        "Target 'cpu' is not an FPGA board, so there is no hardware to build for it; "
        "choose one of: ulx3s-85f, ulx3s-25f, ulx3s-12f, icebreaker"
    )


@pytest.mark.parametrize("name", BOARDS)
def test_pins_are_those_of_the_board(name: str) -> None:
    """The board descriptions of amaranth-boards are an independent source, tried on hardware."""
    platform = BOARDS[name]
    resources = {(item.name, item.number): item for item in platform.resources}
    target = targets.get_fpga(name)
    pins = target.pins

    clock = resources[platform.default_clk, 0]
    assert _same(pins.clock, clock)
    assert clock.clock.frequency == target.board_clock_mhz * 1e6
    uart = {part.name: part for part in resources["uart", 0].ios}
    assert _same(pins.uart_rx, uart["rx"])
    assert uart["rx"].ios[0].dir == "i"
    assert _same(pins.uart_tx, uart["tx"])
    assert uart["tx"].ios[0].dir == "o"
    buttons = [item for (kind, _), item in resources.items() if kind == "button"]
    assert any(_same(pins.reset, button) for button in buttons)
    leds = [item for (kind, _), item in resources.items() if kind == "led"]
    assert sorted(pin.site for pin in pins.leds) == sorted(led.ios[0].names[0] for led in leds)
    assert {pin.inverted for pin in pins.leds} == {led.ios[0].invert for led in leds}
    assert platform.device.upper() == target.device.upper()


def _same(pin: Pin, resource: Resource) -> bool:
    io = resource.ios[0]
    assert isinstance(io, Pins)
    return (io.names[0], io.invert) == (pin.site, pin.inverted)


def test_pins_are_distinct() -> None:
    for name in BOARDS:
        pins = targets.get_fpga(name).pins
        used = [pins.clock, pins.reset, pins.uart_rx, pins.uart_tx, *pins.leds]
        assert len({pin.site for pin in used}) == len(used)


def test_block_ram_count() -> None:
    ram = BlockRam(shapes=((512, 36), (1024, 18)))
    assert ram.count(depth=512, width=64) == 2
    assert ram.count(depth=1024, width=18) == 1
    assert ram.count(depth=513, width=36) == 2
