#include "properties/targets/worker/crash_place.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <ucontext.h>

#include <array>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace normproof::worker {
namespace {

constexpr std::array kSignals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
constexpr int kMostFrames = 64;

const char* library_path = nullptr;
char* place_of_crash = nullptr;
// The stack itself may be what is used up.
alignas(16) std::array<std::byte, std::size_t{256} << 10> signal_stack;

// "libmine.so+0x12ab"; false where the address lies in no module, or not in the one that is wanted.
bool write_place(const void* address, const char* wanted_module) {
  Dl_info module{};
  if (dladdr(address, &module) == 0 || module.dli_fname == nullptr) return false;
  if (wanted_module != nullptr && std::strcmp(module.dli_fname, wanted_module) != 0) return false;
  const char* slash = std::strrchr(module.dli_fname, '/');
  const auto offset = static_cast<std::uintptr_t>(static_cast<const std::byte*>(address) -
                                                  static_cast<const std::byte*>(module.dli_fbase));
  std::snprintf(place_of_crash, kPlaceBytes, "%s+0x%zx", slash == nullptr ? module.dli_fname : slash + 1,
                offset);
  return true;
}

const void* instruction_of(const void* context) {
#if defined(__x86_64__)
  return reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#elif defined(__aarch64__)
  return reinterpret_cast<const void*>(static_cast<const ucontext_t*>(context)->uc_mcontext.pc);
#else
  return context == nullptr ? nullptr : nullptr;
#endif
}

// The signal's default action is back, so that whatever goes wrong here ends the process as it would have.
void handle(int number, siginfo_t*, void* context) {
  std::array<void*, kMostFrames> frames{};
  const int count = backtrace(frames.data(), kMostFrames);
  bool found = false;
  for (int i = 0; i < count && !found; ++i) {
    // All but the place of the signal itself are where calls return to: behind the call.
    const auto* frame = static_cast<const std::byte*>(frames[static_cast<std::size_t>(i)]);
    found = write_place(frame == instruction_of(context) ? frame : frame - 1, library_path);
  }
  if (!found) write_place(instruction_of(context), nullptr);
  raise(number);
}

}  // namespace

void note_crash_place(const char* library, char (&place)[kPlaceBytes]) {
  if (dlsym(RTLD_DEFAULT, "__asan_init") != nullptr || dlsym(RTLD_DEFAULT, "__ubsan_on_report") != nullptr ||
      dlsym(RTLD_DEFAULT, "__tsan_init") != nullptr)
    return;
  library_path = library;
  place_of_crash = place;
  std::array<void*, 1> frame{};
  backtrace(frame.data(), 1);  // the first call loads a library, which a handler must not
  stack_t stack{};
  stack.ss_sp = signal_stack.data();
  stack.ss_size = signal_stack.size();
  sigaltstack(&stack, nullptr);
  struct sigaction action{};
  action.sa_sigaction = &handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | static_cast<int>(SA_RESETHAND) | SA_NODEFER;
  for (const int number : kSignals) sigaction(number, &action, nullptr);
}

}  // namespace normproof::worker
