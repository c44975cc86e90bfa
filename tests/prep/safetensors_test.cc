#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdint>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "tests/support/temporary_folder.h"

namespace hearsay::model {
namespace {

using ::testing::HasSubstr;
using tests::TemporaryFolder;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteAll(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string ErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

// A file by hand: header text, then data.
std::string Raw(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i)
    bytes +=
        static_cast<char>(static_cast<std::uint64_t>(header.size()) >> (8 * i));
  return bytes + header + data;
}

struct Example {
  std::vector<float> weights = {1.0F, -2.5F, 3.0F, 0.25F, 5.0F, -6.0F};
  std::vector<std::uint8_t> codes = {7, 0, 255};
  std::vector<double> wide = {1e300};
  std::vector<Tensor> tensors = {
      {"codes", DType::kU8, {3}, std::as_bytes(std::span(codes))},
      {"w", DType::kF32, {2, 3}, std::as_bytes(std::span(weights))},
      {"wide", DType::kF64, {}, std::as_bytes(std::span(wide))},
      {"none", DType::kF32, {0, 4}, {}}};
  Metadata metadata = {{"note", "quotes \" and \\ and \xc3\xa9"},
                       {"trick", "\"hearsay.checksum\":\"0123\""}};
};

TEST(SafetensorsTest, GivesBackWhatWasWritten) {
  const TemporaryFolder folder;
  const Example example;
  WriteSafetensors(folder / "a", example.tensors, example.metadata);
  const auto file = SafetensorsFile::Open(folder / "a", Checksum::kRequired);
  EXPECT_THAT(file.Floats("w"), testing::ElementsAreArray(example.weights));
  EXPECT_THAT(file.Bytes("codes"), testing::ElementsAreArray(example.codes));
  EXPECT_EQ(file.At("w").shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_TRUE(file.At("none").bytes.empty());
  EXPECT_EQ(file.At("wide").bytes.size(), 8U);
  EXPECT_EQ(file.tensors().size(), 4U);
  for (const auto& [key, value] : example.metadata)
    EXPECT_EQ(file.metadata().at(key), value);
  for (const Tensor& tensor : file.tensors())
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) %
                  (tensor.dtype == DType::kF64   ? 8
                   : tensor.dtype == DType::kF32 ? 4
                                                 : 1),
              0U)
        << tensor.name;
  // The first tensor begins where the data does.
  EXPECT_EQ(
      reinterpret_cast<std::uintptr_t>(file.tensors().front().bytes.data()) %
          64,
      0U);
}

TEST(SafetensorsTest, EncodesExactlyTheBytesThatItWrites) {
  const TemporaryFolder folder;
  const Example example;
  WriteSafetensors(folder / "a", example.tensors, example.metadata);
  EXPECT_EQ(ReadAll(folder / "a"),
            EncodeSafetensors(example.tensors, example.metadata));
}

// The format's own documentation (github.com/huggingface/safetensors, README,
// "Format") is the oracle: a file made by hand from it is read.
TEST(SafetensorsTest, ReadsAFileOfAnotherProgram) {
  const TemporaryFolder folder;
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"U8","shape":[3],)"
      R"("data_offsets":[8,11]},"a":{"dtype":"F32","shape":[1,2],)"
      R"("data_offsets":[0,8]}}   )";
  const std::string data("\0\0\x80\x3f\0\0\0\xc0\x01\x02\x03", 11);
  std::string padded = header;
  while (padded.size() % 8 != 0) padded += ' ';
  WriteAll(folder / "a", Raw(padded, data));
  const auto file = SafetensorsFile::Open(folder / "a");
  EXPECT_THAT(file.Floats("a"), testing::ElementsAre(1.0F, -2.0F));
  EXPECT_THAT(file.Bytes("b"), testing::ElementsAre(1, 2, 3));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_THAT(ErrorOf([&] {
                SafetensorsFile::Open(folder / "a", Checksum::kRequired);
              }),
              HasSubstr("no checksum"));
}

TEST(SafetensorsTest, NoticesEveryFlippedBit) {
  const TemporaryFolder folder;
  const Example example;
  const std::string good = EncodeSafetensors(example.tensors, example.metadata);
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    WriteAll(folder / "a", bad);
    for (const auto policy : {Checksum::kIfPresent, Checksum::kRequired})
      EXPECT_THROW(SafetensorsFile::Open(folder / "a", policy), FileError)
          << "bit " << bit;
  }
}

TEST(SafetensorsTest, NoticesEveryTruncation) {
  const TemporaryFolder folder;
  const Example example;
  const std::string good = EncodeSafetensors(example.tensors, example.metadata);
  for (std::size_t length = 0; length < good.size(); ++length) {
    WriteAll(folder / "a", good.substr(0, length));
    EXPECT_THROW(SafetensorsFile::Open(folder / "a"), FileError) << length;
  }
  WriteAll(folder / "a", good + "x");
  EXPECT_THROW(SafetensorsFile::Open(folder / "a"), FileError);
}

struct BadFile {
  const char* what;    // part of the message
  const char* header;  // with 8 bytes of data
};

// Otherwise the test's name would hold the pointers.
void PrintTo(const BadFile& bad, std::ostream* out) { *out << bad.what; }

class MalformedSafetensorsTest : public testing::TestWithParam<BadFile> {};

TEST_P(MalformedSafetensorsTest, IsRefusedWithItsPathAndReason) {
  const TemporaryFolder folder;
  WriteAll(folder / "bad", Raw(GetParam().header, "12345678"));
  const std::string error =
      ErrorOf([&] { SafetensorsFile::Open(folder / "bad"); });
  EXPECT_THAT(error, HasSubstr((folder / "bad").string() + ": "));
  EXPECT_THAT(error, HasSubstr(GetParam().what));
}

#define ONE(dtype, shape, offsets)                 \
  R"({"a":{"dtype":")" dtype R"(","shape":)" shape \
  R"(,"data_offsets":)" offsets "}}"

INSTANTIATE_TEST_SUITE_P(
    Headers, MalformedSafetensorsTest,
    testing::Values(
        BadFile{"not JSON", "{"}, BadFile{"not JSON", ""},
        BadFile{"not JSON", "{}x"}, BadFile{"not a JSON object", "[]"},
        BadFile{"needs exactly", R"({"a":3})"},
        BadFile{"needs exactly", R"({"a":{"dtype":"F32","shape":[2]}})"},
        BadFile{"names \"a\" twice",
                R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)"
                R"("a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"},
        BadFile{"names \"dtype\" twice",
                R"({"a":{"dtype":"U8","dtype":"F32","shape":[2],)"
                R"("data_offsets":[0,8]}})"},
        BadFile{"BF16", ONE("BF16", "[4]", "[0,8]")},
        BadFile{"do not make", ONE("F32", "[3]", "[0,8]")},
        BadFile{"do not make", ONE("F64", "[2]", "[0,8]")},
        BadFile{"do not make", ONE("F32", "[2]", "[8,0]")},
        // 2^62 * 4 wraps to 0 and 2^63 * 2 to 0.
        BadFile{"do not make", ONE("F32", "[4611686018427387904]", "[0,0]")},
        BadFile{"do not make", ONE("U8", "[4294967296,4294967296]", "[0,0]")},
        BadFile{"malformed", ONE("F32", "[-2]", "[0,8]")},
        BadFile{"malformed", ONE("F32", "[2.0]", "[0,8]")},
        BadFile{"malformed", ONE("F32", "[2]", "[0]")},
        BadFile{"not JSON", ONE("F32", "[2]", "[0,1e400]")},
        BadFile{"malformed", ONE("U8", "[18446744073709551615]", "[0,8]")},
        BadFile{"ends at byte 16 of 8", ONE("F32", "[4]", "[0,16]")},
        BadFile{"after a hole", ONE("F32", "[1]", "[4,8]")},
        BadFile{"belong to none", ONE("F32", "[1]", "[0,4]")},
        BadFile{"inside the tensor before it",
                R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
                R"("b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})"},
        BadFile{"metadata \"k\" is not a string",
                R"({"__metadata__":{"k":1}})"},
        BadFile{"__metadata__ is not an object", R"({"__metadata__":[]})"}));

TEST(SafetensorsTest, RefusesAHeaderLongerThanTheFile) {
  const TemporaryFolder folder;
  WriteAll(folder / "a", std::string(8, '\xff') + "{}");
  EXPECT_THAT(ErrorOf([&] { SafetensorsFile::Open(folder / "a"); }),
              HasSubstr("header claims 18446744073709551615 bytes"));
}

TEST(SafetensorsTest, RefusesWhatIsNotAFile) {
  const TemporaryFolder folder;
  EXPECT_THAT(ErrorOf([&] { SafetensorsFile::Open(folder / "none"); }),
              HasSubstr("No such file"));
  EXPECT_THAT(ErrorOf([&] { SafetensorsFile::Open(folder.path()); }),
              HasSubstr("not a regular file"));
  EXPECT_THAT(ErrorOf([&] { SafetensorsFile::Open("/dev/zero"); }),
              HasSubstr("not a regular file"));
}

TEST(SafetensorsTest, NamesTheTensorThatIsMissingOrOfAnotherType) {
  const TemporaryFolder folder;
  const Example example;
  WriteSafetensors(folder / "a", example.tensors, {});
  const auto file = SafetensorsFile::Open(folder / "a");
  EXPECT_THAT(ErrorOf([&] { (void)file.At("x"); }), HasSubstr("\"x\""));
  EXPECT_THAT(ErrorOf([&] { (void)file.Floats("codes"); }),
              HasSubstr("not F32"));
  EXPECT_THAT(ErrorOf([&] { (void)file.Bytes("w"); }), HasSubstr("not U8"));
}

TEST(SafetensorsTest, RefusesToWriteTensorsThatContradictThemselves) {
  const Example e;
  const auto bytes = std::as_bytes(std::span(e.weights));
  const auto encode = [](const std::vector<Tensor>& tensors,
                         const Metadata& metadata) {
    return EncodeSafetensors(tensors, metadata);
  };
  const Tensor a{"a", DType::kF32, {6}, bytes};
  EXPECT_NO_THROW(encode({a}, {}));
  EXPECT_THROW(encode({a, a}, {}), std::invalid_argument);
  EXPECT_THROW(encode({{"a", DType::kF32, {5}, bytes}}, {}),
               std::invalid_argument);
  EXPECT_THROW(encode({{"__metadata__", DType::kF32, {6}, bytes}}, {}),
               std::invalid_argument);
  EXPECT_THROW(encode({a}, {{"k", "\xff"}}), std::invalid_argument);
}

int FilesIn(const std::filesystem::path& folder) {
  return static_cast<int>(
      std::distance(std::filesystem::directory_iterator(folder), {}));
}

// A limit on file size makes the kernel write a part and then refuse, just as
// a disk that fills up does.
TEST(SafetensorsTest, LeavesTheOldFileAndNoTemporaryWhenAWriteFails) {
  const TemporaryFolder folder;
  const Example example;
  WriteSafetensors(folder / "a", example.tensors, {});
  const std::string before = ReadAll(folder / "a");
  const std::vector<float> large(100'000);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit low{65'536, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &low);
  const std::string error = ErrorOf([&] {
    WriteSafetensors(
        folder / "a",
        {{"w", DType::kF32, {100'000}, std::as_bytes(std::span(large))}}, {});
  });
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, handler);
  EXPECT_THAT(error, HasSubstr((folder / "a").string() + ": cannot write"));
  EXPECT_EQ(ReadAll(folder / "a"), before);
  EXPECT_EQ(FilesIn(folder.path()), 1);
}

TEST(SafetensorsTest, ReportsAFullDisk) {
  const TemporaryFolder folder;
  if (mount("none", folder.path().c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "cannot mount a small tmpfs here";
  const std::vector<float> large(100'000);
  const std::string error = ErrorOf([&] {
    WriteSafetensors(
        folder / "a",
        {{"w", DType::kF32, {100'000}, std::as_bytes(std::span(large))}}, {});
  });
  EXPECT_THAT(error, HasSubstr("No space left"));
  EXPECT_EQ(FilesIn(folder.path()), 0);
  umount(folder.path().c_str());
}

TEST(SafetensorsTest, ReportsAFolderThatIsMissingOrNotAFolder) {
  const TemporaryFolder folder;
  WriteAll(folder / "file", "x");
  EXPECT_THAT(ErrorOf([&] { WriteSafetensors(folder / "no/a", {}, {}); }),
              HasSubstr("no/a: cannot create a file here"));
  EXPECT_THAT(ErrorOf([&] { WriteSafetensors(folder / "file/a", {}, {}); }),
              HasSubstr("file/a: cannot create a file here"));
}

}  // namespace
}  // namespace hearsay::model
