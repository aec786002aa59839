#include "properties/targets/in_process_worker.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "properties/targets/library_file.h"
#include "properties/targets/target.h"
#include "properties/targets/worker/host_rounds.h"
#include "properties/targets/worker/plugin_callee.h"

namespace normproof {
namespace {

class InProcessWorker final : public Worker {
 public:
  explicit InProcessWorker(std::filesystem::path library) : library_(std::move(library)) {
    void* memory = mmap(nullptr, worker::kMemoryBytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
      throw TargetError(fmt::format("no memory for the tensors: {}", std::strerror(errno)));
    memory_ = static_cast<std::byte*>(memory);
  }
  ~InProcessWorker() override { munmap(memory_, worker::kMemoryBytes); }

  std::byte* memory() const override { return memory_; }

  const worker::Greeting& start() override {
    if (rounds_of_calls_) return greeting_;
    std::string problem;
    callee_ = worker::load_plugin_callee(library_.c_str(), greeting_.plugin, problem);
    if (problem.empty() && greeting_.plugin.on_device)
      problem = "its threads run on the CPU, so its memory must be kDLCPU";
    if (!problem.empty()) throw TargetError(fmt::format("target {}: {}", library_.string(), problem));
    rounds_of_calls_ = worker::make_host_rounds(*callee_);
    return greeting_;
  }

  std::string carry_out(std::size_t arena) override {
    start();
    worker::Round& round = *worker::round_of(memory_, arena);
    round.status = rounds_of_calls_->carry_out(round, worker::data_of(memory_, arena));
    ++rounds_;
    return round.status == NORMPROOF_DEVICE_OK ? std::string() : std::string(round.message);
  }

  std::int64_t rounds() const override { return rounds_; }
  std::string printed() override { return {}; }  // it prints where the fuzzer prints
  bool hung() const override { return false; }
  bool stopped() const override { return false; }

 private:
  const std::filesystem::path library_;
  std::byte* memory_ = nullptr;
  worker::Greeting greeting_;
  std::unique_ptr<worker::Callee> callee_;
  std::unique_ptr<worker::Rounds> rounds_of_calls_;
  std::int64_t rounds_ = 0;
};

}  // namespace

bool is_host_executed(const std::filesystem::path& library) {
  return mentions(library, "normproof_host_execution_of_plugin");
}

std::unique_ptr<Worker> make_in_process_worker(const std::filesystem::path& library) {
  return std::make_unique<InProcessWorker>(library);
}

}  // namespace normproof
