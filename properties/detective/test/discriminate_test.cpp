// The inputs of identify: valid for every shape, reproducible, and with the
// inverse RMS known where it must be.
#include "properties/detective/discriminate.h"

#include <gtest/gtest.h>

#include <bit>

namespace normproof {
namespace {

template <typename Function>
void for_every_shape(Function function) {
  for (const Operation operation : all_operations()) {
    for (const DType dtype : kActivationDTypes) {
      for (const std::optional<DType> weight :
           {std::optional<DType>(), std::optional(dtype), std::optional(DType::fp32)}) {
        for (const std::int64_t hidden : {1, 2, 7, 8, 11, 64}) {
          DiscriminatingShape shape{{operation, dtype, weight, {}}, hidden < 8 ? 4 : 8, hidden};
          if (quantizes(operation))
            shape.quantized_dtype = kQuantizedDTypes[static_cast<std::size_t>(hidden % 4)];
          function(shape);
        }
      }
    }
  }
}

TEST(Discriminate, EveryShapeGivesAValidCaseAndTheSameForTheSameSeed) {
  for_every_shape([](const DiscriminatingShape& shape) {
    const Case test_case = discriminating_case(shape, 3);  // throws unless it is valid
    EXPECT_EQ(test_case, discriminating_case(shape, 3));
    if (shape.hidden_size == 64) {
      EXPECT_NE(test_case, discriminating_case(shape, 4));
    }
  });
}

TEST(Discriminate, TheFirstRowHasAMeanSquareOfFour) {
  for_every_shape([](const DiscriminatingShape& shape) {
    if (shape.dtype == DType::fp16) return;  // the others read as fp32 at once
    const Case test_case = discriminating_case(shape, 5);
    const auto value = [&](const TensorData& data, std::int64_t column) {
      const std::uint32_t bits = load_bits(data.bytes, shape.dtype, column);
      return static_cast<double>(std::bit_cast<float>(shape.dtype == DType::bf16 ? bits << 16 : bits));
    };
    double sum = 0;
    for (std::int64_t column = 0; column < shape.hidden_size; ++column) {
      double x = value(test_case[Role::input].data, column);
      if (adds_residual(shape.operation)) x += value(test_case[Role::residual].data, column);
      sum += x * x;
    }
    EXPECT_EQ(sum, 4.0 * static_cast<double>(shape.hidden_size))
        << name_of(shape.operation) << " " << name_of(shape.dtype) << " H " << shape.hidden_size;
  });
}

}  // namespace
}  // namespace normproof
