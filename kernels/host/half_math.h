// Functions of one __half, or __nv_bfloat16, or its pair, and atomic additions. Included by cuda_fp16.h and
// cuda_bf16.h, once each: see half_type.h. Correctly rounded from double, where a GPU has fewer bits for some
// (htanh_approx, hsin, hcos).

#define NORMPROOF_FUNCTION(name, expression)                               \
  inline NORMPROOF_HALF h##name(NORMPROOF_HALF argument) {                 \
    const double a = normproof::host::to_double(argument);                 \
    return normproof::host::NORMPROOF_HALF_NAMED(round_to_, )(expression); \
  }                                                                        \
  inline NORMPROOF_HALF2 h2##name(NORMPROOF_HALF2 a) { return {h##name(a.x), h##name(a.y)}; }
NORMPROOF_FUNCTION(ceil, std::ceil(a))
NORMPROOF_FUNCTION(floor, std::floor(a))
NORMPROOF_FUNCTION(trunc, std::trunc(a))
NORMPROOF_FUNCTION(rint, std::nearbyint(a))
NORMPROOF_FUNCTION(cos, std::cos(a))
NORMPROOF_FUNCTION(sin, std::sin(a))
NORMPROOF_FUNCTION(exp, std::exp(a))
NORMPROOF_FUNCTION(exp2, std::exp2(a))
NORMPROOF_FUNCTION(exp10, std::pow(10.0, a))
NORMPROOF_FUNCTION(log, std::log(a))
NORMPROOF_FUNCTION(log2, std::log2(a))
NORMPROOF_FUNCTION(log10, std::log10(a))
NORMPROOF_FUNCTION(sqrt, std::sqrt(a))
NORMPROOF_FUNCTION(rsqrt, a == 0 ? std::copysign(HUGE_VAL, a) : 1.0 / std::sqrt(a))
NORMPROOF_FUNCTION(rcp, 1.0 / a)
NORMPROOF_FUNCTION(tanh, std::tanh(a))
NORMPROOF_FUNCTION(tanh_approx, std::tanh(a))
#undef NORMPROOF_FUNCTION

// Blocks run one after the other, but several OS threads may launch.
inline NORMPROOF_HALF atomicAdd(NORMPROOF_HALF* address, NORMPROOF_HALF value) {
  std::atomic_ref<unsigned short> target(address->x);
  unsigned short old = target.load();
  while (!target.compare_exchange_weak(old, __hadd(NORMPROOF_HALF_RAW{old}, value).x)) {
  }
  return NORMPROOF_HALF_RAW{old};
}
// Each half by itself, as CUDA says.
inline NORMPROOF_HALF2 atomicAdd(NORMPROOF_HALF2* address, NORMPROOF_HALF2 value) {
  return {atomicAdd(&address->x, value.x), atomicAdd(&address->y, value.y)};
}
