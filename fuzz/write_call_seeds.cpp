// write_call_seeds FOLDER: small calls of every judged operation with the outputs that policy native demands,
// and with one bit of them changed, as dumps and as JSON: seeds of call_file_fuzzer.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>

#include "corpus/atomic_file.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/cases.h"

namespace normproof {
namespace {

using oracle::judged::Extent;

judging::Call seed_call(const oracle::judged::JudgedOperation& operation, DType dtype, std::int64_t index) {
  judging::CaseDemand demand;
  demand.operation = &operation;
  demand.dtype = dtype;
  demand.weight = demand.bias = demand.rotation = dtype;
  demand.max_rows = 2;
  demand.max_hidden = 12;
  judging::Call call = judging::random_call(demand, 1, index);
  std::vector<std::string> outputs;
  for (const auto& spec : operation.tensors)
    if (spec.direction == Direction::out && (operation.fill != nullptr || spec.extent != Extent::row))
      outputs.emplace_back(spec.name);
  return judging::with_canonical_outputs(std::move(call), parse_policy(operation, "native"), outputs);
}

int write_call_seeds(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int written = 0;
  const auto write = [&](const judging::Call& call, const std::string& name) {
    write_call_dump(folder / (name + ".safetensors"), call, "native");
    write_text_atomically(folder / (name + ".json"), call_to_json(call, "native"));
    written += 2;
  };
  for (const auto* operation : oracle::judged::judged_operations()) {
    for (const DType dtype : kActivationDTypes) {
      judging::Call call = seed_call(*operation, dtype, written);
      const std::string name = fmt::format("{}-{}", operation->name, name_of(dtype));
      write(call, name);
      for (const auto& spec : operation->tensors) {
        const auto found = call.tensors.find(spec.name);
        if (spec.direction == Direction::in || found == call.tensors.end() || found->second.bytes.empty())
          continue;
        found->second.bytes.front() ^= std::byte{1};
        break;
      }
      write(call, name + "-wrong");
    }
  }
  fmt::print("{} seeds in {}\n", written, folder.string());
  return 0;
}

}  // namespace
}  // namespace normproof

int main(int argument_count, char** arguments) {
  if (argument_count != 2) {
    fmt::print(stderr, "usage: write_call_seeds FOLDER\n");
    return 2;
  }
  try {
    return normproof::write_call_seeds(arguments[1]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "write_call_seeds: {}\n", error.what());
    return 3;
  }
}
