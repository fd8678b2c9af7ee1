"""The table of `bitwright targets`."""

from rich.table import Table

from bitwright import targets


def targets_table() -> Table:
    """Every target with its device's resources."""
    table = Table(title="targets", title_justify="left")
    table.add_column("name", no_wrap=True)
    table.add_column("device")
    for column in ("LUT", "FF", "BRAM", "DSP", "clock (MHz)"):
        table.add_column(column, justify="right")
    for name in targets.names():
        target = targets.get(name)
        if isinstance(target, targets.FpgaTarget):
            have = target.resources
            counts = [f"{count:,}" for count in (have.lut, have.ff, have.bram, have.dsp)]
            table.add_row(name, target.title, *counts, f"{target.default_clock_mhz:g}")
        else:
            table.add_row(name, target.title)
    return table
