// normproof-worker [--plugin] LIBRARY [DEVICE-LIBRARY]: carries out rounds of calls of the kernels in LIBRARY
// in a process of its own, so that whatever a kernel does to the process or the device, the program that
// judges it goes on. Started by the targets, which hand over shared memory and a socket; see protocol.h. With
// --plugin, LIBRARY is a plug-in, and DEVICE-LIBRARY gives it device memory if it asks for that.
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "properties/worker/device_rounds.h"
#include "properties/worker/host_rounds.h"
#include "properties/worker/kernels_callee.h"
#include "properties/worker/plugin_callee.h"
#include "properties/worker/printed_text.h"

namespace normproof::worker {
namespace {

bool answer(std::uint8_t arena) { return write(kSocketDescriptor, &arena, 1) == 1; }

// What serves, once the libraries are loaded.
struct Service {
  std::unique_ptr<Callee> callee;
  DeviceFunctions device;
  std::unique_ptr<Rounds> rounds;
};

void say(Greeting& greeting, const std::string& problem) {
  greeting.status = NORMPROOF_DEVICE_FAILED;
  std::snprintf(greeting.message, sizeof greeting.message, "%s", problem.c_str());
}

// Opens the device of `library` for the service's callee; where that fails, the greeting says why.
void open_device(Service& service, const char* library, Greeting& greeting) {
  const std::string problem = load_device_functions(library, service.device);
  if (!problem.empty()) return say(greeting, problem);
  greeting.status = service.device.open(&greeting.device, {greeting.message, sizeof greeting.message});
  service.rounds = make_device_rounds(service.device, *service.callee);
}

void prepare_kernels(Service& service, const char* library, Greeting& greeting) {
  std::string problem;
  service.callee = load_kernels_callee(library, problem);
  if (!problem.empty()) return say(greeting, problem);
  open_device(service, library, greeting);
}

void prepare_plugin(Service& service, const char* library, const char* device_library, Greeting& greeting) {
  std::string problem;
  service.callee = load_plugin_callee(library, greeting.plugin, problem);
  if (!problem.empty()) return say(greeting, problem);
  if (!greeting.plugin.on_device) {
    service.rounds = make_host_rounds(*service.callee);
  } else if (access(device_library, R_OK) != 0) {
    say(greeting, std::string("it wants device memory, and there is no ") + device_library +
                      " to get it from: build kernels_cuda (preset release-cuda) and name it in "
                      "NORMPROOF_KERNELS_CUDA");
  } else {
    open_device(service, device_library, greeting);
  }
}

// Whatever a plug-in is at, this process ends with the program, whose end of the socket then is closed. The
// kernel's own signal for that comes when the thread ends that started this process, which is too early.
void end_with_the_program() {
  std::thread([] {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    pollfd event{kSocketDescriptor, POLLRDHUP, 0};
    while (poll(&event, 1, -1) < 0 && errno == EINTR) continue;
    kill(getpid(), SIGKILL);
  }).detach();
}

// What a plug-in must not do to the program's surroundings.
void keep_to_itself() {
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // If memory gets scarce it is this process that goes, not the program or another.
  if (FILE* file = std::fopen("/proc/self/oom_score_adj", "w")) {
    std::fputs("1000", file);
    std::fclose(file);
  }
}

int serve(bool plugin, const char* library, const char* device_library) {
  if (plugin) {
    end_with_the_program();
    keep_to_itself();
  } else {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
  void* mapped =
      mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, kMemoryDescriptor, 0);
  if (mapped == MAP_FAILED) return 3;
  auto* memory = static_cast<std::byte*>(mapped);

  auto* greeting = new (memory) Greeting;
  std::optional<PrintedText> printed;
  if (plugin) printed.emplace();
  Service service;
  if (plugin) {
    prepare_plugin(service, library, device_library, *greeting);
    char text[kPrintedBytes] = {};
    printed->take(text, sizeof text);
    if (*text != '\0' && greeting->status == NORMPROOF_DEVICE_OK) {
      say(*greeting, std::string("it prints to standard output while it is loaded: \"") + text + "\"");
    }
  } else {
    prepare_kernels(service, library, *greeting);
  }
  const bool usable = greeting->status == NORMPROOF_DEVICE_OK;
  if (!answer(0) || !usable) return 3;

  bool pinned = plugin;  // one call at a time is not worth it
  for (std::uint8_t arena = 0; read(kSocketDescriptor, &arena, 1) == 1;) {
    if (arena >= kArenas) return 2;
    if (!pinned) {  // not before the first round: pinning takes time that a mere question does not need
      for (std::size_t i = 0; i < kArenas; ++i) service.device.pin(data_of(memory, i), kPinnedBytes, {});
      pinned = true;
    }
    Round& round = *round_of(memory, arena);
    const normproof_device_status status = service.rounds->carry_out(round, data_of(memory, arena));
    round.status = status;
    if (printed) printed->take(round.printed, sizeof round.printed);
    if (!answer(arena)) return 0;
    if (status != NORMPROOF_DEVICE_OK) std::_Exit(4);
  }
  return 0;
}

}  // namespace
}  // namespace normproof::worker

int main(int count, char** arguments) {
  using namespace std::string_view_literals;
  const bool plugin = count == 4 && arguments[1] == "--plugin"sv;
  if (!plugin && count != 2) {
    std::fprintf(stderr, "normproof-worker is started by normproof, not by hand\n");
    return 2;
  }
  // Without the destructors of a library, which could do anything.
  std::_Exit(plugin ? normproof::worker::serve(true, arguments[2], arguments[3])
                    : normproof::worker::serve(false, arguments[1], nullptr));
}
