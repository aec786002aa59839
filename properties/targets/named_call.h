// NamedCall: a call of an operation that the worker knows by nothing but its name, on guarded tensors.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "oracle/judged/operation.h"
#include "properties/targets/guarded_tensor.h"
#include "properties/targets/worker/protocol.h"

namespace normproof {

// The order of CUDA threads that Call::thread_order means; of a random one the number is the seed.
ThreadOrder thread_order_of(std::uint64_t number);

class NamedCall {
 public:
  // What the tensors of a call lie in; one call at a time.
  struct Memory {
    std::array<TensorMemory, worker::kMaximumTensors> tensors;
    void draw_from(MemorySpace* space) {
      for (TensorMemory& each : tensors) each.draw_from(space);
    }
  };

  // Of a call as JudgedTarget::run_judged takes it, which with the memory must outlive this. Requires that
  // its tensors fit (what_does_not_fit).
  NamedCall(const oracle::judged::Call& call, std::byte fill, Memory& memory);
  NamedCall(const NamedCall&) = delete;
  NamedCall& operator=(const NamedCall&) = delete;
  // Why the call cannot be made at all, by anybody: "more than 4 dimensions"; empty where it can.
  static std::string what_does_not_fit(const oracle::judged::Call& call);

  // One of the call's arguments, in the order of the table.
  struct Argument {
    const oracle::judged::TensorSpec* spec;
    const GuardedTensor* tensor;  // an output in place has that of its input
    bool by_columns = false;      // the tensor has a row for each column of what the kernel is given
    // As the kernel is given it.
    std::vector<std::int64_t> shape() const { return turned(tensor->shape()); }
    std::vector<std::int64_t> strides() const { return turned(tensor->strides()); }

    std::vector<std::int64_t> turned(std::span<const std::int64_t> sizes) const {
      return by_columns ? std::vector(sizes.rbegin(), sizes.rend()) : std::vector(sizes.begin(), sizes.end());
    }
  };
  const std::vector<Argument>& arguments() const { return arguments_; }
  const oracle::judged::Call& call() const { return call_; }
  // Those that have memory of their own.
  std::vector<const GuardedTensor*> tensors() const;

  void set_message(std::string text) { message_ = std::move(text); }
  const std::string& message() const { return message_; }
  // After the call: bytes written outside the outputs and inputs modified; `refused`: every byte written.
  std::vector<std::string> memory_violations(bool refused) const;
  // The call with what came out.
  oracle::judged::Call with_outputs() const;

 private:
  bool is_overwritten(std::string_view input) const;

  const oracle::judged::Call& call_;
  const std::byte fill_;
  std::array<std::optional<GuardedTensor>, worker::kMaximumTensors> guarded_;  // by place in the table
  std::vector<Argument> arguments_;
  std::string message_;
};

}  // namespace normproof
