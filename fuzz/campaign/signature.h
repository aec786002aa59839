// What a fuzzer's output says went wrong: the same bug found twice must get the same name.
#pragma once

#include <string>

namespace normproof::campaign {

// In words fit for a file name: "wrong-bits", "memory-violation", "AddressSanitizer-heap-buffer-overflow",
// "timeout", ...; empty where it says nothing.
std::string failure_kind(const std::string& log);

}  // namespace normproof::campaign
