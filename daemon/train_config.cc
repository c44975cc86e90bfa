#include "daemon/train_config.h"

#include <fmt/format.h>

#include <limits>
#include <stdexcept>

namespace hearsay::daemon {

namespace {

using OptimizerKind = model::OptimizerSpec::Kind;
using ScheduleKind = model::Schedule::Kind;

constexpr std::int64_t kMostSteps = std::int64_t{1} << 40;
constexpr std::int64_t kMostThreads = 256;
constexpr double kLargest = 1e12;
constexpr double kBelowOne = 0.999999;

const char* Word(OptimizerKind kind) {
  switch (kind) {
    case OptimizerKind::kAdam:
      return "adam";
    case OptimizerKind::kAdamW:
      return "adamw";
    case OptimizerKind::kSgd:
      break;
  }
  return "sgd";
}

const char* Word(ScheduleKind curve) {
  switch (curve) {
    case ScheduleKind::kCosine:
      return "cosine";
    case ScheduleKind::kStep:
      return "step";
    case ScheduleKind::kConstant:
      break;
  }
  return "constant";
}

// `given`: the key is there, and says something.
void OnlyOf(const ConfigReader& reader, bool given, bool fits, const char* key,
            const char* whose) {
  if (given && !fits)
    reader.Fail(key, fmt::format("belongs to {}; remove it", whose));
}

void ReadPrecision(ConfigReader& reader, model::Precision& precision) {
  using model::Precision;
  const auto all = {Precision::kFloat32, Precision::kTf32, Precision::kBf16};
  std::vector<std::string> words;
  for (const auto one : all) words.emplace_back(Word(one));
  const auto word = reader.Word("train.precision", words);
  for (const auto one : all)
    if (word == Word(one)) precision = one;
}

void ReadOptimizer(ConfigReader& reader, model::OptimizerSpec& spec) {
  const auto kind = reader.Word("train.optimizer", {"sgd", "adam", "adamw"});
  if (kind == "adam") spec.kind = OptimizerKind::kAdam;
  if (kind == "adamw") spec.kind = OptimizerKind::kAdamW;
  const bool sgd = spec.kind == OptimizerKind::kSgd;
  if (!sgd) spec.learning_rate = 0.001;
  Take(spec.learning_rate, reader.Number("train.learning_rate", 0, kLargest));

  Take(spec.momentum, reader.Number("train.momentum", 0, kBelowOne));
  OnlyOf(reader, spec.momentum > 0, sgd, "train.momentum",
         "optimizer = \"sgd\"");
  Take(spec.nesterov, reader.Truth("train.nesterov"));
  if (spec.nesterov && spec.momentum == 0)
    reader.Fail("train.nesterov", "needs train.momentum above 0");

  const auto beta1 = reader.Number("train.beta1", 0, kBelowOne);
  const auto beta2 = reader.Number("train.beta2", 0, kBelowOne);
  const auto epsilon = reader.Number("train.adam_epsilon", 1e-30, 1);
  const auto decay = reader.Number("train.weight_decay", 0, kBelowOne);
  const char* const adams = "optimizer = \"adam\" or \"adamw\"";
  OnlyOf(reader, beta1.has_value(), !sgd, "train.beta1", adams);
  OnlyOf(reader, beta2.has_value(), !sgd, "train.beta2", adams);
  OnlyOf(reader, epsilon.has_value(), !sgd, "train.adam_epsilon", adams);
  OnlyOf(reader, decay.has_value(), spec.kind == OptimizerKind::kAdamW,
         "train.weight_decay", "optimizer = \"adamw\"");
  Take(spec.beta1, beta1);
  Take(spec.beta2, beta2);
  Take(spec.epsilon, epsilon);
  Take(spec.weight_decay, decay);
}

void ReadSchedule(ConfigReader& reader, std::uint64_t steps,
                  model::Schedule& schedule) {
  const auto curve =
      reader.Word("train.schedule", {"constant", "cosine", "step"});
  if (curve == "cosine") schedule.kind = ScheduleKind::kCosine;
  if (curve == "step") schedule.kind = ScheduleKind::kStep;
  schedule.steps = steps;
  Take(schedule.warmup_steps,
       reader.Integer("train.warmup_steps", 0, kMostSteps));
  if (schedule.warmup_steps >= steps && schedule.warmup_steps > 0)
    reader.Fail("train.warmup_steps",
                fmt::format("must be below train.steps, {}", steps));

  const auto floor = reader.Number("train.rate_floor", 0, 1);
  const auto every = reader.Integer("train.decay_every", 1, kMostSteps);
  const auto factor = reader.Number("train.decay_factor", 1e-9, 1);
  const bool stepped = schedule.kind == ScheduleKind::kStep;
  OnlyOf(reader, floor.has_value(), schedule.kind == ScheduleKind::kCosine,
         "train.rate_floor", "schedule = \"cosine\"");
  OnlyOf(reader, every.has_value(), stepped, "train.decay_every",
         "schedule = \"step\"");
  OnlyOf(reader, factor.has_value(), stepped, "train.decay_factor",
         "schedule = \"step\"");
  if (stepped && !every)
    reader.Fail("train.decay_every",
                "this key is required by schedule = \"step\": the steps "
                "between two decays");
  Take(schedule.floor, floor);
  Take(schedule.every, every);
  Take(schedule.factor, factor);
}

template <typename T>
T Need(const ConfigReader& reader, const std::string& key,
       std::optional<T> value) {
  if (!value) reader.Fail(key, "this key is required");
  return *value;
}

}  // namespace

void ReadTrain(ConfigReader& reader, Config::Train& train, bool probe) {
  train.steps = static_cast<std::uint64_t>(Need(
      reader, "train.steps", reader.Integer("train.steps", 0, kMostSteps)));
  const auto rate = reader.Number("train.sample_rate", 0, 1);
  const auto size = reader.Integer("train.public_size", 1, kMostSteps);
  if (!probe) {
    train.sample_rate = Need(reader, "train.sample_rate", rate);
    if (train.sample_rate == 0)
      reader.Fail("train.sample_rate", "must be above 0");
    train.public_size = Need(reader, "train.public_size", size);
  }
  Take(train.physical_batch,
       reader.Integer("train.physical_batch", 1, 1 << 20));
  Take(train.threads, reader.Integer("train.threads", 1, kMostThreads));
  ReadPrecision(reader, train.precision);
  ReadOptimizer(reader, train.optimizer);
  ReadSchedule(reader, train.steps, train.optimizer.schedule);
  Take(train.ema, reader.Number("train.ema", 0, kBelowOne));
  Take(train.seed, reader.Integer("train.seed", 0,
                                  std::numeric_limits<std::int64_t>::max()));
  Take(train.throttle, reader.Number("train.throttle", 1, 1e6));
  Take(train.min_step_time, reader.Time("train.min_step_time"));
}

std::string TrainKeys(const Config::Train& train) {
  std::string text;
  const auto key = [&](const char* name, const auto& value) {
    text += fmt::format("{} = {}\n", name, value);
  };
  const auto word = [&](const char* name, const std::string& value) {
    text += fmt::format("{} = \"{}\"\n", name, value);
  };
  const auto& optimizer = train.optimizer;
  const auto& schedule = optimizer.schedule;
  key("steps", train.steps);
  key("sample_rate", train.sample_rate);
  key("public_size", train.public_size);
  key("physical_batch", train.physical_batch);
  key("threads", train.threads);
  word("precision", Word(train.precision));
  word("optimizer", Word(optimizer.kind));
  key("learning_rate", optimizer.learning_rate);
  if (optimizer.kind == OptimizerKind::kSgd) {
    key("momentum", optimizer.momentum);
    key("nesterov", optimizer.nesterov);
  } else {
    key("beta1", optimizer.beta1);
    key("beta2", optimizer.beta2);
    key("adam_epsilon", optimizer.epsilon);
  }
  if (optimizer.kind == OptimizerKind::kAdamW)
    key("weight_decay", optimizer.weight_decay);
  word("schedule", Word(schedule.kind));
  key("warmup_steps", schedule.warmup_steps);
  if (schedule.kind == ScheduleKind::kCosine) key("rate_floor", schedule.floor);
  if (schedule.kind == ScheduleKind::kStep) {
    key("decay_every", schedule.every);
    key("decay_factor", schedule.factor);
  }
  key("ema", train.ema);
  key("seed", train.seed);
  key("throttle", train.throttle);
  word("min_step_time", FormatDuration(train.min_step_time));
  return text;
}

}  // namespace hearsay::daemon
