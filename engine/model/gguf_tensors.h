/// Tensors of a GGUF file as the matrices and vectors of a model, shapes checked.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/model/gguf_file.h"

namespace hc::model {

/// A view of matrix `name` [rows, cols]. Throws Error(kInput) where it is absent or of another
/// shape; the message names the tensor, what was found and what the metadata asks for.
[[nodiscard]] WeightView read_matrix(const GgufFile& file, std::string_view name, std::int64_t rows,
                                     std::int64_t cols);

/// The values of vector `name` [size] as fp32. Throws likewise.
[[nodiscard]] std::vector<float> read_vector(const GgufFile& file, std::string_view name,
                                             std::int64_t size);

}  // namespace hc::model
