// The network-privacy report: what the exchanges alone show one node of
// another, by distance. Information, never the claim (ops/decisions/0023).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/config.h"

namespace hearsay::ops {

struct NetworkRequest {
  std::filesystem::path config;
  std::size_t nodes = 0;  // 0: as many as the file says
  std::size_t rounds = 32;
  std::uint64_t steps_per_round = 1;
};

// Why no bound applies to exchanges of this configuration; nothing: one does.
std::vector<std::string> WhyNetworkPrivacyDoesNotApply(
    const daemon::Config& config);

// Throws: Exit(kUsage) for what cannot be computed; daemon::ConfigError.
nlohmann::ordered_json NetworkReport(const NetworkRequest& request);
// The same for people.
std::string NetworkReportText(const nlohmann::ordered_json& report);

}  // namespace hearsay::ops
