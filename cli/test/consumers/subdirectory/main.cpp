// Uses a header and a function of the project that it is part of.
#include "corpus/case.h"

int main() { return normproof::operation_from_name("rms_norm") ? 0 : 1; }
