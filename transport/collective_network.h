// Collectives over the real planes: pieces go by the data plane, words by the
// control plane, and a member whose lane is closed is lost to every group.
//
// While a round is under way and something has come or gone just now, the
// thread stays awake: to be woken costs more than a small message takes. It
// yields the processor to whoever wants it.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "transport/collective/live_collectives.h"
#include "transport/collective/network.h"
#include "transport/control_plane.h"
#include "transport/data_plane.h"
#include "transport/transport.h"

namespace hearsay::transport {

class CollectiveNetwork final
    : public collective::Network,
      public PieceSink,
      public std::enable_shared_from_this<CollectiveNetwork> {
 public:
  CollectiveNetwork(boost::asio::io_context& io, const Options& options,
                    std::shared_ptr<ControlPlane> control,
                    std::shared_ptr<DataPlane> data);
  // Nothing more is done or called.
  ~CollectiveNetwork();
  CollectiveNetwork(const CollectiveNetwork&) = delete;
  CollectiveNetwork& operator=(const CollectiveNetwork&) = delete;

  // From now on it hears what comes.
  void Start();
  collective::Collectives& collectives() { return collectives_; }
  // What was under way on that lane is gone, though another may follow.
  void OnLaneClosed(const std::string& node, const std::string& reason);
  // Everything under way ends with kClosed.
  void Close();

  // Network
  void SendPiece(const std::string& to, const RoundPiece& piece,
                 std::span<const std::byte> bytes, std::shared_ptr<void> keep,
                 std::function<void(bool sent)> done) override;
  bool Tell(const std::string& to, const RoundMessage& message) override;
  void Post(std::function<void()> call) override;
  void StartClock() override;
  // PieceSink
  std::optional<Place> OnPiece(const std::string& from, const RoundPiece& piece,
                               std::size_t length) override;
  void OnPlaced(const std::string& from, const RoundPiece& piece,
                bool ok) override;

 private:
  void Tick();
  void StayAwake();
  void Doze();

  boost::asio::io_context& io_;
  const std::shared_ptr<ControlPlane> control_;
  const std::shared_ptr<DataPlane> data_;
  boost::asio::steady_timer clock_;
  bool ticking_ = false;
  bool awake_ = false;
  bool active_ = false;  // a piece has come or gone since the last look
  Clock::time_point awake_until_;
  collective::LiveCollectives collectives_;  // Last: it uses the above.
};

}  // namespace hearsay::transport
