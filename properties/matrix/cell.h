// Cell: what one check says of one mutant.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace normproof::matrix {

struct Cell {
  enum class Outcome : std::uint8_t {
    survived,   // the check saw nothing
    killed,     // the check failed, as it should
    crashed,    // the target ended the check's process: killed, too
    hung,       // the target used up the check's processor time: killed, too
    not_run,    // the check could not be carried out; `message` says why
    not_taken,  // the target is not made for anything that the check asks
  };
  Outcome outcome = Outcome::not_run;
  std::int64_t executions = 0;  // calls of the kernels until the kill, or until the check's end
  double seconds = 0;           // processor time for them, judging included
  std::string message;          // of a kill: what was wrong; of a check that was not run: why
  std::string repro;            // of `verify`: file of the smallest case; empty where there is none

  bool kills() const {
    return outcome == Outcome::killed || outcome == Outcome::crashed || outcome == Outcome::hung;
  }
};

std::string_view name_of(Cell::Outcome outcome);

nlohmann::ordered_json to_json(const Cell& cell);
// Throws nlohmann::json::exception, or std::invalid_argument for an unknown outcome.
Cell cell_from_json(const nlohmann::ordered_json& document);

}  // namespace normproof::matrix
