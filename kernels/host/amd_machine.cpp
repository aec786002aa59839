#include "kernels/host/amd_machine.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <stdexcept>

#include "kernels/host/amd_arithmetic.h"
#include "kernels/host/amd_lanes.h"
#include "kernels/host/block_collectives.h"
#include "kernels/host/rounding.h"
#include "kernels/host/small_floats.h"

namespace normproof::host {
namespace {

// What orders memory, which is in order here, or only hints.
constexpr std::array<std::string_view, 11> kAmdWithoutEffect = {
    "s_nop",        "s_sleep",         "s_setprio",
    "s_clause",     "s_inst_prefetch", "s_set_inst_prefetch_distance",
    "s_icache_inv", "s_dcache_wb",     "buffer_wbl2",
    "buffer_inv",   "s_delay_alu"};

bool computes_floats(std::string_view name) { return name.ends_with("_f32"); }

AmdWords lanes_of(LaneBits lanes) {
  return {static_cast<std::uint32_t>(lanes), static_cast<std::uint32_t>(lanes >> 32)};
}
float as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint32_t as_bits(float value) { return std::bit_cast<std::uint32_t>(value); }

// What the modifiers of an instruction say of moves between lanes.
std::optional<DppControl> dpp_control(const AmdInstruction& instruction) {
  struct Named {
    std::string_view name;
    unsigned base;  // to which the number after the colon is added
  };
  constexpr std::array kShifts = {
      Named{"row_shl", 0x100},      Named{"row_shr", 0x110},    Named{"row_ror", 0x120},
      Named{"wave_shl", 0x12f},     Named{"wave_rol", 0x133},   Named{"wave_shr", 0x137},
      Named{"wave_ror", 0x13b},     Named{"row_mirror", 0x140}, Named{"row_half_mirror", 0x141},
      Named{"row_newbcast", 0x150}, Named{"row_share", 0x150},  Named{"row_xmask", 0x160}};
  DppControl how;
  bool found = false;
  for (const Named& each : kShifts) {
    if (!instruction.has(std::string(each.name))) continue;
    how.control = each.base + static_cast<unsigned>(instruction.modifier(std::string(each.name), 0));
    found = true;
  }
  if (instruction.has("row_bcast")) {
    how.control = instruction.modifier("row_bcast", 15) == 15 ? 0x142 : 0x143;
    found = true;
  }
  if (instruction.has("quad_perm")) {
    for (unsigned i = 0; i < 4; ++i)
      how.control |= static_cast<unsigned>(instruction.modifier("quad_perm", 0, i) & 3) << (2 * i);
    found = true;
  }
  how.row_mask = static_cast<unsigned>(instruction.modifier("row_mask", 0xf));
  how.bank_mask = static_cast<unsigned>(instruction.modifier("bank_mask", 0xf));
  how.bound_control = instruction.has("bound_ctrl");  // written bound_ctrl:0
  return found ? std::optional(how) : std::nullopt;
}

}  // namespace

void AmdMachine::run(const std::vector<AmdInstruction>& program) {
  for (const AmdInstruction& instruction : program) {
    const std::string& name = instruction.name;
    if (name.starts_with("s_wait") ||
        std::find(kAmdWithoutEffect.begin(), kAmdWithoutEffect.end(), name) != kAmdWithoutEffect.end())
      continue;
    if (const std::optional<DppControl> how = dpp_control(instruction)) {
      const DppMove move = move_by_dpp(word(instruction, 1), *how, site_);
      AmdInstruction moved = instruction;
      AmdArgument& source = moved.arguments.at(1);
      source = AmdArgument();
      source.kind = AmdArgument::Kind::kConstant;
      source.bits = move.value;
      if (move.given) run_one(moved);
    } else {
      run_one(instruction);
    }
  }
}

void AmdMachine::run_one(const AmdInstruction& instruction) {
  if (!instruction.given_modifiers.empty()) {
    AmdInstruction given = instruction;
    given.given_modifiers.clear();
    for (const auto& [name, argument] : instruction.given_modifiers)
      given.modifiers[name] = {static_cast<int>(read(argument)[0])};
    return run_one(given);
  }
  if (!run_lanes(instruction) && !run_memory(instruction) && !run_comparison(instruction) &&
      !run_packed(instruction) && !run_conversion(instruction) && !run_words(instruction))
    throw std::runtime_error("not known: " + instruction.text);
}

std::size_t AmdMachine::operand_index(const AmdArgument& argument) const {
  std::size_t index = argument.index;
  if (argument.kind == AmdArgument::Kind::kNamed) {
    const auto found = std::find_if(operands_.begin(), operands_.end(),
                                    [&](const AssemblyOperand& each) { return argument.name == each.name; });
    if (found == operands_.end()) throw std::runtime_error("there is no operand %[" + argument.name + "]");
    index = static_cast<std::size_t>(found - operands_.begin());
  }
  if (index >= operands_.size()) throw std::runtime_error("there is no operand %" + std::to_string(index));
  if (operands_[index].bytes > 16)
    throw std::runtime_error("operand %" + std::to_string(index) + " has " +
                             std::to_string(operands_[index].bytes) + " bytes");
  return index;
}

AmdWords AmdMachine::read(const AmdArgument& argument) {
  using Kind = AmdArgument::Kind;
  switch (argument.kind) {
    case Kind::kOperand:
    case Kind::kNamed:
      return std::bit_cast<AmdWords>(operands_[operand_index(argument)].bits);
    case Kind::kConstant:
      return {static_cast<std::uint32_t>(argument.bits), static_cast<std::uint32_t>(argument.bits >> 32)};
    case Kind::kFloat:
      return {as_bits(static_cast<float>(argument.number))};
    case Kind::kRegister:
      break;
  }
  if (argument.name == "off" || argument.name == "null") return {};
  if (argument.name == "exec") return lanes_of(vote(Collective::kBallot, kLanesTogether, true, site_).lanes);
  const auto found = registers_.find(argument.name);
  if (found == registers_.end())
    throw std::runtime_error("register " + argument.name + " is read, which the statement has not written");
  return found->second;
}

std::uint32_t AmdMachine::word(const AmdInstruction& instruction, std::size_t index) {
  const AmdArgument& argument = instruction.arguments.at(index);
  const bool half = instruction.name.ends_with("_f16");
  std::uint32_t bits = read(argument)[0];
  if (half && argument.kind == AmdArgument::Kind::kFloat) bits = round_to_bits(argument.number, kFp16, 15);
  const std::uint32_t sign = half ? 0x8000 : 0x80000000;
  if (argument.magnitude) bits &= ~sign;
  if (argument.negative) bits ^= sign;
  return bits;
}

std::uint64_t AmdMachine::two_words(const AmdInstruction& instruction, std::size_t index) {
  const AmdWords words = read(instruction.arguments.at(index));
  return std::uint64_t{words[1]} << 32 | words[0];
}

float AmdMachine::number(const AmdInstruction& instruction, std::size_t index) {
  return as_float(word(instruction, index));
}

void AmdMachine::write(const AmdArgument& argument, AmdWords words, unsigned count) {
  using Kind = AmdArgument::Kind;
  if (argument.kind == Kind::kRegister) {
    if (argument.name == "exec" || argument.name == "m0")
      throw std::runtime_error("what a statement does to " + argument.name + " is not known");
    registers_[argument.name] = words;
    return;
  }
  if (argument.kind != Kind::kOperand && argument.kind != Kind::kNamed)
    throw std::runtime_error("a register is wanted");
  AssemblyOperand& operand = operands_[operand_index(argument)];
  auto all = std::bit_cast<AmdWords>(operand.bits);
  std::copy_n(words.begin(), count, all.begin());
  operand.bits = std::bit_cast<std::array<std::uint64_t, 2>>(all);
}

void AmdMachine::finish(const AmdInstruction& instruction, std::uint32_t bits) {
  write(instruction.arguments.at(0), {bits}, 1);
}

void AmdMachine::finish(const AmdInstruction& instruction, float value) {
  value *=
      static_cast<float>(instruction.modifier("mul", 1)) / static_cast<float>(instruction.modifier("div", 1));
  if (instruction.has("clamp")) value = std::isnan(value) ? 0.0f : std::clamp(value, 0.0f, 1.0f);
  finish(instruction, as_bits(value));
}

// Numbers of two words, or of two halves of one, computed each by themselves.
bool AmdMachine::run_packed(const AmdInstruction& instruction) {
  const std::string& name = instruction.name;
  if (!name.starts_with("v_pk_")) return false;
  const std::string single = "v_" + name.substr(5);
  const bool halves = name.ends_with("_f16");
  if (!halves && !name.ends_with("_f32") && name != "v_pk_mov_b32") return false;
  const std::size_t count = instruction.arguments.size() - 1;
  std::array<std::uint32_t, 2> result{};
  for (std::size_t part = 0; part < 2; ++part) {
    std::array<std::uint32_t, 3> words{};
    std::array<float, 3> numbers{};
    for (std::size_t i = 0; i < count && i < 3; ++i) {
      // Which half each source gives to this half of the result; v_pk_mov_b32 takes one of each.
      const bool upper = instruction.modifier(part == 0 ? "op_sel" : "op_sel_hi", part == 0 ? 0 : 1, i) != 0;
      const AmdArgument& argument = instruction.arguments[i + 1];
      const AmdWords all = read(argument);
      const bool constant =
          argument.kind == AmdArgument::Kind::kFloat || argument.kind == AmdArgument::Kind::kConstant;
      words[i] = halves ? (upper ? all[0] >> 16 : all[0] & 0xffff) : upper && !constant ? all[1] : all[0];
      const bool negated = instruction.modifier(part == 0 ? "neg_lo" : "neg_hi", 0, i) != 0;
      if (negated != argument.negative) words[i] ^= halves ? 0x8000u : 0x80000000u;
      numbers[i] = as_float(words[i]);
    }
    std::optional<std::uint32_t> one;
    if (name == "v_pk_mov_b32") one = words[part];
    if (halves) one = amd_half(single, std::span(words).first(count));
    if (!halves && !one) {
      const std::optional<float> value = amd_float(single, std::span(numbers).first(count), 0);
      if (value) one = as_bits(*value);
    }
    if (!one) return false;
    result[part] = *one;
  }
  if (halves) return finish(instruction, result[0] | result[1] << 16), true;
  write(instruction.arguments.at(0), {result[0], result[1]}, 2);
  return true;
}

bool AmdMachine::run_conversion(const AmdInstruction& instruction) {
  const std::string& name = instruction.name;
  if (!name.starts_with("v_cvt_")) return false;
  const bool e5m2 = name.find("bf8") != std::string::npos;
  const auto into_half = [&](std::uint32_t bits, bool upper) {
    const std::uint32_t old = read(instruction.arguments.at(0))[0];
    finish(instruction, upper ? (old & 0xffff) | bits << 16 : (old & 0xffff0000) | bits);
  };
  if (name == "v_cvt_pk_fp8_f32" || name == "v_cvt_pk_bf8_f32") {
    const std::uint32_t bits =
        amd_to_fp8(number(instruction, 1), e5m2) | amd_to_fp8(number(instruction, 2), e5m2) << 8;
    return into_half(bits, instruction.modifier("op_sel", 0, 2) != 0), true;
  }
  if (name == "v_cvt_pk_f32_fp8" || name == "v_cvt_pk_f32_bf8") {
    const std::uint32_t bits = word(instruction, 1) >> (instruction.modifier("op_sel", 0) != 0 ? 16 : 0);
    write(instruction.arguments.at(0),
          {as_bits(amd_of_fp8(bits, e5m2)), as_bits(amd_of_fp8(bits >> 8, e5m2))}, 2);
    return true;
  }
  if (name == "v_cvt_f32_fp8" || name == "v_cvt_f32_bf8") {
    // Which byte: the first bit of op_sel says the upper half of a half.
    const int byte = 2 * instruction.modifier("op_sel", 0) + instruction.modifier("op_sel", 0, 1);
    return finish(instruction, amd_of_fp8(word(instruction, 1) >> (8 * byte), e5m2)), true;
  }
  if (name == "v_cvt_f32_f16")
    return finish(instruction, value_of_bits(word(instruction, 1) & 0xffff, kFp16, 15)), true;
  if (name == "v_cvt_f16_f32")
    return finish(instruction, round_to_bits(static_cast<double>(number(instruction, 1)), kFp16, 15)), true;
  if (name == "v_cvt_pkrtz_f16_f32" || name == "v_cvt_pk_rtz_f16_f32" || name == "v_cvt_pk_bf16_f32") {
    const bool to_bf16 = name == "v_cvt_pk_bf16_f32";
    const auto half = [&](std::size_t index) {
      return round_to_bits(static_cast<double>(number(instruction, index)), to_bf16 ? kBf16 : kFp16, 15,
                           to_bf16 ? Rounding::kNearest : Rounding::kZero);
    };
    return finish(instruction, half(1) | half(2) << 16), true;
  }
  if (name == "v_cvt_f32_u32") return finish(instruction, static_cast<float>(word(instruction, 1))), true;
  if (name == "v_cvt_f32_i32")
    return finish(instruction, static_cast<float>(static_cast<std::int32_t>(word(instruction, 1)))), true;
  // Toward zero, to the ends of the range beyond it; NaN is 0.
  if (name == "v_cvt_u32_f32")
    return finish(instruction, to_integer<std::uint32_t>(number(instruction, 1), Rounding::kZero)), true;
  if (name == "v_cvt_i32_f32")
    return finish(instruction, static_cast<std::uint32_t>(
                                   to_integer<std::int32_t>(number(instruction, 1), Rounding::kZero))),
           true;
  if (name.starts_with("v_cvt_f32_ubyte") && name.size() == 16)
    return finish(instruction, static_cast<float>(word(instruction, 1) >> (8 * (name[15] - '0')) & 0xff)),
           true;
  return false;
}

bool AmdMachine::run_words(const AmdInstruction& instruction) {
  const std::string& name = instruction.name;
  const std::size_t count = instruction.arguments.empty() ? 0 : instruction.arguments.size() - 1;
  if (count == 0 || count > 3) return false;
  if (name == "s_mov_b64") return write(instruction.arguments[0], read(instruction.arguments[1]), 2), true;
  std::array<std::uint32_t, 3> words{};
  std::array<float, 3> numbers{};
  for (std::size_t i = 0; i < count; ++i) {
    words[i] = word(instruction, i + 1);
    numbers[i] = as_float(words[i]);
  }
  if (name == "v_swap_b32") {
    const std::uint32_t first = word(instruction, 0);
    finish(instruction, words[0]);
    return write(instruction.arguments[1], {first}, 1), true;
  }
  if (computes_floats(name)) {
    const bool adds = name == "v_fmac_f32" || name == "v_mac_f32";
    const std::optional<float> value =
        amd_float(name, std::span(numbers).first(count), adds ? number(instruction, 0) : 0.0f);
    return value ? (finish(instruction, *value), true) : false;
  }
  const auto bits = name.ends_with("_f16") ? amd_half(name, std::span(words).first(count))
                                           : amd_integer(name, std::span(words).first(count));
  return bits ? (finish(instruction, *bits), true) : false;
}

}  // namespace normproof::host
