// write_call_seeds files FOLDER: small calls of every judged operation with the outputs that policy native
// demands, and with one bit of them changed, as dumps and as JSON: seeds of call_file_fuzzer.
// write_call_seeds bytes FOLDER: small calls to be run, in binary form: seeds of named_kernels_fuzzer.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "corpus/atomic_file.h"
#include "fuzz/call_bytes.h"
#include "oracle/judged/call_files.h"
#include "properties/judged/cases.h"
#include "properties/judged/verification_call.h"

namespace normproof {
namespace {

using oracle::judged::Extent;

judging::CaseDemand seed_demand(const oracle::judged::JudgedOperation& operation, DType dtype) {
  judging::CaseDemand demand;
  demand.operation = &operation;
  demand.dtype = dtype;
  demand.weight = demand.bias = demand.rotation = dtype;
  demand.max_rows = 2;
  demand.max_hidden = 12;
  return demand;
}

judging::Call seed_call(const oracle::judged::JudgedOperation& operation, DType dtype, std::int64_t index) {
  judging::Call call = judging::random_call(seed_demand(operation, dtype), 1, index);
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

// A few of every operation and dtype, with all outputs, and with other optional tensors than the next.
int write_call_bytes(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  const auto operations = oracle::judged::judged_operations();
  const fuzz::CallSpace space{{operations.begin(), operations.end()}};
  int written = 0;
  for (const auto* operation : operations) {
    for (const DType dtype : kActivationDTypes) {
      for (std::uint64_t number = 0; number < 3; ++number) {
        judging::CaseDemand demand = seed_demand(*operation, dtype);
        demand.with_optional = number > 0;
        if (number > 1) demand.weight = demand.bias = std::nullopt;
        const judging::Call inputs = judging::random_call(demand, 2 + number, written);
        const auto bytes = call_to_bytes(
            judging::without_contents(judging::asking_for_all(inputs, parse_policy(*operation, "native"))),
            space);
        if (!bytes) throw std::runtime_error(fmt::format("{}: a call has no bytes", operation->name));
        write_text_atomically(folder / fmt::format("{}-{}-{}", operation->name, name_of(dtype), number),
                              {reinterpret_cast<const char*>(bytes->data()), bytes->size()});
        ++written;
      }
    }
  }
  fmt::print("{} seeds in {}\n", written, folder.string());
  return 0;
}

}  // namespace
}  // namespace normproof

int main(int argument_count, char** arguments) {
  const std::string_view what = argument_count == 3 ? arguments[1] : "";
  if (what != "files" && what != "bytes") {
    fmt::print(stderr, "usage: write_call_seeds files|bytes FOLDER\n");
    return 2;
  }
  try {
    return what == "files" ? normproof::write_call_seeds(arguments[2])
                           : normproof::write_call_bytes(arguments[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "write_call_seeds: {}\n", error.what());
    return 3;
  }
}
