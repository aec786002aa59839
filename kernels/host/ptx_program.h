// PTX as text, as instructions: what an asm statement says. Knows the grammar
// alone; ptx_machine.h carries it out.
#ifndef NORMPROOF_KERNELS_HOST_PTX_PROGRAM_H
#define NORMPROOF_KERNELS_HOST_PTX_PROGRAM_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace normproof::host {

struct PtxOperand {
  enum class Kind { kOperand, kNamed, kRegister, kSpecial, kImmediate, kAddress, kVector };
  Kind kind = Kind::kRegister;
  std::string name;                  // of a register, a special register, or %[name]
  unsigned index = 0;                // %0, %1, ...
  std::uint64_t bits = 0;            // an immediate; the offset of an address
  bool floating = false;             // an immediate with a decimal point, as a double
  bool negated = false;              // !p
  std::vector<PtxOperand> elements;  // of a vector; the base of an address
  std::vector<PtxOperand> also;      // p of d|p
};

struct PtxInstruction {
  std::string text;                // as it was written
  std::vector<std::string> words;  // ld, global, v4, u32
  std::vector<PtxOperand> operands;
  std::vector<PtxOperand> guard;  // of @p or @!p; empty where there is none
  bool is_label = false;          // a place to branch to, of that text

  bool has(std::string_view word) const;
  const std::string& type() const { return words.back(); }
};

// Throws std::runtime_error where the text is no PTX. Declarations of registers and braces are left out: a
// name is a register.
std::vector<PtxInstruction> parse_ptx(std::string_view text);

}  // namespace normproof::host

#endif
