"""Runs a library for aarch64 on another machine: an emulated processor, without a system.

The emulator is QEMU's, as the package `unicorn`. One inference in one thread calls nothing of a
system but the few functions below. It is for comparing values; its time says nothing.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import BitwrightError
from bitwright.files import is_sealed
from bitwright.runtime.library import LibraryError
from bitwright.runtime.tensors import TensorInfo, finish, prepare

Array = NDArray[Any]

_PAGE = 1 << 16
_LIBRARY, _STUBS, _DATA, _STACK = 1 << 32, 2 << 32, 3 << 32, 4 << 32
_STACK_SIZE = 1 << 20
_ABSOLUTE, _GLOBAL, _CALL, _RELATIVE = 257, 1025, 1026, 1027
"""Relocations: R_AARCH64_ABS64, GLOB_DAT, JUMP_SLOT, RELATIVE."""
_DOT_PRODUCTS = 1 << 20
"""The bit of the dot product instructions in what `getauxval(AT_HWCAP)` returns."""
_HWCAP = 16
_RETURN = bytes.fromhex("c0035fd6")
_FLOATING_POINT = 3 << 20
"""Bits of CPACR_EL1 that allow vector instructions."""


class MissingEmulatorError(BitwrightError):
    """A package of the extra `cross` that is not installed."""

    exit_code = 7


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise MissingEmulatorError(
            f"Running code for aarch64 here needs the Python package {name.split('.')[0]!r}, "
            "which is not installed; install it with: pip install 'bitwright[cross]'"
        ) from None


class EmulatedLibrary:
    """A model on an emulated processor; see `bitwright.runtime.library.Library`.

    Attributes:
        cpu: the processor level whose code runs.
        missing: the instruction that the processor lacks, empty where it lacks none.

    Args:
        path: a `libmodel.so` for aarch64.
        dot_products: whether the processor has them (Armv8.2-A; else it is a Cortex-A72).

    Raises:
        LibraryError: not a library for aarch64 that Bitwright made.
        MissingEmulatorError: a package is not installed.
    """

    def __init__(self, path: Path, *, dot_products: bool = True) -> None:
        self._unicorn, self._registers = _package("unicorn"), _package("unicorn.arm64_const")
        elf_file = _package("elftools.elf.elffile").ELFFile
        self._path, self._dot_products = path, dot_products
        if not path.is_file() or not is_sealed(path):
            raise LibraryError(
                f"{path} is no library that Bitwright made, or is changed since; give the "
                "libmodel.so of a build folder"
            )
        machine = self._unicorn.Uc(self._unicorn.UC_ARCH_ARM64, self._unicorn.UC_MODE_ARM)
        registers = self._registers
        model = registers.UC_CPU_ARM64_MAX if dot_products else registers.UC_CPU_ARM64_A72
        machine.ctl_set_cpu_model(model)
        machine.reg_write(registers.UC_ARM64_REG_CPACR_EL1, _FLOATING_POINT)
        self._machine = machine
        self._stubs: list[str] = []
        self._symbols: dict[str, int] = {}
        with path.open("rb") as file:
            elf = elf_file(file)
            if elf["e_machine"] != "EM_AARCH64":
                raise LibraryError(
                    f"{path} is for {elf.get_machine_arch()}; expected one for AArch64. Load it "
                    "with bitwright.load_library on such a machine"
                )
            self._load(elf)
        machine.mem_map(_STACK - _STACK_SIZE, _STACK_SIZE)
        self.cpu = self._text(self._call("bw_cpu"))
        self.missing = self._text(self._call("bw_missing_cpu_feature"))
        self.inputs, self.outputs = self._tensors("input"), self._tensors("output")
        self._arena_bytes = self._call("bw_arena_bytes")

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs by name, as `Library.run`.

        Raises:
            LibraryError: the processor lacks an instruction.
            TensorError: inputs that are not those of the model.
        """
        batch = prepare(self.inputs, inputs)
        runs = [self._run(batch.sample(n, self.inputs)) for n in range(batch.samples)]
        return finish(self.outputs, runs, batch.real)

    def _run(self, given: list[Array]) -> list[Array]:
        sizes = [self._arena_bytes, *(x.nbytes for x in given)]
        sizes += [np.empty(info.shape, info.dtype).nbytes for info in self.outputs]
        pointers = 8 * (len(given) + len(self.outputs))
        places = _DATA + _PAGE + np.cumsum([0, *(-(-size // 64) * 64 for size in sizes)])
        end = int(-(-int(places[-1]) // _PAGE) * _PAGE)
        self._machine.mem_map(_DATA, end - _DATA)
        for array, place in zip(given, places[1:], strict=False):
            self._machine.mem_write(int(place), array.tobytes())
        self._machine.mem_write(_DATA, np.array(places[1:-1], np.uint64).tobytes())
        assert pointers <= _PAGE
        status = self._call("bw_run_with", int(places[0]), _DATA, _DATA + 8 * len(given))
        made: list[Array] = []
        for info, place in zip(self.outputs, places[1 + len(given) : -1], strict=True):
            array = np.empty(info.shape, info.dtype)
            data = bytes(self._machine.mem_read(int(place), array.nbytes))
            made.append(np.frombuffer(data, info.dtype).reshape(info.shape))
        self._machine.mem_unmap(_DATA, end - _DATA)
        if status:
            lacks = f": the processor lacks {self.missing}" if self.missing else ""
            raise LibraryError(f"{self._path}: bw_run_with returned {status}{lacks}")
        return made

    def _load(self, elf: Any) -> None:
        """Segments, symbols, relocations; what the system would give becomes a stub."""
        segments = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD"]
        size = max(s["p_vaddr"] + s["p_memsz"] for s in segments)
        self._machine.mem_map(_LIBRARY, -(-size // _PAGE) * _PAGE)
        for segment in segments:
            self._machine.mem_write(_LIBRARY + segment["p_vaddr"], segment.data())
        table = elf.get_section_by_name(".dynsym")
        addresses: list[int] = []
        for symbol in table.iter_symbols():
            if symbol["st_shndx"] == "SHN_UNDEF":
                addresses.append(_STUBS + 4 * len(self._stubs))
                self._stubs.append(symbol.name)
            else:
                addresses.append(_LIBRARY + symbol["st_value"])
                self._symbols[symbol.name] = addresses[-1]
        for section in elf.iter_sections():
            if section["sh_type"] == "SHT_RELA":
                for item in section.iter_relocations():
                    self._relocate(item, addresses)
        self._machine.mem_map(_STUBS, _PAGE)
        self._machine.mem_write(_STUBS, _RETURN * len(self._stubs))
        self._machine.hook_add(
            self._unicorn.UC_HOOK_CODE, self._stub, begin=_STUBS, end=_STUBS + _PAGE - 1
        )

    def _relocate(self, item: Any, addresses: list[int]) -> None:
        kind, value = item["r_info_type"], item["r_addend"]
        if kind == _RELATIVE:
            value += _LIBRARY
        elif kind in (_ABSOLUTE, _GLOBAL, _CALL):
            value += addresses[item["r_info_sym"]]
        else:
            raise LibraryError(
                f"{self._path} has a relocation of type {kind}, which the emulator does not load; "
                f"expected {_ABSOLUTE}, {_GLOBAL}, {_CALL} or {_RELATIVE}"
            )
        self._machine.mem_write(_LIBRARY + item["r_offset"], int(value).to_bytes(8, "little"))

    def _stub(self, machine: Any, address: int, size: int, context: object) -> None:
        """A function of the system, at the moment when it is called."""
        name = self._stubs[(address - _STUBS) // 4]
        x = [machine.reg_read(self._registers.UC_ARM64_REG_X0 + n) for n in range(3)]
        functions: dict[str, Callable[[], int]] = {
            "memcpy": lambda: self._copy(*x),
            "memmove": lambda: self._copy(*x),
            "memset": lambda: self._fill(*x),
            "getauxval": lambda: _DOT_PRODUCTS * (x[0] == _HWCAP and self._dot_products),
        }
        if name not in functions:
            machine.emu_stop()
            raise LibraryError(
                f"{self._path} calls {name}, which the emulator does not have; expected only "
                f"{', '.join(functions)}"
            )
        machine.reg_write(self._registers.UC_ARM64_REG_X0, functions[name]())

    def _copy(self, to: int, source: int, size: int) -> int:
        self._machine.mem_write(to, bytes(self._machine.mem_read(source, size)))
        return to

    def _fill(self, to: int, byte: int, size: int) -> int:
        self._machine.mem_write(to, bytes([byte & 255]) * size)
        return to

    def _call(self, function: str, *arguments: int) -> int:
        """A function of the library on integers and addresses; what it returns."""
        machine, registers = self._machine, self._registers
        back = _STUBS + _PAGE - 4
        for number, value in enumerate(arguments):
            machine.reg_write(registers.UC_ARM64_REG_X0 + number, value)
        machine.reg_write(registers.UC_ARM64_REG_SP, _STACK)
        machine.reg_write(registers.UC_ARM64_REG_LR, back)
        machine.emu_start(self._symbols[function], back)
        return machine.reg_read(registers.UC_ARM64_REG_X0)

    def _read(self, address: int, type_: str) -> Any:
        size = np.dtype(type_).itemsize
        return np.frombuffer(bytes(self._machine.mem_read(address, size)), type_)[0]

    def _text(self, address: int) -> str:
        text = bytearray()
        while address and (byte := self._machine.mem_read(address + len(text), 1)[0]):
            text.append(byte)
        return text.decode()

    def _tensors(self, kind: str) -> tuple[TensorInfo, ...]:
        """`bw_tensor` of `model.h`."""
        made: list[TensorInfo] = []
        for index in range(self._call(f"bw_{kind}_count") & 0xFFFFFFFF):
            at = self._call(f"bw_{kind}", index)
            name, rank, shape, _, _ = (int(self._read(at + 8 * n, "<i8")) for n in range(5))
            numbers = (int(self._read(at + 48 + 4 * n, "<i4")) for n in range(3))
            extents = tuple(int(self._read(shape + 8 * axis, "<i8")) for axis in range(rank))
            scale = float(self._read(at + 40, "<f8"))
            made.append(TensorInfo(self._text(name), extents, scale, *numbers))
        return tuple(made)
