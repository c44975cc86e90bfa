#include "model/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>
#include <utility>

#include "model/digest.h"
#include "model/safetensors_format.h"

namespace hearsay::model {

namespace {

using nlohmann::json;

std::string LastError() { return std::strerror(errno); }

struct Mapping {
  std::shared_ptr<const std::byte> data;
  std::size_t size = 0;
};

Mapping Map(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) Fail(path, "cannot open: " + LastError());
  struct stat status {};
  if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(file);
    Fail(path, "is not a regular file");
  }
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) {  // Which cannot be mapped.
    close(file);
    return {};
  }
  void* memory = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file, 0);
  const std::string error = memory == MAP_FAILED ? LastError() : "";
  close(file);
  if (memory == MAP_FAILED) Fail(path, "cannot map: " + error);
  return {std::shared_ptr<const std::byte>(
              static_cast<const std::byte*>(memory),
              [size](const std::byte* data) {
                // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast)
                munmap(const_cast<std::byte*>(data), size);
              }),
          size};
}

// The header's JSON text; what follows it is data.
std::string_view HeaderText(const std::filesystem::path& path,
                            const Mapping& mapping) {
  if (mapping.size <= format::kLengthBytes)
    Fail(path, "truncated: " + std::to_string(mapping.size) +
                   " bytes are too few for a safetensors file");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < format::kLengthBytes; ++i)
    length |= std::to_integer<std::uint64_t>(mapping.data.get()[i]) << (8 * i);
  const std::uint64_t rest = mapping.size - format::kLengthBytes;
  if (length > format::kMaxHeader || length > rest)
    Fail(path, "the header claims " + std::to_string(length) + " bytes, but " +
                   std::to_string(rest) +
                   " follow: truncated, or not a safetensors file");
  return {
      reinterpret_cast<const char*>(mapping.data.get()) + format::kLengthBytes,
      length};
}

json ParseHeader(const std::filesystem::path& path, std::string_view text) {
  // The library keeps the last of two equal keys; a reader that keeps the first
  // would see another file, so neither is accepted.
  std::vector<std::set<std::string>> keys;
  const auto watch = [&](int /*depth*/, json::parse_event_t event,
                         json& value) {
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key &&
        !keys.back().insert(value.get<std::string>()).second)
      Fail(path, "the header names " + value.dump() + " twice");
    return true;
  };
  json header;
  try {
    header = json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& error) {
    Fail(path, std::string("the header is not JSON: ") + error.what());
  }
  if (!header.is_object()) Fail(path, "the header is not a JSON object");
  return header;
}

Metadata ParseMetadata(const std::filesystem::path& path, const json& entry) {
  if (!entry.is_object()) Fail(path, "__metadata__ is not an object");
  Metadata metadata;
  for (const auto& [key, value] : entry.items()) {
    if (!value.is_string())
      Fail(path, "metadata \"" + key + "\" is not a string");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// Non-negative and below 2^63.
bool IsSize(const json& value) {
  return value.is_number_unsigned() && value.get<std::uint64_t>() <= INT64_MAX;
}

struct Extent {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

void CheckMembers(const std::filesystem::path& path, const std::string& name,
                  const json& entry) {
  const auto all_sizes = [](const json& list) {
    return list.is_array() && std::all_of(list.begin(), list.end(), IsSize);
  };
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") ||
      !entry.contains("shape") || !entry.contains("data_offsets"))
    Fail(path,
         "tensor \"" + name + "\" needs exactly dtype, shape and data_offsets");
  if (!entry["dtype"].is_string() || !all_sizes(entry["shape"]) ||
      !all_sizes(entry["data_offsets"]) || entry["data_offsets"].size() != 2)
    Fail(path, "tensor \"" + name +
                   "\" has a malformed dtype, shape or data_offsets");
}

std::pair<Tensor, Extent> ParseTensor(const std::filesystem::path& path,
                                      const std::string& name,
                                      const json& entry) {
  CheckMembers(path, name, entry);
  Tensor tensor;
  tensor.name = name;
  const auto word = entry["dtype"].get<std::string>();
  const auto* known =
      std::find_if(format::kDTypes.begin(), format::kDTypes.end(),
                   [&](const auto& dtype) { return word == dtype.word; });
  if (known == format::kDTypes.end())
    Fail(path, "tensor \"" + name + "\" has dtype " + word +
                   ", which is not supported (U8, I32, I64, F32, F64 are)");
  tensor.dtype = known->dtype;
  tensor.shape = entry["shape"].get<std::vector<std::int64_t>>();
  const Extent extent{entry["data_offsets"][0].get<std::uint64_t>(),
                      entry["data_offsets"][1].get<std::uint64_t>()};
  const auto bytes = format::SizeInBytes(tensor.dtype, tensor.shape);
  if (!bytes || extent.end < extent.begin ||
      extent.end - extent.begin != *bytes)
    Fail(path, "tensor \"" + name + "\" has shape " + entry["shape"].dump() +
                   " and dtype " + word + ", which do not make the bytes " +
                   entry["data_offsets"].dump());
  return {std::move(tensor), extent};
}

// Tensors in the order of their bytes, which must tile the data exactly.
std::vector<Tensor> ParseTensors(const std::filesystem::path& path,
                                 const json& header,
                                 std::span<const std::byte> data) {
  std::vector<std::pair<Tensor, Extent>> found;
  for (const auto& [name, entry] : header.items())
    if (name != format::kMetadataKey)
      found.push_back(ParseTensor(path, name, entry));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.begin, a.second.end) <
           std::pair(b.second.begin, b.second.end);
  });
  std::uint64_t used = 0;
  std::vector<Tensor> tensors;
  for (auto& [tensor, extent] : found) {
    if (extent.begin != used)
      Fail(path, "tensor \"" + tensor.name + "\" begins at byte " +
                     std::to_string(extent.begin) + ", " +
                     (extent.begin < used ? "inside the tensor before it"
                                          : "after a hole in the data"));
    if (extent.end > data.size())
      Fail(path, "truncated: tensor \"" + tensor.name + "\" ends at byte " +
                     std::to_string(extent.end) + " of " +
                     std::to_string(data.size()));
    tensor.bytes = data.subspan(extent.begin, extent.end - extent.begin);
    used = extent.end;
    tensors.push_back(std::move(tensor));
  }
  if (used != data.size())
    Fail(path, std::to_string(data.size() - used) +
                   " bytes after the last tensor belong to none");
  return tensors;
}

bool IsOurs(const Metadata& metadata) {
  const auto first = metadata.lower_bound("hearsay.");
  return first != metadata.end() && first->first.starts_with("hearsay.");
}

void VerifyChecksum(const std::filesystem::path& path, const Mapping& mapping,
                    std::string_view header, const Metadata& metadata,
                    Checksum policy) {
  const auto recorded = metadata.find(format::kChecksumKey);
  if (recorded == metadata.end()) {
    if (policy == Checksum::kRequired || IsOurs(metadata))
      Fail(path, "has no checksum: damaged, or not written by Hearsay");
    return;
  }
  // Inside a JSON string the quotes would be escaped, so this text can only be
  // the key itself.
  const std::string_view key = format::kChecksumText;
  const std::size_t at = header.find(key);
  if (at == std::string_view::npos ||
      recorded->second.size() != kDigestDigits ||
      header.substr(at + key.size(), kDigestDigits) != recorded->second)
    Fail(path, "the checksum in the header is malformed");
  const std::size_t digits = format::kLengthBytes + at + key.size();
  const std::span<const std::byte> whole(mapping.data.get(), mapping.size);
  const std::string zeros(kDigestDigits, '0');
  Digest digest;
  digest.Add(whole.first(digits));
  digest.Add(std::as_bytes(std::span(zeros)));
  digest.Add(whole.subspan(digits + kDigestDigits));
  if (digest.Hex() != recorded->second)
    Fail(path, "damaged: its checksum is " + digest.Hex() +
                   ", the header says " + recorded->second);
}

}  // namespace

SafetensorsFile SafetensorsFile::Open(const std::filesystem::path& path,
                                      Checksum checksum) {
  Mapping mapping = Map(path);
  return Read(std::move(mapping.data), mapping.size, path, checksum);
}

SafetensorsFile SafetensorsFile::Parse(std::string bytes,
                                       const std::filesystem::path& name,
                                       Checksum checksum) {
  const auto owner = std::make_shared<const std::string>(std::move(bytes));
  return Read({owner, reinterpret_cast<const std::byte*>(owner->data())},
              owner->size(), name, checksum);
}

SafetensorsFile SafetensorsFile::Read(std::shared_ptr<const std::byte> data,
                                      std::size_t size,
                                      const std::filesystem::path& path,
                                      Checksum checksum) {
  const Mapping mapping{std::move(data), size};
  const std::string_view text = HeaderText(path, mapping);
  const json header = ParseHeader(path, text);
  SafetensorsFile file;
  file.path_ = path;
  file.mapping_ = mapping.data;
  file.size_ = mapping.size;
  if (header.contains(format::kMetadataKey))
    file.metadata_ = ParseMetadata(path, header[format::kMetadataKey]);
  VerifyChecksum(path, mapping, text, file.metadata_, checksum);
  const std::size_t start = format::kLengthBytes + text.size();
  file.tensors_ = ParseTensors(
      path, header, {mapping.data.get() + start, mapping.size - start});
  return file;
}

const Tensor& SafetensorsFile::At(const std::string& name) const {
  for (const Tensor& tensor : tensors_)
    if (tensor.name == name) return tensor;
  Fail(path_, "has no tensor \"" + name + "\"");
}

std::span<const float> SafetensorsFile::Floats(const std::string& name) const {
  const Tensor& tensor = At(name);
  if (tensor.dtype != DType::kF32)
    Fail(path_, "tensor \"" + name + "\" is not F32");
  if (reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % alignof(float))
    Fail(path_, "tensor \"" + name +
                    "\" is not aligned to 4 bytes; save the file anew");
  return {reinterpret_cast<const float*>(tensor.bytes.data()),
          tensor.bytes.size() / sizeof(float)};
}

std::span<const std::uint8_t> SafetensorsFile::Bytes(
    const std::string& name) const {
  const Tensor& tensor = At(name);
  if (tensor.dtype != DType::kU8)
    Fail(path_, "tensor \"" + name + "\" is not U8");
  return {reinterpret_cast<const std::uint8_t*>(tensor.bytes.data()),
          tensor.bytes.size()};
}

}  // namespace hearsay::model
