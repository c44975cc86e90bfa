// A node in a process of its own, for tests that kill, stop and restart it:
//
//   transport_test_peer NODE ARRAY_BYTES patient|impatient [PEER...]
//
// Prints its address, answers every request with array `version` + 1, asks
// each member that comes alive again and again, and leaves when its standard
// input ends.
#include <unistd.h>

#include <array>
#include <iostream>
#include <string>

#include "tests/transport/node.h"

namespace hearsay::transport {
namespace {

int Main(const std::vector<std::string>& arguments) {
  auto options = TestOptions(arguments.at(0), {}, std::stoul(arguments.at(1)));
  if (arguments.at(2) == "impatient") options = Impatient(options);
  options.peers.assign(arguments.begin() + 3, arguments.end());
  std::atomic<bool> stop = false;
  Node node(options);
  std::cout << node.address() << std::endl;
  std::thread asker([&] {
    for (std::uint64_t version = 0; !stop; version += 2) {
      for (const auto& member : node.members())
        if (member.state == MemberState::kAlive)
          static_cast<void>(
              node.Ask(member.node, version, true, Milliseconds(500)));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  std::array<char, 64> ignored{};
  while (read(STDIN_FILENO, ignored.data(), ignored.size()) > 0) {
  }
  stop = true;
  asker.join();
  node.Leave();
  return 0;
}

}  // namespace
}  // namespace hearsay::transport

int main(int argc, char** argv) {
  return hearsay::transport::Main({argv + 1, argv + argc});
}
