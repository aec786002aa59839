// Sequence: calls that are made one after the other on one target, for bugs that one call does not show. A
// file of the extension `.sequence`, JSON: {"normproof_sequence": 1, "same_bits": true or false, "repeat": N,
// "calls": [case, ...]}.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "corpus/case.h"

namespace normproof {

inline constexpr std::size_t kMostSequenceCalls = 256;
inline constexpr int kMostRepetitions = 1024;

struct Sequence {
  std::vector<Case> calls;  // at least one
  int repeat = 1;           // so many times all of them
  // Whether the first rows that all calls have in common must come out with the same bits in each; then all
  // calls have the same operation, dtypes and hidden size.
  bool same_bits = false;
  friend bool operator==(const Sequence&, const Sequence&) = default;
};

bool is_sequence_file(const std::filesystem::path& file);

// As case_from_json and case_to_json. Throws CaseError naming the call, and std::invalid_argument.
Sequence sequence_from_json(std::string_view text);
std::string sequence_to_json(const Sequence& sequence);

// As read_case and write_case.
Sequence read_sequence(const std::filesystem::path& file);
void write_sequence(const std::filesystem::path& file, const Sequence& sequence);

}  // namespace normproof
