"""A module of `linalg` on `memref` under construction: kernels, constants, buffers, the entry.

One function a kernel, called by the entry `network(arena, inputs..., outputs..., member, threads)`.
Every memory that a kernel touches is an argument with static shape that nothing else aliases, so
that LLVM keeps sums in registers and vectorises without run-time checks.

Each of several threads runs the whole entry, which is a row of phases. A kernel that shares its
work is a phase of as many parts as there are threads; other kernels in a row are a phase of one
part. Who does a part, and when a phase is over, decides a function of C whose address is the first
thing that `member` points to: see `threads_c`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch_mlir import ir

from bitwright.codegen.cpu.arena import ALIGNMENT, Buffer, place

ENTRY = "network"
MEMBER = "%member: !llvm.ptr, %threads: index"
_NEXT = (
    "%unit = arith.constant 1 : index",
    "%next_part = arith.addi %part, %unit : index",
)
PHASES = (
    "%unit = arith.constant 1 : index",
    "%zero = arith.constant 0 : index",
    "%are_several = arith.cmpi ne, %threads, %unit : index",
)
_PRIVATE = "llvm.linkage = #llvm.linkage<internal>"
BYTES = {"i8": 1, "i32": 4, "i64": 8, "f16": 2, "f32": 4}

Shape = Sequence[int]


def _phase(calls: Sequence[str], parts: str) -> list[str]:
    """Lines that make these calls for each part, which is `%own`, that this thread gets."""
    if not calls:
        return []
    return [
        "scf.while (%done = %zero) : (index) -> index {",
        "%claimed = scf.if %are_several -> index {",
        "%next = llvm.load %member : !llvm.ptr -> !llvm.ptr",
        f"%wide = arith.index_cast {parts} : index to i64",
        "%number = llvm.call %next(%member, %wide) : !llvm.ptr, (!llvm.ptr, i64) -> i64",
        "%taken = arith.index_cast %number : i64 to index",
        "scf.yield %taken : index",
        "} else {",
        "scf.yield %done : index",
        "}",
        f"%more = arith.cmpi ult, %claimed, {parts} : index",
        "scf.condition(%more) %claimed : index",
        "} do {",
        "^bb0(%own: index):",
        *calls,
        "scf.yield %unit : index",
        "}",
    ]


@dataclass(frozen=True, eq=False)
class Memory:
    """Where a value lives: an argument of the entry, a constant, or a buffer in the arena."""

    size: int
    argument: str | None = None
    constant: str | None = None
    buffer: Buffer | None = None


def memref(element: str, shape: Shape, strides: Shape | None = None, offset: int = 0) -> str:
    """The `memref` type; row-major without `strides`."""
    extents = "".join(f"{extent}x" for extent in shape)
    if strides is None:
        return f"memref<{extents}{element}>"
    steps = ", ".join(map(str, strides))
    return f"memref<{extents}{element}, strided<[{steps}], offset: {offset}>>"


def row_major(shape: Shape) -> list[int]:
    """Strides of a dense array."""
    strides = [1] * len(shape)
    for axis in range(len(shape) - 2, -1, -1):
        strides[axis] = strides[axis + 1] * shape[axis + 1]
    return strides


def count(shape: Shape) -> int:
    """Number of elements."""
    return int(np.prod(shape, dtype=np.int64))


@dataclass(frozen=True)
class View:
    """An SSA memref inside a kernel."""

    name: str
    element: str
    shape: tuple[int, ...]
    type: str


@dataclass(eq=False)
class Kernel:
    """One function: its arguments and the text of its body."""

    program: "Program"
    name: str
    step: int
    arguments: list[tuple[Memory, View]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    shared: bool = False
    _names: int = 0

    def fresh(self, prefix: str = "v") -> str:
        """A new SSA name."""
        self._names += 1
        return f"%{prefix}{self._names}"

    def access(self, memory: Memory, element: str, shape: Shape) -> View:
        """The memory as an array of this shape.

        A memory is one argument, however many shapes it is seen under: arguments do not alias.
        """
        for known, view in self.arguments:
            if known is memory:
                assert view.element == element, (view.element, element)
                return (
                    view
                    if view.shape == tuple(shape)
                    else (self.strided(view, shape, row_major(shape)))
                )
        view = View(self.fresh("m"), element, tuple(shape), memref(element, shape))
        self.arguments.append((memory, view))
        return view

    def scratch(self, element: str, shape: Shape) -> View:
        """Memory that only this kernel uses."""
        size = count(shape) * BYTES[element]
        return self.access(self.program.allocate(size, self.step, self.step), element, shape)

    def constant(self, values: NDArray[Any]) -> View:
        """An int8, int32 or int64 array in the library."""
        memory = self.program.constant(values)
        return self.access(memory, f"i{8 * values.dtype.itemsize}", values.shape)

    def strided(self, view: View, shape: Shape, strides: Shape, offset: int = 0) -> View:
        """Other sizes and strides, in elements, over the same memory."""
        name = self.fresh("s")
        type_ = memref(view.element, shape, strides, offset)
        sizes, steps = ", ".join(map(str, shape)), ", ".join(map(str, strides))
        self.lines.append(
            f"{name} = memref.reinterpret_cast {view.name} to offset: [{offset}], "
            f"sizes: [{sizes}], strides: [{steps}] : {view.type} to {type_}"
        )
        return View(name, view.element, tuple(shape), type_)

    def part(self, count: int) -> tuple[str, str]:
        """The first index of one part of `count`, and the first behind it.

        A kernel that calls this is called for each of some parts.
        """
        self.shared = True
        ends: list[str] = []
        total = self.integer(count, "index")
        for before in ("%part", "%next_part"):
            product, end = self.fresh(), self.fresh()
            self.lines.append(f"{product} = arith.muli {before}, {total} : index")
            self.lines.append(f"{end} = arith.divui {product}, %parts : index")
            ends.append(end)
        return ends[0], ends[1]

    def before(self, label: str) -> "Kernel":
        """A kernel that runs just before this one."""
        return self.program.kernel(label, self.step, before=self)

    def integer(self, value: int, type_: str) -> str:
        """The name of a constant number."""
        name = self.fresh("c")
        self.lines.append(f"{name} = arith.constant {value} : {type_}")
        return name

    def fill(self, view: View, value: int) -> None:
        """Set every element."""
        number = self.integer(value, view.element)
        self.lines.append(
            f"linalg.fill ins({number} : {view.element}) outs({view.name} : {view.type})"
        )

    def generic(
        self, dims: str, ins: Sequence[tuple[View, str]], out: tuple[View, str], body: str,
        *, reduced: str = "", result: str = "%r",
    ) -> None:  # fmt: skip
        """A `linalg.generic`, loops from the outermost to the innermost.

        Args:
            dims: loop names, separated by spaces; those in `reduced` are reductions.
            ins: what is read, with the index expressions; its element is `%i0`, `%i1`, ...
            out: what is written; the old element is `%o`.
            body: lines that compute the new element.
            result: the name of the new element.
        """
        names, reductions = dims.split(), set(reduced.split())
        maps = ", ".join(
            f"affine_map<({', '.join(names)}) -> ({indices})>" for _, indices in (*ins, out)
        )
        kinds = ", ".join('"reduction"' if n in reductions else '"parallel"' for n in names)
        reads = ", ".join(view.name for view, _ in ins)
        types = ", ".join(view.type for view, _ in ins)
        view = out[0]
        arguments = ", ".join(
            [*(f"%i{n}: {v.element}" for n, (v, _) in enumerate(ins)), f"%o: {view.element}"]
        )
        self.lines += [
            f"linalg.generic {{indexing_maps = [{maps}], iterator_types = [{kinds}]}}",
            *([f"    ins({reads} : {types})"] if ins else []),
            f"    outs({view.name} : {view.type}) {{",
            f"^bb0({arguments}):",
            *(f"  {line.strip()}" for line in body.strip().splitlines()),
            f"  linalg.yield {result} : {view.element}",
            "}",
        ]

    def shared_generic(
        self, ins: Sequence[View], out: View, body: str, *, result: str = "%r"
    ) -> None:
        """A `generic` over arrays of one axis, which is shared among threads."""
        ends = self.part(out.shape[0])
        parts = [self.rows(view, (1,), *ends) for view in (*ins, out)]
        read = [(part, "e") for part in parts[:-1]]
        self.generic("e", read, (parts[-1], "e"), body, result=result)

    def rows(self, view: View, strides: Shape, low: str, high: str) -> View:
        """The indices of axis 0 from `low` to below `high`."""
        size, name = self.fresh(), self.fresh("s")
        self.lines.append(f"{size} = arith.subi {high}, {low} : index")
        others = view.shape[1:]
        extents = "".join(f"{extent}x" for extent in others)
        steps = ", ".join(map(str, strides))
        type_ = f"memref<?x{extents}{view.element}, strided<[{steps}], offset: ?>>"
        first, sizes = (", ".join([at, *more]) for at, more in (
            (low, ["0"] * len(others)), (size, [str(extent) for extent in others])
        ))  # fmt: skip
        ones = ", ".join(["1"] * len(view.shape))
        self.lines.append(
            f"{name} = memref.subview {view.name}[{first}] [{sizes}] [{ones}] : {view.type} "
            f"to {type_}"
        )
        return View(name, view.element, view.shape, type_)

    def copy(self, dims: str, source: tuple[View, str], target: tuple[View, str]) -> None:
        """A `generic` that moves elements."""
        self.generic(dims, [source], target, "", result="%i0")

    def text(self) -> str:
        """The function."""
        arguments = ", ".join(
            f"{view.name}: {view.type} {{llvm.noalias}}" for _, view in self.arguments
        )
        if self.shared:
            arguments = f"{arguments}, %part: index, %parts: index"
        lines = [*_NEXT, *self.lines] if self.shared else self.lines
        body = "\n".join(f"    {line}" for line in lines)
        head = f"  func.func @{self.name}({arguments}) attributes {{{_PRIVATE}}} {{"
        return f"{head}\n{body}\n    return\n  }}"


class Program:
    """The kernels in the order of their calls, their constants and their buffers."""

    def __init__(self) -> None:
        self._kernels: list[Kernel] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._buffers: list[Buffer] = []
        self.arguments: list[Memory] = []
        self.arena_bytes = 0

    def argument(self, name: str, size: int) -> Memory:
        """An argument of the entry, in the order of these calls."""
        memory = Memory(size, argument=f"%{name}")
        self.arguments.append(memory)
        return memory

    def allocate(self, size: int, first: int, last: int) -> Memory:
        """Memory in the arena for the steps `first` to `last`."""
        buffer = Buffer(size, first, last)
        self._buffers.append(buffer)
        return Memory(size, buffer=buffer)

    def constant(self, values: NDArray[Any]) -> Memory:
        """A constant; equal ones are stored once."""
        values = np.ascontiguousarray(values)
        key = (values.dtype.str, values.shape, values.tobytes())
        name = self._constants.setdefault(key, f"constant{len(self._constants)}")
        return Memory(values.nbytes, constant=name)

    def kernel(self, label: str, step: int, before: Kernel | None = None) -> Kernel:
        """A new kernel, called after the others or before that one.

        `label` is the model's name for what it does.
        """
        readable = re.sub(r"\W+", "_", label, flags=re.ASCII).strip("_")
        kernel = Kernel(self, f"k{len(self._kernels)}_{readable}"[:80], step)
        place = len(self._kernels) if before is None else self._kernels.index(before)
        self._kernels.insert(place, kernel)
        return kernel

    def module(self, context: ir.Context, entry: str = ENTRY) -> ir.Module:
        """Place the buffers and build the module, all of it private but the entry."""
        self.arena_bytes = max(place(self._buffers), ALIGNMENT)
        declared = [
            f'  memref.global "private" constant @{name} : '
            f"{self._constant_type(key)} = dense<0> {{alignment = {ALIGNMENT} : i64}}"
            for key, name in self._constants.items()
        ]
        kernels = [kernel.text() for kernel in self._kernels]
        text = "\n".join(["module {", *declared, *kernels, self._entry(entry), "}"])
        with context, ir.Location.unknown():
            module = ir.Module.parse(text)
            by_name = {name: key for key, name in self._constants.items()}
            for operation in module.body.operations:
                if operation.operation.name == "memref.global":
                    key = by_name[ir.StringAttr(operation.attributes["sym_name"]).value]
                    dtype, shape, data = key
                    values = np.frombuffer(data, dtype).reshape(shape)
                    operation.attributes["initial_value"] = ir.DenseElementsAttr.get(values)
        return module

    @staticmethod
    def _constant_type(key: tuple[str, tuple[int, ...], bytes]) -> str:
        return memref(f"i{8 * np.dtype(key[0]).itemsize}", key[1])

    def _entry(self, entry: str) -> str:
        arena = memref("i8", [self.arena_bytes])
        arguments = ", ".join(
            f"{memory.argument}: {memref('i8', [memory.size])}" for memory in self.arguments
        )
        body = "\n".join(f"    {line}" for line in [*PHASES, *self._calls()])
        head = f"  func.func @{entry}(%arena: {arena}, {arguments}, {MEMBER}) {{"
        return f"{head}\n{body}\n    return\n  }}"

    def _calls(self) -> list[str]:
        """Lines that call every kernel, on `%arena` and the arguments."""
        lines: list[str] = []
        alone: list[str] = []
        for number, kernel in enumerate(self._kernels):
            call = self._call(number, kernel, lines)
            if not kernel.shared:
                alone.append(call)
                continue
            lines += [*_phase(alone, "%unit"), *_phase([call], "%threads")]
            alone = []
        return [*lines, *_phase(alone, "%unit")]

    def _call(self, number: int, kernel: Kernel, lines: list[str]) -> str:
        """The call of a kernel; `lines` get those that make its arguments."""
        constants = {name: key for key, name in self._constants.items()}
        names: list[str] = []
        for index, (memory, view) in enumerate(kernel.arguments):
            name = f"%a{number}_{index}"
            names.append(name)
            if memory.constant is not None:
                key = constants[memory.constant]
                lines.append(self._constant_view(name, memory.constant, key, view))
                continue
            base, offset = memory.argument, 0
            if memory.buffer is not None:
                base, offset = "%arena", memory.buffer.offset
            size = self.arena_bytes if memory.buffer is not None else memory.size
            lines.append(f"{name}_at = arith.constant {offset} : index")
            lines.append(
                f"{name} = memref.view {base}[{name}_at][] : {memref('i8', [size])} to {view.type}"
            )
        types = [view.type for _, view in kernel.arguments]
        if kernel.shared:
            names += ["%own", "%threads"]
            types += ["index", "index"]
        return f"func.call @{kernel.name}({', '.join(names)}) : ({', '.join(types)}) -> ()"

    def _constant_view(
        self, name: str, symbol: str, key: tuple[str, tuple[int, ...], bytes], view: View
    ) -> str:
        """Read a constant, under the shape that the kernel wants."""
        type_ = self._constant_type(key)
        if type_ == view.type:
            return f"{name} = memref.get_global @{symbol} : {type_}"
        sizes = ", ".join(map(str, view.shape))
        steps = ", ".join(map(str, row_major(view.shape)))
        return (
            f"{name}_as = memref.get_global @{symbol} : {type_}\n    "
            f"{name} = memref.reinterpret_cast {name}_as to offset: [0], sizes: [{sizes}], "
            f"strides: [{steps}] : {type_} to {view.type}"
        )
