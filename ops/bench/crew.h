// The processes of a benchmark: this very program, started again as workers
// (worker.h) that are connected with each other, and ended by pid whatever
// happens.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace hearsay::ops {

class Crew {
 public:
  struct Setup {
    int nodes = 2;
    std::string wire = "ucx";  // ucx | socket
    std::size_t array_bytes = 0;
    // A CA's folder with certificates of w0, w1, ...: lanes are sealed.
    std::filesystem::path credentials;
  };

  // All connected. Throws: Exit(kError) with what went wrong.
  explicit Crew(const Setup& setup);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // What carries arrays, as the first of them says: "tcp", "socket".
  const std::string& lane() const { return lane_; }
  // The answer of the first, or of all in order.
  // Throws: Exit(kError) if one fails, ends or does not answer in time.
  nlohmann::ordered_json AskFirst(const nlohmann::ordered_json& command);
  std::vector<nlohmann::ordered_json> AskAll(
      const nlohmann::ordered_json& command);

 private:
  struct Process {
    pid_t pid = -1;
    int in = -1;   // its standard input
    int out = -1;  // and output
    std::string unread;
  };

  void Spawn(const Setup& setup, const std::vector<std::string>& members,
             std::size_t index, const std::string& peer);
  void Tell(Process& process, const nlohmann::ordered_json& command) const;
  nlohmann::ordered_json Read(Process& process) const;
  void End();

  std::vector<Process> processes_;
  std::string lane_;
};

}  // namespace hearsay::ops
