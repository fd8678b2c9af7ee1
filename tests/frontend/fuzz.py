"""Fuzzing of the importers: damaged model files give one of our errors, soon and in little memory.

    python tests/frontend/fuzz.py --minutes 15 [--formats onnx tflite] [--seed 1]

Every input is a whole file of the format's corpus, changed; which one and how is a function of
format, seed and number, so that a finding comes back with `--formats F --seed S --only NUMBER`. The
inputs run in a worker process with a limit on its address space and on the time of each input. A
finding is whatever is neither success nor a `BitwrightError`: another exception (also one for lack
of memory), a crash, or a worker that had to be stopped. The file is kept and named.

A format is one row of `FORMATS`: a module beside this one with

* `SUFFIX`: of the files that the loader is given;
* `corpus() -> dict[str, bytes]`: small whole files, which load;
* `load(path)`: the importer;
* `mutate(data, random) -> bytes`: changes that know the format's fields;
* `SECONDS`, where an input may take another time than usual.
"""

import argparse
import contextlib
import faulthandler
import importlib
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FORMATS = {"onnx": "fuzz_onnx", "tflite": "fuzz_tflite"}

MEMORY = 1 << 30
"""Bytes of address space for all inputs of a worker, beyond what it has before the first."""
SECONDS = 20
"""Usual limit of one input, on a busy machine; most take milliseconds."""
WORKER_INPUTS = 2000
WORDS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63)


@dataclass
class Tally:
    """What became of the inputs of one format."""

    tried: int = 0
    accepted: int = 0
    refused: int = 0
    findings: list[str] = field(default_factory=list)


def format_module(name: str) -> Any:
    """The module of a row of `FORMATS`, or one by its own name."""
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))
    return importlib.import_module(FORMATS.get(name, name))


def change_bytes(data: bytes, dice: random.Random) -> bytes:
    """A few bytes, bits, words or stretches replaced, removed or doubled, or the end cut off."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4, 16))):
        at = dice.randrange(max(len(changed), 1))
        width = dice.choice((2, 4, 8))
        other, length = dice.randrange(max(len(changed), 1)), dice.choice((1, 4, 8, 32, 200))
        match dice.randrange(12):
            case 0 | 1 | 2:
                changed[at : at + 1] = bytes([dice.randrange(256)])
            case 3 | 4:
                changed[at : at + 1] = bytes([(changed or b"\0")[at] ^ 1 << dice.randrange(8)])
            case 5 | 6:
                word = dice.choice((*WORDS, dice.randrange(1 << 16))) % (1 << 8 * width)
                changed[at : at + width] = word.to_bytes(width, dice.choice(("little", "big")))
            case 7:
                changed[at : at + length] = changed[other : other + length]
            case 8:
                del changed[at : at + length]
            case 9:
                changed[at:at] = changed[other : other + length]
            case 10:
                changed[at:at] = dice.randbytes(length)
            case _:
                del changed[at:]
    return bytes(changed)


def make_input(module: Any, corpus: dict[str, bytes], name: str, seed: int, number: int) -> bytes:
    """Input `number` of a format, always the same."""
    dice = random.Random(f"{name}/{seed}/{number}")
    data = corpus[dice.choice(sorted(corpus))]
    if dice.random() < 0.75:
        data = module.mutate(data, dice)
        if dice.random() < 0.9:
            return data
    return change_bytes(data, dice)


def work(name: str, seed: int, numbers: Sequence[int], folder: Path) -> None:
    """What a worker does: its state and findings are lines of JSON on standard output."""
    from bitwright.errors import BitwrightError

    module = format_module(name)
    corpus: dict[str, bytes] = module.corpus()
    path = folder / f"input{module.SUFFIX}"
    for data in corpus.values():  # also brings in all the libraries
        path.write_bytes(data)
        module.load(path)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        path.write_bytes(make_input(module, corpus, name, seed, number))
        _say(number=number)
        faulthandler.dump_traceback_later(getattr(module, "SECONDS", SECONDS), exit=True)
        try:
            module.load(path)
            _say(number=number, result="accepted")
        except BitwrightError:
            _say(number=number, result="refused")
        except BaseException:
            _say(number=number, result=traceback.format_exc())
        faulthandler.cancel_dump_traceback_later()


def _say(**state: Any) -> None:
    print(json.dumps(state), flush=True)


def try_inputs(
    name: str, seed: int, numbers: range, keep: Path | None = None, until: float = float("inf")
) -> Tally:
    """Run inputs of a format in workers; those that make a finding are written to `keep`.

    Args:
        until: no worker starts after this time (of `time.monotonic`).
    """
    tally = Tally()
    module = format_module(name)
    at = numbers.start
    while at < numbers.stop and time.monotonic() < until:
        end = min(at + WORKER_INPUTS, numbers.stop)
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [sys.executable, __file__, "--work", name, str(seed), str(at), str(end), folder],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if not done.stdout:
            raise RuntimeError(f"the worker of {name} did not start:\n{done.stderr}")
        states = [json.loads(line) for line in done.stdout.splitlines()]
        found = [(state["number"], state["result"]) for state in states if "result" in state]
        at = states[-1]["number"] + 1
        if "result" not in states[-1]:
            found.append((at - 1, f"exit code {done.returncode}\n{done.stderr[-3000:]}"))
        for number, result in found:
            tally.tried += 1
            if result in ("accepted", "refused"):
                setattr(tally, result, getattr(tally, result) + 1)
                continue
            where = f"{name} --seed {seed} --only {number}"
            if keep is not None:
                path = keep / f"{name}-{seed}-{number}{module.SUFFIX}"
                path.write_bytes(make_input(module, module.corpus(), name, seed, number))
                where += f", {path}"
            tally.findings.append(f"{where}\n{result}")
    return tally


def main() -> None:
    """Fuzz for some minutes, or a single input in this process."""
    options = argparse.ArgumentParser(description="Fuzzes the importers.")
    options.add_argument("--minutes", type=float, default=15)
    options.add_argument("--formats", nargs="+", choices=sorted(FORMATS), default=sorted(FORMATS))
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--keep", type=Path, default=Path("fuzz-findings"), help="for findings")
    options.add_argument("--only", type=int, help="one input, with its traceback")
    options.add_argument("--work", nargs=5, help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.work:
        name, seed, start, stop, folder = chosen.work
        work(name, int(seed), range(int(start), int(stop)), Path(folder))
        return
    if chosen.only is not None:
        (name,) = chosen.formats
        module = format_module(name)
        path = Path(tempfile.mkdtemp()) / f"input{module.SUFFIX}"
        path.write_bytes(make_input(module, module.corpus(), name, chosen.seed, chosen.only))
        print(path)
        print(module.load(path))
        return
    chosen.keep.mkdir(exist_ok=True)
    tallies = {name: Tally() for name in chosen.formats}
    end, start = time.monotonic() + 60 * chosen.minutes, 0
    with contextlib.suppress(KeyboardInterrupt):
        while time.monotonic() < end:
            for name, tally in tallies.items():
                numbers = range(start, start + WORKER_INPUTS)
                made = try_inputs(name, chosen.seed, numbers, chosen.keep, end)
                tally.tried += made.tried
                tally.accepted += made.accepted
                tally.refused += made.refused
                tally.findings += made.findings
                for finding in made.findings:
                    print(f"FINDING {finding}", flush=True)
            start += WORKER_INPUTS
    for name, tally in tallies.items():
        print(
            f"{name}: {tally.tried} inputs tried, seed {chosen.seed}: {tally.refused} refused, "
            f"{tally.accepted} accepted, {len(tally.findings)} findings"
        )
    sys.exit(any(tally.findings for tally in tallies.values()))


if __name__ == "__main__":
    main()
