// Arrays between members: cuts, sends, puts together, and matches answers with
// requests. See chunk.h for the pieces and wire.h for what carries them.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "transport/data_lanes.h"
#include "transport/lane.h"
#include "transport/transport.h"
#include "transport/wire.h"

namespace hearsay::transport {

class DataPlane final : public DataLanes,
                        public std::enable_shared_from_this<DataPlane> {
 public:
  struct Events {
    std::function<void(const std::string& from, Message, Respond)> on_request;
    std::function<void(const std::string& to, const Error&)> on_answer_lost;
    // UCX reported that the lane is gone. It is closed by its owner.
    std::function<void(const std::string& node, const std::string& reason)>
        on_broken;
  };

  using MakeWire = std::function<std::unique_ptr<Wire>(const Wire::OnMessage&)>;

  // Throws: what `make_wire` throws.
  DataPlane(boost::asio::io_context& io, const Options& options,
            const MakeWire& make_wire, std::shared_ptr<BufferPool> pool,
            Events events);
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
                std::function<void(Result<Message>)> done);
  // Ends every exchange with kClosed and takes no other, but leaves the lanes
  // as they are: a member that sees its lane break thinks of failure.
  void Stop();
  // Closes every lane and ends UCX. `done`: no buffer is referred to any more.
  // Bounded. Requires: Stop.
  void Shutdown(std::function<void()> done);

  LinkCounters counters(const std::string& node) const;

 private:
  using Done = std::function<void(Result<Message>)>;

  std::optional<Wire::Receive> OnChunk(std::span<const std::byte> bytes,
                                       std::size_t received);
  std::optional<Wire::Receive> OnRequestChunk(const std::shared_ptr<Lane>& lane,
                                              const ChunkHeader& header);
  std::optional<Wire::Receive> OnAnswerChunk(const std::shared_ptr<Lane>& lane,
                                             const ChunkHeader& header);
  std::optional<Wire::Receive> Place(const std::shared_ptr<Lane>& lane,
                                     const std::shared_ptr<Incoming>& into,
                                     const ChunkHeader& header);
  void OnPlaced(const std::shared_ptr<Lane>& lane,
                const std::shared_ptr<Incoming>& into,
                const ChunkHeader& header, bool arrived);
  void OnRequestWhole(const std::shared_ptr<Lane>& lane,
                      const std::shared_ptr<Incoming>& request);
  void Answer(const std::string& to, const std::weak_ptr<Lane>& lane,
              std::uint64_t exchange, Clock::time_point expires,
              Message answer);
  void Send(const std::shared_ptr<Lane>& lane,
            std::shared_ptr<Outgoing> message);
  void Finish(std::uint64_t exchange, Result<Message> result);
  // Incoming buffers of requests whose asker has given up.
  void Sweep();
  void CheckPayload(const Message& message) const;

  boost::asio::io_context& io_;
  const Options options_;
  const std::shared_ptr<BufferPool> pool_;
  Events events_;
  std::map<std::string, std::shared_ptr<Lane>> lanes_;
  std::unordered_map<std::uint64_t, std::shared_ptr<Lane>> by_token_;
  std::map<std::uint64_t, std::unique_ptr<Pending>> pending_;  // By exchange.
  mutable std::map<std::string, LinkCounters> counters_;
  std::uint64_t next_exchange_ = 1;
  boost::asio::steady_timer sweeper_;
  bool closed_ = false;
  std::unique_ptr<Wire> wire_;  // Last: its end may call the above.
};

}  // namespace hearsay::transport
