// The example of `normproof new-target`, as it was with version 1 of the interface, with a fault on demand:
// NORMPROOF_FAULT is "FAULT", or "FAULT:HIDDEN" for every rms_norm of that hidden size. Faults that begin
// with "load-" happen while the library is loaded.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

// The example, its one symbol under another name.
#define normproof_plugin example_plugin
#include "faultless_adapter.cpp"  // NOLINT(bugprone-suspicious-include)
#undef normproof_plugin

extern "C" NORMPROOF_PLUGIN_EXPORT const normproof_plugin_info* normproof_plugin(void);

namespace {

// Steers a terminal, ends XML's CDATA, is no UTF-8.
constexpr char kHostileText[] = "\x1b[31m\xff\xfe]]>\x07 gr\xc3\xbcn <b>";

std::string fault() {
  const char* text = std::getenv("NORMPROOF_FAULT");
  return text != nullptr ? text : "";
}

bool fault_is(const char* kind, const DLTensor* input) {
  const std::string wanted = fault();
  return wanted == kind || wanted == std::string(kind) + ":" + std::to_string(input->shape[input->ndim - 1]);
}

[[noreturn]] void crash() {
  std::signal(SIGSEGV, SIG_DFL);  // a sanitizer would turn it into an exit
  std::raise(SIGSEGV);
  std::abort();
}

// A crash where a vector load would crash, and another one in a call without rows.
void crash_if_misaligned_or_without_rows(const DLTensor* input) {
  if (input->shape[0] == 0) {
    std::signal(SIGFPE, SIG_DFL);
    std::raise(SIGFPE);
  }
  const auto address = reinterpret_cast<std::uintptr_t>(static_cast<char*>(input->data) + input->byte_offset);
  if (address % 16 != 0) crash();
}

// Two bugs with the same signal.
[[gnu::noinline]] void crash_of_odd_sizes() { *const_cast<volatile int*>(static_cast<int*>(nullptr)) = 1; }
[[gnu::noinline]] void crash_of_even_sizes() { *const_cast<volatile int*>(static_cast<int*>(nullptr)) = 2; }

// Of the program, if the test gives it one.
constexpr int kInheritedDescriptor = 77;

void hang() {
  while (true) usleep(10000);
}

void take_memory(std::size_t bytes) {
  char* memory = static_cast<char*>(std::malloc(bytes));
  if (memory == nullptr) std::abort();
  for (std::size_t i = 0; i < bytes; i += 4096) static_cast<volatile char*>(memory)[i] = 1;
}

// 64 MiB.
void write_often(int descriptor) {
  const std::string line = std::string(1023, 'x') + "\n";
  for (int i = 0; i < 1 << 16; ++i) static_cast<void>(!write(descriptor, line.data(), line.size()));
}

int parent_of(int process) {
  int parent = 1;
  std::FILE* status = std::fopen(("/proc/" + std::to_string(process) + "/stat").c_str(), "r");
  if (status == nullptr || std::fscanf(status, "%*d %*s %*c %d", &parent) != 1) parent = 1;
  if (status != nullptr) std::fclose(status);
  return parent;
}

// Above this process, its supervisor, and that of the program.
int program() { return parent_of(getppid()); }

// Files of this process, of its parent and of its parent's parent, which is the program.
template <class Visit>
void for_each_file(const Visit& visit) {
  int process = getpid();
  for (int generation = 0; generation < 3; ++generation) {
    const std::string folder = "/proc/" + std::to_string(process);
    for (int number = 3; number < 64; ++number) {
      const int file = open((folder + "/fd/" + std::to_string(number)).c_str(), O_RDWR | O_NONBLOCK);
      if (file >= 0) visit(file);
      if (file >= 0) close(file);
    }
    process = parent_of(process);
  }
}

// Whatever is as large as memory that is shared with the program gets shorter.
void truncate_shared_memory() {
  for_each_file([](int file) {
    struct stat statistics{};
    if (fstat(file, &statistics) == 0 && statistics.st_size > std::int64_t{1} << 30 &&
        ftruncate(file, 0) != 0)
      std::fprintf(stderr, "not truncated: %d\n", errno);
  });
}

// To every socket of this process.
void write_to_sockets(int times) {
  for (int count = 0; count < times; ++count) {
    for (int number = 3; number < 64; ++number) {
      struct stat statistics{};
      if (fstat(number, &statistics) == 0 && S_ISSOCK(statistics.st_mode))
        static_cast<void>(send(number, "", 1, MSG_NOSIGNAL));
    }
  }
}

// A process that leaves the group and the session, and goes on for a while; its number goes to a file.
template <class Work>
void leave_behind(const Work& work) {
  if (fork() != 0) return;
  setsid();
  if (fork() != 0) _exit(0);
  if (std::FILE* file = std::fopen("left_behind", "w")) {
    std::fprintf(file, "%d\n", getpid());
    std::fclose(file);
  }
  work();
  sleep(60);
  _exit(0);
}

void wait_for_file(const char* name) {
  while (access(name, R_OK) != 0) usleep(1000);
}

// --- kernels that keep the contract in every call, and no promise about several ---

// Whether this call sums in another order than the last one: from 64 rows on, or every second time.
bool sums_backwards(const DLTensor* input) {
  static int calls = 0;
  ++calls;
  return (fault_is("order-from-64-rows", input) && input->shape[0] >= 64) ||
         (fault_is("order-by-call", input) && calls % 2 == 0) ||
         (fault_is("order-by-alignment", input) && reinterpret_cast<std::uintptr_t>(input->data) % 16 != 0);
}

// After ten right calls the rows are off by a factor.
float factor_after_ten_calls(const DLTensor* input) {
  static int calls = 0;
  return fault_is("right-ten-times", input) && ++calls > 10 ? 1.5f : 1.0f;
}

// Wrong where the call before it had another number of columns.
float factor_after_other_columns(const DLTensor* input) {
  static std::int64_t before = 0;
  const std::int64_t columns = input->shape[input->ndim - 1];
  const bool other = before != 0 && before != columns;
  before = columns;
  return other && fault_is("after-other-columns", input) ? 1.5f : 1.0f;
}

// Up by one in the last place in one of 512 elements, of others in every process.
float nudged_by_chance(DLDataType type, float value) {
  static std::uint32_t state = 0;
  if (state == 0) state = static_cast<std::uint32_t>(getpid()) * 2654435761u | 1u;
  state = state * 1664525u + 1013904223u;
  return (state >> 23) == 0 ? from_bits(to_bits(value) + (is_bf16(type) ? 0x10000u : 1u)) : value;
}

void spoil_sometimes(const DLTensor* out, const DLTensor* input) {
  const float factor = factor_after_ten_calls(input) * factor_after_other_columns(input);
  const bool by_chance = fault_is("by-chance", input);
  if (factor == 1 && !by_chance) return;
  for (std::int64_t row = 0; row < input->shape[0]; ++row) {
    for (std::int64_t j = 0; j < input->shape[1]; ++j) {
      const std::int64_t at = row * out->strides[0] + j;
      const float value = load(out, at) * factor;
      store(out, at, by_chance ? nudged_by_chance(out->dtype, value) : value);
    }
  }
}

// One row, in ascending order by Kahan's sum, or with another root: 1 / sqrt(m) rounded once, or twice.
float compensated_inverse_rms(const DLTensor* input, std::int64_t begin, float epsilon) {
  const std::int64_t columns = input->shape[input->ndim - 1];
  float sum = 0, correction = 0;
  for (std::int64_t j = 0; j < columns; ++j) {
    const float y = load(input, begin + j) * load(input, begin + j) - correction, t = sum + y;
    correction = (t - sum) - y;
    sum = t;
  }
  return 1.0f / std::sqrt(sum / static_cast<float>(columns) + epsilon);
}
float inverse_rms_rounded_once(const DLTensor* input, std::int64_t begin, float epsilon) {
  const std::int64_t columns = input->shape[input->ndim - 1];
  float sum = 0;
  for (std::int64_t j = 0; j < columns; ++j) sum += load(input, begin + j) * load(input, begin + j);
  const float m = sum / static_cast<float>(columns) + epsilon;
  return static_cast<float>(1 / std::sqrt(static_cast<double>(m)));
}

// One row. The sum runs backwards, by fma, times 1 / H: another faithful evaluation of r.
float another_inverse_rms(const DLTensor* input, std::int64_t begin, float epsilon) {
  const std::int64_t columns = input->shape[input->ndim - 1];
  float sum = 0;
  for (std::int64_t j = columns; j-- > 0;)
    sum = std::fma(load(input, begin + j), load(input, begin + j), sum);
  return 1.0f / std::sqrt(sum * (1.0f / static_cast<float>(columns)) + epsilon);
}

// rms_norm of two dimensions by another r, and, where it is so wanted, with the
// story's bug: the weight in fp32.
int32_t another_rms_norm(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon,
                         bool weight_in_fp32) {
  for (std::int64_t row = 0; row < input->shape[0]; ++row) {
    const std::int64_t begin = row * input->strides[0];
    const float r = fault_is("kahan", input)          ? compensated_inverse_rms(input, begin, epsilon)
                    : fault_is("rounded-once", input) ? inverse_rms_rounded_once(input, begin, epsilon)
                                                      : another_inverse_rms(input, begin, epsilon);
    for (std::int64_t j = 0; j < input->shape[1]; ++j) {
      const float normalized = load(input, begin + j) * r;
      float y = normalized;
      if (weight != nullptr && weight_in_fp32) y = normalized * load(weight, j);
      if (weight != nullptr && !weight_in_fp32)
        y = rounded(weight->dtype, rounded(weight->dtype, normalized) * load(weight, j));
      store(out, row * out->strides[0] + j, y);
    }
  }
  return NORMPROOF_PLUGIN_OK;
}

int32_t faulty_rms_norm(const DLTensor* out, const DLTensor* input, const DLTensor* weight, float epsilon,
                        const normproof_plugin_call* call) {
  if (input->ndim == 2 && sums_backwards(input)) return another_rms_norm(out, input, weight, epsilon, false);
  if (input->ndim == 2 &&
      (fault_is("other-order", input) || fault_is("kahan", input) || fault_is("rounded-once", input)))
    return another_rms_norm(out, input, weight, epsilon, false);
  if (input->ndim == 2 && fault_is("fp32-weight", input))
    return another_rms_norm(out, input, weight, epsilon, true);
  if (fault_is("crash", input)) crash();
  if (fault_is("misaligned-or-no-rows", input)) crash_if_misaligned_or_without_rows(input);
  if (fault_is("two-crashes", input))
    input->shape[input->ndim - 1] % 2 != 0 ? crash_of_odd_sizes() : crash_of_even_sizes();
  if (fault_is("slow", input)) usleep(20000);
  if (fault_is("hang", input)) hang();
  if (fault_is("exit", input)) std::exit(0);
  if (fault_is("abort", input)) std::abort();
  while (fault_is("eat", input)) take_memory(std::size_t{1} << 24);
  if (fault_is("leak", input)) take_memory(std::size_t{1} << 22);
  if (fault_is("print", input)) std::printf("hello from the kernel\n");
  if (fault_is("not-taken", input)) return not_taken(call, "not in the mood");
  if (fault_is("written-not-taken", input)) {
    *static_cast<char*>(out->data) ^= 1;
    return not_taken(call, "not in the mood");
  }
  if (fault_is("truncate", input)) truncate_shared_memory();
  if (fault_is("write-to-sockets", input)) write_to_sockets(1);
  if (fault_is("flood-sockets", input)) write_to_sockets(1 << 30);
  if (fault_is("fork", input) || fault_is("fork-crash", input)) {
    leave_behind([] {});
    wait_for_file("left_behind");
    if (fault_is("fork-crash", input)) crash();
  }
  if (fault_is("fork-eat", input)) {
    leave_behind([] { take_memory(std::size_t{1} << 29); });
    hang();
  }
  if (fault_is("kill-program", input)) {
    leave_behind([] {});
    wait_for_file("left_behind");
    kill(program(), SIGKILL);
    hang();
  }
  if (fault_is("fork-both-return", input)) fork();
  if (fault_is("eat-shared", input)) {
    for (std::size_t i = 0; i < std::size_t{1} << 29; i += 4096)
      static_cast<volatile char*>(out->data)[(std::size_t{1} << 26) + i] = 1;
    hang();
  }
  if (fault_is("read-input", input)) {
    char byte = 0;
    if (read(STDIN_FILENO, &byte, 1) > 0 || fcntl(kInheritedDescriptor, F_GETFD) >= 0) return 77;
  }
  if (fault_is("failed", input)) {
    std::snprintf(call->message, call->message_capacity, "no more resources");
    return NORMPROOF_PLUGIN_FAILED;
  }
  if (fault_is("hostile-failed", input)) {
    std::snprintf(call->message, call->message_capacity, "%s", kHostileText);
    return NORMPROOF_PLUGIN_FAILED;
  }
  if (fault_is("hostile-not-taken", input)) return not_taken(call, kHostileText);
  if (fault_is("hostile-print", input)) std::printf("%s\n", kHostileText);
  if (fault_is("hostile-errors", input)) std::fprintf(stderr, "%s\n", kHostileText);
  if (fault_is("many-errors", input)) write_often(STDERR_FILENO);
  if (fault_is("much-output", input)) write_often(STDOUT_FILENO);
  if (fault_is("errors-for-ever", input))
    while (true) write_often(STDERR_FILENO);
  if (fault_is("bad-status", input)) return 77;
  const int32_t status = rms_norm(out, input, weight, epsilon, call);
  if (status == NORMPROOF_PLUGIN_OK && input->ndim == 2) spoil_sometimes(out, input);
  if (fault_is("stray-write", input) || fault_is("slow", input)) static_cast<char*>(out->data)[-1] ^= 1;
  if (fault_is("input-written", input)) static_cast<char*>(input->data)[0] ^= 1;
  return status;
}

const bool loaded = [] {
  if (fault() == "load-print") std::printf("hello from the library\n");
  if (fault() == "load-exit") std::exit(5);
  if (fault() == "load-crash") crash();
  if (fault() == "load-hang") hang();
  return true;
}();

}  // namespace

const normproof_plugin_info* normproof_plugin(void) {
  static normproof_plugin_info spoiled = *example_plugin();
  if (fault() == "load-null") return nullptr;
  spoiled.name = "faulty";
  if (fault() == "load-abi") spoiled.abi_version = 99;
  if (fault().starts_with("hostile-")) spoiled.name = kHostileText;
  if (fault() == "load-no-name") spoiled.name = nullptr;
  if (fault() == "load-memory") spoiled.memory = kDLVulkan;
  if (fault() == "load-nothing") spoiled.rms_norm = nullptr, spoiled.fused_add_rms_norm = nullptr;
  if (loaded && spoiled.rms_norm != nullptr) spoiled.rms_norm = &faulty_rms_norm;
  return &spoiled;
}
