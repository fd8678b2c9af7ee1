"""CPU code: a quantized module to a shared library with a C header, through MLIR and LLVM.

`library.build_library` is the way in. `lower` picks a kernel for each operation out of
`elementwise`, `pooling`, `products` and `movement`; `program` collects kernels, constants and
buffers as a module of `linalg` on `memref`; `arena` places the buffers; `compile` takes the module
down to an object; `interface` writes the C around it.
"""
