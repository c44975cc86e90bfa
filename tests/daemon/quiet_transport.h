// A transport that does nothing, for tests that give it one or two things to
// do.
#pragma once

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "transport/transport.h"

namespace hearsay::daemon {

class QuietTransport : public transport::Transport {
 public:
  void Start() override {}
  void Leave(std::function<void()> done) override { done(); }
  void SetReport(std::string) override {}
  void Exchange(const std::string&, transport::Message, transport::Milliseconds,
                std::function<void(transport::Result<transport::Message>)>,
                transport::OnAnswerBegin) override {
    throw std::logic_error("this test exchanges nothing");
  }
  bool Join(const std::string&) override { return false; }
  transport::ForceLeaveOutcome ForceLeave(const std::string&) override {
    return transport::ForceLeaveOutcome::kUnknown;
  }
  transport::collective::Collectives& collectives() override {
    throw std::logic_error("this test has no rounds");
  }
  std::vector<transport::Member> members() const override { return {}; }
  transport::LinkCounters counters(const std::string&) const override {
    return {};
  }
  std::string address() const override { return ""; }
  const std::shared_ptr<transport::BufferPool>& buffers() const override {
    return pool;
  }

  std::shared_ptr<transport::BufferPool> pool;
};

}  // namespace hearsay::daemon
