// A safetensors file: a shard, or anybody's.
//
// Beyond not crashing: what is accepted says the same once it is written anew.
#include <cstring>

#include "model/safetensors.h"
#include "tests/fuzz/fuzz.h"

namespace {

using hearsay::fuzz::Check;
using hearsay::model::FileError;
using hearsay::model::SafetensorsFile;

bool IsOurs(const std::string& key) { return key.starts_with("hearsay."); }

void Try(std::string bytes) {
  const SafetensorsFile file = SafetensorsFile::Parse(std::move(bytes), "f");
  hearsay::model::Metadata metadata = file.metadata();
  const SafetensorsFile again =
      SafetensorsFile::Parse(EncodeSafetensors(file.tensors(), metadata), "f",
                             hearsay::model::Checksum::kRequired);
  Check(again.tensors().size() == file.tensors().size());
  for (const auto& tensor : file.tensors()) {
    const auto& other = again.At(tensor.name);
    Check(other.dtype == tensor.dtype && other.shape == tensor.shape);
    Check(other.bytes.size() == tensor.bytes.size());
    Check(tensor.bytes.empty() ||
          std::memcmp(other.bytes.data(), tensor.bytes.data(),
                      tensor.bytes.size()) == 0);
  }
  for (const auto& [key, value] : metadata)
    Check(IsOurs(key) || again.metadata().at(key) == value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  const std::string input(reinterpret_cast<const char*>(data), size);
  try {
    Try(input);
  } catch (const FileError&) {
    // Most are none.
  }
  // And with the length of its header put right, to reach what is behind it.
  const std::size_t end = input.find('}');
  std::string whole(8, '\0');
  const std::uint64_t length = input.rfind('}') + 1;
  if (end == std::string::npos) return 0;
  for (std::size_t i = 0; i < 8; ++i)
    whole[i] = static_cast<char>(length >> (8 * i));
  try {
    Try(whole + input);
  } catch (const FileError&) {
    // Nor are these.
  }
  return 0;
}
