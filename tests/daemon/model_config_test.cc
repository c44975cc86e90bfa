// The [model] section: every layer type's keys, presets, and refusals that name
// the key, the line and the layer.
#include "daemon/model_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "model/presets.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class ModelConfigTest : public testing::Test {
 protected:
  Config::Model Load(const std::string& text) {
    std::ofstream(folder_ / "node.toml") << text;
    ConfigReader reader(folder_ / "node.toml", {});
    Config::Model model;
    ReadModel(reader, model, Layers::kRequired);
    reader.RefuseUnknown();
    return model;
  }
  std::string Error(const std::string& text) {
    try {
      Load(text);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }
  tests::TemporaryFolder folder_;
};

constexpr const char* kImage = R"([model]
input = [3, 9, 9]
[[model.layer]]
type = "conv2d"
filters = 6
kernel = [3, 2]
stride = 2
padding = [1, 0]
dilation = [1, 2]
groups = 3
[[model.layer]]
type = "sigmoid"
[[model.layer]]
type = "max_pool2d"
kernel = 2
[[model.layer]]
type = "avg_pool2d"
kernel = 2
stride = 1
padding = 1
[[model.layer]]
type = "flatten"
[[model.layer]]
units = 4
)";

TEST_F(ModelConfigTest, ReadsEveryTypeAndItsKeys) {
  const auto model = Load(kImage);
  EXPECT_EQ(model.input, (model::Shape{3, 9, 9}));
  const std::vector<model::Layer> expected = {
      model::Conv2d{.filters = 6,
                    .kernel = {3, 2},
                    .stride = {2, 2},
                    .padding = {1, 0},
                    .dilation = {1, 2},
                    .groups = 3},
      model::Activate{model::Activation::kSigmoid},
      model::MaxPool2d{.kernel = {2, 2}, .stride = {2, 2}},
      model::AvgPool2d{.kernel = {2, 2}, .stride = {1, 1}, .padding = {1, 1}},
      model::Flatten{},
      {4}};
  EXPECT_EQ(model.layers, expected);
}

constexpr const char* kBodies = R"([model]
input = [4, 6, 6]
[[model.layer]]
type = "residual"
[[model.layer.layer]]
type = "group_norm"
groups = 2
[[model.layer.layer]]
type = "residual"
projection = 1
[[model.layer.layer.layer]]
type = "conv2d"
filters = 4
kernel = 1
[[model.layer.layer]]
type = "dropout"
rate = 0.1
[[model.layer]]
type = "flatten"
[[model.layer]]
type = "layer_norm"
[[model.layer]]
units = 2
)";

TEST_F(ModelConfigTest, ReadsLayersInsideLayers) {
  const model::Conv2d conv{.filters = 4, .kernel = {1, 1}};
  const std::vector<model::Layer> expected = {
      model::Residual{
          .body = {model::GroupNorm{2},
                   model::Residual{.body = {conv}, .projection = {1, 1}},
                   model::Dropout{0.1}}},
      model::Flatten{},
      model::LayerNorm{},
      {2}};
  EXPECT_EQ(Load(kBodies).layers, expected);
}

constexpr const char* kSequence = R"([model]
[[model.layer]]
type = "embedding"
vocabulary = 20
units = 8
[[model.layer]]
type = "position_embedding"
[[model.layer]]
type = "attention"
heads = 2
mask = "causal"
[[model.layer]]
type = "sequence_mean"
[[model.layer]]
units = 2
)";
constexpr const char* kTable = R"([model]
[[model.layer]]
type = "table_embedding"
units = 3
[[model.layer]]
units = 2
)";

TEST_F(ModelConfigTest, ReadsSequencesAndTables) {
  const std::vector<model::Layer> sequence = {
      model::Embedding{.vocabulary = 20, .units = 8},
      model::PositionEmbedding{},
      model::Attention{.heads = 2, .mask = model::Mask::kCausal},
      model::SequenceMean{},
      {2}};
  EXPECT_EQ(Load(kSequence).layers, sequence);
  std::string given = kTable;
  given.replace(given.find("units = 3"), 9,
                "units = 3\ncategories = [4, 0, 2]");
  EXPECT_EQ(Load(given).layers[0],
            model::Layer(model::TableEmbedding{{4, 0, 2}, 3}));
  EXPECT_EQ(Load("[model]\ninput = [5, 2]\n[[model.layer]]\nunits = 3\n"
                 "[[model.layer]]\ntype = \"flatten\"\n")
                .input,
            (model::Shape{5, 2}));
}

// What the columns of a shard make of a model, and which they refuse.
class ColumnsTest : public ModelConfigTest {
 protected:
  model::ModelSpec SpecOfTable(const std::string& text) {
    const Config::Model model = Load(text);
    return SpecOf(model, OpenFor(model, folder_ / "shard"));
  }
  std::string Refusal(const std::string& text) {
    try {
      SpecOfTable(text);
      return "";
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
  }
  // Columns: a of three categories, b a number unless all are codes, c of two.
  void WriteShard(bool all_codes) {
    const std::vector<std::uint8_t> codes = {2, 1, 0, 1, 0, 1};
    const std::vector<float> values = {0.5F, -0.5F};
    const std::vector<float> labels = {0, 1};
    model::ShardContents contents;
    contents.name = "table";
    contents.columns.resize(3);
    contents.columns[0].name = "a";
    contents.columns[0].categories = {"x", "y", "z"};
    contents.columns[1].name = "b";
    if (all_codes) contents.columns[1].categories = {"no", "yes"};
    contents.columns[2].name = "c";
    contents.columns[2].categories = {"no", "yes"};
    contents.label.classes = {"no", "yes"};
    contents.public_size = 2;
    contents.codes = std::span(codes).first(all_codes ? 6 : 4);
    if (!all_codes) contents.values = values;
    contents.labels = labels;
    model::WriteShard(folder_ / "shard", contents);
  }
};

TEST_F(ColumnsTest, FillTheCategoriesOfATableEmbedding) {
  WriteShard(false);
  const auto spec = SpecOfTable(kTable);
  EXPECT_EQ(spec.inputs, 3);
  EXPECT_EQ(spec.layers[0], model::Layer(model::TableEmbedding{{3, 0, 2}, 3}));
  std::string given = kTable;
  given.replace(given.find("units = 3"), 9,
                "units = 3\ncategories = [3, 0, 4]");
  EXPECT_THAT(Refusal(given),
              AllOf(HasSubstr("layer 0 (table_embedding): column \"c\""),
                    HasSubstr("2 categories, not 4")));
}

TEST_F(ColumnsTest, OfNumbersAreNoCodesForAnEmbedding) {
  WriteShard(false);
  EXPECT_THAT(Refusal(kSequence),
              AllOf(HasSubstr("layer 0 (embedding): column \"b\" is a number"),
                    HasSubstr("table_embedding")));
  WriteShard(true);
  EXPECT_EQ(SpecOfTable(kSequence).inputs, 3);
  std::string small = kSequence;
  small.replace(small.find("= 20"), 4, "= 2");
  EXPECT_THAT(Refusal(small), HasSubstr("column \"a\" has 3 categories, the "
                                        "vocabulary only 2"));
}

TEST_F(ColumnsTest, AreOneHotForTheOthers) {
  WriteShard(false);
  EXPECT_EQ(SpecOfTable("[model]\n[[model.layer]]\nunits = 2\n").inputs, 6);
}

TEST_F(ModelConfigTest, WhatIsPrintedReadsBackAsTheSame) {
  for (const std::string& text :
       {std::string(kImage), std::string(kBodies), std::string(kSequence),
        std::string("[model]\npreset = \"tiny-transformer\"\n"),
        std::string("[model]\npreset = \"mnist-cnn\"\n"),
        std::string("[model]\npreset = \"wide-resnet-16-4\"\n"),
        std::string("[model]\npreset = \"mlp\"\noutputs = 7\n")}) {
    const auto model = Load(text);
    const auto again = Load("[model]\n" + ModelKeys(model));
    EXPECT_EQ(again.layers, model.layers);
    EXPECT_EQ(again.input, model.input);
    EXPECT_EQ(again.loss, model.loss);
  }
}

TEST_F(ModelConfigTest, APresetIsTheModelOfThatName) {
  const auto model =
      Load("[model]\npreset = \"mnist-cnn\"\noutputs = 47\nloss = \"mse\"\n");
  EXPECT_EQ(model.layers, model::Preset("mnist-cnn", 47).layers);
  EXPECT_EQ(model.input, (model::Shape{1, 28, 28}));
  EXPECT_EQ(model.loss, model::Loss::kMse);
}

TEST_F(ModelConfigTest, RefusalsNameTheKeyAndTheLayer) {
  const auto with = [](std::string text, const std::string& line,
                       const std::string& by) {
    const auto at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    return text.replace(at, line.size(), by);
  };
  EXPECT_THAT(Error(with(kImage, "filters = 6\n", "")),
              HasSubstr("model.layer[0].filters: this key is required"));
  EXPECT_THAT(Error(with(kImage, "groups = 3", "groups = 4")),
              AllOf(HasSubstr("layer 0 (conv2d)"), HasSubstr("4 groups")));
  EXPECT_THAT(Error(with(kImage, "kernel = [3, 2]", "kernel = [3, 2, 1]")),
              AllOf(HasSubstr("node.toml:6"), HasSubstr("[height, width]")));
  EXPECT_THAT(Error(with(kImage, "kernel = [3, 2]", "kernel = \"3\"")),
              HasSubstr("must be a whole number, or a list of them"));
  EXPECT_THAT(Error(with(kImage, "kernel = [3, 2]", "kernel = [3.5, 2]")),
              HasSubstr("must be a whole number, or a list of them"));
  EXPECT_THAT(Error(with(kImage, "padding = 1", "padding = 2")),
              HasSubstr("layer 3 (avg_pool2d)"));
  EXPECT_THAT(Error(with(kImage, "input = [3, 9, 9]", "input = [9, 9]")),
              HasSubstr("layer 0 (conv2d): needs an image"));
  EXPECT_THAT(Error(with(kImage, "input = [3, 9, 9]", "input = 9")),
              HasSubstr("model.input: must be [channels, height, width]"));
  EXPECT_THAT(Error(with(kSequence, "\"causal\"", "\"future\"")),
              AllOf(HasSubstr("model.layer[2].mask"), HasSubstr("causal")));
  EXPECT_THAT(Error(with(kImage, "input = [3, 9, 9]",
                         "input = [3, 16000000, 16000000]")),
              HasSubstr("too many"));
  EXPECT_THAT(Error(with(kImage, "[[model.layer]]\ntype = \"flatten\"\n", "")),
              AllOf(HasSubstr("layer 4 (dense)"), HasSubstr("flatten")));
  EXPECT_THAT(Error(with(kImage, "\"sigmoid\"", "\"batch_norm\"")),
              AllOf(HasSubstr("model.layer[1].type"),
                    HasSubstr("no example has a gradient of its own")));
  EXPECT_THAT(Error(with(kImage, "\"sigmoid\"", "\"sigmoid\"\nunits = 4")),
              HasSubstr("model.layer[1].units: there is no such key"));
  EXPECT_THAT(Error(with(kBodies, "filters = 4", "filters = 3")),
              AllOf(HasSubstr("layer 0 (residual)"),
                    HasSubstr("(3, 6, 6) of (4, 6, 6)")));
  EXPECT_THAT(Error(with(kBodies, "groups = 2", "groups = 3")),
              HasSubstr("layer 0 (residual): layer 0 (group_norm)"));
  EXPECT_THAT(
      Error(with(kBodies, "groups = 2", "group = 2")),
      HasSubstr("model.layer[0].layer[0].groups: this key is required"));
  EXPECT_THAT(Error(with(kBodies, "groups = 2", "groups = 2\ngroup = 1")),
              AllOf(HasSubstr("node.toml:8: model.layer[0].layer[0].group"),
                    HasSubstr("did you mean model.layer.layer.groups?")));
  EXPECT_THAT(Error(with(kBodies, "rate = 0.1", "rate = 1.5")),
              HasSubstr("1.5 is out of range"));
  EXPECT_THAT(Error(with(kBodies, "rate = 0.1", "rate = 1")),
              HasSubstr("layer 2 (dropout): rate must be"));
  std::string deep = "[model]\n";
  for (int i = 0; i < 6; ++i) {
    std::string key = "model.layer";
    for (int j = 0; j < i; ++j) key += ".layer";
    deep += "[[" + key + "]]\ntype = \"residual\"\n";
  }
  EXPECT_THAT(Error(deep), HasSubstr("at most 4 deep"));
  EXPECT_THAT(
      Error("[model]\nloss = \"mse\"\n"),
      AllOf(HasSubstr("[[model.layer]] is required"), HasSubstr("preset")));
  EXPECT_THAT(Error("[model]\npreset = \"lenet\"\n"), HasSubstr("mnist-cnn"));
  EXPECT_THAT(Error("[model]\noutputs = 3\n[[model.layer]]\nunits = 2\n"),
              HasSubstr("model.outputs: belongs to a preset"));
  EXPECT_THAT(Error("[model]\npreset = \"mlp\"\n[[model.layer]]\nunits = 2\n"),
              HasSubstr("model.preset: has layers"));
}

TEST_F(ModelConfigTest, LayersMayBeFrozenIfThereAreWeightsToKeep) {
  const std::string layers =
      "[[model.layer]]\nunits = 8\nfreeze = true\n[[model.layer]]\nunits = 2\n";
  const auto model =
      Load("[model]\nweights = \"start.safetensors\"\n" + layers);
  EXPECT_EQ(model.frozen, (std::vector<bool>{true, false}));
  EXPECT_EQ(model.weights, folder_ / "start.safetensors")
      << "from the file's own folder";
  const auto again = Load("[model]\n" + ModelKeys(model));
  EXPECT_EQ(again.frozen, model.frozen);
  EXPECT_EQ(again.weights, model.weights);
  EXPECT_THAT(Error("[model]\n" + layers),
              AllOf(HasSubstr("model.weights"), HasSubstr("freeze")));
  EXPECT_THAT(Error("[model]\n[[model.layer]]\nunits = 2\nfreeze = 1\n"),
              HasSubstr("freeze: must be true or false"));
  EXPECT_TRUE(Load("[model]\n[[model.layer]]\nunits = 2\nfreeze = false\n")
                  .frozen.empty());
}

TEST_F(ModelConfigTest, WhatHasNothingToFreezeIsNamed) {
  EXPECT_THAT(Error("[model]\nweights = \"w\"\ninput = [1, 2, 2]\n"
                    "[[model.layer]]\ntype = \"flatten\"\nfreeze = true\n"
                    "[[model.layer]]\nunits = 2\n"),
              HasSubstr("layer 0 (flatten): has no parameters to freeze"));
}

}  // namespace
}  // namespace hearsay::daemon
