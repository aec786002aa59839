// Stands in for cuRAND in kernels: declarations; the launch of a kernel that calls one fails by its name.
#pragma once

#include <curand.h>

struct curandStateXORWOW {};
struct curandStatePhilox4_32_10 {};
struct curandStateMRG32k3a {};
using curandStateXORWOW_t = curandStateXORWOW;
using curandState_t = curandStateXORWOW;
using curandState = curandStateXORWOW;
using curandStatePhilox4_32_10_t = curandStatePhilox4_32_10;
using curandStateMRG32k3a_t = curandStateMRG32k3a;

NORMPROOF_UNAVAILABLE_IN_KERNELS(void, curand_init)
NORMPROOF_UNAVAILABLE_IN_KERNELS(unsigned int, curand)
NORMPROOF_UNAVAILABLE_IN_KERNELS(uint4, curand4)
NORMPROOF_UNAVAILABLE_IN_KERNELS(float, curand_uniform)
NORMPROOF_UNAVAILABLE_IN_KERNELS(float2, curand_uniform2)
NORMPROOF_UNAVAILABLE_IN_KERNELS(float4, curand_uniform4)
NORMPROOF_UNAVAILABLE_IN_KERNELS(double, curand_uniform_double)
NORMPROOF_UNAVAILABLE_IN_KERNELS(float, curand_normal)
NORMPROOF_UNAVAILABLE_IN_KERNELS(float2, curand_normal2)
NORMPROOF_UNAVAILABLE_IN_KERNELS(float4, curand_normal4)
NORMPROOF_UNAVAILABLE_IN_KERNELS(double, curand_normal_double)
NORMPROOF_UNAVAILABLE_IN_KERNELS(void, skipahead)
