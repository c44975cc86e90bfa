// UCX as a wire, against ends of connections that no test of a whole node
// brings about at will.
#include "transport/ucx_worker.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace hearsay::transport {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One end, which does something only while it is run.
class End {
 public:
  explicit End(Wire::OnMessage on_message)
      : worker_(std::in_place, io_, "lo", std::move(on_message)) {}
  End() : End([](auto, auto) { return std::nullopt; }) {}

  UcxWorker& operator*() { return *worker_; }
  UcxWorker* operator->() { return &*worker_; }
  void RunFor(milliseconds time) { io_.run_for(time); }
  template <typename Condition>
  bool RunUntil(const Condition& condition) {
    const auto limit = std::chrono::steady_clock::now() + seconds(20);
    while (!condition() && std::chrono::steady_clock::now() < limit)
      io_.run_one_for(milliseconds(10));
    return condition();
  }
  void Die() { worker_.reset(); }

 private:
  boost::asio::io_context io_;
  std::optional<UcxWorker> worker_;
};

// The process's sockets of TCP that are connected.
std::set<int> Connections() {
  std::set<int> found;
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t bytes = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &bytes) == 0 &&
        peer.sin_family == AF_INET)
      found.insert(fd);
  }
  return found;
}

// Whoever closes one of them resets it, as a death with data unread does.
void ResetAtClose(const std::set<int>& connections) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  for (const int fd : connections)
    ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once),
              0);
}

TEST(UcxWorkerTest, APeerThatAcceptsAndDiesBreaksAnEndpointAndNoMore) {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1} << 20}) {
    End survivor;
    End peer;
    bool broken = false;
    bool done = false;
    const auto endpoint = survivor->Connect(
        peer->address(), [&broken](const std::string&) { broken = true; });
    ASSERT_TRUE(endpoint);
    const std::vector<std::byte> payload(bytes);
    const std::byte header{1};
    survivor->Send(*endpoint, {&header, 1}, payload, nullptr, [&](bool sent) {
      done = true;
      EXPECT_FALSE(sent);
    });
    // It says that it has accepted, and dies before the survivor has read it.
    peer.RunFor(milliseconds(300));
    ResetAtClose(Connections());
    peer.Die();
    EXPECT_TRUE(survivor.RunUntil([&] { return broken && done; }));
    survivor->Close(*endpoint);
    EXPECT_TRUE(survivor.RunUntil([&] { return survivor->in_flight() == 0; }));

    // It can go on with others.
    std::size_t arrived = 0;
    End other([&](auto, std::size_t) {
      ++arrived;
      return std::nullopt;
    });
    const auto next = survivor->Connect(other->address(), nullptr);
    ASSERT_TRUE(next);
    survivor->Send(*next, {&header, 1}, {}, nullptr,
                   [](bool sent) { EXPECT_TRUE(sent); });
    EXPECT_TRUE(survivor.RunUntil([&] {
      other.RunFor(milliseconds(1));
      return arrived == 1;
    }));
  }
}

}  // namespace
}  // namespace hearsay::transport
