"""The documents agree with the code where they repeat it."""

import re
from pathlib import Path

import pytest

from bitwright import targets
from bitwright.cli import main
from bitwright.ir.instructions import ADD_FIELDS, FIELDS, Opcode
from bitwright.targets.host_interface import MACHINE_ID, Register, Window

ROOT = Path(__file__).parents[2]
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_instruction_fields() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (\w+) \| (.*) \|$", ARCHITECTURE, re.MULTILINE)
    assert rows == [
        (str(number), field.name, "signed" if field.signed else "unsigned", field.meaning)
        for number, field in enumerate(FIELDS + ADD_FIELDS, start=1)
    ]


def test_opcodes_and_address_map() -> None:
    for opcode in Opcode:
        assert f"| {opcode.value} | {opcode.name} |" in ARCHITECTURE
    for window in Window:
        assert f"| `0x{window.base:07x}` |" in ARCHITECTURE
    for register in Register:
        assert f"| `0x{register.value:02X}` | {register.name} |" in ARCHITECTURE
    assert f"`0x{MACHINE_ID:08x}`" in ARCHITECTURE


def test_the_readme_lists_every_target_and_command() -> None:
    for name in targets.names():
        assert f"| `{name}` |" in README
        target = targets.get(name)
        if isinstance(target, targets.FpgaTarget):
            row = next(line for line in README.splitlines() if line.startswith(f"| `{name}` |"))
            assert f"| {target.resources.lut:,} | {target.resources.bram} ×" in row
    for command in main.commands:
        assert f"bitwright {command} " in README


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/*.md")))
def test_links_lead_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in link:
            assert (path.parent / link).exists(), link
