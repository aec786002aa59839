#include "properties/order/target_box.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "corpus/float_format.h"
#include "properties/judging/in_parallel.h"

namespace normproof::order {
namespace {

// Zero rows, all-ones weights.
CaseTensors plain_tensors(const CallShape& shape) {
  const Case test_case = case_of(shape, 0);
  CaseTensors tensors;
  for (const Role role : shape.inputs_with_rows()) tensors[role].resize(test_case.bytes_of(role));
  if (shape.weight_dtype) {
    tensors[Role::weight].resize(static_cast<std::size_t>(shape.hidden_size) * size_of(*shape.weight_dtype));
    for (std::int32_t j = 0; j < shape.hidden_size; ++j)
      store_bits(tensors[Role::weight], *shape.weight_dtype, j, format_of(*shape.weight_dtype).one());
  }
  return tensors;
}

class TargetBox final : public BlackBox {
 public:
  TargetBox(Target& target, const CallShape& shape, int threads)
      : target_(target), shape_(shape), threads_(threads) {}

  std::int32_t hidden_size() const override { return shape_.hidden_size; }
  DType dtype() const override { return shape_.dtype; }
  DType output_dtype() const override { return reads_largest() ? DType::fp32 : shape_.output_dtype(); }
  // Codes are made with a scale that takes r out of them; the scale itself has it.
  bool reads_largest() const override { return quantizes_by_row(shape_.operation); }
  std::int64_t rows_per_call() const override { return shape_.rows; }

  std::vector<std::uint32_t> outputs(std::span<const Probe> rows, std::uint32_t epsilon_bits) override {
    const auto per_call = static_cast<std::size_t>(shape_.rows);
    const std::size_t calls = (rows.size() + per_call - 1) / per_call;
    // A target to which the way is long takes several calls together.
    const auto together =
        static_cast<std::size_t>(std::clamp<std::int64_t>(target_.requests_at_once(), 1, 8));
    const std::size_t groups = (calls + together - 1) / together;
    std::vector<std::uint32_t> read(rows.size());
    in_parallel(static_cast<std::int64_t>(groups), threads_, [&](std::int64_t group) {
      const std::size_t first = static_cast<std::size_t>(group) * together;
      run_calls(rows, read, first, std::min(together, calls - first), epsilon_bits);
    });
    count(static_cast<std::int64_t>(calls * per_call), static_cast<std::int64_t>(calls));
    return read;
  }

 private:
  void run_calls(std::span<const Probe> rows, std::vector<std::uint32_t>& read, std::size_t first_call,
                 std::size_t calls, std::uint32_t epsilon_bits) {
    const Case test_case = case_of(shape_, epsilon_bits);
    // Kept by each thread for the box it works for: only what was written is set to zero again.
    struct Kept {
      std::int64_t box = -1;
      std::vector<CaseTensors> tensors;
    };
    thread_local Kept kept;
    if (kept.box != number_) kept = {number_, {}};
    while (kept.tensors.size() < calls) kept.tensors.push_back(plain_tensors(shape_));
    std::vector<RunRequest> requests;
    for (std::size_t call = 0; call < calls; ++call) {
      write(rows_of(rows, first_call + call), kept.tensors[call], false);
      requests.push_back({&test_case, &kept.tensors[call]});
    }
    std::vector<RunResult> results;
    try {
      results = target_.run_all(requests);
    } catch (...) {
      kept.box = -1;
      throw;
    }
    for (std::size_t call = 0; call < calls; ++call) {
      const std::span<const Probe> of_call = rows_of(rows, first_call + call);
      write(of_call, kept.tensors[call], true);
      require_completed(results[call]);
      for (std::size_t row = 0; row < of_call.size(); ++row)
        read[(first_call + call) * static_cast<std::size_t>(shape_.rows) + row] =
            reads_largest()
                ? load_bits(results[call].outputs[Role::scales], DType::fp32, static_cast<std::int64_t>(row))
                : load_bits(results[call].outputs[Role::out], output_dtype(),
                            index_of(row, of_call[row].read));
    }
  }

  std::span<const Probe> rows_of(std::span<const Probe> rows, std::size_t call) const {
    const auto per_call = static_cast<std::size_t>(shape_.rows);
    return rows.subspan(call * per_call, std::min(per_call, rows.size() - call * per_call));
  }

  std::int64_t index_of(std::size_t row, std::int32_t column) const {
    return static_cast<std::int64_t>(row) * shape_.hidden_size + column;
  }

  // The rows' elements, or zeros in their places.
  void write(std::span<const Probe> rows, CaseTensors& tensors, bool zeros) const {
    for (std::size_t row = 0; row < rows.size(); ++row)
      for (const Probe::Element& element : rows[row].elements)
        store_bits(tensors[Role::input], shape_.dtype, index_of(row, element.column),
                   zeros ? 0 : element.bits);
  }

  static void require_completed(const RunResult& result) {
    switch (result.status) {
      case RunResult::Status::completed:
        if (!result.memory_violations.empty())
          throw NoAnswer(fmt::format("the target damaged memory: {}", result.memory_violations.front()),
                         false);
        return;
      case RunResult::Status::refused:
        throw NoAnswer(fmt::format("refused: {}", result.message), true);
      case RunResult::Status::not_taken:
        throw NoAnswer(fmt::format("not taken: {}", result.message), true);
      case RunResult::Status::failed:
        throw NoAnswer(fmt::format("failed: {}", result.message), false);
    }
  }

  static inline std::atomic<std::int64_t> boxes_{0};

  const std::int64_t number_ = boxes_++;  // of all boxes ever made
  Target& target_;
  CallShape shape_;
  int threads_;
};

}  // namespace

Case case_of(const CallShape& shape, std::uint32_t epsilon_bits) {
  Case test_case;
  test_case.name = "order";
  test_case.kind() = shape;
  test_case.shape = {shape.rows, shape.hidden_size};
  test_case.bits_of(Parameter::epsilon) = epsilon_bits;
  test_case.bits_of(Parameter::scale_ub) = shape.scale_ub_bits;
  test_case.launch.path = shape.path;
  shift(test_case, shape.offset);
  return test_case;
}

CallShape with_weight_it_takes(const Target& target, CallShape shape) {
  for (const std::optional<DType> weight :
       {std::optional<DType>(), std::optional(shape.dtype), std::optional(DType::fp32)}) {
    shape.weight_dtype = weight;
    if (target.takes(case_of(shape, 0))) return shape;
  }
  throw TargetError(fmt::format(
      "target {} does not take {} of {}{}", target.name(), name_of(shape.operation), name_of(shape.dtype),
      shape.has_codes() ? fmt::format(" to {}", name_of(shape.output_dtype())) : ""));
}

std::unique_ptr<BlackBox> make_target_box(Target& target, const CallShape& shape, int threads) {
  return std::make_unique<TargetBox>(target, shape, threads);
}

}  // namespace normproof::order
