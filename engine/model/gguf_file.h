/// The GGUF container: typed metadata and a directory of tensors. Knows nothing of models.
///
/// Format after ggml's public description (docs/gguf.md of that project), versions 2 and 3,
/// little endian: magic, version, counts, metadata, tensor directory, padding, tensor data.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/core/dtype.h"

namespace hc::model {

/// Numbers as stored in the file.
enum class GgufType : std::uint32_t {
    kUint8 = 0,
    kInt8 = 1,
    kUint16 = 2,
    kInt16 = 3,
    kUint32 = 4,
    kInt32 = 5,
    kFloat32 = 6,
    kBool = 7,
    kString = 8,
    kArray = 9,
    kUint64 = 10,
    kInt64 = 11,
    kFloat64 = 12,
};

/// One metadata value where it lies in the file; its size has been checked.
struct GgufValue {
    GgufType type = GgufType::kUint8;
    GgufType element_type = GgufType::kUint8;  ///< of an array
    std::uint64_t count = 1;                   ///< elements of an array
    std::span<const std::byte> bytes;          ///< the payload: of a string its text
};

struct GgufTensor {
    std::string_view name;
    DType type = DType::kF32;
    std::vector<std::int64_t> dims;    ///< innermost first, each at least 1
    std::span<const std::byte> bytes;  ///< the data, within the file
};

/// A parsed file. Views point into the bytes given, which must outlive it.
class GgufFile {
public:
    /// Checks everything that the container itself promises. Throws Error(kInput), in one line
    /// that names `path`, on a wrong magic or version, on counts, strings, arrays or tensors
    /// that leave the file, on duplicate keys or tensors, overlapping tensors, and element
    /// types that we do not know.
    GgufFile(std::span<const std::byte> bytes, std::string path);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] std::uint32_t version() const { return version_; }
    [[nodiscard]] const std::vector<GgufTensor>& tensors() const { return tensors_; }
    [[nodiscard]] const GgufTensor* find_tensor(std::string_view name) const;
    [[nodiscard]] bool has(std::string_view key) const { return values_.contains(key); }
    /// Header, metadata and directory: all that comes before the tensor data.
    [[nodiscard]] std::span<const std::byte> header() const { return header_; }

    // Each returns nullopt where the key is absent and throws Error(kInput) naming file and key
    // where the value is of another type; any integer type serves where it holds the value.
    [[nodiscard]] std::optional<std::int64_t> find_int(std::string_view key) const;
    [[nodiscard]] std::optional<double> find_number(std::string_view key) const;
    [[nodiscard]] std::optional<bool> find_bool(std::string_view key) const;
    [[nodiscard]] std::optional<std::string_view> find_string(std::string_view key) const;
    [[nodiscard]] std::optional<std::vector<std::string_view>> find_strings(
        std::string_view key) const;
    [[nodiscard]] std::optional<std::vector<std::int64_t>> find_ints(std::string_view key) const;

    // The same, and an error where the key is absent.
    [[nodiscard]] std::int64_t need_int(std::string_view key) const;
    [[nodiscard]] double need_number(std::string_view key) const;
    [[nodiscard]] std::string_view need_string(std::string_view key) const;

    /// Throws Error(kInput) with the file's name before `what`.
    [[noreturn]] void fail(const std::string& what) const;

private:
    [[nodiscard]] const GgufValue* find(std::string_view key) const;
    void place_tensors(std::span<const std::uint64_t> offsets, std::span<const std::byte> data,
                       std::uint64_t alignment);

    std::string path_;
    std::uint32_t version_ = 0;
    std::span<const std::byte> header_;
    std::unordered_map<std::string_view, GgufValue> values_;
    std::vector<GgufTensor> tensors_;
    std::unordered_map<std::string_view, std::size_t> tensor_by_name_;
};

/// Name of a value type, for messages.
[[nodiscard]] std::string_view gguf_type_name(GgufType type);

/// A string of a file as it may stand in a one-line message: cut short, control characters and
/// bytes outside ASCII as \xNN.
[[nodiscard]] std::string printable(std::string_view text);

}  // namespace hc::model
