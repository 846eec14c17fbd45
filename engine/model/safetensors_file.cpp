#include "engine/model/safetensors_file.h"

#include <fmt/format.h>
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "engine/core/error.h"
#include "engine/model/byte_reader.h"
#include "engine/model/gguf_file.h"
#include "engine/model/hf_json.h"

namespace hc::model {
namespace {

// Real headers take about 100 bytes a tensor. The format allows 100 MB, which parsed would take
// gigabytes.
constexpr std::uint64_t kLargestHeader = std::uint64_t{16} << 20;
constexpr std::size_t kMostDims = 8;
constexpr std::string_view kMetadata = "__metadata__";

DType read_dtype(const JsonObject& entry) {
    const std::string name = entry.need_string("dtype");
    for (const DType type : {DType::kBF16, DType::kF16, DType::kF32}) {
        if (dtype_name(type) == name) return type;
    }
    entry.fail(fmt::format("key {} is '{}', expected BF16, F16 or F32", entry.describe("dtype"),
                           printable(name)));
}

/// A number of an array that must be an unsigned integer of 63 bits.
std::int64_t read_count(const JsonObject& entry, std::string_view key, const Json& value,
                        std::int64_t least) {
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() > kMost ||
        value.get<std::int64_t>() < least) {
        entry.fail(fmt::format("key {} holds {}, expected integers from {}", entry.describe(key),
                               shown(value), least));
    }
    return value.get<std::int64_t>();
}

std::vector<std::int64_t> read_dims(const JsonObject& entry) {
    const Json& shape = entry.need("shape");
    if (!shape.is_array() || shape.size() > kMostDims) {
        entry.fail(fmt::format("key {} is {}, expected an array of at most {} integers",
                               entry.describe("shape"), shown(shape), kMostDims));
    }
    std::vector<std::int64_t> dims;
    for (const Json& extent : shape) dims.push_back(read_count(entry, "shape", extent, 1));
    return dims;
}

/// Bytes that a tensor of this shape needs; nullopt where they do not fit 64 bits.
std::optional<std::uint64_t> data_bytes(DType type, const std::vector<std::int64_t>& dims) {
    std::uint64_t bytes = block_geometry(type).bytes;
    for (const std::int64_t extent : dims) {
        if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes)) {
            return std::nullopt;
        }
    }
    return bytes;
}

SafeTensor read_tensor(const JsonObject& entry, std::span<const std::byte> data) {
    SafeTensor tensor;
    tensor.type = read_dtype(entry);
    tensor.dims = read_dims(entry);
    const std::string where = entry.describe("data_offsets");
    const Json& offsets = entry.need("data_offsets");
    if (!offsets.is_array() || offsets.size() != 2) {
        entry.fail(fmt::format("key {} is {}, expected two integers", where, shown(offsets)));
    }
    const auto begin = static_cast<std::uint64_t>(read_count(entry, "data_offsets", offsets[0], 0));
    const auto end = static_cast<std::uint64_t>(read_count(entry, "data_offsets", offsets[1], 0));
    if (begin > end || end > data.size()) {
        entry.fail(fmt::format("key {} is [{}, {}], the file holds {} bytes of data (truncated?)",
                               where, begin, end, data.size()));
    }
    const std::optional<std::uint64_t> size = data_bytes(tensor.type, tensor.dims);
    if (!size || *size != end - begin) {
        entry.fail(fmt::format("key {} spans {} bytes, the shape asks for {}", where, end - begin,
                               size ? fmt::to_string(*size) : "more than 64 bits"));
    }
    tensor.bytes = data.subspan(begin, end - begin);
    return tensor;
}

}  // namespace

SafetensorsFile::SafetensorsFile(std::span<const std::byte> bytes, std::string path)
    : path_(std::move(path)), size_bytes_(bytes.size()) {
    ByteReader reader(bytes);
    std::uint64_t length = 0;
    std::span<const std::byte> text;
    if (!reader.read(length)) {
        fail(fmt::format("has {} bytes, expected a header's length of 8", bytes.size()));
    }
    if (length > kLargestHeader || !reader.take(length, text)) {
        fail(
            fmt::format("is no safetensors file or truncated: a header of {} bytes, {} are left in "
                        "the file, expected at most {}",
                        length, reader.remaining(), kLargestHeader));
    }
    header_ = bytes.first(reader.position());
    const std::span<const std::byte> data = bytes.subspan(reader.position());
    const Json json = parse_json_document(as_text(text), path_);
    const JsonObject directory(json, path_);
    for (const auto& [name, value] : json.items()) {
        if (name == kMetadata) continue;  // free text of whoever wrote the file
        tensors_.emplace(name, read_tensor(directory.need_object(name), data));
    }
    check_cover(data);
}

void SafetensorsFile::check_cover(std::span<const std::byte> data) const {
    std::vector<std::pair<const std::string*, const SafeTensor*>> order;
    for (const auto& [name, tensor] : tensors_) order.emplace_back(&name, &tensor);
    std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
        return a.second->bytes.data() < b.second->bytes.data();
    });
    const auto offset_of = [&data](const SafeTensor& tensor) {
        return static_cast<std::size_t>(tensor.bytes.data() - data.data());
    };
    std::size_t end = 0;
    for (const auto& [name, tensor] : order) {
        const std::size_t begin = offset_of(*tensor);
        if (begin != end) {
            fail(fmt::format("tensor '{}' begins at byte {} of the data, expected {}: it {}",
                             printable(*name), begin, end,
                             begin < end ? "overlaps another" : "leaves a hole"));
        }
        end = begin + tensor->bytes.size();
    }
    if (end != data.size()) {
        fail(fmt::format("holds {} bytes of data, its tensors fill {}", data.size(), end));
    }
}

const SafeTensor* SafetensorsFile::find_tensor(std::string_view name) const {
    const auto found = tensors_.find(name);
    return found == tensors_.end() ? nullptr : &found->second;
}

void SafetensorsFile::fail(const std::string& what) const {
    throw_input("'" + path_ + "': " + what);
}

}  // namespace hc::model
