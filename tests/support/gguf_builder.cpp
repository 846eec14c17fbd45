#include "tests/support/gguf_builder.h"

#include <algorithm>
#include <fstream>
#include <utility>

#include "engine/core/error.h"

namespace hc::test {
namespace {

constexpr std::uint32_t kInt32 = 5;
constexpr std::uint32_t kString = 8;
constexpr std::uint32_t kArray = 9;

std::size_t align_up(std::size_t value, std::uint64_t alignment) {
    return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

std::string GgufBuilder::string_bytes(std::string_view text) {
    return bytes_of(std::uint64_t{text.size()}) + std::string(text);
}

void GgufBuilder::add_raw(std::string_view key, std::uint32_t type, std::string_view bytes) {
    values_.push_back({std::string(key), type, std::string(bytes)});
}

void GgufBuilder::add_string(std::string_view key, std::string_view value) {
    add_raw(key, kString, string_bytes(value));
}

void GgufBuilder::add_strings(std::string_view key, const std::vector<std::string>& values) {
    std::string bytes = bytes_of(kString) + bytes_of(std::uint64_t{values.size()});
    for (const std::string& value : values) bytes += string_bytes(value);
    add_raw(key, kArray, bytes);
}

void GgufBuilder::add_int32s(std::string_view key, const std::vector<std::int32_t>& values) {
    std::string bytes = bytes_of(kInt32) + bytes_of(std::uint64_t{values.size()});
    for (const std::int32_t value : values) bytes += bytes_of(value);
    add_raw(key, kArray, bytes);
}

void GgufBuilder::add_tensor(std::string_view name, DType type, std::vector<std::uint64_t> dims,
                             std::string data) {
    tensors_.push_back(
        {std::string(name), static_cast<std::uint32_t>(type), std::move(dims), std::move(data), 0});
}

void GgufBuilder::add_tensor(std::string_view name, std::vector<std::uint64_t> dims,
                             const std::vector<float>& values) {
    std::string data(values.size() * sizeof(float), '\0');
    std::memcpy(data.data(), values.data(), data.size());
    add_tensor(name, DType::kF32, std::move(dims), std::move(data));
}

GgufBuilder::Tensor& GgufBuilder::tensor(std::string_view name) {
    const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                    [name](const Tensor& t) { return t.name == name; });
    HC_CHECK(found != tensors_.end());
    return *found;
}

void GgufBuilder::remove_tensor(std::string_view name) {
    std::erase_if(tensors_, [name](const Tensor& t) { return t.name == name; });
}

void GgufBuilder::remove_value(std::string_view key) {
    std::erase_if(values_, [key](const Value& v) { return v.key == key; });
}

std::string GgufBuilder::build() const {
    std::string file = magic + bytes_of(version);
    file += bytes_of(tensors_.size() + static_cast<std::uint64_t>(extra_tensors));
    file += bytes_of(values_.size() + static_cast<std::uint64_t>(extra_values));
    for (const Value& value : values_) {
        file += string_bytes(value.key) + bytes_of(value.type) + value.bytes;
    }
    std::size_t offset = 0;
    for (const Tensor& tensor : tensors_) {
        file += string_bytes(tensor.name);
        file += bytes_of(static_cast<std::uint32_t>(tensor.dims.size()));
        for (const std::uint64_t extent : tensor.dims) file += bytes_of(extent);
        file += bytes_of(tensor.type);
        file += bytes_of(offset + static_cast<std::uint64_t>(tensor.offset_shift));
        offset = align_up(offset + tensor.data.size(), alignment);
    }
    for (const Tensor& tensor : tensors_) {
        file.resize(align_up(file.size(), alignment));
        file += tensor.data;
    }
    return file;
}

std::filesystem::path GgufBuilder::write(const std::filesystem::path& path) const {
    std::ofstream out(path, std::ios::binary);
    const std::string file = build();
    out.write(file.data(), static_cast<std::streamsize>(file.size()));
    HC_CHECK(out.good());
    return path;
}

}  // namespace hc::test
