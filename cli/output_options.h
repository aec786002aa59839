// Outputs are tried before the work: a command that cannot write its result says so at once.
#pragma once

#include <CLI/CLI.hpp>

namespace normproof {

// Has the options of `command` that name files and folders to be written looked at while the command line is
// read. Missing folders of a file are made; where no file can be made, the command line is refused.
void try_outputs_first(CLI::App& command);

}  // namespace normproof
