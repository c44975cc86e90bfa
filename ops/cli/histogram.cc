#include "ops/cli/histogram.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <span>

namespace hearsay::ops {

namespace {

constexpr std::size_t kBins = 10;
constexpr std::size_t kRowsOfAPage = 256;

// Of a value that prep scaled to [-1, 1].
std::size_t Bin(float value) {
  const float place = (value + 1) / 2 * static_cast<float>(kBins);
  return std::min(kBins - 1, static_cast<std::size_t>(std::max(place, 0.0F)));
}

}  // namespace

ShardHistograms CountRows(const model::Shard& shard) {
  ShardHistograms found;
  for (const model::ShardColumn& column : shard.columns())
    found.columns.emplace_back(column.categorical() ? column.categories.size()
                                                    : kBins);
  found.label.resize(
      shard.classes() > 0 ? static_cast<std::size_t>(shard.classes()) : kBins);
  const auto width = static_cast<std::size_t>(shard.features());
  std::vector<float> features(kRowsOfAPage * width);
  std::vector<float> labels(kRowsOfAPage);
  std::vector<std::uint32_t> rows(kRowsOfAPage);
  for (std::size_t begin = 0; begin < shard.rows(); begin += kRowsOfAPage) {
    const std::size_t count = std::min(kRowsOfAPage, shard.rows() - begin);
    std::iota(rows.begin(), rows.end(), static_cast<std::uint32_t>(begin));
    shard.Gather(std::span(rows).first(count),
                 std::span(features).first(count * width),
                 std::span(labels).first(count));
    for (std::size_t row = 0; row < count; ++row) {
      const float* at = features.data() + row * width;
      for (std::size_t c = 0; c < found.columns.size(); ++c) {
        auto& counts = found.columns[c];
        if (!shard.columns()[c].categorical()) {
          ++counts[Bin(*at++)];
          continue;
        }
        for (std::size_t i = 0; i < counts.size(); ++i)
          counts[i] += at[i] > 0 ? 1 : 0;
        at += counts.size();
      }
      ++found.label[shard.classes() > 0 ? static_cast<std::size_t>(labels[row])
                                        : Bin(labels[row])];
    }
  }
  return found;
}

std::string Bars(const std::vector<std::string>& names,
                 const std::vector<std::uint64_t>& counts) {
  constexpr std::uint64_t kWidth = 40;
  std::size_t widest = 0;
  for (const std::string& name : names) widest = std::max(widest, name.size());
  const std::uint64_t most = std::max<std::uint64_t>(
      1, *std::max_element(counts.begin(), counts.end()));
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i)
    text +=
        fmt::format("    {:<{}} {:>10}{}{}\n", names[i], widest, counts[i],
                    counts[i] > 0 ? "  " : "",
                    // Nobody who is there goes without a mark.
                    std::string((counts[i] * kWidth + most - 1) / most, '#'));
  return text;
}

std::vector<std::string> BinNames(double minimum, double maximum,
                                  std::size_t bins) {
  std::vector<std::string> names;
  const double width = (maximum - minimum) / static_cast<double>(bins);
  for (std::size_t i = 0; i < bins; ++i)
    names.push_back(fmt::format("{:g} to {:g}",
                                minimum + width * static_cast<double>(i),
                                minimum + width * static_cast<double>(i + 1)));
  return names;
}

}  // namespace hearsay::ops
