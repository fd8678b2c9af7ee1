// Stands in for zlib.h where it is not installed: valid zlib streams of stored blocks.
#pragma once

#include <cstdint>
#include <cstring>

using Bytef = unsigned char;
using uLong = unsigned long;
using uLongf = unsigned long;
constexpr int Z_OK = 0;

inline uLong compressBound(uLong size) { return size + 5 * (size / 65535 + 1) + 6; }

inline int compress2(Bytef* target, uLongf* target_size, const Bytef* source, uLong size, int) {
  Bytef* out = target;
  *out++ = 0x78;
  *out++ = 0x01;
  uLong done = 0;
  do {
    const uLong part = size - done < 65535 ? size - done : 65535;
    *out++ = done + part == size;
    *out++ = Bytef(part);
    *out++ = Bytef(part >> 8);
    *out++ = Bytef(~part);
    *out++ = Bytef(~part >> 8);
    memcpy(out, source + done, part);
    out += part;
    done += part;
  } while (done < size);
  uint32_t low = 1;
  uint32_t high = 0;
  for (uLong i = 0; i < size; ++i) {
    low = (low + source[i]) % 65521;
    high = (high + low) % 65521;
  }
  *out++ = Bytef(high >> 8);
  *out++ = Bytef(high);
  *out++ = Bytef(low >> 8);
  *out++ = Bytef(low);
  *target_size = uLong(out - target);
  return Z_OK;
}
