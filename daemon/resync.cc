#include "daemon/resync.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "daemon/mixing/vet.h"

namespace hearsay::daemon {

namespace {

using transport::Buffer;

constexpr std::string_view kPrefix = "resync/";
constexpr const char* kGradients = "gradients";
constexpr const char* kOneOfEach = "one_of_each";
// How often the step counter is looked at, and a group proposed again.
constexpr std::chrono::milliseconds kLook{5};
constexpr std::chrono::milliseconds kAgain{50};

// "resync/a/7" is the seventh round that a proposed.
std::uint64_t NumberOf(const std::string& name) {
  const auto slash = name.rfind('/');
  if (slash == std::string::npos) return 0;
  return std::strtoull(name.c_str() + slash + 1, nullptr, 10);
}

}  // namespace

// Of two that were proposed at once, all take part in the one whose proposer's
// name comes first, or nobody's would ever be whole; of one proposer's, in its
// newest.
bool Resync::GivesWay(const Round& round, const std::string& name,
                      const std::vector<std::string>& members) {
  const auto& mine = round.members.front();
  const auto& other = members.front();
  return other < mine ||
         (other == mine && NumberOf(name) > NumberOf(round.name));
}

Resync::Resync(boost::asio::io_context& io, transport::Transport& transport,
               std::string self, LiveWeights& weights,
               const ResyncOptions& options, Hooks hooks)
    : io_(io),
      transport_(transport),
      self_(std::move(self)),
      weights_(weights),
      options_(options),
      hooks_(std::move(hooks)),
      pool_(transport::BufferPool::Make(
          std::max(weights.size(), transport::collective::kMaxMembers) *
              sizeof(float),
          3)),
      look_(io),
      wait_(io),
      again_(io),
      slow_(static_cast<float>(options.slow_momentum)) {
  transport_.collectives().OnProposed(
      [this](const auto& name, const auto& members) {
        OnProposed(name, members);
      });
}

Resync::~Resync() { Stop(); }

std::span<float> Resync::Floats(const Buffer& buffer) const {
  return {reinterpret_cast<float*>(buffer->data()), weights_.size()};
}

void Resync::Start() {
  started_ = true;
  const auto k = options_.every_steps;
  if (k == 0 || options_.mode == ResyncOptions::Mode::kBlocking) return;
  next_ = hooks_.step() + k;
  Look();
}

void Resync::Stop() {
  stopped_ = true;
  look_.cancel();
  wait_.cancel();
  again_.cancel();
  group_.reset();
  worker_.join();
}

void Resync::OnTrainingEnded() {
  group_.reset();
  JoinHeld();
  if (asked_) ProposeNow(std::exchange(asked_, nullptr));
}

void Resync::OnMembers() {
  if (!met_ || round_) return;
  if (const auto missing = Missing())
    return std::exchange(met_, nullptr)(*missing);
  if (Leads()) return ProposeNow(std::exchange(met_, nullptr));
  if (hooks_.members().size() < 2) std::exchange(met_, nullptr)("");
}

bool Resync::Leads() const {
  return hooks_.proposer() == self_ && hooks_.members().size() > 1;
}

// In a round that blocks nobody takes part before its trainer does.
bool Resync::WaitsForTrainer() const {
  return options_.mode == ResyncOptions::Mode::kBlocking && !met_ &&
         hooks_.trains();
}

std::optional<std::string> Resync::Missing() const {
  const auto members = hooks_.members();
  for (const auto& name : crew_) {
    if (std::find(members.begin(), members.end(), name) == members.end())
      return name + " is gone";
    if (name != self_ && hooks_.failed(name))
      return "training of " + name + " has failed";
  }
  return std::nullopt;
}

// Whether it is time for a round of one's own: the first member's steps count.
void Resync::Look() {
  const auto step = hooks_.step();
  if (step >= next_ && !round_) {
    next_ = (step / options_.every_steps + 1) * options_.every_steps;
    const bool adaptive = options_.mode == ResyncOptions::Mode::kAdaptive;
    const auto distance = adaptive ? hooks_.distance() : std::nullopt;
    if (Leads() && (!adaptive || (distance && *distance > options_.above)))
      Propose([](const auto&) {});
  }
  look_.expires_after(kLook);
  look_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !stopped_) Look();
  });
}

void Resync::Propose(Done done) {
  if (!WaitsForTrainer()) return ProposeNow(std::move(done));
  if (asked_) return done("one is asked for already");
  asked_ = std::move(done);
}

void Resync::ProposeNow(Done done) {
  auto members = hooks_.members();
  if (!started_) return done("this node has not joined yet");
  if (members.size() < 2) return done("there is nobody else");
  // Who proposes comes first.
  std::erase(members, self_);
  members.insert(members.begin(), self_);
  Join(fmt::format("{}{}/{}", kPrefix, self_, ++number_), std::move(members),
       std::move(done));
}

void Resync::OnProposed(const std::string& name,
                        const std::vector<std::string>& members) {
  if (stopped_ || !name.starts_with(kPrefix) || !hooks_.trusts(members.front()))
    return;
  if (!started_ && options_.mode != ResyncOptions::Mode::kBlocking) return;
  if (round_ && !round_->formed) {
    if (!GivesWay(*round_, name, members)) return;
    const auto done = std::exchange(round_->done, nullptr);
    round_.reset();
    return Join(name, members, done);
  }
  held_ = Held{name, members, Clock::now() + options_.limit};
  JoinHeld();
}

// Unless a round is under way here: whoever was quicker to end it may have
// proposed the next.
void Resync::JoinHeld() {
  if (!held_ || round_ || WaitsForTrainer()) return;
  const auto held = *std::exchange(held_, std::nullopt);
  if (held.until > Clock::now())
    Join(held.name, held.members, std::exchange(met_, nullptr));
}

void Resync::Meet(Done done) {
  if (stopped_ || !started_) return done("");
  if (const auto missing = Missing()) return done(*missing);
  if (hooks_.members().size() < 2) return done("");
  if (const auto asked = std::exchange(asked_, nullptr))
    done = [asked, done = std::move(done)](const std::string& error) {
      asked(error);
      done(error);
    };
  const auto held = std::exchange(held_, std::nullopt);
  if (held && held->until > Clock::now())
    return Join(held->name, held->members, std::move(done));
  if (Leads()) return ProposeNow(std::move(done));
  met_ = std::move(done);
  wait_.expires_after(options_.limit);
  wait_.async_wait([this](const boost::system::error_code& error) {
    if (error || stopped_ || !met_) return;
    const auto reason = fmt::format(
        "no round was proposed by {} within {} s", hooks_.proposer(),
        std::chrono::duration_cast<std::chrono::seconds>(options_.limit)
            .count());
    hooks_.tell(Level::kWarning, reason);
    ++failed_;
    std::exchange(met_, nullptr)(reason);
  });
}

void Resync::Join(const std::string& name, std::vector<std::string> members,
                  Done done) {
  wait_.cancel();
  if (!done) done = [](const auto&) {};
  if (round_) return done(fmt::format("{} is under way here", round_->name));
  auto round = std::make_shared<Round>();
  round->name = name;
  round->members = std::move(members);
  round->mine = pool_->Take();
  round->began = Clock::now();
  round->done = std::move(done);
  if (!round->mine) {
    const auto met = std::exchange(round->done, nullptr);
    return met("no buffer is free");
  }
  round_ = round;
  boost::asio::post(worker_, [this, round] {
    weights_.Snapshot(Floats(round->mine));
    boost::asio::post(io_, [this, round] {
      if (!stopped_ && round_ == round) Sum(round);
    });
  });
}

void Resync::Sum(std::shared_ptr<Round> round) {
  transport::collective::Terms terms;
  terms.members = round->members;
  terms.bytes = weights_.size() * sizeof(float);
  if (round->members.front() == self_) terms.algorithm = options_.algorithm;
  const auto until = round->began + options_.limit;
  transport_.collectives().Form(
      round->name, terms, options_.limit, [this, round, until](auto formed) {
        if (stopped_ || round_ != round) return;
        if (!formed) return End(round, formed.error().detail);
        round->formed = true;
        const auto left =
            std::chrono::ceil<transport::Milliseconds>(until - Clock::now());
        const auto group = *formed;
        group->Run(round->mine, left, [this, round, group](auto sum) {
          if (stopped_) return;
          if (!sum) return End(round, sum.error().detail);
          Take(round, *sum);
        });
      });
}

void Resync::Take(std::shared_ptr<Round> round, Buffer sum) {
  boost::asio::post(worker_, [this, round, sum] {
    const auto error = Move(*round, Floats(sum));
    boost::asio::post(io_, [this, round, error] {
      if (!stopped_) End(round, error);
    });
  });
}

std::string Resync::Move(const Round& round, std::span<float> sum) {
  const auto mine = Floats(round.mine);
  mixing::Share(sum, round.members.size());
  if (const auto fault = mixing::Vet(sum, mine, 1, options_.clip))
    return fmt::format("the mean is not fit: {}", Word(*fault));
  // The first of the members is who proposed it.
  if (round.members != slow_members_ ||
      NumberOf(round.name) != NumberOf(slow_name_) + 1)
    slow_.Forget();
  slow_name_ = round.name;
  slow_members_ = round.members;
  slow_.Move(sum);
  weights_.MoveToMean(sum, mine);
  return "";
}

void Resync::End(const std::shared_ptr<Round>& round,
                 const std::string& error) {
  round_.reset();
  last_ = RoundReport{
      round->name, round->members.size(), error,
      std::chrono::duration<double>(Clock::now() - round->began).count()};
  ++(error.empty() ? succeeded_ : failed_);
  if (options_.needs_all && error.empty()) crew_ = round->members;
  if (!error.empty())
    hooks_.tell(
        Level::kWarning,
        fmt::format("{} of {} failed and changed nothing: {}", round->name,
                    fmt::join(round->members, ", "), error));
  round->done(error);
  JoinHeld();
}

void Resync::MeanOf(std::span<float> values, Done done) {
  if (stopped_) return done("this node is stopping");
  if (group_) return RunGroup(values, std::move(done));
  FormGroup(Clock::now() + options_.limit,
            [this, values, done](const std::string& error) {
              error.empty() ? RunGroup(values, done) : done(error);
            });
}

// The members see each other come at different moments, so the first proposals
// may differ.
void Resync::FormGroup(Clock::time_point until, Done done) {
  const auto members = hooks_.members();
  const auto again = [this, until, done](const std::string& error) {
    if (stopped_) return;
    if (Clock::now() >= until) return done(error);
    again_.expires_after(kAgain);
    again_.async_wait([this, until, done](const boost::system::error_code& e) {
      if (!e) FormGroup(until, done);
    });
  };
  if (members.size() < std::max<std::size_t>(hooks_.expected, 2))
    return again(fmt::format("{} of {} members are here", members.size(),
                             std::max<std::size_t>(hooks_.expected, 2)));
  transport::collective::Terms terms;
  terms.members = members;
  terms.bytes = weights_.size() * sizeof(float);
  if (members.front() == self_) terms.algorithm = options_.algorithm;
  const auto left =
      std::min(std::chrono::ceil<transport::Milliseconds>(until - Clock::now()),
               transport::Milliseconds(1000));
  transport_.collectives().Form(kGradients, terms, left,
                                [this, done, again](auto formed) {
                                  if (stopped_) return;
                                  if (!formed)
                                    return again(formed.error().detail);
                                  group_ = *formed;
                                  done("");
                                });
}

void Resync::RunGroup(std::span<float> values, Done done) {
  const Buffer mine = pool_->Take();
  if (!mine) return done("no buffer is free");
  std::copy(values.begin(), values.end(), Floats(mine).begin());
  const auto group = group_;
  group->Run(mine, options_.limit,
             [this, values, group, done](transport::Result<Buffer> sum) {
               if (stopped_) return;
               if (!sum) {
                 ++failed_;
                 return done(sum.error().detail);
               }
               const auto total = Floats(*sum);
               if (!mixing::AllFinite(total))
                 return done("the sum of the gradients is not finite");
               mixing::Share(total, group->terms().members.size());
               std::copy(total.begin(), total.end(), values.begin());
               ++succeeded_;
               done("");
             });
}

// Each gives an array of zeros but for its own place: the sum is exact.
void Resync::OneOfEach(
    double mine,
    std::function<void(OneOfEachMember, const std::string&)> done) {
  if (stopped_ || !group_) return done({}, "there is nobody in step with it");
  const auto members = group_->terms().members;
  const Buffer input = pool_->Take();
  if (!input) return done({}, "no buffer is free");
  const std::span<float> places{reinterpret_cast<float*>(input->data()),
                                members.size()};
  std::fill(places.begin(), places.end(), 0.0F);
  const auto self = static_cast<std::size_t>(
      std::find(members.begin(), members.end(), self_) - members.begin());
  places[self] = static_cast<float>(mine);
  transport_.collectives().AllReduce(
      kOneOfEach, members, input, places.size_bytes(), options_.limit,
      [this, done, self,
       count = members.size()](transport::Result<Buffer> sum) {
        if (stopped_) return;
        if (!sum) return done({}, sum.error().detail);
        const auto* first = reinterpret_cast<const float*>((*sum)->data());
        done({{first, first + count}, self}, "");
      });
}

}  // namespace hearsay::daemon
