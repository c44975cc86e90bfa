// Time of one exchange (an array each way) between two processes on loopback:
//
//   hearsay_exchange_bench [BYTES [ROUNDS]]
//
// Starts itself a second time as the peer, which answers with an array of its
// own. One line of JSON: milliseconds, the minimum, median and 90th percentile.
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "transport/transport.h"
#include "transport/ucx_environment.h"

namespace {

using namespace hearsay::transport;  // NOLINT(google-build-using-namespace): a
                                     // program of one file
using Seconds = std::chrono::duration<double>;

constexpr int kWarmUp = 5;

Options MakeOptions(const std::string& node, std::size_t bytes) {
  Options options;
  options.cluster = "bench";
  options.node = node;
  options.model_fingerprint = "none";
  options.listen = "127.0.0.1:0";
  options.array_bytes = bytes;
  return options;
}

Buffer TakeFilled(Transport& transport, std::byte value) {
  Buffer buffer = transport.buffers()->Take();
  std::memset(buffer->data(), static_cast<int>(value), buffer->size());
  return buffer;
}

int RunPeer(const std::string& seed, std::size_t bytes) {
  boost::asio::io_context io;
  auto options = MakeOptions("peer", bytes);
  options.peers = {seed};
  Buffer answer;
  Callbacks callbacks;
  callbacks.on_request = [&](const std::string&, const Message& request,
                             const Respond& respond) {
    respond({.version = request.version, .payload = answer});
  };
  callbacks.on_member = [&io](const Member& member) {
    if (member.state != MemberState::kAlive) io.stop();
  };
  const auto transport = Transport::Make(io, options, callbacks);
  answer = TakeFilled(*transport, std::byte{2});
  transport->Start();
  io.run();
  return 0;
}

class Asker {
 public:
  Asker(std::size_t bytes, int rounds) : rounds_(rounds) {
    Callbacks callbacks;
    callbacks.on_member = [this](const Member& member) {
      if (member.state == MemberState::kAlive) Ask();
    };
    transport_ = Transport::Make(io_, MakeOptions("asker", bytes), callbacks);
    request_ = TakeFilled(*transport_, std::byte{1});
  }
  std::string address() const { return transport_->address(); }
  // Milliseconds, sorted; fewer than asked for if an exchange failed.
  std::vector<double> Run() {
    transport_->Start();
    io_.run();
    std::sort(times_.begin(), times_.end());
    return times_;
  }

 private:
  void Ask() {
    const auto start = Clock::now();
    transport_->Exchange(
        "peer", {.version = 1, .payload = request_}, Milliseconds(60000),
        [this, start](Result<Message> answer) {
          if (!answer) {
            std::fprintf(stderr, "exchange: %s\n",
                         answer.error().detail.c_str());
            return io_.stop();
          }
          ++done_;
          if (done_ > kWarmUp)
            times_.push_back(1000 * Seconds(Clock::now() - start).count());
          if (done_ == kWarmUp + rounds_) return io_.stop();
          answer = Message{};  // Its buffer is free for the next.
          Ask();
        });
  }

  const int rounds_;
  int done_ = 0;
  std::vector<double> times_;
  boost::asio::io_context io_;
  Buffer request_;
  std::unique_ptr<Transport> transport_;
};

}  // namespace

int main(int argc, char** argv) {
  PrepareUcxEnvironment();
  const std::size_t bytes =
      argc > 1 ? std::stoul(argv[1]) : std::size_t{64} << 20;
  if (argc == 4 && std::string(argv[2]) == "--peer-of")
    return RunPeer(argv[3], bytes);
  const int rounds = argc > 2 ? std::stoi(argv[2]) : 30;
  Asker asker(bytes, rounds);

  std::string size = std::to_string(bytes);
  std::string flag = "--peer-of";
  std::string address = asker.address();
  const std::array<char*, 5> arguments = {argv[0], size.data(), flag.data(),
                                          address.data(), nullptr};
  pid_t peer = -1;
  if (posix_spawn(&peer, "/proc/self/exe", nullptr, nullptr, arguments.data(),
                  environ) != 0) {
    std::perror("hearsay_exchange_bench: cannot start the peer");
    return 1;
  }
  const auto times = asker.Run();
  kill(peer, SIGTERM);
  waitpid(peer, nullptr, 0);
  if (times.size() != static_cast<std::size_t>(rounds)) return 1;
  std::printf(
      "{\"bytes\":%zu,\"rounds\":%d,\"min_ms\":%.3f,\"median_ms\":%.3f,"
      "\"p90_ms\":%.3f}\n",
      bytes, rounds, times.front(), times[times.size() / 2],
      times[times.size() * 9 / 10]);
  return 0;
}
