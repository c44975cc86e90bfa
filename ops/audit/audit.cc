#include "ops/audit/audit.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

#include "daemon/budget.h"
#include "daemon/live_weights.h"
#include "daemon/private_gradient.h"
#include "daemon/private_sum.h"
#include "daemon/trainer.h"
#include "dp/audit_bounds.h"
#include "dp/sampler.h"
#include "model/optimizer.h"
#include "model/shard.h"
#include "ops/audit/canaries.h"

namespace hearsay::ops {

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPhysicalBatch = 64;
// What a step's noise moves a weight by, over the clip norm: so little that no
// canary's gradient turns (canaries.h), yet weights near 0 keep all digits.
constexpr double kStride = 1e-8;
// A ledger rounds up at each of its records, the claim once.
constexpr double kRoundedUp = 1 + 1e-9;
constexpr double kDeviations = 5.5;      // Of one normal test.
constexpr double kPairDeviations = 7;    // Of some ten thousand.
constexpr std::size_t kKeptSteps = 200;  // That are compared with each other.
constexpr std::uint64_t kOtherSteps = 20;
constexpr std::size_t kSampleRows = 500;
constexpr int kSamples = 4000;
constexpr std::size_t kInfluenceRows = 100;

class Folder {
 public:
  Folder() {
    auto name =
        (std::filesystem::temp_directory_path() / "hearsay-audit-XXXXXX")
            .string();
    if (mkdtemp(name.data()) == nullptr)
      throw std::system_error(errno, std::generic_category(), name);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::filesystem::path operator/(const std::string& name) const {
    return path_ / name;
  }

 private:
  std::filesystem::path path_;
};

void Require(bool good, const std::string& what) {
  if (!good) throw std::invalid_argument(what);
}

void Validate(const AuditTerms& terms) {
  Require(terms.canaries >= 100 && terms.canaries <= 100'000,
          "an audit needs 100 to 100000 canaries");
  Require(terms.steps >= 1 && terms.steps <= 1'000'000,
          "an audit needs 1 to 1000000 steps");
  Require(terms.sample_rate > 0 && terms.sample_rate <= 1,
          "the sample rate of an audit must be above 0 and at most 1");
  Require(terms.noise_multiplier > 0 && std::isfinite(terms.noise_multiplier),
          "the noise multiplier must be above 0 and finite: without noise "
          "nothing is claimed");
  Require(terms.clip_norm > 0 && std::isfinite(terms.clip_norm),
          "the clip norm must be above 0 and finite");
  Require(terms.delta > 0 && terms.delta < 1, "delta must be within (0, 1)");
  Require(terms.confidence > 0.5 && terms.confidence < 1,
          "the confidence must be above 0.5 and below 1");
}

std::vector<std::uint8_t> FlipCoins(std::size_t canaries, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<std::uint8_t> included(canaries);
  for (auto& in : included) in = static_cast<std::uint8_t>(random() >> 63);
  return included;
}

// One node without a network: the product's parts, as daemon/node.cc puts them
// together, over the canaries.
class AuditedNode {
 public:
  // `on_release`, on the trainer's thread: what the step's release says each
  // weight's sum was, over the clip norm.
  using OnRelease = std::function<void(std::span<const double>)>;

  AuditedNode(const AuditTerms& terms, const CanaryModel& canaries,
              const model::Shard& shard, const std::filesystem::path& ledger,
              double claim)
      : terms_(terms),
        rate_(dp::PoissonSampler(terms.sample_rate).sample_rate()),
        budget_(dp::Ledger(ledger, shard.content_hash(), "audit"),
                {.sample_rate = rate_,
                 .noise_multiplier = terms.noise_multiplier,
                 .delta = terms.delta,
                 .target_epsilon = claim * kRoundedUp,
                 .accountant = terms.accountant}),
        source_({.sample_rate = terms.sample_rate,
                 .noise_multiplier = terms.noise_multiplier,
                 .clip_norm = terms.clip_norm,
                 .public_size = shard.public_size()},
                daemon::MakeHostSum(canaries.MakeNetwork(kPhysicalBatch), shard,
                                    kPhysicalBatch),
                shard.rows(), budget_),
        sum_to_weights_(kStride / terms.noise_multiplier),
        live_(canaries.weights()),
        before_(canaries.weights()),
        sums_(canaries.weights()) {
    live_.Assign(before_);
    model::OptimizerSpec sgd;
    // The mean's divisor is rate * public size.
    sgd.learning_rate =
        sum_to_weights_ * rate_ * static_cast<double>(shard.public_size());
    optimizer_ = model::MakeOptimizer(sgd, canaries.weights());
  }

  void Train(std::uint64_t steps, const OnRelease& on_release,
             const std::function<void(std::uint64_t)>& on_step) {
    std::uint64_t seen = 0;
    daemon::Trainer trainer(
        {.steps = steps, .checkpoint_every = 1}, source_, *optimizer_, live_,
        [&](const daemon::TrainerSnapshot& release) {
          if (release.step == seen) return;  // The end says the last one again.
          ++seen;
          SumsOf(release.weights);
          on_release(sums_);
        },
        [](daemon::TrainingState) {});
    trainer.Begin();
    while (!Ended(trainer.state())) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
      if (on_step) on_step(trainer.step());
    }
    trainer.Stop();
    if (trainer.state() == daemon::TrainingState::kFailed)
      throw std::runtime_error(trainer.error());
    if (seen != steps)
      throw std::runtime_error(fmt::format(
          "the budget ended training after {} of {} steps", seen, steps));
  }

  daemon::BudgetStatus budget() const { return budget_.status(); }
  double rate() const { return rate_; }

 private:
  static bool Ended(daemon::TrainingState state) {
    return state != daemon::TrainingState::kWaiting &&
           state != daemon::TrainingState::kTraining;
  }

  void SumsOf(std::span<const float> released) {
    const double unit = sum_to_weights_ * terms_.clip_norm;
    for (std::size_t i = 0; i < sums_.size(); ++i) {
      sums_[i] = (static_cast<double>(before_[i]) - released[i]) / unit;
      before_[i] = released[i];
    }
  }

  const AuditTerms terms_;
  const double rate_;
  daemon::Budget budget_;
  daemon::PrivateGradient source_;
  const double sum_to_weights_;
  daemon::LiveWeights live_;
  std::unique_ptr<model::Optimizer> optimizer_;
  std::vector<float> before_;
  std::vector<double> sums_;
};

// What releases tell: for each canary the likelihood ratio of in and out, and
// of those that are out, whose sums are nothing but noise, the noise.
class Observer {
 public:
  Observer(const AuditTerms& terms, double rate, const CanaryModel& model,
           std::span<const std::uint8_t> included)
      : rate_(rate), sigma_(terms.noise_multiplier), scores_(included.size()) {
    for (std::size_t k = 0; k < included.size(); ++k) {
      weights_.push_back(model.WeightOf(k));
      if (included[k] == 0) out_.push_back(weights_.back());
    }
  }

  void Observe(std::span<const double> sums) {
    const double twice = 2 * sigma_ * sigma_;
    for (std::size_t k = 0; k < scores_.size(); ++k) {
      // Of exponents far out, which would overflow, the larger one is all.
      const double exponent = (2 * sums[weights_[k]] - 1) / twice;
      scores_[k] += exponent > 500 ? exponent + std::log(rate_)
                                   : std::log1p(rate_ * std::expm1(exponent));
    }
    std::vector<float> noise;
    noise.reserve(out_.size());
    for (const std::size_t i : out_) {
      const double normal = sums[i] / sigma_;
      squares_ += normal * normal;
      noise.push_back(static_cast<float>(normal));
    }
    drawn_ += static_cast<double>(out_.size());
    if (noises_.size() < kKeptSteps) noises_.push_back(std::move(noise));
  }

  std::span<const double> scores() const { return scores_; }
  double variance() const { return squares_ / drawn_; }
  double drawn() const { return drawn_; }
  std::size_t out() const { return out_.size(); }
  const std::vector<std::vector<float>>& noises() const { return noises_; }

 private:
  const double rate_;
  const double sigma_;
  std::vector<double> scores_;
  std::vector<std::size_t> weights_;
  std::vector<std::size_t> out_;
  double squares_ = 0;
  double drawn_ = 0;
  std::vector<std::vector<float>> noises_;
};

double Correlation(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, a_squared = 0, b_squared = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    product += static_cast<double>(a[i]) * b[i];
    a_squared += static_cast<double>(a[i]) * a[i];
    b_squared += static_cast<double>(b[i]) * b[i];
  }
  return std::abs(product) / std::sqrt(a_squared * b_squared);
}

// Of any two steps' noise: two equal ones would give a difference of
// gradients away.
AuditCheck NoiseOfSteps(const Observer& seen) {
  double worst = 0;
  for (std::size_t t = 0; t < seen.noises().size(); ++t)
    for (std::size_t u = 0; u < t; ++u)
      worst = std::max(worst, Correlation(seen.noises()[t], seen.noises()[u]));
  return {"noise shared by two steps", worst, 0,
          kPairDeviations / std::sqrt(static_cast<double>(seen.out()))};
}

AuditCheck NoiseOfNodes(const Observer& one, const Observer& other) {
  double worst = 0;
  for (const auto& noise : other.noises())
    for (const auto& theirs : one.noises())
      worst = std::max(worst, Correlation(noise, theirs));
  return {"noise shared by two nodes", worst, 0,
          kPairDeviations / std::sqrt(static_cast<double>(one.out()))};
}

// |sum - sum'| over the clip norm, with and without one example, at the same
// noise: none, since the product's cannot be made to repeat itself. The sums
// are scaled back as the trainer's reader would: by the public constant.
AuditCheck MaxInfluence(const AuditTerms& terms, const CanaryModel& canaries,
                        const model::Shard& shard) {
  const auto sum = daemon::MakeHostSum(canaries.MakeNetwork(kPhysicalBatch),
                                       shard, kPhysicalBatch);
  const std::vector<float> weights(canaries.weights());
  std::vector<float> with(weights.size()), without(weights.size());
  std::vector<std::uint32_t> rows;
  for (std::size_t i = 0; i < std::min(kInfluenceRows, shard.rows()); ++i)
    rows.push_back(static_cast<std::uint32_t>(i));
  const daemon::PrivateSumTerms exact{
      .clip_norm = terms.clip_norm, .noise_stddev = 0, .scale = 1};
  dp::SecureRandom unused;
  daemon::PhaseSeconds untold;
  sum->Compute(weights, rows, exact, unused, with, untold);
  double worst = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    auto rest = rows;
    rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
    sum->Compute(weights, rest, exact, unused, without, untold);
    double squared = 0;
    for (std::size_t w = 0; w < with.size(); ++w) {
      const double moved = static_cast<double>(with[w]) - without[w];
      squared += moved * moved;
    }
    worst = std::max(worst, std::sqrt(squared) / terms.clip_norm);
  }
  // Less than the clip norm would be no fault of privacy, but of this test:
  // every canary is clipped.
  return {"influence of one example, in clip norms", worst, 0.999, 1 + 1e-6};
}

// Rows of a batch as they would be if each were in by itself: their number has
// a mean, and a variance that shuffling or a fixed size has not.
void CheckSampler(double rate, std::vector<AuditCheck>& checks) {
  dp::PoissonSampler sampler(rate);
  dp::SecureRandom random;
  std::vector<std::uint32_t> rows;
  double total = 0, squares = 0;
  const double expected = rate * kSampleRows;
  for (int i = 0; i < kSamples; ++i) {
    sampler.Sample(kSampleRows, random, rows);
    const double off = static_cast<double>(rows.size()) - expected;
    total += off;
    squares += off * off;
  }
  const double variance = expected * (1 - rate);
  const double slack = kDeviations * std::sqrt(variance / kSamples);
  checks.push_back({"rows of a batch, over the rate's",
                    1 + total / kSamples / expected, 1 - slack / expected,
                    1 + slack / expected});
  if (variance < 1) return;  // Everybody, or hardly anybody, is in.
  const double width =
      kDeviations * std::sqrt((2 + 1 / variance) / double{kSamples});
  checks.push_back({"variance of a batch's rows, over Poisson sampling's",
                    squares / kSamples / variance, 1 - width, 1 + width});
}

void Judge(const AuditTerms& terms, const Observer& seen,
           std::span<const std::uint8_t> included, AuditReport& report) {
  const dp::Scored scored{seen.scores(), included};
  const auto half =
      dp::GuessesFor(terms.canaries, dp::MuOfEpsilon(report.claim, terms.delta),
                     terms.delta, terms.confidence);
  const auto guesses = dp::GuessBothEnds(scored, half);
  report.guesses = guesses.guesses;
  report.correct = guesses.correct;
  report.one_run = dp::OneRunEpsilon(guesses, terms.delta, terms.confidence);
  report.f_dp = dp::OneRunGdpEpsilon(guesses, terms.delta, terms.confidence);
  report.gdp = dp::SplitGdpEpsilon(scored, terms.delta, terms.confidence);

  const double relative = std::sqrt(2 / seen.drawn());
  report.noise_variance = seen.variance();
  const double deviations = dp::TwoSidedQuantile(terms.confidence);
  report.noise_low = seen.variance() * (1 - deviations * relative);
  report.noise_high = seen.variance() * (1 + deviations * relative);
  report.checks.push_back({"variance of the noise, over the accounted one",
                           seen.variance(), 1 - kDeviations * relative,
                           1 + kDeviations * relative});
}

}  // namespace

bool AuditReport::BoundsHold() const {
  return one_run <= claim && f_dp <= claim && gdp <= claim;
}

bool AuditReport::ChecksHold() const {
  return std::all_of(checks.begin(), checks.end(),
                     [](const AuditCheck& check) { return check.holds(); });
}

const AuditCheck& AuditReport::Check(const std::string& name) const {
  const auto found =
      std::find_if(checks.begin(), checks.end(),
                   [&](const AuditCheck& check) { return check.name == name; });
  if (found == checks.end()) throw std::out_of_range("no check: " + name);
  return *found;
}

AuditReport RunAudit(const AuditTerms& terms,
                     const std::function<void(std::uint64_t)>& on_step) {
  const auto began = Clock::now();
  Validate(terms);
  const double rate = dp::PoissonSampler(terms.sample_rate).sample_rate();
  const dp::Releases releases{rate, terms.noise_multiplier, terms.steps};
  AuditReport report;
  report.terms = terms;
  report.claim = dp::EpsilonOf(terms.accountant, {&releases, 1}, terms.delta);

  const auto included = FlipCoins(terms.canaries, terms.coins);
  report.included = static_cast<std::size_t>(
      std::count(included.begin(), included.end(), std::uint8_t{1}));
  const Folder folder;
  WriteCanaries(folder / "canaries.safetensors", included);
  const auto shard = model::Shard::Open(folder / "canaries.safetensors");
  const CanaryModel canaries(terms.canaries, terms.clip_norm);

  // Both at once, as on one machine: what they share, they share then.
  AuditedNode node(terms, canaries, shard, folder / "ledger", report.claim);
  AuditedNode other(terms, canaries, shard, folder / "other", report.claim);
  Observer seen(terms, rate, canaries, included);
  Observer others(terms, rate, canaries, included);
  node.Train(
      terms.steps, [&](std::span<const double> sums) { seen.Observe(sums); },
      on_step);
  other.Train(std::min(terms.steps, kOtherSteps),
              [&](std::span<const double> sums) { others.Observe(sums); }, {});

  Judge(terms, seen, included, report);
  report.checks.push_back(NoiseOfSteps(seen));
  report.checks.push_back(NoiseOfNodes(seen, others));
  report.checks.push_back(MaxInfluence(terms, canaries, shard));
  CheckSampler(rate, report.checks);
  const auto steps = static_cast<double>(terms.steps);
  report.checks.push_back({"steps charged in the ledger",
                           static_cast<double>(node.budget().steps_charged),
                           steps, steps});
  report.checks.push_back({"epsilon of the ledger", node.budget().epsilon,
                           report.claim, report.claim * kRoundedUp});
  report.seconds = std::chrono::duration<double>(Clock::now() - began).count();
  return report;
}

}  // namespace hearsay::ops
