// What `hearsay bench step` measures, as a document: training steps of a model
// on one core of this machine, or on several, private and plain in turns,
// beside the time that their matrix products take at the rate which products
// have here.
//
// Steps are the daemon's own parts (private_sum, optimizer) on rows that are
// already in memory; no ledger, no neighbours.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "model/frozen.h"
#include "model/optimizer.h"
#include "model/spec.h"

namespace hearsay::ops {

struct StepBenchModel {
  std::string name;
  model::ModelSpec spec;
  model::Frozen frozen = {};
  int batch = 1024;           // records a step
  int physical_batch = 1024;  // records at once
  int threads = 1;
  model::OptimizerSpec optimizer = {};
  double clip_norm = 1;
  double noise_multiplier = 1;
  std::filesystem::path shard = {};  // empty: rows are made up
};

// Those of the design's performance page: (i) 10-64-64-2, (ii) 784-512-256-10,
// (iii) the MNIST CNN. Throws: std::invalid_argument for other names.
StepBenchModel StepBenchModelOf(const std::string& name);
std::vector<std::string> StepBenchModelNames();

struct ProductCount {
  double flops = 0;                   // of one record in one step
  std::vector<std::string> left_out;  // layers whose products are not counted
};
// Forward, of the weights, and of the inputs where anything below is trained.
ProductCount CountProducts(const model::ModelSpec& spec,
                           const model::Frozen& frozen);

// `seconds` of each kind of step and model. `progress` hears what is next.
// Throws: model::FileError.
nlohmann::ordered_json RunStepBench(
    const std::vector<StepBenchModel>& models, double seconds,
    const std::function<void(const std::string&)>& progress);

}  // namespace hearsay::ops
