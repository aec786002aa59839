#include "cli/compare_kernels.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>

#include "cli/certificate_compare.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/kernel_pair_page.h"
#include "cli/output_files.h"
#include "cli/result_json.h"
#include "corpus/case_json.h"

namespace normproof {
namespace {

std::string content_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(stream), {}};
  if (!stream.is_open() || stream.bad())
    throw std::system_error(errno != 0 ? errno : EIO, std::generic_category(), file);
  return content;
}

// A target is certified first, by the same inputs as the other.
CertificateRecord record_of(const std::string& side, const CompareKernelsOptions& options) {
  if (is_certificate(side)) return read_certificate(content_of(side), side);
  CertifyOptions certify_options = options.certify;
  certify_options.target = side;
  const auto target = make_target(side);
  fmt::print("{}:\n", target->name());
  std::fflush(stdout);
  Progress progress;
  const std::string text = to_json(certify(*target, certify_options, progress));
  fmt::print("{}", target->closing_words());
  return read_certificate(text, side);
}

// Where its example was written; empty where none was.
std::string write_example(const std::string& folder, const Difference& difference, std::size_t number) {
  if (!difference.example || folder.empty()) return {};
  std::filesystem::create_directories(folder);
  const auto file = std::filesystem::path(folder) / fmt::format("{}-{}.json", difference.cause, number);
  write_case(file, *difference.example);
  return file.string();
}

void print_difference(const Difference& difference, const std::string& file) {
  fmt::print("  {}: {}\n", difference.cause, difference.text);
  if (!difference.example) {
    fmt::print("    no input is known that shows it alone\n");
    return;
  }
  const auto columns = difference.example->hidden_size();
  fmt::print("    shown by one row of {} element{}\n", columns, columns == 1 ? "" : "s");
  if (!file.empty())
    fmt::print("      {} replay {} --target TARGET\n", program_name(), shell_quoted_file(file));
}

ResultJson json_of(const KernelPair& pair, const std::vector<std::string>& examples, int exit_code) {
  const CertificateComparison& found = pair.found;
  ResultJson result = result_document("compare");
  result.update({{"kernels", {pair.records[0].name, pair.records[1].name}},
                 {"inputs", found.inputs},
                 {"rows", found.rows},
                 {"different_rows", found.different_rows},
                 {"orders", found.orders},
                 {"differences", ResultJson::array()},
                 {"calls", ResultJson::array()},
                 {"not_compared", found.not_compared},
                 {"conclusion", conclusion(pair)},
                 {"exit_code", exit_code}});
  for (std::size_t i = 0; i < found.differences.size(); ++i)
    result["differences"].push_back({{"cause", found.differences[i].cause},
                                     {"text", found.differences[i].text},
                                     {"example", examples[i]}});
  for (const ComparedKind& kind : found.kinds)
    result["calls"].push_back({{"call", kind_text(kind.kind)},
                               {"inputs", kind.inputs},
                               {"rows", kind.rows},
                               {"different_rows", kind.different_rows}});
  return result;
}

}  // namespace

bool is_certificate(const std::string& side) {
  return std::filesystem::path(side).extension() == ".json" && std::filesystem::exists(side);
}

bool is_kernel(const std::string& side) {
  const std::string extension = std::filesystem::path(side).extension().string();
  if (std::filesystem::exists(side)) return extension == ".json" || extension == ".so";
  return side == "host" || side == "cuda" || side.starts_with("mutant:") || extension == ".so";
}

int compare_kernels(const CompareKernelsOptions& options) {
  const std::array<std::string, 2> sides = {options.one, options.other};
  KernelPair pair;
  // Before what takes long: a file of --bench that is none.
  for (std::size_t side = 0; side < options.bench.size(); ++side)
    pair.speed[side] = read_measured(content_of(options.bench[side]), options.bench[side]);
  for (const std::size_t side : {0, 1}) pair.records[side] = record_of(sides[side], options);
  pair.found = compare_certificates(pair.records[0], pair.records[1]);
  const CertificateComparison& found = pair.found;
  fmt::print("{} inputs, {} rows, {} orders compared: {} rows differ\n", found.inputs, found.rows,
             found.orders, found.different_rows);
  std::vector<std::string> examples;
  for (std::size_t i = 0; i < found.differences.size(); ++i) {
    examples.push_back(write_example(options.examples, found.differences[i], i + 1));
    print_difference(found.differences[i], examples.back());
  }
  if (!found.not_compared.empty()) {
    fmt::print("not compared:\n");
    for (const std::string& what : found.not_compared) fmt::print("  {}\n", what);
  }
  fmt::print("{}\n", conclusion(pair));
  const int exit_code = found.same() ? kAllGood : kViolationFound;
  return exit_code_after_writing(
      exit_code, {{options.json, [&] { write_result(options.json, json_of(pair, examples, exit_code)); }},
                  {options.html, [&] { write_html(options.html, kernel_pair_page(pair)); }}});
}

}  // namespace normproof
