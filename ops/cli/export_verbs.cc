// export and predict: what a trained model is good for elsewhere.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>

#include "model/weights_file.h"
#include "ops/cli/evaluate.h"
#include "ops/cli/predict.h"
#include "ops/cli/verbs.h"
#include "ops/export/onnx.h"

namespace hearsay::ops {

namespace {

struct ExportFlags {
  std::string model;
  std::string weights = "live";
  std::string format;
  std::string out;
};

struct PredictFlags {
  std::string model;
  std::string weights = "live";
  std::string data;
  std::string out = "-";
};

[[noreturn]] void CannotWrite(const std::string& path, int error) {
  throw Exit(kError, fmt::format("{}: cannot write this file: {}", path,
                                 std::generic_category().message(error)));
}

// Whole or not at all: beside it first, then renamed.
void WriteWhole(const std::string& path,
                const std::function<void(std::FILE*)>& write) {
  const std::string aside = fmt::format("{}.{}.tmp", path, getpid());
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(aside.c_str(), "wbxe"), &std::fclose);
  if (!file) CannotWrite(path, errno);
  try {
    write(file.get());
    if (std::fflush(file.get()) != 0) CannotWrite(path, errno);
    if (std::fclose(file.release()) != 0) CannotWrite(path, errno);
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(aside, ignored);
    throw;
  }
  std::error_code error;
  std::filesystem::rename(aside, path, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::remove(aside, ignored);
    CannotWrite(path, error.value());
  }
}

void ExportSafetensors(const model::WeightsFile& file, const std::string& out) {
  // "format" is what PyTorch's loaders look for.
  model::Metadata metadata = {{"format", "pt"},
                              {model::kKindKey, model::kWeightsKind},
                              {model::kModelKey, model::Canonical(file.spec)}};
  const auto step = file.metadata.find(model::kStepKey);
  if (step != file.metadata.end()) metadata.insert(*step);
  model::WriteSafetensors(
      out, model::WeightTensors(file.spec, file.weights.span()), metadata);
}

void Export(const ExportFlags& flags) {
  const auto file = model::ReadWeights(flags.model, WhichOf(flags.weights));
  if (flags.format == "safetensors") {
    ExportSafetensors(file, flags.out);
    return;
  }
  std::string bytes;
  try {
    bytes = EncodeOnnx(file.spec, file.weights.span());
  } catch (const std::invalid_argument& error) {
    throw Exit(kError, fmt::format("{}: {}", flags.model, error.what()));
  }
  WriteWhole(flags.out, [&](std::FILE* out) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), out) != bytes.size())
      CannotWrite(flags.out, errno);
  });
}

void AddExport(CLI::App& app) {
  auto flags = std::make_shared<ExportFlags>();
  CLI::App* verb = app.add_subcommand(
      "export", "Write a trained model for other programs to use");
  verb->add_option("--model", flags->model, "A checkpoint or weights")
      ->required();
  AddWhich(verb, flags->weights);
  verb->add_option("--format", flags->format,
                   "safetensors (names of nn.Sequential: load_state_dict takes "
                   "it) | onnx (opset 17)")
      ->required()
      ->check(CLI::IsMember({"safetensors", "onnx"}));
  verb->add_option("--out", flags->out, "The file to write")->required();
  verb->footer(
      "The optimiser's state stays behind. Inputs are scaled and one-hot as "
      "prep made them.\n\nExample:\n  hearsay export --model "
      "run/a/state/checkpoints/step-000000000600.safetensors \\\n      "
      "--format onnx --out model.onnx");
  verb->callback([flags] { Export(*flags); });
}

void AddPredict(CLI::App& app) {
  auto flags = std::make_shared<PredictFlags>();
  CLI::App* verb = app.add_subcommand(
      "predict", "What a model says of each row of a shard, as CSV");
  verb->add_option("--model", flags->model, "A checkpoint or weights")
      ->required();
  AddWhich(verb, flags->weights);
  verb->add_option("--data", flags->data, "A shard, such as eval.safetensors")
      ->required();
  verb->add_option("--out", flags->out, "The file to write, or - for stdout")
      ->capture_default_str();
  verb->footer(
      "Columns: row, the label, the prediction, and for classes the "
      "probability of each.\nPredictions about private rows are private: "
      "epsilon covers the model, not its answers\nabout a row that you hold.");
  verb->callback([flags] {
    const auto write = [&](std::FILE* out) {
      Predict(flags->model, WhichOf(flags->weights), flags->data, out);
    };
    if (flags->out != "-") {
      WriteWhole(flags->out, write);
      return;
    }
    write(stdout);
    if (std::fflush(stdout) != 0) CannotWrite("stdout", errno);
  });
}

}  // namespace

void AddExportVerbs(CLI::App& app) {
  AddExport(app);
  AddPredict(app);
}

}  // namespace hearsay::ops
