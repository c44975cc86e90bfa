#include "ops/cli/inspect.h"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <fstream>
#include <string_view>
#include <vector>

#include "dp/ledger.h"
#include "model/shard.h"
#include "model/weights_file.h"
#include "ops/cli/histogram.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

using nlohmann::ordered_json;

enum class Format { kSafetensors, kLedger, kOther };

Format Recognise(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::string start(16, '\0');
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(file.gcount()));
  if (start.starts_with("hearsay-ledger")) return Format::kLedger;
  // Eight bytes of length, then a JSON object.
  if (start.size() > 8 && start[8] == '{') return Format::kSafetensors;
  return Format::kOther;
}

const char* DTypeName(model::DType dtype) {
  switch (dtype) {
    case model::DType::kU8:
      return "U8";
    case model::DType::kI32:
      return "I32";
    case model::DType::kI64:
      return "I64";
    case model::DType::kF32:
      return "F32";
    case model::DType::kF64:
      return "F64";
  }
  return "?";
}

ordered_json DescribeTensors(const model::SafetensorsFile& file) {
  ordered_json tensors = ordered_json::array();
  for (const model::Tensor& tensor : file.tensors()) {
    ordered_json entry = {{"name", tensor.name},
                          {"dtype", DTypeName(tensor.dtype)},
                          {"shape", tensor.shape},
                          {"bytes", tensor.bytes.size()}};
    if (tensor.dtype == model::DType::kF32) {
      double squares = 0;
      for (const float value : file.Floats(tensor.name))
        squares += static_cast<double>(value) * value;
      entry["norm"] = std::sqrt(squares);
    }
    tensors.push_back(entry);
  }
  return tensors;
}

void DescribeShard(const std::filesystem::path& path, ordered_json& out) {
  const model::Shard shard = model::Shard::Open(path);
  out["name"] = shard.name();
  out["source"] = shard.source();
  out["rows"] = shard.rows();
  out["public_size"] = shard.public_size();
  out["features"] = shard.features();
  out["schema_fingerprint"] = shard.schema_fingerprint();
  out["content_hash"] = shard.content_hash();
  if (!shard.charges().empty()) {
    out["charges"] = ordered_json::array();
    for (const auto& charge : shard.charges())
      out["charges"].push_back({{"id", charge.id},
                                {"noise_multiplier", charge.noise_multiplier},
                                {"releases", charge.releases}});
  }
  const ShardHistograms histograms = CountRows(shard);
  out["label"] = {{"name", shard.label().name},
                  {"description", shard.label().description},
                  {"classes", shard.label().classes}};
  if (shard.classes() == 0) {
    out["label"]["minimum"] = shard.label().minimum;
    out["label"]["maximum"] = shard.label().maximum;
  }
  out["label"]["counts"] = histograms.label;
  out["columns"] = ordered_json::array();
  for (std::size_t i = 0; i < shard.columns().size(); ++i) {
    const model::ShardColumn& column = shard.columns()[i];
    ordered_json entry = {{"name", column.name}, {"inputs", column.width()}};
    if (column.categorical()) {
      entry["type"] = "categorical";
      entry["categories"] = column.categories;
    } else {
      entry["type"] = "numeric";
      entry["minimum"] = column.minimum;
      entry["maximum"] = column.maximum;
    }
    entry["counts"] = histograms.columns[i];
    out["columns"].push_back(entry);
  }
}

ordered_json DescribeSafetensors(const std::filesystem::path& path) {
  const model::SafetensorsFile file = model::SafetensorsFile::Open(path);
  const auto kind = file.metadata().find(model::kKindKey);
  ordered_json out = {
      {"schema", 1},
      {"file", path.string()},
      {"kind", kind == file.metadata().end() ? "safetensors" : kind->second}};
  if (out["kind"] == "shard") {
    DescribeShard(path, out);
  } else if (out["kind"] == model::kCheckpointKind ||
             out["kind"] == model::kWeightsKind) {
    const model::WeightsFile weights = model::ReadWeights(path);
    out["model"] = model::Canonical(weights.spec);
    out["parameters"] = weights.weights.size();
  }
  out["metadata"] = file.metadata();
  out["tensors"] = DescribeTensors(file);
  return out;
}

const char* RecordName(dp::LedgerRecord::Kind kind) {
  switch (kind) {
    case dp::LedgerRecord::Kind::kReserve:
      return "reserve";
    case dp::LedgerRecord::Kind::kSettle:
      return "settle";
    case dp::LedgerRecord::Kind::kTorn:
      return "torn";
  }
  return "?";
}

ordered_json DescribeReleases(const dp::Releases& releases) {
  return {{"steps", releases.steps},
          {"sample_rate", releases.sample_rate},
          {"noise_multiplier", releases.noise_multiplier}};
}

ordered_json DescribeLedger(const std::filesystem::path& path) {
  const dp::LedgerContents ledger = dp::ReadLedger(path);
  ordered_json out = {{"schema", 1},
                      {"file", path.string()},
                      {"kind", "ledger"},
                      {"data_set", ledger.data_set},
                      {"charged_steps", ledger.charged_steps},
                      {"torn", ledger.torn},
                      {"sequence", ledger.position.sequence},
                      {"hash", ledger.position.hash},
                      {"charged", ordered_json::array()},
                      {"records", ordered_json::array()}};
  for (const dp::Releases& releases : ledger.charged)
    out["charged"].push_back(DescribeReleases(releases));
  for (const dp::LedgerRecord& record : ledger.records) {
    ordered_json entry = {{"sequence", record.sequence},
                          {"kind", RecordName(record.kind)}};
    entry.update(DescribeReleases(record.releases));
    if (record.noise == dp::LedgerNoise::kExact) entry["noise"] = "exact";
    entry["run"] = record.run;
    out["records"].push_back(entry);
  }
  return out;
}

// Of a shard's column or of its label.
std::string Histogram(const ordered_json& of, const char* names) {
  const auto counts = of["counts"].get<std::vector<std::uint64_t>>();
  if (of.contains("minimum"))
    return Bars(BinNames(of["minimum"].get<double>(),
                         of["maximum"].get<double>(), counts.size()),
                counts);
  return Bars(of[names].get<std::vector<std::string>>(), counts);
}

std::string ColumnLine(const ordered_json& column) {
  const auto name = column["name"].get<std::string>();
  const std::string line =
      column["type"] == "numeric"
          ? fmt::format("  {:<24} numeric, {:g} to {:g}\n", name,
                        column["minimum"].get<double>(),
                        column["maximum"].get<double>())
          : fmt::format("  {:<24} {} categories\n", name,
                        column["inputs"].get<int>());
  return line + Histogram(column, "categories");
}

std::string TensorLine(const ordered_json& tensor) {
  const std::string norm =
      tensor.contains("norm") && tensor["norm"].is_number()
          ? fmt::format("  norm {:.6g}", tensor["norm"].get<double>())
          : "";
  return fmt::format("  {:<24} {} {}{}\n", tensor["name"].get<std::string>(),
                     tensor["dtype"].get<std::string>(), tensor["shape"].dump(),
                     norm);
}

std::string RecordLine(const ordered_json& record) {
  return fmt::format("  {:>6} {:<8} {:>8} steps  q {:g}  sigma {:g}  {}\n",
                     record["sequence"].get<std::uint64_t>(),
                     record["kind"].get<std::string>(),
                     record["steps"].get<std::uint64_t>(),
                     record["sample_rate"].get<double>(),
                     record["noise_multiplier"].get<double>(),
                     record["run"].get<std::string>());
}

// Columns say what the schema in the metadata does, in less space.
std::string MetadataText(const ordered_json& metadata) {
  std::string text;
  for (const auto& [key, value] : metadata.items())
    if (key != "hearsay.schema")
      text += fmt::format("  {:<26} {}\n", key, value.get<std::string>());
  return text;
}

std::string ListText(const ordered_json& inspection, const char* key,
                     std::string (*line)(const ordered_json&)) {
  if (!inspection.contains(key)) return "";
  std::string text = fmt::format("{}:\n", key);
  for (const ordered_json& entry : inspection[key]) text += line(entry);
  return text;
}

}  // namespace

nlohmann::ordered_json Inspect(const std::filesystem::path& path) {
  const std::filesystem::path file =
      std::filesystem::is_directory(path) ? path / "ledger" : path;
  if (!std::filesystem::exists(file))
    throw Exit(kError, fmt::format("{}: no such file", file.string()));
  switch (Recognise(file)) {
    case Format::kSafetensors:
      return DescribeSafetensors(file);
    case Format::kLedger:
      return DescribeLedger(file);
    case Format::kOther:
      break;
  }
  throw Exit(kError,
             fmt::format("{}: neither a safetensors file (shard, checkpoint, "
                         "weights) nor a ledger, or damaged at its beginning",
                         file.string()));
}

std::string InspectionText(const nlohmann::ordered_json& inspection) {
  std::string text;
  for (const auto& [key, value] : inspection.items()) {
    if (key == "schema" || value.is_array()) continue;
    if (key == "metadata") {
      text += "metadata:\n" + MetadataText(value);
    } else if (key == "label") {
      text +=
          fmt::format("{:<20} {}\n", "label", value["name"].get<std::string>());
      text += Histogram(value, "classes");
    } else {
      text += fmt::format(
          "{:<20} {}\n", key,
          value.is_string() ? value.get<std::string>() : value.dump());
    }
  }
  return text + ListText(inspection, "columns", ColumnLine) +
         ListText(inspection, "tensors", TensorLine) +
         ListText(inspection, "records", RecordLine);
}

}  // namespace hearsay::ops
