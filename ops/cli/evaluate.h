// How good model files are on a shard: each by itself, and their average.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "model/shard.h"
#include "model/weights_file.h"

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

// Throws: Exit(kError), naming both files, if the model does not fit the rows
// or their labels.
void RequireFit(const std::string& file, const model::ModelSpec& spec,
                const std::string& data, const model::Shard& shard);

// --weights live | ema: which of a checkpoint's.
void AddWhich(CLI::App* verb, std::string& word);
model::Which WhichOf(const std::string& word);

// Requires: at least one model.
// Throws: model::FileError; Exit(kError) for models that differ from each other
// or do not fit the data, naming both.
EvaluationReport Evaluate(const std::vector<std::string>& models,
                          const std::string& data,
                          model::Which which = model::Which::kLive);

}  // namespace hearsay::ops
