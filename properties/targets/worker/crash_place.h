// Where a plug-in crashes, so that two crashes of one signal are told apart.
#pragma once

#include "properties/targets/worker/protocol.h"

namespace normproof::worker {

// From now on a signal that ends the process leaves "libmine.so+0x12ab" in `place`, which lives in shared
// memory: the innermost frame within `library`, or, where none is, the instruction. Does nothing beside a
// sanitizer, which has handlers of its own, nor against a library that installs its own.
void note_crash_place(const char* library, char (&place)[kPlaceBytes]);

}  // namespace normproof::worker
