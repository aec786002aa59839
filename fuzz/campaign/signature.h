// What a finding is, in a few words: the same bug found twice must get the same name.
#pragma once

#include <optional>
#include <string>

#include "corpus/case.h"

namespace normproof::campaign {

// What a fuzzer's output says went wrong, in words fit for a file name: "wrong-bits", "memory-violation",
// "AddressSanitizer-heap-buffer-overflow", "timeout", ...; empty where it says nothing.
std::string failure_kind(const std::string& log);

// The policy, by the fewest changes from native, under which `outputs` are what the contract demands, in the
// canonical order or in any; nothing where no policy explains them, or where they are native.
std::optional<std::string> explaining_policy(const Case& test_case, const Outputs& outputs,
                                             bool canonical = true);

// `text` with everything but letters, digits and . _ + - replaced by '-'.
std::string file_name_of(const std::string& text);

}  // namespace normproof::campaign
