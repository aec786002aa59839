// What of a target runs judged operations (oracle/judged): a plug-in that lists some by their names, and the
// kernels that have some of them.
#pragma once

#include <string>
#include <vector>

#include "corpus/call_limits.h"
#include "oracle/judged/operation.h"
#include "properties/targets/guarded_tensor.h"
#include "properties/targets/target.h"

namespace normproof {

// What came of a call of a judged operation.
struct JudgedRun {
  RunResult::Status status = RunResult::Status::completed;
  std::string message{};        // why it was not taken, or how it failed
  oracle::judged::Call call{};  // after a completed run: with what came out
  std::vector<std::string> memory_violations{};
  std::string disagreement{};  // where a call runs on two targets: how their outputs differ
};

// Dtypes and weights, as a plug-in declares them for all its operations.
struct JudgedTakes {
  std::vector<DType> dtypes;  // of x
  bool no_weight = false, same_weight = false, fp32_weight = false;
  std::vector<DType> codes = {};  // that it quantizes to
  bool scale_ub = false;          // the upper bound of what a scale is made of
  bool scale_layouts = false;     // scales of blocks wherever their shape says
  bool scale_views = false;       // and in views [rows, blocks] of strides [1, n]
  bool weight_rows = false;       // weights of several rows, also where an operation may do without
  bool no_statistics = false;     // gradients without the statistics of the forward pass
};

class JudgedTarget {
 public:
  JudgedTarget() = default;
  JudgedTarget(const JudgedTarget&) = delete;
  JudgedTarget& operator=(const JudgedTarget&) = delete;
  virtual ~JudgedTarget() = default;

  // In the order of the table.
  virtual std::vector<const oracle::judged::JudgedOperation*> judged_operations() const = 0;
  virtual JudgedTakes judged_takes() const = 0;
  // Whether that is so of every operation; otherwise calls show what of it an operation takes.
  virtual bool says_what_it_takes() const { return true; }
  // What it declares of the calls of an operation: none is made outside.
  virtual CallLimits judged_limits(const oracle::judged::JudgedOperation& operation) const = 0;
  // Whether the bits of the canonical order are demanded; otherwise those of any order conform.
  virtual bool is_canonical() const { return false; }
  // Runs a valid call on fresh guarded tensors. The outputs that it has are those that are asked for: their
  // dtypes and shapes count, not their bytes. Before the run each of their bytes is `fill`. May be called
  // from several threads at once.
  virtual JudgedRun run_judged(const oracle::judged::Call& call, std::byte fill) = 0;
};

// What of the call lies outside of the limits, as "hidden sizes that are no multiple of 8"; empty where
// nothing does.
std::string what_is_outside(const CallLimits& limits, const oracle::judged::Call& call);
// Changes places and epsilon so that the call lies inside, as far as they are what lies outside.
void fit_to(const CallLimits& limits, oracle::judged::Call& call);
// How many columns a row has to be a multiple of for its rows to begin where the limits say, without gaps.
std::int64_t hidden_multiple_of(const CallLimits& limits, DType dtype);

// What is beside the scales of blocks is nobody's.
bool has_padding(const oracle::judged::Call& call);
// The call with 0 where nothing lies.
oracle::judged::Call without_padding(oracle::judged::Call call, const oracle::judged::Policy& policy);

// Runs the call, and once more with other bytes in the outputs where some of them may not have been written:
// what was not is among the memory violations.
// `policy`: it may say where the scales of blocks lie, and what beside them is padding.
JudgedRun run_and_see_all_written(JudgedTarget& target, const oracle::judged::Call& call,
                                  const oracle::judged::Policy& policy);

}  // namespace normproof
