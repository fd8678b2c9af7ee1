"""The C that every library has, whatever it runs: the choice of a level, a pool of threads.

A library declares `struct code`, what a level has, before `common`, and before `THREADS` the job of
the pool: `struct work` and `run_part(work, team, thread, threads)`, which does one thread's part.
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

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#if defined(__aarch64__)
#include <sys/auxv.h>
#endif

/* Threads that do one job together; the code calls `wait` between its kernels. */
struct team {
    void (*wait)(struct team *);
    int64_t threads;
    atomic_llong arrived;
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

THREADS = """\
/* The workers of bw_set_threads. One job has them at a time; another runs alone meanwhile. */
enum { most_threads = 256, spins = 2000 };
static struct {
    pthread_mutex_t lock; /* of `jobs`, for workers that sleep */
    pthread_cond_t more;
    atomic_llong jobs; /* how many were given out */
    atomic_flag busy;
    bool stop;
    pthread_t workers[most_threads];
    int64_t threads;
    struct work work;
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

static void *wait_for_work(void *place) {
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
        run_part(&pool.work, &pool.team, thread, pool.threads);
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
static bool run_together(const struct work *work) {
    if (atomic_flag_test_and_set_explicit(&pool.busy, memory_order_acquire)) return false;
    bool together = pool.threads > 1;
    if (together) {
        pool.work = *work;
        give_out(false);
        /* the last kernel ends with a wait, so all are done when the first thread is */
        run_part(work, &pool.team, 0, pool.threads);
    }
    atomic_flag_clear_explicit(&pool.busy, memory_order_release);
    return together;
}

static void run(const struct work *work) {
    if (!run_together(work)) run_part(work, NULL, 0, 1);
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
           && pthread_create(&pool.workers[made], NULL, wait_for_work, (void *)(intptr_t)made) == 0)
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
