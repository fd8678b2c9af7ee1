"""Pin and clock constraints of a board design, in the words of each family's tools."""

from bitwright.targets.target import BoardPins, FpgaTarget, Pin, SdramPins


def file_name(target: FpgaTarget) -> str:
    """Name of the constraint file of the target's family."""
    return "board.lpf" if target.family == "ecp5" else "board.pcf"


def constraints(target: FpgaTarget, *, memory: bool = False) -> str:
    """The constraint file of a target, with the pins of its external memory if they are used."""
    ports = _ports(target.pins)
    if memory and target.memory is not None:
        ports += _memory_ports(target.memory.pins)
    if target.family == "ecp5":
        return _lpf(target, ports)
    return _pcf(target, ports)


def _ports(pins: BoardPins) -> list[tuple[str, Pin]]:
    leds = [(f"leds[{index}]", pin) for index, pin in enumerate(pins.leds)]
    return [
        ("clock", pins.clock),
        ("reset_button", pins.reset),
        ("uart_rx", pins.uart_rx),
        ("uart_tx", pins.uart_tx),
        *leds,
    ]


def _memory_ports(pins: SdramPins) -> list[tuple[str, Pin]]:
    ports = [("sdram_clk", pins.clk)]
    for name, group in (*pins.outputs(), ("d", pins.d)):
        single = len(group) == 1
        ports += [
            (f"sdram_{name}" + ("" if single else f"[{index}]"), pin)
            for index, pin in enumerate(group)
        ]
    return ports


def _lpf(target: FpgaTarget, ports: list[tuple[str, Pin]]) -> str:
    lines = [f"# {target.title}", "BLOCK RESETPATHS;", "BLOCK ASYNCPATHS;"]
    for name, pin in ports:
        settings = [f"IO_TYPE={pin.io_type}"]
        if pin.pull:
            settings.append(f"PULLMODE={pin.pull.upper()}")
        if pin.drive_ma:
            settings.append(f"DRIVE={pin.drive_ma}")
        lines.append(f'LOCATE COMP "{name}" SITE "{pin.site}";')
        lines.append(f'IOBUF PORT "{name}" {" ".join(settings)};')
    lines.append(f'FREQUENCY PORT "clock" {target.board_clock_mhz:g} MHZ;')
    return "\n".join(lines) + "\n"


def _pcf(target: FpgaTarget, ports: list[tuple[str, Pin]]) -> str:
    lines = [f"# {target.title}"]
    for name, pin in ports:
        pull = "-pullup yes " if pin.pull == "up" else ""
        lines.append(f"set_io {pull}{name} {pin.site}")
    lines.append(f"set_frequency clock {target.board_clock_mhz:g}")
    return "\n".join(lines) + "\n"
