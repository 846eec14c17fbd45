/// The safetensors container: a directory of tensors in JSON, then their data. Knows nothing of
/// models.
///
/// Format after the public description (docs of huggingface/safetensors): a length of 64 bits,
/// little endian; that many bytes of JSON, which names each tensor's dtype, shape and
/// data_offsets [begin, end) within what follows; the data, indexed without holes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/dtype.h"

namespace hc::model {

struct SafeTensor {
    DType type = DType::kF32;          ///< F32, F16 or BF16
    std::vector<std::int64_t> dims;    ///< outermost first, each at least 1; empty: a scalar
    std::span<const std::byte> bytes;  ///< the data, within the file, at any alignment
};

/// A parsed file. Spans point into the bytes given, which must outlive it.
class SafetensorsFile {
public:
    /// Checks everything that the container itself promises. Throws Error(kInput), in one line
    /// that names `path`, on a header that leaves the file or is no JSON, on duplicate names,
    /// unknown dtypes, shapes that do not fit their offsets, and on tensors that leave the file,
    /// overlap or leave bytes between or behind them.
    SafetensorsFile(std::span<const std::byte> bytes, std::string path);

    [[nodiscard]] const std::string& path() const { return path_; }
    [[nodiscard]] const std::map<std::string, SafeTensor, std::less<>>& tensors() const {
        return tensors_;
    }
    /// nullptr where there is none of that name.
    [[nodiscard]] const SafeTensor* find_tensor(std::string_view name) const;
    /// Length and JSON: all that comes before the data.
    [[nodiscard]] std::span<const std::byte> header() const { return header_; }
    [[nodiscard]] std::size_t size_bytes() const { return size_bytes_; }

    /// Throws Error(kInput) with the file's name before `what`.
    [[noreturn]] void fail(const std::string& what) const;

private:
    void check_cover(std::span<const std::byte> data) const;

    std::string path_;
    std::size_t size_bytes_ = 0;
    std::span<const std::byte> header_;
    std::map<std::string, SafeTensor, std::less<>> tensors_;
};

}  // namespace hc::model
