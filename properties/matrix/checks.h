// The columns of the kill matrix: everything that may see that a kernel is wrong.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "properties/matrix/cell.h"

namespace normproof::matrix {

struct CheckSettings {
  std::uint64_t seed = 1;
  std::string corpus;        // folder
  std::string program;       // the normproof program, for `verify`
  std::string findings;      // folder for the repros that `verify` writes
  std::string fuzzers;       // folder of the fuzzers; empty: not built
  std::string fuzzer_seeds;  // their seed corpus of cases
  int property_cases = 100;  // of each property
  std::int64_t random_cases = 1000;
  std::int64_t witness_cases = 300;  // random ones, after the corpus
  std::int64_t fuzzer_runs = 3000;   // of a fuzzer of small cases; a tenth of it for wide ones
};

struct MatrixCheck {
  std::string name;
  // "verify": the default verification. "ours": a part of it alone. "witness": outputs judged alone.
  // "fuzzer". "theirs": a tolerance test.
  std::string group;
  std::string sentence;
  // Runs in a process of its own, ends at the first kill. `target` is a target's name.
  std::function<Cell(const std::string& target)> run;
  bool of_blocks = false;  // it calls the kernels that quantize block by block, and no others
};

// All columns. The tolerance tests' inputs and references are made here, once. Throws CaseError and
// std::system_error where the corpus cannot be read.
std::vector<MatrixCheck> matrix_checks(const CheckSettings& settings);

}  // namespace normproof::matrix
