// The processes of a local cluster: started detached, found again by pid, and
// never confused with a stranger that was given the same pid since.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>

#include "ops/cli/target.h"

namespace hearsay::ops {

// Beside this program, else in PATH. Throws: Exit(kError).
std::filesystem::path FindDaemon();

// Starts hearsayd on node.config in a session of its own, output appended to
// its log. Throws: Exit(kError).
pid_t StartDaemon(const std::filesystem::path& daemon, const LocalNode& node);

// How a child of this process ended ("exited with status 78", "was killed by
// signal 9"); nothing while it runs.
std::optional<std::string> HowItEnded(pid_t child);

// True if node.pid is a hearsayd on node.config.
bool IsRunning(const LocalNode& node);

// False if it runs on for longer than `patience`, which is then killed.
bool StopDaemon(const LocalNode& node, std::chrono::milliseconds patience);

// "" if there is none.
std::string LastLine(const std::filesystem::path& log);

}  // namespace hearsay::ops
