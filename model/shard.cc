#include "model/shard.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "model/digest.h"

namespace hearsay::model {

namespace {

using nlohmann::json;

constexpr const char* kKind = "hearsay.kind";
constexpr const char* kName = "hearsay.name";
constexpr const char* kSource = "hearsay.source";
constexpr const char* kSchema = "hearsay.schema";
constexpr const char* kFingerprint = "hearsay.schema_fingerprint";
constexpr const char* kPublicSize = "hearsay.public_size";
constexpr const char* kCharges = "hearsay.charges";
constexpr const char* kStatistics = "hearsay.statistics";
// Of the schema: that there are charges, so that none gets lost unseen.
constexpr const char* kCharged = "charged";

// A first layer beyond this is a mistake in the schema.
constexpr std::size_t kMaxFeatures = 1'000'000;

// Columns and label as JSON; what the fingerprint hashes, so its members and
// their spelling are frozen. Descriptions are added beside it.
json Meaning(const std::vector<ShardColumn>& columns, const ShardLabel& label) {
  json list = json::array();
  for (const ShardColumn& column : columns) {
    if (column.categorical()) {
      list.push_back({{"name", column.name},
                      {"kind", "categorical"},
                      {"categories", column.categories}});
    } else {
      list.push_back({{"name", column.name},
                      {"kind", "numeric"},
                      {"min", column.minimum},
                      {"max", column.maximum}});
    }
  }
  json meaning = {{"name", label.name}, {"classes", label.classes}};
  if (label.classes.empty()) {
    meaning["min"] = label.minimum;
    meaning["max"] = label.maximum;
  }
  return {{"columns", list}, {"label", meaning}};
}

ShardColumn ParseColumn(const json& entry) {
  ShardColumn column;
  entry.at("name").get_to(column.name);
  if (entry.at("kind").get<std::string>() == "categorical") {
    entry.at("categories").get_to(column.categories);
    if (column.categories.empty())
      throw std::invalid_argument("column " + column.name +
                                  " has no categories");
  } else {
    entry.at("min").get_to(column.minimum);
    entry.at("max").get_to(column.maximum);
  }
  return column;
}

ShardLabel ParseLabel(const json& entry) {
  ShardLabel label;
  entry.at("name").get_to(label.name);
  label.description = entry.value("description", "");
  entry.at("classes").get_to(label.classes);
  if (label.classes.empty()) {
    entry.at("min").get_to(label.minimum);
    entry.at("max").get_to(label.maximum);
  }
  return label;
}

void CheckSchema(const std::filesystem::path& path,
                 const std::vector<ShardColumn>& columns,
                 const ShardLabel& label) {
  if (columns.empty()) Fail(path, "the schema has no columns");
  std::set<std::string> names;
  std::size_t features = 0;
  for (const ShardColumn& column : columns) {
    if (!names.insert(column.name).second)
      Fail(path, "two columns are called " + column.name);
    if (column.categories.size() > kMaxCategories)
      Fail(path, "column " + column.name + " has " +
                     std::to_string(column.categories.size()) +
                     " categories; at most 255 fit");
    features += static_cast<std::size_t>(column.width());
  }
  if (features > kMaxFeatures)
    Fail(path, std::to_string(features) + " network inputs are too many");
  if (label.classes.size() == 1)
    Fail(path, "a label of one class teaches nothing");
}

void CheckLabels(const std::filesystem::path& path,
                 std::span<const float> labels, std::size_t count) {
  const auto classes = static_cast<float>(count);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const float label = labels[i];
    const bool is_class =
        label >= 0 && label < classes && label == std::floor(label);
    if (!std::isfinite(label) || (count > 0 && !is_class))
      Fail(path, "row " + std::to_string(i) + ": the label is not " +
                     (count > 0 ? "a class index" : "finite"));
  }
}

// Sizes fit each other, and everything that training relies on holds.
void CheckRows(const std::filesystem::path& path, const ShardContents& rows) {
  const std::size_t count = rows.labels.size();
  if (count == 0) Fail(path, "has no rows");
  if (count > UINT32_MAX) Fail(path, "has more than 2^32 rows");
  std::vector<const ShardColumn*> categorical;
  std::vector<const ShardColumn*> numeric;
  for (const ShardColumn& column : rows.columns)
    (column.categorical() ? categorical : numeric).push_back(&column);
  if (rows.codes.size() != count * categorical.size() ||
      rows.values.size() != count * numeric.size())
    Fail(path, "the tensors do not have the rows and columns of the schema");

  for (std::size_t i = 0; i < rows.codes.size(); ++i) {
    const ShardColumn& column = *categorical[i % categorical.size()];
    if (rows.codes[i] >= column.categories.size())
      Fail(path, "row " + std::to_string(i / categorical.size()) + ": code " +
                     std::to_string(rows.codes[i]) + " of column " +
                     column.name + " is not below " +
                     std::to_string(column.categories.size()));
  }
  for (std::size_t i = 0; i < rows.values.size(); ++i)
    if (!std::isfinite(rows.values[i]))
      Fail(path, "row " + std::to_string(i / numeric.size()) +
                     ": the value of column " +
                     numeric[i % numeric.size()]->name + " is not finite");
  CheckLabels(path, rows.labels, rows.label.classes.size());
}

const std::string& Required(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    Fail(file.path(), std::string("is not a shard: no metadata ") + key);
  return found->second;
}

std::int64_t ParsePublicSize(const SafetensorsFile& file) {
  const std::string& text = Required(file, kPublicSize);
  std::int64_t size = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), size);
  if (error != std::errc() || end != text.data() + text.size() || size < 1)
    Fail(file.path(), std::string(kPublicSize) + " = \"" + text +
                          "\" is not a positive number");
  return size;
}

// Absent means no columns, which CheckRows compares with the schema.
template <typename Read>
auto Optional(const SafetensorsFile& file, const char* name, Read read)
    -> decltype(read(name)) {
  for (const Tensor& tensor : file.tensors())
    if (tensor.name == name) return read(name);
  return {};
}

void CheckShape(const SafetensorsFile& file, const char* name,
                const std::vector<std::int64_t>& shape) {
  for (const Tensor& tensor : file.tensors())
    if (tensor.name == name && tensor.shape != shape)
      Fail(file.path(), std::string("tensor ") + name + " has shape " +
                            json(tensor.shape).dump() + ", the schema needs " +
                            json(shape).dump());
}

// Hashed, so its members and their spelling are frozen.
json ChargesJson(const std::vector<ShardCharge>& charges) {
  json list = json::array();
  for (const ShardCharge& charge : charges)
    list.push_back({{"id", charge.id},
                    {"noise_multiplier", charge.noise_multiplier},
                    {"releases", charge.releases}});
  return list;
}

// Throws: json::exception, std::invalid_argument.
std::vector<ShardCharge> ParseCharges(const std::string& text) {
  constexpr std::uint64_t kMostReleases = 1024;  // A block of a ledger.
  std::vector<ShardCharge> charges;
  for (const json& entry : json::parse(text)) {
    ShardCharge charge;
    entry.at("id").get_to(charge.id);
    entry.at("noise_multiplier").get_to(charge.noise_multiplier);
    const json& releases = entry.at("releases");
    if (releases.is_number_unsigned()) releases.get_to(charge.releases);
    if (charge.id.empty() || charge.id.size() > 128 ||
        !(charge.noise_multiplier > 0) || charge.releases < 1 ||
        charge.releases > kMostReleases)
      throw std::invalid_argument("a charge needs an id, noise and a count");
    charges.push_back(std::move(charge));
  }
  if (charges.empty()) throw std::invalid_argument("there is none");
  return charges;
}

std::string ContentHash(const std::string& fingerprint,
                        const ShardContents& rows) {
  Digest digest;
  digest.Add(std::as_bytes(std::span(fingerprint)));
  digest.Add(std::as_bytes(rows.codes));
  digest.Add(std::as_bytes(rows.values));
  digest.Add(std::as_bytes(rows.labels));
  if (!rows.charges.empty()) {
    const std::string charges = ChargesJson(rows.charges).dump();
    digest.Add(std::as_bytes(std::span(charges)));
  }
  return digest.Hex();
}

}  // namespace

std::string SchemaFingerprint(const std::vector<ShardColumn>& columns,
                              const ShardLabel& label) {
  const std::string text = Meaning(columns, label).dump();
  Digest digest;
  digest.Add(std::as_bytes(std::span(text)));
  return digest.Hex();
}

namespace {

Metadata Describe(const ShardContents& head) {
  json schema = Meaning(head.columns, head.label);
  schema["label"]["description"] = head.label.description;
  if (!head.charges.empty()) schema[kCharged] = true;
  Metadata metadata = {
      {kKind, "shard"},
      {kName, head.name},
      {kSchema, schema.dump()},
      {kFingerprint, SchemaFingerprint(head.columns, head.label)},
      {kPublicSize, std::to_string(head.public_size)}};
  if (!head.source.empty()) metadata[kSource] = head.source;
  if (!head.charges.empty())
    metadata[kCharges] = ChargesJson(head.charges).dump();
  if (!head.statistics.empty()) metadata[kStatistics] = head.statistics;
  return metadata;
}

void CheckHead(const std::filesystem::path& path, const ShardContents& head) {
  CheckSchema(path, head.columns, head.label);
  if (head.public_size < 1) Fail(path, "the public size must be positive");
}

constexpr std::size_t kCodes = 0;
constexpr std::size_t kValues = 1;
constexpr std::size_t kLabels = 2;

// Without bytes; those without columns are not written.
std::vector<Tensor> Tensors(const ShardContents& head, std::size_t rows) {
  const auto count = static_cast<std::int64_t>(rows);
  const auto codes = std::count_if(
      head.columns.begin(), head.columns.end(),
      [](const ShardColumn& column) { return column.categorical(); });
  const auto values = static_cast<std::int64_t>(head.columns.size()) - codes;
  return {{"codes", DType::kU8, {count, codes}, {}},
          {"values", DType::kF32, {count, values}, {}},
          {"labels", DType::kF32, {count}, {}}};
}

std::vector<Tensor> WithColumns(std::vector<Tensor> tensors) {
  std::erase_if(tensors, [](const Tensor& tensor) {
    return tensor.shape.size() == 2 && tensor.shape[1] == 0;
  });
  return tensors;
}

}  // namespace

void WriteShard(const std::filesystem::path& path,
                const ShardContents& contents) {
  CheckHead(path, contents);
  CheckRows(path, contents);
  std::vector<Tensor> tensors = Tensors(contents, contents.labels.size());
  tensors[kCodes].bytes = std::as_bytes(contents.codes);
  tensors[kValues].bytes = std::as_bytes(contents.values);
  tensors[kLabels].bytes = std::as_bytes(contents.labels);
  WriteSafetensors(path, WithColumns(std::move(tensors)), Describe(contents));
}

ShardWriter::ShardWriter(const std::filesystem::path& path,
                         const ShardContents& head, std::size_t rows,
                         std::size_t buffer_bytes)
    : tensors_((CheckHead(path, head), WithColumns(Tensors(head, rows)))),
      file_(path, tensors_, Describe(head)) {
  if (rows == 0) Fail(path, "has no rows");
  if (rows > UINT32_MAX) Fail(path, "has more than 2^32 rows");
  const std::pair<const char*, Column*> columns[] = {
      {"codes", &codes_}, {"values", &values_}, {"labels", &labels_}};
  for (std::size_t i = 0; i < tensors_.size(); ++i)
    for (const auto& [name, column] : columns)
      if (tensors_[i].name == name) {
        column->tensor = i;
        column->buffer.resize(buffer_bytes / tensors_.size());
      }
}

void ShardWriter::Append(std::span<const std::uint8_t> codes,
                         std::span<const float> values,
                         std::span<const float> labels) {
  Append(codes_, std::as_bytes(codes));
  Append(values_, std::as_bytes(values));
  Append(labels_, std::as_bytes(labels));
}

inline void ShardWriter::Append(Column& column,
                                std::span<const std::byte> bytes) {
  if (bytes.size() > column.buffer.size() - column.used) {
    Flush(column);
    if (bytes.size() >= column.buffer.size()) {
      file_.Append(column.tensor, bytes);
      return;
    }
  }
  std::copy(bytes.begin(), bytes.end(),
            column.buffer.begin() + static_cast<std::ptrdiff_t>(column.used));
  column.used += bytes.size();
}

namespace {

// Moves rows of a size that the compiler knows, so that each is a load and a
// store or two.
template <std::size_t kBytes>
void CopyRows(const std::byte* from, std::span<const std::uint32_t> rows,
              std::byte* to) {
  for (const std::uint32_t row : rows) {
    std::memcpy(to, from + kBytes * row, kBytes);
    to += kBytes;
  }
}

template <std::size_t... kBytes>
constexpr auto CopiesOf(std::index_sequence<kBytes...> /*sizes*/) {
  return std::array{&CopyRows<kBytes>...};
}

// By the size of a row; longer ones are worth a call each.
constexpr auto kCopies = CopiesOf(std::make_index_sequence<65>());

}  // namespace

void ShardWriter::Append(std::span<const std::uint8_t> codes,
                         std::span<const float> values,
                         std::span<const float> labels,
                         std::span<const std::uint32_t> rows) {
  if (labels.empty()) return;
  const auto append = [&](Column& column, std::span<const std::byte> bytes) {
    Append(column, bytes, bytes.size() / labels.size(), rows);
  };
  append(codes_, std::as_bytes(codes));
  append(values_, std::as_bytes(values));
  append(labels_, std::as_bytes(labels));
}

void ShardWriter::Append(Column& column, std::span<const std::byte> bytes,
                         std::size_t row_bytes,
                         std::span<const std::uint32_t> rows) {
  if (row_bytes == 0) return;
  if (row_bytes >= kCopies.size() || row_bytes > column.buffer.size()) {
    for (const std::uint32_t row : rows)
      Append(column, bytes.subspan(row_bytes * row, row_bytes));
    return;
  }
  while (!rows.empty()) {
    const std::size_t room = (column.buffer.size() - column.used) / row_bytes;
    const std::size_t count = std::min(rows.size(), room);
    kCopies[row_bytes](bytes.data(), rows.first(count),
                       column.buffer.data() + column.used);
    column.used += count * row_bytes;
    rows = rows.subspan(count);
    if (!rows.empty()) Flush(column);
  }
}

void ShardWriter::Flush(Column& column) {
  if (column.used == 0) return;
  file_.Append(column.tensor, std::span(column.buffer).first(column.used));
  column.used = 0;
}

void ShardWriter::Complete() {
  // As they lie in the file, which spares reading them again.
  for (Column* column : {&values_, &labels_, &codes_}) Flush(*column);
  file_.Complete();
}

void ShardWriter::Commit() {
  Complete();
  file_.Commit();
}

Shard Shard::Open(const std::filesystem::path& path, Encoding encoding) {
  return {SafetensorsFile::Open(path, Checksum::kRequired), encoding};
}

Shard::Shard(SafetensorsFile file, Encoding encoding)
    : file_(std::move(file)), encoding_(encoding) {
  const auto& path = file_.path();
  if (Required(file_, kKind) != "shard")
    Fail(path, "is not a shard but a " + Required(file_, kKind));
  name_ = Required(file_, kName);
  public_size_ = ParsePublicSize(file_);
  if (const auto source = file_.metadata().find(kSource);
      source != file_.metadata().end())
    source_ = source->second;
  try {
    const json schema = json::parse(Required(file_, kSchema));
    for (const json& entry : schema.at("columns"))
      columns_.push_back(ParseColumn(entry));
    label_ = ParseLabel(schema.at("label"));
    ReadCharges(schema.contains(kCharged));
  } catch (const json::exception& error) {
    Fail(path, std::string("its schema is malformed: ") + error.what());
  } catch (const std::invalid_argument& error) {
    Fail(path, std::string("its schema is malformed: ") + error.what());
  }
  CheckSchema(path, columns_, label_);
  schema_fingerprint_ = SchemaFingerprint(columns_, label_);
  if (schema_fingerprint_ != Required(file_, kFingerprint))
    Fail(path, "its schema does not have the fingerprint that it records");
  classes_ = static_cast<int>(label_.classes.size());

  for (const ShardColumn& column : columns_) {
    (column.categorical() ? code_inputs_ : value_inputs_)
        .push_back(static_cast<std::uint32_t>(features_));
    features_ += encoding == Encoding::kOneHot ? column.width() : 1;
  }
  values_adjacent_ =
      value_inputs_.empty() ||
      value_inputs_.back() - value_inputs_.front() == value_inputs_.size() - 1;
  codes_ = Optional(file_, "codes",
                    [&](const char* name) { return file_.Bytes(name); });
  values_ = Optional(file_, "values",
                     [&](const char* name) { return file_.Floats(name); });
  labels_ = file_.Floats("labels");
  rows_ = labels_.size();
  const auto rows = static_cast<std::int64_t>(rows_);
  CheckShape(file_, "labels", {rows});
  CheckShape(file_, "codes",
             {rows, static_cast<std::int64_t>(code_inputs_.size())});
  CheckShape(file_, "values",
             {rows, static_cast<std::int64_t>(value_inputs_.size())});
  ShardContents contents;
  contents.columns = columns_;
  contents.label = label_;
  contents.codes = codes_;
  contents.values = values_;
  contents.labels = labels_;
  contents.charges = charges_;
  CheckRows(path, contents);
  content_hash_ = ContentHash(schema_fingerprint_, contents);
}

void Shard::ReadCharges(bool charged) {
  const Metadata& metadata = file_.metadata();
  if (const auto text = metadata.find(kStatistics); text != metadata.end())
    statistics_ = text->second;
  const auto text = metadata.find(kCharges);
  if ((text != metadata.end()) != charged)
    Fail(file_.path(),
         "was made with statistics of its rows, but what those cost got lost; "
         "prepare it anew");
  if (!charged) return;
  try {
    charges_ = ParseCharges(text->second);
  } catch (const std::exception& error) {
    Fail(file_.path(),
         std::string(kCharges) + " is malformed: " + error.what());
  }
}

void Shard::Gather(std::span<const std::uint32_t> rows,
                   std::span<float> features, std::span<float> labels) const {
  const auto width = static_cast<std::size_t>(features_);
  assert(features.size() == rows.size() * width);
  assert(labels.size() == rows.size());
  if (rows.empty()) return;
  if (!code_inputs_.empty())
    std::memset(features.data(), 0, features.size_bytes());
  float* out = features.data();
  for (std::size_t i = 0; i < rows.size(); ++i, out += width) {
    const std::size_t row = rows[i];
    assert(row < rows_);
    const std::uint8_t* codes = codes_.data() + row * code_inputs_.size();
    if (encoding_ == Encoding::kOneHot)
      for (std::size_t c = 0; c < code_inputs_.size(); ++c)
        out[code_inputs_[c] + codes[c]] = 1.0F;
    else
      for (std::size_t c = 0; c < code_inputs_.size(); ++c)
        out[code_inputs_[c]] = codes[c];
    const float* values = values_.data() + row * value_inputs_.size();
    if (!value_inputs_.empty() && values_adjacent_)
      std::copy_n(values, value_inputs_.size(), out + value_inputs_.front());
    else
      for (std::size_t v = 0; v < value_inputs_.size(); ++v)
        out[value_inputs_[v]] = values[v];
    labels[i] = labels_[row];
  }
}

}  // namespace hearsay::model
