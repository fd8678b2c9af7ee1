"""The module of kernels down to an object file, by upstream passes and LLVM.

The LLVM that comes with MLIR makes code for its own architecture only. For another one the module
goes as text to the LLVM of the cross-compiler.
"""

from pathlib import Path

from torch_mlir import ir
from torch_mlir.dialects import llvm
from torch_mlir.execution_engine import ExecutionEngine
from torch_mlir.passmanager import PassManager  # pyright: ignore[reportAttributeAccessIssue]

from bitwright.codegen.cpu.compilers import call, find_cross_compiler
from bitwright.codegen.cpu.level import CpuLevel
from bitwright.codegen.cpu.program import ENTRY

PIPELINE = (
    "convert-linalg-to-loops",
    "expand-strided-metadata",
    "lower-affine",
    "convert-scf-to-cf",
    "convert-vector-to-llvm",
    "convert-math-to-llvm",
    "convert-math-to-libm",
    "finalize-memref-to-llvm",
    "convert-func-to-llvm{use-bare-ptr-memref-call-conv=1}",
    "convert-arith-to-llvm",
    "convert-index-to-llvm",
    "convert-cf-to-llvm",
    "canonicalize",
    "cse",
    "reconcile-unrealized-casts",
)

_OPTIMISATION = 3


def write_object(module: ir.Module, level: CpuLevel, path: Path, entry: str = ENTRY) -> None:
    """Compile `module` (changed on the way) for `level` to a position-independent object.

    The bytes depend on the module and the level only.

    Raises:
        MissingCompilerError: a level of another architecture, and no cross-compiler.
        CompileError: the cross-compiler failed; the folder of `path` is kept.
    """
    if level.is_foreign:
        _lower_to_llvm(module, level)
        text = path.with_suffix(".ll")
        # the stubs lag behind
        translated = llvm.translate_module_to_llvmir(module.operation)  # pyright: ignore
        text.write_text(translated, encoding="utf-8")
        options = (f"-O{_OPTIMISATION}", "-fPIC", "-Wno-override-module", "-c")
        call([*find_cross_compiler(), *options, text.name, "-o", path.name], path.parent)
        return
    engine = compiled(module, level, entry)
    engine.dump_to_object_file(str(path))


def compiled(module: ir.Module, level: CpuLevel, entry: str = ENTRY) -> ExecutionEngine:
    """The machine code of `module` (changed on the way) in this process."""
    with module.context, ir.Location.unknown():
        _lower_to_llvm(module, level)
        engine = ExecutionEngine(  # the stubs lag behind
            module,
            opt_level=_OPTIMISATION,
            enable_object_dump=True,  # pyright: ignore[reportCallIssue]
            enable_pic=True,  # pyright: ignore[reportCallIssue]
        )
        engine.raw_lookup(entry)  # makes the engine compile
    return engine


def _lower_to_llvm(module: ir.Module, level: CpuLevel) -> None:
    with module.context, ir.Location.unknown():
        PassManager.parse(f"builtin.module({','.join(PIPELINE)})").run(module.operation)
        attributes = ir.Attribute.parse(
            f'["noinline", ["target-cpu", "{level.llvm_cpu}"], '
            f'["target-features", "{level.llvm_features}"], '
            f'["prefer-vector-width", "{level.vector_bits}"]]'
        )
        for operation in module.body.operations:
            if operation.operation.name == "llvm.func" and operation.regions[0].blocks:
                operation.attributes["passthrough"] = attributes
