#include "kernels/host/ptx_machine.h"

#include <algorithm>
#include <array>
#include <bit>
#include <stdexcept>

#include "kernels/host/block_collectives.h"
#include "kernels/host/cuda_on_host.h"

namespace normproof::host {
namespace {

using OperandKind = PtxOperand::Kind;

// What only hints or orders memory, which is in order here.
constexpr std::array<std::string_view, 9> kWithoutEffect = {"prefetch", "prefetchu",      "membar",
                                                            "fence",    "griddepcontrol", "nanosleep",
                                                            "discard",  "applypriority",  "setmaxnreg"};
constexpr std::array<std::string_view, 33> kComputed = {
    "add",  "sub", "mul", "mad",  "fma",   "div", "rem",  "neg", "abs",  "min",  "max",
    "and",  "or",  "xor", "not",  "shl",   "shr", "prmt", "bfe", "popc", "clz",  "brev",
    "lop3", "shf", "rcp", "sqrt", "rsqrt", "ex2", "lg2",  "sin", "cos",  "tanh", "dp4a"};

template <std::size_t Count>
bool among(const std::array<std::string_view, Count>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// No thread runs while another is in a statement, so a loop that waits for one would never end.
constexpr std::size_t kMostBranches = 1 << 20;

std::size_t place_of(const std::vector<PtxInstruction>& program, const PtxInstruction& branch) {
  const std::string& label = branch.operands.at(0).name;
  const auto place = std::find_if(program.begin(), program.end(), [&](const PtxInstruction& each) {
    return each.is_label && each.text == label;
  });
  if (place == program.end()) throw std::runtime_error("there is no label: " + branch.text);
  return static_cast<std::size_t>(place - program.begin());
}

}  // namespace

void PtxMachine::run(const std::vector<PtxInstruction>& program) {
  std::size_t branches_left = kMostBranches;
  for (std::size_t next = 0; next < program.size();) {
    const PtxInstruction& instruction = program[next++];
    if (instruction.is_label) continue;
    if (!instruction.guard.empty()) {
      const PtxOperand& guard = instruction.guard[0];
      if ((cell(guard) != 0) == guard.negated) continue;
    }
    if (instruction.words[0] == "bra") {
      if (branches_left-- == 0)
        throw std::runtime_error("a loop that does not end after " + std::to_string(kMostBranches) +
                                 " branches: " + instruction.text);
      next = place_of(program, instruction);
      continue;
    }
    if (instruction.words[0] == "ret") return;
    if (among(kWithoutEffect, instruction.words[0])) continue;
    if (!run_data(instruction) && !run_memory(instruction) && !run_warp(instruction))
      throw std::runtime_error("not known: " + instruction.text);
  }
}

std::uint64_t& PtxMachine::cell(const PtxOperand& operand) {
  if (operand.kind == OperandKind::kOperand) {
    if (operand.index >= operands_.size())
      throw std::runtime_error("there is no operand %" + std::to_string(operand.index));
    return operands_[operand.index].bits[0];
  }
  if (operand.kind == OperandKind::kNamed) {
    for (AssemblyOperand& given : operands_) {
      if (operand.name == given.name) return given.bits[0];
    }
    throw std::runtime_error("there is no operand %[" + operand.name + "]");
  }
  if (operand.kind == OperandKind::kRegister || operand.kind == OperandKind::kSpecial)
    return registers_[operand.name];
  throw std::runtime_error("a register is wanted");
}

std::uint64_t PtxMachine::read(const PtxOperand& operand, const PtxType& type) {
  switch (operand.kind) {
    case OperandKind::kImmediate:
      if (!operand.floating) return operand.bits;
      return ptx_bits(std::bit_cast<double>(operand.bits),
                      type.is_float() ? type : PtxType{PtxType::Kind::kFloat, 32, 1}, {});
    case OperandKind::kVector: {
      // Elements side by side, the first lowest.
      std::uint64_t bits = 0;
      const auto width = static_cast<unsigned>(type.bytes() * 8 / operand.elements.size());
      for (std::size_t i = operand.elements.size(); i-- > 0;)
        bits = bits << width | (read(operand.elements[i]) & ((std::uint64_t{1} << width) - 1));
      return bits;
    }
    case OperandKind::kSpecial:
      if (!registers_.contains(operand.name)) return special(operand.name);
      break;
    default:
      break;
  }
  const std::uint64_t bits = cell(operand);
  return operand.negated ? static_cast<std::uint64_t>(bits == 0) : bits;
}

void PtxMachine::write(const PtxOperand& operand, std::uint64_t bits, const PtxType& type) {
  if (operand.kind == OperandKind::kVector) {
    const auto width = static_cast<unsigned>(type.bytes() * 8 / operand.elements.size());
    for (std::size_t i = 0; i < operand.elements.size(); ++i)
      write(operand.elements[i], bits >> (i * width) & ((std::uint64_t{1} << width) - 1), type);
    return;
  }
  if (operand.name == "_") return;
  cell(operand) = bits;
}

std::vector<std::uint64_t> PtxMachine::sources(const PtxInstruction& instruction, const PtxType& type) {
  std::vector<std::uint64_t> bits;
  for (std::size_t i = 1; i < instruction.operands.size(); ++i)
    bits.push_back(read(instruction.operands[i], type));
  return bits;
}

std::uint64_t PtxMachine::special(const std::string& name) {
  const auto component = [&](const auto& triple) -> std::uint64_t {
    return name.ends_with(".x") ? triple.x : name.ends_with(".y") ? triple.y : triple.z;
  };
  const unsigned rank = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  if (name == "%laneid") return rank % 32;
  if (name == "%warpid") return rank / 32;
  if (name == "%lanemask_lt") return (1u << rank % 32) - 1u;
  if (name == "%lanemask_eq") return 1u << rank % 32;
  if (name.starts_with("%tid.")) return component(threadIdx);
  if (name.starts_with("%ntid.")) return component(blockDim);
  if (name.starts_with("%ctaid.")) return component(blockIdx);
  if (name.starts_with("%nctaid.")) return component(gridDim);
  if (name == "%smid" || name.starts_with("%clock") || name.starts_with("%globaltimer")) return 0;
  throw std::runtime_error("the special register " + name + " is not known");
}

bool PtxMachine::run_data(const PtxInstruction& instruction) {
  const std::string& name = instruction.words[0];
  const std::vector<PtxOperand>& operands = instruction.operands;
  if (operands.empty()) return false;
  if (name == "mov") {
    const PtxType type = ptx_type(instruction.type());
    write(operands[0], read(operands.at(1), type), type);
    return true;
  }
  if (name == "cvt") {
    const PtxType from = ptx_type(instruction.type());
    write(operands[0], ptx_convert(instruction, sources(instruction, from)),
          ptx_type(*(instruction.words.end() - 2)));
    return true;
  }
  if (name == "cvta") {
    write(operands[0], read(operands.at(1)), ptx_type(instruction.type()));
    return true;
  }
  if (name == "setp") {
    const PtxType type = ptx_type(instruction.type());
    const bool holds = ptx_compare(instruction, read(operands.at(1), type), read(operands.at(2), type));
    write(operands[0], holds, PtxType{PtxType::Kind::kPredicate, 8, 1});
    for (const PtxOperand& other : operands[0].also)
      write(other, !holds, PtxType{PtxType::Kind::kPredicate, 8, 1});
    return true;
  }
  if (name == "selp") {
    const PtxType type = ptx_type(instruction.type());
    write(operands[0], read(operands.at(read(operands.at(3)) != 0 ? 1 : 2), type), type);
    return true;
  }
  if (name == "createpolicy") {
    write(operands[0], 0, PtxType{PtxType::Kind::kBits, 64, 1});
    return true;
  }
  if (!among(kComputed, name)) return false;
  const PtxType type = ptx_type(instruction.type());
  if (type.kind == PtxType::Kind::kPredicate) {
    const bool a = read(operands.at(1)) != 0, b = operands.size() > 2 && read(operands[2]) != 0;
    write(operands[0], name == "and" ? a && b : name == "or" ? a || b : name == "xor" ? a != b : !a, type);
    return true;
  }
  write(operands[0], ptx_compute(instruction, sources(instruction, type)), type);
  return true;
}

}  // namespace normproof::host
