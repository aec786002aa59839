// AMD's assembly as text, as instructions: what an asm statement of a HIP source says. Knows the grammar
// alone; amd_machine.h carries it out.
#ifndef NORMPROOF_KERNELS_HOST_AMD_PROGRAM_H
#define NORMPROOF_KERNELS_HOST_AMD_PROGRAM_H

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace normproof::host {

struct AmdArgument {
  enum class Kind { kOperand, kNamed, kRegister, kConstant, kFloat };
  Kind kind = Kind::kRegister;
  std::string name;        // of %[name]; of a register: v0, s[2:3], vcc, off
  unsigned index = 0;      // %0, %1, ...
  std::uint64_t bits = 0;  // a constant
  double number = 0;       // a constant with a decimal point
  bool negative = false;   // -%1, neg(%1)
  bool magnitude = false;  // |%1|, abs(%1)
};

struct AmdInstruction {
  std::string text;  // as it was written
  std::string name;  // without _e32, _e64, _dpp
  std::vector<AmdArgument> arguments;
  std::map<std::string, std::vector<int>> modifiers;   // offset:16, op_sel:[0,1]; of a word alone no number
  std::map<std::string, AmdArgument> given_modifiers;  // offset:%3

  bool has(const std::string& modifier) const { return modifiers.contains(modifier); }
  int modifier(const std::string& name, int otherwise, std::size_t index = 0) const;
};

// Throws std::runtime_error where the text is no assembly.
std::vector<AmdInstruction> parse_amd(std::string_view text);

}  // namespace normproof::host

#endif
