"""Writes da4ml's RTL of a network; `peers.py` starts it in da4ml's own environment.

`python peer_da4ml.py NETWORK.npz FOLDER REQUANTIZE LEVELS`: REQUANTIZE is "quantizer" (da4ml's
own: round, saturate) or "table" (its look-up table of the sum). LEVELS additions are between two
registers. Prints the bits of each output.
"""

import json
import sys
from pathlib import Path

import numpy as np
from da4ml.codegen import RTLModel
from da4ml.trace import FixedVariableArray, HWConfig, comb_trace
from da4ml.types import minimal_kif


def main(network: str, folder: str, requantize: str, levels: str) -> None:
    """Trace, check da4ml's own model of it, write."""
    net = np.load(network)
    weights = [net[f"weights{n}"] for n in range(len(net["shifts"]) + 1)]
    bits, inputs = int(net["bits"]), weights[0].shape[1]
    none = np.zeros(inputs, np.int64)
    first = FixedVariableArray.from_kif(none, none + bits, none, hwconf=HWConfig(1, -1, -1))
    x = first
    for number, matrix in enumerate(weights):
        x = x @ matrix.T.astype(float) + net[f"bias{number}"].astype(float)
        if number < len(net["shifts"]):
            shift, most = int(net["shifts"][number]), (1 << bits) - 1
            if requantize == "table":
                x = x.apply(lambda v, s=shift, t=most: np.clip(np.floor(v / 2.0**s + 0.5), 0, t))
                x = x.quantize(0, bits, 0)
            else:
                x = x.quantize(0, bits + shift, -shift, "SAT", "RND") * 2.0**-shift
    logic = comb_trace(first, x)
    if not np.array_equal(logic.predict(net["x"].astype(float)), net["y"]):
        raise SystemExit("da4ml's model of the network differs from the integer reference")
    RTLModel(logic, "mlp", folder, latency_cutoff=float(levels)).write()
    # The attribute asks for RAM, which is no ROM on every family: synthesis refuses it.
    table = Path(folder, "src", "static", "lookup_table.v")
    lines = table.read_text().splitlines()
    table.write_text("\n".join(line for line in lines if "rom_style" not in line) + "\n")
    print(json.dumps([int(sum(minimal_kif(interval))) for interval in logic.out_qint]))


if __name__ == "__main__":
    main(*sys.argv[1:])
