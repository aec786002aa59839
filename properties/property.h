// Property: a sentence about the kernels that must hold for every case, checked by RapidCheck on a target.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "corpus/case.h"
#include "properties/judging/tally.h"
#include "properties/targets/target.h"

namespace normproof {

struct PropertyContext {
  Target& target;
  Tally& tally;  // every judged run is added here
  std::uint64_t seed = 0;
  int cases = 100;                     // successful cases to reach
  std::optional<Operation> operation;  // restrict to one operation, one activation dtype
  std::optional<DType> dtype;
  std::function<bool()> out_of_time = [] {
    return false;
  };  // asked between cases; true ends the property early
  bool shrink = true;  // false: the counterexample is the case that failed, for who only wants to know
};

struct PropertyResult {
  bool holds = false;
  int cases = 0;                       // cases that were checked
  int not_taken = 0;                   // cases that the target is not made for
  std::string message;                 // on failure: what is wrong, after shrinking
  std::optional<Case> counterexample;  // on failure: the shrunk case
  std::optional<Evaluation> seen;      // of the counterexample by itself, where a call of it was judged
  // Why the calls were judged one by one and not compared, which the sentence
  // is about; empty where they were.
  std::string not_compared;
};

struct Property {
  std::string_view name;      // as on the command line, for instance "bitwise-equality"
  std::string_view sentence;  // for people
  PropertyResult (*check)(PropertyContext&);
  // It is about our own interface: what must be refused, code paths, thread orders. It is not asked of a
  // foreign target.
  bool own_interface = false;
};

// The table of all properties, in the order in which they run.
std::span<const Property> all_properties();

}  // namespace normproof
