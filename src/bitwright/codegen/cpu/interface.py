"""The C around the object: the header `model.h`, and the source of its functions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch_mlir import ir

from bitwright.codegen.cpu.arena import ALIGNMENT
from bitwright.codegen.cpu.level import CpuLevel
from bitwright.codegen.cpu.program import ENTRY, count
from bitwright.ir import graph
from bitwright.ir.graph import NamedValue
from bitwright.ir.types import QuantParams, shape_of

ABI_VERSION = 3
LIBRARY = "libmodel.so"
HEADER = "model.h"
EXPORTS = "bw_*"


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
        tensors="\n".join(lines), sizes="\n".join(sizes), abi=ABI_VERSION,
        arena=given.arena_bytes, alignment=ALIGNMENT,
        inputs=len(given.inputs), outputs=len(given.outputs),
        run=_RUN_DECLARATION.format(out=given.outputs[0].type) if given.single else "",
    )  # fmt: skip


def source(given: Interface) -> str:
    """The functions that `model.h` declares, around the entries of the objects."""
    arguments = [f"inputs[{i}]" for i in range(len(given.inputs))]
    arguments += [f"outputs[{i}]" for i in range(len(given.outputs))]
    parameters = ["void *"] + ["const int8_t *"] * len(given.inputs)
    parameters += ["int8_t *"] * len(given.outputs)
    parameters += ["struct team *", "int64_t", "int64_t"]
    numbered = list(enumerate(given.levels))
    machine = given.levels[0].machine
    rows = [f"    {{{_quoted(level.name)}, missing{n}, {entry_of(n)}}}," for n, level in numbered]
    return _SOURCE.format(
        model=_quoted(given.model), parameters=", ".join(parameters),
        declared="\n".join(
            f"extern void {entry_of(n)}({', '.join(parameters)});" for n, _ in numbered
        ),
        missing="\n".join(_missing(n, level) for n, level in numbered),
        init="__builtin_cpu_init();" if machine == "x86_64" else "",
        auxiliary="#include <sys/auxv.h>" if machine == "aarch64" else "",
        levels="\n".join(rows), call=", ".join(["arena", *arguments, "team", "thread", "threads"]),
        input_tensors=_array("inputs", given.inputs),
        output_tensors=_array("outputs", given.outputs), threads=_THREADS,
        run=_RUN.format(out=given.outputs[0].type) if given.single else "",
    )  # fmt: skip


_CAPABILITIES = {"dotprod": "HWCAP_ASIMDDP"}
"""Features of aarch64 by the C library's names."""


def _missing(number: int, level: CpuLevel) -> str:
    """A C function: the first feature of the level that this processor lacks."""

    def supported(feature: str) -> str:
        if level.machine == "aarch64":
            return f"(getauxval(AT_HWCAP) & {_CAPABILITIES[feature]})"
        return f'__builtin_cpu_supports("{feature}")'

    checks = [f'    if (!{supported(name)}) return "{name}";' for name in level.features]
    head = f"static const char *missing{number}(void) {{"
    return "\n".join([head, *checks, "    return NULL;", "}"])


def _array(name: str, tensors: Sequence[_Tensor]) -> str:
    shapes = [
        f"static const int64_t {name}_shape{i}[] = {{{', '.join(map(str, tensor.shape)) or '0'}}};"
        for i, tensor in enumerate(tensors)
    ]
    rows = [
        f"    {{{_quoted(t.name)}, {len(t.shape)}, {name}_shape{i}, {count(t.shape)}, {t.bytes}, "
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


def _quoted(text: str) -> str:
    """A C string literal: printable ASCII as it is, every other UTF-8 byte in octal."""
    return '"' + "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    ) + '"'  # fmt: skip


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

_THREADS = """\
/* The workers of bw_set_threads. One inference has them at a time; another runs alone meanwhile. */
enum { most_threads = 256, spins = 2000 };
static struct {
    pthread_mutex_t lock; /* of `jobs`, for workers that sleep */
    pthread_cond_t more;
    atomic_llong jobs; /* how many were given out */
    atomic_flag busy;
    bool stop;
    pthread_t workers[most_threads];
    int64_t threads;
    void *arena;
    const int8_t *const *inputs;
    int8_t *const *outputs;
    struct team team;
} pool = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .more = PTHREAD_COND_INITIALIZER, .busy = ATOMIC_FLAG_INIT,
    .threads = 1,
};

static void relax(int64_t turn) {
    if (turn % spins == spins - 1) sched_yield();
#if defined(__x86_64__)
    else __builtin_ia32_pause();
#endif
}

/* Until all have arrived as often as this thread has. */
static void team_wait(struct team *team) {
    long long mine = atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel);
    long long all = (mine / team->threads + 1) * team->threads;
    for (int64_t turn = 0; atomic_load_explicit(&team->arrived, memory_order_acquire) < all; turn++)
        relax(turn);
}

static void *work(void *place) {
    int64_t thread = (int64_t)(intptr_t)place;
    for (long long done = 0;; done++) {
        for (int64_t turn = 0; turn < spins; turn++) {
            if (atomic_load_explicit(&pool.jobs, memory_order_acquire) > done) break;
            relax(turn);
        }
        pthread_mutex_lock(&pool.lock);
        while (atomic_load_explicit(&pool.jobs, memory_order_acquire) <= done)
            pthread_cond_wait(&pool.more, &pool.lock);
        bool stop = pool.stop;
        pthread_mutex_unlock(&pool.lock);
        if (stop) return NULL;
        run_part(pool.arena, pool.inputs, pool.outputs, &pool.team, thread, pool.threads);
    }
}

static void give_out(bool stop) {
    pthread_mutex_lock(&pool.lock);
    pool.stop = stop;
    atomic_fetch_add_explicit(&pool.jobs, 1, memory_order_release);
    pthread_cond_broadcast(&pool.more);
    pthread_mutex_unlock(&pool.lock);
}

/* Whether there were workers, and free ones. */
static bool run_together(void *arena, const int8_t *const *inputs, int8_t *const *outputs) {
    if (atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) return false;
    bool together = pool.threads > 1;
    if (together) {
        pool.arena = arena;
        pool.inputs = inputs;
        pool.outputs = outputs;
        give_out(false);
        /* the last kernel ends with a wait, so all are done when the first thread is */
        run_part(arena, inputs, outputs, &pool.team, 0, pool.threads);
    }
    atomic_flag_clear_explicit(&pool.busy, memory_order_release);
    return together;
}

static void stop_workers(void) {
    if (pool.threads > 1) give_out(true);
    for (int64_t i = 1; i < pool.threads; i++) pthread_join(pool.workers[i], NULL);
    pool.threads = 1;
}

int bw_set_threads(int threads) {
    if (threads < 1 || threads > most_threads) return BW_BAD_ARGUMENT;
    while (atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) sched_yield();
    stop_workers();
    pool.stop = false;
    atomic_store(&pool.jobs, 0);
    int64_t made = 1;
    while (made < threads
           && pthread_create(&pool.workers[made], NULL, work, (void *)(intptr_t)made) == 0)
        made++;
    pool.threads = made;
    pool.team.wait = team_wait;
    pool.team.threads = made;
    atomic_store(&pool.team.arrived, 0);
    atomic_flag_clear_explicit(&pool.busy, memory_order_release);
    return made == threads ? BW_OK : BW_NO_THREADS;
}

static __attribute__((destructor)) void end_workers(void) { bw_set_threads(1); }
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
#ifndef BITWRIGHT_MODEL_H
#define BITWRIGHT_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define BW_ABI_VERSION {abi}
#define BW_INPUTS {inputs}
#define BW_OUTPUTS {outputs}
{sizes}

enum {{
    BW_OK = 0,
    BW_CPU_TOO_OLD = 1, /* this processor lacks an instruction: see bw_missing_cpu_feature */
    BW_BAD_ARGUMENT = 2, /* a null pointer, an arena that is not aligned, a number out of range */
    BW_NO_THREADS = 3   /* the system gave fewer threads */
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

int bw_abi_version(void);
const char *bw_model_name(void);
const char *bw_cpu(void);                 /* the processor level whose code runs here */
const char *bw_missing_cpu_feature(void); /* NULL where this processor can run it */

#ifdef __cplusplus
}}
#endif

#endif
"""

_SOURCE = """\
#include "model.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
{auxiliary}

/* Threads that run one inference together; the code calls `wait` between its kernels. */
struct team {{
    void (*wait)(struct team *);
    int64_t threads;
    atomic_llong arrived;
}};

{declared}

{input_tensors}

{output_tensors}

int bw_abi_version(void) {{ return BW_ABI_VERSION; }}
const char *bw_model_name(void) {{ return {model}; }}
size_t bw_arena_bytes(void) {{ return BW_ARENA_BYTES; }}
int bw_input_count(void) {{ return inputs_count; }}
int bw_output_count(void) {{ return outputs_count; }}

const bw_tensor *bw_input(int index) {{
    return index >= 0 && index < inputs_count ? &inputs_table[index] : NULL;
}}

const bw_tensor *bw_output(int index) {{
    return index >= 0 && index < outputs_count ? &outputs_table[index] : NULL;
}}

{missing}

struct level {{
    const char *name;
    const char *(*missing)(void);
    void (*run)({parameters});
}};

/* the highest first */
static const struct level levels[] = {{
{levels}
}};
enum {{ levels_count = sizeof levels / sizeof levels[0] }};

/* The first level that this processor has, else the lowest. */
static const struct level *chosen(void) {{
    static const struct level *_Atomic known;
    const struct level *level = atomic_load_explicit(&known, memory_order_relaxed);
    if (level == NULL) {{
        {init}
        level = levels;
        while (level < levels + levels_count - 1 && level->missing() != NULL) level++;
        atomic_store_explicit(&known, level, memory_order_relaxed);
    }}
    return level;
}}

const char *bw_cpu(void) {{ return chosen()->name; }}
const char *bw_missing_cpu_feature(void) {{ return chosen()->missing(); }}

static void run_part(
    void *arena, const int8_t *const *inputs, int8_t *const *outputs, struct team *team,
    int64_t thread, int64_t threads
) {{
    chosen()->run({call});
}}

{threads}
int bw_run_with(void *arena, const int8_t *const *inputs, int8_t *const *outputs) {{
    const struct level *level = chosen();
    if (level->missing() != NULL) return BW_CPU_TOO_OLD;
    if (arena == NULL || (uintptr_t)arena % BW_ARENA_ALIGNMENT != 0) return BW_BAD_ARGUMENT;
    if (inputs == NULL || outputs == NULL) return BW_BAD_ARGUMENT;
    for (int i = 0; i < inputs_count; i++)
        if (inputs[i] == NULL) return BW_BAD_ARGUMENT;
    for (int i = 0; i < outputs_count; i++)
        if (outputs[i] == NULL) return BW_BAD_ARGUMENT;
    if (!run_together(arena, inputs, outputs)) run_part(arena, inputs, outputs, NULL, 0, 1);
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
