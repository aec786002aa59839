// One call of qk_norm_rope with its tensors, and its comparison, bit for bit, with a second implementation:
// plain loops over heads.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <sstream>

#include "family_call.h"
#include "test_tensor.h"

namespace normproof::kernels {

struct QkNormRopeCase {
  DType dtype = DType::bf16;
  std::optional<DType> weight;
  DType rotation = DType::fp32;
  bool interleaved = false;
  bool in_place = false;
  std::vector<std::int64_t> sizes = {2, 3, 64};  // the last two are heads and their size
  std::int64_t pairs = 32;
  std::vector<std::int64_t> x_strides, cosine_strides;
  std::int64_t offset = 0;
  float epsilon = 1e-6f;
  unsigned seed = 1;
  int binades = 6;
  int special_one_in = 0;
  Launch launch;

  std::vector<std::int64_t> rotation_sizes() const {
    std::vector<std::int64_t> result(sizes.begin(), sizes.end() - 1);
    result.back() = pairs;
    return result;
  }
  std::string text() const {
    std::ostringstream text;
    text << "dtype " << shown(dtype) << ", weight " << (weight ? shown(*weight) : "none") << ", rotation "
         << shown(rotation) << ", interleaved " << interleaved << ", in place " << in_place << ", offset "
         << offset << ", pairs " << pairs << ", threads " << launch.threads_per_block << ", sizes";
    for (const std::int64_t size : sizes) text << ' ' << size;
    return text.str();
  }
};

struct QkNormRopeTensors {
  explicit QkNormRopeTensors(const QkNormRopeCase& test_case)
      : x(test_case.dtype, test_case.sizes, test_case.x_strides, test_case.offset),
        out(test_case.dtype, test_case.sizes, {}, test_case.offset),
        weight(test_case.weight.value_or(DType::fp32), {test_case.sizes.back()}, {}, test_case.offset),
        cosine(test_case.rotation, test_case.rotation_sizes(), test_case.cosine_strides, test_case.offset),
        sine(test_case.rotation, test_case.rotation_sizes(), test_case.cosine_strides, test_case.offset) {
    unsigned salt = test_case.seed * 16;
    x.fill(Draw(test_case.dtype, salt, test_case.binades, test_case.special_one_in));
    weight.fill(Draw(weight.tensor().dtype, salt + 1, 3, test_case.special_one_in));
    cosine.fill(Draw(test_case.rotation, salt + 2, 4, test_case.special_one_in));
    sine.fill(Draw(test_case.rotation, salt + 3, 4, test_case.special_one_in));
  }
  FamilyCall call(const QkNormRopeCase& test_case) const {
    FamilyCall call{"qk_norm_rope",
                    {{"x", x.tensor()},
                     {"out", result(test_case).tensor()},
                     {"cos", cosine.tensor()},
                     {"sin", sine.tensor()}},
                    {{"epsilon", test_case.epsilon}},
                    test_case.launch};
    if (test_case.weight) call.tensors.push_back({"weight", weight.tensor()});
    if (test_case.interleaved) call.numbers.push_back({"interleaved", 1});
    return call;
  }
  const TestTensor& result(const QkNormRopeCase& test_case) const { return test_case.in_place ? x : out; }

  TestTensor x, out, weight, cosine, sine;
};

inline std::vector<std::uint32_t> qk_norm_rope_reference(const QkNormRopeCase& test_case,
                                                         const QkNormRopeTensors& tensors,
                                                         std::int64_t head) {
  const DType dtype = test_case.dtype;
  const auto x = tensors.x.row(head);
  const std::int64_t token = head / test_case.sizes[test_case.sizes.size() - 2];
  const auto cosine = tensors.cosine.row(token), sine = tensors.sine.row(token);
  const float mean = reference::canonical_sum(dtype, x) / static_cast<float>(x.size());
  const auto r = static_cast<float>(1 / std::sqrt(static_cast<long double>(mean + test_case.epsilon)));
  const auto weight = tensors.weight.row(0);
  std::vector<float> values;
  for (std::size_t j = 0; j < x.size(); ++j) {
    const float factor = test_case.weight ? reference::to_float(*test_case.weight, weight[j]) : 1.0f;
    values.push_back(reference::to_float(dtype, x[j]) * r * factor);
  }
  const auto pairs = static_cast<std::size_t>(test_case.pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    float& first = values[test_case.interleaved ? 2 * i : i];
    float& second = values[test_case.interleaved ? 2 * i + 1 : i + pairs];
    const float c = reference::to_float(test_case.rotation, cosine[i]);
    const float s = reference::to_float(test_case.rotation, sine[i]);
    const float a = first, b = second, ac = a * c, bs = b * s, bc = b * c, as = a * s;
    first = ac - bs;
    second = bc + as;
  }
  std::vector<std::uint32_t> bits;
  for (const float value : values) bits.push_back(reference::round(dtype, value));
  return bits;
}

// That a run of the case has left the reference's bits, and all other bytes as they were. `run` gets tensors
// and their call, and says how it went.
template <class Run>
void expect_qk_norm_rope_bits(const QkNormRopeCase& test_case, const Run& run) {
  QkNormRopeTensors tensors(test_case);
  std::vector<std::vector<std::uint32_t>> wanted;
  for (std::int64_t head = 0; head < tensors.x.rows(); ++head)
    wanted.push_back(qk_norm_rope_reference(test_case, tensors, head));
  const auto surroundings = [&] { return std::vector{tensors.x.surroundings(), tensors.out.surroundings()}; };
  const auto before = surroundings();
  const auto x_before = tensors.x.storage(), cosine_before = tensors.cosine.storage();
  const Status status = run(tensors, tensors.call(test_case));
  ASSERT_TRUE(status.ok()) << status.message << '\n' << test_case.text();
  for (std::int64_t head = 0; head < tensors.x.rows(); ++head) {
    const auto got = tensors.result(test_case).row(head);
    for (std::size_t j = 0; j < got.size(); ++j)
      ASSERT_TRUE(reference::same(test_case.dtype, got[j], wanted[static_cast<std::size_t>(head)][j]))
          << "out[" << head << "][" << j << "] is 0x" << std::hex << got[j] << ", not 0x"
          << wanted[static_cast<std::size_t>(head)][j] << std::dec << "\n"
          << test_case.text();
  }
  EXPECT_EQ(surroundings(), before) << "written between or beside heads\n" << test_case.text();
  EXPECT_EQ(tensors.cosine.storage(), cosine_before) << test_case.text();
  if (test_case.in_place) return;
  EXPECT_EQ(tensors.x.storage(), x_before) << test_case.text();
}

}  // namespace normproof::kernels
