// How good model files are on a shard: each by itself, and their average.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hearsay::ops {

struct Score {
  // Absent for regression.
  std::optional<double> accuracy;
  double mean_loss = 0;
};

struct ModelScore {
  std::filesystem::path file;
  std::string kind;
  std::optional<std::int64_t> step;  // if the file says so
  Score score;
};

struct EvaluationReport {
  std::string model;  // canonical text, the same for all
  std::filesystem::path data;
  std::string data_name;
  std::int64_t rows = 0;
  std::vector<ModelScore> models;
  // The mean of all weights; absent for one model.
  std::optional<Score> average;
};

// Requires: at least one model.
// Throws: model::FileError; Exit(kError) for models that differ from each other
// or do not fit the data, naming both.
EvaluationReport Evaluate(const std::vector<std::string>& models,
                          const std::string& data);

}  // namespace hearsay::ops
