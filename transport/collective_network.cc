#include "transport/collective_network.h"

#include <sched.h>

#include <boost/asio/post.hpp>
#include <utility>
#include <variant>

namespace hearsay::transport {
namespace {

// How exactly the limits of rounds are kept.
constexpr Milliseconds kTick{5};
// About what it takes to be woken.
constexpr std::chrono::microseconds kStayAwake{50};

}  // namespace

CollectiveNetwork::CollectiveNetwork(boost::asio::io_context& io,
                                     const Options& options,
                                     std::shared_ptr<ControlPlane> control,
                                     std::shared_ptr<DataPlane> data)
    : io_(io),
      control_(std::move(control)),
      data_(std::move(data)),
      clock_(io),
      collectives_(
          *this, options.node,
          {.array_bytes = std::max(options.array_bytes, options.round_bytes),
           .largest_piece = options.chunk_bytes}) {}

CollectiveNetwork::~CollectiveNetwork() {
  data_->SetPieceSink(nullptr);
  control_->OnRounds(nullptr);
}

void CollectiveNetwork::Start() {
  data_->SetPieceSink(this);
  control_->OnRounds([weak = weak_from_this()](const std::string& from,
                                               const RoundMessage& message) {
    if (const auto self = weak.lock())
      self->collectives_.OnMessage(from, message);
  });
}

// Later: the planes are in the middle of something, and a round that fails may
// call anything of theirs.
void CollectiveNetwork::OnLaneClosed(const std::string& node,
                                     const std::string& reason) {
  Post([this, node, reason] { collectives_.Lose(node, reason); });
}

void CollectiveNetwork::Close() {
  collectives_.Close();
  clock_.cancel();
}

void CollectiveNetwork::SendPiece(const std::string& to,
                                  const RoundPiece& piece,
                                  std::span<const std::byte> bytes,
                                  std::shared_ptr<void> keep,
                                  std::function<void(bool)> done) {
  data_->SendPiece(to, piece, bytes, std::move(keep), std::move(done));
  StayAwake();
}

std::optional<PieceSink::Place> CollectiveNetwork::OnPiece(
    const std::string& from, const RoundPiece& piece, std::size_t length) {
  return collectives_.OnPiece(from, piece, length);
}

void CollectiveNetwork::OnPlaced(const std::string& from,
                                 const RoundPiece& piece, bool ok) {
  collectives_.OnPlaced(from, piece, ok);
  StayAwake();
}

bool CollectiveNetwork::Tell(const std::string& to,
                             const RoundMessage& message) {
  return control_->Tell(
      to, std::visit([](const auto& body) { return ControlMessage(body); },
                     message));
}

void CollectiveNetwork::Post(std::function<void()> call) {
  boost::asio::post(io_, [weak = weak_from_this(), call = std::move(call)] {
    if (const auto self = weak.lock()) call();
  });
}

void CollectiveNetwork::StartClock() {
  if (!std::exchange(ticking_, true)) Tick();
}

void CollectiveNetwork::StayAwake() {
  awake_until_ = Clock::now() + kStayAwake;
  active_ = true;
  if (!std::exchange(awake_, true)) Post([this] { Doze(); });
}

// Something is always posted, so the io_context only looks for events, and does
// not sleep until one comes.
void CollectiveNetwork::Doze() {
  awake_ = Clock::now() < awake_until_ && collectives_.busy();
  if (!awake_) return;
  if (!std::exchange(active_, false)) sched_yield();
  Post([this] { Doze(); });
}

void CollectiveNetwork::Tick() {
  clock_.expires_after(kTick);
  clock_.async_wait(
      [weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!self || error) return;
        self->collectives_.OnTime(Clock::now());
        self->ticking_ = self->collectives_.busy();
        if (self->ticking_) self->Tick();
      });
}

}  // namespace hearsay::transport
