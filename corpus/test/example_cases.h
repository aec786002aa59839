// Small valid cases that the tests of this folder start from.
#pragma once

#include <string>

#include "corpus/case.h"

namespace normproof {

// Data of `count` elements whose bits count up from `first`.
inline TensorData counting_data(DType dtype, std::int64_t count, std::uint32_t first = 0x3f) {
  TensorData data;
  data.bytes.resize(static_cast<std::size_t>(count) * size_of(dtype));
  for (std::int64_t i = 0; i < count; ++i)
    store_bits(data.bytes, dtype, i, first + static_cast<std::uint32_t>(i));
  return data;
}

// Two rows of three elements, with everything that the operation needs.
inline Case example_case(Operation operation = Operation::rms_norm, DType dtype = DType::bf16) {
  Case test_case;
  test_case.name = "example";
  test_case.operation = operation;
  test_case.dtype = dtype;
  test_case.weight_dtype = dtype;
  test_case.shape = {2, 3};
  test_case[Role::input].data = counting_data(dtype, 6);
  test_case[Role::weight].data = counting_data(dtype, 3);
  if (has(operation, Role::residual)) test_case[Role::residual].data = counting_data(dtype, 6);
  if (quantizes(operation)) {
    test_case.quantized_dtype = DType::fp8_e4m3fn;
    if (has(operation, Parameter::scale)) test_case.bits_of(Parameter::scale) = 0x3cf5c28f;
  }
  return test_case;
}

}  // namespace normproof
