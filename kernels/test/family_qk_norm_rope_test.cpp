// qk_norm_rope against plain loops, and the GPU's kernels for heads in registers, run on the CPU.
#include <bit>

#include "kernels/family/qk_norm_rope_registers.cuh"
#include "kernels/launch_kernel.h"
#include "kernels/quick_operands.h"
#include "qk_norm_rope_case.h"

namespace normproof::kernels {
namespace {

void expect_bits(const QkNormRopeCase& test_case) {
  expect_qk_norm_rope_bits(test_case,
                           [](const QkNormRopeTensors&, const FamilyCall& call) { return call.run(); });
}

// Every dtype with every kind of weight and rotation, and both kinds of pairs.
template <class Visit>
void for_each_kind(const Visit& visit) {
  unsigned seed = 1;
  for (const DType dtype : {DType::bf16, DType::fp16, DType::fp32}) {
    const std::optional<DType> weights[] = {std::nullopt, dtype, DType::fp32};
    for (int i = 0; i < 12; ++i) {
      QkNormRopeCase test_case;
      test_case.dtype = dtype;
      test_case.weight = weights[i % 3];
      test_case.rotation = i / 3 % 2 == 0 ? dtype : DType::fp32;
      test_case.interleaved = i >= 6;
      test_case.in_place = i % 4 > 1;
      test_case.seed = seed++;
      visit(test_case);
      if (testing::Test::HasFailure()) return;
    }
  }
}

TEST(QkNormRope, GivesTheReferencesBitsForHeadsOfAllSizes) {
  for_each_kind([](QkNormRopeCase test_case) {
    for (const std::int64_t size : {1, 2, 30, 64, 96, 128, 256, 260, 1030}) {
      test_case.sizes = {2, 3, size};
      for (const std::int64_t pairs : {size / 2, size / 4, std::int64_t{0}}) {
        test_case.pairs = pairs;
        test_case.launch.threads_per_block = size > 256 ? 64 : 0;
        expect_bits(test_case);
        if (testing::Test::HasFailure()) return;
      }
    }
  });
}

TEST(QkNormRope, WorksInPlaceInAPackedTensorAndReadsTablesWithGaps) {
  for_each_kind([](QkNormRopeCase test_case) {
    test_case.sizes = {3, 2, 4, 32};
    test_case.x_strides = {2 * 320, 320, 32, 1};
    test_case.cosine_strides = {200, 40, 1};
    test_case.pairs = 16;
    test_case.offset = test_case.seed % 3;
    expect_bits(test_case);
  });
}

TEST(QkNormRope, FollowsSpecialNumbers) {
  for_each_kind([](QkNormRopeCase test_case) {
    test_case.special_one_in = 30;
    test_case.pairs = 24;
    expect_bits(test_case);
    test_case.special_one_in = 0;
    test_case.binades = 240;
    expect_bits(test_case);
  });
}

TEST(QkNormRope, RefusesWhatItCannotDo) {
  QkNormRopeCase test_case;
  test_case.weight = DType::bf16;
  const QkNormRopeTensors tensors(test_case);
  const auto expect = [&](StatusCode code, const char* message, const auto& spoil) {
    FamilyCall call = tensors.call(test_case);
    spoil(call);
    const Status status = call.run();
    EXPECT_EQ(status.code, code);
    EXPECT_NE(status.message.find(message), std::string::npos) << status.message;
  };
  expect(StatusCode::ok, "", [](FamilyCall&) {});
  expect(StatusCode::invalid_size, "sin: sizes[1] is 31, must be 32",
         [](FamilyCall& call) { call.at("sin").sizes[1] = 31; });
  expect(StatusCode::invalid_size, "cos: sizes[1] is 33, must be at most 32",
         [](FamilyCall& call) { call.at("cos").sizes[1] = call.at("cos").strides[0] = 33; });
  expect(StatusCode::invalid_size, "cos: sizes[0] is 1, must be 2",
         [](FamilyCall& call) { call.at("cos").sizes[0] = 1; });
  expect(StatusCode::invalid_rank, "cos: rank is 1, must be 2",
         [](FamilyCall& call) { call.at("cos").rank = 1; });
  expect(StatusCode::unsupported_dtype, "sin: dtype is bf16, must be fp32",
         [](FamilyCall& call) { call.at("sin").dtype = DType::bf16; });
  expect(StatusCode::invalid_size, "interleaved: is 2",
         [](FamilyCall& call) { call.numbers.push_back({"interleaved", 2}); });
  expect(StatusCode::overlap, "out: ", [](FamilyCall& call) {
    call.at("out").data = static_cast<std::uint16_t*>(call.at("x").data) + 1;
  });
}

QkNormRopeArguments arguments_of(const QkNormRopeCase& test_case, const QkNormRopeTensors& tensors,
                                 int heads_of_unit) {
  QkNormRopeArguments arguments;
  const std::int64_t tokens = test_case.sizes[0], heads = test_case.sizes[1], size = test_case.sizes[2];
  arguments.rows = {tokens * heads, tokens, heads};
  arguments.shape = row_shape(size, reference::size_of(test_case.dtype));
  arguments.pairs = test_case.pairs;
  arguments.interleaved = test_case.interleaved;
  const auto strides = [](const Tensor& tensor) {
    return RowStrides{0, tensor.strides[0], tensor.rank == 3 ? tensor.strides[1] : 0};
  };
  const Tensor &x = tensors.x.tensor(), &out = tensors.result(test_case).tensor();
  arguments.x = x.data;
  arguments.x_strides = strides(x);
  arguments.out = out.data;
  arguments.out_strides = strides(out);
  if (test_case.weight)
    arguments.weight = {tensors.weight.tensor().data,
                        *test_case.weight == test_case.dtype ? AffineKind::like_x : AffineKind::fp32};
  arguments.cosine = tensors.cosine.tensor().data;
  arguments.sine = tensors.sine.tensor().data;
  arguments.cosine_strides = arguments.sine_strides = strides(tensors.cosine.tensor());
  arguments.rotation_is_fp32 = test_case.rotation == DType::fp32;
  arguments.epsilon = test_case.epsilon;
  arguments.inverse_hidden = quick_inverse_hidden(size, test_case.epsilon);
  arguments.units_per_token = static_cast<std::uint32_t>((heads - 1) / heads_of_unit + 1);
  arguments.units = arguments.units_per_token * static_cast<std::uint32_t>(tokens);
  return arguments;
}

template <typename T, Pairing kPairing, int kHeads>
void expect_bits_in_registers(const QkNormRopeCase& test_case) {
  expect_qk_norm_rope_bits(test_case, [&](const QkNormRopeTensors& tensors, const FamilyCall&) {
    const QkNormRopeArguments arguments = arguments_of(test_case, tensors, kHeads);
    const int threads_log2 = arguments.shape.row_threads_log2 - (kPairing == Pairing::own_chunks ? 1 : 0);
    const std::int64_t units_per_block = 64 >> threads_log2;
    const Grid grid{(arguments.units - 1) / units_per_block + 1, 64};
    const bool weight_like_x = arguments.weight.kind == AffineKind::like_x;
    return launch_kernel(weight_like_x ? &qk_norm_rope_register_kernel<T, kPairing, kHeads, true>
                                       : &qk_norm_rope_register_kernel<T, kPairing, kHeads, false>,
                         arguments, grid, nullptr);
  });
}

template <typename T>
void expect_bits_in_all_pairings(QkNormRopeCase test_case) {
  constexpr std::int64_t kElements = kChunkElements<T>;
  for (const std::int64_t chunks : {2, 8, 12, 16, 32}) {
    const std::int64_t size = chunks * kElements;
    test_case.sizes = {3, 5, size};
    test_case.interleaved = false;
    for (const std::int64_t pairs : {size / 2, chunks / 4 * kElements}) {
      if (pairs == 0) continue;
      test_case.pairs = pairs;
      expect_bits_in_registers<T, Pairing::other_chunk, 1>(test_case);
      expect_bits_in_registers<T, Pairing::other_chunk, kHeadsOfUnit>(test_case);
      if (2 * pairs != size || !std::has_single_bit(static_cast<std::uint64_t>(chunks))) continue;
      expect_bits_in_registers<T, Pairing::own_chunks, 1>(test_case);
      expect_bits_in_registers<T, Pairing::own_chunks, kHeadsOfUnit>(test_case);
    }
    test_case.interleaved = true;
    for (const std::int64_t pairs : {size / 2, kElements / 2}) {
      test_case.pairs = pairs;
      expect_bits_in_registers<T, Pairing::same_chunk, 1>(test_case);
      expect_bits_in_registers<T, Pairing::same_chunk, kHeadsOfUnit>(test_case);
    }
    if (testing::Test::HasFailure()) return;
  }
}

TEST(QkNormRopeInRegisters, GivesTheReferencesBits) {
  for_each_kind([](const QkNormRopeCase& test_case) {
    if (test_case.interleaved) return;  // done for all
    if (test_case.dtype == DType::bf16) expect_bits_in_all_pairings<Bf16>(test_case);
    if (test_case.dtype == DType::fp16) expect_bits_in_all_pairings<Fp16>(test_case);
    if (test_case.dtype == DType::fp32) expect_bits_in_all_pairings<float>(test_case);
  });
}

TEST(QkNormRopeInRegisters, GivesTheReferencesBitsForSpecialNumbers) {
  QkNormRopeCase test_case;
  test_case.weight = DType::bf16;
  test_case.special_one_in = 100;
  expect_bits_in_all_pairings<Bf16>(test_case);
  test_case.special_one_in = 0;
  test_case.binades = 240;
  expect_bits_in_all_pairings<Bf16>(test_case);
}

}  // namespace
}  // namespace normproof::kernels
