"""`bw.dynamic_linear` for any processor: sums of products of int8, one output after the other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.codegen.cpu.decoder_program import DecoderValues
from bitwright.codegen.cpu.dynamic_rows import Layout, quantized
from bitwright.codegen.cpu.program import Kernel, count
from bitwright.codegen.cpu.vectors import LANES
from bitwright.ir.types import shape_of


def linear(kernel: Kernel, values: DecoderValues, op: Any, weight: NDArray[np.int8]) -> None:
    """Weights stay bytes, each group in whole vectors."""
    outputs, depth = weight.shape
    rows, groups = count(shape_of(op.input)) // depth, shape_of(op.scale)[1]
    length = depth // groups
    padded = -(-length // LANES) * LANES
    made = quantized(kernel, values, op.input, Layout(groups, length, padded))

    def pack() -> NDArray[np.int8]:
        split = weight.reshape(outputs, groups, length)
        return np.pad(split, ((0, 0), (0, 0), (0, padded - length)))

    key = (op.weight.owner.attributes["value"], groups)
    codes = kernel.access(values.stored("bytes", key, pack), "i8", (outputs, groups, padded))
    x = kernel.access(made.codes, "i8", (rows, groups, padded))
    row_scales = kernel.access(made.scales, "f32", (rows,))
    scale = values.view(kernel, op.scale)
    bias = values.view(kernel, op.bias)
    y = values.view(kernel, op.result, (rows, outputs))
    narrow, wide = f"vector<{LANES}xi8>", f"vector<{LANES}xi32>"
    low, high = kernel.part(outputs)
    text = f"""
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %lanes = arith.constant {LANES} : index
    %rows = arith.constant {rows} : index
    %groups = arith.constant {groups} : index
    %padded = arith.constant {padded} : index
    %none = arith.constant dense<0> : {wide}
    %nothing = arith.constant -0.0 : f32
    scf.for %n = {low} to {high} step %one {{
      %added = memref.load {bias.name}[%n] : {bias.type}
      scf.for %r = %zero to %rows step %one {{
        %total = scf.for %g = %zero to %groups step %one iter_args(%sum = %nothing) -> (f32) {{
          %sums = scf.for %k = %zero to %padded step %lanes iter_args(%s = %none) -> ({wide}) {{
            %a8 = vector.load {codes.name}[%n, %g, %k] : {codes.type}, {narrow}
            %b8 = vector.load {x.name}[%r, %g, %k] : {x.type}, {narrow}
            %a = arith.extsi %a8 : {narrow} to {wide}
            %b = arith.extsi %b8 : {narrow} to {wide}
            %ab = arith.muli %a, %b : {wide}
            %next = arith.addi %s, %ab : {wide}
            scf.yield %next : {wide}
          }}
          %exact = vector.reduction <add>, %sums : {wide} into i32
          %real = arith.sitofp %exact : i32 to f32
          %scale = memref.load {scale.name}[%n, %g] : {scale.type}
          %term = arith.mulf %real, %scale : f32
          %more = arith.addf %sum, %term : f32
          scf.yield %more : f32
        }}
        %row_scale = memref.load {row_scales.name}[%r] : {row_scales.type}
        %scaled = arith.mulf %total, %row_scale : f32
        %result = arith.addf %scaled, %added : f32
        memref.store %result, {y.name}[%r, %n] : {y.type}
      }}
    }}
    """
    kernel.lines += [line.strip() for line in text.splitlines() if line.strip()]
