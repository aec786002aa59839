#include "kernels/family/call_checks.h"

#include <algorithm>
#include <string>
#include <vector>

#include "kernels/tensor_checks.h"

namespace normproof::kernels {
namespace {

const TensorRule* rule_of(std::span<const TensorRule> rules, std::string_view role) {
  const auto found = std::ranges::find(rules, role, &TensorRule::role);
  return found == rules.end() ? nullptr : &*found;
}

Status check_names(const NamedCall& call, std::span<const TensorRule> rules,
                   std::span<const std::string_view> numbers) {
  for (const NamedTensor& each : call.tensors) {
    if (rule_of(rules, each.role) == nullptr)
      return refusal(StatusCode::unknown_name, call.operation, " has no tensor '", each.role, "'");
    if (call.find(each.role) != &each.tensor)
      return refusal(StatusCode::unknown_name, "the call has two tensors '", each.role, "'");
  }
  for (const NamedNumber& each : call.numbers) {
    if (std::ranges::find(numbers, each.name) == numbers.end())
      return refusal(StatusCode::unknown_name, call.operation, " has no number '", each.name, "'");
  }
  for (const TensorRule& rule : rules) {
    if (!rule.optional && call.find(rule.role) == nullptr)
      return refusal(StatusCode::null_pointer, rule.role, ": the call has no such tensor");
  }
  return {};
}

Status check_dtype(const TensorRule& rule, DType dtype, DType of_x) {
  const DTypes bit = is_known(dtype) ? dtypes(dtype) : 0;
  if ((rule.dtypes & bit) != 0 || ((rule.dtypes & kLikeX) != 0 && dtype == of_x)) return {};
  std::string allowed = (rule.dtypes & kLikeX) != 0 ? text_of(of_x) + " like x" : "";
  for (std::int32_t i = 0; i <= static_cast<std::int32_t>(DType::uint8); ++i) {
    const auto each = static_cast<DType>(i);
    if ((rule.dtypes & dtypes(each)) != 0) allowed += (allowed.empty() ? "" : ", or ") + text_of(each);
  }
  return refusal(StatusCode::unsupported_dtype, rule.role, ": dtype is ", text_of(dtype), ", must be ",
                 allowed);
}

Status check_number_of_elements(const Argument& argument, std::int64_t wanted, const char* what) {
  if (Status status = check_rank(argument, 1, 1); !status.ok()) return status;
  if (argument.tensor->sizes[0] == wanted) return {};
  return refusal(StatusCode::invalid_size, argument.name, ": sizes[0] is ", argument.tensor->sizes[0],
                 ", must be ", wanted, what);
}

// Bytes that hold two elements of x each.
Status check_pairs(const Argument& argument, const Argument& x) {
  if (x.hidden() % 2 != 0)
    return refusal(StatusCode::invalid_size, x.name, ": sizes[", x.leading(), "] is ", x.hidden(),
                   ", must be even, since a byte of ", argument.name, " holds two codes");
  Tensor halved = *x.tensor;
  halved.sizes[x.leading()] /= 2;
  if (argument.tensor->rank == halved.rank && argument.hidden() != halved.sizes[x.leading()])
    return refusal(StatusCode::invalid_size, argument.name, ": sizes[", x.leading(), "] is ",
                   argument.hidden(), ", must be ", halved.sizes[x.leading()], ", half of that of ", x.name);
  return check_equal_shape(argument, {x.name, &halved, false});
}

// One number a row: [..., 1], or without the last dimension.
Status check_row_shape(const Argument& argument, const Argument& x) {
  const Tensor& tensor = *argument.tensor;
  if (tensor.rank != x.tensor->rank && tensor.rank != x.leading())
    return refusal(StatusCode::invalid_rank, argument.name, ": rank is ", tensor.rank, ", but that of x is ",
                   x.tensor->rank);
  for (int i = 0; i < tensor.rank; ++i) {
    const std::int64_t wanted = i == x.leading() ? 1 : x.tensor->sizes[i];
    if (tensor.sizes[i] != wanted)
      return refusal(StatusCode::invalid_size, argument.name, ": sizes[", i, "] is ", tensor.sizes[i],
                     ", must be ", wanted);
  }
  return {};
}

// One row for each token: [...] of x without the heads, and any last size.
Status check_token_shape(const Argument& argument, const Argument& x) {
  const int rank = std::max(x.tensor->rank - 1, 1);
  if (Status status = check_rank(argument, rank, rank); !status.ok()) return status;
  if (Status status = check_no_negative_size(argument); !status.ok()) return status;
  for (int i = 0; i + 1 < rank; ++i) {
    if (argument.tensor->sizes[i] != x.tensor->sizes[i])
      return refusal(StatusCode::invalid_size, argument.name, ": sizes[", i, "] is ",
                     argument.tensor->sizes[i], ", must be ", x.tensor->sizes[i], " as that of x");
  }
  return {};
}

bool has_rows(const TensorRule& rule, const Tensor& tensor) { return rule.may_have_rows && tensor.rank > 1; }

// The last dimensions of x, two or more.
Status check_last_dimensions(const Argument& argument, const Argument& x) {
  if (Status status = check_rank(argument, 1, x.tensor->rank); !status.ok()) return status;
  const int skipped = x.tensor->rank - argument.tensor->rank;
  for (int i = 0; i < argument.tensor->rank; ++i) {
    if (argument.tensor->sizes[i] != x.tensor->sizes[skipped + i])
      return refusal(StatusCode::invalid_size, argument.name, ": sizes[", i, "] is ",
                     argument.tensor->sizes[i], ", must be ", x.tensor->sizes[skipped + i], " as sizes[",
                     skipped + i, "] of x");
  }
  return {};
}

Status check_shape(const TensorRule& rule, const Argument& argument, const Argument& x) {
  switch (rule.shape) {
    case TensorShape::elements:
      return check_equal_shape(argument, x);
    case TensorShape::hidden:
      if (has_rows(rule, *argument.tensor)) return check_last_dimensions(argument, x);
      return check_number_of_elements(argument, x.hidden(), ", the hidden size of x");
    case TensorShape::row:
      return check_row_shape(argument, x);
    case TensorShape::token:
      return check_token_shape(argument, x);
    case TensorShape::one:
      return check_number_of_elements(argument, 1, "");
    case TensorShape::pairs:
      return check_pairs(argument, x);
    case TensorShape::other:
    case TensorShape::table:
      if (Status status = check_rank(argument, 1, 4); !status.ok()) return status;
      return check_no_negative_size(argument);
  }
  return {};
}

// Without a gap between rows.
Status check_packed(const Argument& argument) {
  const Tensor& tensor = *argument.tensor;
  std::int64_t packed = 1;
  for (int i = tensor.rank; i-- > 0;) {
    if (tensor.sizes[i] > 1 && tensor.strides[i] != packed)
      return refusal(StatusCode::invalid_stride, argument.name, ": strides[", i, "] is ", tensor.strides[i],
                     ", must be ", packed, ", without gaps");
    packed *= std::max<std::int64_t>(tensor.sizes[i], 1);
  }
  return {};
}

// The stride of a tensor where x has a leading dimension; 0 where the tensor lacks it.
std::int64_t leading_stride(const TensorRule& rule, const Tensor& tensor, int dimension) {
  const bool has_rows = rule.shape == TensorShape::elements || rule.shape == TensorShape::pairs ||
                        rule.shape == TensorShape::row || rule.shape == TensorShape::token;
  if (!has_rows) return 0;
  const bool lacks =
      rule.shape == TensorShape::token ? dimension + 1 >= tensor.rank : dimension >= tensor.rank;
  return lacks ? 0 : tensor.strides[dimension];
}

void set_rows(const std::vector<Argument>& arguments, const std::vector<const TensorRule*>& rules,
              CheckedCall& checked) {
  const Tensor& x = *arguments.front().tensor;
  std::vector<LeadingDimension> dimensions;
  for (int d = 0; d < x.rank - 1; ++d) {
    LeadingDimension dimension{x.sizes[d], {}};
    for (std::size_t i = 0; i < arguments.size(); ++i)
      dimension.strides[i] = leading_stride(*rules[i], *arguments[i].tensor, d);
    dimensions.push_back(dimension);
  }
  const MergedDimensions merged = merge_leading_dimensions(dimensions);
  checked.rows = merged.rows;
  checked.count = arguments.size();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    checked.roles[i] = rules[i]->role;
    checked.places[i] = {arguments[i].tensor->data, merged.strides[i]};
  }
}

}  // namespace

CheckedCall::Rows CheckedCall::of(std::string_view role) const {
  for (std::size_t i = 0; i < count; ++i)
    if (roles[i] == role) return places[i];
  return {};
}

Status check(const NamedCall& call, std::span<const TensorRule> rules,
             std::span<const std::string_view> numbers, CheckedCall& checked) {
  if (Status status = check_names(call, rules, numbers); !status.ok()) return status;
  std::vector<Argument> arguments;
  std::vector<const TensorRule*> present;
  for (const TensorRule& rule : rules) {
    const Tensor* tensor = call.find(rule.role);
    if (tensor == nullptr) continue;
    arguments.push_back({rule.role.data(), tensor, rule.written, rule.in_chunks});
    present.push_back(&rule);
  }
  const Argument& x = arguments.front();
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (Status status = check_dtype(*present[i], arguments[i].tensor->dtype, x.tensor->dtype); !status.ok())
      return status;
  }
  if (Status status = check_rank(x, 1, 4); !status.ok()) return status;
  if (Status status = check_sizes(x); !status.ok()) return status;
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (Status status = check_shape(*present[i], arguments[i], x); !status.ok()) return status;
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const bool is_packed = present[i]->shape == TensorShape::other;
    if (Status status = is_packed ? check_packed(arguments[i]) : check_strides(arguments[i]); !status.ok())
      return status;
  }
  for (const auto check_one : {check_extent, check_data}) {
    for (const Argument& argument : arguments) {
      if (Status status = check_one(argument); !status.ok()) return status;
    }
  }
  const auto may_be_the_same = [&](const Argument& written, const Argument& other) {
    return rule_of(rules, written.name)->in_place_of == other.name;
  };
  if (Status status = check_overlap(arguments, may_be_the_same); !status.ok()) return status;
  if (Status status = check_launch(call.launch); !status.ok()) return status;
  Status vectorizable = check_vectorizable(arguments);
  if (call.launch.path == Path::vectorized && !vectorizable.ok()) return vectorizable;
  checked = {};
  checked.dtype = x.tensor->dtype;
  checked.hidden = x.hidden();
  checked.vectorized = vectorizable.ok() && call.launch.path != Path::scalar;
  for (std::size_t i = 0; i < arguments.size(); ++i)
    checked.has_rows_of_weights = checked.has_rows_of_weights || has_rows(*present[i], *arguments[i].tensor);
  set_rows(arguments, present, checked);
  return {};
}

}  // namespace normproof::kernels
