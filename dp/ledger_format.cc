#include "dp/ledger_format.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

#include "dp/ledger_text.h"

namespace hearsay::dp {
namespace {

constexpr std::string_view kMagic = "hearsay-ledger ";
constexpr std::string_view kVersion = "2";
constexpr std::string_view kVersionWithoutNonces = "1";
constexpr std::size_t kNonceDigits = 32;

// What a file system leaves of a page that it had no time to write, after it
// had written the next. Eight zeros: one may be a flipped space.
constexpr std::string_view kLostPage("\0\0\0\0\0\0\0\0", 8);

constexpr std::string_view kExactNoise = "noise=exact";

constexpr std::pair<LedgerRecord::Kind, std::string_view> kKinds[] = {
    {LedgerRecord::Kind::kReserve, "reserve"},
    {LedgerRecord::Kind::kSettle, "settle"},
    {LedgerRecord::Kind::kTorn, "torn"}};

std::optional<double> Rate(std::optional<double> q) {
  return q && *q >= 0 && *q <= 1 ? q : std::nullopt;
}
std::optional<double> NoiseMultiplier(std::optional<double> sigma) {
  return sigma && *sigma >= 0 && std::isfinite(*sigma) ? sigma : std::nullopt;
}
std::optional<std::uint64_t> Steps(std::optional<std::uint64_t> steps) {
  return steps && *steps >= 1 && *steps <= kMostSteps ? steps : std::nullopt;
}

bool IsNonce(std::string_view text) {
  return text.size() == kNonceDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

struct Chained {
  LedgerRecord record;
  std::string_view previous;
};

// A record from a line that verifies; nothing if it is none after all.
std::optional<Chained> ParseRecord(const Verified& line) {
  std::string_view rest = line.body;
  const auto sequence = ParseCount(TakeWord(rest));
  const std::string_view kind = TakeWord(rest);
  const auto named = std::find_if(
      std::begin(kKinds), std::end(kKinds),
      [&](const auto& candidate) { return candidate.second == kind; });
  const auto q = TakeField(rest, "q");
  const auto sigma = TakeField(rest, "sigma");
  const auto steps = TakeField(rest, "steps");
  const auto noise = rest.starts_with(kExactNoise) ? LedgerNoise::kExact
                                                   : LedgerNoise::kGaussian;
  if (noise == LedgerNoise::kExact && TakeWord(rest) != kExactNoise)
    return std::nullopt;
  const auto run = TakeField(rest, "run");
  std::string_view nonce;
  if (rest.starts_with("nonce=")) {
    nonce = *TakeField(rest, "nonce");
    if (!IsNonce(nonce)) return std::nullopt;
  }
  const auto previous = TakeField(rest, "prev");
  if (!sequence || named == std::end(kKinds) || !q || !sigma || !steps ||
      !run || !previous || !rest.empty())
    return std::nullopt;
  const auto rate = Rate(ParseFloat(*q));
  const auto multiplier = NoiseMultiplier(ParseFloat(*sigma));
  const auto count = Steps(ParseCount(*steps));
  auto text = Unescape(*run);
  if (!rate || !multiplier || !count || !text) return std::nullopt;
  return Chained{{*sequence,
                  named->first,
                  {*rate, *multiplier, *count},
                  std::move(*text),
                  std::string(line.hash),
                  noise,
                  std::string(nonce)},
                 *previous};
}

// What can be read of a torn line: a field counts if the space after it is
// there.
struct Readable {
  std::optional<double> q;
  std::optional<double> sigma;
  std::optional<std::uint64_t> steps;
};

Readable ReadTorn(std::string_view line) {
  Readable found;
  for (std::size_t end = line.find(' '); end != std::string_view::npos;
       end = line.find(' ')) {
    std::string_view word = line.substr(0, end);
    line.remove_prefix(end + 1);
    const auto value = [&](std::string_view key) {
      return word.starts_with(key) ? word.substr(key.size())
                                   : std::string_view();
    };
    if (word.starts_with("q=")) found.q = Rate(ParseFloat(value("q=")));
    if (word.starts_with("sigma="))
      found.sigma = NoiseMultiplier(ParseFloat(value("sigma=")));
    if (word.starts_with("steps="))
      found.steps = Steps(ParseCount(value("steps=")));
  }
  return found;
}

// The verification of one file.
class Parser {
 public:
  Parser(std::string_view bytes, const std::string& name)
      : bytes_(bytes), name_(name) {}

  ParsedLedger Parse() {
    ParseHeader();
    while (at_ < bytes_.size() && ParseLine()) {
    }
    parsed_.verified_bytes = at_;
    if (at_ < bytes_.size()) ChargeTail(bytes_.substr(at_));
    LedgerContents& contents = parsed_.contents;
    contents.charged = ChargedReleases(contents.records);
    for (const Releases& releases : contents.charged)
      contents.charged_steps += releases.steps;
    for (const LedgerRecord& record : contents.records)
      contents.exact = contents.exact || record.noise == LedgerNoise::kExact;
    return std::move(parsed_);
  }

 private:
  [[noreturn]] void Refuse(const std::string& what) const {
    throw LedgerError(
        name_ + ": line " + std::to_string(line_) + ": " + what +
        "; what was spent is not known, so nobody may train on this data set "
        "until the file is restored from a copy that is no older");
  }

  void ParseHeader() {
    const std::size_t end = bytes_.find('\n');
    if (end == std::string_view::npos) Refuse("the header is not whole");
    std::string_view rest = bytes_.substr(0, end);
    if (!rest.starts_with(kMagic)) Refuse("this is not a privacy ledger");
    const auto line = Verify(rest);
    if (!line) Refuse("the header does not match its hash");
    rest = line->body.substr(kMagic.size());
    const std::string_view version = TakeWord(rest);
    nonces_ = version != kVersionWithoutNonces;
    if (nonces_ && version != kVersion)
      throw LedgerError(name_ + ": is a ledger of version " +
                        std::string(version) + ", this program knows version " +
                        std::string(kVersion) + "; use the newer program");
    const auto id = TakeField(rest, "id");
    const auto data_set = TakeField(rest, "data_set");
    if (!id || !data_set || !rest.empty()) Refuse("the header is malformed");
    auto text = Unescape(*data_set);
    if (!text) Refuse("the header is malformed");
    parsed_.contents.id = *id;
    parsed_.contents.data_set = std::move(*text);
    parsed_.header_hash = line->hash;
    parsed_.contents.position = {0, parsed_.header_hash};
    at_ = end + 1;
  }

  // Takes the next line if it verifies. False if it is the last and torn.
  bool ParseLine() {
    ++line_;
    const std::size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) return false;
    const auto line = Verify(bytes_.substr(at_, end - at_));
    if (!line) {
      if (end + 1 == bytes_.size()) return false;
      Refuse("does not match its hash, and is not the last");
    }
    auto chained = ParseRecord(*line);
    if (!chained || (nonces_ && chained->record.nonce.empty()))
      Refuse("is not a record");
    CheckPlace(*chained);
    LedgerContents& contents = parsed_.contents;
    contents.position = {chained->record.sequence, chained->record.hash};
    contents.records.push_back(std::move(chained->record));
    at_ = end + 1;
    return true;
  }

  void CheckPlace(const Chained& chained) const {
    const LedgerContents& contents = parsed_.contents;
    const LedgerRecord& record = chained.record;
    if (record.sequence != contents.position.sequence + 1)
      Refuse("has number " + std::to_string(record.sequence) + " instead of " +
             std::to_string(contents.position.sequence + 1));
    if (chained.previous != contents.position.hash)
      Refuse("does not follow from the line above it");
    if (record.kind != LedgerRecord::Kind::kSettle) return;
    if (contents.records.empty() ||
        contents.records.back().kind != LedgerRecord::Kind::kReserve ||
        contents.records.back().run != record.run)
      Refuse("gives back what was not reserved right before");
    const Releases& reserved = contents.records.back().releases;
    if (record.releases.sample_rate != reserved.sample_rate ||
        record.releases.noise_multiplier != reserved.noise_multiplier ||
        record.noise != contents.records.back().noise ||
        record.releases.steps > reserved.steps + OpenAbove())
      Refuse("gives back more than was reserved");
  }

  // Steps of the reservation above the last, if they are alike and may be
  // settled together.
  std::uint64_t OpenAbove() const {
    const auto& records = parsed_.contents.records;
    if (records.size() < 2) return 0;
    const LedgerRecord& last = records.back();
    const LedgerRecord& above = records[records.size() - 2];
    const bool alike =
        above.kind == last.kind && above.run == last.run &&
        above.noise == last.noise &&
        above.releases.sample_rate == last.releases.sample_rate &&
        above.releases.noise_multiplier == last.releases.noise_multiplier;
    return alike ? above.releases.steps : 0;
  }

  // The rules of ledger.h.
  void ChargeTail(std::string_view tail) {
    const bool ended = tail.ends_with('\n');
    if (ended) tail.remove_suffix(1);
    // A record within the damaged line whose newline alone is gone, and more
    // after it: that is two lines, of which the first is not the last.
    const std::size_t hash = tail.find(kHashKey);
    const std::size_t record_end =
        hash == std::string_view::npos
            ? tail.size()
            : std::min(tail.size(), hash + kHashKey.size() + kHashDigits);
    const auto whole = Verify(tail.substr(0, record_end));
    const auto chained = whole ? ParseRecord(*whole) : std::nullopt;
    if (tail.size() > record_end + 1)
      Refuse("runs on after its hash: a newline was lost");
    LedgerRecord torn;
    torn.sequence = parsed_.contents.position.sequence + 1;
    torn.kind = LedgerRecord::Kind::kTorn;
    if (tail.find(kExactNoise) != std::string_view::npos)
      torn.noise = LedgerNoise::kExact;
    if (!ended && chained &&
        chained->record.kind != LedgerRecord::Kind::kSettle)
      torn.releases = chained->record.releases;
    else if (ended && tail.find(kLostPage) == std::string_view::npos)
      torn.releases = Damaged(ReadTorn(tail));
    else
      torn.releases = NeverEnded(ReadTorn(tail));
    parsed_.contents.records.push_back(std::move(torn));
    parsed_.contents.torn = true;
  }

  // The most of all reservations so far; no steps if there is none.
  Releases MostSoFar() const {
    Releases most{0, std::numeric_limits<double>::infinity(), 0};
    for (const LedgerRecord& record : parsed_.contents.records) {
      if (record.kind == LedgerRecord::Kind::kSettle) continue;
      const Releases& releases = record.releases;
      most.sample_rate = std::max(most.sample_rate, releases.sample_rate);
      most.noise_multiplier =
          std::min(most.noise_multiplier, releases.noise_multiplier);
      most.steps = std::max(most.steps, releases.steps);
    }
    return most;
  }

  // Nothing was released under this line.
  Releases NeverEnded(const Readable& read) const {
    Releases most = MostSoFar();
    if (most.steps == 0 && (!read.q || !read.sigma || !read.steps))
      Refuse(
          "the first reservation was torn before it said how much (if no node "
          "ever trained on this data set, delete the file)");
    most.sample_rate = std::max(most.sample_rate, read.q.value_or(0));
    most.noise_multiplier = std::min(
        most.noise_multiplier, read.sigma.value_or(most.noise_multiplier));
    most.steps = std::max(most.steps, read.steps.value_or(0));
    return most;
  }

  // This line was whole once, and what it reserved was released.
  Releases Damaged(const Readable& read) const {
    const auto& records = parsed_.contents.records;
    const bool known = std::any_of(
        records.begin(), records.end(), [&](const LedgerRecord& record) {
          return read.q == record.releases.sample_rate &&
                 read.sigma == record.releases.noise_multiplier;
        });
    if (!known)
      Refuse("does not match its hash, and its rate and noise cannot be told");
    Releases most = MostSoFar();
    most.steps = std::max(2 * most.steps, kMaxBlock);
    return most;
  }

  const std::string_view bytes_;
  const std::string& name_;
  ParsedLedger parsed_;
  bool nonces_ = true;  // Every record has one.
  std::size_t at_ = 0;
  std::size_t line_ = 1;
};

}  // namespace

std::string FormatHeader(const std::string& id, const std::string& data_set) {
  std::string body(kMagic);
  body += kVersion;
  body += " id=" + id + " data_set=" + Escape(data_set);
  return Sealed(std::move(body));
}

std::string FormatRecord(const std::string& previous, LedgerRecord& record) {
  const auto* const kind = std::find_if(
      std::begin(kKinds), std::end(kKinds),
      [&](const auto& candidate) { return candidate.first == record.kind; });
  std::string body = std::to_string(record.sequence) + ' ';
  body += kind->second;
  body += " q=" + FormatFloat(record.releases.sample_rate) +
          " sigma=" + FormatFloat(record.releases.noise_multiplier) +
          " steps=" + std::to_string(record.releases.steps);
  if (record.noise == LedgerNoise::kExact) {
    body += ' ';
    body += kExactNoise;
  }
  body += " run=" + Escape(record.run);
  if (!record.nonce.empty()) body += " nonce=" + record.nonce;
  body += " prev=" + previous;
  std::string line = Sealed(std::move(body));
  record.hash = line.substr(line.size() - 1 - kHashDigits, kHashDigits);
  return line;
}

ParsedLedger ParseLedger(std::string_view bytes, const std::string& name) {
  return Parser(bytes, name).Parse();
}

std::vector<Releases> ChargedReleases(
    const std::vector<LedgerRecord>& records) {
  std::map<std::pair<double, double>, std::uint64_t> merged;
  for (const LedgerRecord& record : records) {
    std::uint64_t& steps =
        merged[{record.releases.sample_rate, record.releases.noise_multiplier}];
    if (record.kind == LedgerRecord::Kind::kSettle)
      steps -= record.releases.steps;
    else
      steps += record.releases.steps;
  }
  std::vector<Releases> charged;
  for (const auto& [mechanism, steps] : merged)
    if (steps > 0)
      charged.push_back({mechanism.first, mechanism.second, steps});
  return charged;
}

}  // namespace hearsay::dp
