// Images in IDX: what is read, and everything that such a file can have wrong.
#include "model/prep/idx.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "model/prep/prepare.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kSchema = R"(
name = "dots"
[images]
channels = 1
height = 2
width = 3
[label]
name = "dot"
classes = ["none", "one", "two"]
)";

std::string Head(int type, std::initializer_list<unsigned> extents) {
  std::string bytes("\0\0", 2);
  bytes += static_cast<char>(type);
  bytes += static_cast<char>(extents.size());
  for (const unsigned extent : extents)
    for (int shift = 24; shift >= 0; shift -= 8)
      bytes += static_cast<char>(extent >> shift & 0xff);
  return bytes;
}

class IdxTest : public testing::Test {
 protected:
  fs::path Write(const std::string& name, const std::string& bytes) {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  // Two images of 2 x 3, and their labels.
  fs::path Images(const std::string& bytes = std::string("\0\x33\xff"
                                                         "abc"
                                                         "defghi",
                                                         12)) {
    return Write("images", Head(8, {2, 2, 3}) + bytes);
  }
  fs::path Labels(const std::string& bytes = std::string("\2\0", 2)) {
    return Write("labels", Head(8, {2}) + bytes);
  }
  PrepareOptions Options(const fs::path& images, const fs::path& labels) {
    PrepareOptions options;
    options.schema = ParseSchema(kSchema, "s.toml");
    options.strict = true;
    options.inputs = {images, labels};
    options.out = folder_ / "out";
    options.shards = 1;
    return options;
  }
  std::string Error(const PrepareOptions& options) {
    try {
      Prepare(options);
    } catch (const std::exception& error) {
      EXPECT_FALSE(fs::exists(options.out / "part-0.safetensors"));
      return error.what();
    }
    return "no error";
  }
  std::string Error(const fs::path& images, const fs::path& labels) {
    return Error(Options(images, labels));
  }

  tests::TemporaryFolder folder_;
};

TEST_F(IdxTest, BytesBecomeNumbersAndLabelsClasses) {
  const auto report = Prepare(Options(Images(), Labels()));
  EXPECT_EQ(report.counts.read, 2U);
  EXPECT_EQ(report.features, 6);
  EXPECT_THAT(report.parts[0].class_counts, ElementsAre(1, 0, 1));
  const Shard shard = Shard::Open(report.parts[0].file);
  std::vector<float> features(12), labels(2);
  const std::vector<std::uint32_t> rows = {0, 1};
  shard.Gather(rows, features, labels);
  const std::size_t first = labels[0] == 2 ? 0 : 6;
  EXPECT_EQ(features[first], -1);
  EXPECT_NEAR(features[first + 1], 0x33 / 127.5 - 1, 1e-7);
  EXPECT_EQ(features[first + 2], 1);
  EXPECT_EQ(shard.classes(), 3);
}

TEST_F(IdxTest, OneChannelMayBeWritten) {
  const auto images =
      Write("four", Head(8, {2, 1, 2, 3}) + std::string(12, 'x'));
  EXPECT_EQ(Prepare(Options(images, Labels())).counts.read, 2U);
}

TEST_F(IdxTest, SaysWhatIsWrongWithAFile) {
  const auto images = Images();
  const auto labels = Labels();
  EXPECT_THAT(Error(Write("csv", "a,b\n1,2\n"), labels),
              HasSubstr("csv: is not IDX"));
  EXPECT_THAT(Error(Write("empty", ""), labels), HasSubstr("is not IDX"));
  EXPECT_THAT(Error(Write("floats", Head(13, {2, 2, 3})), labels),
              HasSubstr("only unsigned bytes"));
  EXPECT_THAT(Error(Write("cut", Head(8, {2, 2, 3}).substr(0, 9)), labels),
              HasSubstr("ends within its header"));
  EXPECT_THAT(
      Error(Write("large", Head(8, {2, 3, 3}) + std::string(18, 'x')), labels),
      HasSubstr("images are 1 x 2 x 3"));
  EXPECT_THAT(Error(labels, images), HasSubstr("images come first"));
  EXPECT_THAT(Error(images, Write("more", Head(8, {3}) + "abc")),
              HasSubstr("has 3 labels for the 2 images"));
  EXPECT_THAT(Error(images, Images("abcdefabcdef")),
              HasSubstr("is given twice"));
  EXPECT_THAT(Error(Images("abcdefabcde"), labels),
              HasSubstr("ends after 1 of 2 records"));
  EXPECT_THAT(Error(Images("abcdefabcdefg"), labels),
              HasSubstr("goes on after the last record"));
  EXPECT_THAT(Error(Images(), Labels("\1")), HasSubstr("ends after 1 of 2"));
  EXPECT_THAT(
      Error(Write("none", Head(8, {0, 2, 3})), Write("no", Head(8, {0}))),
      HasSubstr("has no images"));
  // A count that no file has must not be believed before it is read.
  EXPECT_THAT(Error(Write("huge", Head(8, {0xfffffff0U, 2, 3})),
                    Write("huger", Head(8, {0xfffffff0U}))),
              HasSubstr("ends after 0 of"));
}

TEST_F(IdxTest, ALabelBeyondTheClassesIsABadRow) {
  auto options = Options(Images(), Labels(std::string("\3\1", 2)));
  EXPECT_THAT(Error(options),
              HasSubstr("labels: record 1: label 3, but the schema has classes "
                        "0 to 2"));
  options.strict = false;
  const auto report = Prepare(options);
  EXPECT_EQ(report.counts.bad(), 1U);
  EXPECT_EQ(report.parts[0].rows, 1U);
}

TEST_F(IdxTest, FilesComeInPairs) {
  auto options = Options(Images(), Labels());
  options.inputs.pop_back();
  EXPECT_THAT(Error(options), HasSubstr("images come in pairs"));
  options = Options(Images(), Labels());
  options.partition = ParsePartition("by:digit");
  EXPECT_THAT(Error(options), HasSubstr("images have none"));
}

TEST_F(IdxTest, ASchemaOfImagesIsOfNothingElse) {
  const auto error = [](const std::string& text) -> std::string {
    try {
      ParseSchema(text, "s.toml");
    } catch (const FileError& caught) {
      return caught.what();
    }
    return "no error";
  };
  const std::string good = kSchema;
  const auto with = [&](const char* from, const char* to) {
    std::string text = good;
    text.replace(text.find(from), std::string(from).size(), to);
    return error(text);
  };
  EXPECT_EQ(error(good), "no error");
  EXPECT_THAT(error("keep = \"a = 1\"\n" + good),
              HasSubstr("keep: does not go with [images]"));
  EXPECT_THAT(with("height = 2", "height = 0"), HasSubstr("height: must be"));
  EXPECT_THAT(with("height = 2", "height = 2.5"), HasSubstr("height: must be"));
  EXPECT_THAT(with("height = 2\nwidth = 3", "height = 4096\nwidth = 4096"),
              HasSubstr("65536 values at most"));
  EXPECT_THAT(with("width = 3\n", ""), HasSubstr("needs the key \"width\""));
  EXPECT_THAT(with("width", "widht"), HasSubstr("unknown key \"widht\""));
  EXPECT_THAT(with("\"one\", \"two\"", "\"none\""),
              HasSubstr("is there twice"));
  EXPECT_THAT(with("\"one\", \"two\"", "{ name = \"a\" }"),
              HasSubstr("must be a list of names"));
  EXPECT_THAT(with(", \"one\", \"two\"", ""), HasSubstr("needs 2 to 256"));
}

// The counts that everybody knows.
TEST_F(IdxTest, Mnist) {
  const char* shared = std::getenv("HEARSAY_SHARED");
  const fs::path data =
      fs::path(shared != nullptr ? shared : "../shared") / "data/mnist";
  if (!fs::exists(data))
    GTEST_SKIP() << "no " << data << ": set HEARSAY_SHARED";
  PrepareOptions options;
  options.schema = LoadSchema(HEARSAY_SOURCE_DIR "/ops/schemas/mnist.toml");
  options.inputs = {data / "train-images-idx3-ubyte.gz",
                    data / "train-labels-idx1-ubyte.gz"};
  options.eval_inputs = {data / "t10k-images-idx3-ubyte.gz",
                         data / "t10k-labels-idx1-ubyte.gz"};
  options.out = folder_ / "out";
  options.shards = 4;
  const auto report = Prepare(options);
  std::vector<std::size_t> counts(10);
  for (const auto& part : report.parts) {
    EXPECT_EQ(part.rows, 15000U);
    for (std::size_t digit = 0; digit < 10; ++digit)
      counts[digit] += part.class_counts[digit];
  }
  EXPECT_THAT(counts, ElementsAre(5923, 6742, 5958, 6131, 5842, 5421, 5918,
                                  6265, 5851, 5949));
  EXPECT_THAT(
      report.eval->class_counts,
      ElementsAre(980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009));
}

}  // namespace
}  // namespace hearsay::model::prep
