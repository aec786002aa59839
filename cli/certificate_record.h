// Execution certificates as they are read: strictly, and without either target.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cli/execution_certificate.h"
#include "corpus/json.h"

namespace normproof {

struct CertifiedOrder {
  CallKind kind;
  std::int64_t hidden_size = 0, rows = 0, offset = 0;
  std::string what;  // kind and family, for people
  std::string root;
  nlohmann::ordered_json tree;  // null: not certified
};

struct CertificateRecord {
  std::string name;  // for people: the file's, or the target's
  std::string target, target_digest, version, compiler;
  std::uint64_t seed = 0;
  std::uint32_t scale_ub_bits = 0x7f800000u;  // infinity: none
  std::vector<PolicyStatement> policies;
  std::vector<CertifiedOrder> orders;
  std::vector<InputStatement> inputs;
  JudgedCertificate judged;
  std::vector<std::string> not_established;
};

// Throws UsageError where the text is no certificate.
CertificateRecord read_certificate(std::string_view text, const std::string& name);

}  // namespace normproof
