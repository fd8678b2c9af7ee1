"""Imports run one way: the table of docs/architecture.md, checked against every module."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "src" / "bitwright"

# What each room may import besides itself and the small shared modules.
MAY_IMPORT = {
    "ir": set(),
    "targets": set(),
    "frontend": {"ir"},
    "passes": {"ir", "targets"},
    "codegen": {"ir", "passes"},
    "hwgen": {"ir", "targets"},
    "rtl_sim": {"hwgen", "ir", "targets", "runtime"},
    "fpga": {"hwgen", "ir", "targets"},
    "runtime": {"ir", "targets"},
}
MAY_IMPORT["flows"] = {*MAY_IMPORT, "report"}
SHARED = {"errors", "files", "native_output", "progress"}


def imported_rooms(path: Path) -> set[str]:
    rooms: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "bitwright":
            names = [f"bitwright.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        rooms |= {name.split(".")[1] for name in names if name.startswith("bitwright.")}
    return rooms


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_its_row_allows(room: str) -> None:
    allowed = MAY_IMPORT[room] | SHARED | {room}
    for path in sorted((PACKAGE / room).rglob("*.py")):
        forbidden = imported_rooms(path) - allowed
        assert not forbidden, f"{path.relative_to(PACKAGE)} imports {sorted(forbidden)}"


def test_every_room_has_a_row() -> None:
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(MAY_IMPORT)


def test_shared_modules_import_no_room() -> None:
    for name in sorted(SHARED):
        assert imported_rooms(PACKAGE / f"{name}.py") <= SHARED


def test_the_links_at_the_root_point_into_the_package() -> None:
    root = PACKAGE.parents[1]
    for name in ("frontend", "ir", "passes", "hwgen", "rtl_sim", "fpga"):
        assert (root / name).is_symlink()
        assert (root / name).resolve() == PACKAGE / name
