// Case: one test case as data. What to run (operation, dtypes, shape, layout, scalars, data) and how (thread
// schedule, launch choice). Everything else in the project either produces Cases or judges what came of one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "corpus/operation.h"

namespace normproof {

// How a tensor's values are made when they are not listed: a class of values and a seed (see recipe.h).
struct Recipe {
  std::string data_class;
  std::uint64_t seed = 0;
  friend bool operator==(const Recipe&, const Recipe&) = default;
};

// The logical elements of a tensor in row-major order without gaps, little-endian, `size_of(dtype)` bytes
// each; or a recipe that yields them. Exactly one of the two is given (an empty tensor has neither).
struct TensorData {
  std::vector<std::byte> bytes;
  std::optional<Recipe> recipe;
  friend bool operator==(const TensorData&, const TensorData&) = default;
};

// Where a tensor's elements lie. The last dimension is contiguous.
struct TensorLayout {
  // Stride in elements of each leading dimension; empty means contiguous rows.
  std::vector<std::int64_t> strides;
  // Elements between a 256-byte boundary and the first element: chooses the alignment.
  std::int64_t offset = 0;
  friend bool operator==(const TensorLayout&, const TensorLayout&) = default;
};

// The order in which the threads of a block are resumed when the kernel runs on the CPU.
enum class ThreadOrder : std::uint8_t { forward, reverse, random };
struct Schedule {
  ThreadOrder order = ThreadOrder::forward;
  std::uint64_t seed = 0;  // for ThreadOrder::random
  friend bool operator==(const Schedule&, const Schedule&) = default;
};

// Which of the kernel's code paths runs. `automatic` lets the launch code choose by alignment and size;
// `vectorized` is refused by the kernels where the layout does not allow it.
enum class KernelPath : std::uint8_t { automatic, vectorized, scalar };
struct LaunchChoice {
  KernelPath path = KernelPath::automatic;
  int threads_per_block = 0;  // 0: the launch code chooses; otherwise a multiple of 32, at most 1024
  friend bool operator==(const LaunchChoice&, const LaunchChoice&) = default;
};

// Packed results of a run, row-major without gaps. `residual_out` only where the operation adds a residual.
struct Outputs {
  std::vector<std::byte> out;           // dtype Case::output_dtype()
  std::vector<std::byte> residual_out;  // dtype Case::dtype
  friend bool operator==(const Outputs&, const Outputs&) = default;
};

struct Case {
  std::string name;         // short identifier, free of spaces
  std::string description;  // one or two sentences for people

  Operation operation = Operation::rms_norm;
  DType dtype = DType::bf16;             // activation dtype T
  std::optional<DType> weight_dtype;     // W: T or fp32; nothing: no weight
  std::optional<DType> quantized_dtype;  // Q: exactly where the operation quantizes

  std::vector<std::int64_t>
      shape;  // leading dimensions, then hidden size; rank 2 to spec_of(operation).greatest_rank
  TensorLayout input_layout;
  TensorLayout residual_layout;
  TensorLayout output_layout;      // unused by fused_add_rms_norm, which writes into its input
  std::int64_t weight_offset = 0;  // elements, like TensorLayout::offset
  bool in_place = false;           // where the operation leaves the choice: the output is the input tensor

  std::uint32_t epsilon_bits = 0x358637bd;  // fp32 bits, here 1e-6
  std::uint32_t scale_bits = 0x3f800000;    // fp32 bits, here 1; used where the operation quantizes

  TensorData input;
  TensorData residual;
  TensorData weight;

  Schedule schedule;
  LaunchChoice launch;

  // Outputs that somebody else produced for this case, to be judged without running a kernel.
  std::optional<Outputs> outputs;

  std::int64_t hidden_size() const { return shape.back(); }
  std::int64_t rows() const;      // product of the leading dimensions
  std::int64_t elements() const;  // rows() * hidden_size()
  DType output_dtype() const { return quantized_dtype.value_or(dtype); }

  // Whether the operation has such a tensor and this case does not do without it.
  bool has(Role role) const;
  // The tensor in whose memory an output lies: an input where it is written over it, else itself.
  Role memory_of(Role role) const;
  float epsilon() const;
  float scale() const;
  friend bool operator==(const Case&, const Case&) = default;
};

// The logical values of a case's input tensors, recipes carried out. Row-major without gaps, little-endian.
struct CaseTensors {
  std::vector<std::byte> input;
  std::vector<std::byte> residual;  // empty where the operation has none
  std::vector<std::byte> weight;    // empty where the case has none
};

// Carries out the recipes. Requires a valid case.
CaseTensors materialize(const Case& test_case);

// Reasons why `test_case` is not a well-formed case, each as "path: what, with the value"; empty when it is
// valid. A well-formed case may still ask for a call that the kernels must refuse only by alignment or
// `launch.path`.
std::vector<std::string> validate(const Case& test_case);

// Forgets how the case is laid out in memory and carried out, which changes no bit: packed and aligned
// tensors, not in place, launched automatically.
void make_plain(Case& test_case);

// Forgets what the case's operation has no place for: data, layouts, scale, quantized dtype, the choice of in
// place.
void keep_what_it_has(Case& test_case);

// Bits of element `index` of packed data.
std::uint32_t load_bits(std::span<const std::byte> data, DType dtype, std::int64_t index);
void store_bits(std::vector<std::byte>& data, DType dtype, std::int64_t index, std::uint32_t bits);

}  // namespace normproof
