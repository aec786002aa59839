// Case: one test case as data. What to run (operation, dtypes, shape, layout, scalars, data) and how (thread
// schedule, launch choice). Everything else in the project either produces Cases or judges what came of one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "corpus/call_kind.h"

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
  // Recorded in a CUDA graph while its tensors are zeros, and replayed when they are the case's.
  bool in_graph = false;
  friend bool operator==(const LaunchChoice&, const LaunchChoice&) = default;
};

// One of the case's tensors. An output has no data.
struct CaseTensor {
  TensorLayout layout;
  TensorData data;
  friend bool operator==(const CaseTensor&, const CaseTensor&) = default;
};

// Packed bytes of tensors, row-major without gaps, little-endian; empty for a role that has none.
class TensorBytes {
 public:
  TensorBytes() = default;
  TensorBytes(std::initializer_list<std::pair<Role, std::vector<std::byte>>> tensors) {
    for (const auto& [role, bytes] : tensors) (*this)[role] = bytes;
  }
  std::vector<std::byte>& operator[](Role role) { return bytes_[static_cast<std::size_t>(role)]; }
  const std::vector<std::byte>& operator[](Role role) const { return bytes_[static_cast<std::size_t>(role)]; }
  friend bool operator==(const TensorBytes&, const TensorBytes&) = default;

 private:
  std::array<std::vector<std::byte>, kRoles.size()> bytes_;
};

// What a run wrote.
using Outputs = TensorBytes;
// The values of a case's data, recipes carried out.
using CaseTensors = TensorBytes;

// fp32 bits of each parameter.
using ParameterBits = std::array<std::uint32_t, kParameters.size()>;
ParameterBits usual_parameters();

struct Case : CallKind {
  std::string name;         // short identifier, free of spaces
  std::string description;  // one or two sentences for people

  // fp32 in the place of a 16-bit T: of `out` (beside a weight that is fp32, or none), and of the residual
  // and its sum. Only such outputs of somebody else are judged; no target writes them.
  bool fp32_output = false;
  bool fp32_residual = false;

  std::vector<std::int64_t> shape;
  std::array<CaseTensor, kRoles.size()> tensors;
  bool in_place = false;  // where the operation leaves the choice: the output is the input tensor
  ParameterBits parameter_bits = usual_parameters();

  Schedule schedule;
  LaunchChoice launch;

  // Outputs that somebody else produced for this case, to be judged without running a kernel.
  std::optional<Outputs> outputs;

  CaseTensor& operator[](Role role) { return tensors[static_cast<std::size_t>(role)]; }
  const CaseTensor& operator[](Role role) const { return tensors[static_cast<std::size_t>(role)]; }
  std::uint32_t& bits_of(Parameter parameter) { return parameter_bits[static_cast<std::size_t>(parameter)]; }
  std::uint32_t bits_of(Parameter parameter) const {
    return parameter_bits[static_cast<std::size_t>(parameter)];
  }
  float value_of(Parameter parameter) const;
  bool has_scale_ub() const;
  // As of its kind, but also whether there is an upper bound of scales.
  bool has(Role role) const { return role == Role::scale_ub ? has_scale_ub() : CallKind::has(role); }

  std::int64_t hidden_size() const { return shape.back(); }
  std::int64_t rows() const;      // product of the leading dimensions
  std::int64_t elements() const;  // rows() * hidden_size()

  // Whether the tensor has a place of its own in memory, which the case may choose.
  bool has_layout(Role role) const;
  // Why there is no such tensor, as "rms_norm has no residual".
  std::string why_no(Role role) const;
  // The tensor in whose memory an output lies: an input where it is written over it, else itself.
  Role memory_of(Role role) const;
  // Of a tensor that the case has (of one that it lacks: what it would be).
  DType dtype_of(Role role) const;
  // Where the tensor's dtype is left to the case: that it is this one.
  void set_dtype(const TensorSpec& tensor, DType given);
  std::vector<std::int64_t> shape_of(Role role) const;
  bool has_rows(Role role) const;         // each row of the case has its own part of the tensor
  std::int64_t rows_of(Role role) const;  // 1 where the tensor has no rows
  std::int64_t columns_of(Role role) const;
  std::int64_t elements_of(Role role) const;
  std::size_t bytes_of(Role role) const;
  DType output_dtype() const { return dtype_of(Role::out); }
  // What no target writes or takes, so that only outputs that are given are judged: "fp32 outputs beside bf16
  // activations". Empty: a target can be called.
  std::string what_no_target_has() const;

  friend bool operator==(const Case&, const Case&) = default;
};

// The case with these values listed; and without any, where they travel in tensors of their own.
void set_data(Case& test_case, const CaseTensors& values);
void forget_data(Case& test_case);

// Carries out the recipes. Requires a valid case.
CaseTensors materialize(const Case& test_case);
// The same values, which the case then has no longer; listed ones are not copied.
CaseTensors take_data(Case& test_case);

// Reasons why `test_case` is not a well-formed case, each as "path: what, with the value"; empty when it is
// valid. A well-formed case may still ask for a call that the kernels must refuse
// only by alignment or `launch.path`.
std::vector<std::string> validate(const Case& test_case);

// Forgets how the case is laid out in memory and carried out, which changes no bit: packed and aligned
// tensors, not in place, launched automatically.
void make_plain(Case& test_case);

// Moves all its tensors so many elements away from a 256-byte boundary.
void shift(Case& test_case, std::int64_t offset);

// Forgets what the case's operation has no place for: data, layouts, scale,
// quantized dtype, the choice of in place.
void keep_what_it_has(Case& test_case);

// Bits of element `index` of packed data.
std::uint32_t load_bits(std::span<const std::byte> data, DType dtype, std::int64_t index);
void store_bits(std::vector<std::byte>& data, DType dtype, std::int64_t index, std::uint32_t bits);

}  // namespace normproof
