// The verbs of `hearsay`, one group a file. Each Add function declares its
// subcommands on `app`; a subcommand's callback does the work and either
// returns (exit 0) or throws Exit with another of the documented codes.
#pragma once

#include <CLI/CLI.hpp>
#include <stdexcept>
#include <string>

namespace hearsay::ops {

// interface.md: exit codes.
enum ExitCode : int {
  kOk = 0,
  kError = 1,
  kUsage = 2,
  kDegraded = 3,
  kUnhealthy = 4,
  kUnreachable = 5,
  kUnauthorised = 6,
  kTimedOut = 7,
  kExhausted = 8,
};

// Ends the program with `code` after printing what() on stderr (if not empty).
class Exit : public std::runtime_error {
 public:
  Exit(ExitCode exit_code, const std::string& message)
      : std::runtime_error(message), code(exit_code) {}
  const ExitCode code;
};

void AddClusterVerbs(CLI::App& app);  // up, down
void AddNodeVerbs(CLI::App& app);     // status, wait, privacy, events, ...
void AddNetworkVerbs(CLI::App& app);  // members, links, join, force-leave
void AddDataVerbs(CLI::App& app);     // prep, synth
void AddPrivacyVerbs(CLI::App& app);  // epsilon, calibrate
void AddModelVerbs(CLI::App& app);    // eval, inspect
void AddExportVerbs(CLI::App& app);   // export, predict
void AddBenchVerbs(CLI::App& app);    // bench
void AddStepBench(CLI::App& bench);   // bench step
void AddCompareVerb(CLI::App& app);   // compare
void AddAuditVerb(CLI::App& app);     // audit
void AddPlanVerb(CLI::App& app);      // plan
void AddSimVerb(CLI::App& app);       // sim
void AddDoctorVerb(CLI::App& app);    // doctor
void AddTlsVerbs(CLI::App& app);      // tls init, issue, revoke, show

}  // namespace hearsay::ops
