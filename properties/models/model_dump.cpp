// Dumps of a whole model: names of modules and places of rows around the dumps of their calls.
#include "properties/models/model_dump.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <set>
#include <stdexcept>
#include <utility>

#include "corpus/message_text.h"

namespace normproof {
namespace {

// Their values: the modules, one a line; "CALL:ROW" of each row, with one space between.
constexpr std::string_view kModules = "modules", kPlaces = "rows", kDigests = "digests";

std::string prefix_of(std::string_view module) { return std::string(module) + "/"; }

const std::string* metadata(const SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  return found == file.metadata().end() ? nullptr : &found->second;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    parts.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

std::optional<RowPlace> place_from(const std::string& text) {
  RowPlace place;
  const char* end = text.data() + text.size();
  const auto call = std::from_chars(text.data(), end, place.call);
  if (call.ec != std::errc() || call.ptr == end || *call.ptr != ':') return std::nullopt;
  const auto row = std::from_chars(call.ptr + 1, end, place.row);
  if (row.ec != std::errc() || row.ptr != end || place.call < 0 || place.row < 0) return std::nullopt;
  return place;
}

std::vector<RowPlace> places_of(const SafetensorsFile& file, const std::string& prefix, std::int64_t rows) {
  const std::string key = prefix + std::string(kPlaces);
  const auto fail = [&](const std::string& reason) { throw SafetensorsError(file.path(), key, reason); };
  const std::string* text = metadata(file, key);
  if (text == nullptr) fail("missing: which rows these are, as \"0:17\", row 17 of the module's first call");
  std::vector<RowPlace> places;
  for (const std::string& part : split(*text, ' ')) {
    const auto place = place_from(part);
    if (!place) fail("expected CALL:ROW, got " + in_quotes(part));
    places.push_back(*place);
  }
  if (static_cast<std::int64_t>(places.size()) != rows)
    fail("expected one for each of " + std::to_string(rows) + " rows, got " + std::to_string(places.size()));
  if (std::set(places.begin(), places.end()).size() != places.size()) fail("names a row twice");
  return places;
}

std::optional<CallDigest> digest_from(std::string_view text) {
  constexpr std::size_t kDigits = 16;
  if (text.size() != 2 * kDigits + 1 || text[kDigits] != ':') return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    return parsed.ptr == digits.data() + digits.size() ? std::optional(value) : std::nullopt;
  };
  const auto inputs = number(text.substr(0, kDigits)), outputs = number(text.substr(kDigits + 1));
  return inputs && outputs ? std::optional(CallDigest{*inputs, *outputs}) : std::nullopt;
}

std::vector<CallDigest> digests_of(const SafetensorsFile& file, const std::string& prefix) {
  const std::string key = prefix + std::string(kDigests);
  const std::string* text = metadata(file, key);
  std::vector<CallDigest> digests;
  for (const std::string& part : text == nullptr ? std::vector<std::string>() : split(*text, ' ')) {
    const auto digest = digest_from(part);
    if (!digest)
      throw SafetensorsError(file.path(), key,
                             "expected two numbers of 16 hexadecimal digits as A:B, got " + in_quotes(part));
    digests.push_back(*digest);
  }
  return digests;
}

std::string to_text(const CallDigest& digest) {
  const auto digits = [](std::uint64_t value) {
    std::string text(16, '0');
    for (std::size_t i = text.size(); i-- > 0; value >>= 4) text[i] = "0123456789abcdef"[value & 15];
    return text;
  };
  return digits(digest.inputs) + ":" + digits(digest.outputs);
}

void demand_name(const std::string& module) {
  if (module.empty() || module.find_first_of("/\n") != std::string::npos)
    throw std::invalid_argument("module: expected a name without '/' and line ends, got " +
                                in_quotes(module));
}

}  // namespace

std::string to_text(const RowPlace& place) {
  return std::to_string(place.call) + ":" + std::to_string(place.row);
}

bool is_model_dump(const SafetensorsFile& file) { return metadata(file, std::string(kModules)) != nullptr; }

std::vector<std::string> modules_of(const SafetensorsFile& file) {
  const std::string* text = metadata(file, std::string(kModules));
  if (text == nullptr)
    throw SafetensorsError(
        file.path(), std::string(kModules),
        "missing: this is no dump of a model's norms; one call alone is taken by check and identify");
  auto modules = split(*text, '\n');
  if (modules.empty()) throw SafetensorsError(file.path(), std::string(kModules), "names no module");
  const std::set<std::string> known(modules.begin(), modules.end());
  if (known.size() != modules.size())
    throw SafetensorsError(file.path(), std::string(kModules), "names a module twice");
  for (const SafetensorsTensor& tensor : file.tensors()) {
    if (!known.contains(tensor.name.substr(0, tensor.name.find('/'))))
      throw SafetensorsError(file.path(), shortened(tensor.name), "of no module that the file names");
  }
  return modules;
}

std::int64_t ModuleCall::rows() const {
  return dump() != nullptr ? dump()->test_case.rows() : judged()->call.rows();
}

const std::optional<std::string>& ModuleCall::policy() const {
  return dump() != nullptr ? dump()->policy : judged()->policy;
}

const oracle::judged::JudgedOperation* judged_operation_of(const SafetensorsFile& file,
                                                           const std::string& module) {
  const std::string* name = metadata(file, prefix_of(module) + "op");
  return name == nullptr ? nullptr : oracle::judged::find_judged_operation(*name);
}

ModuleCall read_module_call(const SafetensorsFile& file, const std::string& module,
                            const DumpOptions& options) {
  const auto modules = modules_of(file);
  if (std::ranges::find(modules, module) == modules.end())
    throw SafetensorsError(file.path(), std::string(kModules), "there is no module " + in_quotes(module));
  const std::string prefix = prefix_of(module);
  ModuleCall call{module, {}, {}};
  const auto* named = options.operation ? nullptr : judged_operation_of(file, module);
  if (named != nullptr) {
    call.call = oracle::judged::call_from_dump(file, {named, options.epsilon_bits}, true, prefix);
  } else {
    call.call = dump_from_safetensors(file, options, prefix);
  }
  call.places = places_of(file, prefix, call.rows());
  call.digests = digests_of(file, prefix);
  return call;
}

ModelDump read_model_dump(const std::filesystem::path& file) {
  const SafetensorsFile opened = read_safetensors(file);
  ModelDump calls;
  for (const std::string& module : modules_of(opened)) calls.push_back(read_module_call(opened, module));
  return calls;
}

void write_model_dump(const std::filesystem::path& file, const ModelDump& calls,
                      const std::map<std::string, std::string>& more) {
  if (calls.empty()) throw std::invalid_argument("modules: expected at least one norm, got none");
  std::deque<DumpContents> dumps;  // the contents refer to them
  std::vector<SafetensorsContent> contents;
  std::map<std::string, std::string> all = more;
  std::string modules;
  for (const ModuleCall& call : calls) {
    demand_name(call.module);
    const std::string prefix = prefix_of(call.module);
    if (static_cast<std::int64_t>(call.places.size()) != call.rows())
      throw std::invalid_argument("rows: expected as many places as rows, got " +
                                  std::to_string(call.places.size()));
    const auto add = [&](const auto& own) {
      contents.insert(contents.end(), own.contents.begin(), own.contents.end());
      all.insert(own.metadata.begin(), own.metadata.end());
    };
    if (const Dump* dump = call.dump()) {
      add(dumps.emplace_back(dump_contents(dump->test_case, dump->policy, prefix)));
    } else {
      add(oracle::judged::call_contents(call.judged()->call, call.judged()->policy, prefix));
    }
    std::string places;
    for (const RowPlace& place : call.places) places += (places.empty() ? "" : " ") + to_text(place);
    all[prefix + std::string(kPlaces)] = places;
    std::string digests;
    for (const CallDigest& digest : call.digests) digests += (digests.empty() ? "" : " ") + to_text(digest);
    if (!digests.empty()) all[prefix + std::string(kDigests)] = digests;
    modules += (modules.empty() ? "" : "\n") + call.module;
  }
  all[std::string(kModules)] = modules;
  align(contents);
  write_safetensors(file, contents, all);
}

}  // namespace normproof
