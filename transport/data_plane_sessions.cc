// The sessions of the data plane's lanes.
#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "transport/data_plane.h"

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;

constexpr std::size_t kMaxSessions = 4;
// Far more sessions than can be alive at once.
constexpr std::size_t kMaxSpent = 4096;

// As they are kept: without the secret, which is needed no longer.
LaneTerms Disguised(LaneTerms terms) {
  if (terms.secret) terms.secret->bytes = seal::Fingerprint(*terms.secret);
  return terms;
}

std::shared_ptr<LaneSession> SessionOn(const Lane& lane,
                                       const LaneTerms& disguised) {
  const auto found = std::find_if(
      lane.sessions.begin(), lane.sessions.end(),
      [&](const auto& session) { return session->terms == disguised; });
  return found == lane.sessions.end() ? nullptr : *found;
}

}  // namespace

std::string DataPlane::Open(const std::string& node, const LaneTerms& terms) {
  if (closed_) return {};
  const auto found = lanes_.find(node);
  std::shared_ptr<Lane> lane = found == lanes_.end() ? nullptr : found->second;
  if (lane &&
      (lane->broken || lane->worker_address != terms.grant.worker_address)) {
    Close(node, "it has begun a new connection");
    lane = nullptr;
  }
  if (IsSpent(lane.get(), terms)) {
    ReportBroken(node, "the keys of its session have been used before");
    return {};
  }
  if (!lane) lane = Connect(node, terms);
  if (!lane) {
    ReportBroken(node, "its data address cannot be reached");
    return {};
  }
  Renew(lane, terms);
  return wire_->lane(lane->endpoint);
}

void DataPlane::ReportBroken(const std::string& node,
                             const std::string& reason) {
  asio::post(io_, [weak = weak_from_this(), node, reason] {
    const auto self = weak.lock();
    if (self && !self->closed_ && self->events_.on_broken)
      self->events_.on_broken(node, reason);
  });
}

bool DataPlane::IsSpent(const Lane* lane, const LaneTerms& terms) const {
  if (!terms.secret || (lane != nullptr && SessionOn(*lane, Disguised(terms))))
    return false;
  return std::find(spent_.begin(), spent_.end(),
                   seal::Fingerprint(*terms.secret)) != spent_.end();
}

void DataPlane::Renew(const std::shared_ptr<Lane>& lane,
                      const LaneTerms& terms) {
  const auto known = SessionOn(*lane, Disguised(terms));
  const auto session = known ? known : Add(lane, terms);
  if (known) session->proven = true;
  if (known || !lane->current) Use(lane, session);
  Sweep();
}

std::shared_ptr<LaneSession> DataPlane::Add(const std::shared_ptr<Lane>& lane,
                                            const LaneTerms& terms) {
  auto& sessions = lane->sessions;
  if (sessions.size() >= kMaxSessions)
    Retire(*lane, *std::find_if(
                      sessions.begin(), sessions.end(),
                      [&](const auto& one) { return one != lane->current; }));
  const auto session = std::make_shared<LaneSession>();
  session->terms = Disguised(terms);
  session->expires = Clock::now() + limits_.overlap;
  if (terms.secret) {
    if (spent_.size() >= kMaxSpent) spent_.pop_front();
    spent_.push_back(session->terms.secret->bytes);
    session->sealer =
        std::make_shared<seal::Sealer>(*terms.secret, limits_.seal);
    session->opener.emplace(*terms.secret, limits_.seal);
  }
  sessions.push_back(session);
  by_token_[terms.token] = lane;
  return session;
}

void DataPlane::Use(const std::shared_ptr<Lane>& lane,
                    const std::shared_ptr<LaneSession>& session) {
  if (lane->current == session) return;
  if (lane->current) lane->current->expires = Clock::now() + limits_.overlap;
  session->expires = Clock::time_point::max();
  lane->current = session;
  lane->queue->Use(session->terms.grant.data_token, session->sealer);
}

void DataPlane::Retire(Lane& lane, std::shared_ptr<LaneSession> session) {
  std::erase(lane.sessions, session);
  const auto token = session->terms.token;
  const bool shared =
      std::any_of(lane.sessions.begin(), lane.sessions.end(),
                  [&](const auto& one) { return one->terms.token == token; });
  const auto found = by_token_.find(token);
  if (!shared && found != by_token_.end() &&
      found->second.lock().get() == &lane)
    by_token_.erase(found);
}

}  // namespace hearsay::transport
