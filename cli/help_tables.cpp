// What --help says beside the commands' own words: groups, names of values, examples, environment variables.
#include "cli/help.h"

#include <algorithm>
#include <array>

namespace normproof {
namespace {

constexpr std::string_view kKernel = "Kernel under test";
constexpr std::string_view kJudging = "How it is judged";
constexpr std::string_view kRun = "What is run";
constexpr std::string_view kHowMuch = "How much, how long";
constexpr std::string_view kOutput = "Output";

constexpr auto kOptions = std::to_array<OptionHelp>({
    {"--target", kKernel, "TARGET"},
    {"--also", kKernel, "TARGET"},
    {"--judge", kJudging, ""},
    {"--policy", kJudging, "POLICY"},
    {"--gradient-policy", kJudging, "POLICY"},
    {"--beside", kJudging, "FILE"},
    {"--beside-policy", kJudging, "POLICY"},
    {"--policies", kJudging, "POLICY,..."},
    {"--max-weight", kJudging, "NUMBER"},
    {"--order", kJudging, "FILE"},
    {"--flush-to-zero", kJudging, ""},
    {"--sum-depth", kJudging, "N"},
    {"--inverse-root-ulp", kJudging, "N"},
    {"--canonical", kJudging, ""},
    {"--witness", kJudging, ""},
    {"--demand", kJudging, "PROMISE,..."},
    {"--plant-wrong-policy", kJudging, ""},
    {"--baseline", kJudging, "FILE"},
    {"--op", kRun, "OPERATION"},
    {"--dtype", kRun, ""},
    {"--weight", kRun, ""},
    {"--quantized", kRun, "DTYPE"},
    {"--scale-ub", kRun, "NUMBER"},
    {"--epsilon", kRun, "NUMBER"},
    {"--rows", kRun, "N"},
    {"--hidden", kRun, "N"},
    {"--hidden-size", kRun, "N"},
    {"--tokens", kRun, "N"},
    {"--rows-per-call", kRun, "N,..."},
    {"--row", kRun, "N"},
    {"--column", kRun, "N"},
    {"--layers", kRun, "N"},
    {"--vocabulary", kRun, "N"},
    {"--corpus", kRun, "DIR"},
    {"--from", kKernel, "FILE"},
    {"--include", kKernel, "DIR"},
    {"--define", kKernel, "NAME[=VALUE]"},
    {"--hip", kKernel, ""},
    {"--only", kRun, "REGEX"},
    {"--checks", kRun, "REGEX"},
    {"--proof", kRun, "NAME"},
    {"--fuzzer", kRun, "NAME"},
    {"--fuzzer-folder", kRun, "DIR"},
    {"--peers", kRun, "FILE"},
    {"--family", kRun, "FILE"},
    {"--aligned-only", kRun, ""},
    {"--interrupted", kRun, ""},
    {"--hot-sets", kRun, "N"},
    {"--keep-operation", kRun, ""},
    {"--case", kRun, "FILE"},
    {"--compare", kRun, "FILE FILE"},
    {"--bench", kRun, "FILE FILE"},
    {"--fresh", kRun, ""},
    {"--seconds", kHowMuch, "SECONDS"},
    {"--minutes", kHowMuch, "MINUTES"},
    {"--cases", kHowMuch, "N"},
    {"--property-cases", kHowMuch, "N"},
    {"--random-cases", kHowMuch, "N"},
    {"--fuzzer-runs", kHowMuch, "N"},
    {"--stride", kHowMuch, "N"},
    {"--quick", kHowMuch, ""},
    {"--keep-going", kHowMuch, ""},
    {"--no-shrink", kHowMuch, ""},
    {"--no-search", kHowMuch, ""},
    {"--seed", kHowMuch, "N"},
    {"--jobs", kHowMuch, "N"},
    {"--shard", kHowMuch, "K/N"},
    {"--json", kOutput, "FILE"},
    {"--junit", kOutput, "FILE"},
    {"--html", kOutput, "FILE"},
    {"--sarif", kOutput, "FILE"},
    {"--sarif-source", kOutput, "FILE"},
    {"--csv", kOutput, "FILE"},
    {"--svg", kOutput, "FILE"},
    {"--markdown", kOutput, "FILE"},
    {"--tune", kOutput, "FILE"},
    {"--dump", kOutput, "FILE"},
    {"--certificate", kOutput, "FILE"},
    {"--repro", kOutput, "FILE"},
    {"--findings", kOutput, "DIR"},
    {"--write-baseline", kOutput, "FILE"},
    {"--folder", kOutput, "DIR"},
    {"--examples", kOutput, "DIR"},
    {"--output", kOutput, "FILE"},  // behind the names of folders, which it also stands for
    {"--regressions", kOutput, "DIR"},
    {"--no-regressions", kOutput, ""},
    {"--quiet", kOutput, ""},
});

constexpr std::string_view kJudgeKernels = "Judge a kernel";
constexpr std::string_view kJudgeOutputs = "Judge outputs";
constexpr std::string_view kUnderstand = "Around it";
constexpr std::string_view kMeasure = "Measure";

// Of a library in a process of its own, and of a GPU.
const std::vector<std::string_view> kOfTargets = {"NORMPROOF_CORPUS", "NORMPROOF_MUTANTS",
                                                  "NORMPROOF_PATIENCE", "NORMPROOF_MEMORY",
                                                  "NORMPROOF_KERNELS_CUDA"};

std::vector<std::string_view> and_of_targets(std::vector<std::string_view> more) {
  more.insert(more.end(), kOfTargets.begin(), kOfTargets.end());
  return more;
}

const std::vector<CommandHelp>& commands() {
  static const std::vector<CommandHelp> all = {
      {"verify",
       kJudgeKernels,
       {"verify --seed 1", "verify --target ./libmine.so --seconds 5 --junit junit.xml"},
       kOfTargets},
      {"replay",
       kJudgeKernels,
       {"replay findings/*.json --target ./libmine.so",
        "replay corpus/models/h2048-rms-norm.json --dump dump.safetensors"},
       kOfTargets},
      {"fuzz",
       kJudgeKernels,
       {"fuzz --minutes 10 --target ./libmine.so", "fuzz --minutes 60 --sarif findings.sarif"},
       and_of_targets({"NORMPROOF_FUZZERS"})},
      {"order",
       kJudgeKernels,
       {"order --target ./libmine.so --dtype fp32 --hidden 4096",
        "order --target ./libmine.so --json order.json"},
       kOfTargets,
       "an order is not certified, or a call refutes it"},
      {"certify",
       kJudgeKernels,
       {"certify --target ./libmine.so --json mine.json", "certify --compare mine.json theirs.json"},
       kOfTargets,
       "outputs are not what the policy and the order that were found say"},
      {"new-target",
       kJudgeKernels,
       {"new-target mine", "new-target mine --op layer_norm",
        "new-target mine --from norm.cu --include include --define ENABLE_FP8"},
       {}},
      {"check",
       kJudgeOutputs,
       {"check dump.safetensors", "check --policy vllm.rms_norm --html check.html norms/*.safetensors",
        "check fused.safetensors --beside unfused.safetensors"},
       {}},
      {"compare",
       kJudgeOutputs,
       {"compare eager.safetensors compiled.safetensors",
        "compare host ./libmine.so --op rms_norm --dtype bf16 --html pair.html"},
       kOfTargets,
       "something differs"},
      {"identify",
       kJudgeOutputs,
       {"identify dump.safetensors", "identify --target ./libmine.so --demand one-policy"},
       kOfTargets,
       "no known policy explains the outputs, or a demand is not met"},
      {"explain",
       kJudgeOutputs,
       {"explain findings/case.json --target ./libmine.so", "explain dump.safetensors --row 0 --column 1931"},
       kOfTargets,
       "the outputs of the case violate"},
      {"minimize",
       kJudgeOutputs,
       {"minimize findings/case.json --target ./libmine.so", "minimize dump.safetensors --output small.json"},
       kOfTargets,
       "a smallest violating case was found"},
      {"drift",
       kUnderstand,
       {"drift --policy weight=fp32", "drift --target ./libmine.so --svg drift.svg",
        "drift --gradient-policy contraction=none --dtype fp32"},
       kOfTargets},
      {"bound",
       kUnderstand,
       {"bound rms_norm --dtype bf16 --hidden 4096",
        "bound rms_norm --policies native,weight=fp32 --output found"},
       {},
       "there is no bound"},
      {"merge", kUnderstand, {"merge results/*.json", "merge results/*.json --html verify.html"}, {}},
      {"list", kUnderstand, {"list", "list | grep vllm"}, {"NORMPROOF_MUTANTS"}},
      {"completion",
       kUnderstand,
       {"completion bash > ~/.local/share/bash-completion/completions/normproof",
        "completion man | man -l -"},
       {}},
      {"assess",
       kMeasure,
       {"assess --quick", "assess --json assess.json",
        "assess --op rms_norm_block_quant --rows 10000000 --json blocks.json"},
       {},
       "a figure is worse than it must be"},
      {"mutants",
       kMeasure,
       {"mutants --only ^B1- --html matrix.html", "mutants --target ./libmine.so"},
       and_of_targets({"NORMPROOF_FUZZERS"})},
      {"prove",
       kMeasure,
       {"prove", "prove --target cuda --certificate proof.json"},
       {"NORMPROOF_PROOFS_CUDA"},
       "a result differs from integer arithmetic"},
      {"bench",
       kMeasure,
       {"bench --target cuda --dtype bf16,fp16", "bench --target ./libmine.so --hidden 4096 --tokens 1,8192"},
       {"NORMPROOF_BENCH_CUDA", "NORMPROOF_KERNELS_CUDA"}},
  };
  return all;
}

constexpr auto kEnvironment = std::to_array<EnvironmentHelp>({
    {"NORMPROOF_CORPUS", "folder with seeds/ and models/ (default: the program's own)"},
    {"NORMPROOF_MUTANTS", "folder with libmutant_NAME.so, for targets mutant:NAME"},
    {"NORMPROOF_FUZZERS", "folder with the fuzzers"},
    {"NORMPROOF_PATIENCE", "seconds of processor time after which a call hangs (20)"},
    {"NORMPROOF_MEMORY", "MiB that the process of a plug-in may take (2048)"},
    {"NORMPROOF_KERNELS_CUDA", "libkernels_cuda.so (default: beside the program)"},
    {"NORMPROOF_BENCH_CUDA", "libbench_cuda.so (default: beside the program)"},
    {"NORMPROOF_PROOFS_CUDA", "libproofs_cuda.so (default: beside the program)"},
});

}  // namespace

std::span<const OptionHelp> option_help() { return kOptions; }

const CommandHelp* command_help(std::string_view command) {
  const auto found = std::ranges::find(commands(), command, &CommandHelp::name);
  return found == commands().end() ? nullptr : &*found;
}

std::span<const EnvironmentHelp> environment_help() { return kEnvironment; }

}  // namespace normproof
