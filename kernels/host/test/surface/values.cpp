// What every function of 16-bit, 8-bit, 6-bit and 4-bit types, and of words, gives for all inputs, or for
// many: one line a function, with a hash of the results. Compiled twice, against the stand-in headers and
// against a CUDA toolkit's own, whose host versions have to print the same: see compare.sh.
#include <cuda_runtime.h>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp4.h>
#include <cuda_fp6.h>
#include <cuda_fp8.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace {

template <class T>
T of_bits(unsigned bits) {
  T value;
  std::memcpy(static_cast<void*>(&value), &bits, sizeof(T));
  return value;
}
template <class T>
std::uint64_t bits_of(T value) {
  static_assert(sizeof(T) <= 8);
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  return bits;
}
// A NaN is a NaN: nobody documents which.
std::uint64_t bits_of(float value) {
  if (value != value) return 0x7fffffffu;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, 4);
  return bits;
}
std::uint64_t bits_of(float2 value) { return bits_of(value.x) << 32 | bits_of(value.y); }

std::uint64_t bits_of(__half value) {
  const std::uint64_t bits = bits_of<__half>(value);
  return (bits & 0x7fff) > 0x7c00 ? 0x7fff : bits;
}
std::uint64_t bits_of(__nv_bfloat16 value) {
  const std::uint64_t bits = bits_of<__nv_bfloat16>(value);
  return (bits & 0x7fff) > 0x7f80 ? 0x7fff : bits;
}

struct Hash {
  std::uint64_t state = 0xcbf29ce484222325u;
  void add(std::uint64_t bits) {
    for (int i = 0; i < 8; ++i) state = (state ^ (bits >> (8 * i) & 0xff)) * 0x100000001b3u;
  }
};
void print(const char* type, const char* name, const Hash& hash) {
  std::printf("%s %s %016llx\n", type, name, static_cast<unsigned long long>(hash.state));
}

// Partners of an operand: specials, neighbours of powers of two, and whatever a linear generator gives.
unsigned partner(unsigned index) {
  constexpr unsigned kSpecial[] = {0x0000, 0x8000, 0x0001, 0x3c00, 0x3f80, 0x7bff,
                                   0x7c00, 0xfc00, 0x7f80, 0x7fff, 0x03ff, 0x0400};
  return index < 12 ? kSpecial[index] : (index * 40503u + 12345u) & 0xffff;
}
// A float that a conversion to 16 bits finds hard: a 16-bit pattern of either type, then bits around a tie.
float hard_float(unsigned bits, int variant) {
  constexpr unsigned kTail[] = {0x0000, 0x7fff, 0x8000, 0x8001, 0x0fff, 0x1000, 0x1001, 0x3000};
  return of_bits<float>(bits << 16 | kTail[variant]);
}

template <class Half, class Half2>
void halves(const char* type) {
#define UNARY(name)                                                                   \
  {                                                                                   \
    Hash hash;                                                                        \
    for (unsigned a = 0; a < 0x10000; ++a) hash.add(bits_of(name(of_bits<Half>(a)))); \
    print(type, #name, hash);                                                         \
  }
#define BINARY(name)                                                                         \
  {                                                                                          \
    Hash hash;                                                                               \
    for (unsigned a = 0; a < 0x10000; ++a) {                                                 \
      for (unsigned i = 0; i < 24; ++i)                                                      \
        hash.add(bits_of(name(of_bits<Half>(a), of_bits<Half>(partner(i + (a % 7) * 24))))); \
    }                                                                                        \
    print(type, #name, hash);                                                                \
  }
#define BINARY2(name)                                                                                   \
  {                                                                                                     \
    Hash hash;                                                                                          \
    for (unsigned a = 0; a < 0x10000; ++a)                                                              \
      hash.add(bits_of(                                                                                 \
          name(of_bits<Half2>(a << 16 | partner(a % 97)), of_bits<Half2>(partner(a % 31) << 16 | a)))); \
    print(type, #name, hash);                                                                           \
  }
  UNARY(__hneg)
  UNARY(__habs)
  UNARY(__hisnan) UNARY(__hisinf) BINARY(__hadd) BINARY(__hsub) BINARY(__hmul) BINARY(__hdiv)
      BINARY(__hadd_rn) BINARY(__hsub_rn) BINARY(__hmul_rn) BINARY(__hadd_sat) BINARY(__hsub_sat)
          BINARY(__hmul_sat) BINARY(__hmax) BINARY(__hmin) BINARY(__hmax_nan) BINARY(__heq) BINARY(__hne)
              BINARY(__hlt) BINARY(__hle) BINARY(__hgt) BINARY(__hge) BINARY(__hequ) BINARY(__hneu)
                  BINARY(__hltu) BINARY(__hleu) BINARY(__hgtu) BINARY(__hgeu) BINARY2(__hadd2)
                      BINARY2(__hsub2) BINARY2(__hmul2) BINARY2(__h2div) BINARY2(__hadd2_sat) BINARY2(__hmax2)
                          BINARY2(__hmin2_nan) BINARY2(__heq2) BINARY2(__hneu2) BINARY2(__hbge2)
                              BINARY2(__hbltu2) BINARY2(__hle2_mask) BINARY2(__hgtu2_mask)
}

#define FROM_FLOAT(type, name)                                               \
  {                                                                          \
    Hash hash;                                                               \
    for (unsigned a = 0; a < 0x10000; ++a) {                                 \
      for (int i = 0; i < 8; ++i) hash.add(bits_of(name(hard_float(a, i)))); \
    }                                                                        \
    print(type, #name, hash);                                                \
  }
#define FROM_INTEGER(type, name, Integer)                                    \
  {                                                                          \
    Hash hash;                                                               \
    for (unsigned a = 0; a < 0x10000; ++a) {                                 \
      const auto wide = static_cast<std::uint64_t>(a) * 0x9e3779b97f4a7c15u; \
      hash.add(bits_of(name(static_cast<Integer>(a - 0x8000))));             \
      hash.add(bits_of(name(static_cast<Integer>(wide >> (a % 61)))));       \
    }                                                                        \
    print(type, #name, hash);                                                \
  }
#define OF_HALF(type, Half, name)                                                     \
  {                                                                                   \
    Hash hash;                                                                        \
    for (unsigned a = 0; a < 0x10000; ++a) hash.add(bits_of(name(of_bits<Half>(a)))); \
    print(type, #name, hash);                                                         \
  }

#define FROM_NUMBERS(type, half, suffix)                       \
  FROM_INTEGER(type, __int2##half##suffix, int)                \
  FROM_INTEGER(type, __uint2##half##suffix, unsigned)          \
  FROM_INTEGER(type, __short2##half##suffix, short)            \
  FROM_INTEGER(type, __ushort2##half##suffix, unsigned short)  \
  FROM_INTEGER(type, __ll2##half##suffix, long long)           \
  FROM_INTEGER(type, __ull2##half##suffix, unsigned long long) \
  FROM_FLOAT(type, __float2##half##suffix)

template <class Float>
void tiny_types(const char* type) {
  Hash hash, back;
  for (unsigned a = 0; a < 0x10000; ++a) {
    hash.add(Float(of_bits<__half>(a)).__x);
    hash.add(Float(of_bits<__nv_bfloat16>(a)).__x);
    for (int i = 0; i < 8; ++i) hash.add(Float(hard_float(a, i)).__x);
    hash.add(Float(static_cast<double>(hard_float(a, 3))).__x);
    hash.add(Float(static_cast<int>(a) - 0x8000).__x);
  }
  for (unsigned a = 0; a < 0x100; ++a) back.add(bits_of(static_cast<float>(of_bits<Float>(a))));
  print(type, "constructors", hash);
  print(type, "float", back);
}

void tiny() {
  for (const auto kind : {__NV_E4M3, __NV_E5M2}) {
    for (const auto saturation : {__NV_NOSAT, __NV_SATFINITE}) {
      Hash hash, back;
      for (unsigned a = 0; a < 0x10000; ++a) {
        for (int i = 0; i < 8; ++i) hash.add(__nv_cvt_float_to_fp8(hard_float(a, i), saturation, kind));
        hash.add(__nv_cvt_halfraw_to_fp8(of_bits<__half_raw>(a), saturation, kind));
        hash.add(__nv_cvt_bfloat16raw_to_fp8(of_bits<__nv_bfloat16_raw>(a), saturation, kind));
        hash.add(__nv_cvt_float2_to_fp8x2(make_float2(hard_float(a, 2), hard_float(a ^ 0x5a5a, 3)),
                                          saturation, kind));
        back.add(bits_of(__nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(a), kind)));
      }
      print("fp8", kind == __NV_E4M3 ? "e4m3" : "e5m2", hash);
      print("fp8", "halfraw2", back);
    }
  }
  const auto narrow = [](auto convert, const char* type, const char* name) {
    Hash hash;
    for (unsigned a = 0; a < 0x10000; ++a) {
      for (int i = 0; i < 8; ++i) {
        for (const auto mode : {cudaRoundNearest}) hash.add(convert(hard_float(a, i), mode));
      }
    }
    print(type, name, hash);
  };
  narrow([](float a, cudaRoundMode mode) { return __nv_cvt_float_to_fp6(a, __NV_E2M3, mode); }, "fp6",
         "e2m3");
  narrow([](float a, cudaRoundMode mode) { return __nv_cvt_float_to_fp6(a, __NV_E3M2, mode); }, "fp6",
         "e3m2");
  narrow([](float a, cudaRoundMode mode) { return __nv_cvt_float_to_fp4(a, __NV_E2M1, mode); }, "fp4",
         "e2m1");
  for (const auto saturation : {__NV_NOSAT, __NV_SATFINITE}) {
    for (const auto mode : {cudaRoundZero, cudaRoundPosInf}) {
      Hash hash;
      for (unsigned a = 0; a < 0x10000; ++a) {
        for (int i = 0; i < 8; ++i) hash.add(__nv_cvt_float_to_e8m0(hard_float(a, i), saturation, mode));
      }
      print("fp8", saturation == __NV_NOSAT ? "e8m0" : "e8m0 saturated", hash);
    }
  }
  tiny_types<__nv_fp8_e4m3>("__nv_fp8_e4m3");
  tiny_types<__nv_fp8_e5m2>("__nv_fp8_e5m2");
  tiny_types<__nv_fp6_e2m3>("__nv_fp6_e2m3");
  tiny_types<__nv_fp6_e3m2>("__nv_fp6_e3m2");
  tiny_types<__nv_fp4_e2m1>("__nv_fp4_e2m1");
}

template <class T>
void layout(const char* name) {
  std::printf("layout %s %zu %zu\n", name, sizeof(T), alignof(T));
}

}  // namespace

int main() {
  halves<__half, __half2>("fp16");
  halves<__nv_bfloat16, __nv_bfloat162>("bf16");
  FROM_NUMBERS("fp16", half, _rn)
  FROM_NUMBERS("fp16", half, _rz)
  FROM_NUMBERS("fp16", half, _rd)
  FROM_NUMBERS("fp16", half, _ru)
  FROM_NUMBERS("bf16", bfloat16, _rn)
  FROM_FLOAT("bf16", __float2bfloat16_rz)
  FROM_FLOAT("bf16", __float2bfloat16_rd)
  FROM_FLOAT("bf16", __float2bfloat16_ru)
  OF_HALF("fp16", __half, __half2float)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162float)
  OF_HALF("fp16", __half, __half2char_rz)
  OF_HALF("fp16", __half, __half2uchar_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162char_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162uchar_rz)
  OF_HALF("fp16", __half, __half2int_rz)
  OF_HALF("fp16", __half, __half2uint_rz)
  OF_HALF("fp16", __half, __half2short_rz)
  OF_HALF("fp16", __half, __half2ushort_rz)
  OF_HALF("fp16", __half, __half2ll_rz)
  OF_HALF("fp16", __half, __half2ull_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162int_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162uint_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162short_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162ushort_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162ll_rz)
  OF_HALF("bf16", __nv_bfloat16, __bfloat162ull_rz)
  tiny();
#define LAYOUT(type) layout<type>(#type);
#define LAYOUTS(type) LAYOUT(type##1) LAYOUT(type##2) LAYOUT(type##3) LAYOUT(type##4)
  LAYOUTS(char)
  LAYOUTS(uchar)
  LAYOUTS(short) LAYOUTS(ushort) LAYOUTS(int) LAYOUTS(uint) LAYOUTS(long) LAYOUTS(ulong) LAYOUTS(longlong)
      LAYOUTS(ulonglong) LAYOUTS(float) LAYOUTS(double) LAYOUT(double4_16a) LAYOUT(double4_32a)
          LAYOUT(longlong4_32a) LAYOUT(ulonglong4_32a) LAYOUT(ulong4_32a) LAYOUT(dim3) LAYOUT(__half)
              LAYOUT(__half2) LAYOUT(__half_raw) LAYOUT(__half2_raw) LAYOUT(__nv_bfloat16)
                  LAYOUT(__nv_bfloat162) LAYOUT(__nv_fp8_e4m3) LAYOUT(__nv_fp8x2_e4m3) LAYOUT(__nv_fp8x4_e4m3)
                      LAYOUT(__nv_fp6x4_e2m3) LAYOUT(__nv_fp4x4_e2m1) return 0;
}
