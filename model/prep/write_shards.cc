#include "model/prep/write_shards.h"

#include <algorithm>
#include <span>
#include <utility>

#include "model/prep/parallel.h"

namespace hearsay::model::prep {

namespace {

// Below the 1024 files that a process usually may have open.
constexpr std::size_t kShardsAtOnce = 256;
// Of a batch; their owners take four bytes a row.
constexpr std::size_t kBlocksAtOnce = 64;
constexpr std::size_t kBufferBytes = std::size_t{64} << 20;
constexpr std::size_t kMostBuffer = std::size_t{1} << 20;

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
      std::vector<std::vector<std::uint32_t>> owners(end - begin);
      ForEach(end - begin, threads, [&](std::size_t i) {
        RowBlock room;
        Assign(store_.Get(begin + i, room), loaded_.runs[begin + i], deal_,
               owners[i]);
      });
      ForEach(hands, threads, [&](std::size_t hand) {
        RowBlock room;
        for (std::size_t i = begin; i < end; ++i)
          Write(store_.Get(i, room), owners[i - begin], hand, hands);
      });
    }
    ForEach(writers_.size(), threads,
            [&](std::size_t i) { writers_[i].Commit(); });
  }

 private:
  void Write(const RowBlock& block, std::span<const std::uint32_t> owners,
             std::size_t hand, std::size_t hands) {
    const EncodedRows& rows = block.rows;
    for (std::size_t begin = 0; begin < rows.size;) {
      const std::uint32_t owner = owners[begin];
      std::size_t end = begin + 1;
      while (end < rows.size && owners[end] == owner) ++end;
      const std::size_t plan =
          std::min<std::size_t>(owner, deal_.parts().size());
      if (plan - first_ < plans_.size() && (plan - first_) % hands == hand)
        Append(plan - first_, rows, begin, end - begin);
      begin = end;
    }
  }

  void Append(std::size_t plan, const EncodedRows& rows, std::size_t begin,
              std::size_t count) {
    const std::span labels(rows.labels.data() + begin, count);
    writers_[plan].Append({rows.codes.data() + begin * rows.code_columns,
                           count * rows.code_columns},
                          {rows.values.data() + begin * rows.value_columns,
                           count * rows.value_columns},
                          labels);
    auto& counts = plans_[plan].class_counts;
    if (!counts.empty())
      for (const float label : labels)
        ++counts[static_cast<std::size_t>(label)];
  }

  const RowStore& store_;
  const Loaded& loaded_;
  const Deal& deal_;
  std::span<ShardPlan> plans_;
  std::size_t first_;
  std::vector<ShardWriter> writers_;
};

}  // namespace

void Assign(const RowBlock& block, std::vector<StratumRun> runs,
            const Deal& deal, std::vector<std::uint32_t>& owners) {
  owners.resize(block.rows.size);
  if (runs.size() == 1 && deal.IsWhole(runs[0].stratum)) {
    std::fill(owners.begin(), owners.end(), deal(runs[0].stratum, 0));
    return;
  }
  for (std::size_t row = 0; row < block.rows.size; ++row) {
    std::size_t own = 0;
    if (deal.strata() == Partition::Strata::kClass)
      own = static_cast<std::size_t>(block.rows.labels[row]);
    else if (!block.groups.empty())
      own = block.groups[row];
    owners[row] = deal(runs[own].stratum, runs[own].rank++);
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
