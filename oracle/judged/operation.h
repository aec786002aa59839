// Operations that are judged where somebody gives outputs, and where a plug-in or a kernel of this project
// runs them: LayerNorm, gradients, q/k norm with rotary embedding. Each is a row of a table: its tensors, its
// parameters, the axes of its policies, the policies that have a name, and the judges of its outputs. Adding
// one is a file with a row; checks of arguments, dumps, case files, identification, plug-ins and the Python
// package read the rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/dtype.h"
#include "corpus/operation.h"
#include "corpus/random.h"

namespace normproof::oracle::judged {

// How many elements a tensor has.
enum class Extent : std::uint8_t {
  elements,  // the shape of x
  hidden,    // [H], the last dimension of x
  row,       // one for each row of x
  rotation,  // the shape of x without heads, and half the rotated elements of a head for its last dimension
  codes,     // the shape of x; of uint8, half as many in its last dimension, each two elements
  blocks,    // one for each block of a row, in one of the layouts that the operation has
  one        // a number
};
// How many rows a tensor of extent `hidden` may have. With several it has the last dimensions of x, two or
// more of them: row r of x goes with its row r modulo their number.
enum class HiddenRows : std::uint8_t {
  one,
  any,     // calls that are drawn have several only where a target takes them
  several  // calls that are drawn nearly always have several
};
enum class DTypeRule : std::uint8_t {
  activation,          // T, that of x
  activation_or_fp32,  // T or fp32, each tensor its own
  fp32,
  listed  // one of those that the tensor lists
};
enum class Need : std::uint8_t {
  always,
  optional,
  some_output  // an output that may be missing, but not all of them
};

struct TensorSpec {
  std::string_view name;
  Direction direction;
  Extent extent;
  DTypeRule dtype;
  Need need;
  std::string_view sentence;
  std::string_view in_place_of = {};   // of an output: the input whose memory it may be
  std::span<const DType> dtypes = {};  // where they are listed
  HiddenRows rows = HiddenRows::one;
};

struct Call;
struct AxisValue {
  std::string_view name;
  std::string_view formula;
};
struct Axis {
  std::string_view name;
  std::span<const AxisValue> values;  // the contract's own choice first
  std::string_view tensor = {};       // only calls with this tensor have the axis; empty: all have it
  bool of_statistics = false;         // it says which unknowns are admissible, not what is made of them
  // Of an operation with many axes: how many values, the first ones, are combined with those of other axes.
  // The others are tried with the named policies.
  std::size_t combined = SIZE_MAX;
  bool (*applies)(const Call&) = nullptr;  // what else calls must have; nullptr: nothing
};
// A number that bounds what an honest evaluation may arrive at.
struct Bound {
  std::string_view name;
  std::int64_t least, most;
  std::optional<std::int64_t> usual;  // nothing: no bound
};
struct NamedPolicy {
  std::string_view name;
  std::string_view text;  // for parse_policy
  std::string_view source;
};

struct JudgedOperation;

struct Tensor {
  DType dtype = DType::fp32;
  std::vector<std::int64_t> shape;
  std::vector<std::byte> bytes;  // row-major, little-endian, without gaps

  std::int64_t elements() const;
  // Row `row` of rows of `columns` elements.
  std::span<const std::byte> row(std::int64_t row, std::int64_t columns) const;
};

// Where a tensor lies when a target runs the call. Verdicts do not depend on it.
struct Place {
  std::int64_t offset = 0;  // elements between a 256-byte boundary and the first
  std::int64_t gap = 0;     // elements between the outermost slices
  bool in_place = false;    // of an output: it is the memory of TensorSpec::in_place_of
  // Of an output [rows, blocks]: a view of strides [1, rows + gap], whose columns lie one after the other.
  bool by_columns = false;
  friend bool operator==(const Place&, const Place&) = default;
};

// One call: what went in and, where somebody ran it, what came out.
struct Call {
  const JudgedOperation* operation = nullptr;
  std::uint32_t epsilon = 0;  // fp32 bits
  std::map<std::string, Tensor, std::less<>> tensors;
  std::string name, description;                          // for people
  std::map<std::string, Place, std::less<>> places = {};  // of tensors that do not lie as usual
  // Of a kernel whose CUDA threads run on the CPU: 0 as they are numbered, 1 the other way round, others are
  // seeds of random orders.
  std::uint64_t thread_order = 0;

  const Tensor* find(std::string_view tensor) const;
  const Tensor& at(std::string_view tensor) const;  // throws std::out_of_range
  bool has(std::string_view tensor) const { return find(tensor) != nullptr; }
  DType dtype() const { return at("x").dtype; }
  std::int64_t hidden_size() const { return at("x").shape.back(); }
  std::int64_t rows() const;  // of x
  bool has_outputs() const;
  // What row `row` of x reads of a tensor of extent `hidden`, which has one row or several; empty where the
  // call has no such tensor.
  std::span<const std::byte> hidden_row(std::string_view tensor, std::int64_t row) const;
  // Element `column` of that.
  std::int64_t hidden_index(const Tensor& tensor, std::int64_t row, std::int64_t column) const;
  // Whether such a tensor has another row for each row of x, or for each of a few.
  bool has_several_rows(std::string_view tensor) const;
  Place place_of(std::string_view tensor) const;
};

// One value of each axis of the operation, and its bounds.
struct Policy {
  const JudgedOperation* operation = nullptr;
  std::vector<std::size_t> values;
  std::vector<std::optional<std::int64_t>> bounds;

  std::string_view value(std::string_view axis) const;
  bool is(std::string_view axis, std::string_view value_name) const { return value(axis) == value_name; }
  bool has(std::string_view axis) const;
  // Also of an operation that has no such axis.
  bool follows(std::string_view axis, std::string_view value_name) const {
    return has(axis) && is(axis, value_name);
  }
  std::optional<std::int64_t> bound(std::string_view name) const;
  friend bool operator==(const Policy&, const Policy&) = default;
};

// Something of a certificate's element, for instance x and what it is.
struct NamedBits {
  std::string_view name;
  DType dtype;
  std::uint32_t bits;
  std::string text = {};  // where the dtype does not say what the bits are
};
struct Element {
  std::int64_t column = 0;
  std::vector<NamedBits> values;  // operands, then "got", then "canonical": what the canonical order gives
  std::string place = {};         // where it is no column: "scale of block 3"
};
struct UnknownRange {
  std::string_view name;
  std::uint32_t low, high;  // fp32 bits
};
// Why a unit does not conform, confirmed by exact arithmetic.
struct Violation {
  std::string_view tensor;  // "out"
  std::string_view kind;    // "rounding", "scale", "statistics", "interval", "mismatch"
  std::string place;        // "row 3", "head 1 of row 3", "column 17"
  std::int64_t row = 0;     // of x; 0 for a gradient that has no rows
  std::vector<Element> elements;
  std::vector<std::vector<UnknownRange>> window;  // what an honest evaluation arrives at: one of these
  std::string reason;                             // a line
  std::string text() const;                       // lines
};

// Judges an output in the units that are judged together: rows, heads, columns. For one thread,
// within a StandardFloatEnvironment.
class UnitJudge {
 public:
  virtual ~UnitJudge() = default;
  virtual bool conforms(std::int64_t unit) = 0;
  // Whether the unit that was asked for last conforms by a witness: not where its search was given up.
  virtual bool decided() const { return true; }
  // Of a unit that does not conform.
  virtual Violation violation(std::int64_t unit) = 0;
  // What the canonical order of summation gives under the policy, packed.
  virtual std::vector<std::byte> canonical(std::int64_t unit) = 0;
  // What the canonical order arrives at, in fp32: "mean" and "rstd", for instance.
  virtual std::vector<NamedBits> unknowns(std::int64_t) { return {}; }
  // Whether the unit would conform with outputs that follow the policy but for unknowns that are wrong.
  virtual bool accepts_wrong(std::int64_t unit, Random& random) = 0;
};
struct Part {
  std::string_view tensor;
  std::string_view unit;  // "row"
  std::int64_t units = 0;
  std::int64_t elements_per_unit = 0;
  std::int64_t units_per_row = 1;  // 0: a unit goes through all rows
  std::function<std::unique_ptr<UnitJudge>()> judge;
};

// Elements that a case cannot lose alone: of hidden and, where there is one, of the rotation.
struct ColumnGroup {
  std::vector<std::int64_t> hidden;
  std::optional<std::int64_t> rotation;
};

// A way in which a tensor with one element for each block may lie.
struct BlockLayout {
  std::string_view name;  // "by columns"; two shapes may have the same
  std::vector<std::int64_t> shape;
  bool may_have_gaps = false;
};
struct BlockLayouts {
  std::vector<BlockLayout> all;  // the usual one first; as many for all calls that a policy judges
  std::string_view present;      // the name of the one that the call has; empty where it has no such tensor
};

inline std::string no_misfit(const Call&, const Policy&) { return {}; }

struct JudgedOperation {
  std::string_view name;
  std::string_view sentence;
  std::span<const TensorSpec> tensors;
  bool takes_epsilon;
  std::span<const Axis> axes;
  std::span<const Bound> bounds;
  std::span<const NamedPolicy> policies;
  // What a call must fulfil beside dtypes and shapes: nothing, or "tensor: reason".
  std::string (*objection)(const Call&);
  // Whether the values of a policy go together; a reason where not.
  std::string (*policy_objection)(const Policy&);
  // Of the outputs that the call has. Call and policy must outlive the parts.
  std::vector<Part> (*parts)(const Call&, const Policy&);
  // What the judges of such a call do not look at.
  std::vector<std::string> (*not_looked_at)(const Call&);
  std::vector<ColumnGroup> (*columns)(const Call&, const Policy&);
  // Sets inputs that are made of other inputs: the mean and rstd of x, as the canonical order has them.
  void (*complete)(Call&, std::uint32_t epsilon);
  // Why a call cannot be judged by a policy; empty where it can.
  std::string (*misfit)(const Call&, const Policy&) = no_misfit;
  // Sets these outputs as the canonical order has them, where parts cannot say it tensor by tensor.
  void (*fill)(Call&, const Policy&, std::span<const std::string> outputs) = nullptr;
  // The rows of a tensor with one element for each block.
  Tensor (*slice_blocks)(const Call&, std::string_view tensor, std::span<const std::int64_t> rows,
                         const Policy*) = nullptr;
  // Of an operation that adds a residual first: what it does to the sum.
  const JudgedOperation& (*of_sum)() = nullptr;
  // Where its tensors may lie so that the policy reads as many blocks of as many elements.
  BlockLayouts (*block_layouts)(const Call&, const Policy&) = nullptr;
  // Of an operation that takes no epsilon otherwise: calls without this tensor do.
  std::string_view epsilon_without = {};
};

// Whether such a call has an epsilon.
bool takes_epsilon(const Call& call);

std::span<const JudgedOperation* const> judged_operations();
// nullptr where there is none.
const JudgedOperation* find_judged_operation(std::string_view name);
const TensorSpec* find_tensor(const JudgedOperation& operation, std::string_view name);
// Whether a row of x is a head, and the heads of a token lie beside each other.
bool has_heads(const JudgedOperation& operation);

// An argument that does not fit; what() is "field: expected ..., got ...".
class ArgumentError : public std::invalid_argument {
 public:
  enum class Kind : std::uint8_t { value, type };  // type: a wrong dtype, a tensor too few or too many
  ArgumentError(std::string field, std::string reason, Kind kind)
      : std::invalid_argument(field + ": " + reason),
        field_(std::move(field)),
        reason_(std::move(reason)),
        kind_(kind) {}
  const std::string& field() const { return field_; }
  const std::string& reason() const { return reason_; }
  bool is_type() const { return kind_ == Kind::type; }

 private:
  std::string field_, reason_;
  Kind kind_;
};
// Throws ArgumentError where the tensors do not fit together. `with_outputs`: there is something to judge.
void require_valid(const Call& call, bool with_outputs);
// The shape of a tensor of a call that has x. Requires that the shape of x determines it.
std::vector<std::int64_t> shape_of(const Call& call, const TensorSpec& spec);
// "layer_norm bf16, weight bf16, bias bf16, 8 x 4096, epsilon 1e-05".
std::string subject_of(const Call& call);
// How many rows slice_of_rows can choose from: those of x, or tokens where a row of x is a head.
std::int64_t sliceable_rows(const Call& call);
// Some rows of x and of all that has a row for each; `columns` where given: of these groups alone.
// `policy`: where the layout of a tensor is its axis.
Call slice_of_rows(const Call& call, std::span<const std::int64_t> rows, const Policy* policy = nullptr);
Call slice_of_columns(const Call& call, std::span<const ColumnGroup> groups);

// "native", a named policy, or either followed by axis=value and bound=number. Throws std::invalid_argument.
Policy parse_policy(const JudgedOperation& operation, std::string_view text);
// What parse_policy takes; "native" where nothing is other than usual.
std::string to_string(const Policy& policy);
// Every policy of calls like this one, with the bounds of `model`; what the call does not have is as usual.
std::vector<Policy> all_policies(const Call& call, const Policy& model);
// Whether calls like this one have the axis.
bool has_axis(const Call& call, const Axis& axis);
// Policies that differ from `policy` in one axis that the call has.
std::vector<Policy> neighbours(const Call& call, const Policy& policy);
// The policy with what the call does not have as usual, so that equal arithmetic is equal.
Policy as_seen_by(const Call& call, Policy policy);
// The policy with the other's values of the axes that say which statistics are admissible, so that policies
// which make the same of them are equal.
Policy with_statistics_of(const Policy& other, Policy policy);

}  // namespace normproof::oracle::judged
