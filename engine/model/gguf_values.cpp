// Typed access to the metadata of a GGUF file.
#include <fmt/format.h>
#include <cmath>
#include <limits>

#include "engine/core/error.h"
#include "engine/model/byte_reader.h"
#include "engine/model/gguf_file.h"

namespace hc::model {
namespace {

/// An element of any integer type; nullopt for other types and for what int64 cannot hold.
std::optional<std::int64_t> as_int(GgufType type, const std::byte* at) {
    switch (type) {
        case GgufType::kUint8:
            return load_little_endian<std::uint8_t>(at);
        case GgufType::kInt8:
            return load_little_endian<std::int8_t>(at);
        case GgufType::kUint16:
            return load_little_endian<std::uint16_t>(at);
        case GgufType::kInt16:
            return load_little_endian<std::int16_t>(at);
        case GgufType::kUint32:
            return load_little_endian<std::uint32_t>(at);
        case GgufType::kInt32:
            return load_little_endian<std::int32_t>(at);
        case GgufType::kInt64:
            return load_little_endian<std::int64_t>(at);
        case GgufType::kUint64: {
            const auto value = load_little_endian<std::uint64_t>(at);
            if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
                return std::nullopt;
            }
            return static_cast<std::int64_t>(value);
        }
        default:
            return std::nullopt;
    }
}

std::size_t int_bytes(GgufType type) {
    switch (type) {
        case GgufType::kUint8:
        case GgufType::kInt8:
            return 1;
        case GgufType::kUint16:
        case GgufType::kInt16:
            return 2;
        case GgufType::kUint32:
        case GgufType::kInt32:
            return 4;
        case GgufType::kUint64:
        case GgufType::kInt64:
            return 8;
        default:
            return 0;
    }
}

std::string wrong_type(std::string_view key, const GgufValue& value, std::string_view expected) {
    const std::string found =
        value.type == GgufType::kArray
            ? fmt::format("an array of {}", gguf_type_name(value.element_type))
            : std::string(gguf_type_name(value.type));
    return fmt::format("metadata '{}' is {}, expected {}", key, found, expected);
}

}  // namespace

std::string_view gguf_type_name(GgufType type) {
    switch (type) {
        case GgufType::kUint8:
            return "uint8";
        case GgufType::kInt8:
            return "int8";
        case GgufType::kUint16:
            return "uint16";
        case GgufType::kInt16:
            return "int16";
        case GgufType::kUint32:
            return "uint32";
        case GgufType::kInt32:
            return "int32";
        case GgufType::kFloat32:
            return "float32";
        case GgufType::kBool:
            return "bool";
        case GgufType::kString:
            return "string";
        case GgufType::kArray:
            return "array";
        case GgufType::kUint64:
            return "uint64";
        case GgufType::kInt64:
            return "int64";
        case GgufType::kFloat64:
            return "float64";
    }
    return "unknown";
}

std::string printable(std::string_view text) {
    constexpr std::size_t kLongest = 64;
    std::string shown;
    for (const char c : text.substr(0, kLongest)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7F) {
            shown += c;
        } else {
            shown += fmt::format("\\x{:02x}", byte);
        }
    }
    if (text.size() > kLongest) shown += "...";
    return shown;
}

const GgufValue* GgufFile::find(std::string_view key) const {
    const auto found = values_.find(key);
    return found == values_.end() ? nullptr : &found->second;
}

std::optional<std::int64_t> GgufFile::find_int(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (int_bytes(value->type) == 0) fail(wrong_type(key, *value, "an integer"));
    const std::optional<std::int64_t> number = as_int(value->type, value->bytes.data());
    if (!number) fail(fmt::format("metadata '{}' exceeds 63 bits", key));
    return number;
}

std::optional<double> GgufFile::find_number(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    double number = 0;
    if (value->type == GgufType::kFloat32) {
        number = load_little_endian<float>(value->bytes.data());
    } else if (value->type == GgufType::kFloat64) {
        number = load_little_endian<double>(value->bytes.data());
    } else if (int_bytes(value->type) != 0) {
        number = static_cast<double>(*find_int(key));
    } else {
        fail(wrong_type(key, *value, "a number"));
    }
    if (!std::isfinite(number)) fail(fmt::format("metadata '{}' is not finite", key));
    return number;
}

std::optional<bool> GgufFile::find_bool(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->type != GgufType::kBool) fail(wrong_type(key, *value, "a bool"));
    return value->bytes[0] != std::byte{0};
}

std::optional<std::string_view> GgufFile::find_string(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->type != GgufType::kString) fail(wrong_type(key, *value, "a string"));
    return as_text(value->bytes);
}

std::optional<std::vector<std::string_view>> GgufFile::find_strings(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (value->type != GgufType::kArray || value->element_type != GgufType::kString) {
        fail(wrong_type(key, *value, "an array of strings"));
    }
    std::vector<std::string_view> strings;
    strings.reserve(value->count);
    ByteReader reader(value->bytes);
    for (std::uint64_t i = 0; i < value->count; ++i) {
        std::uint64_t length = 0;
        std::span<const std::byte> text;
        const bool whole = reader.read(length) && reader.take(length, text);
        HC_CHECK(whole);  // the parser has walked this array
        strings.push_back(as_text(text));
    }
    return strings;
}

std::optional<std::vector<std::int64_t>> GgufFile::find_ints(std::string_view key) const {
    const GgufValue* value = find(key);
    if (value == nullptr) return std::nullopt;
    const std::size_t size = int_bytes(value->element_type);
    if (value->type != GgufType::kArray || size == 0) {
        fail(wrong_type(key, *value, "an array of integers"));
    }
    std::vector<std::int64_t> numbers;
    numbers.reserve(value->count);
    for (std::uint64_t i = 0; i < value->count; ++i) {
        const auto number = as_int(value->element_type, value->bytes.data() + i * size);
        if (!number) fail(fmt::format("metadata '{}' exceeds 63 bits", key));
        numbers.push_back(*number);
    }
    return numbers;
}

std::int64_t GgufFile::need_int(std::string_view key) const {
    const auto value = find_int(key);
    if (!value) fail(fmt::format("metadata '{}' is missing", key));
    return *value;
}

double GgufFile::need_number(std::string_view key) const {
    const auto value = find_number(key);
    if (!value) fail(fmt::format("metadata '{}' is missing", key));
    return *value;
}

std::string_view GgufFile::need_string(std::string_view key) const {
    const auto value = find_string(key);
    if (!value) fail(fmt::format("metadata '{}' is missing", key));
    return *value;
}

}  // namespace hc::model
