// A member's report, as a peer's heartbeat carries it.
#include <cmath>

#include "daemon/report.h"
#include "tests/fuzz/fuzz.h"

namespace hearsay::daemon {
namespace {

using fuzz::Check;

constexpr std::size_t kMostLinks = 64;
constexpr std::size_t kMostReasons = 16;
constexpr std::size_t kMostText = 512;

void CheckBounds(const NodeReport& report) {
  for (const double value :
       {report.steps_per_second, report.delta, report.proposed_interval,
        report.eval_loss.value_or(0), report.eval_accuracy.value_or(0)})
    Check(std::isfinite(value));
  Check(report.steps_per_second >= 0 && report.proposed_interval >= 0);
  Check(report.epsilon >= 0 && report.target_epsilon.value_or(0) >= 0);
  if (report.sketch)
    for (const float value : *report.sketch) Check(std::isfinite(value));
  Check(report.links.size() <= kMostLinks);
  Check(report.reasons.size() <= kMostReasons);
  for (const auto& link : report.links) {
    Check(std::isfinite(link.round_trip_seconds));
    Check(std::isfinite(link.bytes_per_second));
    for (const auto* text : {&link.peer, &link.direction, &link.transport})
      Check(text->size() <= kMostText);
  }
  for (const auto& reason : report.reasons) Check(reason.size() <= kMostText);
  Check(report.state.size() <= kMostText && report.health.size() <= kMostText);
}

}  // namespace
}  // namespace hearsay::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::daemon;  // NOLINT(google-build-using-namespace)
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  const auto report = DecodeReport(bytes);
  if (!report) return 0;
  CheckBounds(*report);
  const std::string canonical = EncodeReport(*report);
  const auto again = DecodeReport(canonical);
  hearsay::fuzz::Check(again && EncodeReport(*again) == canonical);
  return 0;
}
