#include <stdexcept>
#include <string>
#include <unordered_map>

#include "kernels/host/amd_machine.h"
#include "kernels/host/inline_assembly.h"

namespace normproof::host {
namespace {

// An asm statement's text is a constant: it is parsed once.
const std::vector<AmdInstruction>& amd_program_of(const char* text) {
  thread_local std::unordered_map<const char*, std::vector<AmdInstruction>> programs;
  const auto found = programs.find(text);
  return found != programs.end() ? found->second : programs.emplace(text, parse_amd(text)).first->second;
}

}  // namespace

void InlineAmd::run() {
  try {
    AmdMachine(operands_, site_).run(amd_program_of(text_));
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("inline assembly at " + std::string(site_.file_name()) + ":" +
                             std::to_string(site_.line()) + " cannot run on the CPU: " + error.what());
  }
  write_back();
}

}  // namespace normproof::host
