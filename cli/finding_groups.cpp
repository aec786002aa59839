#include "cli/finding_groups.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "properties/judging/violation_identity.h"

namespace normproof {
namespace {

// What went wrong in a few words: what the target says, or the kind of violation.
std::string headline_of(const Finding& finding) {
  constexpr std::string_view kSays = "the target says: ";
  std::string_view text = finding.message;
  const std::size_t says = text.find(kSays);
  if (says != std::string_view::npos) {
    text.remove_prefix(says + kSays.size());
    text = text.substr(0, text.find('\n'));
    return std::string(text.substr(0, text.find(", in block (")));
  }
  if (finding.causes.empty()) return finding.found_by;
  const std::size_t subject = text.find(fmt::format(", {} ", name_of(finding.test_case.operation)));
  text = text.substr(0, std::min(subject, text.find('\n')));
  return std::string(text.substr(text.rfind('\n') + 1));
}

}  // namespace

std::vector<FindingGroup> groups_of(const std::vector<Finding>& findings) {
  std::vector<FindingGroup> groups;
  for (const Finding& finding : findings) {
    if (finding.known) continue;
    const std::string headline = headline_of(finding);
    auto group = std::ranges::find_if(groups, [&](const FindingGroup& each) {
      return without_numbers(each.headline) == without_numbers(headline);
    });
    if (group == groups.end()) group = groups.insert(group, {headline, groups.size()});
    group->count += finding.count();
    const Case& shown = finding.test_case;
    const std::string subject = fmt::format("{} {}", name_of(shown.operation), name_of(shown.dtype));
    if (!finding.causes.empty() && std::ranges::find(group->subjects, subject) == group->subjects.end())
      group->subjects.push_back(subject);
    group->findings.push_back(&finding);
  }
  std::ranges::sort(groups, {},
                    [](const FindingGroup& group) { return std::pair(-group.count, group.first); });
  return groups;
}

}  // namespace normproof
