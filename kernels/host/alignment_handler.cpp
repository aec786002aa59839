// What -fsanitize=alignment calls in the code of a hosted kernel: a misaligned access ends the launch, as it
// does on a GPU, with the source line. No sanitizer's runtime is needed; the layout of the argument is that
// which clang and gcc give to __ubsan_handle_type_mismatch_v1.
#include <cstdint>
#include <string>

#include "kernels/host/block_collectives.h"

namespace {

struct SourceLocation {
  const char* file;
  std::uint32_t line;
  std::uint32_t column;
};
struct TypeDescriptor {
  std::uint16_t kind;
  std::uint16_t info;
  char name[1];  // as many as there are, with quotation marks
};
struct TypeMismatch {
  SourceLocation location;
  const TypeDescriptor* type;
  unsigned char alignment_exponent;
  unsigned char access;
};

// What `access` counts.
const char* name_of_access(unsigned char access) {
  constexpr const char* kNames[] = {
      "load of", "store to", "reference to", "member access within", "member call on", "constructor call on"};
  return access < sizeof kNames / sizeof *kNames ? kNames[access] : "access to";
}

}  // namespace

extern "C" void __ubsan_handle_type_mismatch_v1(TypeMismatch* mismatch, std::uintptr_t address) {
  const std::uintptr_t alignment = std::uintptr_t{1} << mismatch->alignment_exponent;
  const std::uintptr_t beyond = address & (alignment - 1);
  const std::string access = std::string(name_of_access(mismatch->access)) + " " + mismatch->type->name;
  const std::string place =
      std::string(" at ") + mismatch->location.file + ":" + std::to_string(mismatch->location.line);
  if (address == 0) return normproof::host::note_bad_access("null pointer: " + access + place, false);
  normproof::host::note_bad_access("misaligned access: " + access + " at an address that is " +
                                       std::to_string(beyond) + " above a multiple of " +
                                       std::to_string(alignment) + "," + place,
                                   true);
}
// Where the compiler is told not to go on.
extern "C" [[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(TypeMismatch* mismatch,
                                                                   std::uintptr_t address) {
  __ubsan_handle_type_mismatch_v1(mismatch, address);
  __builtin_trap();
}
