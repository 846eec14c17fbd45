/// Half-precision arrays in NumPy's .npy files (format versions 1 and 2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "engine/core/mapped_file.h"

namespace hc::config {

/// What a .npy header says of an array of little-endian float16 in C order.
struct NpyHeader {
    std::vector<std::int64_t> shape;  ///< each at least 1
    std::size_t data_offset = 0;      ///< of the first element in the file
    std::size_t count = 0;            ///< elements: the product of the shape
};

/// Throws Error(kInput) naming `name` unless `file` is such an array, whole and nothing more.
[[nodiscard]] NpyHeader parse_npy_header(std::span<const std::byte> file, const std::string& name);

/// Memory-mapped; rows are converted as they are asked for.
class HalfArray {
public:
    explicit HalfArray(const std::filesystem::path& path);

    [[nodiscard]] const std::vector<std::int64_t>& shape() const { return header_.shape; }
    /// Elements first .. first + out.size() - 1 in C order, widened.
    void read(std::size_t first, std::span<float> out) const;

private:
    MappedFile file_;
    NpyHeader header_;
};

}  // namespace hc::config
