#include "ops/bench/data_lane.h"

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "ops/bench/average.h"
#include "transport/data_plane.h"
#include "transport/socket_wire.h"
#include "transport/ucx_environment.h"
#include "transport/ucx_worker.h"

namespace hearsay::bench {
namespace {

using namespace transport;  // NOLINT(google-build-using-namespace)
namespace asio = boost::asio;

constexpr std::size_t kAddressBytes = 4096;
constexpr std::uint64_t kToken = 1;
constexpr Milliseconds kPatience{60000};
constexpr Milliseconds kLaneBreaks{2000};
constexpr int kArraysAtOnce = 4;  // of a push
constexpr std::size_t kBuffers = 8;

std::int64_t Now() { return Clock::now().time_since_epoch().count(); }

// What the two processes and their parent share.
struct Shared {
  struct Side {
    std::array<char, kAddressBytes> address;
    std::atomic<std::size_t> address_bytes;  // 0 until it is there
    std::atomic<int> done;                   // rounds
    std::atomic<std::int64_t> at;            // when the last was done
  };
  std::array<Side, 2> sides;
  std::array<char, 256> failure;
  std::atomic<std::int64_t> elapsed;  // of a push
};

template <typename T>
class SharedArray {
 public:
  explicit SharedArray(std::size_t count) : bytes_(count * sizeof(T)) {
    memory_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::bad_alloc();
  }
  ~SharedArray() { munmap(memory_, bytes_); }
  SharedArray(const SharedArray&) = delete;
  SharedArray& operator=(const SharedArray&) = delete;
  T* get() { return static_cast<T*>(memory_); }

 private:
  std::size_t bytes_;
  void* memory_;
};

// One end, in its own process.
class End {
 public:
  using OnRequest = std::function<void(Message, Respond)>;

  End(const DataLane& lane, Shared& shared, std::size_t side)
      : side_(side),
        shared_(shared),
        acceptor_(io_, {asio::ip::address_v4::loopback(), 0}),
        pool_(BufferPool::Make(lane.array_bytes, kBuffers)) {
    Options options;
    options.array_bytes = lane.array_bytes;
    options.chunk_bytes = lane.chunk_bytes;
    plane_ = std::make_shared<DataPlane>(
        io_, options,
        [&](const Wire::OnMessage& on_message) {
          return MakeWire(lane.wire, on_message);
        },
        pool_,
        DataPlane::Events{
            .on_request_begin =
                [this](const auto&, const Message& begun, auto ahead) {
                  if (!mine_) return OnPiece();
                  ahead({.version = begun.version, .payload = mine_});
                  return Averaging(begun);
                },
            .on_request =
                [this](const auto&, Message message, Respond respond) {
                  on_request_(std::move(message), std::move(respond));
                },
            .on_answer_lost = {},
            .on_broken =
                [](const auto&, const std::string& reason) {
                  throw std::runtime_error("the lane broke: " + reason);
                },
            .on_closed = {}});
    Accept();
    Meet(lane);
  }

  // Takes an array that is this end's own from now on.
  void Fill() {
    mine_ = pool_->Take();
    const float value = side_ == 0 ? 1.0F : 3.0F;
    Fill(mine_, value);
  }
  // The other's array becomes the average of both while it arrives, as the
  // daemon makes the difference of both (daemon/exchange_loop.h).
  OnPiece Averaging(const Message& begun) const {
    return [to = begun.payload->data(), from = mine_->data()](
               std::size_t offset, std::size_t bytes) {
      AverageInto(to + offset, from + offset, bytes / sizeof(float));
    };
  }
  // It is whole, and this end's own.
  void Keep(Buffer average) { mine_ = std::move(average); }
  bool AllAre(float value) const {
    const std::span floats(reinterpret_cast<const float*>(mine_->data()),
                           mine_->size() / sizeof(float));
    return std::ranges::all_of(floats, [&](float x) { return x == value; });
  }

  void Serve(OnRequest on_request) {
    on_request_ = std::move(on_request);
    io_.run();
  }
  void Exchange(Message request, std::function<void(Message)> done) {
    plane_->Exchange(
        "other", std::move(request), kPatience,
        [done](Result<Message> answer) {
          if (!answer) throw std::runtime_error(answer.error().detail);
          done(*std::move(answer));
        },
        [this](const Message& begun) { return Averaging(begun); });
  }
  void RunUntil(const std::function<bool()>& condition) {
    while (!condition()) io_.run_one();
  }
  void RunWhileWaiting(const std::function<bool()>& condition) {
    while (!condition()) io_.poll();
  }
  const Buffer& mine() const { return mine_; }
  // To the one that asked.
  void TellDone() {
    auto& side = shared_.sides[side_];
    side.at = Now();
    ++side.done;
  }

 private:
  static void Fill(const Buffer& buffer, float value) {
    for (std::size_t at = 0; at + sizeof value <= buffer->size();
         at += sizeof value)
      std::memcpy(buffer->data() + at, &value, sizeof value);
  }
  std::unique_ptr<Wire> MakeWire(WireKind kind,
                                 const Wire::OnMessage& on_message) {
    if (kind == WireKind::kUcx)
      return std::make_unique<UcxWorker>(io_, "lo", on_message);
    return std::make_unique<SocketWire>(
        io_, "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()),
        on_message);
  }
  void Accept() {
    acceptor_.async_accept([this](const auto& error, auto socket) {
      if (error) return;
      plane_->Adopt(std::move(socket));
      Accept();
    });
  }
  // Tells the other end this one's address, and opens the lane to it.
  void Meet(const DataLane& lane) {
    auto& own = shared_.sides[side_];
    const std::string address = plane_->worker_address();
    if (address.size() > own.address.size())
      throw std::runtime_error("a data address of " +
                               std::to_string(address.size()) + " bytes");
    std::copy(address.begin(), address.end(), own.address.begin());
    own.address_bytes = address.size();
    auto& other = shared_.sides[1 - side_];
    while (other.address_bytes == 0) std::this_thread::yield();
    LaneTerms terms{.token = kToken,
                    .grant = {.data_token = kToken,
                              .worker_address = std::string(
                                  other.address.data(), other.address_bytes)},
                    .chunk_bytes = lane.chunk_bytes,
                    .secret = std::nullopt};
    if (lane.sealed)
      terms.secret = EdgeSecret{.bytes = {}, .dialler = side_ == 0};
    plane_->Open("other", terms);
  }

  const std::size_t side_;
  Shared& shared_;
  asio::io_context io_;
  asio::ip::tcp::acceptor acceptor_;
  std::shared_ptr<BufferPool> pool_;
  std::shared_ptr<DataPlane> plane_;
  Buffer mine_;
  OnRequest on_request_;
};

void PinTo(std::size_t which) {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  std::vector<std::size_t> cores;
  for (std::size_t core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &allowed)) cores.push_back(core);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cores[which % cores.size()], &one);
  static_cast<void>(sched_setaffinity(0, sizeof one, &one));
}

// A process of its own for one end; it ends with this object at the latest.
class Child {
 public:
  Child(Shared& shared, std::size_t side, const std::function<void()>& body)
      : pid_(fork()) {
    if (pid_ < 0) throw std::runtime_error("cannot start a process");
    if (pid_ > 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    PinTo(side);
    try {
      body();
      _exit(0);
    } catch (const std::exception& error) {
      std::strncpy(shared.failure.data(), error.what(),
                   shared.failure.size() - 1);
      _exit(1);
    }
  }
  ~Child() {
    if (Ended()) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, &status_, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  bool Ended() {
    if (!ended_) ended_ = waitpid(pid_, &status_, WNOHANG) != 0;
    return ended_;
  }
  bool EndedWell() {
    return Ended() && WIFEXITED(status_) && WEXITSTATUS(status_) == 0;
  }

 private:
  const pid_t pid_;
  int status_ = 0;
  bool ended_ = false;
};

// Both ends; the one that asks decides when it is over.
void RunBoth(Shared& shared, const std::function<void(End&)>& ask,
             const std::function<void(End&)>& serve, const DataLane& lane) {
  PrepareUcxEnvironment();
  Child server(shared, 1, [&] {
    End end(lane, shared, 1);
    serve(end);
  });
  Child asker(shared, 0, [&] {
    End end(lane, shared, 0);
    ask(end);
    _exit(0);  // Before its end: the server would hear of it, and complain.
  });
  // One that is left alone hears of it through its lane.
  auto until = Clock::time_point::max();
  while (!asker.Ended() && Clock::now() < until) {
    if (server.Ended() && until == Clock::time_point::max())
      until = Clock::now() + kLaneBreaks;
    std::this_thread::sleep_for(Milliseconds(1));
  }
  if (!asker.EndedWell())
    throw std::runtime_error(shared.failure[0] != '\0' ? shared.failure.data()
                                                       : "an end died");
}

}  // namespace

std::vector<Seconds> MeasureExchange(const DataLane& lane, Rounds rounds) {
  SharedArray<Shared> shared(1);
  const int total = rounds.warm_up + rounds.measured;
  SharedArray<std::int64_t> elapsed(static_cast<std::size_t>(total));
  auto& other = shared.get()->sides[1];
  const auto ask = [&](End& end) {
    end.Fill();
    for (int round = 0; round < total; ++round) {
      const auto start = Now();
      bool done = false;
      end.Exchange({.version = 1, .payload = end.mine()}, [&](Message answer) {
        end.Keep(std::move(answer.payload));
        done = true;
      });
      end.RunUntil([&] { return done; });
      const auto at = Now();
      end.RunWhileWaiting([&] { return other.done > round; });
      elapsed.get()[round] =
          std::max(at, other.at.load(std::memory_order_relaxed)) - start;
    }
    if (!end.AllAre(2.0F))
      throw std::runtime_error("the average of 1 and 3 is not 2");
  };
  const auto serve = [](End& end) {
    end.Fill();
    end.Serve([&end](Message request, const Respond& respond) {
      respond({.version = request.version, .payload = end.mine()});
      end.Keep(std::move(request.payload));
      end.TellDone();
    });
  };
  RunBoth(*shared.get(), ask, serve, lane);
  std::vector<Seconds> measured;
  for (int round = rounds.warm_up; round < total; ++round)
    measured.emplace_back(Clock::duration(elapsed.get()[round]));
  return measured;
}

Seconds MeasurePush(const DataLane& lane, Rounds rounds) {
  SharedArray<Shared> shared(1);
  const int total = rounds.warm_up + rounds.measured;
  const auto ask = [&](End& end) {
    end.Fill();
    int asked = 0;
    int done = 0;
    std::int64_t start = 0;
    std::function<void()> next = [&] {
      if (asked++ >= total) return;
      end.Exchange({.version = 1, .payload = end.mine()}, [&](const Message&) {
        if (++done == rounds.warm_up) start = Now();
        next();
      });
    };
    for (int i = 0; i < kArraysAtOnce; ++i) next();
    end.RunUntil([&] { return done == total; });
    shared.get()->elapsed = Now() - start;
  };
  const auto serve = [](End& end) {
    end.Serve([](const Message& request, const Respond& respond) {
      respond({.version = request.version, .payload = nullptr});
    });
  };
  RunBoth(*shared.get(), ask, serve, lane);
  return Seconds(Clock::duration(shared.get()->elapsed.load())) /
         rounds.measured;
}

}  // namespace hearsay::bench
