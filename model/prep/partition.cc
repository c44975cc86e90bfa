#include "model/prep/partition.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>

#include "model/prep/expression.h"

namespace hearsay::model::prep {

namespace {

constexpr int kAttempts = 1000;

std::vector<double> DrawDirichlet(double alpha, std::size_t count,
                                  std::mt19937_64& random) {
  std::gamma_distribution<double> gamma(alpha, 1.0);
  std::vector<double> shares(count);
  for (double& share : shares) share = gamma(random);
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (total > 0) {
    for (double& share : shares) share /= total;
  } else {
    // A small alpha can underflow every draw; its limit is all in one place.
    shares[random() % count] = 1;
  }
  return shares;
}

double PositiveAfter(std::string_view word, const std::string& text) {
  if (!text.starts_with(word)) return 0;
  return ParseNumber(std::string_view(text).substr(word.size())).value_or(0);
}

}  // namespace

Partition::Strata Partition::strata() const {
  switch (kind) {
    case Kind::kDirichlet:
    case Kind::kLabels:
      return Strata::kClass;
    case Kind::kByColumn:
    case Kind::kByFile:
      return Strata::kGroup;
    default:
      return Strata::kNone;
  }
}

Partition ParsePartition(const std::string& text) {
  Partition partition;
  if (text == "iid") return partition;
  if (text == "by:file") {
    partition.kind = Partition::Kind::kByFile;
    return partition;
  }
  if (text.starts_with("by:") && text.size() > 3) {
    partition.kind = Partition::Kind::kByColumn;
    partition.column = text.substr(3);
    return partition;
  }
  partition.alpha = PositiveAfter("dirichlet:", text);
  partition.kind = Partition::Kind::kDirichlet;
  if (partition.alpha > 0) return partition;
  partition.alpha = PositiveAfter("quantity:", text);
  partition.kind = Partition::Kind::kQuantity;
  if (partition.alpha > 0) return partition;
  constexpr double kMostSlices = 1000;
  const double slices = PositiveAfter("labels:", text);
  partition.slices = static_cast<int>(std::min(slices, kMostSlices));
  partition.kind = Partition::Kind::kLabels;
  if (slices >= 1 && partition.slices == slices) return partition;
  throw std::invalid_argument(
      "--partition " + text +
      ": allowed are iid, dirichlet:ALPHA and quantity:ALPHA (a positive "
      "number), labels:SLICES (1 to 1000), by:COLUMN and by:file");
}

void Deal::Stratum::Add(std::uint64_t more, std::uint32_t part) {
  if (more == 0) return;
  ends.push_back((ends.empty() ? evaluation : ends.back()) + more);
  owners.push_back(part);
}

Deal::Deal(const Partition& partition, int shards, double eval_fraction,
           std::uint64_t seed, const StratumCounts& counts)
    : kind_(partition.strata()) {
  if (kind_ == Partition::Strata::kClass && counts.rows.empty())
    throw std::invalid_argument(
        "--partition dirichlet and labels deal by class, and this label has "
        "none: use iid, quantity or by:COLUMN");
  for (const std::uint64_t rows : counts.rows) {
    Stratum& stratum = strata_.emplace_back();
    stratum.rows = rows;
    stratum.order = Permutation(rows, Permutation::Mix(seed) + strata_.size());
    training_rows_ += rows;
  }
  if (eval_fraction > 0) TakeEvaluation(eval_fraction);
  const auto count = static_cast<std::size_t>(std::max(shards, 1));
  if (training_rows_ < count)
    throw std::invalid_argument(
        "--shards " + std::to_string(shards) + ": there are only " +
        std::to_string(training_rows_) + " training rows");
  switch (partition.kind) {
    case Partition::Kind::kIid:
      Name("iid", count);
      for (std::size_t i = 0; i < count; ++i)
        strata_[0].Add(
            (i + 1) * training_rows_ / count - i * training_rows_ / count,
            static_cast<std::uint32_t>(i));
      break;
    case Partition::Kind::kQuantity:
    case Partition::Kind::kDirichlet:
      ByDirichlet(partition, count, seed);
      break;
    case Partition::Kind::kLabels:
      ByLabels(count, static_cast<std::size_t>(partition.slices), seed);
      break;
    default:
      ByGroup(static_cast<std::size_t>(shards), counts.names);
  }
  AllFilled();
  for (Stratum& stratum : strata_)
    stratum.whole = stratum.evaluation == 0 && stratum.owners.size() <= 1;
}

// Of each stratum in proportion, but never all of it.
void Deal::TakeEvaluation(double fraction) {
  const auto total = static_cast<double>(training_rows_);
  const double wanted = std::max(1.0, std::floor(fraction * total));
  double rows_before = 0;
  for (Stratum& stratum : strata_) {
    const auto rows = static_cast<double>(stratum.rows);
    const auto place = [&](double at) {
      return std::round(at / total * wanted);
    };
    stratum.evaluation =
        std::min(static_cast<std::uint64_t>(place(rows_before + rows) -
                                            place(rows_before)),
                 std::max<std::uint64_t>(stratum.rows, 1) - 1);
    rows_before += rows;
    evaluation_rows_ += stratum.evaluation;
  }
  if (evaluation_rows_ == 0)
    throw std::invalid_argument(
        "--eval-fraction: too few rows to take any for the evaluation");
  training_rows_ -= evaluation_rows_;
}

void Deal::Name(const std::string& what, std::size_t count) {
  parts_.resize(count);
  for (std::size_t i = 0; i < count; ++i)
    parts_[i].source =
        what + " " + std::to_string(i) + " of " + std::to_string(count);
}

void Deal::Cut(std::span<const double> shares, Stratum& stratum) {
  const std::uint64_t rows = stratum.rows - stratum.evaluation;
  double share = 0;
  std::uint64_t begin = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    share += shares[i];
    const auto at = static_cast<std::uint64_t>(
        std::llround(share * static_cast<double>(rows)));
    const std::uint64_t end =
        i + 1 == shares.size() ? rows : std::clamp(at, begin, rows);
    stratum.Add(end - begin, static_cast<std::uint32_t>(i));
    begin = end;
  }
}

// Counts the parts' rows.
bool Deal::AllFilled() {
  for (Part& part : parts_) part.rows = 0;
  for (const Stratum& stratum : strata_) {
    std::uint64_t begin = stratum.evaluation;
    for (std::size_t i = 0; i < stratum.ends.size(); ++i) {
      parts_[stratum.owners[i]].rows += stratum.ends[i] - begin;
      begin = stratum.ends[i];
    }
  }
  return std::none_of(parts_.begin(), parts_.end(),
                      [](const Part& part) { return part.rows == 0; });
}

void Deal::ByDirichlet(const Partition& partition, std::size_t count,
                       std::uint64_t seed) {
  const bool classes = partition.kind == Partition::Kind::kDirichlet;
  const char* const what = classes ? "dirichlet" : "quantity";
  Name(what, count);
  std::mt19937_64 random(seed);
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    for (Stratum& stratum : strata_) {
      stratum.ends.clear();
      stratum.owners.clear();
      Cut(DrawDirichlet(partition.alpha, count, random), stratum);
    }
    if (AllFilled()) return;
  }
  throw std::invalid_argument(
      "--partition " + std::string(what) + ": some shard stayed empty in " +
      std::to_string(kAttempts) + " draws: use a larger alpha or fewer shards");
}

// The strata are the classes, one after the other; slices cut across them.
void Deal::ByLabels(std::size_t count, std::size_t slices, std::uint64_t seed) {
  const std::size_t all = count * slices;
  if (training_rows_ < all)
    throw std::invalid_argument("--partition labels: " + std::to_string(all) +
                                " slices of only " +
                                std::to_string(training_rows_) +
                                " training rows: use fewer slices or shards");
  Name("labels", count);
  std::vector<std::uint32_t> owner(all);
  for (std::size_t i = 0; i < all; ++i)
    owner[i] = static_cast<std::uint32_t>(i / slices);
  std::mt19937_64 random(seed);
  std::shuffle(owner.begin(), owner.end(), random);
  std::size_t slice = 0;
  std::uint64_t at = 0;  // In the rows sorted by label.
  for (Stratum& stratum : strata_) {
    const std::uint64_t end = at + stratum.rows - stratum.evaluation;
    while (at < end) {
      const std::uint64_t slice_end = (slice + 1) * training_rows_ / all;
      const std::uint64_t until = std::min(end, slice_end);
      stratum.Add(until - at, owner[slice]);
      at = until;
      if (at == slice_end) ++slice;
    }
  }
}

void Deal::ByGroup(std::size_t shards, const std::vector<std::string>& names) {
  std::vector<std::size_t> groups;
  const auto rows = [this](std::size_t group) {
    return strata_[group].rows - strata_[group].evaluation;
  };
  for (std::size_t group = 0; group < strata_.size(); ++group)
    if (rows(group) > 0) groups.push_back(group);
  if (shards > groups.size())
    throw std::invalid_argument(
        "--shards " + std::to_string(shards) + " asks for more than the " +
        std::to_string(groups.size()) + " group(s) that the rows fall into");
  const bool apart = shards == 0 || shards == groups.size();
  if (!apart)
    std::stable_sort(
        groups.begin(), groups.end(),
        [&](std::size_t a, std::size_t b) { return rows(a) > rows(b); });
  parts_.resize(apart ? groups.size() : shards);
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto part = apart
                          ? parts_.begin() + static_cast<std::ptrdiff_t>(i)
                          : std::min_element(parts_.begin(), parts_.end(),
                                             [](const Part& a, const Part& b) {
                                               return a.rows < b.rows;
                                             });
    part->source += (part->source.empty() ? "" : ", ") + names[groups[i]];
    part->rows += rows(groups[i]);
    strata_[groups[i]].Add(rows(groups[i]),
                           static_cast<std::uint32_t>(part - parts_.begin()));
  }
}

// Halves without branches: places are as good as random.
inline std::uint32_t Deal::Stratum::OwnerOf(std::uint64_t place) const {
  assert(!ends.empty());  // A stratum keeps a row for training.
  const std::uint64_t* first = ends.data();
  for (std::size_t left = ends.size(); left > 1;) {
    const std::size_t half = left / 2;
    // No ?: here, of which GCC makes a jump.
    first += half * static_cast<std::size_t>(first[half - 1] <= place);
    left -= half;
  }
  const std::uint32_t owner =
      owners[static_cast<std::size_t>(first - ends.data())];
  return place < evaluation ? kEvaluation : owner;
}

void Deal::Assign(std::size_t stratum, std::uint64_t first,
                  std::span<std::uint32_t> owners) const {
  const Stratum& here = strata_[stratum];
  if (here.whole) {
    std::fill(owners.begin(), owners.end(), here.owners[0]);
    return;
  }
  std::array<std::uint64_t, Permutation::kMany> room;
  while (!owners.empty()) {
    const auto places =
        std::span(room).first(std::min(owners.size(), room.size()));
    here.order.Fill(first, places);
    for (std::size_t i = 0; i < places.size(); ++i)
      owners[i] = here.OwnerOf(places[i]);
    first += places.size();
    owners = owners.subspan(places.size());
  }
}

}  // namespace hearsay::model::prep
