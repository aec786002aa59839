// Carries out the instructions of one asm statement for the calling CUDA thread: registers, memory, and what
// needs the other threads of the warp or the block.
#ifndef NORMPROOF_KERNELS_HOST_PTX_MACHINE_H
#define NORMPROOF_KERNELS_HOST_PTX_MACHINE_H

#include <cstdint>
#include <map>
#include <source_location>
#include <span>
#include <string>
#include <vector>

#include "kernels/host/inline_assembly.h"
#include "kernels/host/ptx_arithmetic.h"
#include "kernels/host/ptx_program.h"

namespace normproof::host {

class PtxMachine {
 public:
  PtxMachine(std::span<AssemblyOperand> operands, std::source_location site)
      : operands_(operands), site_(site) {}

  // Throws std::runtime_error for what is not known.
  void run(const std::vector<PtxInstruction>& program);

 private:
  bool run_data(const PtxInstruction& instruction);
  bool run_memory(const PtxInstruction& instruction);
  bool run_warp(const PtxInstruction& instruction);

  std::uint64_t& cell(const PtxOperand& operand);
  // The bits of an operand; an immediate becomes one of this type.
  std::uint64_t read(const PtxOperand& operand, const PtxType& type);
  std::uint64_t read(const PtxOperand& operand) {
    return read(operand, PtxType{PtxType::Kind::kBits, 64, 1});
  }
  void write(const PtxOperand& operand, std::uint64_t bits, const PtxType& type);
  std::vector<std::uint64_t> sources(const PtxInstruction& instruction, const PtxType& type);
  static std::uint64_t special(const std::string& name);

  // The address, of shared memory from the 32 bits that a source may have kept of it.
  void* address(const PtxInstruction& instruction, const PtxOperand& operand);
  // Addresses that are no multiple of the bytes end the launch.
  void load(const PtxInstruction& instruction);
  void store(const PtxInstruction& instruction);
  void add_atomically(const PtxInstruction& instruction);
  void copy_asynchronously(const PtxInstruction& instruction);
  void shuffle_lanes(const PtxInstruction& instruction);
  void reduce_lanes(const PtxInstruction& instruction);
  void vote_of_lanes(const PtxInstruction& instruction);

  std::span<AssemblyOperand> operands_;
  std::source_location site_;
  std::map<std::string, std::uint64_t> registers_;
};

}  // namespace normproof::host

#endif
