/// Writes GGUF files, right ones and wrong ones, for tests.
#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "engine/core/dtype.h"

namespace hc::test {

/// Collects metadata and tensors in the order of the calls. Nothing is checked: a test that
/// wants a broken file asks for one.
class GgufBuilder {
public:
    std::uint32_t version = 3;
    std::string magic = "GGUF";
    std::uint64_t alignment = 32;  ///< of the tensor data; write the key where it is not 32
    /// Added to the true counts of the header.
    std::int64_t extra_tensors = 0;
    std::int64_t extra_values = 0;

    void add_uint32(std::string_view key, std::uint32_t value) { add_scalar(key, 4, value); }
    void add_int32(std::string_view key, std::int32_t value) { add_scalar(key, 5, value); }
    void add_uint64(std::string_view key, std::uint64_t value) { add_scalar(key, 10, value); }
    void add_float32(std::string_view key, float value) { add_scalar(key, 6, value); }
    void add_bool(std::string_view key, bool value) {
        add_scalar<std::uint8_t>(key, 7, value ? 1 : 0);
    }
    void add_string(std::string_view key, std::string_view value);
    void add_strings(std::string_view key, const std::vector<std::string>& values);
    void add_int32s(std::string_view key, const std::vector<std::int32_t>& values);
    /// A value whose type number and bytes are the caller's.
    void add_raw(std::string_view key, std::uint32_t type, std::string_view bytes);
    template <class T>
    void add_scalar(std::string_view key, std::uint32_t type, T value) {
        add_raw(key, type, bytes_of(value));
    }

    /// `dims` innermost first; `data` in the element type's own layout.
    void add_tensor(std::string_view name, DType type, std::vector<std::uint64_t> dims,
                    std::string data);
    void add_tensor(std::string_view name, std::vector<std::uint64_t> dims,
                    const std::vector<float>& values);

    struct Tensor {
        std::string name;
        std::uint32_t type = 0;
        std::vector<std::uint64_t> dims;
        std::string data;
        std::int64_t offset_shift = 0;  ///< added to the true offset in the directory
    };
    /// To be spoiled by the test.
    [[nodiscard]] Tensor& tensor(std::string_view name);
    void remove_tensor(std::string_view name);
    void remove_value(std::string_view key);

    [[nodiscard]] std::string build() const;
    /// Writes build() to `path` and returns it.
    std::filesystem::path write(const std::filesystem::path& path) const;

    template <class T>
    [[nodiscard]] static std::string bytes_of(T value) {
        static_assert(std::is_arithmetic_v<T>);
        std::string bytes(sizeof value, '\0');
        std::memcpy(bytes.data(), &value, sizeof value);
        return bytes;
    }
    /// A length of 64 bits, then the text.
    [[nodiscard]] static std::string string_bytes(std::string_view text);

private:
    struct Value {
        std::string key;
        std::uint32_t type = 0;
        std::string bytes;
    };
    std::vector<Value> values_;
    std::vector<Tensor> tensors_;
};

}  // namespace hc::test
