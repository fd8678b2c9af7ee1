"""The C around the objects of an integer network: the header `model.h`, and its functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch_mlir import ir

from bitwright.codegen.cpu.arena import ALIGNMENT
from bitwright.codegen.cpu.level import CpuLevel
from bitwright.codegen.cpu.program import ENTRY, count
from bitwright.codegen.cpu.shared_c import BEGIN, DECLARED, INCLUDES, common, quoted
from bitwright.codegen.cpu.threads_c import THREADS
from bitwright.ir import graph
from bitwright.ir.graph import NamedValue
from bitwright.ir.types import QuantParams, shape_of

NETWORK = "an integer network"


@dataclass(frozen=True)
class _Tensor:
    name: str
    shape: tuple[int, ...]
    params: QuantParams

    @property
    def comment(self) -> str:
        """What a reader of the header wants to know."""
        params = self.params
        name = self.name.replace("*/", "* /")
        return (
            f'"{name}", int{8 * self.bytes} {list(self.shape)}, row-major, values {params.qmin} to '
            f"{params.qmax}, real = {params.scale!r} * (q - ({params.zero_point}))"
        )

    @property
    def described(self) -> dict[str, Any]:
        """The same as data."""
        params = self.params
        return {
            "name": self.name, "shape": list(self.shape), "bits": 8 * self.bytes,
            "scale": params.scale, "zero_point": params.zero_point,
            "minimum": params.qmin, "maximum": params.qmax,
        }  # fmt: skip

    @property
    def type(self) -> str:
        """Of one element in C."""
        return f"int{8 * self.bytes}_t"

    @property
    def bytes(self) -> int:
        """Of one element: 1, or 4 for an output of sums."""
        return 1 if self.params.bits <= 8 else 4


@dataclass(frozen=True)
class Interface:
    """What the C files say about one model."""

    model: str
    levels: tuple[CpuLevel, ...]
    arena_bytes: int
    inputs: tuple[_Tensor, ...]
    outputs: tuple[_Tensor, ...]

    @property
    def single(self) -> bool:
        """Whether there is a `bw_run`."""
        return len(self.inputs) == 1 and len(self.outputs) == 1


def entry_of(number: int) -> str:
    """The function of the object for the level of this number."""
    return f"{ENTRY}{number}"


def interface(
    module: ir.Module, model: str, levels: tuple[CpuLevel, ...], arena_bytes: int
) -> Interface:
    """Read names, shapes and quantized types from the module."""
    return Interface(
        model, levels, arena_bytes, _tensors(graph.inputs(module)), _tensors(graph.outputs(module))
    )


def _tensors(items: Sequence[NamedValue]) -> tuple[_Tensor, ...]:
    return tuple(_Tensor(item.name, shape_of(item.value), item.params) for item in items)


def header(given: Interface) -> str:
    """`model.h`."""
    lines = [f" *   input  {i}: {t.comment}" for i, t in enumerate(given.inputs)]
    lines += [f" *   output {i}: {t.comment}" for i, t in enumerate(given.outputs)]
    sizes = [
        f"#define BW_{kind}_{i}_SIZE {count(tensor.shape)} /* {list(tensor.shape)} */"
        for kind, tensors in (("INPUT", given.inputs), ("OUTPUT", given.outputs))
        for i, tensor in enumerate(tensors)
    ]
    return _HEADER.format(
        model=given.model.replace("*/", "* /"), cpu=", ".join(level.name for level in given.levels),
        tensors="\n".join(lines), sizes="\n".join(sizes), begin=BEGIN, common=DECLARED,
        arena=given.arena_bytes, alignment=ALIGNMENT,
        inputs=len(given.inputs), outputs=len(given.outputs),
        run=_RUN_DECLARATION.format(out=given.outputs[0].type) if given.single else "",
    )  # fmt: skip


def source(given: Interface) -> str:
    """The functions that `model.h` declares, around the entries of the objects."""
    arguments = [f"work->inputs[{i}]" for i in range(len(given.inputs))]
    arguments += [f"work->outputs[{i}]" for i in range(len(given.outputs))]
    parameters = ["void *"] + ["const int8_t *"] * len(given.inputs)
    parameters += ["int8_t *"] * len(given.outputs)
    parameters += ["struct member *", "int64_t"]
    listed = ", ".join(parameters)
    entries = [entry_of(number) for number in range(len(given.levels))]
    return _SOURCE.format(
        includes=INCLUDES,
        declared="\n".join(f"extern void {entry}({listed});" for entry in entries),
        input_tensors=_array("inputs", given.inputs),
        output_tensors=_array("outputs", given.outputs),
        code=f"struct code {{ void (*run)({listed}); }};",
        common=common(given.model, NETWORK, given.levels, entries),
        call=", ".join(["work->arena", *arguments, "member", "threads"]), threads=THREADS,
        run=_RUN.format(out=given.outputs[0].type) if given.single else "",
    )  # fmt: skip


def example(given: Interface) -> str:
    """A C program that runs the network once."""
    return _EXAMPLE.format(
        fills="\n".join(f"    inputs[{n}] = input{n};" for n in range(len(given.inputs))),
        drains="\n".join(f"    outputs[{n}] = (int8_t *)output{n};"
                         for n in range(len(given.outputs))),
        buffers="\n".join([
            *(f"    static int8_t input{n}[BW_INPUT_{n}_SIZE]; /* your numbers */"
              for n in range(len(given.inputs))),
            *(f"    static {tensor.type} output{n}[BW_OUTPUT_{n}_SIZE];"
              for n, tensor in enumerate(given.outputs)),
        ]),
    )  # fmt: skip


def described(given: Interface) -> dict[str, Any]:
    """What the manifest says about it."""
    return {
        "arena_bytes": given.arena_bytes,
        "inputs": [tensor.described for tensor in given.inputs],
        "outputs": [tensor.described for tensor in given.outputs],
    }


def _array(name: str, tensors: Sequence[_Tensor]) -> str:
    shapes = [
        f"static const int64_t {name}_shape{i}[] = {{{', '.join(map(str, tensor.shape)) or '0'}}};"
        for i, tensor in enumerate(tensors)
    ]
    rows = [
        f"    {{{quoted(t.name)}, {len(t.shape)}, {name}_shape{i}, {count(t.shape)}, {t.bytes}, "
        f"{t.params.scale.hex()}, {t.params.zero_point}, {_c_integer(t.params.qmin)}, "
        f"{t.params.qmax}}},"
        for i, t in enumerate(tensors)
    ]
    count_ = f"enum {{ {name}_count = {len(tensors)} }};"
    table = [f"static const bw_tensor {name}_table[] = {{", *rows, "};"]
    return "\n".join([*shapes, *table, count_])


def _c_integer(value: int) -> str:
    """A C expression; the least int32 has no literal."""
    return str(value) if value > -(1 << 31) else "INT32_MIN"


_RUN_DECLARATION = """
/* One input, one output: the whole inference of one sample. */
int bw_run(const int8_t *in, {out} *out);
"""

_RUN = """
int bw_run(const int8_t *in, {out} *out) {{
    int8_t *const bytes = (int8_t *)out;
    return bw_run_all(&in, &bytes);
}}
"""

_HEADER = """\
/* {model}: an integer network compiled by Bitwright for {cpu}.
 *
{tensors}
 *
 * Tensors hold one sample. Every function that runs the network returns BW_OK or one of the other
 * codes below. Inputs and outputs must not overlap. Nothing is allocated, nothing is kept from one
 * call to the next, and the result depends on the inputs only.
 *
 * Threads: bw_run_with may run in any number of threads at once, each with an arena of its own.
 * bw_run and bw_run_all share one arena inside the library and wait for each other. After
 * bw_set_threads(n) an inference uses n threads, its caller's among them.
 */
{begin}
#define BW_INPUTS {inputs}
#define BW_OUTPUTS {outputs}
{sizes}

enum {{
    BW_OK = 0,
    BW_CPU_TOO_OLD = 1,  /* this processor lacks an instruction: see bw_missing_cpu_feature */
    BW_BAD_ARGUMENT = 2, /* a null pointer, an arena that is not aligned, a number out of range */
    BW_NO_THREADS = 3    /* the system gave fewer threads */
}};

#define BW_ARENA_BYTES {arena}
#define BW_ARENA_ALIGNMENT {alignment}
{run}
/* BW_INPUTS inputs and BW_OUTPUTS outputs, in the order above; int32 outputs are passed as bytes,
 * at addresses that are multiples of 4. */
int bw_run_all(const int8_t *const *inputs, int8_t *const *outputs);

/* The same with the caller's arena: bw_arena_bytes() bytes, aligned to BW_ARENA_ALIGNMENT; what
 * they hold before does not matter. */
int bw_run_with(void *arena, const int8_t *const *inputs, int8_t *const *outputs);
size_t bw_arena_bytes(void);

/* Threads of an inference, 1 to 256; 1 at first. The others are started here and sleep while there
 * is nothing to do. An inference that finds them at work for another one runs in its caller's
 * thread alone. */
int bw_set_threads(int threads);

/* A tensor of integers q; its real numbers are scale * (q - zero_point). */
typedef struct {{
    const char *name;     /* the model's own, UTF-8 */
    int64_t rank;
    const int64_t *shape; /* `rank` extents, row-major */
    int64_t size;         /* elements, of `bytes` bytes each */
    int64_t bytes;
    double scale;
    int32_t zero_point;
    int32_t minimum;      /* least and greatest q */
    int32_t maximum;
}} bw_tensor;

int bw_input_count(void);
int bw_output_count(void);
const bw_tensor *bw_input(int index);  /* NULL outside of 0 .. bw_input_count() - 1 */
const bw_tensor *bw_output(int index);

{common}"""

_SOURCE = """\
{includes}
{declared}

{input_tensors}

{output_tensors}

size_t bw_arena_bytes(void) {{ return BW_ARENA_BYTES; }}
int bw_input_count(void) {{ return inputs_count; }}
int bw_output_count(void) {{ return outputs_count; }}

const bw_tensor *bw_input(int index) {{
    return index >= 0 && index < inputs_count ? &inputs_table[index] : NULL;
}}

const bw_tensor *bw_output(int index) {{
    return index >= 0 && index < outputs_count ? &outputs_table[index] : NULL;
}}

{code}

{common}
struct work {{
    void *arena;
    const int8_t *const *inputs;
    int8_t *const *outputs;
}};

static void do_work(const struct work *work, struct member *member, int64_t threads) {{
    chosen()->code.run({call});
}}

{threads}
int bw_run_with(void *arena, const int8_t *const *inputs, int8_t *const *outputs) {{
    if (bw_missing_cpu_feature() != NULL) return BW_CPU_TOO_OLD;
    if (arena == NULL || (uintptr_t)arena % BW_ARENA_ALIGNMENT != 0) return BW_BAD_ARGUMENT;
    if (inputs == NULL || outputs == NULL) return BW_BAD_ARGUMENT;
    for (int i = 0; i < inputs_count; i++)
        if (inputs[i] == NULL) return BW_BAD_ARGUMENT;
    for (int i = 0; i < outputs_count; i++)
        if (outputs[i] == NULL) return BW_BAD_ARGUMENT;
    run(&(struct work){{arena, inputs, outputs}});
    return BW_OK;
}}

static _Alignas(BW_ARENA_ALIGNMENT) unsigned char shared_arena[BW_ARENA_BYTES];
static atomic_flag shared_arena_in_use = ATOMIC_FLAG_INIT;

int bw_run_all(const int8_t *const *inputs, int8_t *const *outputs) {{
    while (atomic_flag_test_and_set_explicit(&shared_arena_in_use, memory_order_acquire))
        sched_yield();
    int status = bw_run_with(shared_arena, inputs, outputs);
    atomic_flag_clear_explicit(&shared_arena_in_use, memory_order_release);
    return status;
}}
{run}"""

_EXAMPLE = """\
/* One inference. In this folder: cc example.c -I. -L. -lmodel -Wl,-rpath,'$ORIGIN' -o example */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

int main(void) {{
{buffers}
    const int8_t *inputs[BW_INPUTS];
    int8_t *outputs[BW_OUTPUTS];
{fills}
{drains}

    if (bw_missing_cpu_feature() != NULL) {{
        fprintf(stderr, "this processor lacks %s\\n", bw_missing_cpu_feature());
        return EXIT_FAILURE;
    }}
    if (bw_run_all(inputs, outputs) != BW_OK) return EXIT_FAILURE;
    const bw_tensor *out = bw_output(0);
    printf("%s on %s, real values of %s:\\n", bw_model_name(), bw_cpu(), out->name);
    for (int64_t i = 0; i < out->size && i < 10; i++)
        printf("%g\\n", out->scale * (double)(output0[i] - out->zero_point));
    return EXIT_SUCCESS;
}}
"""
