// Sequences of calls as JSON text.
#include "corpus/sequence.h"

#include <stdexcept>

#include "corpus/case_json.h"
#include "corpus/json.h"
#include "corpus/limits.h"
#include "corpus/message_text.h"

namespace normproof {
namespace {

using SequenceJson = nlohmann::ordered_json;

std::string short_text(const SequenceJson& value) {
  return shortened(value.dump(-1, ' ', true, SequenceJson::error_handler_t::replace));
}

const SequenceJson& member(const SequenceJson& document, const char* key) {
  const auto found = document.find(key);
  if (found == document.end()) throw CaseError(std::string("$.") + key, "missing");
  return *found;
}

bool fits_the_first(const Case& first, const Case& other) {
  return first.kind() == other.kind() && first.hidden_size() == other.hidden_size();
}

// Throws CaseError.
void check(const Sequence& sequence) {
  if (sequence.calls.empty() || sequence.calls.size() > kMostSequenceCalls) {
    throw CaseError("$.calls", "1 to " + std::to_string(kMostSequenceCalls) + " calls, got " +
                                   std::to_string(sequence.calls.size()));
  }
  if (sequence.repeat < 1 || sequence.repeat > kMostRepetitions) {
    throw CaseError("$.repeat",
                    "1 to " + std::to_string(kMostRepetitions) + ", got " + std::to_string(sequence.repeat));
  }
  for (std::size_t i = 0; sequence.same_bits && i < sequence.calls.size(); ++i) {
    if (fits_the_first(sequence.calls.front(), sequence.calls[i])) continue;
    throw CaseError("$.calls[" + std::to_string(i) + "]",
                    "same_bits compares its rows with those of the first call, but its operation, a dtype or "
                    "the hidden size is another");
  }
}

}  // namespace

bool is_sequence_file(const std::filesystem::path& file) { return file.extension() == ".sequence"; }

Sequence sequence_from_json(std::string_view text) {
  if (text.size() > kMaximumCaseTextBytes) {
    throw CaseError("$", "at most " + std::to_string(kMaximumCaseTextBytes) + " bytes of text, got more");
  }
  const SequenceJson document = SequenceJson::parse(text, nullptr, false);
  if (!document.is_object()) throw CaseError("$", "expected a JSON object");
  for (const auto& [key, value] : document.items()) {
    if (key != "normproof_sequence" && key != "same_bits" && key != "repeat" && key != "calls")
      throw CaseError("$", "unknown key " + in_quotes(key) + ", with the value " + short_text(value));
  }
  const SequenceJson& version = member(document, "normproof_sequence");
  if (version != 1) throw CaseError("$.normproof_sequence", "expected 1, got " + short_text(version));
  const SequenceJson &same_bits = member(document, "same_bits"), &repeat = member(document, "repeat"),
                     &calls = member(document, "calls");
  if (!same_bits.is_boolean())
    throw CaseError("$.same_bits", "expected true or false, got " + short_text(same_bits));
  if (!repeat.is_number_unsigned() || repeat.get<std::uint64_t>() > kMostRepetitions)
    throw CaseError("$.repeat", "1 to " + std::to_string(kMostRepetitions) + ", got " + short_text(repeat));
  if (!calls.is_array()) throw CaseError("$.calls", "expected a list of cases, got " + short_text(calls));
  Sequence sequence;
  sequence.same_bits = same_bits.get<bool>();
  sequence.repeat = repeat.get<int>();
  for (const SequenceJson& call : calls) {
    try {
      sequence.calls.push_back(
          case_from_json(call.dump(-1, ' ', false, SequenceJson::error_handler_t::replace)));
    } catch (const CaseError& error) {
      const std::string where = "$.calls[" + std::to_string(sequence.calls.size()) + "]";
      throw CaseError(where + std::string(error.path()).substr(1), error.reason());
    }
    if (sequence.calls.size() > kMostSequenceCalls) break;  // check() says so
  }
  check(sequence);
  return sequence;
}

std::string sequence_to_json(const Sequence& sequence) {
  try {
    check(sequence);
  } catch (const CaseError& error) {
    throw std::invalid_argument(error.what());
  }
  std::string text = "{\n\"normproof_sequence\": 1,\n\"same_bits\": ";
  text += sequence.same_bits ? "true" : "false";
  text += ",\n\"repeat\": " + std::to_string(sequence.repeat) + ",\n\"calls\": [\n";
  for (std::size_t i = 0; i < sequence.calls.size(); ++i) {
    std::string call = case_to_json(sequence.calls[i]);
    call.pop_back();  // its newline
    text += (i > 0 ? ",\n" : "") + call;
  }
  text += "\n]\n}\n";
  if (text.size() > kMaximumCaseTextBytes) {
    throw std::invalid_argument("$: the text would have " + std::to_string(text.size()) + " bytes, at most " +
                                std::to_string(kMaximumCaseTextBytes) + " can be read back");
  }
  return text;
}

}  // namespace normproof
