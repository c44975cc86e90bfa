// Folders of PNG images, made with libpng itself.
#include "model/prep/png_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <png.h>

#include <fstream>
#include <vector>

#include "model/prep/prepare.h"
#include "model/shard.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kImageSchema = R"(
name = "pictures"
[images]
channels = 3
height = 1
width = 2
[label]
name = "kind"
classes = ["cat", "dog"]
)";

class PngTest : public testing::Test {
 protected:
  void Write(const std::string& name, const std::vector<std::uint8_t>& pixels,
             std::uint32_t width, int format = PNG_FORMAT_RGB) {
    fs::create_directories((folder_ / name).parent_path());
    png_image png{};
    png.version = PNG_IMAGE_VERSION;
    png.width = width;
    png.height = 1;
    png.format = static_cast<png_uint_32>(format);
    ASSERT_NE(png_image_write_to_file(&png, (folder_ / name).c_str(), 0,
                                      pixels.data(), 0, nullptr),
              0);
  }
  PrepareOptions Options() {
    PrepareOptions options;
    options.schema = ParseSchema(kImageSchema, "s.toml");
    options.inputs = {folder_ / "in"};
    options.out = folder_ / "out";
    options.replace = true;
    return options;
  }
  std::string Error(const PrepareOptions& options) {
    try {
      Prepare(options);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  }
  tests::TemporaryFolder folder_;
};

TEST_F(PngTest, ChannelsComeOneAfterTheOther) {
  Write("a.png", {1, 2, 3, 4, 5, 6}, 2);
  std::vector<std::uint8_t> image(6);
  ReadPng(folder_ / "a.png", {3, 1, 2}, image);
  EXPECT_THAT(image, ElementsAre(1, 4, 2, 5, 3, 6));
  Write("grey.png", {7, 9}, 2, PNG_FORMAT_GRAY);
  image.resize(2);
  ReadPng(folder_ / "grey.png", {1, 1, 2}, image);
  EXPECT_THAT(image, ElementsAre(7, 9));
  // What is transparent lies over black.
  Write("clear.png", {200, 0, 80, 255}, 2, PNG_FORMAT_GA);
  ReadPng(folder_ / "clear.png", {1, 1, 2}, image);
  EXPECT_THAT(image, ElementsAre(0, 80));
}

TEST_F(PngTest, AFolderForEachClassBecomesRows) {
  Write("in/dog/b.png", {0, 0, 0, 255, 255, 255}, 2);
  Write("in/cat/z.png", {255, 0, 0, 255, 0, 0}, 2);
  Write("in/cat/a.png", {0, 255, 0, 0, 255, 0}, 2);
  for (const int threads : {1, 3}) {
    PrepareOptions options = Options();
    options.threads = threads;
    options.block_bytes = 6;
    options.strict = true;
    const PrepareReport report = Prepare(options);
    EXPECT_THAT(report.parts[0].class_counts, ElementsAre(2, 1));
    const Shard shard = Shard::Open(report.parts[0].file);
    std::vector<float> features(18);
    std::vector<float> labels(3);
    shard.Gather(std::vector<std::uint32_t>{0, 1, 2}, features, labels);
    EXPECT_THAT(labels, ElementsAre(0, 0, 1));
    EXPECT_THAT(features, ElementsAre(-1, -1, 1, 1, -1, -1,  // a
                                      1, 1, -1, -1, -1, -1,  // z
                                      -1, 1, -1, 1, -1, 1));
  }
}

TEST_F(PngTest, CountsImagesThatCannotBeRead) {
  Write("in/cat/a.png", {0, 255, 0, 0, 255, 0}, 2);
  Write("in/dog/wide.png", {0, 255, 0, 0, 255, 0, 1, 1, 1}, 3);
  std::ofstream(folder_ / "in/dog/text.png") << "hello";
  PrepareOptions options = Options();
  const PrepareReport report = Prepare(options);
  EXPECT_EQ(report.parts[0].rows, 1U);
  EXPECT_EQ(report.counts.bad(), 2U);
  EXPECT_THAT(report.counts.first_bad[0], HasSubstr("text.png: is not PNG"));
  EXPECT_THAT(report.counts.first_bad[1],
              HasSubstr("wide.png: is 1 x 3 pixels"));
  options.strict = true;
  EXPECT_THAT(Error(options), HasSubstr("text.png: is not PNG"));
}

TEST_F(PngTest, RefusesFoldersThatAreNotOfTheSchema) {
  Write("in/cow/a.png", {0, 255, 0, 0, 255, 0}, 2);
  EXPECT_THAT(Error(Options()), HasSubstr("cow: is no class of the schema"));
  fs::remove_all(folder_ / "in/cow");
  EXPECT_THAT(Error(Options()), HasSubstr("in: has no files"));
  PrepareOptions options = Options();
  options.schema.images->channels = 2;
  EXPECT_THAT(Error(options), HasSubstr("2 channels cannot come from PNG"));
}

}  // namespace
}  // namespace hearsay::model::prep
