// SIGINT, SIGTERM and SIGHUP: what the program does before it ends.
#pragma once

#include <string>

namespace normproof {

// From now on such a signal removes unfinished files, and then ends the program as it would without. A signal
// that was ignored when the program started stays ignored. That a file grows beyond its limit (`ulimit -f`)
// is from now on an error of the write, no signal.
void handle_signals();

// From now on the first such signal only asks the work to stop (properties/targets/stop_request.h), for a
// command that then prints and writes what it has. A second one ends the program at once.
void finish_on_stop_signal();

// Of a run that a signal stopped, as shells have it: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP.
int exit_code_of_stop(int signal_number);
bool is_exit_code_of_stop(int exit_code);
// "stopped by SIGINT".
std::string stop_text(int signal_number);

}  // namespace normproof
