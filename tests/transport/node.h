// A Transport with an io_context and a thread of its own, for tests: calls are
// carried to that thread, what it hears is kept, and tests wait on conditions,
// never for a fixed time.
#pragma once

#include <algorithm>
#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "tests/transport/tls/forge.h"
#include "transport/transport.h"

namespace hearsay::transport {

// Sanitizers and a busy machine are slow; a wait this long has failed.
inline constexpr std::chrono::seconds kPatience{20};

// The same tests run over each kind: tests/transport/CMakeLists.txt.
inline WireKind WireUnderTest() {
  const char* name = std::getenv("HEARSAY_TEST_WIRE");
  return name != nullptr && std::string(name) == "socket" ? WireKind::kSocket
                                                          : WireKind::kUcx;
}

// Nothing, and so in the clear, unless all of it is to be tried over TLS too:
// then of one CA a process.
inline std::shared_ptr<tls::Credentials> CredentialsUnderTest(
    const std::string& node) {
  if (std::getenv("HEARSAY_TEST_TLS") == nullptr) return nullptr;
  static tls::Forge forge;
  return std::make_shared<tls::Credentials>(forge.Issue(node), node);
}

inline Options TestOptions(const std::string& node,
                           std::vector<std::string> peers = {},
                           std::size_t array_bytes = 4096) {
  Options options;
  options.cluster = "test";
  options.node = node;
  options.model_fingerprint = "3fa2";
  options.listen = "127.0.0.1:0";
  options.peers = std::move(peers);
  options.tls = CredentialsUnderTest(node);
  options.array_bytes = array_bytes;
  options.wire = WireUnderTest();
  options.timing.heartbeat = Milliseconds(50);
  // Long: many tests at once on a small machine are no failure.
  options.timing.silent_after = Milliseconds(5000);
  options.timing.give_up = Milliseconds(10000);
  options.timing.swim.probe_interval = Milliseconds(10000);
  options.timing.swim.probe_timeout = Milliseconds(5000);
  options.timing.handshake = Milliseconds(5000);
  options.timing.retry_min = Milliseconds(20);
  options.timing.retry_max = Milliseconds(200);
  return options;
}

// A node that soon takes silence for failure: suspect after at most 0.6 s,
// failed 0.8 s later; twice that under a sanitizer, where all is slower.
inline Options Impatient(Options options) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr int kTimes = 2;
#else
  constexpr int kTimes = 1;
#endif
  options.timing.silent_after = kTimes * Milliseconds(400);
  options.timing.give_up = kTimes * Milliseconds(1200);
  options.timing.swim.probe_interval = kTimes * Milliseconds(200);
  options.timing.swim.probe_timeout = kTimes * Milliseconds(100);
  return options;
}

// Eight bytes at a time: 64 MiB are filled and checked in a moment.
template <typename Word>
void ForEachWord(const Buffer& buffer, std::uint64_t seed, const Word& word) {
  std::uint64_t state = (seed + 1) * 0x9e3779b97f4a7c15ULL;
  for (std::size_t at = 0; at < buffer->size(); at += sizeof state) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    word(buffer->data() + at, state,
         std::min(sizeof state, buffer->size() - at));
  }
}

// Fills with array number `seed`.
inline void FillPattern(const Buffer& buffer, std::uint64_t seed) {
  ForEachWord(buffer, seed,
              [](std::byte* at, std::uint64_t word, std::size_t bytes) {
                std::memcpy(at, &word, bytes);
              });
}

inline bool HasPattern(const Buffer& buffer, std::uint64_t seed) {
  bool same = true;
  ForEachWord(buffer, seed,
              [&same](std::byte* at, std::uint64_t word, std::size_t bytes) {
                same = same && std::memcmp(at, &word, bytes) == 0;
              });
  return same;
}

class Node {
 public:
  // Decides what to answer; the default answers with array `version` + 1.
  using Handler =
      std::function<void(Node&, const std::string& from, Message, Respond)>;

  explicit Node(const Options& options, Handler handler = AnswerNext,
                bool start = true)
      : handler_(std::move(handler)),
        work_(boost::asio::make_work_guard(io_)),
        thread_([this] { io_.run(); }) {
    std::exception_ptr failure;
    Run([&] {
      try {
        transport_ = Transport::Make(io_, options, Callbacks_());
      } catch (...) {
        failure = std::current_exception();
      }
    });
    if (failure) {
      Join();
      std::rethrow_exception(failure);
    }
    pool_ = transport_->buffers();
    if (start) Run([this] { transport_->Start(); });
  }
  ~Node() {
    Run([this] { transport_.reset(); });
    Join();
  }
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;

  // On the network thread, waited for.
  template <typename F>
  std::invoke_result_t<F> Run(F&& f) {
    std::packaged_task<std::invoke_result_t<F>()> task(std::forward<F>(f));
    auto result = task.get_future();
    boost::asio::post(io_, [&task] { task(); });
    return result.get();
  }

  Transport& transport() { return *transport_; }
  // Its transport ends without a word as soon as `condition` holds, which is
  // asked between any two things that its thread does. Whoever destroys the
  // node first ends the asking.
  std::future<void> KillWhen(std::function<bool(Transport&)> condition) {
    const auto dead = std::make_shared<std::promise<void>>();
    KillWhen(std::move(condition), dead);
    return dead->get_future();
  }
  const std::shared_ptr<BufferPool>& pool() const { return pool_; }
  std::string address() {
    return Run([this] { return transport_->address(); });
  }
  std::vector<Member> members() {
    return Run([this] { return transport_->members(); });
  }
  LinkCounters counters(const std::string& member) {
    return Run([&] { return transport_->counters(member); });
  }
  std::optional<Member> member(const std::string& node) {
    for (auto& member : members())
      if (member.node == node) return member;
    return std::nullopt;
  }

  // False if it did not come true in time.
  static bool Eventually(const std::function<bool()>& condition,
                         std::chrono::milliseconds limit = kPatience) {
    const auto until = Clock::now() + limit;
    while (!condition()) {
      if (Clock::now() > until) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return true;
  }
  bool Sees(const std::string& node, MemberState state,
            std::chrono::milliseconds limit = kPatience) {
    return Eventually(
        [&] {
          const auto found = member(node);
          return found && found->state == state;
        },
        limit);
  }

  // Alive, and with an edge of its own.
  bool Meets(const std::string& node,
             std::chrono::milliseconds limit = kPatience) {
    return Eventually(
        [&] {
          const auto found = member(node);
          return found && found->reachable();
        },
        limit);
  }

  // An exchange from start to end. `payload`: array number `version`, or none.
  Result<Message> Ask(const std::string& to, std::uint64_t version,
                      bool payload = true,
                      Milliseconds deadline = Milliseconds(15000)) {
    auto promise = std::make_shared<std::promise<Result<Message>>>();
    auto future = promise->get_future();
    Message request{.version = version, .payload = nullptr};
    if (payload) {
      request.payload = pool_->Take();
      if (!request.payload) return Error{ErrorCode::kClosed, "pool is empty"};
      FillPattern(request.payload, version);
    }
    boost::asio::post(io_, [this, to, request, deadline, promise] {
      transport_->Exchange(to, request, deadline,
                           [promise](Result<Message> result) {
                             promise->set_value(std::move(result));
                           });
    });
    request = {};
    return future.get();
  }

  void Leave() {
    auto left = std::make_shared<std::promise<void>>();
    auto future = left->get_future();
    boost::asio::post(io_, [this, left] {
      transport_->Leave([left] { left->set_value(); });
    });
    future.get();
  }

  // Everything heard so far.
  std::vector<Member> changes() {
    const std::lock_guard lock(mutex_);
    return changes_;
  }
  // Each once, though its edge may have changed meanwhile.
  std::vector<MemberState> states_of(const std::string& node) {
    std::vector<MemberState> states;
    for (const auto& change : changes())
      if (change.node == node &&
          (states.empty() || states.back() != change.state))
        states.push_back(change.state);
    return states;
  }
  // Of all members, in order. A node of these tests says "to X" from when it
  // greets X on.
  std::vector<std::pair<std::string, std::string>> reports() {
    const std::lock_guard lock(mutex_);
    return reports_;
  }
  std::vector<std::pair<std::string, RefusalKind>> refusals() {
    const std::lock_guard lock(mutex_);
    return refusals_;
  }
  std::vector<Error> lost_answers() {
    const std::lock_guard lock(mutex_);
    return lost_answers_;
  }

  static void AnswerNext(Node& node, const std::string&, Message request,
                         Respond respond) {
    Message answer{.version = request.version + 1,
                   .payload = node.pool()->Take()};
    if (!answer.payload) return;
    if (request.payload && !HasPattern(request.payload, request.version))
      return;  // Damaged: the asker's timeout tells.
    FillPattern(answer.payload, answer.version);
    respond(std::move(answer));
  }

 private:
  void KillWhen(std::function<bool(Transport&)> condition,
                const std::shared_ptr<std::promise<void>>& dead) {
    boost::asio::post(io_, [this, condition = std::move(condition), dead] {
      if (!transport_) return;
      if (!condition(*transport_)) return KillWhen(condition, dead);
      transport_.reset();
      dead->set_value();
    });
  }
  Callbacks Callbacks_() {
    Callbacks callbacks;
    callbacks.on_member = [this](const Member& member) {
      const std::lock_guard lock(mutex_);
      changes_.push_back(member);
    };
    callbacks.on_report = [this](const Member& member) {
      const std::lock_guard lock(mutex_);
      reports_.emplace_back(member.node, member.report);
    };
    callbacks.on_greeting = [this](const std::string& node) {
      transport_->SetReport("to " + node);
    };
    callbacks.on_request = [this](const std::string& from, Message request,
                                  Respond respond) {
      handler_(*this, from, std::move(request), std::move(respond));
    };
    callbacks.on_answer_lost = [this](const std::string&, const Error& error) {
      const std::lock_guard lock(mutex_);
      lost_answers_.push_back(error);
    };
    callbacks.on_refused = [this](const std::string& reason, RefusalKind kind) {
      const std::lock_guard lock(mutex_);
      refusals_.emplace_back(reason, kind);
    };
    return callbacks;
  }
  void Join() {
    work_.reset();
    io_.stop();
    thread_.join();
  }

  Handler handler_;
  std::mutex mutex_;
  std::vector<Member> changes_;
  std::vector<std::pair<std::string, std::string>> reports_;
  std::vector<std::pair<std::string, RefusalKind>> refusals_;
  std::vector<Error> lost_answers_;
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      work_;
  std::shared_ptr<BufferPool> pool_;
  std::unique_ptr<Transport> transport_;
  std::thread thread_;
};

}  // namespace hearsay::transport
