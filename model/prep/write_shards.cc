#include "model/prep/write_shards.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>

#include "model/prep/parallel.h"

namespace hearsay::model::prep {

namespace {

// Below the 1024 files that a process usually may have open.
constexpr std::size_t kShardsAtOnce = 256;
// They wait for the disk, which takes several at a time.
constexpr int kSyncsAtOnce = 16;
// Of a batch; their order takes four bytes a row.
constexpr std::size_t kBlocksAtOnce = 64;
constexpr std::size_t kBufferBytes = std::size_t{64} << 20;
constexpr std::size_t kMostBuffer = std::size_t{512} << 10;

// A block's rows by the shards of a pass that they go to; behind them, those of
// none. Each shard's rows stay in the order of the input.
struct Dealt {
  std::span<const std::uint32_t> RowsOf(std::size_t plan) const {
    return std::span(rows).subspan(begins[plan],
                                   begins[plan + 1] - begins[plan]);
  }

  std::vector<std::uint32_t> rows;
  std::vector<std::size_t> begins;
};

// Some of the shards, being written.
class Pass {
 public:
  Pass(const RowStore& store, const Loaded& loaded, const Deal& deal,
       std::span<ShardPlan> plans, std::size_t first)
      : store_(store),
        loaded_(loaded),
        deal_(deal),
        plans_(plans),
        first_(first) {}

  void Run(int threads) {
    for (const ShardPlan& plan : plans_)
      writers_.emplace_back(
          plan.file, plan.head, plan.rows,
          std::min(kMostBuffer, kBufferBytes / plans_.size()));
    // One thread writes a shard, so that its rows stay in order.
    const std::size_t hands =
        std::min(static_cast<std::size_t>(std::max(threads, 1)), plans_.size());
    for (std::size_t begin = 0; begin < store_.size(); begin += kBlocksAtOnce) {
      const std::size_t end = std::min(begin + kBlocksAtOnce, store_.size());
      std::vector<Dealt> dealt(end - begin);
      ForEach(end - begin, threads, [&](std::size_t i) {
        std::vector<std::byte> room;
        std::vector<std::uint32_t> owners;
        Assign(store_.Get(begin + i, room), loaded_.runs[begin + i], deal_,
               owners);
        dealt[i] = Sort(owners);
      });
      ForEach(hands, threads, [&](std::size_t hand) {
        std::vector<std::byte> room;
        for (std::size_t i = begin; i < end; ++i) {
          const RowView block = store_.Get(i, room).rows;
          for (std::size_t plan = hand; plan < plans_.size(); plan += hands)
            Append(plan, block, dealt[i - begin]);
        }
      });
    }
    ForEach(writers_.size(), threads,
            [&](std::size_t i) { writers_[i].Complete(); });
    ForEach(writers_.size(), kSyncsAtOnce,
            [&](std::size_t i) { writers_[i].Commit(); });
  }

 private:
  Dealt Sort(std::span<const std::uint32_t> owners) const {
    const std::size_t others = plans_.size();  // Of another pass.
    const auto plan_of = [&](std::uint32_t owner) {
      return std::min(
          std::min<std::size_t>(owner, deal_.parts().size()) - first_, others);
    };
    Dealt dealt;
    dealt.begins.resize(others + 2);
    for (const std::uint32_t owner : owners) ++dealt.begins[plan_of(owner) + 1];
    std::partial_sum(dealt.begins.begin(), dealt.begins.end(),
                     dealt.begins.begin());
    std::vector<std::size_t> next = dealt.begins;
    dealt.rows.resize(owners.size());
    for (std::size_t row = 0; row < owners.size(); ++row)
      dealt.rows[next[plan_of(owners[row])]++] =
          static_cast<std::uint32_t>(row);
    return dealt;
  }

  void Append(std::size_t plan, const RowView& block, const Dealt& dealt) {
    const auto rows = dealt.RowsOf(plan);
    if (rows.size() == block.size())
      writers_[plan].Append(block.codes, block.values, block.labels);
    else
      writers_[plan].Append(block.codes, block.values, block.labels, rows);
    auto& counts = plans_[plan].class_counts;
    if (!counts.empty())
      for (const std::uint32_t row : rows)
        ++counts[static_cast<std::size_t>(block.labels[row])];
  }

  const RowStore& store_;
  const Loaded& loaded_;
  const Deal& deal_;
  std::span<ShardPlan> plans_;
  std::size_t first_;
  std::vector<ShardWriter> writers_;
};

}  // namespace

void Assign(const StoredRows& block, const std::vector<StratumRun>& runs,
            const Deal& deal, std::vector<std::uint32_t>& owners) {
  owners.resize(block.rows.size());
  if (runs.size() == 1) {
    deal.Assign(runs[0].stratum, runs[0].rank, owners);
    return;
  }
  // Each stratum's ranks follow each other in the block.
  std::vector<std::vector<std::uint32_t>> rows(runs.size());
  for (std::size_t row = 0; row < block.rows.size(); ++row) {
    const std::size_t own =
        deal.strata() == Partition::Strata::kClass
            ? static_cast<std::size_t>(block.rows.labels[row])
            : block.groups[row];
    rows[own].push_back(static_cast<std::uint32_t>(row));
  }
  std::vector<std::uint32_t> of_stratum;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    of_stratum.resize(rows[i].size());
    deal.Assign(runs[i].stratum, runs[i].rank, of_stratum);
    for (std::size_t j = 0; j < of_stratum.size(); ++j)
      owners[rows[i][j]] = of_stratum[j];
  }
}

void WriteShards(const RowStore& store, const Loaded& loaded, const Deal& deal,
                 std::vector<ShardPlan>& plans, int threads) {
  for (ShardPlan& plan : plans)
    plan.class_counts.assign(plan.head.label.classes.size(), 0);
  for (std::size_t first = 0; first < plans.size(); first += kShardsAtOnce) {
    const auto some = std::span(plans).subspan(
        first, std::min(kShardsAtOnce, plans.size() - first));
    Pass(store, loaded, deal, some, first).Run(threads);
  }
}

}  // namespace hearsay::model::prep
