#include "model/prep/output_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "model/prep/parallel.h"

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

constexpr const char* kFacts = "partition.json";

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

nlohmann::ordered_json Facts(const PartReport& part,
                             const std::vector<std::string>& classes) {
  nlohmann::ordered_json facts = {{"file", part.file.filename().string()},
                                  {"source", part.source},
                                  {"rows", part.rows}};
  for (std::size_t i = 0; i < classes.size(); ++i)
    facts["class_counts"][classes[i]] = part.class_counts[i];
  return facts;
}

std::string Describe(const Partition& partition) {
  switch (partition.kind) {
    case Partition::Kind::kIid:
      return "iid";
    case Partition::Kind::kQuantity:
      return "quantity";
    case Partition::Kind::kDirichlet:
      return "dirichlet";
    case Partition::Kind::kLabels:
      return "labels";
    case Partition::Kind::kByColumn:
      return "by:" + partition.column;
    case Partition::Kind::kByFile:
      return "by:file";
  }
  return "?";
}

void WritePrivately(const fs::path& path, const std::string& text) {
  const auto fail = [&](const char* what) {
    throw FileError(path.string() + ": cannot " + what + ": " +
                    std::strerror(errno));
  };
  const int file =
      open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) fail("create");
  const ssize_t wrote = write(file, text.data(), text.size());
  const bool whole = wrote == static_cast<ssize_t>(text.size());
  if (!whole && wrote >= 0) errno = ENOSPC;
  const bool synced = whole && fdatasync(file) == 0;
  const int error = errno;
  close(file);
  errno = error;
  if (!synced) fail("write");
}

}  // namespace

OutputFolder::OutputFolder(const fs::path& path, bool replace) : path_(path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error)
    throw FileError(path.string() +
                    ": cannot create this folder: " + error.message());
  const auto old = ShardsIn(path);
  if (!old.empty() && !replace)
    throw FileError(path.string() + ": already holds " +
                    old.front().filename().string() +
                    ": choose another folder, or --force to replace it");
}

OutputFolder::~OutputFolder() {
  std::error_code ignored;
  for (const fs::path& file : expected_) fs::remove(file, ignored);
}

void OutputFolder::RemoveOld(int threads) {
  auto old = ShardsIn(path_);
  old.push_back(path_ / kFacts);
  ForEach(old.size(), threads, [&](std::size_t i) {
    std::error_code error;
    if (!fs::remove(old[i], error) && error)
      throw FileError(old[i].string() + ": cannot remove: " + error.message());
  });
}

void OutputFolder::WriteFacts(const PrepareOptions& options,
                              const PrepareReport& report) {
  nlohmann::ordered_json facts = {{"schema", 1},
                                  {"partition", Describe(options.partition)},
                                  {"seed", options.seed},
                                  {"schema_fingerprint", report.fingerprint}};
  if (options.partition.alpha > 0) facts["alpha"] = options.partition.alpha;
  if (options.partition.slices > 0) facts["slices"] = options.partition.slices;
  facts["shards"] = nlohmann::ordered_json::array();
  for (const PartReport& part : report.parts)
    facts["shards"].push_back(Facts(part, report.classes));
  if (report.eval) facts["evaluation"] = Facts(*report.eval, report.classes);
  Expect(path_ / kFacts);
  // A file's name need not be UTF-8.
  WritePrivately(path_ / kFacts,
                 facts.dump(2, ' ', false,
                            nlohmann::ordered_json::error_handler_t::replace) +
                     "\n");
}

}  // namespace hearsay::model::prep
