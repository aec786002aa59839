// Call: an operation's tensors and scalars and, where somebody ran it, its outputs. What the Python package
// hands to the judges; nothing here knows Python.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/call_limits.h"
#include "corpus/case.h"
#include "corpus/generate.h"
#include "oracle/policy.h"

namespace normproof::python {

struct Call {
  Case test_case;  // of plain layout; its tensors' data lie in `tensors` and `outputs` only
  CaseTensors tensors;
  std::optional<Outputs> outputs;
};

// A tensor somewhere in memory. Shape and strides count elements.
struct StridedTensor {
  const std::byte* data = nullptr;
  std::size_t element_size = 0;
  std::vector<std::int64_t> shape;
  std::vector<std::int64_t> strides;
};

// Its elements row-major without gaps.
std::vector<std::byte> packed(const StridedTensor& tensor);

// The call behind a case: recipes carried out, layout and launch left out. Takes the case's outputs.
Call call_of(Case test_case);

// The same as a case with all its data and, where there are any, outputs.
Case whole_case(const Call& call);

// Throws std::invalid_argument with the first reason why the call is not well-formed. Data that the case
// holds itself is looked at too, so call it before they are moved out.
void require_valid(const Case& test_case);

// Row `row` as a call of its own.
Call row_of(const Call& call, std::int64_t row);

// Which calls a function takes, as its caller says: the limits of a plug-in, and what only Python asks about.
struct Takes {
  CallLimits limits;
  std::int64_t least_rank = 0;
  bool subnormals = true;  // among the inputs' elements and numbers
  bool scale_ub = false;   // upper bounds of scales, where the operation has them
};

// What of the call lies outside, as "hidden sizes that are no multiple of 8"; empty where nothing does.
std::string what_is_outside(const Takes& takes, const Call& call);

// What a random case may be; the rest is drawn.
struct CaseDemand : CallKind {
  std::optional<std::uint32_t> epsilon_bits;
  std::int64_t max_rows = 8;
  std::int64_t max_hidden = 4096;
  bool finite = false;  // no infinity and no NaN in the tensors
  Takes takes = {};     // where it says otherwise, it wins
};

// Case `index` of a seed, the same on every machine. One in four is made to tell rounding policies apart, the
// others aim at everything else that breaks norm kernels; most are small. Throws std::invalid_argument for a
// demand that no operation has.
Call random_call(const CaseDemand& demand, std::uint64_t seed, std::int64_t index);

// The simplest call that still fails, found in at most `seconds`; `still_fails` gets calls without outputs.
Call minimized(const Call& failing, const std::function<bool(const Call&)>& still_fails, double seconds);

// Our kernels, their CUDA threads run on this CPU. Throws std::invalid_argument with the reason where they
// refuse the call.
Outputs run_on_host(const Call& call);

}  // namespace normproof::python
