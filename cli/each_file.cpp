#include "cli/each_file.h"

#include <fmt/format.h>

#include <system_error>

#include "cli/exit_codes.h"
#include "corpus/case_json.h"
#include "corpus/safetensors.h"

namespace normproof {

int FilesLeftOut::exit_code(int violations) const {
  if (violations > 0) return kViolationFound;
  if (unreadable > 0) return kUsageError;
  return not_run > 0 ? kCouldNotRun : kAllGood;
}

FilesLeftOut take_each_file(const std::vector<std::string>& files, nlohmann::ordered_json& list,
                            HtmlReport& page, const std::function<void(const std::string&)>& take) {
  FilesLeftOut left_out;
  for (const std::string& file : files) {
    const auto leave_out = [&](const std::exception& error, int& count) {
      fmt::print(stderr, "normproof: {}\n", error.what());
      list.push_back({{"file", file}, {"error", error.what()}});
      page.sections.push_back(error_section(file, error.what()));
      ++count;
    };
    try {
      take(file);
    } catch (const CaseError& error) {
      leave_out(error, left_out.unreadable);
    } catch (const SafetensorsError& error) {
      leave_out(error, left_out.unreadable);
    } catch (const std::system_error& error) {
      leave_out(error, left_out.not_run);
    }
  }
  return left_out;
}

}  // namespace normproof
