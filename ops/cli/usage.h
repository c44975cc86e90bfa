// What is said of a command line that cannot be used: one line, of what was
// typed before what is missing, and where to read on.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace hearsay::ops {

// For CLI::App::failure_message.
std::string UsageError(const CLI::App* app, const CLI::Error& error);

}  // namespace hearsay::ops
