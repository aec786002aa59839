// What a kill matrix means for who ran it.
#pragma once

#include "properties/matrix/matrix.h"

namespace normproof {

// kViolationFound where verify missed a mutant, a check of ours was alarmed by the production kernels, a
// repro is none, or the plug-in fails a check; kCouldNotRun where a cell was not run.
int exit_code_of(const matrix::Matrix& matrix);

}  // namespace normproof
