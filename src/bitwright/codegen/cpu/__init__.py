"""CPU code: a quantized module to a shared library with a C header, through MLIR and LLVM.

`library.build_library` is the way in. `lower` picks a kernel for each operation out of `products`,
`elementwise`, `pooling` and `movement`; `values` knows where each tensor lives, `arena` places the
buffers, `program` collects all of it as a module of `linalg` on `memref`; `objects` takes that
down to an object for one `level` of processors; `interface` writes the C around it.
"""
