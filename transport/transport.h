// Moves whole arrays between named members, and tells who is there.
//
// Control plane: one TCP connection a pair of members (Asio, length-prefixed
// protobuf): hello with protocol version, cluster, node, model fingerprint and
// data address; then heartbeats that carry an opaque report, and the probes of
// the failure detector (swim/swim.h). Data plane: pieces
// of about 1 MiB over UCX or sockets, checksummed, handed over only when the
// whole array has been verified. What the bytes mean is the caller's business.
//
// Delivery of an exchange is at most once; there is none between members that
// are not connected. A member that restarts (new incarnation) is reconnected.
// A node of another cluster, protocol or model is refused, and both sides are
// told both values.
//
// Threads: constructed and used on the thread that runs `io`, callbacks too.
// Nothing here blocks it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "transport/buffer.h"
#include "transport/result.h"
#include "transport/swim/settings.h"
#include "transport/tls/identity.h"

namespace hearsay::transport {

namespace collective {
class Collectives;  // transport/collective/collective.h
}

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

// Every wait of the transport; the daemon derives them from cluster.profile.
struct Timing {
  Milliseconds heartbeat{250};  // between two heartbeats
  // Without a word on a connection: it is probed, and is no edge of the ring.
  Milliseconds silent_after{1000};
  Milliseconds give_up{3000};    // then it is closed and dialled anew
  Milliseconds handshake{2000};  // connect + hello
  Milliseconds retry_min{100};   // doubled up to retry_max, jittered
  Milliseconds retry_max{2000};
  swim::Settings swim;  // what makes a member suspect, and then failed
};

// What carries arrays, of those that both ends offer. kAuto offers UCX where it
// is safe and sockets beside it (ops/decisions/0008, 0028).
enum class WireKind { kAuto, kUcx, kSocket };

struct Options {
  std::string cluster;
  std::string node;                // unique in the cluster
  std::string model_fingerprint;   // opaque; must be equal to mix
  std::string listen;              // HOST:PORT; port 0 = chosen by the system
  std::string advertise;           // HOST:PORT told to others; "" = listen
  std::vector<std::string> peers;  // HOST:PORT, retried for ever
  // Null: whoever can connect is believed (tls.mode = "off"). Their owner may
  // reload them; sessions whose peer is believed no more end within a second.
  std::shared_ptr<const tls::Credentials> tls;
  std::size_t array_bytes = 0;  // size of every non-empty payload
  // Of the longest array of a collective; 0: array_bytes.
  std::size_t round_bytes = 0;
  // Small enough to stay in a core's cache while it is worked on (0018).
  std::size_t chunk_bytes = std::size_t{512} << 10;
  WireKind wire = WireKind::kAuto;
  Timing timing;
  // Experiments and tests: holds every data message back on the sending side.
  Milliseconds added_delay{0};
  // This share of outgoing requests and answers is lost on the way: nobody is
  // told.
  double added_loss = 0;
};

// What the members say of one of them, or kRefused: not let in by this node, or
// not letting it in. Words of the status: see interface.md.
enum class MemberState { kAlive, kSuspect, kFailed, kLeft, kRefused };

// This node's own connection with a member. A member whose edge is broken may
// well be alive: others reach it (ops/decisions/0012).
enum class EdgeState {
  kNone,       // not yet, or it has left
  kConnected,  // heard within Timing.silent_after
  kSilent,     // connected, but nothing comes
  kBroken,     // ended; dialled again and again
};

struct Member {
  std::string node;     // "" while only an address is known
  std::string address;  // HOST:PORT
  MemberState state = MemberState::kFailed;
  Clock::time_point since;  // of `state`
  std::string said_by;      // whose word `state` is; "" if nobody's
  EdgeState edge = EdgeState::kNone;
  Clock::time_point edge_since;
  std::uint64_t incarnation = 0;  // of its process; 0 before the first edge
  std::string last_error;         // "" if none; else one clear line
  Clock::time_point heard;        // last word over the edge; epoch: never
  std::string report;             // its latest, opaque
  std::string lane;               // UCX transport in use, e.g. "tcp"

  // Can be asked: alive by all accounts, and by a connection of our own.
  bool reachable() const {
    return state == MemberState::kAlive && edge == EdgeState::kConnected;
  }
};

// An array with the version (step) its sender gave it. `payload` may be null:
// a request that carries nothing.
struct Message {
  std::uint64_t version = 0;
  Buffer payload;
};

// Gives the answer to a request; at most once, on the network thread, within
// the asker's deadline or not at all. Throws: std::invalid_argument if the
// payload is not array_bytes long, or another than was given ahead.
using Respond = std::function<void(Message answer)>;

// A piece of an array that still arrives is in place, and is what its sender
// sent: the owner may change these bytes of the payload in place, now, while
// they are in the core's cache, and later. Every place once, in any order, all
// of them before the whole is handed over; never for a piece that is damaged,
// late or replayed. The function is kept until on_request has returned; of an
// answer, until its end is told. An array that does not become whole is
// forgotten: the function goes without a word, and the payload, whatever was
// made of it, goes back to its pool.
//
// Threads: the network thread, which answers probes: take no longer than the
// piece took to arrive. Must not call the transport.
using OnPiece = std::function<void(std::size_t offset, std::size_t bytes)>;

using OnAnswerBegin = std::function<OnPiece(const Message& begun)>;

// Why another member does not let this node in.
enum class RefusalKind { kProtocol, kCluster, kModel, kDuplicateName };

// What the owner hears. All on the network thread. None is called from within
// Make, or after Leave's `done` or the destructor.
struct Callbacks {
  // A member's state, edge or incarnation changed.
  std::function<void(const Member&)> on_member;
  std::function<void(const Member&)> on_report;
  // A session with `node` begins: the report that is in force when this returns
  // is the first that it hears, before anything else. May look, and call
  // SetReport, but no more. Optional.
  std::function<void(const std::string& node)> on_greeting;
  // A request that carries an array has begun to arrive, into the payload of
  // `begun`; it may never become whole, and goes back to its pool only when
  // nobody holds it. An answer that is given to `ahead` flows while the request
  // does, but for its last piece: that waits for on_request to be called and to
  // respond with the same payload (whose version stays). What is returned, if
  // anything, hears of its pieces, the first too. Optional.
  std::function<OnPiece(const std::string& from, const Message& begun,
                        Respond ahead)>
      on_request_begin;
  // A whole, verified request. Keep `respond` to answer later.
  std::function<void(const std::string& from, Message, Respond)> on_request;
  // An answer could not be delivered (lost after on_request): one-sided.
  std::function<void(const std::string& to, const Error&)> on_answer_lost;
  // This node has been refused by another; `reason` is one clear line with both
  // values. Once per reason and address, while retries go on. kDuplicateName is
  // told only to the newcomer of the two, which had better exit.
  std::function<void(const std::string& reason, RefusalKind)> on_refused;
};

enum class ForceLeaveOutcome {
  kDone,
  kUnknown,  // nobody has ever spoken of it
  kAlive,    // or it is this node itself: ask it to leave
};

// Counters since start, per member. What came from nobody known (a stranger's
// token, noise in place of a header) is counted under the member "". A message
// that was dropped may have come in several pieces, each counted.
// Egress: public.
struct LinkCounters {
  std::uint64_t bytes_out = 0, bytes_in = 0;
  std::uint64_t requests_out = 0, answers_in = 0, timeouts = 0;
  std::uint64_t requests_in = 0, answers_out = 0;
  std::uint64_t dropped_checksum = 0, dropped_size = 0, dropped_stranger = 0,
                dropped_late = 0, dropped_full = 0;
  // Of sessions that are sealed: not by the peer, or altered on the way; seen
  // before; too old to tell; under a key that is not or no longer in use; open
  // where the session is sealed, or the reverse.
  std::uint64_t dropped_forged = 0, dropped_replayed = 0, dropped_stale = 0,
                dropped_epoch = 0, dropped_unsealed = 0;

  // Every reason and its name, for whoever shows them.
  std::vector<std::pair<std::string, std::uint64_t>> dropped() const;
};

class Transport {
 public:
  // Binds, but does not connect before Start(). PrepareUcxEnvironment
  // (transport/ucx_environment.h) belongs before it, first thing in main().
  // Throws: std::system_error with a message that names the address (in use,
  // not local), std::runtime_error (UCX), std::invalid_argument for options
  // that cannot work: names that are not 1 to 128 printable characters without
  // spaces, a size of 0, what is no HOST:PORT, a wildcard without `advertise`.
  static std::unique_ptr<Transport> Make(boost::asio::io_context& io,
                                         const Options& options,
                                         Callbacks callbacks);
  // Without Leave, others see a failure; no callback and no `done` is called.
  // Not from within a callback.
  virtual ~Transport() = default;

  virtual void Start() = 0;
  // Tells all members that this node leaves, then closes everything. `done` is
  // called when no UCX operation refers to any buffer any more. Exchanges under
  // way are done with kClosed, rounds too. At most about a second; once.
  virtual void Leave(std::function<void()> done) = 0;

  // Carried by every heartbeat from now on.
  // Throws: std::invalid_argument over 32 KiB.
  virtual void SetReport(std::string report) = 0;

  // Sends `request` to `to` and calls `done` once: with its answer, or with
  // kTimeout after `deadline` (an hour at most), kPeerGone, kMalformed,
  // kClosed. `done` is never called from within. Messages to one member go one
  // after the other; at most 16 wait. `on_answer`, if anything, hears when the
  // answer's first piece is there, and what it returns of each of them.
  // Throws: std::invalid_argument if the payload is not array_bytes long.
  virtual void Exchange(const std::string& to, Message request,
                        Milliseconds deadline,
                        std::function<void(Result<Message>)> done,
                        OnAnswerBegin on_answer) = 0;
  void Exchange(const std::string& to, Message request, Milliseconds deadline,
                std::function<void(Result<Message>)> done) {
    Exchange(to, std::move(request), deadline, std::move(done), nullptr);
  }

  // One more seed, dialled for ever. False if there are too many.
  // Requires: HOST:PORT with a port.
  virtual bool Join(const std::string& address) = 0;
  // An operator says of a member that it will not come back.
  virtual ForceLeaveOutcome ForceLeave(const std::string& node) = 0;
  // All-reduce and broadcast among members that are connected with each other.
  // Groups must not be used when the transport is gone.
  virtual collective::Collectives& collectives() = 0;

  virtual std::vector<Member> members() const = 0;  // others, sorted by name
  virtual LinkCounters counters(const std::string& member) const = 0;
  // HOST:PORT actually bound.
  virtual std::string address() const = 0;
  // For filling payloads; one size, array_bytes. Threads: any.
  virtual const std::shared_ptr<BufferPool>& buffers() const = 0;
};

}  // namespace hearsay::transport
