// Runs the built `hearsay` and keeps what it said.
#pragma once

#include <sys/wait.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "tests/support/temporary_folder.h"

namespace hearsay::tests {

struct Finished {
  int code = -1;  // Of a signal: -1.
  std::string out;
  std::string err;
};

// `arguments` as in a shell.
inline Finished RunHearsay(const std::string& arguments) {
  TemporaryFolder folder;
  const auto err = folder / "err";
  const std::string command =
      std::string(HEARSAY_PROGRAM) + " " + arguments + " 2>" + err.string();
  std::FILE* const pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw std::runtime_error("cannot run " + command);
  Finished finished;
  std::array<char, 4096> bytes{};
  std::size_t got = 0;
  while ((got = std::fread(bytes.data(), 1, bytes.size(), pipe)) > 0)
    finished.out.append(bytes.data(), got);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) finished.code = WEXITSTATUS(status);
  std::ifstream in(err, std::ios::binary);
  finished.err.assign(std::istreambuf_iterator<char>(in), {});
  return finished;
}

}  // namespace hearsay::tests
