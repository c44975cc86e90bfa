// Runs `hearsay` as a user would, and stands in for the daemons that it asks.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "daemon/admin_server.h"
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

// Serves canned documents where a hearsayd would serve its own.
class FakeDaemon {
 public:
  explicit FakeDaemon(const std::filesystem::path& socket)
      : socket_(socket.string()) {
    daemon::AdminOptions options;
    options.listen = "127.0.0.1:0";
    options.unix_socket = socket;
    server_.emplace(io_, options, [this](const daemon::AdminRequest& request) {
      return Answer(request);
    });
    tcp_ = server_->address();
    thread_ = std::thread([this] { io_.run(); });
  }
  ~FakeDaemon() {
    boost::asio::post(io_, [this] { server_->Stop(); });
    guard_.reset();
    thread_.join();
  }

  void Serve(const std::string& path, const Json& body, int status = 200) {
    const std::lock_guard lock(mutex_);
    answers_[path] = {status, "application/json", body.dump()};
  }
  void ServeText(const std::string& path, const std::string& text) {
    const std::lock_guard lock(mutex_);
    answers_[path] = {200, "text/plain", text};
  }
  // "POST /v1/stop", in order.
  std::vector<std::string> posts() const {
    const std::lock_guard lock(mutex_);
    return posts_;
  }
  int asked(const std::string& path) const {
    const std::lock_guard lock(mutex_);
    const auto found = asked_.find(path);
    return found == asked_.end() ? 0 : found->second;
  }
  std::string unix_address() const { return "unix:" + socket_; }
  const std::string& tcp_address() const { return tcp_; }

 private:
  daemon::AdminResponse Answer(const daemon::AdminRequest& request) {
    const std::lock_guard lock(mutex_);
    ++asked_[request.path];
    if (request.method == "POST") posts_.push_back(request.path);
    auto path = request.path;
    if (const auto after = request.query.find("after");
        after != request.query.end())
      path += "?after=" + after->second;
    const auto found = answers_.find(path);
    if (found == answers_.end())
      return daemon::AdminError(404, "there is no " + path);
    return found->second;
  }

  const std::string socket_;
  std::string tcp_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      guard_{io_.get_executor()};
  std::optional<daemon::AdminServer> server_;
  mutable std::mutex mutex_;
  std::map<std::string, daemon::AdminResponse> answers_;
  std::map<std::string, int> asked_;
  std::vector<std::string> posts_;
  std::thread thread_;
};

// One node of a status document.
inline Json StatusNode(const std::string& name, const std::string& state,
                       int step) {
  return {{"name", name},
          {"state", state},
          {"step", step},
          {"steps_per_second", 410.25},
          {"effective_weight", 1.0},
          {"eval", {{"loss", 0.4412}, {"accuracy", 0.7914}}},
          {"privacy",
           {{"epsilon", 1.2345},
            {"target_epsilon", 3.0},
            {"delta", 1e-5},
            {"accountant", "rdp"},
            {"steps_left", 3766},
            {"valid", true}}},
          {"consensus_distance", 0.011},
          {"links",
           {{{"peer", "b"},
             {"direction", "out"},
             {"transport", "tcp"},
             {"ok", 1230},
             {"failed", 3},
             {"one_sided", 0},
             {"round_trip_seconds", 0.004},
             {"bytes_per_second", 1.2e8}}}},
          {"age_seconds", 0.3},
          {"error", nullptr}};
}

inline Json StatusDocument(const std::string& self,
                           const std::vector<Json>& nodes,
                           const std::string& health = "healthy") {
  return {{"schema", 1},
          {"self", self},
          {"cluster",
           {{"name", "pums"},
            {"health", health},
            {"reasons", Json::array()},
            {"members_alive", nodes.size()},
            {"members_total", nodes.size()},
            {"topology", "ring"},
            {"rule", "pairwise"},
            {"consensus", {{"relative_distance", 0.012}, {"state", "agreed"}}},
            {"resync", {{"every_steps", 0}, {"last_round", nullptr}}}}},
          {"nodes", nodes}};
}

// DIR/cluster.json for daemons at DIR/NAME.sock, none of them a process.
inline void WriteClusterFile(const std::filesystem::path& dir,
                             const std::vector<std::string>& names) {
  Json nodes = Json::array();
  for (const auto& name : names)
    nodes.push_back({{"name", name},
                     {"pid", 0},
                     {"config", (dir / name / "hearsayd.toml").string()},
                     {"state_dir", (dir / name).string()},
                     {"unix", (dir / (name + ".sock")).string()}});
  std::ofstream(dir / "cluster.json")
      << Json{{"schema", 1}, {"cluster", "pums"}, {"nodes", nodes}};
}

}  // namespace hearsay::tests
