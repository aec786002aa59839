// Carries out the instructions of one asm statement of a HIP source for the calling thread: registers,
// memory, and what needs the other lanes of the wave.
#ifndef NORMPROOF_KERNELS_HOST_AMD_MACHINE_H
#define NORMPROOF_KERNELS_HOST_AMD_MACHINE_H

#include <array>
#include <cstdint>
#include <map>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "kernels/host/amd_program.h"
#include "kernels/host/inline_assembly.h"

namespace normproof::host {

// What an operand holds: words of 32 bits.
using AmdWords = std::array<std::uint32_t, 4>;

class AmdMachine {
 public:
  AmdMachine(std::span<AssemblyOperand> operands, std::source_location site)
      : operands_(operands), site_(site) {}
  // Throws std::runtime_error for what is not known.
  void run(const std::vector<AmdInstruction>& program);

 private:
  void run_one(const AmdInstruction& instruction);
  // Each false where the instruction is not one of its own.
  bool run_lanes(const AmdInstruction& instruction);
  bool run_memory(const AmdInstruction& instruction);
  bool run_comparison(const AmdInstruction& instruction);
  bool run_packed(const AmdInstruction& instruction);
  bool run_conversion(const AmdInstruction& instruction);
  bool run_words(const AmdInstruction& instruction);

  std::size_t operand_index(const AmdArgument& argument) const;
  AmdWords read(const AmdArgument& argument);
  // The first word, a constant with a decimal point as fp32 or fp16; with the signs that the argument says.
  std::uint32_t word(const AmdInstruction& instruction, std::size_t index);
  std::uint64_t two_words(const AmdInstruction& instruction, std::size_t index);
  float number(const AmdInstruction& instruction, std::size_t index);
  void write(const AmdArgument& argument, AmdWords words, unsigned count);
  // To the destination, with `clamp` and the multiplication of the output; a DPP leaves lanes out.
  void finish(const AmdInstruction& instruction, std::uint32_t bits);
  void finish(const AmdInstruction& instruction, float value);
  // A mask with one bit for each lane, from what each of them holds.
  void write_lanes(const AmdArgument& argument, bool holds);
  char* address(const AmdInstruction& instruction, std::size_t index);

  std::span<AssemblyOperand> operands_;
  std::source_location site_;
  std::map<std::string, AmdWords> registers_;
};

}  // namespace normproof::host

#endif
