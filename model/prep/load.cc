#include "model/prep/load.h"

#include <xxhash.h>

#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "model/prep/csv.h"
#include "model/prep/encoder.h"
#include "model/prep/load_images.h"
#include "model/prep/load_texts.h"

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

class CsvLoad {
 public:
  CsvLoad(const LoadOptions& options, Gathering& gathering)
      : options_(options), gathering_(gathering) {
    for (const fs::path& path : options.files)
      files_.push_back(std::make_unique<File>(path));
  }

  void Run() {
    std::vector<std::jthread> helpers;
    for (int i = 1; i < options_.threads; ++i)
      helpers.emplace_back([this] { Work(); });
    Work();
  }

 private:
  struct File {
    explicit File(fs::path where) : path(std::move(where)) {}
    const fs::path path;
    std::mutex mutex;  // Of all that follows.
    std::unique_ptr<CsvBlocks> blocks;
    std::uint64_t consumed = 0;
    bool finished = false;
  };

  using Groups = std::map<std::string, std::uint32_t, std::less<>>;

  // What a block comes to.
  struct Output {
    RowBlock& block;
    BlockFacts facts;
    Groups groups;
  };

  // One thread's own.
  struct Worker {
    std::size_t file = SIZE_MAX;
    CsvBlock block;
    std::uint64_t bytes = 0;  // Of the file, on disk.
    std::size_t encoder_file = SIZE_MAX;
    std::unique_ptr<Encoder> encoder;
    std::unique_ptr<CsvCursor> cursor;
    RowBlock rows;
    std::optional<std::size_t> group_field;
  };

  void Work() {
    Worker worker;
    worker.rows.rows = MakeRows(options_.schema);
    while (Take(worker)) {
      const BlockPlace place{worker.file, worker.block.index};
      try {
        Encode(worker, place);
      } catch (...) {
        gathering_.Fail(place, std::current_exception());
      }
    }
  }

  // The next block: of the file that this thread is at; else of a new one; else
  // of one that another thread is at.
  bool Take(Worker& worker) {
    if (TakeFrom(worker.file, worker)) return true;
    for (std::size_t file = next_file_++; file < files_.size();
         file = next_file_++)
      if (TakeFrom(file, worker)) return true;
    for (std::size_t file = 0; file < files_.size(); ++file)
      if (TakeFrom(file, worker)) return true;
    return false;
  }

  bool TakeFrom(std::size_t index, Worker& worker) {
    if (index >= files_.size() || !gathering_.IsWanted(index)) return false;
    File& file = *files_[index];
    const std::lock_guard lock(file.mutex);
    if (file.finished) return false;
    try {
      if (!file.blocks)
        file.blocks = std::make_unique<CsvBlocks>(
            ByteSource(file.path), file.path, options_.schema.csv,
            options_.block_bytes);
      file.finished = !file.blocks->Next(worker.block);
      worker.bytes = file.blocks->bytes_consumed() - file.consumed;
      file.consumed += worker.bytes;
    } catch (...) {
      file.finished = true;
      gathering_.Fail({index, file.blocks ? file.blocks->index() : 0},
                      std::current_exception());
    }
    worker.file = index;
    return !file.finished;
  }

  void Encode(Worker& worker, BlockPlace place) {
    const File& file = *files_[worker.file];
    if (worker.encoder_file != worker.file) Prepare(file, worker);
    Output output{worker.rows, {}, {}};
    output.block.Clear(place);
    output.block.rows.Reserve(worker.block.lines);
    output.facts.rows.resize(gathering_.block_strata());
    CsvCursor& cursor = *worker.cursor;
    cursor.Start(worker.block);
    for (bool at_end = false; !at_end;) {
      const CsvRecords records = cursor.NextMany(file.blocks->header().size());
      if (records.size() > 0)
        Append(file, worker, records, output);
      else
        at_end = !RefuseNext(file, worker, output.facts.counts);
    }
    output.block.rows.Trim();
    const std::uint64_t read = output.facts.counts.read;
    gathering_.Add(output.block, std::move(output.facts));
    options_.progress.Advance(file.path, read, worker.bytes);
  }

  // For the records of this file; its header is known from here on.
  void Prepare(const File& file, Worker& worker) {
    worker.encoder_file = SIZE_MAX;
    worker.encoder = std::make_unique<Encoder>(
        options_.schema, file.blocks->header(), file.path);
    worker.cursor = std::make_unique<CsvCursor>(options_.schema.csv);
    worker.group_field.reset();
    if (options_.partition.kind == Partition::Kind::kByColumn)
      worker.group_field = worker.encoder->Find(options_.partition.column);
    worker.encoder_file = worker.file;
  }

  void Append(const File& file, const Worker& worker, const CsvRecords& records,
              Output& output) {
    EncodedRows& rows = output.block.rows;
    LoadCounts& counts = output.facts.counts;
    std::size_t row = rows.size;
    const auto verdicts = worker.encoder->Append(records, rows);
    counts.read += records.size();
    for (std::size_t i = 0; i < records.size(); ++i)
      switch (verdicts[i].outcome) {
        case Verdict::Outcome::kTaken:
          Note(worker, records, i, rows.labels[row++], output);
          break;
        case Verdict::Outcome::kLeftOut:
          ++counts.left_out;
          break;
        case Verdict::Outcome::kDropped:
          ++counts.dropped;
          break;
        case Verdict::Outcome::kBad:
          Refuse(*verdicts[i].error, counts, [&] {
            return Place(file, worker.cursor->LineOf(records.records[i]));
          });
      }
  }

  // What is kept of a row beside its codes and values.
  void Note(const Worker& worker, const CsvRecords& records, std::size_t record,
            float label, Output& output) const {
    std::uint32_t group = 0;
    if (worker.group_field) {
      group = GroupOf(records.fields_of(record)[*worker.group_field],
                      output.groups, output.facts);
      output.block.groups.push_back(group);
    }
    ++output.facts.rows[gathering_.StratumOf(label, group)];
    if (options_.hashes)
      output.block.hashes.push_back(Hash(records.records[record]));
  }

  // A record that no encoder takes; false: there is none, the block ends.
  bool RefuseNext(const File& file, const Worker& worker,
                  LoadCounts& counts) const {
    CsvCursor& cursor = *worker.cursor;
    const CsvCursor::Step step = cursor.Next();
    if (step == CsvCursor::Step::kEnd) return false;
    if (step == CsvCursor::Step::kUnterminated)
      throw FileError(PlaceInLine(file, cursor) + Describe(step));
    ++counts.read;
    if (step == CsvCursor::Step::kBroken)
      Refuse(RowError(RowFault::kQuotes, Describe(step)), counts,
             [&] { return PlaceInLine(file, cursor); });
    else
      Refuse(worker.encoder->WrongWidth(cursor.fields().size()), counts,
             [&] { return Place(file, cursor.line()); });
    return true;
  }

  // `place`: says where the record is, for those that are shown.
  template <typename Place>
  void Refuse(const RowError& error, LoadCounts& counts,
              const Place& place) const {
    std::string what;
    if (options_.strict || counts.first_bad.size() < kFirstBad)
      what = place() + error.what();
    if (options_.strict) throw FileError(what);
    counts.Refuse(error.fault(), what);
  }

  static std::string Place(const File& file, std::uint64_t line) {
    return file.path.string() + ":" + std::to_string(line) + ": ";
  }
  static std::string PlaceInLine(const File& file, CsvCursor& cursor) {
    return file.path.string() + ":" + std::to_string(cursor.line()) + ":" +
           std::to_string(cursor.column()) + ": ";
  }

  std::uint32_t GroupOf(std::string_view value, Groups& groups,
                        BlockFacts& facts) const {
    const auto found = groups.find(value);
    if (found != groups.end()) return found->second;
    if (groups.size() == kMaxGroups) FailGroups(options_.partition.column);
    const auto group = static_cast<std::uint32_t>(groups.size());
    groups.emplace(value, group);
    facts.groups.emplace_back(value);
    facts.rows.push_back(0);
    return group;
  }

  static std::uint64_t Hash(std::string_view record) {
    if (record.ends_with('\n')) record.remove_suffix(1);
    if (record.ends_with('\r')) record.remove_suffix(1);
    return XXH3_64bits(record.data(), record.size());
  }

  const LoadOptions& options_;
  Gathering& gathering_;
  std::vector<std::unique_ptr<File>> files_;
  std::atomic<std::size_t> next_file_ = 0;
};

}  // namespace

Loaded Load(const LoadOptions& options, RowStore& store) {
  std::vector<fs::path> sources = options.files;
  if (options.schema.images) {
    sources.clear();
    for (const ImageFiles& files : PairImages(options.files))
      sources.push_back(files.images);
  }
  Gathering gathering(options.partition, options.schema.label.classes.size(),
                      sources, store);
  if (options.schema.images)
    LoadImages(options, gathering);
  else if (options.schema.text)
    LoadTexts(options, gathering);
  else
    CsvLoad(options, gathering).Run();
  return gathering.Finish();
}

}  // namespace hearsay::model::prep
