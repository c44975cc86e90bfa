#include "ops/cli/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

extern char** environ;

namespace hearsay::ops {
namespace {

constexpr const char* kDaemon = "hearsayd";
constexpr auto kLookEvery = std::chrono::milliseconds(50);

// posix_spawn's two parameter objects, released whatever happens.
class SpawnSettings {
 public:
  SpawnSettings() {
    posix_spawn_file_actions_init(&actions_);
    posix_spawnattr_init(&attributes_);
  }
  ~SpawnSettings() {
    posix_spawn_file_actions_destroy(&actions_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnSettings(const SpawnSettings&) = delete;
  SpawnSettings& operator=(const SpawnSettings&) = delete;

  void Detach() {
    // A session of its own: Ctrl-C and a closed terminal are not its concern.
    posix_spawnattr_setflags(
        &attributes_,
        static_cast<short>(POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
                           POSIX_SPAWN_SETSIGDEF));
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes_, &none);
    sigset_t all;
    sigfillset(&all);
    posix_spawnattr_setsigdefault(&attributes_, &all);
    posix_spawn_file_actions_addopen(&actions_, STDIN_FILENO, "/dev/null",
                                     O_RDONLY, 0);
  }
  void LogTo(const std::string& log) {
    posix_spawn_file_actions_addopen(&actions_, STDOUT_FILENO, log.c_str(),
                                     O_WRONLY | O_CREAT | O_APPEND, 0644);
    posix_spawn_file_actions_adddup2(&actions_, STDOUT_FILENO, STDERR_FILENO);
    posix_spawn_file_actions_addclosefrom_np(&actions_, STDERR_FILENO + 1);
  }
  int Spawn(pid_t& pid, const std::string& program, char* const* arguments) {
    return posix_spawnp(&pid, program.c_str(), &actions_, &attributes_,
                        arguments, environ);
  }

 private:
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
};

}  // namespace

std::filesystem::path FindDaemon() {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto beside = self.parent_path() / kDaemon;
  if (!error && access(beside.c_str(), X_OK) == 0) return beside;
  const char* path = std::getenv("PATH");
  std::istringstream folders(path != nullptr ? path : "");
  for (std::string folder; std::getline(folders, folder, ':');) {
    const auto candidate = std::filesystem::path(folder) / kDaemon;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  throw Exit(kError, fmt::format("cannot find {}, neither beside {} nor in "
                                 "PATH",
                                 kDaemon, self.string()));
}

pid_t StartDaemon(const std::filesystem::path& daemon, const LocalNode& node) {
  std::string program = daemon.string();
  std::string flag = "--config";
  std::string config = node.config.string();
  const std::array<char*, 4> arguments = {program.data(), flag.data(),
                                          config.data(), nullptr};
  SpawnSettings settings;
  settings.Detach();
  settings.LogTo(node.log().string());
  pid_t pid = 0;
  if (const int error = settings.Spawn(pid, program, arguments.data());
      error != 0)
    throw Exit(kError, fmt::format("cannot start {} for {}: {}", program,
                                   node.name, std::strerror(error)));
  return pid;
}

std::optional<std::string> HowItEnded(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, WNOHANG) != child) return std::nullopt;
  if (WIFSIGNALED(status))
    return fmt::format("was killed by signal {}", WTERMSIG(status));
  return fmt::format("exited with status {}", WEXITSTATUS(status));
}

bool IsRunning(const LocalNode& node) {
  std::ifstream stream(fmt::format("/proc/{}/cmdline", node.pid));
  const std::string command((std::istreambuf_iterator<char>(stream)), {});
  std::istringstream arguments(command);
  for (std::string one; std::getline(arguments, one, '\0');)
    if (one == node.config.string()) return true;
  return false;  // gone, a zombie (no command line) or somebody else
}

bool StopDaemon(const LocalNode& node, std::chrono::milliseconds patience) {
  const auto gone_within = [&](std::chrono::milliseconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (IsRunning(node)) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(kLookEvery);
    }
    return true;
  };
  if (!IsRunning(node)) return true;
  kill(node.pid, SIGTERM);
  if (gone_within(patience)) return true;
  if (IsRunning(node)) kill(node.pid, SIGKILL);
  gone_within(patience);
  return false;
}

std::string LastLine(const std::filesystem::path& log) {
  std::ifstream stream(log);
  std::string last;
  for (std::string line; std::getline(stream, line);)
    if (!line.empty()) last = line;
  return last;
}

}  // namespace hearsay::ops
