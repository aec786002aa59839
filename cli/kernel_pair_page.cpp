#include "cli/kernel_pair_page.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/certified_parts.h"
#include "cli/commands.h"
#include "cli/html_differences.h"
#include "cli/result_fields.h"
#include "corpus/json.h"
#include "corpus/json_text.h"
#include "corpus/operation.h"
#include "oracle/exact.h"
#include "oracle/formats.h"
#include "properties/report/html.h"

namespace normproof {
namespace {

using html::escaped;
using Rows = std::vector<std::vector<std::string>>;

std::string name(const KernelPair& pair, std::size_t side) { return escaped(pair.records[side].name); }

// "same" or "differ", and in words what does not follow from the two.
std::string same_badge(bool same) { return html::badge(same ? "same" : "differ", same); }

std::string share_of(std::int64_t part, std::int64_t whole) {
  return fmt::format("{:.1f} %",
                     100 * static_cast<double>(part) / static_cast<double>(std::max<std::int64_t>(whole, 1)));
}

std::string bits_text(DType dtype, std::uint32_t bits) {
  return code_html(oracle::hex_bits(dtype, bits)) + " " + escaped(oracle::value_text(dtype, bits));
}

// What an output may be that follows the side's own policy.
std::string allowed_text(const ComparedElement& element, std::size_t side) {
  const auto& allowed = element.allowed[side];
  if (!allowed) return "no policy is known";
  const DType dtype = element.row_of.dtype_of(element.role);
  if (oracle::is_nan(dtype, (*allowed)[0])) return "nothing is said: it may be NaN";
  const auto number = [&](std::uint32_t bits) { return oracle::to_double(oracle::decode(dtype, bits)); };
  const double got = number(element.bits[side]);
  const bool inside = got >= number((*allowed)[0]) && got <= number((*allowed)[1]);
  const std::string range = (*allowed)[0] == (*allowed)[1]
                                ? bits_text(dtype, (*allowed)[0])
                                : bits_text(dtype, (*allowed)[0]) + " to " + bits_text(dtype, (*allowed)[1]);
  return range + " " + html::badge(inside ? "inside" : "outside", inside);
}

std::string element_html(const KernelPair& pair, const ComparedElement& element) {
  const DType dtype = element.row_of.dtype_of(element.role);
  std::string text =
      fmt::format("<p>First in input {}, row {}, {}[{}], of {} columns", code_html(element.input),
                  element.row, name_of(element.role), element.column, element.row_of.hidden_size());
  for (const Role role : {Role::input, Role::residual, Role::weight}) {
    if (!element.row_of.has_data(role)) continue;
    const DType own = element.row_of.dtype_of(role);
    const auto bits = load_bits(element.row_of[role].data.bytes, own, element.column);
    text += fmt::format("; {} = {}", name_of(role), bits_text(own, bits));
  }
  text += ".</p>\n";
  Rows rows = {{"kernel", "got", "what its own policy allows there, in any order of summation"}};
  for (const std::size_t side : {0, 1})
    rows.push_back({name(pair, side), bits_text(dtype, element.bits[side]), allowed_text(element, side)});
  return text + html::table(rows);
}

HtmlSection bits_section(const KernelPair& pair) {
  const CertificateComparison& found = pair.found;
  HtmlSection section{"Bits", found.different_rows == 0 ? "same" : "differ", found.different_rows == 0};
  section.html = html::figures(std::vector<html::Figure>{
      {std::to_string(found.inputs), "inputs that both ran"},
      {std::to_string(found.rows), "rows"},
      {std::to_string(found.different_rows), "rows with other bits", found.different_rows > 0}});
  Rows rows = {{"call", "inputs", "rows", "rows with other bits", "share", "verdict"}};
  std::string elements;
  for (const ComparedKind& kind : found.kinds) {
    const std::string call = kind_text(kind.kind);
    rows.push_back({escaped(call), std::to_string(kind.inputs), std::to_string(kind.rows),
                    std::to_string(kind.different_rows), share_of(kind.different_rows, kind.rows),
                    same_badge(kind.different_rows == 0)});
    if (kind.different_rows == 0) continue;
    elements += fmt::format("<h3>{}</h3>\n", escaped(call));
    elements += kind.element ? element_html(pair, *kind.element)
                             : "<p>No row of at most 16 elements differs; of longer rows certificates hold "
                               "digests alone.</p>\n";
  }
  if (found.judged_inputs > 0)
    rows.push_back({"LayerNorms, gradients and other judged operations", std::to_string(found.judged_inputs),
                    std::to_string(found.judged_rows), std::to_string(found.judged_different_rows),
                    share_of(found.judged_different_rows, found.judged_rows),
                    same_badge(found.judged_different_rows == 0)});
  section.html += html::table(rows);
  section.html += elements;
  return section;
}

template <typename Statement>
std::string policies_text(const Statement* statement) {
  if (statement == nullptr) return "not taken";
  std::string text = statement->policies.empty() ? html::badge("none is known", false) : "";
  for (const std::string& policy : statement->policies)
    text += (text.empty() ? "" : "<br>or ") + code_html(policy);
  if (!statement->reason.empty()) text += html::details("why", html::preformatted(statement->reason));
  return text;
}

// Of both, in the order of the first; then those that the second alone has.
template <typename Entry, typename Same>
std::vector<std::array<const Entry*, 2>> paired(const std::vector<Entry>& one,
                                                const std::vector<Entry>& other, const Same& same) {
  std::vector<std::array<const Entry*, 2>> pairs;
  const auto partner = [&](const std::vector<Entry>& entries, const Entry& entry) -> const Entry* {
    const auto found = std::ranges::find_if(entries, [&](const Entry& each) { return same(each, entry); });
    return found == entries.end() ? nullptr : &*found;
  };
  for (const Entry& entry : one) pairs.push_back({&entry, partner(other, entry)});
  for (const Entry& entry : other)
    if (partner(one, entry) == nullptr) pairs.push_back({nullptr, &entry});
  return pairs;
}

HtmlSection policies_section(const KernelPair& pair) {
  Rows rows = {{"call", name(pair, 0), name(pair, 1), "verdict"}};
  bool all = true;
  const auto same_call = [](const PolicyStatement& one, const PolicyStatement& other) {
    return one.kind == other.kind && one.offset == other.offset;
  };
  for (const auto& [one, other] : paired(pair.records[0].policies, pair.records[1].policies, same_call)) {
    const PolicyStatement& known = one != nullptr ? *one : *other;
    std::string verdict = "-";
    if (one != nullptr && other != nullptr) {
      const bool common = common_policy(one->policies, other->policies).has_value();
      all &= common;
      verdict = same_badge(common);
    }
    rows.push_back(
        {escaped(call_text(known.kind, known.offset)), policies_text(one), policies_text(other), verdict});
  }
  const auto same_judged = [](const JudgedPolicyStatement& one, const JudgedPolicyStatement& other) {
    return one.call == other.call;
  };
  for (const auto& [one, other] :
       paired(pair.records[0].judged.policies, pair.records[1].judged.policies, same_judged)) {
    const bool told = one != nullptr && other != nullptr;
    const bool common = told && common_policy(one->policies, other->policies);
    all &= !told || common;
    rows.push_back({escaped(one != nullptr ? one->call : other->call), policies_text(one),
                    policies_text(other), told ? same_badge(common) : "-"});
  }
  HtmlSection section{"Policies", all ? "same" : "differ", all};
  section.html =
      "<p>Which rounding each follows, by its outputs alone. Several: the outputs do not tell them "
      "apart.</p>\n" +
      html::table(rows);
  return section;
}

std::string order_text(const CertifiedOrder* order) {
  if (order == nullptr) return "not looked for";
  std::string text = escaped(order->what);
  text += order->tree.is_null() ? ", not certified" : ", certified";
  if (!order->root.empty()) text += fmt::format("<br>root {}", code_html(order->root));
  return text;
}

HtmlSection orders_section(const KernelPair& pair) {
  Rows rows = {{"call", name(pair, 0), name(pair, 1), "verdict"}};
  bool all = true;
  const auto same_call = [](const CertifiedOrder& one, const CertifiedOrder& other) {
    return one.kind == other.kind && one.hidden_size == other.hidden_size && one.rows == other.rows &&
           one.offset == other.offset;
  };
  for (const auto& [one, other] : paired(pair.records[0].orders, pair.records[1].orders, same_call)) {
    const CertifiedOrder& known = one != nullptr ? *one : *other;
    std::string verdict = "-";
    if (one != nullptr && other != nullptr) {
      const bool told = !one->tree.is_null() || !other->tree.is_null();
      const bool same = one->tree == other->tree && one->what == other->what && one->root == other->root;
      all &= same;
      verdict = told || !same ? same_badge(same) : "not told";
    }
    rows.push_back({fmt::format("{} {}, H {}, {} row{}, {}", name_of(known.kind.operation),
                                name_of(known.kind.dtype), known.hidden_size, known.rows,
                                known.rows == 1 ? "" : "s", known.offset == 0 ? "aligned" : "shifted"),
                    order_text(one), order_text(other), verdict});
  }
  HtmlSection section{"Orders of summation", all ? "same" : "differ", all};
  section.html = rows.size() == 1 ? "<p>None was looked for.</p>\n" : html::table(rows);
  return section;
}

// Microseconds: three digits.
std::string microseconds_text(double microseconds) { return fmt::format("{:.3g}", microseconds); }

HtmlSection speed_section(const KernelPair& pair) {
  HtmlSection section{"Speed", "", true};
  if (!pair.speed[0] || !pair.speed[1]) {
    section.html = fmt::format(
        "<p>Not measured. {} and the same of the other, then <code>--bench mine.json "
        "theirs.json</code>.</p>\n",
        html::command(program_name() + " bench --target TARGET --json mine.json"));
    return section;
  }
  const auto same_row = [](const MeasuredKernel::Row& one, const MeasuredKernel::Row& other) {
    return one.operation == other.operation && one.dtype == other.dtype && one.hidden == other.hidden &&
           one.tokens == other.tokens && one.mode == other.mode;
  };
  for (const std::size_t side : {0, 1})
    section.html += fmt::format("<p>{}: on {}, {}</p>\n", name(pair, side), escaped(pair.speed[side]->device),
                                escaped(pair.speed[side]->date));
  if (pair.speed[0]->device != pair.speed[1]->device)
    section.html += "<p class=\"diagnosis\">The devices are not the same: the times do not compare.</p>\n";
  Rows rows = {{"operation", "dtype", "H", "tokens", "in cache", name(pair, 0) + ", us",
                name(pair, 1) + ", us", "second / first"}};
  std::vector<std::string> alone;
  for (const auto& [one, other] : paired(pair.speed[0]->rows, pair.speed[1]->rows, same_row)) {
    const MeasuredKernel::Row& row = one != nullptr ? *one : *other;
    if (one == nullptr || other == nullptr) {
      alone.push_back(fmt::format("{} {} H {}, {} tokens", row.operation, row.dtype, row.hidden, row.tokens));
      continue;
    }
    rows.push_back({escaped(row.operation), escaped(row.dtype), std::to_string(row.hidden),
                    std::to_string(row.tokens), row.mode == "hot" ? "yes" : "no",
                    microseconds_text(one->microseconds), microseconds_text(other->microseconds),
                    fmt::format("{:.2f}", other->microseconds / one->microseconds)});
  }
  section.html += rows.size() == 1 ? "<p>No row was measured of both.</p>\n" : html::table(rows);
  if (!alone.empty())
    section.html += html::details(fmt::format("{} rows that one of them has alone", alone.size()),
                                  html::preformatted(fmt::format("{}", fmt::join(alone, "\n"))));
  return section;
}

HtmlSection differences_section(const KernelPair& pair) {
  const auto& differences = pair.found.differences;
  HtmlSection section{"What differs", differences.empty() ? "nothing" : std::to_string(differences.size()),
                      differences.empty()};
  Rows rows = {{"cause", "what", "shown by"}};
  for (const Difference& difference : differences)
    rows.push_back({escaped(difference.cause), escaped(difference.text),
                    difference.example ? fmt::format("one row of {}", difference.example->hidden_size())
                                       : "no input that shows it alone"});
  section.html = differences.empty() ? "<p>Nothing that was looked at.</p>\n" : html::table(rows);
  return section;
}

HtmlSection unseen_section(const KernelPair& pair) {
  HtmlSection section{"What was not looked at", "", true};
  const auto list = [&](const std::string& title, const std::vector<std::string>& lines) {
    if (!lines.empty())
      section.html += fmt::format("<h3>{}</h3>\n{}", escaped(title),
                                  html::preformatted(fmt::format("{}", fmt::join(lines, "\n"))));
  };
  list("Not compared", pair.found.not_compared);
  for (const std::size_t side : {0, 1})
    list("Not established of " + pair.records[side].name, pair.records[side].not_established);
  return section;
}

HtmlSection kernels_section(const KernelPair& pair) {
  Rows rows = {{"kernel", "target", "digest of its file", "certified by", "seed"}};
  for (const std::size_t side : {0, 1}) {
    const CertificateRecord& record = pair.records[side];
    rows.push_back({name(pair, side), code_html(record.target),
                    record.target_digest.empty() ? "-" : code_html(record.target_digest),
                    escaped(fmt::format("normproof {}, {}", record.version, record.compiler)),
                    std::to_string(record.seed)});
  }
  HtmlSection section{"The two kernels", "", true};
  section.html = html::table(rows);
  return section;
}

}  // namespace

MeasuredKernel read_measured(std::string_view text, const std::string& file) {
  if (const std::string objection = json_objection(text); !objection.empty())
    throw UsageError(fmt::format("{}: not JSON: {}", file, objection));
  const auto document = nlohmann::ordered_json::parse(text, nullptr, false);
  const ResultFields fields(document, file);
  if (!fields.has("normproof_bench"))
    fields.refuse("is no result of `normproof bench --json`: normproof_bench is missing");
  fields.count("normproof_bench", 1, 1);
  MeasuredKernel measured;
  measured.device = fields.text("device");
  measured.date = fields.text("date");
  for (const ResultFields& row : fields.rows("rows")) {
    measured.rows.push_back({row.text("op"), row.text("dtype"), row.text("mode"), row.count("hidden"),
                             row.count("tokens"), row.seconds("kernel_us")});
  }
  return measured;
}

std::string conclusion(const KernelPair& pair) {
  const CertificateComparison& found = pair.found;
  if (found.same())
    return "the same bits on all of these inputs, the same policies, the same certified orders";
  if (found.different_rows == 0) return "the same bits on all of these inputs, but not the same arithmetic";
  return "not the same bits";
}

HtmlReport kernel_pair_page(const KernelPair& pair) {
  HtmlReport report;
  report.title = fmt::format("{} and {}", pair.records[0].name, pair.records[1].name);
  report.good = pair.found.same();
  report.verdict = report.good ? "same" : "differ";
  report.diagnosis = conclusion(pair);
  if (!pair.found.differences.empty()) {
    const Difference& first = pair.found.differences.front();
    report.diagnosis += fmt::format("; {}: {}", first.cause, first.text);
  }
  report.sections = {differences_section(pair), bits_section(pair),  policies_section(pair),
                     orders_section(pair),      speed_section(pair), unseen_section(pair),
                     kernels_section(pair)};
  return report;
}

}  // namespace normproof
