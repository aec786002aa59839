#include "kernels/host/inline_assembly.h"

#include <cstdint>
#include <stdexcept>
#include <string>
#include <unordered_map>

#include "kernels/host/ptx_machine.h"

namespace normproof::host {
namespace {

// The upper half of the last shared address that the OS thread has turned into a number: sources keep 32 bits
// of it.
constinit thread_local std::uint64_t upper_half_of_shared = 0;

// An asm statement's text is a constant: it is parsed once.
const std::vector<PtxInstruction>& program_of(const char* text) {
  thread_local std::unordered_map<const char*, std::vector<PtxInstruction>> programs;
  const auto found = programs.find(text);
  return found != programs.end() ? found->second : programs.emplace(text, parse_ptx(text)).first->second;
}

}  // namespace

std::size_t shared_address_of(const void* pointer) {
  const auto bits = reinterpret_cast<std::uintptr_t>(pointer);
  upper_half_of_shared = bits & ~std::uint64_t{0xffffffffu};
  return bits;
}

void* shared_pointer_of(std::size_t address) {
  if (address <= 0xffffffffu) address |= upper_half_of_shared;
  return reinterpret_cast<void*>(address);
}

void InlinePtx::run() {
  try {
    for (const AssemblyOperand& operand : operands_) {
      if (operand.bytes > 8)
        throw std::runtime_error("an operand has " + std::to_string(operand.bytes) + " bytes");
    }
    PtxMachine(operands_, site_).run(program_of(text_));
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("inline PTX at " + std::string(site_.file_name()) + ":" +
                             std::to_string(site_.line()) + " cannot run on the CPU: " + error.what());
  }
  write_back();
}

}  // namespace normproof::host
