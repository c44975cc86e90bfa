// A ledger, verified and added up without a daemon: what an auditor asks of it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace hearsay::ops {

// `path`: the file, or the folder that it is in. Epsilon by `rdp`, and by `pld`
// where that is allowed: steps of one rate and noise, none of exact noise,
// delta from 1e-9. Throws: Exit(kError) where there is none; dp::LedgerError
// where it does not verify; Exit(kUsage) for a delta that is none.
nlohmann::ordered_json LedgerReport(const std::filesystem::path& path,
                                    double delta);

// The same for people.
std::string LedgerReportText(const nlohmann::ordered_json& report);

}  // namespace hearsay::ops
