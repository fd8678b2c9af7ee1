"""The threads of a library by themselves: every part of every phase is done once, in order."""

import subprocess
from pathlib import Path

import pytest

from bitwright.codegen.cpu.shared_c import INCLUDES
from bitwright.codegen.cpu.threads_c import THREADS

MODEL = """
#include <stdint.h>
#include <stddef.h>
int bw_set_threads(int threads);
enum { BW_OK, BW_BAD_ARGUMENT = 2, BW_NO_THREADS };
"""

WORK = """
#include <stdio.h>
#include <stdlib.h>
enum { phases = 40 };
struct work { int *done; }; /* [phases][threads]: how often each part was done */

/* Phases of one part are every third; each phase looks whether the one before is complete. */
static void do_work(const struct work *work, struct member *member, int64_t threads) {
    for (int64_t phase = 0; phase < phases; phase++) {
        int64_t parts = phase % 3 == 0 ? 1 : threads;
        int64_t part = member == NULL ? 0 : member->next(member, parts);
        while (part < parts) {
            int *own = work->done + phase * threads;
            if (phase > 0)
                for (int64_t i = 0; i < ((phase - 1) % 3 == 0 ? 1 : threads); i++)
                    if (own[i - threads] != 1) abort();
            own[part]++;
            part = member == NULL ? parts : member->next(member, parts);
        }
    }
}
"""

MAIN = """
static void check(int64_t threads, int jobs) {
    int done[phases * 16];
    for (int job = 0; job < jobs; job++) {
        for (int64_t i = 0; i < phases * threads; i++) done[i] = 0;
        run(&(struct work){done});
        for (int64_t i = 0; i < phases * threads; i++)
            if (done[i] != ((i / threads) % 3 != 0 || i % threads == 0)) abort();
    }
}

int main(void) {
    check(1, 10);
    for (int threads = 1; threads <= 16; threads += threads > 3 ? 4 : 1) {
        if (bw_set_threads(threads) != BW_OK) return 1;
        check(threads, 300);
    }
    if (bw_set_threads(1) != BW_OK) return 2;
    /* counters begin anew at 0 */
    atomic_store(&pool.phases.value, 0u - 1000);
    atomic_store(&pool.leavings.value, 0u - 50);
    if (bw_set_threads(3) != BW_OK) return 3;
    check(3, 300);
    if (atomic_load(&pool.phases.value) > 1000 * phases) return 4;
    if (bw_set_threads(0) != BW_BAD_ARGUMENT || bw_set_threads(257) != BW_BAD_ARGUMENT) return 5;
    return 0;
}
"""


@pytest.mark.parametrize("spin", ["100000", "0"])
def test_every_part_is_done_once(tmp_path: Path, spin: str) -> None:
    """Also where no thread spins, so that all waiting is asleep."""
    (tmp_path / "model.h").write_text(MODEL)
    threads = THREADS.replace("longest_spin = 100000", f"longest_spin = {spin}")
    assert f"longest_spin = {spin}" in threads
    (tmp_path / "main.c").write_text(INCLUDES + WORK + threads + MAIN)
    subprocess.run(
        ["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread",
         "main.c", "-o", "main"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    subprocess.run([tmp_path / "main"], check=True, timeout=120)
