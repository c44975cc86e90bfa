#include "ops/bench/worker.h"

#include <unistd.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <cstdio>
#include <functional>
#include <istream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>

#include "ops/bench/measures.h"
#include "transport/collective/collective.h"
#include "transport/tls/identity.h"
#include "transport/transport.h"
#include "transport/ucx_environment.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;
using transport::EdgeState;
using transport::Member;
using transport::Milliseconds;
using transport::Transport;

transport::Options MakeOptions(const WorkerOptions& worker) {
  transport::Options options;
  options.cluster = "bench";
  options.node = worker.node;
  options.model_fingerprint = "none";
  options.listen = "127.0.0.1:0";
  if (!worker.peer.empty()) options.peers = {worker.peer};
  options.array_bytes = worker.array_bytes;
  options.wire = worker.wire == "socket" ? transport::WireKind::kSocket
                                         : transport::WireKind::kUcx;
  if (!worker.credentials.empty())
    options.tls = std::make_shared<const transport::tls::Credentials>(
        transport::tls::Files{
            .ca = worker.credentials / "ca.pem",
            .cert = worker.credentials / (worker.node + ".pem"),
            .key = worker.credentials / (worker.node + ".key"),
            .crl = {}},
        worker.node);
  // More processes than cores are no failure.
  options.timing.silent_after = Milliseconds(10000);
  options.timing.give_up = Milliseconds(20000);
  options.timing.swim.probe_interval = Milliseconds(10000);
  options.timing.swim.probe_timeout = Milliseconds(5000);
  options.timing.handshake = Milliseconds(10000);
  return options;
}

class Worker {
 public:
  explicit Worker(const WorkerOptions& options)
      : options_(options), input_(io_, dup(STDIN_FILENO)) {
    transport::Callbacks callbacks;
    callbacks.on_member = [this](const Member& member) { OnMember(member); };
    callbacks.on_request_begin = [this](const auto&, const auto& begun,
                                        const auto& ahead) {
      return answerer_ ? answerer_->OnBegin(begun, ahead) : nullptr;
    };
    callbacks.on_request = [this](const auto&, const auto& request,
                                  const auto& respond) {
      if (answerer_) answerer_->OnRequest(request, respond);
    };
    transport_ = Transport::Make(io_, MakeOptions(options), callbacks);
    answerer_ = std::make_unique<Answerer>(*transport_);
  }
  ~Worker() { measure_.reset(); }
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  int Run() {
    transport_->Start();
    Say({{"address", transport_->address()}});
    SayIfConnected();
    Listen();
    io_.run();
    return status_;
  }

 private:
  static void Say(const Json& line) {
    std::puts(line.dump().c_str());
    std::fflush(stdout);
  }

  void OnMember(const Member& member) {
    if (member.reachable()) {
      lanes_[member.node] = member.lane;
      return SayIfConnected();
    }
    const bool connected = member.edge == EdgeState::kConnected ||
                           member.edge == EdgeState::kSilent;
    if (connected || !lanes_.contains(member.node)) return;
    Say({{"error", member.node + " was lost: " + member.last_error}});
    status_ = 1;
    io_.stop();
  }
  void SayIfConnected() {
    if (lanes_.size() + 1 == options_.members.size()) Say({{"lanes", lanes_}});
  }

  void Listen() {
    boost::asio::async_read_until(
        input_, buffer_, '\n', [this](const auto& error, std::size_t) {
          if (error) return io_.stop();  // Who has started us is gone.
          std::istream stream(&buffer_);
          std::string line;
          std::getline(stream, line);
          Obey(Json::parse(line));
          Listen();
        });
  }

  void Obey(const Json& command) {
    measure_ = MakeMeasure(*transport_, options_.members, command);
    measure_->Start([](const MeasureOutcome& outcome) {
      if (outcome.error)
        Say({{"error", *outcome.error}});
      else
        Say({{"seconds", outcome.seconds}, {"detail", outcome.detail}});
    });
  }

  const WorkerOptions options_;
  boost::asio::io_context io_;
  boost::asio::posix::stream_descriptor input_;
  boost::asio::streambuf buffer_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<Answerer> answerer_;
  std::unique_ptr<Measure> measure_;
  std::map<std::string, std::string> lanes_;
  int status_ = 0;
};

}  // namespace

int RunBenchWorker(const WorkerOptions& options) {
  transport::PrepareUcxEnvironment();
  return Worker(options).Run();
}

}  // namespace hearsay::ops
