#include "fuzz/guard_pages.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace normproof::fuzz {
namespace {

constexpr std::size_t kForbidden = std::size_t{1} << 20;  // on either side: far strays are caught as well
constexpr std::size_t kCapacity = std::size_t{16} << 20;  // untouched pages cost nothing
constexpr std::size_t kHandlerStackBytes = std::size_t{1} << 20;

void protect(std::byte* begin, const std::byte* end, int protection) {
  static const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = reinterpret_cast<std::uintptr_t>(begin) / page * page;
  const std::uintptr_t size = reinterpret_cast<std::uintptr_t>(end) - first;
  if (mprotect(reinterpret_cast<void*>(first), size, protection) != 0) {
    throw std::runtime_error(fmt::format("mprotect: {}", std::strerror(errno)));
  }
}

TrapHandler trap_handler;
struct sigaction previous_action;

// Whether the faulting access wrote, as far as the processor says.
std::string_view access_of([[maybe_unused]] const void* context) {
#if defined(__x86_64__)
  constexpr greg_t kWrite = 2;  // bit 1 of a page fault's error code
  const auto& registers = static_cast<const ucontext_t*>(context)->uc_mcontext.gregs;
  return (registers[REG_ERR] & kWrite) != 0 ? "written" : "read";
#else
  return "touched";
#endif
}

// Runs at the instruction that faulted, which is one of a kernel: no lock of the library is held.
void on_trap(int, siginfo_t* info, void* context) {
  const std::string what = trap_handler.describe(info->si_addr, access_of(context));
  if (!what.empty()) {
    trap_handler.report(what);
    std::abort();
  }
  sigaction(SIGSEGV, &previous_action, nullptr);  // the instruction faults again, and goes there
}

}  // namespace

GuardPages::GuardPages() {
  void* const mapping = mmap(nullptr, kCapacity + 2 * kForbidden, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) throw std::runtime_error("cannot reserve address space for guard pages");
  mapping_ = static_cast<std::byte*>(mapping);
  protect(mapping_ + kForbidden, mapping_ + kForbidden + kCapacity, PROT_READ | PROT_WRITE);
}

GuardPages::~GuardPages() { munmap(mapping_, kCapacity + 2 * kForbidden); }

std::byte* GuardPages::move_in(const GuardedTensor& tensor, Side side, bool read_only) {
  const GuardedTensor::Range memory = tensor.memory(), elements = tensor.elements();
  const std::byte* const source_begin = side == Side::beginning ? elements.begin : memory.begin;
  const std::byte* const source_end = side == Side::beginning ? memory.end : elements.end;
  const auto size = static_cast<std::size_t>(source_end - source_begin);
  if (size > kCapacity) throw std::runtime_error(fmt::format("a tensor of {} bytes has no room", size));
  tensor_ = &tensor;
  source_ = source_begin;
  read_only_ = read_only;
  begin_ = mapping_ + kForbidden + (side == Side::beginning ? 0 : kCapacity - size);
  end_ = begin_ + size;
  first_ = begin_ + (elements.begin - source_begin);
  std::memcpy(begin_, source_begin, size);
  if (read_only) protect(begin_, end_, PROT_READ);
  return first_;
}

void GuardPages::move_out() {
  if (read_only_) protect(begin_, end_, PROT_READ | PROT_WRITE);
  std::memcpy(tensor_->memory().begin + (source_ - tensor_->memory().begin), begin_,
              static_cast<std::size_t>(end_ - begin_));
  tensor_ = nullptr;
}

std::string GuardPages::describe(const void* address, std::string_view access) const {
  const auto* const byte = static_cast<const std::byte*>(address);
  if (tensor_ == nullptr || byte < mapping_ || byte >= mapping_ + kCapacity + 2 * kForbidden) return {};
  const std::ptrdiff_t offset = byte - first_;
  const std::ptrdiff_t size = tensor_->elements().end - tensor_->elements().begin;
  std::string where =
      fmt::format("{}: byte {} from the first element was {}", tensor_->name(), offset, access);
  if (offset < 0) return where + ", before the tensor";
  if (offset >= size) return where + fmt::format(", {} beyond the last byte", offset - size + 1);
  return where + ", which is an input";
}

void handle_traps(TrapHandler handler) {
  trap_handler = std::move(handler);
  // A fiber's stack may be what overflowed, and is too small for a report anyway.
  static std::array<std::byte, kHandlerStackBytes> stack;
  const stack_t alternative{.ss_sp = stack.data(), .ss_flags = 0, .ss_size = stack.size()};
  struct sigaction action{};
  action.sa_sigaction = on_trap;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  if (sigaltstack(&alternative, nullptr) != 0 || sigaction(SIGSEGV, &action, &previous_action) != 0) {
    throw std::runtime_error(fmt::format("no handler for SIGSEGV: {}", std::strerror(errno)));
  }
}

}  // namespace normproof::fuzz
