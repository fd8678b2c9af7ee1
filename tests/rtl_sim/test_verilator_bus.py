"""The harness, the cache and the buses, on a memory instead of a machine."""

import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import verilog
from amaranth.lib import wiring

from bitwright.hwgen.tops import Axi4LiteTop, UartTop, WishboneTop
from bitwright.rtl_sim import toolchain
from bitwright.rtl_sim.bus import VerilatorBus, Waves, open_bus, open_serial
from bitwright.rtl_sim.errors import (
    BuildError,
    BusError,
    MissingToolError,
    SimulatorStoppedError,
)
from bitwright.rtl_sim.verilate import Pins, PortKind, build_simulator
from bitwright.runtime.serial import SerialBus, SerialLinkError
from bitwright.targets import serial_frames

DIVISOR = 5
SILENCE_BYTES = 12
COUNTER = """
module counter(input clk, input wb_cyc, wb_stb, wb_we, input [3:0] wb_sel, input [25:0] wb_adr,
               input [31:0] wb_dat_w, output reg [31:0] wb_dat_r, output wb_ack, wb_err, wb_stall);
    initial wb_dat_r = 5;
    always @(posedge clk) wb_dat_r <= wb_dat_r + 1;
    assign wb_ack = 0;
    assign wb_err = wb_cyc & wb_stb & wb_adr[0];
    assign wb_stall = 0;
endmodule
"""


@pytest.fixture(scope="module")
def designs(
    tmp_path_factory: pytest.TempPathFactory, memory_core: type[wiring.Component]
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("the designs")  # with a space
    tops = [
        WishboneTop(core=memory_core()),
        Axi4LiteTop(core=memory_core()),
        UartTop(core=memory_core(), divisor=DIVISOR, silence_bytes=SILENCE_BYTES),
    ]
    for top in tops:
        text = verilog.convert(top, name=top.module_name, emit_src=False)
        (folder / f"{top.module_name}.v").write_text(text)
    (folder / "counter.v").write_text(COUNTER)
    return {path.stem: path for path in folder.iterdir()}


def random_words(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 1 << 32, count, dtype=np.uint32)


@pytest.mark.parametrize(
    ("top", "port"),
    [("bitwright_wb", PortKind.WISHBONE), ("bitwright_axil", PortKind.AXI4LITE)],
)
def test_bursts_and_polls(designs: dict[str, Path], top: str, port: PortKind) -> None:
    words = random_words(500)
    with open_bus([designs[top]], top, port=port) as bus:
        bus.write(0x40, words)
        assert np.array_equal(bus.read(0x40, 500), words)
        assert np.array_equal(bus.read(0x48, 1), words[2:3])
        before = bus.cycles
        bus.step(1000)
        assert bus.cycles == before + 1000
        assert bus.poll(0x40, 0xFFFFFFFF, 100) == words[0]
        assert bus.poll(0x00, 0xFFFFFFFF, 100) is None
        bus.reset()
        assert np.array_equal(bus.read(0x40, 500), words)


def test_serial_line(designs: dict[str, Path]) -> None:
    words = random_words(300)
    with open_serial(
        [designs["bitwright_uart"]], "bitwright_uart", divisor=DIVISOR, read_timeout_cycles=100_000
    ) as line:
        bus = SerialBus(line, divisor=DIVISOR)
        bus.write(0x40, words)
        assert np.array_equal(bus.read(0x40, 300), words)
        assert bus.poll(0x44, 0xFFFFFFFF, 10_000) == words[1]
        assert bus.poll(0x00, 0xFFFFFFFF, 10_000) is None


def test_serial_line_with_errors(designs: dict[str, Path]) -> None:
    """Damaged and broken off requests change nothing but what they may; the next ones work."""
    data = random_words(3).tobytes()
    good = serial_frames.write_request(0x40, data)
    silence = 10 * DIVISOR * (SILENCE_BYTES + 2)
    with open_serial(
        [designs["bitwright_uart"]], "bitwright_uart", divisor=DIVISOR, read_timeout_cycles=5000
    ) as line:
        bus = SerialBus(line, divisor=DIVISOR)
        for position in range(len(good)):
            bus.write(0x40, np.zeros(3, np.uint32))
            damaged = bytearray(good)
            damaged[position] ^= 1 << position % 8
            line.write(bytes(damaged))
            assert line.read(1) == bytes([serial_frames.NAK])
            line.step(silence)
            after = bus.read(0x40, 3)
            assert after[2] == 0
            if position < 8:
                assert not after.any()
        for length in (1, 5, 8, 11, 12, len(good) - 1):
            bus.write(0x40, np.zeros(3, np.uint32))
            line.write(good[:length])
            assert line.read(1) == b""
            line.step(silence)
            assert bus.read(0x40, 3)[2] == 0
        line.write(good)
        assert line.read(1) == bytes([serial_frames.ACK])
        assert bus.read(0x40, 3).tobytes() == data


def test_serial_link_that_is_dead() -> None:
    class DeadPort:
        def write(self, data: bytes) -> None:
            pass

        def read(self, count: int) -> bytes:
            return b""

    bus = SerialBus(DeadPort(), divisor=DIVISOR)
    with pytest.raises(SerialLinkError) as caught:
        bus.read(0x10, 2)
    assert str(caught.value) == (
        "Serial read of 2 words from 0x0000010 failed: there was no reply; check the baud rate and "
        "the cable"
    )


def test_cache_and_build_folder(designs: dict[str, Path], tmp_path: Path) -> None:
    sources = [designs["counter"]]
    pins = Pins(reset=None)
    first = build_simulator(sources, "counter", port=PortKind.WISHBONE, pins=pins, folder=tmp_path)
    stamp = first.stat().st_ino
    again = build_simulator(sources, "counter", port=PortKind.WISHBONE, pins=pins, folder=tmp_path)
    assert again == first
    assert again.stat().st_ino == stamp
    assert sorted(path.name.split("-")[0] for path in tmp_path.iterdir()) == [
        "runtime",
        "simulator",
    ]


def test_transfers_that_fail(designs: dict[str, Path]) -> None:
    with open_bus([designs["counter"]], "counter", pins=Pins(reset=None)) as bus:
        with pytest.raises(BusError) as caught:
            bus.read(0x4, 1)
        assert str(caught.value) == (
            "Bus read of 1 words at address 0x0000004 was answered with an error"
        )
        with pytest.raises(BusError) as caught:
            bus.write(0x8, random_words(1))
        assert str(caught.value) == (
            "Bus write of 1 words at address 0x0000008 was not answered within 100000 cycles"
        )


@pytest.mark.parametrize("suffix", [".vcd", ".fst"])
def test_waves(designs: dict[str, Path], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"run{suffix}"
    waves = Waves(path=path, first_cycle=10, cycles=20, depth=2)
    with open_bus([designs["counter"]], "counter", pins=Pins(reset=None), waves=waves) as bus:
        bus.step(100)
    if suffix == ".vcd":
        text = path.read_text()
        assert "wb_dat_r" in text
        stamps = [int(line[1:]) for line in text.splitlines() if line.startswith("#")]
        assert (stamps[0], stamps[-1]) == (20, 59)
    else:
        header = path.read_bytes()
        assert header[:9] == struct.pack(">BQ", 0, 329)
        first, last = struct.unpack(">QQ", header[9:25])
        assert (first, last) == (20, 59)


def test_verilog_that_is_wrong(tmp_path: Path) -> None:
    source = tmp_path / "broken.v"
    source.write_text("module broken(input clk; endmodule\n")
    with pytest.raises(BuildError) as caught:
        build_simulator([source], "broken", port=PortKind.WISHBONE, folder=tmp_path / "cache")
    message = str(caught.value)
    assert caught.value.folder.is_dir()
    assert message.startswith(
        f"Verilator failed; its files are kept in {caught.value.folder}, and the command was\n"
        f"  cd {caught.value.folder} && "
    )
    assert f"{source}:1:" in message


def test_build_command_can_be_repeated(tmp_path: Path) -> None:
    source = tmp_path / "no_port.v"
    source.write_text("module no_port(input clk); endmodule\n")
    with pytest.raises(BuildError) as caught:
        build_simulator(
            [source], "no_port", port=PortKind.WISHBONE, pins=Pins(reset=None),
            folder=tmp_path / "cache",
        )  # fmt: skip
    message = str(caught.value)
    assert message.startswith("The C++ compiler failed; its files are kept in ")
    command = message.splitlines()[1]
    again = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert again.returncode != 0
    assert "wb_cyc" in again.stderr


def test_simulator_that_stops(tmp_path: Path) -> None:
    program = tmp_path / "simulator"
    program.write_text("#!/bin/sh\necho out of luck >&2\nexit 3\n")
    program.chmod(0o755)
    with VerilatorBus(program) as bus, pytest.raises(SimulatorStoppedError) as caught:
        bus.read(0, 1)
    assert str(caught.value) == (
        f"Simulator {program} stopped with exit status 3 while a transfer was under way; its last "
        "output: out of luck"
    )


@pytest.mark.parametrize(
    ("tool", "message"),
    [
        (
            toolchain.compiler,
            "Simulation needs a C++ compiler (c++ or g++ or clang++), which was not found; on "
            "Debian or Ubuntu install it with 'apt-get install g++'",
        ),
        (
            toolchain.make,
            "Simulation needs GNU make, which was not found; on Debian or Ubuntu install it with "
            "'apt-get install make'",
        ),
        (
            toolchain.verilator,
            "Simulation needs perl, which was not found; on Debian or Ubuntu install it with "
            "'apt-get install perl'",
        ),
    ],
)
def test_missing_tools(
    tool: object, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(MissingToolError) as caught:
        tool()
    assert str(caught.value) == message
