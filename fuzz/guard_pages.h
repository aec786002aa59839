// Memory next to pages that may not be touched: an access to one byte outside traps at once, with or without
// a sanitizer, a read as well as a write.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "properties/targets/guarded_tensor.h"

namespace normproof::fuzz {

class GuardPages {
 public:
  // Which end of a tensor meets the forbidden pages.
  enum class Side { beginning, end };

  // Throws std::runtime_error where the address space is not there.
  GuardPages();
  ~GuardPages();
  GuardPages(const GuardPages&) = delete;
  GuardPages& operator=(const GuardPages&) = delete;

  // Copies the tensor so that one of its ends lies at a forbidden page; at the other it keeps its guard zone.
  // Returns where its first element lies now. `read_only`: a write into it traps as well. The tensor must
  // outlive the stay here.
  std::byte* move_in(const GuardedTensor& tensor, Side side, bool read_only);
  // Copies what is here back to the tensor's own memory.
  void move_out();

  // What an access to `address` would do wrong: "input: byte 64 from the first element was read, 1 beyond the
  // last", or empty where the address is none of this object's.
  std::string describe(const void* address, std::string_view access) const;

 private:
  std::byte* mapping_ = nullptr;
  const GuardedTensor* tensor_ = nullptr;
  std::byte* begin_ = nullptr;         // of the copy
  std::byte* end_ = nullptr;           // the same
  std::byte* first_ = nullptr;         // element
  const std::byte* source_ = nullptr;  // what begin_ is a copy of
  bool read_only_ = false;
};

// From now on a trapped access (SIGSEGV) is told to `describe`, with the address and "read" or "written";
// what it says, unless that is empty, goes to `report`, which must not return.
// Other faults go where they went.
struct TrapHandler {
  std::function<std::string(const void* address, std::string_view access)> describe;
  std::function<void(const std::string& what)> report;
};
void handle_traps(TrapHandler handler);

}  // namespace normproof::fuzz
