#include "ops/cli/predict.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <numeric>
#include <span>
#include <system_error>
#include <vector>

#include "model/encoding.h"
#include "model/network.h"
#include "model/shard.h"
#include "ops/cli/evaluate.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

constexpr std::size_t kRowsAtOnce = 1024;

// RFC 4180: quotes where a comma, a quote or a line break would be misread.
std::string Field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

// In place of the model's outputs for one row; two classes for one logit.
std::vector<double> Probabilities(model::Loss loss,
                                  std::span<const float> outputs) {
  if (loss == model::Loss::kBinaryCrossEntropy) {
    const double yes = 1 / (1 + std::exp(-static_cast<double>(outputs[0])));
    return {1 - yes, yes};
  }
  const double largest = *std::max_element(outputs.begin(), outputs.end());
  std::vector<double> shares;
  for (const double z : outputs) shares.push_back(std::exp(z - largest));
  const double sum = std::accumulate(shares.begin(), shares.end(), 0.0);
  for (double& share : shares) share /= sum;
  return shares;
}

class Lines {
 public:
  Lines(const model::Shard& shard, model::Loss loss)
      : label_(shard.label()), loss_(loss) {}

  std::string Header() const {
    std::string line = fmt::format("row,{},predicted", Field(label_.name));
    if (label_.classes.empty()) return line + "\n";
    for (const auto& name : label_.classes)
      line += "," + Field(fmt::format("p({})", name));
    return line + "\n";
  }

  std::string Row(std::size_t row, float label,
                  std::span<const float> outputs) const {
    if (label_.classes.empty())
      return fmt::format("{},{:.7g},{:.7g}\n", row, InUnits(label),
                         InUnits(outputs[0]));
    const auto shares = Probabilities(loss_, outputs);
    const auto likeliest = static_cast<std::size_t>(
        std::max_element(shares.begin(), shares.end()) - shares.begin());
    std::string line = fmt::format(
        "{},{},{}", row, Field(label_.classes[static_cast<std::size_t>(label)]),
        Field(label_.classes[likeliest]));
    for (const double share : shares) line += fmt::format(",{:.6g}", share);
    return line + "\n";
  }

 private:
  // Back from -1 .. 1, to which prep scaled it.
  double InUnits(float scaled) const {
    return label_.minimum +
           (scaled + 1.0) / 2 * (label_.maximum - label_.minimum);
  }

  const model::ShardLabel& label_;
  const model::Loss loss_;
};

void Write(const std::string& text, std::FILE* out) {
  if (std::fwrite(text.data(), 1, text.size(), out) != text.size())
    throw Exit(kError, fmt::format("cannot write the predictions: {}",
                                   std::generic_category().message(errno)));
}

}  // namespace

void Predict(const std::string& model, model::Which which,
             const std::string& data, std::FILE* out) {
  const model::WeightsFile file = model::ReadWeights(model, which);
  const model::Shard shard =
      model::Shard::Open(data, model::EncodingFor(file.spec.layers));
  RequireFit(model, file.spec, data, shard);
  const auto network = model::MakeCpuNetwork(file.spec, kRowsAtOnce);
  const auto inputs = static_cast<std::size_t>(file.spec.inputs);
  const auto outputs = static_cast<std::size_t>(model::Outputs(file.spec));
  std::vector<std::uint32_t> rows(kRowsAtOnce);
  std::vector<float> features(kRowsAtOnce * inputs), labels(kRowsAtOnce),
      values(kRowsAtOnce * outputs);
  const Lines lines(shard, file.spec.loss);
  Write(lines.Header(), out);
  for (std::size_t first = 0; first < shard.rows(); first += kRowsAtOnce) {
    const std::size_t count = std::min(kRowsAtOnce, shard.rows() - first);
    const auto these = std::span(rows).first(count);
    std::iota(these.begin(), these.end(), static_cast<std::uint32_t>(first));
    const auto x = std::span(features).first(count * inputs);
    const auto y = std::span(labels).first(count);
    const auto z = std::span(values).first(count * outputs);
    shard.Gather(these, x, y);
    network->Predict(file.weights.span(), static_cast<int>(count), x, z);
    std::string text;
    for (std::size_t i = 0; i < count; ++i)
      text += lines.Row(first + i, y[i], z.subspan(i * outputs, outputs));
    Write(text, out);
  }
}

}  // namespace hearsay::ops
