// Inline assembly: what the source pass makes of asm("..." : outputs : inputs), PTX or, in HIP sources,
// AMD's. Instructions that norm kernels use are carried out; any other ends the launch by its name, once a
// thread reaches it.
#ifndef NORMPROOF_KERNELS_HOST_INLINE_ASSEMBLY_H
#define NORMPROOF_KERNELS_HOST_INLINE_ASSEMBLY_H

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <source_location>
#include <type_traits>
#include <vector>

namespace normproof::host {

// A shared variable's address as a number, and the pointer of such a number or of its lower 32 bits.
std::size_t shared_address_of(const void* pointer);
void* shared_pointer_of(std::size_t address);

struct AssemblyOperand {
  const char* name;  // of %[name]; empty where there is none
  std::array<std::uint64_t, 2> bits;
  void* target;    // null for what is only read
  unsigned bytes;  // more than 16 are more than `bits` holds
};

// One statement. `Self` carries it out.
template <class Self>
class AssemblyStatement {
 public:
  explicit AssemblyStatement(const char* text, std::source_location site) : text_(text), site_(site) {}

  // An operand that is written ("=f", "=v", ...), or read and written ("+f").
  template <class T>
  Self& output(const char* constraint, T& variable, const char* name = "") {
    static_assert(std::is_trivially_copyable_v<T>);
    AssemblyOperand operand{name, {}, const_cast<std::remove_cv_t<T>*>(&variable), sizeof(T)};
    if (constraint[0] == '+') std::memcpy(&operand.bits, operand.target, held(operand));
    operands_.push_back(operand);
    return static_cast<Self&>(*this);
  }
  template <class T>
  Self& input(const char*, const T& value, const char* name = "") {
    using Value = std::decay_t<T>;
    const Value copy = value;
    static_assert(std::is_trivially_copyable_v<Value>);
    AssemblyOperand operand{name, {}, nullptr, sizeof(Value)};
    // A constant has the width of the register that it is put into: its sign is extended.
    if constexpr (std::is_integral_v<Value>) {
      operand.bits[0] = static_cast<std::uint64_t>(copy);
    } else {
      std::memcpy(&operand.bits, &copy, held(operand));
    }
    operands_.push_back(operand);
    return static_cast<Self&>(*this);
  }

 protected:
  static std::size_t held(const AssemblyOperand& operand) {
    return std::min<std::size_t>(operand.bytes, sizeof operand.bits);
  }
  // What was computed goes to the variables.
  void write_back() const {
    for (const AssemblyOperand& operand : operands_) {
      if (operand.target != nullptr) std::memcpy(operand.target, &operand.bits, held(operand));
    }
  }

  const char* text_;
  std::source_location site_;
  std::vector<AssemblyOperand> operands_;
};

class InlinePtx : public AssemblyStatement<InlinePtx> {
 public:
  explicit InlinePtx(const char* text, std::source_location site = std::source_location::current())
      : AssemblyStatement(text, site) {}
  void run();
};

class InlineAmd : public AssemblyStatement<InlineAmd> {
 public:
  explicit InlineAmd(const char* text, std::source_location site = std::source_location::current())
      : AssemblyStatement(text, site) {}
  void run();
};

#ifdef NORMPROOF_HIP
using InlineAssembly = InlineAmd;
#else
using InlineAssembly = InlinePtx;
#endif

}  // namespace normproof::host

#endif
