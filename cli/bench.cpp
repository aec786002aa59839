// `normproof bench`: how fast the kernels are on a GPU, or a plug-in where its memory is, beside a copy of
// the same bytes and other kernels.
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <map>
#include <memory>

#include "bench/cuda_bench.h"
#include "bench/family_rows.h"
#include "bench/plugin_bench.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/html_report.h"
#include "cli/output_files.h"
#include "cli/progress.h"
#include "cli/resources.h"
#include "corpus/atomic_file.h"
#include "oracle/judged/operation.h"
#include "properties/targets/cuda_target.h"
#include "properties/targets/plugin_target.h"
#include "properties/targets/shared_library.h"
#include "properties/targets/target.h"
#include "properties/targets/worker/supervisor.h"

namespace normproof {
namespace {

struct BenchOptions {
  std::string target = "cuda";
  std::string peers = resource("peers.csv").string();
  std::string family = resource("family_rows.csv").string();
  std::vector<std::string> operations, dtypes = {"bf16"};
  std::vector<std::int64_t> hidden, tokens;
  bool interrupted = false;
  std::int32_t hot_sets = 0;
  std::string json, csv, svg, html, tune;
};

// The functions of libbench_cuda.so, beside the program or where NORMPROOF_BENCH_CUDA says.
struct BenchLibrary {
  decltype(&normproof_measure) measure = nullptr;
  decltype(&normproof_measure_named) measure_named = nullptr;
  decltype(&normproof_named_operations) named_operations = nullptr;
  decltype(&normproof_device_open) open = nullptr;
  decltype(&normproof_shape_name) shape_name = nullptr;
};

BenchLibrary load_library() {
  const char* named = std::getenv("NORMPROOF_BENCH_CUDA");
  const std::filesystem::path path =
      named != nullptr ? std::filesystem::path(named)
                       : default_worker_settings().library.parent_path() / "libbench_cuda.so";
  // Deep binding: the library must find the kernels that it is linked with, not the host's in this program.
  SharedLibrary library(path, RTLD_DEEPBIND);
  if (!library.problem().empty())
    throw TargetError(fmt::format("cannot load the GPU's benchmarks: {}", library.problem()));
  BenchLibrary functions;
  library.find(functions.measure, "normproof_measure");
  library.find(functions.measure_named, "normproof_measure_named");
  library.find(functions.named_operations, "normproof_named_operations");
  library.find(functions.open, "normproof_device_open");
  library.find(functions.shape_name, "normproof_shape_name");
  if (!library.missing().empty())
    throw TargetError(fmt::format("{} has no function {}", path.string(), library.missing()));
  return functions;
}

normproof_dtype dtype_of(const std::string& name) {
  return name == "fp32" ? NORMPROOF_FP32 : name == "fp16" ? NORMPROOF_FP16 : NORMPROOF_BF16;
}

template <class Value>
bool selected(const std::vector<Value>& wanted, const Value& value) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

constexpr unsigned kPatienceSeconds = 120;                  // for a row of a plug-in
constexpr std::size_t kLargestRow = std::size_t{64} << 20;  // bytes that a call on the CPU touches

// Everything of a plug-in is measured in a child process, which goes on behind this where exit_code is
// nothing. The parent waits for it, and has its exit code; that of a violation where the plug-in took the
// process with it. A supervisor between them ends the child, and what it has begun, with the parent.
struct Child {
  explicit Child(const std::string& plugin);
  std::optional<int> exit_code;
  bool* finished = nullptr;  // shared: the child says that it was not the plug-in that ended it
};

Child::Child(const std::string& plugin) {
  void* page = mmap(nullptr, sizeof(bool), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  std::fflush(nullptr);
  std::array<int, 2> ends{};
  const bool there_is_room =
      page != MAP_FAILED && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0;
  const pid_t child = there_is_room ? fork() : -1;
  if (child < 0) throw TargetError(fmt::format("target {}: no process: {}", plugin, std::strerror(errno)));
  finished = static_cast<bool*>(page);
  if (child == 0) {
    close(ends[0]);
    if (worker::become_supervised(ends[1])) return;
    const int reason = errno;
    *finished = true;
    throw TargetError(fmt::format("target {}: no process: {}", plugin, std::strerror(reason)));
  }
  close(ends[1]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : kViolationFound;
  if (WIFEXITED(status) && (*finished || *exit_code != kAllGood)) return;
  const std::string what =
      WIFEXITED(status) ? "it ended the process"
      : WTERMSIG(status) == SIGALRM
          ? fmt::format("no answer within {} s", kPatienceSeconds)
          : fmt::format("it died of signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)));
  fmt::print(stderr, "target {}: {} while it was measured; `{} verify --target {}` finds the case\n", plugin,
             what, program_name(), shell_quoted(plugin));
  exit_code = kViolationFound;
}

// A row asks for more memory than the device has.
struct OutOfMemory : TargetError {
  using TargetError::TargetError;
};

normproof_measure_result measure(const BenchLibrary& library, const normproof_measure_request& request,
                                 const normproof_measured_call* by_name = nullptr) {
  std::array<char, 512> text{};
  const normproof_message message{text.data(), text.size()};
  normproof_measure_result result{};
  const normproof_device_status status = by_name == nullptr
                                             ? library.measure(&request, &result, message)
                                             : library.measure_named(&request, by_name, &result, message);
  const std::string what = fmt::format("bench: {}", text.data());
  if (status == NORMPROOF_DEVICE_OUT_OF_MEMORY) throw OutOfMemory(what);
  if (status != NORMPROOF_DEVICE_OK) throw TargetError(what);
  return result;
}

normproof_measure_request request_of(const bench::Row& row) {
  normproof_measure_request request{};
  request.cold = row.cold ? 1 : 0;
  request.shape = -1;
  if (row.by_name) return request;
  request.adds_residual = has(row.kind(), Role::residual) ? 1 : 0;
  request.quantizes = has(row.kind(), DTypeRule::codes) ? 1 : 0;
  request.scales_rows = row.scales_rows() ? 1 : 0;
  request.dtype = row.dtype;
  request.rows = row.rows();
  request.hidden = row.hidden;
  return request;
}

// The same with its limits, and measured as the options say.
normproof_measure_request request_of(const BenchOptions& options, const bench::Row& row) {
  normproof_measure_request request = request_of(row);
  request.copy = 1;
  request.interrupted = options.interrupted ? 1 : 0;
  request.hot_sets = options.hot_sets;
  return request;
}

// The configurations that fit the row and are not far from the fastest, as CSV lines, each once undisturbed
// and once interrupted, since the best of one is not always good in the other. Each is measured in short, and
// again in full if it is near.
std::string tune(const BenchLibrary& library, const bench::Row& row, double copy_us) {
  constexpr double kNear = 1.06, kFar = 1.15;
  constexpr std::int32_t kFewReplays = 2;
  using Results = std::array<normproof_measure_result, 2>;  // undisturbed, interrupted
  struct Timed {
    normproof_measure_request request;
    Results results;
    double loss;  // how many times the fastest's time, where that is more
  };
  const auto measure_interrupted = [&](normproof_measure_request request) {
    request.interrupted = 1;
    return measure(library, request);
  };
  std::vector<Timed> all;
  for (std::int32_t shape = 0; library.shape_name(shape) != nullptr; ++shape) {
    const std::string_view name = library.shape_name(shape);
    // They are made for rows that the cache does not hold.
    if (name.ends_with("_evict_last") && !row.cold) continue;
    const std::vector<std::int32_t> sizes =
        name.starts_with("cluster") ? std::vector{0, 64, 128, 256, 320, 448, 512} : std::vector{0, 64, 256};
    std::vector<std::int32_t> seen;  // numbers of threads
    for (const std::int32_t threads : sizes) {
      normproof_measure_request request = request_of(row);
      request.shape = shape;
      request.threads = threads;
      request.dependent = 1;  // was never slower by more than noise
      request.replays = kFewReplays;
      const normproof_measure_result result = measure(library, request);
      if (result.shape != shape || std::find(seen.begin(), seen.end(), result.threads) != seen.end())
        continue;
      seen.push_back(result.threads);
      all.push_back({request, {result, measure_interrupted(request)}, 0});
    }
  }
  for (std::size_t i = 0; i < std::tuple_size_v<Results>; ++i) {
    double least = std::numeric_limits<double>::infinity();
    for (const Timed& each : all) least = std::min(least, each.results[i].kernel_us);
    for (Timed& each : all) each.loss = std::max(each.loss, each.results[i].kernel_us / least);
  }
  double least_loss = std::numeric_limits<double>::infinity();
  for (const Timed& each : all) least_loss = std::min(least_loss, each.loss);
  std::string lines;
  for (Timed& each : all) {
    if (each.loss > kFar * least_loss) continue;
    if (each.loss <= kNear * least_loss) {
      each.request.replays = 0;
      each.results = {measure(library, each.request), measure_interrupted(each.request)};
    }
    for (std::size_t i = 0; i < each.results.size(); ++i) {
      const normproof_measure_result& result = each.results[i];
      lines += fmt::format("{},{},{},{},{}{},{},{},{},{:.3f},{:.3f},{:.4f}\n", row.operation,
                           bench::dtype_name(row.dtype), row.hidden, row.tokens, i == 0 ? "" : "interrupted ",
                           row.cold ? "cold" : "hot", library.shape_name(result.shape), result.threads,
                           result.dependent, copy_us, result.kernel_us, copy_us / result.kernel_us);
    }
  }
  return lines;
}

// The rows that are selected, in each dtype.
std::vector<bench::PeerRow> selected_rows(const BenchOptions& options) {
  std::vector<bench::PeerRow> rows;
  auto peers = bench::read_peers(options.peers);
  const auto family = bench::read_family_rows(options.family);
  peers.insert(peers.end(), family.begin(), family.end());
  for (const std::string& dtype : options.dtypes) {
    for (bench::PeerRow each : peers) {
      if (!selected(options.operations, each.row.operation) || !selected(options.hidden, each.row.hidden) ||
          !selected(options.tokens, each.row.tokens))
        continue;
      each.row.dtype = dtype_of(dtype);
      if (dtype != "bf16") {  // all peers were measured in bf16
        each.peer.reset();
        each.row.goal_us.reset();
      }
      rows.push_back(each);
    }
  }
  if (rows.empty()) throw UsageError("no row of --peers and --family is selected");
  return rows;
}

bench::Measured measured_row(const bench::PeerRow& row, const normproof_measure_result& result) {
  bench::Measured measured;
  measured.row = row.row;
  measured.peer = row.peer;
  measured.copy_us = result.copy_us;
  measured.traffic_us = result.traffic_us;
  measured.kernel_us = result.kernel_us;
  measured.least_us = result.kernel_least_us;
  measured.most_us = result.kernel_most_us;
  measured.threads = result.threads;
  measured.dependent = result.dependent != 0;
  return measured;
}

void open_device(const BenchLibrary& library, bench::Report& report) {
  std::array<char, 512> text{};
  if (library.open(&report.device, {text.data(), text.size()}) != NORMPROOF_DEVICE_OK)
    throw TargetError(fmt::format("target cuda: {}", text.data()));
}

bool has_kernel(const BenchLibrary& library, const std::string& operation) {
  for (const char* const* name = library.named_operations(); *name != nullptr; ++name)
    if (operation == *name) return true;
  return false;
}

void measure_kernels(const BenchOptions& options, bench::Report& report) {
  const auto rows = selected_rows(options);
  const BenchLibrary library = load_library();
  open_device(library, report);
  std::string tuned = "op,dtype,H,tokens,mode,shape,threads,dependent,copy_us,kernel_us,ratio\n";
  std::size_t done = 0;
  std::map<std::string, std::size_t> without_kernel;  // rows by operation
  Progress progress;
  for (const bench::PeerRow& each : rows) {
    progress.show("bench", static_cast<double>(done++) / static_cast<double>(rows.size()));
    try {
      if (each.row.by_name) {
        if (!has_kernel(library, each.row.operation)) {
          ++without_kernel[each.row.operation];
        } else if (options.tune.empty()) {
          const bench::FamilyCall call(each.row);
          report.measured.push_back(
              measured_row(each, measure(library, request_of(options, each.row), &call.description())));
        }
        continue;
      }
      const normproof_measure_result result = measure(library, request_of(options, each.row));
      bench::Measured measured = measured_row(each, result);
      measured.shape = library.shape_name(result.shape);
      if (!options.tune.empty()) {
        tuned += tune(library, each.row, measured.copy_us);
        write_text_atomically(options.tune, tuned);  // a run that is broken off leaves what it has
      }
      report.measured.push_back(std::move(measured));
    } catch (const OutOfMemory& error) {
      report.left_out.push_back(fmt::format("{}: {}", bench::row_name(each.row), error.what()));
    }
  }
  progress.clear();
  for (const auto& [operation, count] : without_kernel)
    report.left_out.push_back(
        fmt::format("{} row{} of {}: it has no kernel", count, count == 1 ? "" : "s", operation));
}

void measure_plugin(const BenchOptions& options, bench::Report& report) {
  const auto rows = selected_rows(options);
  bench::PluginBench plugin(options.target);
  std::optional<BenchLibrary> library;
  if (plugin.on_device()) {
    library = load_library();
    open_device(*library, report);
  } else {
    if (options.interrupted)
      throw UsageError("--interrupted: the plug-in works in the CPU's memory, where no graph is replayed");
    if (options.hot_sets != 0)
      throw UsageError("--hot-sets: the plug-in works in the CPU's memory, where a call has one set");
    std::snprintf(report.device.name, sizeof report.device.name, "%s on the CPU, one thread",
                  plugin.name().c_str());
  }
  std::size_t not_taken = 0, too_large = 0, by_name = 0, done = 0;
  Progress progress;
  for (bench::PeerRow each : rows) {
    progress.show("bench", static_cast<double>(done++) / static_cast<double>(rows.size()));
    if (!plugin.on_device()) each.peer.reset();  // all peers were measured on a GPU
    if (each.row.by_name) {
      ++by_name;
      continue;
    }
    if (!plugin.takes(each.row)) {
      ++not_taken;
      continue;
    }
    if (!plugin.on_device() && bench::PluginBench::bytes_of(each.row) > kLargestRow) {
      ++too_large;
      continue;
    }
    alarm(kPatienceSeconds);
    std::optional<normproof_measure_result> result;
    if (library) {
      normproof_measure_request request = request_of(options, each.row);
      plugin.attach(each.row, request);
      try {
        result = measure(*library, request);
      } catch (const OutOfMemory& error) {
        alarm(0);
        report.left_out.push_back(fmt::format("{}: {}", bench::row_name(each.row), error.what()));
        continue;
      }
    } else {
      result = plugin.measure(each.row);
    }
    alarm(0);
    if (!result) {
      ++not_taken;
      continue;
    }
    bench::Measured measured = measured_row(each, *result);
    measured.shape = "plug-in";
    measured.is_plugin = true;
    report.measured.push_back(std::move(measured));
  }
  progress.clear();
  if (not_taken > 0)
    report.left_out.push_back(fmt::format("{} rows that the plug-in does not take", not_taken));
  if (by_name > 0)
    report.left_out.push_back(
        fmt::format("{} rows of judged operations, of which plug-ins' are not measured", by_name));
  if (too_large > 0)
    report.left_out.push_back(
        fmt::format("{} rows of more than {} MiB, which a CPU takes long for", too_large, kLargestRow >> 20));
}

HtmlReport page_of(const std::string& target, const bench::Report& report) {
  HtmlReport page;
  page.title = "Speed of " + target;
  page.verdict = fmt::format("{} rows measured", report.measured.size());
  HtmlSection plot{"Copy / kernel"};
  plot.html = bench::to_svg(report);
  page.sections = {std::move(plot), text_section("In numbers", "", true, bench::to_text(report))};
  return page;
}

int run(const BenchOptions& options) {
  const bool is_plugin = names_a_plugin(options.target);
  if (!is_plugin && options.target != "cuda")
    throw UsageError(fmt::format(
        "--target {}: bench measures target cuda and plug-ins; verify judges any target", options.target));
  if (is_plugin && !options.tune.empty())
    throw UsageError("--tune: a plug-in has no configurations to choose from");
  std::optional<Child> child;
  if (is_plugin) child.emplace(options.target);
  if (child && child->exit_code) return *child->exit_code;
  bench::Report report;
  report.date = time_text();
  report.command = command_line();
  // What was measured before something failed is worth having.
  std::optional<TargetError> failure;
  try {
    if (child) {
      measure_plugin(options, report);
      *child->finished = true;
    } else {
      measure_kernels(options, report);
    }
  } catch (const TargetError& error) {
    if (report.measured.empty()) throw;
    failure = error;
  }
  fmt::print("{}", bench::to_text(report));
  if (report.measured.empty())
    throw TargetError(fmt::format("target {}: nothing was measured", options.target));
  const int exit_code = exit_code_after_writing(
      kAllGood, {{options.json, [&] { write_text_atomically(options.json, bench::to_json(report)); }},
                 {options.csv, [&] { write_text_atomically(options.csv, bench::to_csv(report)); }},
                 {options.svg, [&] { write_text_atomically(options.svg, bench::to_svg(report)); }},
                 {options.html, [&] { write_html(options.html, page_of(options.target, report)); }}});
  if (failure) throw TargetError(*failure);
  return exit_code;
}

}  // namespace

namespace {

// The tables' names for operations that other commands call by their whole names.
std::string short_operation(const std::string& name) {
  for (const auto& [abbreviated, operation] : bench::kMeasuredOperations)
    if (name == name_of(operation)) return std::string(abbreviated);
  return name;
}

std::vector<std::string> short_operations() {
  std::vector<std::string> names;
  for (const auto& each : bench::kMeasuredOperations) names.emplace_back(each.name);
  for (const auto* each : oracle::judged::judged_operations()) names.emplace_back(each->name);
  return names;
}

}  // namespace

Action add_bench(CLI::App& command) {
  const auto options = std::make_shared<BenchOptions>();
  command.add_option("--target", options->target, "What is measured: cuda, or the path of a plug-in")
      ->capture_default_str();
  command
      .add_option("--op", options->operations,
                  "Restrict to these operations; rms_norm and the other names of `verify` mean the same")
      ->delimiter(',')
      ->check(CLI::IsMember(short_operations()))
      ->transform(short_operation);
  command.add_option("--dtype", options->dtypes, "Activation dtypes")
      ->delimiter(',')
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}))
      ->capture_default_str();
  command.add_option("--hidden", options->hidden, "Restrict to these hidden sizes")->delimiter(',');
  command.add_option("--tokens", options->tokens, "Restrict to these numbers of tokens")->delimiter(',');
  command.add_option("--peers", options->peers, "Rows to measure and what other kernels reached on them")
      ->capture_default_str();
  command
      .add_option("--family", options->family,
                  "The same of operations by name, with what is wanted of each row")
      ->capture_default_str();
  command.add_flag("--interrupted", options->interrupted,
                   "On a GPU, let another kernel run before every replay of the graph that is timed; the "
                   "peers' figures are without");
  auto* hot_sets = command
                       .add_option("--hot-sets", options->hot_sets,
                                   "On a GPU, rotate through N tensor sets per hot row; without it 1, what "
                                   "the tuned table assumes")
                       ->check(CLI::Range(1, 1024));
  command.add_option("--json", options->json, "Write the table to this file");
  command.add_option("--csv", options->csv, "Write the table to this file");
  command.add_option("--svg", options->svg, "Write a plot of copy / kernel to this file");
  command.add_option("--html", options->html, "Write a page with plot and table to this file");
  command
      .add_option(
          "--tune", options->tune,
          "Measure every configuration of every row, too, and write those near the fastest to this file")
      ->excludes(hot_sets);
  return [options] { return run(*options); };
}

}  // namespace normproof
