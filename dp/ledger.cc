#include "dp/ledger.h"

#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <optional>
#include <system_error>
#include <utility>

#include "dp/bisect.h"
#include "dp/ledger_file.h"
#include "dp/ledger_format.h"
#include "dp/ledger_io.h"

namespace hearsay::dp {
namespace {

constexpr std::size_t kMostText = 1024;

// 128 random bits. Of the id: two ledgers of one data set differ, so that a
// checkpoint knows its own. Of a nonce: see ledger.h. A kernel that was not
// told that its memory was put back gives the same bytes again for a while; the
// clock does not.
std::string FreshBits() {
  std::array<unsigned char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) !=
      static_cast<ssize_t>(bytes.size()))
    throw std::system_error(errno, std::generic_category(), "getrandom");
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  std::array<unsigned char, sizeof now> clock{};
  std::memcpy(clock.data(), &now, sizeof now);
  for (std::size_t i = 0; i < clock.size(); ++i) bytes[i] ^= clock[i];
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : bytes) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

std::string CheckedHeader(const std::string& data_set, const std::string& run) {
  if (data_set.empty() || data_set.size() > kMostText || run.size() > kMostText)
    throw std::invalid_argument(
        "a ledger's data set has 1 to 1024 bytes, its run at most 1024");
  return FormatHeader(FreshBits(), data_set);
}

void CheckReservation(const Releases& releases, std::uint64_t most) {
  if (!(releases.sample_rate >= 0 && releases.sample_rate <= 1))
    throw std::invalid_argument("a reservation's sample rate is in [0, 1]");
  if (!(releases.noise_multiplier >= 0 &&
        std::isfinite(releases.noise_multiplier)))
    throw std::invalid_argument(
        "a reservation's noise multiplier is finite and not negative");
  if (releases.steps < 1 || releases.steps > most)
    throw std::invalid_argument("this reservation has 1 to " +
                                std::to_string(most) + " steps");
}

}  // namespace

struct Ledger::State {
  State(const std::filesystem::path& folder, const std::string& data_set,
        const std::string& run_name, LedgerIo& io)
      : file(folder / "ledger", CheckedHeader(data_set, run_name), io),
        run(run_name),
        owner(getpid()) {
    const std::string bytes = file.Read();
    ParsedLedger parsed = ParseLedger(bytes, file.path().string());
    LedgerContents& contents = parsed.contents;
    if (contents.data_set != data_set)
      throw LedgerError(file.path().string() + ": is of data set " +
                        contents.data_set + ", not of " + data_set +
                        "; give each data set a folder of its own");
    if (contents.torn) RecordTornTail(bytes, parsed);
    id = contents.id;
    position = contents.position;
    hashes.push_back(parsed.header_hash);
    for (const LedgerRecord& record : contents.records) {
      hashes.push_back(record.hash);
      if (IsStatistics(record)) {
        statistics.push_back(record.releases);
        continue;
      }
      if (!first) first = record.releases;
      if (record.kind == LedgerRecord::Kind::kReserve)
        most_reserved = std::max(most_reserved, record.releases.steps);
    }
    for (const Releases& releases : contents.charged)
      charged[{releases.sample_rate, releases.noise_multiplier}] =
          releases.steps;
    charged_steps = contents.charged_steps;
    exact = contents.exact;
    Recount();
  }

  // The record takes the tail's place, in one rename: appended behind it, a
  // second crash could tear it too.
  void RecordTornTail(const std::string& bytes, ParsedLedger& parsed) {
    LedgerContents& contents = parsed.contents;
    LedgerRecord& torn = contents.records.back();
    torn.run = run;
    torn.nonce = FreshBits();
    const std::string line = FormatRecord(contents.position.hash, torn);
    file.Replace(bytes.substr(0, parsed.verified_bytes) + line);
    contents.position = {torn.sequence, torn.hash};
  }

  void Append(LedgerRecord::Kind kind, const Releases& releases) {
    LedgerRecord record{position.sequence + 1,
                        kind,
                        releases,
                        run,
                        "",
                        open_noise,
                        FreshBits()};
    file.Append(FormatRecord(position.hash, record));
    position = {record.sequence, record.hash};
    const std::lock_guard lock(hashes_mutex);
    hashes.push_back(record.hash);
  }

  void Recount() {
    accountant = RdpAccountant();
    for (const auto& [mechanism, steps] : charged)
      accountant.Add({mechanism.first, mechanism.second, steps});
  }

  LedgerFile file;
  const std::string run;
  const pid_t owner;
  std::string id;
  LedgerPosition position;
  mutable std::mutex hashes_mutex;  // Others may ask what the chain holds.
  std::vector<std::string> hashes;  // By sequence; the header's first.
  std::map<std::pair<double, double>, std::uint64_t> charged;
  std::uint64_t charged_steps = 0;
  RdpAccountant accountant;
  std::optional<Releases> first;
  std::vector<Releases> statistics;
  std::uint64_t most_reserved = 0;  // By one record.
  std::optional<Releases> open;     // The reservation that may be settled,
  LedgerNoise open_noise = LedgerNoise::kGaussian;  // its noise,
  std::uint64_t open_before = 0;  // and the steps of the one above, if alike.
  bool exact = false;
  // What StepsThatFit answered, and all that was charged before.
  mutable std::uint64_t last_fit = 0;
};

LedgerContents ReadLedger(const std::filesystem::path& file) {
  return ParseLedger(ReadWholeFile(file), file.string()).contents;
}

Ledger::Ledger(const std::filesystem::path& folder, const std::string& data_set,
               const std::string& run)
    : Ledger(folder, data_set, run, SystemLedgerIo()) {}

Ledger::Ledger(const std::filesystem::path& folder, const std::string& data_set,
               const std::string& run, LedgerIo& io)
    : state_(std::make_unique<State>(folder, data_set, run, io)) {}

Ledger::~Ledger() = default;
Ledger::Ledger(Ledger&&) noexcept = default;
Ledger& Ledger::operator=(Ledger&&) noexcept = default;

void Ledger::Reserve(const Releases& releases, LedgerNoise noise) {
  State& state = *state_;
  CheckReservation(releases, most_steps());
  const auto above = std::exchange(state.open, std::nullopt);
  const bool alike = above && above->sample_rate == releases.sample_rate &&
                     above->noise_multiplier == releases.noise_multiplier &&
                     state.open_noise == noise;
  state.open_before = alike ? above->steps : 0;
  state.open_noise = noise;
  state.exact = state.exact || noise == LedgerNoise::kExact;
  state.Append(LedgerRecord::Kind::kReserve, releases);
  state.charged[{releases.sample_rate, releases.noise_multiplier}] +=
      releases.steps;
  state.charged_steps += releases.steps;
  state.accountant.Add(releases);
  state.open = releases;
  if (state.run.starts_with(kStatisticsRun)) {
    state.statistics.push_back(releases);
    return;
  }
  state.most_reserved = std::max(state.most_reserved, releases.steps);
  if (!state.first) state.first = releases;
}

void Ledger::Settle(std::uint64_t unused_steps) {
  State& state = *state_;
  if (!state.open || getpid() != state.owner)
    throw std::invalid_argument(
        "no reservation of this process is open, so none can be settled");
  Releases unused = *state.open;
  const std::uint64_t open_steps = unused.steps + state.open_before;
  if (unused_steps > open_steps)
    throw std::invalid_argument("cannot give back " +
                                std::to_string(unused_steps) + " of " +
                                std::to_string(open_steps) + " steps");
  state.open.reset();
  if (unused_steps == 0) return;
  unused.steps = unused_steps;
  state.Append(LedgerRecord::Kind::kSettle, unused);
  state.charged[{unused.sample_rate, unused.noise_multiplier}] -= unused_steps;
  state.charged_steps -= unused_steps;
  state.Recount();
}

const std::string& Ledger::id() const { return state_->id; }

const LedgerPosition& Ledger::position() const { return state_->position; }

std::uint64_t Ledger::charged_steps() const { return state_->charged_steps; }

std::uint64_t Ledger::most_steps() const {
  return std::clamp(2 * state_->most_reserved, kMaxBlock, kMostSteps);
}

std::vector<Releases> Ledger::charged() const {
  std::vector<Releases> charged;
  for (const auto& [mechanism, steps] : state_->charged)
    if (steps > 0)
      charged.push_back({mechanism.first, mechanism.second, steps});
  return charged;
}

bool Ledger::exact() const { return state_->exact; }

std::optional<Releases> Ledger::first() const { return state_->first; }

const std::vector<Releases>& Ledger::statistics() const {
  return state_->statistics;
}

EpsilonBound Ledger::Epsilon(double delta) const {
  return state_->accountant.Epsilon(delta);
}

std::uint64_t Ledger::StepsThatFit(const Releases& wanted, double delta,
                                   double target_epsilon) const {
  if (std::isnan(target_epsilon))
    throw std::invalid_argument("a target epsilon that is not a number");
  const auto fits = [&](std::uint64_t steps) {
    const Releases some{wanted.sample_rate, wanted.noise_multiplier, steps};
    return state_->accountant.EpsilonAfter(some, delta).epsilon <=
           target_epsilon;
  };
  if (fits(wanted.steps)) return wanted.steps;
  // What fitted the last time, less what was charged since, is mostly right:
  // two questions in place of thirty.
  std::uint64_t& last = state_->last_fit;
  const std::uint64_t charged = state_->charged_steps;
  if (last > charged && last - charged < wanted.steps && fits(last - charged) &&
      !fits(last - charged + 1))
    return last - charged;
  const auto fit = MostThatFit(0, wanted.steps, fits);  // 0 always does.
  last = charged + fit;
  return fit;
}

bool Ledger::Contains(const LedgerPosition& position) const {
  return HashAt(position.sequence) == position.hash;
}

std::optional<std::string> Ledger::HashAt(std::uint64_t sequence) const {
  const std::lock_guard lock(state_->hashes_mutex);
  if (sequence >= state_->hashes.size()) return std::nullopt;
  return state_->hashes[sequence];
}

}  // namespace hearsay::dp
