#include "model/prep/partition.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "model/prep/expression.h"

namespace hearsay::model::prep {

namespace {

using Rows = std::vector<std::uint32_t>;

constexpr int kDirichletAttempts = 1000;

bool AllFilled(const std::vector<Part>& parts) {
  return std::none_of(parts.begin(), parts.end(),
                      [](const Part& part) { return part.rows.empty(); });
}

std::vector<Part> Named(const std::string& what, std::size_t count) {
  std::vector<Part> parts(count);
  for (std::size_t i = 0; i < count; ++i)
    parts[i].source =
        what + " " + std::to_string(i) + " of " + std::to_string(count);
  return parts;
}

std::vector<Part> Iid(std::size_t count, Rows rows, std::mt19937_64& random) {
  std::shuffle(rows.begin(), rows.end(), random);
  std::vector<Part> parts = Named("iid", count);
  for (std::size_t i = 0; i < rows.size(); ++i)
    parts[i % count].rows.push_back(rows[i]);
  return parts;
}

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

std::vector<Part> Dirichlet(const Partition& partition, std::size_t count,
                            const Rows& rows, const RowFacts& facts,
                            std::mt19937_64& random) {
  if (facts.classes == 0)
    throw std::invalid_argument(
        "--partition dirichlet deals by class, and this label has none: use "
        "iid or by:COLUMN");
  std::vector<Rows> by_class(static_cast<std::size_t>(facts.classes));
  for (const std::uint32_t row : rows)
    by_class[static_cast<std::size_t>(facts.labels[row])].push_back(row);
  for (int attempt = 0; attempt < kDirichletAttempts; ++attempt) {
    std::vector<Part> parts = Named("dirichlet", count);
    for (Rows& members : by_class) {
      std::shuffle(members.begin(), members.end(), random);
      const auto shares = DrawDirichlet(partition.alpha, count, random);
      double end_share = 0;
      std::size_t begin = 0;
      for (std::size_t i = 0; i < count; ++i) {
        end_share += shares[i];
        const std::size_t end =
            i + 1 == count
                ? members.size()
                : std::clamp(
                      static_cast<std::size_t>(std::llround(
                          end_share * static_cast<double>(members.size()))),
                      begin, members.size());
        parts[i].rows.insert(
            parts[i].rows.end(),
            members.begin() + static_cast<std::ptrdiff_t>(begin),
            members.begin() + static_cast<std::ptrdiff_t>(end));
        begin = end;
      }
    }
    if (AllFilled(parts)) return parts;
  }
  throw std::invalid_argument(
      "--partition dirichlet: some shard stayed empty in " +
      std::to_string(kDirichletAttempts) +
      " draws: use a larger alpha or fewer shards");
}

std::vector<Part> ByGroup(std::size_t shards, const Rows& rows,
                          const RowFacts& facts) {
  std::vector<Part> groups(facts.groups.size());
  for (std::size_t i = 0; i < groups.size(); ++i)
    groups[i].source = facts.groups[i];
  for (const std::uint32_t row : rows)
    groups[facts.group[row]].rows.push_back(row);
  // A group may have lost all its rows to the evaluation shard.
  std::erase_if(groups, [](const Part& group) { return group.rows.empty(); });
  if (shards == 0 || shards == groups.size()) return groups;
  if (shards > groups.size())
    throw std::invalid_argument(
        "--shards " + std::to_string(shards) + " asks for more than the " +
        std::to_string(groups.size()) + " group(s) that the rows fall into");
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Part& a, const Part& b) {
                     return a.rows.size() > b.rows.size();
                   });
  std::vector<Part> parts(shards);
  for (Part& group : groups) {
    Part& smallest = *std::min_element(parts.begin(), parts.end(),
                                       [](const Part& a, const Part& b) {
                                         return a.rows.size() < b.rows.size();
                                       });
    smallest.source += (smallest.source.empty() ? "" : ", ") + group.source;
    smallest.rows.insert(smallest.rows.end(), group.rows.begin(),
                         group.rows.end());
  }
  return parts;
}

}  // namespace

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
  if (text.starts_with("dirichlet:")) {
    partition.kind = Partition::Kind::kDirichlet;
    partition.alpha = ParseNumber(text.substr(10)).value_or(0);
    if (partition.alpha > 0) return partition;
  }
  throw std::invalid_argument(
      "--partition " + text +
      ": allowed are iid, dirichlet:ALPHA (a positive number), by:COLUMN and "
      "by:file");
}

std::vector<Part> MakeParts(const Partition& partition, int shards,
                            std::vector<std::uint32_t> rows,
                            const RowFacts& facts, std::mt19937_64& random) {
  if (rows.size() < static_cast<std::size_t>(std::max(shards, 1)))
    throw std::invalid_argument("--shards " + std::to_string(shards) +
                                ": there are only " +
                                std::to_string(rows.size()) + " training rows");
  const auto count = static_cast<std::size_t>(std::max(shards, 1));
  switch (partition.kind) {
    case Partition::Kind::kIid:
      return Iid(count, std::move(rows), random);
    case Partition::Kind::kDirichlet:
      return Dirichlet(partition, count, rows, facts, random);
    default:
      return ByGroup(static_cast<std::size_t>(shards), rows, facts);
  }
}

}  // namespace hearsay::model::prep
