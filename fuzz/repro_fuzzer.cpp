// The script repro.py of a finding is Python that says what the case and the outputs are, whatever the target
// is called: no name becomes code.
// 1. The input is the target's name, up to the first zero byte, and then a case in binary form.
// 2. The outputs are the contract's, with one element altered where there is one.
// 3. Demand of the script: printable ASCII alone; no string or comment that does not end; apart from the
//    contents of its strings, the same text as for a target with a plain name; every tensor with all its
//    elements.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "corpus/case_bytes.h"
#include "corpus/generate.h"
#include "fuzz/campaign/repro_script.h"
#include "oracle/canonical_judge.h"

namespace {

using namespace normproof;

void require(bool holds, std::string_view what, std::string_view script) {
  if (holds) return;
  fmt::print(stderr, "repro.py: {}\n{}\n", what, script);
  std::abort();
}

// A Python program without the contents of its strings, and without comments; nothing where a string does not
// end. Of Python's prefixes only those that change no quoting occur.
std::optional<std::string> code_of(std::string_view script) {
  std::string code;
  for (std::size_t i = 0; i < script.size();) {
    if (script[i] == '#') {
      i = std::min(script.find('\n', i), script.size());
      continue;
    }
    if (script[i] != '"' && script[i] != '\'') {
      code += script[i++];
      continue;
    }
    const bool is_long = script.substr(i, 3) == std::string(3, script[i]);
    const std::string quotes(is_long ? 3 : 1, script[i]);
    i += quotes.size();
    while (script.substr(i, quotes.size()) != quotes) {
      if (i >= script.size() || (!is_long && script[i] == '\n')) return std::nullopt;
      i += script[i] == '\\' ? 2 : 1;
    }
    i += quotes.size();
    code += "''";
  }
  return code;
}

// How many numbers the list behind NAME = has.
std::int64_t numbers_in(std::string_view script, std::string_view name) {
  const std::string begin = fmt::format("\n{} = [", name);
  const std::size_t first = script.find(begin);
  require(first != std::string_view::npos, fmt::format("{} is missing", name), script);
  const std::string_view list = script.substr(first + begin.size(), script.find(']', first) - first);
  std::int64_t count = 0;
  for (std::size_t at = list.find("0x"); at < list.find(']'); at = list.find("0x", at + 1)) ++count;
  return count;
}

CaseLimits limits() {
  CaseLimits small;
  small.max_rows = 3;
  small.max_hidden = 20;
  small.max_elements = 60;
  small.int8 = small.scale_ub = true;
  return small;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::uint8_t> input(data, size);
  const auto end = std::ranges::find(input, 0);
  const std::string target(input.begin(), end);
  const auto rest = input.subspan(std::min<std::size_t>(target.size() + 1, size));
  const Case test_case = case_from_bytes(rest, limits());
  const Outputs wanted = oracle::expected_outputs(test_case, materialize(test_case));
  Outputs got = wanted;
  if (!got[Role::out].empty()) got[Role::out][size % got[Role::out].size()] ^= std::byte{1};

  const std::string script = campaign::repro_script(test_case, got, wanted, target);
  require(std::ranges::all_of(script, [](char c) { return c == '\n' || (c >= ' ' && c <= '~'); }),
          "a byte that is no printable ASCII", script);
  const auto code = code_of(script);
  require(code.has_value(), "a string that does not end", script);
  require(code == code_of(campaign::repro_script(test_case, got, wanted, "host")),
          "the target's name is code", script);
  const std::int64_t elements = test_case.elements();
  for (const std::string_view name : {"INPUT", "GOT_OUT", "WANTED_OUT"})
    require(numbers_in(script, name) == elements, fmt::format("{} lacks elements", name), script);
  const std::int64_t residuals = test_case.has(Role::residual) ? elements : 0;
  for (const std::string_view name : {"RESIDUAL", "GOT_RESIDUAL_OUT", "WANTED_RESIDUAL_OUT"})
    require(numbers_in(script, name) == residuals, fmt::format("{} lacks elements", name), script);
  return 0;
}
