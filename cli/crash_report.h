// What is said when a target crashes: a kernel that reads or writes where nothing is ends the program.
#pragma once

#include <string>

namespace normproof {

// From now on a crash in a target is reported as the violation that it is: the case that was running is
// written below `findings`, as far as it can be, and the program ends with kViolationFound. A crash outside a
// target ends the program as ever. May be called again to change the folder.
void report_crashes(const std::string& findings, const std::string& target);

}  // namespace normproof
