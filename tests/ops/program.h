// Runs the built `hearsay` as a user would, and collects what it printed.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/temporary_folder.h"

namespace hearsay::tests {

using Json = nlohmann::ordered_json;

struct Outcome {
  int code = -1;  // 128 + signal if one ended it
  std::string out;
  std::string err;
  Json json() const { return Json::parse(out); }
};

inline std::string ReadText(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// A run of `hearsay` that has not ended yet.
class Running {
 public:
  explicit Running(std::vector<std::string> arguments,
                   const std::vector<std::string>& environment = {}) {
    arguments.insert(arguments.begin(), HEARSAY_PROGRAM);
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    // Nothing of the caller's environment may decide a test.
    std::vector<std::string> variables = {"PATH=/usr/bin:/bin"};
    for (const char* keep : {"ASAN_OPTIONS", "TSAN_OPTIONS", "UCX_MEM_EVENTS"})
      if (const char* value = getenv(keep))
        variables.push_back(std::string(keep) + "=" + value);
    variables.insert(variables.end(), environment.begin(), environment.end());
    std::vector<char*> envp;
    for (auto& variable : variables) envp.push_back(variable.data());
    envp.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, (folder_ / "out").c_str(),
                                     O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, (folder_ / "err").c_str(),
                                     O_WRONLY | O_CREAT, 0600);
    const int error = posix_spawn(&pid_, HEARSAY_PROGRAM, &actions, nullptr,
                                  argv.data(), envp.data());
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) throw std::runtime_error("cannot run " HEARSAY_PROGRAM);
  }
  ~Running() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  std::string out_so_far() const { return ReadText(folder_ / "out"); }
  void Interrupt() const { kill(pid_, SIGINT); }
  Outcome Wait() {
    int status = 0;
    waitpid(std::exchange(pid_, 0), &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
            ReadText(folder_ / "out"), ReadText(folder_ / "err")};
  }

 private:
  TemporaryFolder folder_;
  pid_t pid_ = 0;
};

inline Outcome Hearsay(const std::vector<std::string>& arguments,
                       const std::vector<std::string>& environment = {}) {
  return Running(arguments, environment).Wait();
}

// The same for arguments written as one line, split at spaces.
inline Outcome HearsayLine(const std::string& line) {
  std::istringstream words(line);
  return Hearsay({std::istream_iterator<std::string>(words), {}});
}

}  // namespace hearsay::tests
