// The status document of interface.md: fetched from whichever node answers,
// completed with those that do not, drawn as a table or a live screen.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "ops/cli/target.h"

namespace hearsay::ops {

struct StatusOptions {
  Where where;
  bool cluster = false;  // all nodes, not only the one that was asked
  bool watch = false;
  bool until_finished = false;  // ends --watch
};

// The verb. Throws: Exit with the health's code.
void Status(const StatusOptions& options);

// The whole document from the first of `nodes` that answers; the others that it
// does not mention are added with their "error". If none answers, a document
// that says so of each.
nlohmann::ordered_json FetchStatus(const Where& where);

// 0, 3 or 4 by cluster.health; 5 if no node answered.
ExitCode CodeOf(const nlohmann::ordered_json& status);

// A heading, a line a node, and a line for each reason and error.
std::string RenderStatus(const nlohmann::ordered_json& status);

// "timing: profile lan, heartbeat_ms 250, ...": the values in force at the node
// that answered; "" if it did not say.
std::string TimingLines(const nlohmann::ordered_json& document);

// Every node has ended its training (finished or exhausted).
bool AllFinished(const nlohmann::ordered_json& status);

}  // namespace hearsay::ops
