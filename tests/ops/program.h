// Runs the built `hearsay` and collects what it printed.
#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "tests/support/temporary_folder.h"

namespace hearsay::ops {

struct Output {
  int code = 0;  // 128 or more: it died of a signal
  std::string out;
  std::string error;
};

// `arguments` is shell text.
inline Output RunHearsay(const std::string& arguments) {
  const tests::TemporaryFolder folder;
  const std::string command = std::string(HEARSAY_PROGRAM) + " " + arguments +
                              " 2>" + (folder / "stderr").string();
  FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  Output output;
  char buffer[4096];
  for (std::size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
    output.out.append(buffer, n);
  const int status = pclose(pipe);
  output.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
  std::ifstream file(folder / "stderr");
  output.error.assign(std::istreambuf_iterator<char>(file), {});
  return output;
}

}  // namespace hearsay::ops
