// What HIP sources take from the compiler for AMD's GPUs: __builtin_amdgcn_*. Included
// by the stand-in for hip_runtime.h.
#ifndef NORMPROOF_KERNELS_HOST_AMD_BUILTINS_H
#define NORMPROOF_KERNELS_HOST_AMD_BUILTINS_H

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>

#include "kernels/host/amd_arithmetic.h"
#include "kernels/host/amd_lanes.h"
#include "kernels/host/amd_memory.h"
#include "kernels/host/hip_functions.h"
#include "kernels/host/small_floats.h"

#define NORMPROOF_SITE std::source_location site = std::source_location::current()

namespace normproof::host::internal {
// A number of four bytes as its bits, and back: the compiler takes integers and, of late, floats.
template <class T>
concept OneWord = sizeof(T) == 4 && std::is_trivially_copyable_v<T>;
template <class T, class Compute>
T by_words(T value, const Compute& compute) {
  return std::bit_cast<T>(compute(std::bit_cast<std::uint32_t>(value)));
}
// What a mov_dpp leaves in a lane that is given nothing is not promised.
inline constexpr std::uint32_t kNotPromised = 0xffffffffu;
}  // namespace normproof::host::internal

// --- lanes ---

template <normproof::host::internal::OneWord T>
T __builtin_amdgcn_update_dpp(T old, T value, int control, int row_mask, int bank_mask, bool bound_control,
                              NORMPROOF_SITE) {
  const normproof::host::DppMove move =
      normproof::host::move_by_dpp(std::bit_cast<std::uint32_t>(value),
                                   {static_cast<unsigned>(control), static_cast<unsigned>(row_mask),
                                    static_cast<unsigned>(bank_mask), bound_control},
                                   site);
  return move.given ? std::bit_cast<T>(move.value) : old;
}
template <normproof::host::internal::OneWord T>
T __builtin_amdgcn_mov_dpp(T value, int control, int row_mask, int bank_mask, bool bound_control,
                           NORMPROOF_SITE) {
  return __builtin_amdgcn_update_dpp(std::bit_cast<T>(normproof::host::internal::kNotPromised), value,
                                     control, row_mask, bank_mask, bound_control, site);
}
inline int __builtin_amdgcn_ds_swizzle(int value, int pattern, NORMPROOF_SITE) {
  return static_cast<int>(normproof::host::swizzle_lanes(static_cast<std::uint32_t>(value),
                                                         static_cast<unsigned>(pattern), site));
}
inline int __builtin_amdgcn_ds_bpermute(int address, int value, NORMPROOF_SITE) {
  return static_cast<int>(normproof::host::pull_from_lane(static_cast<std::uint32_t>(address),
                                                          static_cast<std::uint32_t>(value), site));
}
inline int __builtin_amdgcn_ds_permute(int address, int value, NORMPROOF_SITE) {
  return static_cast<int>(normproof::host::push_to_lane(static_cast<std::uint32_t>(address),
                                                        static_cast<std::uint32_t>(value), site));
}
template <normproof::host::internal::OneWord T>
T __builtin_amdgcn_readfirstlane(T value, NORMPROOF_SITE) {
  return normproof::host::internal::by_words(
      value, [&](std::uint32_t bits) { return normproof::host::read_first_lane(bits, site); });
}
template <normproof::host::internal::OneWord T>
T __builtin_amdgcn_readlane(T value, int lane, NORMPROOF_SITE) {
  return normproof::host::internal::by_words(value, [&](std::uint32_t bits) {
    return normproof::host::read_lane(bits, static_cast<unsigned>(lane), site);
  });
}
template <normproof::host::internal::OneWord T>
T __builtin_amdgcn_writelane(T value, int lane, T old) {
  return static_cast<unsigned>(lane) % NORMPROOF_WAVE_LANES == normproof::host::lane_index() ? value : old;
}
inline unsigned long long __builtin_amdgcn_ballot_w64(bool predicate, NORMPROOF_SITE) {
  return __ballot(predicate, site);
}
inline unsigned __builtin_amdgcn_ballot_w32(bool predicate, NORMPROOF_SITE) {
  return static_cast<unsigned>(__ballot(predicate, site));
}
inline unsigned long long __builtin_amdgcn_read_exec(NORMPROOF_SITE) { return __ballot(1, site); }
// How many lanes of the mask lie below the calling one.
inline unsigned __builtin_amdgcn_mbcnt_lo(unsigned mask, unsigned base) {
  const std::uint64_t below = (std::uint64_t{1} << normproof::host::lane_index()) - 1;
  return base + static_cast<unsigned>(std::popcount(mask & static_cast<std::uint32_t>(below)));
}
inline unsigned __builtin_amdgcn_mbcnt_hi(unsigned mask, unsigned base) {
  const std::uint64_t below = (std::uint64_t{1} << normproof::host::lane_index()) - 1;
  return base + static_cast<unsigned>(std::popcount(mask & static_cast<std::uint32_t>(below >> 32)));
}
inline int __builtin_amdgcn_wavefrontsize() { return NORMPROOF_WAVE_LANES; }

// --- barriers, and what only hints or waits for memory, which is in order here ---

inline void __builtin_amdgcn_s_barrier(NORMPROOF_SITE) {
  normproof::host::wait_at_barrier(normproof::host::Collective::kSyncthreads, false, site);
}
inline void __builtin_amdgcn_wave_barrier(NORMPROOF_SITE) {
  normproof::host::sync_lanes(normproof::host::kLanesTogether, site);
}
inline void __builtin_amdgcn_s_waitcnt(int) {}
inline void __builtin_amdgcn_s_sleep(int) {}
inline void __builtin_amdgcn_s_setprio(int) {}
inline void __builtin_amdgcn_sched_barrier(int) {}
inline void __builtin_amdgcn_sched_group_barrier(int, int, int) {}
inline void __builtin_amdgcn_iglp_opt(int) {}
inline void __builtin_amdgcn_fence(unsigned, const char*) {}

// --- arithmetic ---

inline float __builtin_amdgcn_rcpf(float value) { return normproof::host::amd_reciprocal(value); }
inline float __builtin_amdgcn_rsqf(float value) { return normproof::host::amd_inverse_root(value); }
inline float __builtin_amdgcn_sqrtf(float value) { return normproof::host::amd_root(value); }
inline float __builtin_amdgcn_exp2f(float value) { return normproof::host::amd_exp2(value); }
inline float __builtin_amdgcn_logf(float value) { return normproof::host::amd_log2(value); }
inline float __builtin_amdgcn_sinf(float revolutions) { return normproof::host::amd_sine(revolutions); }
inline float __builtin_amdgcn_cosf(float revolutions) { return normproof::host::amd_cosine(revolutions); }
inline float __builtin_amdgcn_fractf(float value) { return value - std::floor(value); }
inline float __builtin_amdgcn_ldexpf(float value, int exponent) { return std::ldexp(value, exponent); }
inline float __builtin_amdgcn_fmed3f(float a, float b, float c) {
  return normproof::host::amd_median(a, b, c);
}
inline unsigned __builtin_amdgcn_perm(unsigned high, unsigned low, unsigned selectors) {
  return normproof::host::amd_permute_bytes(high, low, selectors);
}
inline unsigned __builtin_amdgcn_alignbit(unsigned high, unsigned low, unsigned by) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (by & 31));
}
inline unsigned __builtin_amdgcn_alignbyte(unsigned high, unsigned low, unsigned by) {
  return static_cast<unsigned>((std::uint64_t{high} << 32 | low) >> (8 * (by & 3)));
}
inline unsigned __builtin_amdgcn_ubfe(unsigned value, unsigned offset, unsigned width) {
  return (width & 31) == 0 ? 0 : value >> (offset & 31) & ((1u << (width & 31)) - 1);
}

// --- fp8, of one zero as on gfx942 ---

#define NORMPROOF_AMD_FP8(name, e5m2)                                                                      \
  inline int __builtin_amdgcn_cvt_pk_##name##_f32(float a, float b, int old, bool upper) {                 \
    const std::uint32_t pair = normproof::host::amd_to_fp8(a, e5m2) | normproof::host::amd_to_fp8(b, e5m2) \
                                                                          << 8;                            \
    const auto bits = static_cast<std::uint32_t>(old);                                                     \
    return static_cast<int>(upper ? (bits & 0xffff) | pair << 16 : (bits & 0xffff0000) | pair);            \
  }                                                                                                        \
  inline float __builtin_amdgcn_cvt_f32_##name(int bits, int byte) {                                       \
    return normproof::host::amd_of_fp8(static_cast<std::uint32_t>(bits) >> (8 * (byte & 3)), e5m2);        \
  }                                                                                                        \
  inline normproof::host::AmdFloat2 __builtin_amdgcn_cvt_pk_f32_##name(int bits, bool upper) {             \
    const std::uint32_t pair = static_cast<std::uint32_t>(bits) >> (upper ? 16 : 0);                       \
    return normproof::host::AmdFloat2{normproof::host::amd_of_fp8(pair, e5m2),                             \
                                      normproof::host::amd_of_fp8(pair >> 8, e5m2)};                       \
  }
namespace normproof::host {
typedef float AmdFloat2 __attribute__((vector_size(8)));
}
NORMPROOF_AMD_FP8(fp8, false)
NORMPROOF_AMD_FP8(bf8, true)
#undef NORMPROOF_AMD_FP8

// --- buffers ---

struct __amdgpu_buffer_rsrc_t {
  normproof::host::BufferDescriptor words;
};
inline __amdgpu_buffer_rsrc_t __builtin_amdgcn_make_buffer_rsrc(const void* pointer, short stride, int bytes,
                                                                int flags) {
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return {{static_cast<std::uint32_t>(address),
           static_cast<std::uint32_t>(address >> 32 & 0xffff) |
               static_cast<std::uint32_t>(static_cast<unsigned short>(stride)) << 16,
           static_cast<std::uint32_t>(bytes), static_cast<std::uint32_t>(flags)}};
}
namespace normproof::host {
typedef unsigned AmdWords2 __attribute__((vector_size(8)));
typedef unsigned AmdWords4 __attribute__((vector_size(16)));
}  // namespace normproof::host
#define NORMPROOF_AMD_BUFFER(suffix, Type)                                                               \
  inline Type __builtin_amdgcn_raw_buffer_load_##suffix(__amdgpu_buffer_rsrc_t buffer, int offset,       \
                                                        int scalar, int) {                               \
    Type value;                                                                                          \
    normproof::host::load_from_buffer(buffer.words, static_cast<std::uint32_t>(offset + scalar), &value, \
                                      sizeof value);                                                     \
    return value;                                                                                        \
  }                                                                                                      \
  inline void __builtin_amdgcn_raw_buffer_store_##suffix(Type value, __amdgpu_buffer_rsrc_t buffer,      \
                                                         int offset, int scalar, int) {                  \
    normproof::host::store_to_buffer(buffer.words, static_cast<std::uint32_t>(offset + scalar), &value,  \
                                     sizeof value);                                                      \
  }
NORMPROOF_AMD_BUFFER(b8, unsigned char)
NORMPROOF_AMD_BUFFER(b16, unsigned short)
NORMPROOF_AMD_BUFFER(b32, unsigned)
NORMPROOF_AMD_BUFFER(b64, normproof::host::AmdWords2)
NORMPROOF_AMD_BUFFER(b128, normproof::host::AmdWords4)
#undef NORMPROOF_AMD_BUFFER
#undef NORMPROOF_SITE

#endif
