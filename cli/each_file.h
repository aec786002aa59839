// The files of a command, one by one: one that cannot be read is named, and the others are looked at all the
// same.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/html_report.h"
#include "corpus/json.h"

namespace normproof {

struct FilesLeftOut {
  int unreadable = 0;  // they hold no call
  int not_run = 0;     // they could not be opened
  int count() const { return unreadable + not_run; }
  // Of a command that found so many violations in the others.
  int exit_code(int violations) const;
};

// Those that `take` cannot read have an entry with the error in `list`, and a section of the page.
FilesLeftOut take_each_file(const std::vector<std::string>& files, nlohmann::ordered_json& list,
                            HtmlReport& page, const std::function<void(const std::string&)>& take);

}  // namespace normproof
