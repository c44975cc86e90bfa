// The secret that opens the admin API's TCP door. Everybody on a machine
// reaches its ports, a web page in somebody's browser too; only who may read
// this file knows the token. The unix socket needs none: its permission says
// the same.
#pragma once

#include <filesystem>
#include <string>

namespace hearsay::daemon {

// The one line of `file`, which nobody else may read or write. A file that is
// not there is made, mode 0600, with 256 random bits.
// Throws: ConfigError that names the file and what is wrong with it.
std::string ReadOrMakeAdminToken(const std::filesystem::path& file);

}  // namespace hearsay::daemon
