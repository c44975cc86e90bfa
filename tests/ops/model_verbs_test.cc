#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dp/ledger.h"
#include "model/shard.h"
#include "model/weights_file.h"
#include "tests/ops/program.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Four rows of a numeric x and a categorical colour: three network inputs.
class ModelVerbsTest : public ::testing::Test {
 protected:
  ModelVerbsTest() { WriteShard("shard", {"no", "yes"}); }

  std::string Path(const std::string& name) const {
    return (folder_ / (name + ".safetensors")).string();
  }

  void WriteShard(const std::string& name,
                  const std::vector<std::string>& classes) {
    const std::vector<std::uint8_t> codes = {0, 1, 0, 1};
    const std::vector<float> values = {1, -1, 0.5f, -0.5f};
    const std::vector<float> labels = {1, 0, 0, 0};
    model::ShardColumn x;
    x.name = "x";
    model::ShardColumn colour;
    colour.name = "colour";
    colour.categories = {"red", "blue"};
    model::ShardLabel label;
    label.name = "answer";
    label.classes = classes;
    model::WriteShard(Path(name), {.name = "toy",
                                   .source = "nowhere",
                                   .columns = {x, colour},
                                   .label = label,
                                   .public_size = 4,
                                   .codes = codes,
                                   .values = values,
                                   .labels = labels});
  }

  // logits = (0, slope * x)
  std::string WriteModel(const std::string& name, float slope,
                         const model::ModelSpec& spec = {
                             3, {{2}}, model::Loss::kSoftmaxCrossEntropy}) {
    std::vector<float> weights(model::ParameterCount(spec));
    weights[static_cast<std::size_t>(spec.inputs)] = slope;
    model::WriteSafetensors(Path(name), model::WeightTensors(spec, weights),
                            {{model::kKindKey, model::kCheckpointKind},
                             {model::kModelKey, model::Canonical(spec)},
                             {model::kStepKey, "250"},
                             {model::kNodeKey, "a"}});
    return Path(name);
  }

  nlohmann::json Json(const std::string& arguments) {
    const tests::Outcome output = tests::HearsayLine(arguments + " -o json");
    EXPECT_EQ(output.code, 0) << output.err;
    EXPECT_EQ(output.err, "");
    return nlohmann::json::parse(output.out);
  }

  // One line on stderr, nothing on stdout.
  void ExpectRefused(const std::string& arguments, int code,
                     const ::testing::Matcher<std::string>& message) {
    const tests::Outcome output = tests::HearsayLine(arguments);
    EXPECT_EQ(output.code, code) << output.err;
    EXPECT_EQ(output.out, "");
    EXPECT_THAT(output.err, message);
    if (code == 1) {
      EXPECT_EQ(std::count(output.err.begin(), output.err.end(), '\n'), 1)
          << output.err;
    }
  }

  tests::TemporaryFolder folder_;
};

double Softplus(double z) { return std::log1p(std::exp(z)); }

// x > 0 says yes: right but for the third row.
TEST_F(ModelVerbsTest, EvalScoresEachModelAndTheirAverage) {
  const std::string good = WriteModel("good", 10);
  const std::string bad = WriteModel("bad", -10);
  const auto json = Json("eval --model " + good + " --model " + bad +
                         " --data " + Path("shard"));
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["model"],
            "hearsay-model/1 inputs=3 dense(2,none) "
            "loss=softmax_cross_entropy");
  EXPECT_EQ(json["data"]["rows"], 4);
  ASSERT_EQ(json["models"].size(), 2u);
  EXPECT_EQ(json["models"][0]["file"], good);
  EXPECT_EQ(json["models"][0]["step"], 250);
  EXPECT_EQ(json["models"][0]["accuracy"], 0.75);
  EXPECT_NEAR(json["models"][0]["loss"].get<double>(),
              (2 * Softplus(-10) + Softplus(5) + Softplus(-5)) / 4, 1e-6);
  EXPECT_EQ(json["models"][1]["accuracy"], 0.25);
  // All weights 0: both classes tie, the first is said, and the loss is ln 2.
  EXPECT_EQ(json["average"]["accuracy"], 0.75);
  EXPECT_NEAR(json["average"]["loss"].get<double>(), std::log(2), 1e-6);
}

TEST_F(ModelVerbsTest, EvalOfOneModelHasNoAverage) {
  const std::string arguments =
      "eval --model " + WriteModel("one", 1) + " --data " + Path("shard");
  EXPECT_TRUE(Json(arguments)["average"].is_null());
  const tests::Outcome table = tests::HearsayLine(arguments);
  EXPECT_EQ(table.code, 0);
  EXPECT_THAT(table.out, AllOf(HasSubstr("accuracy"), HasSubstr("0.7500"),
                               HasSubstr("250"), Not(HasSubstr("average"))));
}

TEST_F(ModelVerbsTest, EvalRefusesDifferentModelsNamingBoth) {
  const std::string small = WriteModel("small", 1);
  const std::string large = WriteModel(
      "large", 1, {3, {{8}, {2}}, model::Loss::kSoftmaxCrossEntropy});
  ExpectRefused(
      "eval --model " + small + " --model " + large + " --data " +
          Path("shard"),
      1, AllOf(HasSubstr(small), HasSubstr(large), HasSubstr("dense(8,none)")));
}

TEST_F(ModelVerbsTest, EvalRefusesDataThatDoesNotFitNamingBoth) {
  const std::string wide =
      WriteModel("wide", 1, {5, {{2}}, model::Loss::kSoftmaxCrossEntropy});
  ExpectRefused("eval --model " + wide + " --data " + Path("shard"), 1,
                AllOf(HasSubstr(wide), HasSubstr("5 inputs"),
                      HasSubstr(Path("shard")), HasSubstr("3 features")));
  const std::string three =
      WriteModel("three", 1, {3, {{3}}, model::Loss::kSoftmaxCrossEntropy});
  ExpectRefused("eval --model " + three + " --data " + Path("shard"), 1,
                AllOf(HasSubstr("3 output"), HasSubstr("2 classes")));
  // A label that is a class where the model expects a number, and otherwise.
  const std::string regression =
      WriteModel("regression", 1, {3, {{1}}, model::Loss::kMse});
  ExpectRefused("eval --model " + regression + " --data " + Path("shard"), 1,
                HasSubstr("mse"));
  WriteShard("numbers", {});
  ExpectRefused(
      "eval --model " + WriteModel("one", 1) + " --data " + Path("numbers"), 1,
      HasSubstr("numbers"));
  const auto json =
      Json("eval --model " + regression + " --data " + Path("numbers"));
  EXPECT_TRUE(json["models"][0]["accuracy"].is_null());
}

TEST_F(ModelVerbsTest, EvalGivesCodesToAModelThatTakesThem) {
  const model::Loss loss = model::Loss::kSoftmaxCrossEntropy;
  const std::string table = WriteModel(
      "table", 1, {2, {model::TableEmbedding{{0, 2}, 3}, {2}}, loss});
  EXPECT_EQ(Json("eval --model " + table + " --data " + Path("shard"))["models"]
                .size(),
            1u);
  const std::string other = WriteModel(
      "other", 1, {2, {model::TableEmbedding{{0, 5}, 3}, {2}}, loss});
  ExpectRefused("eval --model " + other + " --data " + Path("shard"), 1,
                AllOf(HasSubstr(other), HasSubstr("\"colour\""),
                      HasSubstr("2 categories, not 5")));
}

TEST_F(ModelVerbsTest, EvalExplainsBadFilesAndBadUsage) {
  const std::string model = WriteModel("model", 1);
  ExpectRefused("eval --model " + model + " --data " + Path("none"), 1,
                HasSubstr(Path("none")));
  ExpectRefused("eval --model " + Path("shard") + " --data " + Path("shard"), 1,
                HasSubstr("is a \"shard\""));
  ExpectRefused("eval --model " + model + " --data " + model, 1,
                HasSubstr(model));
  ExpectRefused("eval --model " + model, 2, HasSubstr("--data"));
  ExpectRefused("eval --model " + model + " --data x -o xml", 2,
                HasSubstr("xml"));
}

TEST_F(ModelVerbsTest, InspectDescribesAShard) {
  const auto json = Json("inspect " + Path("shard"));
  EXPECT_EQ(json["kind"], "shard");
  EXPECT_EQ(json["rows"], 4);
  EXPECT_EQ(json["features"], 3);
  EXPECT_EQ(json["columns"][0]["type"], "numeric");
  EXPECT_EQ(json["columns"][1]["categories"],
            (std::vector<std::string>{"red", "blue"}));
  EXPECT_EQ(json["label"]["classes"], (std::vector<std::string>{"no", "yes"}));
  EXPECT_THAT(
      tests::HearsayLine("inspect " + Path("shard")).out,
      AllOf(HasSubstr("2 categories\n"), HasSubstr("numeric, -1 to 1")));
}

TEST_F(ModelVerbsTest, InspectDrawsHowAShardsRowsAreSpread) {
  const auto json = Json("inspect " + Path("shard"));
  EXPECT_EQ(json["label"]["counts"], (std::vector<int>{3, 1}));
  EXPECT_EQ(json["columns"][1]["counts"], (std::vector<int>{2, 2}));
  // 1, -1, 0.5 and -0.5, in ten bins from -1 to 1; the last is closed.
  EXPECT_EQ(json["columns"][0]["counts"],
            (std::vector<int>{1, 0, 1, 0, 0, 0, 0, 1, 0, 1}));
  EXPECT_THAT(
      tests::HearsayLine("inspect " + Path("shard")).out,
      AllOf(HasSubstr("    no           3  " + std::string(40, '#') + "\n"),
            HasSubstr("    yes          1  " + std::string(14, '#') + "\n"),
            HasSubstr("    0.4 to 0.6            1  ####")));
}

TEST_F(ModelVerbsTest, InspectDescribesACheckpoint) {
  const auto json = Json("inspect " + WriteModel("model", 3));
  EXPECT_EQ(json["kind"], "checkpoint");
  EXPECT_EQ(json["parameters"], 8);
  EXPECT_EQ(json["metadata"]["hearsay.node"], "a");
  ASSERT_EQ(json["tensors"].size(), 2u);
  EXPECT_EQ(json["tensors"][0]["name"], "0.weight");
  EXPECT_EQ(json["tensors"][0]["shape"], (std::vector<int>{2, 3}));
  EXPECT_EQ(json["tensors"][0]["norm"], 3.0);
  EXPECT_THAT(tests::HearsayLine("inspect " + Path("model")).out,
              AllOf(HasSubstr("hearsay.step"), HasSubstr("0.weight")));
}

TEST_F(ModelVerbsTest, InspectDescribesALedgerByFileOrFolder) {
  {
    dp::Ledger ledger(folder_ / "ledger-a", "sha256:0123", "a@1700000000");
    ledger.Reserve({.sample_rate = 0.01, .noise_multiplier = 1.5, .steps = 64});
    ledger.Settle(4);
  }
  for (const std::string name : {"ledger-a", "ledger-a/ledger"}) {
    const auto json = Json("inspect " + (folder_ / name).string());
    EXPECT_EQ(json["kind"], "ledger");
    EXPECT_EQ(json["data_set"], "sha256:0123");
    EXPECT_EQ(json["charged_steps"], 60);
    EXPECT_EQ(json["charged"][0]["noise_multiplier"], 1.5);
    ASSERT_EQ(json["records"].size(), 2u);
    EXPECT_EQ(json["records"][1]["kind"], "settle");
  }
  EXPECT_THAT(
      tests::HearsayLine("inspect " + (folder_ / "ledger-a").string()).out,
      AllOf(HasSubstr("reserve"), HasSubstr("a@1700000000")));
}

TEST_F(ModelVerbsTest, InspectRefusesWhatIsDamagedOrStrange) {
  const auto text = (folder_ / "text").string();
  std::ofstream(text) << "once upon a time there was a file";
  ExpectRefused("inspect " + text, 1,
                AllOf(StartsWith("hearsay: " + text), HasSubstr("neither")));
  ExpectRefused("inspect " + Path("none"), 1, HasSubstr("no such file"));
  ExpectRefused("inspect " + folder_.path().string(), 1,
                HasSubstr("no such file"));

  const std::string model = WriteModel("model", 1);
  {
    std::fstream file(model, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-3, std::ios::end);
    file.put('\x55');
  }
  ExpectRefused("inspect " + model, 1,
                AllOf(HasSubstr(model), HasSubstr("damaged")));
}

TEST_F(ModelVerbsTest, InspectPrintsAPresetAsConfiguration) {
  const std::string text = tests::HearsayLine("inspect --model mnist-cnn").out;
  EXPECT_THAT(text, StartsWith("# 26010 parameters\n[model]\n"));
  EXPECT_THAT(text, HasSubstr("input = [1, 28, 28]\n"));
  EXPECT_THAT(text, HasSubstr("# to [16,14,14], 1040 parameters\n"
                              "type = \"conv2d\"\nfilters = 16\n"
                              "kernel = [8, 8]\nstride = [2, 2]\n"));
  // What is printed says the same model again.
  const auto file = (folder_ / "printed.toml").string();
  std::ofstream(file) << text;
  const auto preset = Json("inspect --model mnist-cnn");
  const auto printed = Json("inspect --model " + file);
  EXPECT_EQ(printed["description"], preset["description"]);
  EXPECT_EQ(printed["config"], preset["config"]);
  EXPECT_EQ(preset["layers"][0]["output"], (std::vector<int>{16, 14, 14}));
}

TEST_F(ModelVerbsTest, InspectPrintsLayersInsideLayers) {
  const std::string text =
      tests::HearsayLine("inspect --model wide-resnet-16-4").out;
  EXPECT_THAT(text, StartsWith("# 2751146 parameters\n[model]\n"));
  EXPECT_THAT(text,
              HasSubstr("[[model.layer]]  # to [128,16,16], 230016 parameters\n"
                        "type = \"residual\"\nprojection = [2, 2]\n"
                        "[[model.layer.layer]]  # to [128,16,16], 73856 "
                        "parameters\ntype = \"conv2d\"\n"));
  const auto file = (folder_ / "printed.toml").string();
  std::ofstream(file) << text;
  const auto preset = Json("inspect --model wide-resnet-16-4");
  EXPECT_EQ(Json("inspect --model " + file)["description"],
            preset["description"]);
  EXPECT_EQ(preset["layers"][3]["layers"][0]["type"], "conv2d");
}

TEST_F(ModelVerbsTest, InspectOfAFlatPresetLeavesTheWidthToTheData) {
  const auto json = Json("inspect --model mlp");
  EXPECT_TRUE(json["parameters"].is_null());
  EXPECT_EQ(json["layers"].size(), 3u);
}

TEST_F(ModelVerbsTest, InspectOfAnUnknownModelListsThePresets) {
  ExpectRefused("inspect --model lenet", 2,
                AllOf(HasSubstr("lenet"), HasSubstr("mnist-cnn")));
  ExpectRefused("inspect", 2, HasSubstr("--model"));
}

}  // namespace
}  // namespace hearsay::ops
