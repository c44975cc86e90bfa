// What `hearsay doctor` looks at. Each check reads one part of the surroundings
// and says what it found and what to do about it.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/cuda_backend.h"
#include "ops/cli/target.h"
#include "transport/tls/wall_time.h"
#include "transport/ucx_report.h"

namespace hearsay::ops {

struct Finding {
  enum class Level { kFine, kImprove, kBroken };
  Level level = Level::kFine;
  std::string check;   // one word a kind: "ucx", "clock", "link a -> b"
  std::string found;   // what is there
  std::string advice;  // what to do; "" if it is fine
};
using Findings = std::vector<Finding>;

// The machine as far as files and the environment tell; tests have others.
struct Surroundings {
  std::filesystem::path root = "/";
  std::function<std::string(const std::string&)> variable;  // "" if unset
};
Surroundings ThisMachine();

Findings CheckUcx(const transport::UcxReport& report);
// No GPU is no fault.
Findings CheckGpu(const model::CudaProbe& probe);
Findings CheckEnvironment(const Surroundings& around,
                          const transport::UcxReport& report);
Findings CheckProcessor(const Surroundings& around);
// OpenBLAS: how it was built, and which kernel it has chosen.
Findings CheckBlas(const Surroundings& around, const std::string& flavour);
Findings CheckHugePages(const Surroundings& around);
Findings CheckOpenFiles(std::uint64_t limit);
// `kernel`: what adjtimex says; see its manual.
Findings CheckClock(int kernel_state, bool unsynchronised,
                    double max_error_seconds);
// A node's configuration and its certificate. Expired: broken; within a month:
// to be improved.
Findings CheckConfig(const std::filesystem::path& config,
                     transport::tls::WallTime now);
Findings CheckCertificate(const std::string& node,
                          const std::filesystem::path& certificate,
                          transport::tls::WallTime now);
// The running nodes: who answers, which lane each edge has, how fast it is,
// and what went wrong last.
Findings CheckNodes(const Where& where);

// All that concern this machine.
Findings CheckMachine(const Surroundings& around);

// The worst of them.
Finding::Level WorstOf(const Findings& findings);
nlohmann::ordered_json ToJson(const Findings& findings);
std::string Render(const Findings& findings);

}  // namespace hearsay::ops
