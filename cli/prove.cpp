// `normproof prove`: every input of the kernels' elementary operations against
// integer arithmetic, with a certificate.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "corpus/atomic_file.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "properties/proofs/proofs.h"
#include "properties/targets/cuda_target.h"
#include "properties/targets/shared_library.h"
#include "properties/targets/target.h"

namespace normproof {
namespace {

constexpr std::uint64_t kInputsPerBlock = 8;

struct ProveOptions {
  std::string target = "host";
  std::vector<std::string> proofs;
  std::uint64_t stride = 0;  // 0: the target's own
  std::string certificate;
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));  // of the host
};

// Who computes: the code in this program, or libproofs_cuda.so beside it or where NORMPROOF_PROOFS_CUDA says.
struct Prover {
  decltype(&normproof_prove) prove = &normproof_prove;
  std::string device = "CPU";
  std::string driver;
  std::uint64_t stride = 61;  // of all blocks; a prime, so that every bit of the inputs varies
  std::uint64_t blocks_at_once = std::uint64_t{1} << 18;
};

Prover device_prover() {
  const char* named = std::getenv("NORMPROOF_PROOFS_CUDA");
  const WorkerSettings settings = default_worker_settings();
  const auto path =
      named != nullptr ? std::filesystem::path(named) : settings.library.parent_path() / "libproofs_cuda.so";
  Prover prover;
  decltype(&normproof_device_open) open = nullptr;
  const auto find = [](const std::filesystem::path& file, auto& function, const char* name) {
    SharedLibrary library(file);
    if (!library.problem().empty())
      throw TargetError(fmt::format("cannot load the proofs for the GPU: {}", library.problem()));
    library.find(function, name);
  };
  find(path, prover.prove, "normproof_prove");
  find(settings.library, open, "normproof_device_open");
  if (prover.prove == nullptr || open == nullptr)
    throw TargetError(fmt::format("{} and {} lack a function", path.string(), settings.library.string()));
  normproof_device_info device{};
  std::array<char, 512> text{};
  if (open(&device, {text.data(), text.size()}) != NORMPROOF_DEVICE_OK)
    throw TargetError(fmt::format("target cuda: {}", text.data()));
  prover.device = device.name;
  prover.driver = device.driver;
  prover.stride = 1;
  prover.blocks_at_once = std::uint64_t{1} << 26;
  return prover;
}

int run(const ProveOptions& options) {
  if (options.target != "host" && options.target != "cuda")
    throw UsageError(fmt::format("--target {}: prove takes host and cuda", options.target));
  Prover prover = options.target == "cuda" ? device_prover() : Prover{};
  const std::uint64_t stride = options.stride != 0 ? options.stride : prover.stride;
  const int threads = options.threads;
  if (options.target == "host") prover.device = fmt::format("CPU, {} threads", threads);
  nlohmann::ordered_json certificate = {{"normproof_prove", 1},
                                        {"target", options.target},
                                        {"device", prover.device},
                                        {"driver", prover.driver},
                                        {"date", time_text()},
                                        {"stride_of_blocks", stride},
                                        {"inputs_per_block", kInputsPerBlock}};
  fmt::print("normproof prove: {}{}{}, every {}block of 8 inputs\n", prover.device,
             prover.driver.empty() ? "" : ", driver ", prover.driver,
             stride == 1 ? "" : fmt::format("{}th ", stride));
  Progress progress;
  std::uint64_t mismatches = 0;
  for (std::int32_t proof = 0; proof < normproof_proof_count(); ++proof) {
    const std::string name = normproof_proof_name(proof);
    if (!options.proofs.empty() &&
        std::find(options.proofs.begin(), options.proofs.end(), name) == options.proofs.end())
      continue;
    const std::uint64_t all = normproof_proof_inputs(proof);
    const std::uint64_t blocks = (all / kInputsPerBlock + stride - 1) / stride;
    normproof_proof_result sum{};
    const auto begin = std::chrono::steady_clock::now();
    for (std::uint64_t done = 0; done < blocks;) {
      const std::uint64_t next = std::min(prover.blocks_at_once, blocks - done);
      normproof_proof_result part{};
      std::array<char, 512> text{};
      if (prover.prove(proof, done * stride, next, stride, threads, &part, {text.data(), text.size()}) !=
          NORMPROOF_DEVICE_OK)
        throw TargetError(fmt::format("{}: {}", name, text.data()));
      if (part.mismatches > 0 && sum.mismatches == 0) {
        sum.first_mismatch = part.first_mismatch;
        sum.got = part.got;
        sum.wanted = part.wanted;
      }
      sum.inputs += part.inputs;
      sum.mismatches += part.mismatches;
      sum.hash += part.hash;
      done += next;
      progress.show(name, static_cast<std::int64_t>(sum.inputs), static_cast<std::int64_t>(sum.inputs),
                    static_cast<double>(done) / static_cast<double>(blocks));
    }
    progress.clear();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{:<18} {:>10} of {} inputs, {} mismatches, hash {:016x}, {:.2f} s  ({})\n", name, sum.inputs,
               all, sum.mismatches, sum.hash, seconds, normproof_proof_sentence(proof));
    if (sum.mismatches > 0)
      fmt::print("  the first: input 0x{:x} gave 0x{:x}, integer arithmetic says 0x{:x}\n",
                 sum.first_mismatch, sum.got, sum.wanted);
    nlohmann::ordered_json entry = {{"name", name},
                                    {"sentence", normproof_proof_sentence(proof)},
                                    {"inputs", sum.inputs},
                                    {"all_inputs", all},
                                    {"exhaustive", sum.inputs == all},
                                    {"mismatches", sum.mismatches},
                                    {"hash", fmt::format("{:016x}", sum.hash)},
                                    {"seconds", seconds}};
    if (sum.mismatches > 0) {
      entry["first_mismatch"] = {{"input", fmt::format("0x{:x}", sum.first_mismatch)},
                                 {"got", fmt::format("0x{:x}", sum.got)},
                                 {"wanted", fmt::format("0x{:x}", sum.wanted)}};
    }
    certificate["proofs"].push_back(std::move(entry));
    mismatches += sum.mismatches;
  }
  return exit_code_after_writing(
      mismatches == 0 ? kAllGood : kViolationFound,
      {{options.certificate,
        [&] { write_text_atomically(options.certificate, json_text(certificate, 1) + "\n"); }}});
}

std::vector<std::string> proof_names() {
  std::vector<std::string> names;
  for (std::int32_t proof = 0; proof < normproof_proof_count(); ++proof)
    names.emplace_back(normproof_proof_name(proof));
  return names;
}

}  // namespace

Action add_prove(CLI::App& command) {
  const auto options = std::make_shared<ProveOptions>();
  command.add_option("--target", options->target, "Whose operations: host, cuda")->capture_default_str();
  command.add_option("--proof", options->proofs, "Restrict to these proofs")
      ->delimiter(',')
      ->check(CLI::IsMember(proof_names()));
  command
      .add_option("--stride", options->stride,
                  "Test every N-th block of 8 inputs (default: 1, all of them, on cuda, and 61 on host)")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1} << 28));
  command.add_option("--jobs", options->threads, "Worker threads, of target host")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command.add_option("--json,--certificate", options->certificate,
                     "Write counts and hashes to this file as JSON");
  return [options] { return run(*options); };
}

}  // namespace normproof
