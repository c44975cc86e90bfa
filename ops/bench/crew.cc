#include "ops/bench/crew.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "ops/cli/verbs.h"

extern char** environ;

namespace hearsay::ops {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

namespace {

constexpr milliseconds kPatience{120000};  // for one answer
constexpr milliseconds kGoodbye{2000};
constexpr milliseconds kLookEvery{5};

std::string NameOf(std::size_t index) { return fmt::format("w{}", index); }

// Both ends closed in children, but for what is made their standard stream.
std::array<int, 2> MakePipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0)
    throw Exit(kError, fmt::format("pipe: {}", std::strerror(errno)));
  return ends;
}

}  // namespace

Crew::Crew(const Setup& setup) {
  std::vector<std::string> members;
  for (int i = 0; i < setup.nodes; ++i)
    members.push_back(NameOf(static_cast<std::size_t>(i)));
  // A write to one that has died is an error, not the end of this program.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    std::string first;
    for (std::size_t i = 0; i < members.size(); ++i) {
      Spawn(setup, members, i, first);
      const std::string address = Read(processes_.back()).at("address");
      if (i == 0) first = address;
    }
    for (auto& process : processes_) {
      const Json lanes = Read(process).at("lanes");
      if (lane_.empty() && !lanes.empty()) lane_ = lanes.front();
    }
  } catch (...) {  // The destructor of what was not constructed does not run.
    End();
    throw;
  }
}

Crew::~Crew() { End(); }

void Crew::Spawn(const Setup& setup, const std::vector<std::string>& members,
                 std::size_t index, const std::string& peer) {
  const auto in = MakePipe();
  const auto out = MakePipe();
  std::vector<std::string> arguments = {
      "hearsay",  "bench",         "worker",
      "--node",   members[index],  "--wire",
      setup.wire, "--array-bytes", std::to_string(setup.array_bytes)};
  if (!setup.credentials.empty())
    arguments.insert(arguments.end(), {"--tls", setup.credentials.string()});
  if (!peer.empty()) arguments.insert(arguments.end(), {"--peer", peer});
  for (const auto& member : members)
    arguments.insert(arguments.end(), {"--member", member});
  std::vector<char*> pointers;
  for (auto& argument : arguments) pointers.push_back(argument.data());
  pointers.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  pid_t pid = -1;
  const int error = posix_spawn(&pid, "/proc/self/exe", &actions, nullptr,
                                pointers.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  processes_.push_back({pid, in[1], out[0], {}});
  if (error != 0)
    throw Exit(kError,
               fmt::format("cannot start a worker: {}", std::strerror(error)));
}

void Crew::Tell(Process& process, const Json& command) const {
  const std::string line = command.dump() + '\n';
  if (write(process.in, line.data(), line.size()) !=
      static_cast<ssize_t>(line.size()))
    throw Exit(kError, "a worker has ended before its work");
}

Json Crew::Read(Process& process) const {
  const auto until = Clock::now() + kPatience;
  while (true) {
    if (const auto end = process.unread.find('\n'); end != std::string::npos) {
      const Json line = Json::parse(process.unread.substr(0, end));
      process.unread.erase(0, end + 1);
      if (line.contains("error"))
        throw Exit(kError, fmt::format("a worker failed: {}",
                                       line["error"].get<std::string>()));
      return line;
    }
    const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
    // The first is read; of the others only an end is of interest, for the one
    // that is read may be waiting for them.
    std::vector<pollfd> waiting = {
        {.fd = process.out, .events = POLLIN, .revents = 0}};
    for (const auto& other : processes_)
      if (&other != &process)
        waiting.push_back({.fd = other.out, .events = 0, .revents = 0});
    if (left.count() <= 0 || poll(waiting.data(), waiting.size(),
                                  static_cast<int>(left.count())) == 0)
      throw Exit(kError, "a worker does not answer");
    if (waiting.front().revents == 0) {
      for (const auto& other : waiting)
        if ((other.revents & (POLLHUP | POLLERR)) != 0)
          throw Exit(kError, "a worker has ended before its work");
      continue;  // A signal.
    }
    std::array<char, 65536> bytes{};
    const ssize_t got = read(process.out, bytes.data(), bytes.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) throw Exit(kError, "a worker has ended before its work");
    process.unread.append(bytes.data(), static_cast<std::size_t>(got));
  }
}

Json Crew::AskFirst(const Json& command) {
  Tell(processes_.front(), command);
  return Read(processes_.front());
}

std::vector<Json> Crew::AskAll(const Json& command) {
  for (auto& process : processes_) Tell(process, command);
  std::vector<Json> answers;
  for (auto& process : processes_) answers.push_back(Read(process));
  return answers;
}

// They end when their input does. Who has not by then is killed, by pid.
void Crew::End() {
  for (auto& process : processes_) {
    if (process.in >= 0) close(process.in);
    if (process.out >= 0) close(process.out);
  }
  const auto until = Clock::now() + kGoodbye;
  for (auto& process : processes_) {
    if (process.pid <= 0) continue;
    while (waitpid(process.pid, nullptr, WNOHANG) == 0) {
      if (Clock::now() < until) {
        std::this_thread::sleep_for(kLookEvery);
        continue;
      }
      kill(process.pid, SIGKILL);
      waitpid(process.pid, nullptr, 0);
      break;
    }
  }
  processes_.clear();
}

}  // namespace hearsay::ops
