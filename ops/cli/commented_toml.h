// A hearsayd.toml for people: every key that is in force, in the order of the
// documentation, with a comment each.
#pragma once

#include <toml++/toml.h>

#include <string>

namespace hearsay::ops {

// What a local node gets where nobody says otherwise.
toml::table DefaultValues();

// `values` as text. Keys that have no comment here are written too: the daemon
// says what it makes of them.
std::string CommentedToml(toml::table values);

}  // namespace hearsay::ops
