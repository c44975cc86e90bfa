// export, predict and bench step, as a user or a script meets them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "model/shard.h"
#include "model/weights_file.h"
#include "tests/ops/program.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const model::ModelSpec kClassifier{
    2, {{3, model::Activation::kTanh}, {2}}, model::Loss::kSoftmaxCrossEntropy};

class ExportVerbsTest : public ::testing::Test {
 protected:
  ExportVerbsTest() { WriteShard({"no, thanks", "yes"}, {0, 1, 1}); }

  std::string Path(const std::string& name) const {
    return (folder_ / name).string();
  }

  void WriteShard(const std::vector<std::string>& classes,
                  const std::vector<float>& labels) {
    const std::vector<float> values = {1, -1, 0.5F, 0.25F, -0.5F, 0};
    model::ShardContents contents;
    contents.name = "toy";
    contents.columns.resize(2);
    contents.columns[0].name = "x";
    contents.columns[1].name = "y";
    contents.label.name = "answer";
    contents.label.classes = classes;
    contents.label.minimum = 100;
    contents.label.maximum = 300;
    contents.public_size = 3;
    contents.values = values;
    contents.labels = labels;
    model::WriteShard(Path("shard"), contents);
  }

  // A checkpoint whose average is its weights, halved.
  std::string WriteModel(const model::ModelSpec& spec) {
    weights_.resize(model::ParameterCount(spec));
    for (std::size_t i = 0; i < weights_.size(); ++i)
      weights_[i] = std::sin(static_cast<float>(i + 1));
    std::vector<float> average = weights_;
    for (float& value : average) value /= 2;
    auto tensors = model::WeightTensors(spec, weights_);
    for (auto& tensor : model::WeightTensors(spec, average)) {
      tensor.name = model::kEmaPrefix + tensor.name;
      tensors.push_back(tensor);
    }
    model::WriteSafetensors(Path("model"), tensors,
                            {{model::kKindKey, model::kCheckpointKind},
                             {model::kModelKey, model::Canonical(spec)},
                             {model::kStepKey, "250"}});
    return Path("model");
  }

  static tests::Outcome Run(const std::string& line) {
    return tests::HearsayLine(line);
  }
  static void ExpectRefused(const std::string& line, int code,
                            const ::testing::Matcher<std::string>& message) {
    const auto outcome = Run(line);
    EXPECT_EQ(outcome.code, code) << outcome.err;
    EXPECT_EQ(outcome.out, "");
    EXPECT_THAT(outcome.err, message);
  }

  // logits of one row, by hand.
  std::vector<double> Logits(double x, double y) const {
    std::vector<double> hidden(3), logits(2);
    const auto w = [&](std::size_t i) -> double { return weights_[i]; };
    for (std::size_t u = 0; u < 3; ++u)
      hidden[u] = std::tanh(w(2 * u) * x + w(2 * u + 1) * y + w(6 + u));
    for (std::size_t o = 0; o < 2; ++o) {
      logits[o] = w(15 + o);
      for (std::size_t u = 0; u < 3; ++u)
        logits[o] += w(9 + 3 * o + u) * hidden[u];
    }
    return logits;
  }

  tests::TemporaryFolder folder_;
  std::vector<float> weights_;
};

std::vector<std::string> Lines(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_F(ExportVerbsTest, PredictSaysTheProbabilityOfEachClass) {
  const auto outcome = Run("predict --model " + WriteModel(kClassifier) +
                           " --data " + Path("shard"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = Lines(outcome.out);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], "row,answer,predicted,\"p(no, thanks)\",p(yes)");
  const auto z = Logits(0.5, 0.25);  // the second row, a yes
  const double yes = 1 / (1 + std::exp(z[0] - z[1]));
  const std::string said = yes > 0.5 ? "yes" : "\"no, thanks\"";
  ASSERT_THAT(lines[2], StartsWith("1,yes," + said + ","));
  EXPECT_NEAR(std::stod(lines[2].substr(lines[2].rfind(',') + 1)), yes, 1e-5);
  EXPECT_THAT(lines[1], StartsWith("0,\"no, thanks\","));
}

TEST_F(ExportVerbsTest, PredictSaysNumbersInTheirUnits) {
  WriteShard({}, {-1, 0, 1});
  const auto outcome =
      Run("predict --model " + WriteModel({2, {{1}}, model::Loss::kMse}) +
          " --data " + Path("shard"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = Lines(outcome.out);
  ASSERT_EQ(lines.size(), 4U);
  EXPECT_EQ(lines[0], "row,answer,predicted");
  const double scaled =
      weights_[0] * 0.5 + weights_[1] * 0.25 + static_cast<double>(weights_[2]);
  EXPECT_THAT(lines[2], StartsWith("1,200,"));
  EXPECT_NEAR(std::stod(lines[2].substr(6)), 200 + 100 * scaled, 1e-3);
  EXPECT_THAT(lines[3], StartsWith("2,300,"));
}

// One column of three categories, each with a row of its own in the table.
TEST_F(ExportVerbsTest, PredictGivesCodesToAModelThatTakesThem) {
  const std::vector<std::uint8_t> codes = {2, 0, 1, 2};
  const std::vector<float> labels = {0, 1, 1, 0};
  model::ShardContents contents;
  contents.columns.resize(1);
  contents.columns[0].name = "kind";
  contents.columns[0].categories = {"a", "b", "c"};
  contents.label.name = "answer";
  contents.label.classes = {"no", "yes"};
  contents.public_size = 4;
  contents.codes = codes;
  contents.labels = labels;
  model::WriteShard(Path("codes"), contents);
  const auto outcome = Run("predict --model " +
                           WriteModel({1,
                                       {model::TableEmbedding{{3}, 2}, {2}},
                                       model::Loss::kSoftmaxCrossEntropy}) +
                           " --data " + Path("codes"));
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto lines = Lines(outcome.out);
  ASSERT_EQ(lines.size(), 5U);
  for (std::size_t row = 0; row < codes.size(); ++row) {
    const auto w = [&](std::size_t i) -> double { return weights_[i]; };
    const std::size_t e = 2 * std::size_t{codes[row]};
    std::vector<double> z(2);
    for (std::size_t o = 0; o < 2; ++o)
      z[o] = w(6 + 2 * o) * w(e) + w(7 + 2 * o) * w(e + 1) + w(10 + o);
    const std::string& line = lines[row + 1];
    EXPECT_NEAR(std::stod(line.substr(line.rfind(',') + 1)),
                1 / (1 + std::exp(z[0] - z[1])), 1e-5)
        << line;
  }
}

TEST_F(ExportVerbsTest, PredictToAFileReplacesItWholeOrNotAtAll) {
  const std::string model = WriteModel(kClassifier);
  const std::string out = Path("p.csv");
  std::ofstream(out) << "old";
  EXPECT_EQ(Run("predict --model " + model + " --data " + Path("none") +
                " --out " + out)
                .code,
            1);
  EXPECT_EQ(tests::ReadText(out), "old");
  const std::string line =
      "predict --model " + model + " --data " + Path("shard");
  const auto outcome = Run(line + " --out " + out);
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(tests::ReadText(out), Run(line).out);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path()))
    EXPECT_NE(entry.path().extension(), ".tmp");
}

TEST_F(ExportVerbsTest, TheAverageIsReadWhereItIsAskedFor) {
  const std::string model = WriteModel(kClassifier);
  const std::string eval =
      "eval --model " + model + " --data " + Path("shard") + " -o json";
  const auto live = Run(eval).json()["models"][0]["loss"];
  EXPECT_NE(Run(eval + " --weights ema").json()["models"][0]["loss"], live);
  ASSERT_EQ(Run("export --format safetensors --weights ema --model " + model +
                " --out " + Path("average"))
                .code,
            0);
  const auto average = model::ReadWeights(Path("average"));
  EXPECT_EQ(average.weights.span()[4], weights_[4] / 2);
  EXPECT_EQ(average.file.tensors().size(), 4U) << "weights and nothing else";
  EXPECT_EQ(average.metadata.at("format"), "pt");
  EXPECT_EQ(average.metadata.at(model::kStepKey), "250");
  ExpectRefused("eval --weights ema --model " + Path("average") + " --data " +
                    Path("shard"),
                1, AllOf(HasSubstr(Path("average")), HasSubstr("train.ema")));
}

TEST_F(ExportVerbsTest, AnExportIsWhatItWasMadeFrom) {
  const std::string model = WriteModel(kClassifier);
  ASSERT_EQ(Run("export --format safetensors --model " + model + " --out " +
                Path("out.safetensors"))
                .code,
            0);
  const auto read = model::ReadWeights(Path("out.safetensors"));
  EXPECT_EQ(model::Canonical(read.spec), model::Canonical(kClassifier));
  EXPECT_TRUE(std::equal(weights_.begin(), weights_.end(),
                         read.weights.span().begin()));
  EXPECT_EQ(read.file.At("2.weight").shape, (std::vector<std::int64_t>{2, 3}));
}

// With ONNX Runtime or PyTorch on the machine, they have the last word.
TEST_F(ExportVerbsTest, OtherProgramsComputeTheSameFromAnExport) {
  const std::string model = WriteModel(kClassifier);
  for (const std::string format : {"onnx", "safetensors"})
    ASSERT_EQ(Run("export --model " + model + " --format " + format +
                  " --out " + Path("out." + format))
                  .code,
              0);
  ASSERT_EQ(Run("predict --model " + model + " --data " + Path("shard") +
                " --out " + Path("p.csv"))
                .code,
            0);
  const std::string command =
      "python3 " HEARSAY_SOURCE_DIR "/tests/oracles/check_export.py " +
      Path("out.onnx") + " " + Path("out.safetensors") + " " + Path("shard") +
      " " + Path("p.csv") + " >" + Path("said") + " 2>&1";
  const int status = WEXITSTATUS(std::system(command.c_str()));
  if (status == 77) GTEST_SKIP() << "neither onnxruntime nor torch is here";
  EXPECT_EQ(status, 0) << tests::ReadText(Path("said"));
}

TEST_F(ExportVerbsTest, BadUsageAndBadFilesAreExplained) {
  const std::string model = WriteModel(kClassifier);
  ExpectRefused("export --model " + model + " --format pickle --out x", 2,
                HasSubstr("pickle"));
  ExpectRefused("export --model " + model + " --format onnx", 2,
                HasSubstr("--out"));
  ExpectRefused("export --format onnx --out x --model " + Path("shard"), 1,
                HasSubstr("is a \"shard\""));
  ExpectRefused("export --format onnx --model " + model + " --out " +
                    Path("none/model.onnx"),
                1, AllOf(HasSubstr("none/model.onnx"), HasSubstr("cannot")));
  ExpectRefused("predict --model " +
                    WriteModel({3, {{2}}, model::Loss::kSoftmaxCrossEntropy}) +
                    " --data " + Path("shard"),
                1, AllOf(HasSubstr("3 inputs"), HasSubstr("2 features")));
  ExpectRefused("predict --weights best --model x --data y", 2,
                HasSubstr("best"));
}

TEST(BenchStepTest, MeasuresBothKindsOfStepAndTheFloor) {
  const auto outcome = tests::HearsayLine(
      "bench step --model tabular,cnn --batch 32 --seconds 0.05 -o json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = outcome.json();
  EXPECT_EQ(json["schema"], 1);
  ASSERT_EQ(json["models"].size(), 2U);
  for (const auto& model : json["models"]) {
    for (const char* kind : {"private", "plain"}) {
      const double seconds = model[kind]["seconds"]["median"];
      EXPECT_GT(seconds, 0);
      EXPECT_NEAR(model[kind]["samples_per_second"].get<double>() * seconds, 32,
                  1e-6);
    }
    const double sum = model["phases"]["load"].get<double>() +
                       model["phases"]["forward_backward"].get<double>() +
                       model["phases"]["clip_noise"].get<double>() +
                       model["phases"]["update"].get<double>();
    EXPECT_GT(sum, 0);
    EXPECT_GT(model["fraction_of_floor"], 0);
    EXPECT_NEAR(model["fraction_of_floor"].get<double>() *
                    model["private"]["seconds"]["median"].get<double>(),
                model["floor"]["seconds"].get<double>(), 1e-9);
    EXPECT_TRUE(model["floor"]["left_out"].empty());
  }
  // 2 (640 + 4096 + 128) forward, the same for weights, less the first layer's
  // for inputs; 32 records.
  EXPECT_EQ(json["models"][0]["floor"]["flops"],
            2.0 * 32 * (3 * (640 + 4096 + 128) - 640));
  EXPECT_EQ(json["models"][0]["parameters"], 4994);
}

// Of a node's file whose layers need more than rows of numbers.
TEST(BenchStepTest, StepsAModelOfCodesAndMasks) {
  const tests::TemporaryFolder folder;
  const std::vector<std::uint8_t> codes = {2, 0, 1, 2, 1, 1, 0, 2};
  const std::vector<float> labels = {0, 1, 1, 0, 1, 0, 1, 0};
  model::ShardContents contents;
  contents.columns.resize(1);
  contents.columns[0].name = "kind";
  contents.columns[0].categories = {"a", "b", "c"};
  contents.label.classes = {"no", "yes"};
  contents.public_size = 8;
  contents.codes = codes;
  contents.labels = labels;
  model::WriteShard(folder / "shard", contents);
  std::ofstream(folder / "node.toml") << R"([node]
name = "a"
state_dir = "state"
[cluster]
name = "c"
listen = "127.0.0.1:0"
[tls]
mode = "off"
[data]
train = "shard"
[[model.layer]]
type = "table_embedding"
units = 2
[[model.layer]]
type = "dropout"
rate = 0.5
[[model.layer]]
type = "dense"
units = 2
[train]
steps = 1
sample_rate = 0.5
public_size = 8
learning_rate = 0.1
[privacy]
noise_multiplier = 1.0
ledger = "ledger"
)";
  const auto outcome = tests::HearsayLine("bench step --config " +
                                          (folder / "node.toml").string() +
                                          " --seconds 0.05 -o json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.json()["models"][0]["parameters"], 3 * 2 + 2 * 2 + 2);
}

TEST(BenchStepTest, AStepAllocatesNothing) {
  const auto json =
      tests::HearsayLine("bench step --batch 16 --seconds 0.05 -o json").json();
  for (const auto& model : json["models"]) {
    if (model["allocations"].is_null())
      GTEST_SKIP() << "a sanitizer has an allocator of its own";
    EXPECT_EQ(model["allocations"], 0) << model["name"];
  }
}

TEST(BenchStepTest, BadUsageIsExplained) {
  EXPECT_EQ(tests::HearsayLine("bench step --model lenet").code, 2);
  EXPECT_EQ(tests::HearsayLine("bench step --batch 0").code, 2);
  const auto outcome = tests::HearsayLine("bench step --config none.toml");
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("none.toml"));
}

}  // namespace
}  // namespace hearsay::ops
