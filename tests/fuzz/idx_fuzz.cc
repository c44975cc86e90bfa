// A pair of IDX files, images and labels, perhaps packed.
//
// Beyond not crashing: what is accepted gives as many images as both files say,
// byte for byte the rest of the first.
#include <algorithm>
#include <vector>

#include "model/prep/idx.h"
#include "tests/fuzz/fuzz.h"

namespace hearsay::model::prep {
namespace {

using fuzz::Check;

void Try(const std::string& images, const std::string& labels,
         const ImageFormat& format) {
  IdxReader reader(ByteSource(images, "images"), "images",
                   ByteSource(labels, "labels"), "labels", format);
  std::vector<std::uint8_t> image(format.bytes());
  std::uint64_t count = 0;
  std::string all;
  while (const auto label = reader.Next(image)) {
    ++count;
    all.append(image.begin(), image.end());
  }
  Check(count == reader.count());
  if (images[0] == 0) Check(images.ends_with(all));
}

}  // namespace
}  // namespace hearsay::model::prep

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::model::prep;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  ImageFormat format;
  format.channels = 1 + input.Take() % 3;
  format.height = 1 + input.Take() % 4;
  format.width = 1 + input.Take() % 4;
  const std::string labels = input.Text(input.Take());
  try {
    Try(input.Rest(), labels, format);
  } catch (const hearsay::model::FileError&) {
    // Most are none.
  }
  return 0;
}
