// What the program prints: no bytes from outside steer a terminal, and what could not be printed is told.
#pragma once

#include <string>
#include <string_view>

namespace normproof {

// From here on standard output and standard error print as printable() says, whoever prints to them.
void guard_console();

// Draws on the terminal of standard error, our own control sequences included: the progress line.
void draw(std::string_view text);

// From here on nothing is written to standard output before exit_code_after_printing(), and nothing at all
// where all is good.
void hold_output();
// From here on what is printed to standard output is kept; kept_output() gives it.
void keep_output();
std::string kept_output();

// The exit code of a run whose printing is over: not kAllGood where not all of it could be printed.
int exit_code_after_printing(int exit_code);

}  // namespace normproof
