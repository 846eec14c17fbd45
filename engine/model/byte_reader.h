/// Reads little-endian values from a span and refuses to leave it.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace hc::model {

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

template <class T>
concept Scalar = std::is_arithmetic_v<T>;

template <Scalar T>
[[nodiscard]] T load_little_endian(const std::byte* at) {
    T value;
    std::memcpy(&value, at, sizeof value);  // at any alignment
    return value;
}

[[nodiscard]] inline std::string_view as_text(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Every read says whether it succeeded; a failed one leaves the position where it was.
class ByteReader {
public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

    [[nodiscard]] std::size_t position() const { return position_; }
    [[nodiscard]] std::size_t remaining() const { return bytes_.size() - position_; }

    template <Scalar T>
    [[nodiscard]] bool read(T& value) {
        if (remaining() < sizeof(T)) return false;
        value = load_little_endian<T>(bytes_.data() + position_);
        position_ += sizeof(T);
        return true;
    }

    [[nodiscard]] bool take(std::uint64_t count, std::span<const std::byte>& taken) {
        if (count > remaining()) return false;
        taken = bytes_.subspan(position_, static_cast<std::size_t>(count));
        position_ += static_cast<std::size_t>(count);
        return true;
    }

private:
    std::span<const std::byte> bytes_;
    std::size_t position_ = 0;
};

}  // namespace hc::model
