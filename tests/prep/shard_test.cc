#include "model/shard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>
#include <string>
#include <thread>

#include "tests/support/temporary_folder.h"

namespace hearsay::model {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tests::TemporaryFolder;

std::string ShardErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

ShardColumn Categorical(const std::string& name,
                        std::vector<std::string> categories) {
  ShardColumn column;
  column.name = name;
  column.categories = std::move(categories);
  return column;
}

ShardColumn Numeric(const std::string& name, double minimum, double maximum) {
  ShardColumn column;
  column.name = name;
  column.minimum = minimum;
  column.maximum = maximum;
  return column;
}

// Three rows; categorical and numeric columns interleaved on purpose.
struct Small {
  std::vector<std::uint8_t> codes = {2, 0, 1, 1, 0, 1};
  std::vector<float> values = {-1.0F, 0.5F, 0.25F};
  std::vector<float> labels = {0, 1, 2};

  ShardContents Contents() const {
    ShardContents contents;
    contents.name = "small";
    contents.source = "hand";
    contents.columns = {Categorical("c", {"x", "y", "z"}), Numeric("v", 0, 10),
                        Categorical("d", {"no", "yes"})};
    contents.label.name = "kind";
    contents.label.description = "what it is";
    contents.label.classes = {"a", "b", "c"};
    contents.public_size = 3;
    contents.codes = codes;
    contents.values = values;
    contents.labels = labels;
    return contents;
  }
};

TEST(ShardTest, GivesCodesAsTheyAreToWhoAsksForThem) {
  const TemporaryFolder folder;
  WriteShard(folder / "s", Small().Contents());
  const Shard shard = Shard::Open(folder / "s", Encoding::kCodes);
  EXPECT_EQ(shard.features(), 3);
  EXPECT_EQ(shard.schema_fingerprint(),
            Shard::Open(folder / "s").schema_fingerprint());
  std::vector<float> features(2 * 3, 99.0F);
  std::vector<float> labels(2, 99.0F);
  const std::vector<std::uint32_t> rows = {2, 0};
  shard.Gather(rows, features, labels);
  EXPECT_THAT(features, ElementsAre(0, 0.25F, 1, 2, -1.0F, 0));
  EXPECT_THAT(labels, ElementsAre(2, 0));
}

TEST(ShardTest, ExpandsRowsInTheOrderOfTheSchema) {
  const TemporaryFolder folder;
  WriteShard(folder / "s", Small().Contents());
  const Shard shard = Shard::Open(folder / "s");
  EXPECT_EQ(shard.rows(), 3U);
  EXPECT_EQ(shard.features(), 6);
  EXPECT_EQ(shard.classes(), 3);
  EXPECT_EQ(shard.public_size(), 3);
  EXPECT_EQ(shard.name(), "small");
  EXPECT_EQ(shard.source(), "hand");
  EXPECT_EQ(shard.label().description, "what it is");
  EXPECT_EQ(shard.columns()[1].maximum, 10);

  // Stale memory must not shine through.
  std::vector<float> features(4 * 6, 99.0F);
  std::vector<float> labels(4, 99.0F);
  const std::vector<std::uint32_t> rows = {2, 0, 1, 2};
  shard.Gather(rows, features, labels);
  EXPECT_THAT(features, ElementsAre(1, 0, 0, 0.25F, 0, 1,    // row 2
                                    0, 0, 1, -1.0F, 1, 0,    // row 0
                                    0, 1, 0, 0.5F, 0, 1,     // row 1
                                    1, 0, 0, 0.25F, 0, 1));  // row 2
  EXPECT_THAT(labels, ElementsAre(2, 0, 1, 2));
}

TEST(ShardTest, GathersNothingForAnEmptyBatch) {
  const TemporaryFolder folder;
  WriteShard(folder / "s", Small().Contents());
  EXPECT_NO_THROW(Shard::Open(folder / "s").Gather({}, {}, {}));
}

TEST(ShardTest, CanBeReadByManyThreadsAndOutlivesItsMove) {
  const TemporaryFolder folder;
  WriteShard(folder / "s", Small().Contents());
  Shard first = Shard::Open(folder / "s");
  const Shard shard = std::move(first);
  std::vector<std::jthread> readers;
  for (int t = 0; t < 4; ++t)
    readers.emplace_back([&shard] {
      std::vector<float> features(6);
      std::vector<float> label(1);
      const std::vector<std::uint32_t> row = {1};
      for (int i = 0; i < 1000; ++i) {
        shard.Gather(row, features, label);
        ASSERT_EQ(features[3], 0.5F);
      }
    });
}

TEST(ShardTest, ColumnsOfOneKindNeedNoTensorForTheOther) {
  const TemporaryFolder folder;
  const std::vector<float> two = {0.0F, 1.0F};
  const std::vector<std::uint8_t> codes = {0, 1};
  ShardContents contents;
  contents.columns = {Numeric("v", 0, 1)};
  contents.label.classes = {"a", "b"};
  contents.public_size = 2;
  contents.values = two;
  contents.labels = two;
  WriteShard(folder / "v", contents);
  EXPECT_EQ(Shard::Open(folder / "v").features(), 1);
  contents.columns = {Categorical("c", {"x", "y"})};
  contents.values = {};
  contents.codes = codes;
  WriteShard(folder / "c", contents);
  EXPECT_EQ(Shard::Open(folder / "c").features(), 2);
}

// Rows of a byte of codes and less, and of more than the writer copies by a
// size that it knows; buffers of some rows, and of less than one.
TEST(ShardTest, PickedRowsAreWrittenAsTheSameRowsSideBySide) {
  const TemporaryFolder folder;
  constexpr std::size_t kRows = 100;
  const std::vector<std::uint32_t> picked = {3, 4, 17, 18, 19, 50, 98, 99};
  std::mt19937_64 random(4);
  for (const std::size_t width : {0, 1, 3, 6, 16, 17, 64, 65, 200})
    for (const std::size_t buffer_bytes : {1, 100, 3000, 1 << 18}) {
      SCOPED_TRACE(testing::Message() << width << " " << buffer_bytes);
      ShardContents head;
      head.name = "picked";
      head.label.name = "kind";
      head.label.classes = {"a", "b"};
      head.public_size = 10;
      for (std::size_t i = 0; i < width; ++i) {
        head.columns.push_back(
            Categorical("c" + std::to_string(i), {"x", "y", "z"}));
        head.columns.push_back(Numeric("v" + std::to_string(i), 0, 1));
      }
      if (width == 0) head.columns.push_back(Numeric("only", 0, 1));
      const std::size_t value_width = std::max<std::size_t>(width, 1);
      std::vector<std::uint8_t> codes(kRows * width);
      std::vector<float> values(kRows * value_width);
      std::vector<float> labels(kRows);
      for (auto& code : codes) code = static_cast<std::uint8_t>(random() % 3);
      for (auto& value : values) value = static_cast<float>(random() % 100);
      for (auto& label : labels) label = static_cast<float>(random() % 2);
      ShardContents side_by_side = head;
      std::vector<std::uint8_t> picked_codes;
      std::vector<float> picked_values;
      std::vector<float> picked_labels;
      for (const std::uint32_t row : picked) {
        for (std::size_t i = 0; i < width; ++i)
          picked_codes.push_back(codes[row * width + i]);
        for (std::size_t i = 0; i < value_width; ++i)
          picked_values.push_back(values[row * value_width + i]);
        picked_labels.push_back(labels[row]);
      }
      side_by_side.codes = picked_codes;
      side_by_side.values = picked_values;
      side_by_side.labels = picked_labels;
      WriteShard(folder / "expected", side_by_side);
      ShardWriter writer(folder / "found", head, picked.size(), buffer_bytes);
      writer.Append(codes, values, labels, picked);
      writer.Commit();
      EXPECT_EQ(Shard::Open(folder / "found").content_hash(),
                Shard::Open(folder / "expected").content_hash());
    }
}

TEST(ShardTest, WhatIsNotCompleteIsNeverThere) {
  const TemporaryFolder folder;
  ShardContents head;
  head.columns = {Numeric("v", 0, 1)};
  head.label.name = "price";
  head.label.maximum = 1;
  head.public_size = 2;
  const std::vector<float> one = {0.5F};
  {
    ShardWriter writer(folder / "part", head, 2);
    writer.Append({}, one, one);
    EXPECT_THROW(writer.Complete(), std::invalid_argument);
    EXPECT_THROW(writer.Commit(), std::invalid_argument);
    EXPECT_FALSE(std::filesystem::exists(folder / "part"));
    writer.Append({}, one, one);
    writer.Complete();
    EXPECT_FALSE(std::filesystem::exists(folder / "part"));
    EXPECT_THROW(writer.Append({}, std::vector<float>(1 << 18, 0.5F),
                               std::vector<float>(1 << 18, 0.5F)),
                 std::invalid_argument);
    writer.Commit();
  }
  EXPECT_EQ(Shard::Open(folder / "part").rows(), 2U);
}

TEST(ShardTest, RegressionKeepsItsLabelsAndBounds) {
  const TemporaryFolder folder;
  const std::vector<float> labels = {-0.5F, 0.125F};
  ShardContents contents;
  contents.columns = {Numeric("v", 0, 1)};
  contents.label.name = "price";
  contents.label.minimum = 10;
  contents.label.maximum = 30;
  contents.public_size = 2;
  contents.values = labels;
  contents.labels = labels;
  WriteShard(folder / "s", contents);
  const Shard shard = Shard::Open(folder / "s");
  EXPECT_EQ(shard.classes(), 0);
  EXPECT_EQ(shard.label().maximum, 30);
}

TEST(ShardTest, HashNamesTheRowsAndNothingElse) {
  const TemporaryFolder folder;
  Small small;
  const auto hash = [&](const ShardContents& contents) {
    WriteShard(folder / "s", contents);
    return Shard::Open(folder / "s").content_hash();
  };
  const std::string original = hash(small.Contents());
  ShardContents renamed = small.Contents();
  renamed.source = "elsewhere";
  renamed.public_size = 100;
  EXPECT_EQ(hash(renamed), original);
  small.labels[0] = 1;
  EXPECT_NE(hash(small.Contents()), original);
  small = Small();
  small.codes[5] = 0;
  EXPECT_NE(hash(small.Contents()), original);
  small = Small();
  small.values[1] = 0.51F;
  EXPECT_NE(hash(small.Contents()), original);
}

// What rows were released for names the data set as much as the rows do, so no
// ledger of theirs can be without it; what a column means stays the same.
TEST(ShardTest, ChargesTravelWithTheRows) {
  const TemporaryFolder folder;
  const Small small;
  ShardContents contents = small.Contents();
  WriteShard(folder / "s", contents);
  const Shard plain = Shard::Open(folder / "s");
  EXPECT_TRUE(plain.charges().empty());
  contents.charges = {{"5d90", 12.5, 1}, {"77", 0.1, 3}};
  contents.statistics = R"({"columns":[]})";
  WriteShard(folder / "t", contents);
  const Shard shard = Shard::Open(folder / "t");
  EXPECT_EQ(shard.charges(), contents.charges);
  EXPECT_EQ(shard.statistics(), contents.statistics);
  EXPECT_EQ(shard.schema_fingerprint(), plain.schema_fingerprint());
  EXPECT_NE(shard.content_hash(), plain.content_hash());
  contents.charges[1].releases = 2;
  WriteShard(folder / "u", contents);
  EXPECT_NE(Shard::Open(folder / "u").content_hash(), shard.content_hash());
}

TEST(ShardTest, ChargesThatGotLostAreMissed) {
  const TemporaryFolder folder;
  const Small small;
  ShardContents contents = small.Contents();
  contents.charges = {{"5d90", 12.5, 1}};
  WriteShard(folder / "s", contents);
  const auto file = SafetensorsFile::Open(folder / "s");
  const auto rewrite = [&](const auto& change) {
    auto metadata = file.metadata();
    change(metadata);
    WriteSafetensors(folder / "t", file.tensors(), metadata);
    return [&] { Shard::Open(folder / "t"); };
  };
  EXPECT_THAT(rewrite([](auto& all) { all.erase("hearsay.charges"); }),
              ::testing::ThrowsMessage<FileError>(HasSubstr("got lost")));
  for (const char* wrong :
       {"", "[]", "{}", "[{}]",
        R"([{"id":"a","noise_multiplier":1,"releases":0}])",
        R"([{"id":"a","noise_multiplier":0,"releases":1}])",
        R"([{"id":"a","noise_multiplier":1,"releases":-1}])",
        R"([{"id":"","noise_multiplier":1,"releases":1}])"})
    EXPECT_THAT(rewrite([&](auto& all) { all["hearsay.charges"] = wrong; }),
                ::testing::ThrowsMessage<FileError>(HasSubstr("malformed")))
        << wrong;
}

TEST(ShardTest, FingerprintFollowsMeaningNotWording) {
  const Small small;
  const ShardContents a = small.Contents();
  const auto of = [](const ShardContents& c) {
    return SchemaFingerprint(c.columns, c.label);
  };
  ShardContents b = a;
  b.label.description = "other words";
  EXPECT_EQ(of(b), of(a));
  b = a;
  b.columns[0].categories[1] = "Y";
  EXPECT_NE(of(b), of(a));
  b = a;
  b.columns[1].maximum = 11;
  EXPECT_NE(of(b), of(a));
  b = a;
  std::swap(b.columns[0], b.columns[1]);
  EXPECT_NE(of(b), of(a));
  b = a;
  std::swap(b.label.classes[0], b.label.classes[1]);
  EXPECT_NE(of(b), of(a));
  b = a;
  b.label.name = "other";
  EXPECT_NE(of(b), of(a));
}

TEST(ShardTest, RefusesToWriteRowsThatNoReaderWouldAccept) {
  const TemporaryFolder folder;
  const auto write = [&](const ShardContents& contents) {
    return ShardErrorOf([&] { WriteShard(folder / "s", contents); });
  };
  const Small whole;
  Small small;
  small.codes[2] = 3;
  EXPECT_THAT(write(small.Contents()),
              HasSubstr("row 1: code 3 of column c is not below 3"));
  for (const float bad : {std::nanf(""), HUGE_VALF}) {
    small = Small();
    small.values[2] = bad;
    EXPECT_THAT(write(small.Contents()),
                HasSubstr("row 2: the value of column v is not finite"));
    small = Small();
    small.labels[0] = bad;
    EXPECT_THAT(write(small.Contents()), HasSubstr("row 0: the label"));
  }
  for (const float bad : {-1.0F, 0.5F, 3.0F}) {
    small = Small();
    small.labels[1] = bad;
    EXPECT_THAT(write(small.Contents()), HasSubstr("not a class index"));
  }
  ShardContents contents = whole.Contents();
  contents.labels = {};
  contents.codes = {};
  contents.values = {};
  EXPECT_THAT(write(contents), HasSubstr("has no rows"));
  contents = whole.Contents();
  contents.values = contents.values.first(2);
  EXPECT_THAT(write(contents), HasSubstr("rows and columns"));
  contents = whole.Contents();
  contents.public_size = 0;
  EXPECT_THAT(write(contents), HasSubstr("public size"));
  contents = whole.Contents();
  contents.columns[2].name = "c";
  EXPECT_THAT(write(contents), HasSubstr("two columns are called c"));
  contents = whole.Contents();
  contents.columns[0].categories.assign(256, "x");
  EXPECT_THAT(write(contents), HasSubstr("at most 255"));
  EXPECT_FALSE(std::filesystem::exists(folder / "s"));
}

// Whole safetensors files with a right checksum that are not good shards.
class ForgedShardTest : public testing::Test {
 protected:
  ForgedShardTest() {
    WriteShard(folder_ / "good", small_.Contents());
    const auto file = SafetensorsFile::Open(folder_ / "good");
    metadata_ = file.metadata();
    tensors_ = {{"codes", DType::kU8, {3, 2}, Bytes(small_.codes)},
                {"values", DType::kF32, {3, 1}, Bytes(small_.values)},
                {"labels", DType::kF32, {3}, Bytes(small_.labels)}};
  }
  template <typename T>
  static std::span<const std::byte> Bytes(const std::vector<T>& values) {
    return std::as_bytes(std::span(values));
  }
  std::string Error() {
    WriteSafetensors(folder_ / "forged", tensors_, metadata_);
    return ShardErrorOf([&] { (void)Shard::Open(folder_ / "forged"); });
  }

  TemporaryFolder folder_;
  Small small_;
  Metadata metadata_;
  std::vector<Tensor> tensors_;
};

TEST_F(ForgedShardTest, IsAcceptedAsLongAsNothingIsWrong) {
  EXPECT_EQ(Error(), "no error");
}

TEST_F(ForgedShardTest, IsRefusedWithoutItsMetadata) {
  for (const char* key :
       {"hearsay.kind", "hearsay.name", "hearsay.schema",
        "hearsay.schema_fingerprint", "hearsay.public_size"}) {
    const Metadata whole = metadata_;
    metadata_.erase(key);
    EXPECT_THAT(Error(), HasSubstr(key));
    metadata_ = whole;
  }
}

TEST_F(ForgedShardTest, IsRefusedIfItsMetadataContradictsItself) {
  const Metadata whole = metadata_;
  metadata_["hearsay.kind"] = "checkpoint";
  EXPECT_THAT(Error(), HasSubstr("not a shard but a checkpoint"));
  for (const char* size : {"0", "-3", "12x", "", "99999999999999999999"}) {
    metadata_ = whole;
    metadata_["hearsay.public_size"] = size;
    EXPECT_THAT(Error(), HasSubstr("not a positive number"));
  }
  for (const char* schema :
       {"{", "[]", "{}", R"({"columns":[],"label":{}})",
        R"({"columns":[{"name":1}],"label":{"name":"l","classes":[]}})",
        R"({"columns":[{"name":"c","kind":"categorical","categories":[]}],)"
        R"("label":{"name":"l","classes":["a","b"]}})"}) {
    metadata_ = whole;
    metadata_["hearsay.schema"] = schema;
    EXPECT_THAT(Error(), HasSubstr("malformed")) << schema;
  }
  metadata_ = whole;
  metadata_["hearsay.schema_fingerprint"][0] ^= 1;
  EXPECT_THAT(Error(), HasSubstr("fingerprint"));
}

TEST_F(ForgedShardTest, IsRefusedIfItsTensorsDoNotFitTheSchema) {
  const auto whole = tensors_;
  tensors_.pop_back();
  EXPECT_THAT(Error(), HasSubstr("no tensor \"labels\""));
  tensors_ = whole;
  tensors_.erase(tensors_.begin());
  EXPECT_THAT(Error(), HasSubstr("rows and columns of the schema"));
  tensors_ = whole;
  tensors_[0].shape = {2, 3};
  EXPECT_THAT(Error(), HasSubstr("tensor codes has shape [2,3]"));
  tensors_ = whole;
  tensors_[1] = {"values", DType::kI32, {3, 1}, tensors_[1].bytes};
  EXPECT_THAT(Error(), HasSubstr("not F32"));
  tensors_ = whole;
  small_.codes[1] = 2;
  EXPECT_THAT(Error(), HasSubstr("row 0: code 2 of column d"));
  small_.codes[1] = 0;
  small_.labels[2] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(Error(), HasSubstr("row 2: the label"));
}

TEST_F(ForgedShardTest, IsRefusedWithoutAChecksum) {
  const std::string header =
      R"({"labels":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}})";
  std::string bytes(8, '\0');
  bytes[0] = static_cast<char>(header.size());
  FILE* file = std::fopen((folder_ / "foreign").c_str(), "wb");
  std::fwrite((bytes + header).data(), 1, 8 + header.size(), file);
  std::fclose(file);
  EXPECT_THAT(ShardErrorOf([&] { (void)Shard::Open(folder_ / "foreign"); }),
              HasSubstr("no checksum"));
}

}  // namespace
}  // namespace hearsay::model
