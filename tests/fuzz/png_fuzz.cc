// A PNG file, of the size and channels that the schema wants or not.
//
// Beyond not crashing: what is accepted decodes to the same bytes again,
// whatever was in the memory that it is put into.
#include <vector>

#include "model/prep/png_image.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::model::prep;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  ImageFormat format;
  format.channels = input.Take() % 2 == 0 ? 1 : 3;
  format.height = 1 + input.Take() % 8;
  format.width = 1 + input.Take() % 8;
  const std::string text = input.Rest();
  const auto bytes = hearsay::fuzz::BytesOf(text);
  std::vector<std::uint8_t> image(format.bytes(), 0);
  std::vector<std::uint8_t> again(format.bytes(), 255);
  try {
    DecodePng(bytes, "f.png", format, image);
  } catch (const hearsay::model::FileError&) {
    return 0;  // Most are none.
  }
  DecodePng(bytes, "f.png", format, again);
  hearsay::fuzz::Check(image == again);
  return 0;
}
