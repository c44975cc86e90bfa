#include "model/prep/prepare.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <utility>

#include "model/prep/csv.h"
#include "model/prep/encoder.h"
#include "model/prep/idx.h"

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kRowsBetweenProgress = 1 << 15;
constexpr std::size_t kMaxGroups = 1000;
constexpr int kMaxShards = 100'000;
constexpr std::size_t kFirstBad = 3;

// Rows of all files, and the group of each.
struct Loaded {
  EncodedRows rows;
  std::vector<std::uint32_t> group;
  std::vector<std::string> groups;
  std::map<std::string, std::uint32_t, std::less<>> group_of_value;
};

class Loader {
 public:
  Loader(const PrepareOptions& options, PrepareReport& report)
      : options_(options), report_(report) {
    for (const auto* files : {&options.inputs, &options.eval_inputs})
      for (const fs::path& file : *files) {
        std::error_code unknown;  // A pipe has no size.
        const auto size = fs::file_size(file, unknown);
        if (!unknown) progress_.bytes_total += size;
      }
  }

  Loaded Load(const std::vector<fs::path>& files, const Partition& partition) {
    Loaded loaded;
    loaded.rows = MakeRows(options_.schema);
    if (options_.schema.images)
      for (std::size_t i = 0; i + 1 < files.size(); i += 2)
        LoadImages(files[i], files[i + 1], partition, loaded);
    else
      for (const fs::path& file : files) LoadFile(file, partition, loaded);
    return loaded;
  }

 private:
  void LoadFile(const fs::path& file, const Partition& partition,
                Loaded& loaded) {
    CsvReader reader(file, options_.schema.csv);
    Encoder encoder(options_.schema, reader.header(), file);
    std::optional<std::size_t> group_field;
    std::uint32_t group = 0;
    if (partition.kind == Partition::Kind::kByColumn)
      group_field = encoder.Find(partition.column);
    if (partition.kind == Partition::Kind::kByFile) {
      group = static_cast<std::uint32_t>(loaded.groups.size());
      loaded.groups.push_back(file.filename().string());
    }
    const std::uint64_t read_before = report_.read;
    std::vector<std::string_view> fields;
    while (reader.Next(fields)) {
      if (++report_.read % kRowsBetweenProgress == 0) Tell(file, reader);
      if (!Take(encoder, reader, fields, loaded.rows)) continue;
      if (group_field)
        group = Group(fields[*group_field], partition.column, loaded);
      loaded.group.push_back(group);
    }
    if (report_.read == read_before)
      throw FileError(file.string() + ": has no rows" +
                      (options_.schema.csv.header ? " below its header" : ""));
    finished_bytes_ += reader.bytes_consumed();
  }

  void LoadImages(const fs::path& file, const fs::path& labels,
                  const Partition& partition, Loaded& loaded) {
    const ImageFormat& format = *options_.schema.images;
    IdxReader reader(file, labels, format);
    std::uint32_t group = 0;
    if (partition.kind == Partition::Kind::kByFile) {
      group = static_cast<std::uint32_t>(loaded.groups.size());
      loaded.groups.push_back(file.filename().string());
    }
    if (reader.count() == 0) throw FileError(file.string() + ": has no images");
    if (loaded.rows.size() + reader.count() > UINT32_MAX)
      throw FileError(file.string() + ": more than 2^32 rows");
    std::vector<std::uint8_t> image(format.bytes());
    const std::size_t classes = options_.schema.label.classes.size();
    while (const auto label = reader.Next(image)) {
      if (++report_.read % kRowsBetweenProgress == 0) Tell(file, reader);
      if (*label >= classes) {
        Refuse(reader.Place() + ": label " + std::to_string(*label) +
               ", but the schema has classes 0 to " +
               std::to_string(classes - 1));
        continue;
      }
      // 0 and 255, the bounds of a byte, become -1 and 1.
      for (const auto byte : image)
        loaded.rows.values.push_back(static_cast<float>(byte) / 127.5F - 1);
      loaded.rows.labels.push_back(*label);
      loaded.group.push_back(group);
    }
    finished_bytes_ += reader.bytes_consumed();
  }

  void Refuse(const std::string& what) {
    if (!options_.skip_bad) throw FileError(what);
    ++report_.bad;
    if (report_.first_bad.size() < kFirstBad) report_.first_bad.push_back(what);
  }

  bool Take(Encoder& encoder, const CsvReader& reader,
            const std::vector<std::string_view>& fields, EncodedRows& rows) {
    if (rows.size() == UINT32_MAX)
      throw FileError(reader.Place() + ": more than 2^32 rows");
    try {
      if (encoder.Append(fields, rows)) return true;
      ++report_.left_out;
    } catch (const RowError& error) {
      Refuse(reader.Place() + ": " + error.what());
    }
    return false;
  }

  static std::uint32_t Group(std::string_view value, const std::string& column,
                             Loaded& loaded) {
    const auto found = loaded.group_of_value.find(value);
    if (found != loaded.group_of_value.end()) return found->second;
    if (loaded.groups.size() == kMaxGroups)
      throw std::invalid_argument("--partition by:" + column +
                                  ": more than 1000 different values");
    const auto group = static_cast<std::uint32_t>(loaded.groups.size());
    loaded.groups.push_back(column + " = " + std::string(value));
    loaded.group_of_value.emplace(value, group);
    return group;
  }

  template <typename Reader>
  void Tell(const fs::path& file, const Reader& reader) {
    if (!options_.progress) return;
    progress_.file = file;
    progress_.rows_read = report_.read;
    progress_.bytes_read = finished_bytes_ + reader.bytes_consumed();
    options_.progress(progress_);
  }

  const PrepareOptions& options_;
  PrepareReport& report_;
  Progress progress_;
  std::uint64_t finished_bytes_ = 0;
};

bool IsShardName(const std::string& name) {
  return name == "eval.safetensors" ||
         (name.starts_with("part-") && name.ends_with(".safetensors"));
}

std::vector<fs::path> ShardsIn(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> shards;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (IsShardName(entry->path().filename().string()))
      shards.push_back(entry->path());
  if (error)
    throw FileError(folder.string() +
                    ": cannot read this folder: " + error.message());
  return shards;
}

// Writes shards, and takes back what it wrote unless it is told to keep it.
class Output {
 public:
  explicit Output(const PrepareOptions& options) : options_(options) {
    std::error_code error;
    fs::create_directories(options.out, error);
    if (error)
      throw FileError(options.out.string() +
                      ": cannot create this folder: " + error.message());
    const auto old = ShardsIn(options.out);
    if (!old.empty() && !options.replace)
      throw FileError(options.out.string() + ": already holds " +
                      old.front().filename().string() +
                      ": choose another folder, or --force to replace it");
  }
  ~Output() {
    std::error_code ignored;
    for (const fs::path& file : written_) fs::remove(file, ignored);
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Only once the input was good: a typo must not cost the old shards.
  void RemoveOld() {
    for (const fs::path& file : ShardsIn(options_.out)) {
      std::error_code error;
      if (!fs::remove(file, error) && error)
        throw FileError(file.string() + ": cannot remove: " + error.message());
    }
  }

  PartReport Write(const std::string& name, const std::string& source,
                   const EncodedRows& rows,
                   const std::vector<std::uint32_t>& members) {
    if (members.empty())
      throw std::invalid_argument(
          name + ": no row is left for it" +
          (options_.schema.keep
               ? " (keep = \"" + options_.schema.keep->text() + "\")"
               : std::string()));
    const EncodedRows chosen = Choose(rows, members);
    ShardContents contents;
    contents.name = options_.schema.name;
    contents.source = source;
    contents.columns = ShardColumns(options_.schema);
    contents.label = MakeShardLabel(options_.schema);
    contents.public_size = options_.public_size.value_or(
        options_.schema.public_size.value_or(RoundPublicSize(members.size())));
    contents.codes = chosen.codes;
    contents.values = chosen.values;
    contents.labels = chosen.labels;
    PartReport report;
    report.file = options_.out / name;
    written_.push_back(report.file);
    WriteShard(report.file, contents);
    report.source = source;
    report.rows = members.size();
    report.public_size = contents.public_size;
    report.bytes = fs::file_size(report.file);
    report.class_counts.resize(contents.label.classes.size());
    if (!report.class_counts.empty())
      for (const float label : chosen.labels)
        ++report.class_counts[static_cast<std::size_t>(label)];
    return report;
  }

  void Keep() { written_.clear(); }

 private:
  static EncodedRows Choose(const EncodedRows& rows,
                            const std::vector<std::uint32_t>& members) {
    EncodedRows chosen;
    chosen.codes.reserve(members.size() * rows.code_columns);
    chosen.values.reserve(members.size() * rows.value_columns);
    chosen.labels.reserve(members.size());
    for (const std::uint32_t row : members) {
      const auto code = rows.codes.begin() +
                        static_cast<std::ptrdiff_t>(row * rows.code_columns);
      const auto value = rows.values.begin() +
                         static_cast<std::ptrdiff_t>(row * rows.value_columns);
      chosen.codes.insert(
          chosen.codes.end(), code,
          code + static_cast<std::ptrdiff_t>(rows.code_columns));
      chosen.values.insert(
          chosen.values.end(), value,
          value + static_cast<std::ptrdiff_t>(rows.value_columns));
      chosen.labels.push_back(rows.labels[row]);
    }
    return chosen;
  }

  const PrepareOptions& options_;
  std::vector<fs::path> written_;
};

// One record in two shards would be protected half as well as promised, and a
// training file declared public not at all.
void CheckFiles(const PrepareOptions& options) {
  std::set<fs::path> seen;
  for (const auto* files : {&options.inputs, &options.eval_inputs})
    for (const fs::path& file : *files) {
      std::error_code error;
      const fs::path real = fs::canonical(file, error);
      if (!error && !seen.insert(real).second)
        throw std::invalid_argument(
            file.string() +
            ": is given twice; a record must be in one shard only");
    }
}

void CheckOptions(const PrepareOptions& options) {
  if (options.inputs.empty())
    throw std::invalid_argument("no input file is given");
  if (options.shards < 0 || options.shards > kMaxShards)
    throw std::invalid_argument("--shards must be 1 to 100000");
  if (!(options.eval_fraction >= 0) || options.eval_fraction >= 1)
    throw std::invalid_argument(
        "--eval-fraction must be at least 0 and below 1");
  if (options.eval_fraction > 0 && !options.eval_inputs.empty())
    throw std::invalid_argument(
        "--eval-fraction and --eval exclude each other");
  if (options.public_size && *options.public_size < 1)
    throw std::invalid_argument("--public-size must be positive");
  if (options.schema.images) {
    for (const auto* files : {&options.inputs, &options.eval_inputs})
      if (files->size() % 2 != 0)
        throw std::invalid_argument(
            "images come in pairs of files: images, then their labels");
    if (options.partition.kind == Partition::Kind::kByColumn)
      throw std::invalid_argument("--partition by:COLUMN: images have none");
  }
  CheckFiles(options);
}

std::vector<std::uint32_t> AllOf(const EncodedRows& rows) {
  std::vector<std::uint32_t> all(rows.size());
  std::iota(all.begin(), all.end(), 0U);
  return all;
}

// Takes the evaluation's share out of `rows`.
std::vector<std::uint32_t> TakeEvaluation(double fraction,
                                          std::vector<std::uint32_t>& rows,
                                          std::mt19937_64& random) {
  std::shuffle(rows.begin(), rows.end(), random);
  const auto count = static_cast<std::ptrdiff_t>(
      std::max(1.0, fraction * static_cast<double>(rows.size())));
  std::vector<std::uint32_t> evaluation(rows.begin(), rows.begin() + count);
  rows.erase(rows.begin(), rows.begin() + count);
  std::sort(rows.begin(), rows.end());
  std::sort(evaluation.begin(), evaluation.end());
  return evaluation;
}

std::string NamesOf(const std::vector<fs::path>& files) {
  constexpr std::size_t kMost = 5;
  std::string names;
  for (std::size_t i = 0; i < std::min(kMost, files.size()); ++i)
    names += (i > 0 ? ", " : "") + files[i].filename().string();
  return files.size() > kMost ? names + ", ..." : names;
}

}  // namespace

std::int64_t RoundPublicSize(std::size_t rows) {
  std::size_t unit = 1;
  while (rows / unit >= 100) unit *= 10;
  return static_cast<std::int64_t>((rows + unit / 2) / unit * unit);
}

PrepareReport Prepare(const PrepareOptions& options) {
  CheckOptions(options);
  Output output(options);
  PrepareReport report;
  const ShardLabel label = MakeShardLabel(options.schema);
  const auto columns = ShardColumns(options.schema);
  report.classes = label.classes;
  report.fingerprint = SchemaFingerprint(columns, label);
  for (const ShardColumn& column : columns) report.features += column.width();

  Loader loader(options, report);
  const Loaded loaded = loader.Load(options.inputs, options.partition);
  std::mt19937_64 random(options.seed);
  std::vector<std::uint32_t> rows = AllOf(loaded.rows);
  if (rows.empty())
    throw FileError("no row of the input is left to train on: " +
                    std::to_string(report.left_out) +
                    " were left out by keep, " + std::to_string(report.bad) +
                    " were bad");
  std::optional<EncodedRows> eval_rows;
  if (!options.eval_inputs.empty())
    eval_rows = loader.Load(options.eval_inputs, Partition()).rows;
  std::vector<std::uint32_t> eval_members;
  if (options.eval_fraction > 0)
    eval_members = TakeEvaluation(options.eval_fraction, rows, random);
  const RowFacts facts{loaded.rows.labels,
                       static_cast<int>(label.classes.size()), loaded.group,
                       loaded.groups};
  const auto parts = MakeParts(options.partition, options.shards,
                               std::move(rows), facts, random);

  output.RemoveOld();
  if (eval_rows)
    report.eval = output.Write("eval.safetensors", NamesOf(options.eval_inputs),
                               *eval_rows, AllOf(*eval_rows));
  if (!eval_members.empty())
    report.eval = output.Write("eval.safetensors", NamesOf(options.inputs),
                               loaded.rows, eval_members);
  for (std::size_t i = 0; i < parts.size(); ++i)
    report.parts.push_back(
        output.Write("part-" + std::to_string(i) + ".safetensors",
                     parts[i].source, loaded.rows, parts[i].rows));
  output.Keep();
  return report;
}

}  // namespace hearsay::model::prep
