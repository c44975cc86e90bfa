#include "ops/cli/usage.h"

#include <fmt/format.h>

#include <vector>

namespace hearsay::ops {

std::string UsageError(const CLI::App* app, const CLI::Error& error) {
  std::string verb = app->get_name();
  for (auto given = app->get_subcommands(); !given.empty();
       given = given.back()->get_subcommands())
    verb += " " + given.back()->get_name();
  // What is required and missing may only be misspelt.
  const auto extras = app->remaining(true);
  const bool is_verb = !extras.empty() && !extras.front().starts_with('-') &&
                       error.get_name() == "RequiredError";
  const std::string what =
      extras.empty()
          ? error.what()
          : fmt::format("unknown {} '{}'", is_verb ? "verb" : "argument",
                        extras.front());
  return fmt::format("hearsay: {} ({} --help says what there is)\n", what,
                     verb);
}

}  // namespace hearsay::ops
