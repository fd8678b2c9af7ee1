// Stands in for lz4.h where it is not installed: valid LZ4 blocks of literals only.
#pragma once

#include <cstring>

inline int LZ4_compressBound(int size) { return size + size / 255 + 16; }

inline int LZ4_compress_default(const char* source, char* target, int size, int) {
  char* out = target;
  if (size < 15) {
    *out++ = char(size << 4);
  } else {
    *out++ = char(0xf0);
    int rest = size - 15;
    for (; rest >= 255; rest -= 255) *out++ = char(0xff);
    *out++ = char(rest);
  }
  memcpy(out, source, size_t(size));
  return int(out - target) + size;
}
