"""The C that every library has, whatever it runs: the choice of a level, what its threads share.

A library declares `struct code`, what a level has, before `common`.
"""

from collections.abc import Sequence

from bitwright.codegen.cpu.level import CpuLevel

ABI_VERSION = 4


def quoted(text: str) -> str:
    """A C string literal: printable ASCII as it is, every other UTF-8 byte in octal."""
    return '"' + "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    ) + '"'  # fmt: skip


def common(model: str, kind: str, levels: Sequence[CpuLevel], codes: Sequence[str]) -> str:
    """The functions of `DECLARED`; `codes` are initialisers of `struct code`, one a level."""
    rows = [
        f"    {{{quoted(level.name)}, missing{number}, {{{code}}}}},"
        for number, (level, code) in enumerate(zip(levels, codes, strict=True))
    ]
    return _COMMON.format(
        model=quoted(model), kind=quoted(kind),
        missing="\n".join(_missing(number, level) for number, level in enumerate(levels)),
        init="__builtin_cpu_init();" if levels[0].machine == "x86_64" else "",
        levels="\n".join(rows),
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


BEGIN = f"""\
#ifndef BITWRIGHT_MODEL_H
#define BITWRIGHT_MODEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define BW_ABI_VERSION {ABI_VERSION}"""

DECLARED = """\
int bw_abi_version(void);
const char *bw_kind(void);                /* what it is: a network, a language model */
const char *bw_model_name(void);
const char *bw_cpu(void);                 /* the processor level whose code runs here */
const char *bw_missing_cpu_feature(void); /* NULL where this processor can run it */

#ifdef __cplusplus
}
#endif

#endif
"""

INCLUDES = """\
#define _GNU_SOURCE
#include "model.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* One of several threads that do one job together. A job is a row of phases, and a phase has parts;
 * each is done by the thread that claims it first. `next` ends the part that this thread has, and
 * returns another one of the phase, or `parts` when all of them are done. */
struct member {
    int64_t (*next)(struct member *, int64_t parts);
    int64_t thread;
    unsigned phase; /* that it is in, counted through all jobs */
    bool has_part;
};
"""

_COMMON = """\
int bw_abi_version(void) {{ return BW_ABI_VERSION; }}
const char *bw_kind(void) {{ return {kind}; }}
const char *bw_model_name(void) {{ return {model}; }}

{missing}

struct level {{
    const char *name;
    const char *(*missing)(void);
    struct code code;
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
"""
