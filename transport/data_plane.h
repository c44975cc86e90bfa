// Arrays between members: cuts, sends, puts together, and matches answers with
// requests; and the pieces of collectives, which mean nothing here. See chunk.h
// for the pieces and wire.h for what carries them.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <unordered_map>

#include "transport/data_lanes.h"
#include "transport/lane.h"
#include "transport/round_pieces.h"
#include "transport/transport.h"
#include "transport/wire.h"

namespace hearsay::transport {

class DataPlane final : public DataLanes,
                        public PieceLanes,
                        public std::enable_shared_from_this<DataPlane> {
 public:
  struct Events {
    // As Callbacks of transport.h.
    std::function<OnPiece(const std::string& from, const Message& begun,
                          Respond ahead)>
        on_request_begin;
    std::function<void(const std::string& from, Message, Respond)> on_request;
    std::function<void(const std::string& to, const Error&)> on_answer_lost;
    // The wire reported that the lane is gone. It is closed by its owner.
    std::function<void(const std::string& node, const std::string& reason)>
        on_broken;
    // Pieces on their way to or from it may be lost. Must not call back.
    std::function<void(const std::string& node, const std::string& reason)>
        on_closed;
  };

  using MakeWire = std::function<std::unique_ptr<Wire>(const Wire::OnMessage&)>;

  // Throws: what `make_wire` throws.
  DataPlane(boost::asio::io_context& io, const Options& options,
            const MakeWire& make_wire, std::shared_ptr<BufferPool> pool,
            Events events, const SessionLimits& limits = {});
  // Exchanges under way are forgotten: their `done` is not called.
  ~DataPlane();
  DataPlane(const DataPlane&) = delete;
  DataPlane& operator=(const DataPlane&) = delete;

  std::string worker_address() const { return wire_->address(); }
  // A data socket that came to the node's listener.
  void Adopt(boost::asio::ip::tcp::socket socket);

  std::string Open(const std::string& node, const LaneTerms& terms) override;
  void Close(const std::string& node, const std::string& reason) override;

  void Exchange(const std::string& to, Message request, Milliseconds deadline,
                std::function<void(Result<Message>)> done,
                OnAnswerBegin on_answer = nullptr);
  void SendPiece(const std::string& to, const RoundPiece& piece,
                 std::span<const std::byte> bytes, std::shared_ptr<void> keep,
                 std::function<void(bool sent)> done) override;
  // Pieces go to `sink` from now on; to nobody if it is null.
  void SetPieceSink(PieceSink* sink) { sink_ = sink; }
  // Ends every exchange with kClosed and takes no other, but leaves the lanes
  // as they are: a member that sees its lane break thinks of failure.
  void Stop();
  // Closes every lane and ends UCX. `done`: no buffer is referred to any more.
  // Bounded. Requires: Stop.
  void Shutdown(std::function<void()> done);

  LinkCounters counters(const std::string& node) const;

 private:
  static constexpr Milliseconds kMaxExchange{std::chrono::hours{1}};

  using Done = std::function<void(Result<Message>)>;
  // Who has sent a piece, on which terms and under which keys (if sealed).
  struct Sender {
    std::shared_ptr<Lane> lane;
    std::shared_ptr<LaneSession> session;
    std::shared_ptr<seal::EpochKeys> keys;
  };

  std::shared_ptr<Lane> Connect(const std::string& node,
                                const LaneTerms& terms);
  // A lane's first session is used at once. A later one is taken on, but used
  // only when the peer is known to have it: when the control plane opens it
  // again, because it is established, or when a piece comes on it.
  void Renew(const std::shared_ptr<Lane>& lane, const LaneTerms& terms);
  std::shared_ptr<LaneSession> Add(const std::shared_ptr<Lane>& lane,
                                   const LaneTerms& terms);
  void Use(const std::shared_ptr<Lane>& lane,
           const std::shared_ptr<LaneSession>& session);
  // Pieces on its terms are a stranger's from now on.
  void Retire(Lane& lane, std::shared_ptr<LaneSession> session);
  // Keys that begin again at their first nonce are broken.
  bool IsSpent(const Lane* lane, const LaneTerms& terms) const;
  void ReportBroken(const std::string& node, const std::string& reason);
  LinkCounters& CountersOf(const std::string& node);

  // What arrives (data_plane_receive.cc).
  std::optional<Wire::Receive> OnChunk(std::span<const std::byte> bytes,
                                       std::size_t received);
  // Nothing, and it is counted, if no session explains the piece.
  std::optional<Sender> SenderOf(const ChunkHeader& header);
  // True if the bytes are what their sender sent; in the clear, then. Else it
  // is counted.
  static bool Reveal(const Sender& sender, const ChunkHeader& header,
                     std::span<std::byte> bytes, bool arrived);
  std::optional<Wire::Receive> OnRequestChunk(const Sender& sender,
                                              const ChunkHeader& header);
  std::optional<Wire::Receive> OnAnswerChunk(const Sender& sender,
                                             const ChunkHeader& header);
  std::optional<Wire::Receive> OnRoundChunk(const Sender& sender,
                                            const ChunkHeader& header);
  // Nothing if the pool is exhausted.
  std::shared_ptr<Incoming> Begin(const Sender& sender,
                                  const ChunkHeader& header);
  std::optional<Wire::Receive> Place(const Sender& sender,
                                     const std::shared_ptr<Incoming>& into,
                                     const ChunkHeader& header);
  void OnPlaced(const Sender& sender, const std::shared_ptr<Incoming>& into,
                const ChunkHeader& header, bool good);
  void OnDamaged(const Sender& sender, const std::shared_ptr<Incoming>& into);
  // Its first piece is in place. Returns who hears of its pieces.
  OnPiece OnBegun(const std::shared_ptr<Lane>& lane, const Incoming& message);
  void OnRequestWhole(const std::shared_ptr<Lane>& lane,
                      const std::shared_ptr<Incoming>& request);
  void Drop(const std::shared_ptr<Lane>& lane,
            const std::shared_ptr<Incoming>& request);

  void AnswerAhead(const std::weak_ptr<Lane>& lane,
                   const std::shared_ptr<Reply>& reply, Message answer);
  void Answer(const std::string& to, const std::weak_ptr<Lane>& lane,
              const std::shared_ptr<Reply>& reply, Message answer);
  std::shared_ptr<Outgoing> MakeAnswer(const std::shared_ptr<Lane>& lane,
                                       const Reply& reply, Message answer);
  // Now, or after the delay that tests ask for.
  void AfterDelay(std::function<void()> call);
  void Send(const std::shared_ptr<Lane>& lane,
            std::shared_ptr<Outgoing> message);
  void Finish(std::uint64_t exchange, Result<Message> result);
  // Ends what has expired, again and again while there is something.
  void Sweep();
  bool SweepLane(const std::shared_ptr<Lane>& lane, Clock::time_point now);
  void CheckPayload(const Message& message) const;

  boost::asio::io_context& io_;
  const Options options_;
  const SessionLimits limits_;
  const std::shared_ptr<BufferPool> pool_;
  const std::shared_ptr<BufferPool> staging_;  // of all lanes' sealed pieces
  Events events_;
  std::map<std::string, std::shared_ptr<Lane>> lanes_;
  std::unordered_map<std::uint64_t, std::weak_ptr<Lane>> by_token_;
  std::deque<seal::Key> spent_;  // Fingerprints of secrets, the latest last.
  PieceSink* sink_ = nullptr;
  std::map<std::uint64_t, std::unique_ptr<Pending>> pending_;  // By exchange.
  mutable std::map<std::string, LinkCounters> counters_;
  std::uint64_t next_exchange_ = 1;
  boost::asio::steady_timer sweeper_;
  std::mt19937 chance_{std::random_device()()};  // of added_loss
  bool sweeping_ = false;
  bool closed_ = false;
  std::unique_ptr<Wire> wire_;  // Last: its end may call the above.
};

}  // namespace hearsay::transport
