// Stands in for the daemons that `hearsay` asks, and for a cluster's folder.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "daemon/admin_server.h"
#include "tests/ops/program.h"

namespace hearsay::tests {

// Serves canned documents where a hearsayd would serve its own.
class FakeDaemon {
 public:
  static constexpr const char* kToken = "0123456789abcdef";

  explicit FakeDaemon(const std::filesystem::path& socket)
      : socket_(socket.string()) {
    daemon::AdminOptions options;
    options.listen = "127.0.0.1:0";
    options.unix_socket = socket;
    options.token = kToken;
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

  // `path` with its query, decoded.
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
    auto path = request.path;
    for (const auto& [key, value] : request.query)
      path += (path == request.path ? "?" : "&") + key + "=" + value;
    if (request.method == "POST") posts_.push_back(path);
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

// One daemon to ask, and a folder.
class AskingTest : public ::testing::Test {
 protected:
  std::string dir() const { return folder_.path().string(); }
  std::string address() const { return daemon_.unix_address(); }

  TemporaryFolder folder_;
  FakeDaemon daemon_{folder_ / "a.sock"};
};

}  // namespace hearsay::tests
