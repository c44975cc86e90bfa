#include "transport/ucx_worker.h"

#include <algorithm>
#include <array>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cassert>
#include <cstring>
#include <deque>
#include <unordered_map>
#include <utility>
#include <vector>

#include "transport/ucx_context.h"

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr unsigned kMessageId = 1;
constexpr unsigned kKnockId = 2;  // See Knock.
// Payloads from here on wait at the sender until the receiver has said where
// they go. Smaller ones come at once, which saves two messages and their turns:
// each fits into a segment (ucx_environment.cc), memory that the receiving UCX
// has anyway and hands to us as soon as it is whole, so a fast sender fills no
// more than that and the socket.
constexpr std::size_t kRendezvousBytes = (std::size_t{512} << 10) + 1;
// Turns of UCX's progress before other work of the io_context gets its own.
constexpr int kProgressTurns = 64;
// UCX's event descriptor is known to miss wake-ups: look anyway, this often.
constexpr milliseconds kSafetyInterval{100};
constexpr milliseconds kDestroyLimit{500};
// A wake-up costs about this much (measured: 33 us a message), so while data is
// on its way it is looked for that long before the thread sleeps.
constexpr std::chrono::microseconds kSpin{30};

}  // namespace

struct UcxWorker::Impl : std::enable_shared_from_this<UcxWorker::Impl> {
  // One send or receive that UCX has not finished.
  struct Operation {
    Impl* owner = nullptr;
    std::array<std::byte, kMaxWireHeaderBytes> header{};
    std::size_t header_bytes = 0;
    std::span<const std::byte> payload;
    std::shared_ptr<void> keep;
    std::function<void(bool)> done;
  };
  struct Endpoint {
    ucp_ep_h handle = nullptr;
    std::function<void(std::string)> on_broken;
    bool broken = false;
    bool connected = false;
    // Until it is connected.
    std::vector<std::unique_ptr<Operation>> waiting = {};
  };
  struct Completion {
    std::shared_ptr<void> keep;
    std::function<void(bool)> done;
    bool ok;
  };

  Impl(asio::io_context& context, const std::string& network_interface,
       OnMessage message)
      : io(context),
        descriptor(context),
        safety(context),
        on_message(std::move(message)),
        ucx(MakeUcxContext(network_interface)),
        worker(MakeUcxWorker(ucx.get())) {
    ucp_am_handler_param_t handler{};
    handler.field_mask = UCP_AM_HANDLER_PARAM_FIELD_ID |
                         UCP_AM_HANDLER_PARAM_FIELD_CB |
                         UCP_AM_HANDLER_PARAM_FIELD_ARG;
    handler.id = kMessageId;
    handler.cb = &Impl::OnActiveMessage;
    handler.arg = this;
    CheckUcx(ucp_worker_set_am_recv_handler(worker.get(), &handler),
             "ucp_worker_set_am_recv_handler");
    handler.id = kKnockId;
    handler.cb = &Impl::OnKnock;
    CheckUcx(ucp_worker_set_am_recv_handler(worker.get(), &handler),
             "ucp_worker_set_am_recv_handler");
    int events = -1;
    CheckUcx(ucp_worker_get_efd(worker.get(), &events), "ucp_worker_get_efd");
    descriptor.assign(events);
  }

  // What UCX calls. Each only notes what happened.
  static ucs_status_t OnActiveMessage(void* arg, const void* header,
                                      std::size_t header_bytes, void* data,
                                      std::size_t bytes,
                                      const ucp_am_recv_param_t* param);
  static ucs_status_t OnKnock(void*, const void*, std::size_t, void*,
                              std::size_t, const ucp_am_recv_param_t*) {
    return UCS_OK;
  }
  static void OnSent(void* request, ucs_status_t status, void* arg) {
    Finish(request, status, arg);
  }
  static void OnReceived(void* request, ucs_status_t status, std::size_t,
                         void* arg) {
    Finish(request, status, arg);
  }
  static void Finish(void* request, ucs_status_t status, void* arg);
  static void OnClosed(void* request, ucs_status_t, void* arg);
  static void OnError(void* arg, ucp_ep_h handle, ucs_status_t status);

  ucs_status_t StartReceive(Receive receive, void* descriptor);
  void Knock(Endpoint& endpoint);
  void StartSend(ucp_ep_h handle, std::unique_ptr<Operation> operation);
  void Abandon(Endpoint& endpoint);
  void Began(void* request, std::unique_ptr<Operation> operation);
  void Complete(std::unique_ptr<Operation> operation, bool ok);
  void CloseHandle(ucp_ep_h handle);

  void Kick();
  void Progress();
  void RunCompletions();
  void AwaitEvent();
  void StartSafetyTimer();
  void Shutdown();

  asio::io_context& io;
  asio::posix::stream_descriptor descriptor;
  asio::steady_timer safety;
  OnMessage on_message;
  UcxContext ucx;
  UcxWorkerHandle worker;
  std::unordered_map<EndpointId, Endpoint> endpoints;
  std::size_t knocking = 0;  // endpoints neither connected nor broken
  std::deque<Completion> completions;
  std::vector<std::function<void()>> idle_waiters;
  EndpointId next_endpoint = 1;
  std::size_t in_flight = 0;
  bool kicked = false;
  bool awaiting = false;
  bool closed = false;
};

ucs_status_t UcxWorker::Impl::OnActiveMessage(
    void* arg, const void* header, std::size_t header_bytes, void* data,
    std::size_t bytes, const ucp_am_recv_param_t* param) {
  auto* self = static_cast<Impl*>(arg);
  if (self->closed) return UCS_OK;
  auto receive = self->on_message(
      {static_cast<const std::byte*>(header), header_bytes}, bytes);
  if (!receive || receive->nonsense) return UCS_OK;
  assert(receive->into.size() == bytes);
  if ((param->recv_attr & UCP_AM_RECV_ATTR_FLAG_RNDV) != 0)
    return self->StartReceive(std::move(*receive), data);
  if (bytes > 0) std::memcpy(receive->into.data(), data, bytes);
  self->completions.push_back(
      {std::move(receive->keep), std::move(receive->done), true});
  return UCS_OK;
}

ucs_status_t UcxWorker::Impl::StartReceive(Receive receive,
                                           void* message_descriptor) {
  auto operation = std::make_unique<Operation>();
  operation->owner = this;
  operation->keep = std::move(receive.keep);
  operation->done = std::move(receive.done);
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK | UCP_OP_ATTR_FIELD_USER_DATA;
  param.cb.recv_am = &Impl::OnReceived;
  param.user_data = operation.get();
  ++in_flight;
  void* request =
      ucp_am_recv_data_nbx(worker.get(), message_descriptor,
                           receive.into.data(), receive.into.size(), &param);
  Began(request, std::move(operation));
  return UCS_INPROGRESS;  // UCX owns the descriptor now.
}

// An endpoint's first send makes UCX send a message of its own. If the
// connection is not there yet that one waits, and if it then cannot be sent,
// UCX 1.13 aborts the process (ops/decisions/0028). A send that must be done at
// once or not at all brings no such message along. So nothing else is sent
// until one of these has gone through: they carry nothing, and the peer ignores
// them.
void UcxWorker::Impl::Knock(Endpoint& endpoint) {
  if (endpoint.connected || endpoint.broken) return;
  ucp_request_param_t param{};
  param.op_attr_mask =
      UCP_OP_ATTR_FLAG_FORCE_IMM_CMPL | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = UCP_AM_SEND_FLAG_EAGER;
  void* request = ucp_am_send_nbx(endpoint.handle, kKnockId, nullptr, 0,
                                  nullptr, 0, &param);
  if (endpoint.broken || UCS_PTR_STATUS(request) == UCS_ERR_NO_RESOURCE) return;
  endpoint.connected = true;
  --knocking;
  // Whether it still is, they find out.
  for (auto& operation : std::exchange(endpoint.waiting, {}))
    StartSend(endpoint.handle, std::move(operation));
}

void UcxWorker::Impl::StartSend(ucp_ep_h handle,
                                std::unique_ptr<Operation> operation) {
  const auto& payload = operation->payload;
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_CALLBACK |
                       UCP_OP_ATTR_FIELD_USER_DATA | UCP_OP_ATTR_FIELD_FLAGS;
  param.flags = payload.size() >= kRendezvousBytes ? UCP_AM_SEND_FLAG_RNDV
                                                   : UCP_AM_SEND_FLAG_EAGER;
  param.cb.send = &Impl::OnSent;
  param.user_data = operation.get();
  void* request = ucp_am_send_nbx(handle, kMessageId, operation->header.data(),
                                  operation->header_bytes, payload.data(),
                                  payload.size(), &param);
  Began(request, std::move(operation));
}

// What waited for its connection does so no longer.
void UcxWorker::Impl::Abandon(Endpoint& endpoint) {
  if (!endpoint.connected && !endpoint.broken) --knocking;
  endpoint.broken = true;
  for (auto& operation : std::exchange(endpoint.waiting, {}))
    Complete(std::move(operation), false);
}

// With what a call of UCX returned for it.
void UcxWorker::Impl::Began(void* request,
                            std::unique_ptr<Operation> operation) {
  if (request == nullptr) {
    Complete(std::move(operation), true);
  } else if (UCS_PTR_IS_ERR(request)) {
    Complete(std::move(operation), false);
  } else {
    static_cast<void>(operation.release());  // Finish() takes it back.
  }
}

void UcxWorker::Impl::Complete(std::unique_ptr<Operation> operation, bool ok) {
  --in_flight;
  completions.push_back(
      {std::move(operation->keep), std::move(operation->done), ok});
}

void UcxWorker::Impl::Finish(void* request, ucs_status_t status, void* arg) {
  std::unique_ptr<Operation> operation(static_cast<Operation*>(arg));
  Impl* self = operation->owner;
  ucp_request_free(request);
  self->Complete(std::move(operation), status == UCS_OK);
}

void UcxWorker::Impl::OnClosed(void* request, ucs_status_t, void* arg) {
  ucp_request_free(request);
  --static_cast<Impl*>(arg)->in_flight;
}

void UcxWorker::Impl::OnError(void* arg, ucp_ep_h handle, ucs_status_t status) {
  auto* self = static_cast<Impl*>(arg);
  for (auto& [id, endpoint] : self->endpoints) {
    if (endpoint.handle != handle || endpoint.broken) continue;
    self->Abandon(endpoint);
    self->completions.push_back(
        {nullptr,
         [callback = std::move(endpoint.on_broken),
          text = std::string(ucs_status_string(status))](bool) {
           if (callback) callback(text);
         },
         false});
    return;
  }
}

// The forced kind: the peer may be dead or frozen. UCX may return before it
// has let go of the buffers in flight, so their operations live on.
void UcxWorker::Impl::CloseHandle(ucp_ep_h handle) {
  ucp_request_param_t param{};
  param.op_attr_mask = UCP_OP_ATTR_FIELD_FLAGS | UCP_OP_ATTR_FIELD_CALLBACK |
                       UCP_OP_ATTR_FIELD_USER_DATA;
  param.flags = UCP_EP_CLOSE_FLAG_FORCE;
  param.cb.send = &Impl::OnClosed;
  param.user_data = this;
  void* request = ucp_ep_close_nbx(handle, &param);
  if (request != nullptr && !UCS_PTR_IS_ERR(request)) ++in_flight;
}

// Work was posted outside the loop: UCX must be progressed before the next
// wait, or the wait may never end.
void UcxWorker::Impl::Kick() {
  if (kicked || closed) return;
  kicked = true;
  asio::post(io, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) {
      self->kicked = false;
      self->Progress();
    }
  });
}

void UcxWorker::Impl::Progress() {
  if (closed) return;
  int turns = 0;
  // Completions after each turn: they give buffers back, and a burst of small
  // messages would need as many at once otherwise.
  for (auto idle_since = Clock::now(); turns < kProgressTurns;) {
    const bool more = ucp_worker_progress(worker.get()) != 0;
    if (knocking > 0)
      for (auto& [id, endpoint] : endpoints) Knock(endpoint);
    RunCompletions();
    if (closed) return;
    const auto now = Clock::now();
    if (more) {
      ++turns;
      idle_since = now;
    } else if (in_flight == 0 || now - idle_since >= kSpin) {
      break;
    }
  }
  if (turns == kProgressTurns) return Kick();
  // Never wait without a successful arm: an event may have come in between.
  if (ucp_worker_arm(worker.get()) == UCS_ERR_BUSY) return Kick();
  AwaitEvent();
}

void UcxWorker::Impl::RunCompletions() {
  // What a completion starts may complete at once: that is for the next turn.
  auto now = std::exchange(completions, {});
  for (auto& completion : now) {
    if (closed) return;
    if (completion.done) completion.done(completion.ok);
    completion = {};  // Gives the buffer back before the next one runs.
  }
  if (closed) return;
  if (!completions.empty()) Kick();
  if (in_flight != 0 || !completions.empty()) return;
  const auto waiters = std::exchange(idle_waiters, {});
  for (const auto& waiter : waiters) waiter();
}

void UcxWorker::Impl::AwaitEvent() {
  if (awaiting) return;
  awaiting = true;
  descriptor.async_wait(
      asio::posix::stream_descriptor::wait_read,
      [weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!self) return;
        self->awaiting = false;
        if (!error) self->Progress();
      });
}

void UcxWorker::Impl::StartSafetyTimer() {
  safety.expires_after(kSafetyInterval);
  safety.async_wait(
      [weak = weak_from_this()](const boost::system::error_code& error) {
        const auto self = weak.lock();
        if (!self || error || self->closed) return;
        self->Progress();
        if (!self->closed) self->StartSafetyTimer();
      });
}

void UcxWorker::Impl::Shutdown() {
  closed = true;
  for (auto& [id, endpoint] : endpoints) {
    Abandon(endpoint);
    CloseHandle(endpoint.handle);
  }
  endpoints.clear();
  const auto limit = std::chrono::steady_clock::now() + kDestroyLimit;
  while (in_flight > 0 && std::chrono::steady_clock::now() < limit)
    ucp_worker_progress(worker.get());
  safety.cancel();
  descriptor.release();  // UCX owns the descriptor, and closes it here:
  worker.reset();
  ucx.reset();
  completions.clear();
  idle_waiters.clear();
}

UcxWorker::UcxWorker(asio::io_context& io, const std::string& network_interface,
                     OnMessage on_message)
    : impl_(std::make_shared<Impl>(io, network_interface,
                                   std::move(on_message))) {
  impl_->Kick();
  impl_->StartSafetyTimer();
}

UcxWorker::~UcxWorker() { impl_->Shutdown(); }

std::string UcxWorker::address() const {
  ucp_address_t* address = nullptr;
  std::size_t bytes = 0;
  CheckUcx(ucp_worker_get_address(impl_->worker.get(), &address, &bytes),
           "ucp_worker_get_address");
  std::string copy(reinterpret_cast<const char*>(address), bytes);
  ucp_worker_release_address(impl_->worker.get(), address);
  return copy;
}

std::optional<UcxWorker::EndpointId> UcxWorker::Connect(
    const std::string& peer_address,
    std::function<void(std::string)> on_broken) {
  ucp_ep_params_t params{};
  params.field_mask = UCP_EP_PARAM_FIELD_REMOTE_ADDRESS |
                      UCP_EP_PARAM_FIELD_ERR_HANDLING_MODE |
                      UCP_EP_PARAM_FIELD_ERR_HANDLER;
  params.address = reinterpret_cast<const ucp_address_t*>(peer_address.data());
  params.err_mode = UCP_ERR_HANDLING_MODE_PEER;
  params.err_handler.cb = &Impl::OnError;
  params.err_handler.arg = impl_.get();
  Impl::Endpoint endpoint;
  endpoint.on_broken = std::move(on_broken);
  if (ucp_ep_create(impl_->worker.get(), &params, &endpoint.handle) != UCS_OK)
    return std::nullopt;
  endpoint.connected = !UcxMayUseTcp();
  if (!endpoint.connected) ++impl_->knocking;
  const EndpointId id = impl_->next_endpoint++;
  impl_->endpoints.emplace(id, std::move(endpoint));
  impl_->Kick();
  return id;
}

void UcxWorker::Close(EndpointId endpoint) {
  const auto found = impl_->endpoints.find(endpoint);
  if (found == impl_->endpoints.end()) return;
  const ucp_ep_h handle = found->second.handle;
  impl_->Abandon(found->second);
  impl_->endpoints.erase(found);
  impl_->CloseHandle(handle);
  impl_->Kick();
}

std::string UcxWorker::lane(EndpointId endpoint) const {
  const auto found = impl_->endpoints.find(endpoint);
  if (found == impl_->endpoints.end() || found->second.broken) return {};
  return UcxLanes(found->second.handle);
}

void UcxWorker::Send(EndpointId endpoint, std::span<const std::byte> header,
                     std::span<const std::byte> payload,
                     std::shared_ptr<void> keep,
                     std::function<void(bool)> done) {
  assert(header.size() <= kMaxWireHeaderBytes);
  auto operation = std::make_unique<Impl::Operation>();
  operation->owner = impl_.get();
  std::copy(header.begin(), header.end(), operation->header.begin());
  operation->header_bytes = header.size();
  operation->payload = payload;
  operation->keep = std::move(keep);
  operation->done = std::move(done);
  ++impl_->in_flight;
  impl_->Kick();
  const auto found = impl_->endpoints.find(endpoint);
  if (found == impl_->endpoints.end() || found->second.broken)
    impl_->Complete(std::move(operation), false);
  else if (found->second.connected)
    impl_->StartSend(found->second.handle, std::move(operation));
  else
    found->second.waiting.push_back(std::move(operation));
}

std::size_t UcxWorker::in_flight() const {
  return impl_->in_flight + impl_->completions.size();
}

void UcxWorker::WhenIdle(milliseconds limit, std::function<void()> done) {
  const auto timer = std::make_shared<asio::steady_timer>(impl_->io, limit);
  const auto once = std::make_shared<std::function<void()>>(std::move(done));
  const auto finish = [once, timer] {
    timer->cancel();
    if (const auto callback = std::exchange(*once, nullptr)) callback();
  };
  timer->async_wait([finish](const boost::system::error_code& error) {
    if (!error) finish();
  });
  impl_->idle_waiters.push_back(finish);
  impl_->Kick();
}

}  // namespace hearsay::transport
