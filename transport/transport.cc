#include "transport/transport.h"

#include <stdexcept>
#include <utility>
#include <vector>

#include "transport/collective_network.h"
#include "transport/control_plane.h"
#include "transport/data_plane.h"
#include "transport/socket_wire.h"
#include "transport/ucx_context.h"
#include "transport/ucx_worker.h"
#include "transport/wires.h"

namespace hearsay::transport {
namespace {

// Arrays that the pool may hold: a request and an answer each way for each
// member, and some for the owner's own use.
constexpr std::size_t kArraysPerMember = 4;
constexpr std::size_t kSpareArrays = 4;

void CheckName(const std::string& value, const std::string& what) {
  if (!IsName(value))
    throw std::invalid_argument("transport: " + what + " '" + value +
                                "' must be 1 to " +
                                std::to_string(kMaxNameBytes) +
                                " printable ASCII characters without spaces");
}

void CheckOptions(const Options& options) {
  CheckName(options.cluster, "cluster name");
  CheckName(options.node, "node name");
  CheckName(options.model_fingerprint, "model fingerprint");
  if (options.array_bytes == 0)
    throw std::invalid_argument("transport: array_bytes is 0");
  if (options.chunk_bytes == 0 || options.chunk_bytes > kMaxChunkBytes ||
      options.array_bytes / options.chunk_bytes >= kMaxChunks)
    throw std::invalid_argument(
        "transport: chunk_bytes " + std::to_string(options.chunk_bytes) +
        " must be 1 to " + std::to_string(kMaxChunkBytes) +
        " and cut an array into fewer than " + std::to_string(kMaxChunks));
}

std::unique_ptr<Wire> MakeWires(boost::asio::io_context& io, WireKind kind,
                                const Listener& listener,
                                const Wire::OnMessage& on_message) {
  std::vector<Wires::Named> wires;
  // UCX over TCP writes where any stranger says (ops/decisions/0008), and
  // aborts the survivor of some deaths (0028): it is for fabrics that need no
  // port.
  if (kind == WireKind::kUcx || (kind == WireKind::kAuto && !UcxMayUseTcp()))
    wires.push_back({"ucx", std::make_unique<UcxWorker>(
                                io, InterfaceOf(listener.ip()), on_message)});
  if (kind != WireKind::kUcx)
    wires.push_back({"socket", std::make_unique<SocketWire>(
                                   io, listener.advertised(), on_message)});
  return std::make_unique<Wires>(std::move(wires));
}

class TransportOfMembers final : public Transport {
 public:
  TransportOfMembers(boost::asio::io_context& io, const Options& options,
                     Callbacks callbacks)
      : callbacks_(std::make_shared<Callbacks>(std::move(callbacks))),
        pool_(BufferPool::Make(
            options.array_bytes,
            kArraysPerMember * options.peers.size() + kSpareArrays)) {
    // The control plane first: it knows the address, and so the network
    // interface, that the data plane binds to.
    control_ = std::make_shared<ControlPlane>(io, options, Wrapped(), proxy_);
    data_ = std::make_shared<DataPlane>(
        io, options,
        [this, &io, &options](const Wire::OnMessage& on_message) {
          return MakeWires(io, options.wire, control_->listener(), on_message);
        },
        pool_, DataEvents());
    proxy_.to = data_.get();
    network_ =
        std::make_shared<CollectiveNetwork>(io, options, control_, data_);
    network_->Start();
  }

  void Start() override {
    control_->Start(data_->worker_address(),
                    [weak = std::weak_ptr(data_)](auto socket) {
                      if (const auto data = weak.lock())
                        data->Adopt(std::move(socket));
                    });
  }

  void Leave(std::function<void()> done) override {
    network_->Close();
    data_->Stop();
    control_->Leave([weak = std::weak_ptr(data_), done = std::move(done)] {
      if (const auto data = weak.lock()) data->Shutdown(done ? done : [] {});
    });
  }

  void SetReport(std::string report) override {
    if (report.size() > kMaxReportBytes)
      throw std::invalid_argument(
          "transport: report of " + std::to_string(report.size()) +
          " bytes, allowed are " + std::to_string(kMaxReportBytes));
    control_->SetReport(std::move(report));
  }

  void Exchange(const std::string& to, Message request, Milliseconds deadline,
                std::function<void(Result<Message>)> done,
                OnAnswerBegin on_answer) override {
    data_->Exchange(to, std::move(request), deadline, std::move(done),
                    std::move(on_answer));
  }

  bool Join(const std::string& address) override {
    return control_->Join(address);
  }
  ForceLeaveOutcome ForceLeave(const std::string& node) override {
    return control_->ForceLeave(node);
  }
  collective::Collectives& collectives() override {
    return network_->collectives();
  }

  std::vector<Member> members() const override { return control_->members(); }
  LinkCounters counters(const std::string& member) const override {
    return data_->counters(member);
  }
  std::string address() const override { return control_->listener().bound(); }
  const std::shared_ptr<BufferPool>& buffers() const override { return pool_; }

 private:
  // The control plane is made before the data plane that it commands.
  struct Proxy final : DataLanes {
    std::string Open(const std::string& node, const LaneTerms& terms) override {
      return to->Open(node, terms);
    }
    void Close(const std::string& node, const std::string& reason) override {
      to->Close(node, reason);
    }
    DataLanes* to = nullptr;
  };

  Callbacks Wrapped() {
    Callbacks wrapped = *callbacks_;
    wrapped.on_member = [this](const Member& member) {
      if (member.edge == EdgeState::kConnected)
        pool_->RaiseLimit(kArraysPerMember * control_->connected_members() +
                          kSpareArrays);
      if (callbacks_->on_member) callbacks_->on_member(member);
    };
    return wrapped;
  }

  DataPlane::Events DataEvents() {
    return {
        .on_request_begin = callbacks_->on_request_begin,
        .on_request =
            [this](const std::string& from, Message request, Respond respond) {
              control_->OnProof(from);
              if (callbacks_->on_request)
                callbacks_->on_request(from, std::move(request),
                                       std::move(respond));
            },
        .on_answer_lost = callbacks_->on_answer_lost,
        .on_broken =
            [this](const std::string& node, const std::string& reason) {
              control_->OnLaneBroken(node, reason);
            },
        .on_closed =
            [this](const std::string& node, const std::string& reason) {
              if (network_) network_->OnLaneClosed(node, reason);
            }};
  }

  std::shared_ptr<Callbacks> callbacks_;
  std::shared_ptr<BufferPool> pool_;
  Proxy proxy_;
  std::shared_ptr<ControlPlane> control_;
  std::shared_ptr<DataPlane> data_;
  std::shared_ptr<CollectiveNetwork> network_;  // Last: it uses both.
};

}  // namespace

std::vector<std::pair<std::string, std::uint64_t>> LinkCounters::dropped()
    const {
  return {{"checksum", dropped_checksum}, {"size", dropped_size},
          {"stranger", dropped_stranger}, {"late", dropped_late},
          {"full", dropped_full},         {"forged", dropped_forged},
          {"replayed", dropped_replayed}, {"stale", dropped_stale},
          {"epoch", dropped_epoch},       {"unsealed", dropped_unsealed}};
}

std::unique_ptr<Transport> Transport::Make(boost::asio::io_context& io,
                                           const Options& options,
                                           Callbacks callbacks) {
  CheckOptions(options);
  return std::make_unique<TransportOfMembers>(io, options,
                                              std::move(callbacks));
}

}  // namespace hearsay::transport
