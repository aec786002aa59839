// Inline PTX: what the source pass makes of asm("..." : outputs : inputs). Instructions that norm kernels use
// are carried out; any other ends the launch by its name, once a thread reaches it.
#ifndef NORMPROOF_KERNELS_HOST_INLINE_PTX_H
#define NORMPROOF_KERNELS_HOST_INLINE_PTX_H

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

class InlinePtx {
 public:
  explicit InlinePtx(const char* text, std::source_location site = std::source_location::current())
      : text_(text), site_(site) {}

  // An operand that is written ("=f", "=r", ...), or read and written ("+f").
  template <class T>
  InlinePtx& output(const char* constraint, T& variable, const char* name = "") {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8);
    Operand operand{name, 0, const_cast<std::remove_cv_t<T>*>(&variable), sizeof(T)};
    if (constraint[0] == '+') std::memcpy(&operand.bits, operand.target, sizeof(T));
    operands_.push_back(operand);
    return *this;
  }
  template <class T>
  InlinePtx& input(const char*, const T& value, const char* name = "") {
    using Value = std::decay_t<T>;
    const Value copy = value;
    static_assert(std::is_trivially_copyable_v<Value> && sizeof(Value) <= 8);
    Operand operand{name, 0, nullptr, sizeof(Value)};
    // A constant has the width of the register that it is put into: its sign is extended.
    if constexpr (std::is_integral_v<Value>) {
      operand.bits = static_cast<std::uint64_t>(copy);
    } else {
      std::memcpy(&operand.bits, &copy, sizeof(Value));
    }
    operands_.push_back(operand);
    return *this;
  }
  void run();

  struct Operand {
    const char* name;  // of %[name]; empty where there is none
    std::uint64_t bits;
    void* target;  // null for what is only read
    unsigned bytes;
  };

 private:
  const char* text_;
  std::source_location site_;
  std::vector<Operand> operands_;
};

}  // namespace normproof::host

#endif
