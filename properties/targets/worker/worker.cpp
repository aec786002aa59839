// normproof-worker [--plugin] LIBRARY [DEVICE-LIBRARY]: carries out rounds of calls of the kernels in LIBRARY
// in a process of its own, so that whatever a kernel does to the process or the device, the program that
// judges it goes on. Started by the targets, which hand over shared memory and a socket; see protocol.h. With
// --plugin, LIBRARY is a plug-in, and DEVICE-LIBRARY gives it device memory if it asks for that.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "properties/targets/worker/crash_place.h"
#include "properties/targets/worker/device_rounds.h"
#include "properties/targets/worker/host_rounds.h"
#include "properties/targets/worker/kernels_callee.h"
#include "properties/targets/worker/plugin_callee.h"
#include "properties/targets/worker/supervisor.h"

namespace normproof::worker {
namespace {

bool receive(Message& message) {
  ssize_t count = 0;
  while ((count = recv(kSocketDescriptor, &message, sizeof message, 0)) < 0 && errno == EINTR) continue;
  return count == sizeof message;
}

bool answer(const Message& message) {
  return send(kSocketDescriptor, &message, sizeof message, MSG_NOSIGNAL) == sizeof message;
}

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
  service.callee = load_kernels_callee(library, greeting.plugin, problem);
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

// What a plug-in must not do to the program's surroundings, nor have of them.
void keep_to_itself() {
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (nothing < 0 || dup2(nothing, STDIN_FILENO) < 0) std::_Exit(3);
  const rlimit none{0, 0};
  setrlimit(RLIMIT_CORE, &none);
  // If memory gets scarce it is this process that goes, not the program or another.
  if (FILE* file = std::fopen("/proc/self/oom_score_adj", "w")) {
    std::fputs("1000", file);
    std::fclose(file);
  }
}

std::byte* map_memory() {
  void* mapped =
      mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, kMemoryDescriptor, 0);
  if (mapped == MAP_FAILED) std::_Exit(3);
  // Nor do programs that a library starts get the connection.
  close(kMemoryDescriptor);
  fcntl(kSocketDescriptor, F_SETFD, FD_CLOEXEC);
  return static_cast<std::byte*>(mapped);
}

int serve(bool plugin, const char* library, const char* device_library) {
  Message message;
  if (!receive(message)) return 3;
  if (!become_supervised(kSocketDescriptor)) {
    auto* greeting = new (map_memory()) Greeting;
    say(*greeting, std::string("no process can be started for it: ") + std::strerror(errno));
    answer(message);
    return 3;
  }
  const pid_t self = getpid();
  std::byte* memory = map_memory();
  if (plugin) keep_to_itself();

  auto* greeting = new (memory) Greeting;
  if (plugin) note_crash_place(library, greeting->crash_place);
  Service service;
  if (plugin) {
    prepare_plugin(service, library, device_library, *greeting);
  } else {
    prepare_kernels(service, library, *greeting);
  }
  const bool usable = greeting->status == NORMPROOF_DEVICE_OK;
  std::fflush(stdout);  // what the library printed comes before the answer
  if (!answer(message) || !usable) return 3;

  bool pinned = plugin;  // one call at a time is not worth it
  while (receive(message)) {
    const auto arena = static_cast<std::size_t>(message.arena);
    if (arena >= kArenas) return 2;
    if (!pinned) {  // not before the first round: pinning takes time that a mere question does not need
      for (std::size_t i = 0; i < kArenas; ++i) service.device.pin(data_of(memory, i), kPinnedBytes, {});
      pinned = true;
    }
    Round& round = *round_of(memory, arena);
    const normproof_device_status status = service.rounds->carry_out(round, data_of(memory, arena));
    if (getpid() != self) return 0;  // the library has forked, and the other process answers
    round.status = status;
    std::fflush(stdout);
    if (!answer(message)) return 0;
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
