// Two kernels side by side, by their execution certificates: `normproof compare`, and `certify --compare`.
#pragma once

#include <string>
#include <vector>

#include "cli/certifier.h"

namespace normproof {

// Whether it names a kernel: a certificate (*.json), a library (*.so), or a target such as "host".
bool is_kernel(const std::string& side);

// Whether it is the file of one, *.json.
bool is_certificate(const std::string& side);

struct CompareKernelsOptions {
  std::string one, other;          // certificates, or targets, which are certified first
  CertifyOptions certify;          // how
  std::vector<std::string> bench;  // no file, or what `bench --json` wrote of the first and of the second
  std::string json, html, examples;
};
// Prints what differs, writes the files, and gives the exit code.
int compare_kernels(const CompareKernelsOptions& options);

}  // namespace normproof
