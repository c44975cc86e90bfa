// A transport_test_peer as a child process (see peer_main.cc). Spawned, never
// forked: UCX does not survive a fork.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

namespace hearsay::transport {

class PeerProcess {
 public:
  PeerProcess(const std::string& node, std::size_t array_bytes,
              const std::vector<std::string>& peers = {},
              const std::string& temper = "patient") {
    std::array<int, 2> in{};
    std::array<int, 2> out{};
    if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0)
      throw std::runtime_error("pipe2");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::vector<std::string> arguments = {HEARSAY_TEST_PEER, node,
                                          std::to_string(array_bytes), temper};
    arguments.insert(arguments.end(), peers.begin(), peers.end());
    std::vector<char*> pointers;
    for (auto& argument : arguments) pointers.push_back(argument.data());
    pointers.push_back(nullptr);
    const int failed = posix_spawn(&pid_, HEARSAY_TEST_PEER, &actions, nullptr,
                                   pointers.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    close(in[0]);
    close(out[1]);
    stdin_ = in[1];
    if (failed != 0) throw std::runtime_error("posix_spawn");
    char c = 0;
    while (read(out[0], &c, 1) == 1 && c != '\n') address_ += c;
    close(out[0]);
  }
  ~PeerProcess() {
    Signal(SIGCONT);
    Kill();
    close(stdin_);
  }
  PeerProcess(const PeerProcess&) = delete;
  PeerProcess& operator=(const PeerProcess&) = delete;

  const std::string& address() const { return address_; }
  void Signal(int signal) const {
    if (pid_ > 0) kill(pid_, signal);
  }
  void Kill() {
    Signal(SIGKILL);
    Wait();
  }
  // Asks it to leave; returns its exit status.
  int Leave() {
    close(stdin_);
    stdin_ = -1;
    return Wait();
  }

 private:
  int Wait() {
    if (pid_ <= 0) return -1;
    int status = -1;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

  pid_t pid_ = -1;
  int stdin_ = -1;
  std::string address_;
};

}  // namespace hearsay::transport
