"""Writes NNgen's RTL of a network, and its test bench; `peers.py` starts it in NNgen's environment.

`python peer_nngen.py mlp|conv FOLDER PARALLELISM` writes `dut.v`, `test.v` (an AXI memory, two
inferences, then a check of all results) and `vectors.npz`: the input, the weights, what NNgen's
own model gives, and the shift. Layers are int8, without bias and scale: NNgen's smallest form.
"""

import math
import os
import sys

import nngen as ng
import numpy as np
from veriloggen import Delay, Module, Not, Seq, Systask, simulation
from veriloggen import thread as vthread
from veriloggen.types import axi

ACTIVATION_BITS = 8
AXI_BITS = 32
CHUNK = 64
SHIFT = 9
MLP = (16, 64, 32, 32, 5)


def network(kind, parallelism, rng):
    """(placeholder, its value, output, weights)"""
    weights = []

    def weight(shape):
        made = ng.variable(ng.int8, shape=shape, name=f"weights{len(weights)}")
        made.set_value(rng.integers(-127, 128, shape))
        weights.append(made)
        return made

    options = {"sum_dtype": ng.int32, "act_func": ng.relu}
    attributes = {"par_ich": parallelism, "par_och": parallelism, "cshamt_out": SHIFT}
    if kind == "conv":
        x = ng.placeholder(ng.int8, shape=(1, 8, 8, 8), name="x")
        y = ng.conv2d(x, weight((16, 3, 3, 8)), strides=(1, 1, 1, 1), name="y", **options)
        y.attribute(**attributes)
    else:
        y = x = ng.placeholder(ng.int8, shape=(1, MLP[0]), name="x")
        for number, size in enumerate(MLP[1:], 1):
            last = number == len(MLP) - 1
            name = "y" if last else f"layer{number}"
            own = {**options, "act_func": None} if last else options
            y = ng.matmul(y, weight((size, MLP[number - 1])), transposed_b=True, name=name, **own)
            y.attribute(**attributes)
    return x, rng.integers(-100, 101, x.shape), y, weights


def bench(target, memory_image, address, y, check_address):
    """The test bench as a Veriloggen module."""
    m = Module("test")
    _parameters, ports = m.copy_params(target), m.copy_sim_ports(target)
    clk, resetn = ports["CLK"], ports["RESETN"]
    rst = m.Wire("RST")
    rst.assign(Not(resetn))
    memory = axi.AxiMemoryModel(
        m, "memory", clk, rst, datawidth=AXI_BITS, memimg=memory_image,
        memimg_name="memory.hex", memimg_datawidth=32,
    )  # fmt: skip
    memory.connect(ports, "maxi")
    registers = vthread.AXIMLite(m, "registers", clk, rst, noio=True)
    registers.connect(ports, "saxi")
    time = m.Reg("time_counter", 32, initval=0)
    Seq(m, "seq", clk, rst)(time.inc())
    channels = y.shape[-1]
    pixels, stride = int(np.prod(y.shape)) // channels, y.aligned_shape[-1]

    # This function becomes hardware: plain statements only.
    def control():
        for _ in range(100):
            pass
        ng.sim.set_global_addrs(registers, address)
        for _ in range(2):
            begin = time.value
            ng.sim.start(registers)
            ng.sim.wait(registers)
            end = time.value
            print("cycles %d" % (end - begin))  # noqa: UP031  (becomes $display)
        wrong = 0
        for pixel in range(pixels):
            for channel in range(channels):
                got = memory.read_word(pixel * stride + channel, y.addr, ACTIVATION_BITS)
                want = memory.read_word(pixel * stride + channel, check_address, ACTIVATION_BITS)
                if vthread.verilog.NotEql(got, want):
                    wrong += 1
        print("wrong %d" % wrong)  # noqa: UP031
        vthread.finish()

    vthread.Thread(m, "control", clk, rst, control).start()
    m.Instance(target, "uut", params=m.connect_params(target), ports=m.connect_ports(target))
    simulation.setup_clock(m, clk, hperiod=5)
    init = simulation.setup_reset(m, resetn, m.make_reset(), period=100, polarity="low")
    init.add(Delay(10_000_000), Systask("finish"))
    return m


def main(kind, folder, parallelism):
    """Build, evaluate in software, write."""
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    x, value, y, weights = network(kind, int(parallelism), np.random.default_rng(3))
    expected = ng.eval([y], x=value)[0]
    target = ng.to_veriloggen([y], "dut", silent=True, config={"maxi_datawidth": AXI_BITS})
    target.to_verilog("dut.v")
    parameters = ng.export_ndarray([y], CHUNK)

    def aligned(address):
        return math.ceil(address / CHUNK) * CHUNK

    weights_address = aligned(x.addr + x.memory_size)
    check_address = aligned(weights_address + len(parameters))
    work_address = aligned(check_address + y.memory_size)
    image = np.zeros(1 << 16, np.int64)
    group = max(AXI_BITS // ACTIVATION_BITS, int(parallelism))
    axi.set_memory(image, value, 32, ACTIVATION_BITS, x.addr, group)
    axi.set_memory(image, parameters, 32, 8, weights_address)
    axi.set_memory(image, expected, 32, ACTIVATION_BITS, check_address, group)
    bench(target, image, work_address, y, check_address).to_verilog("test.v")
    values = {w.name: w.value for w in weights}
    np.savez("vectors.npz", x=value, y=expected, shift=SHIFT, **values)


if __name__ == "__main__":
    main(*sys.argv[1:])
