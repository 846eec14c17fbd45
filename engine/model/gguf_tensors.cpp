#include "engine/model/gguf_tensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "kernels/reference/ops.h"

namespace hc::model {
namespace {

const GgufTensor& need_tensor(const GgufFile& file, std::string_view name,
                              const std::vector<std::int64_t>& dims) {
    const GgufTensor* tensor = file.find_tensor(name);
    if (tensor == nullptr) file.fail(fmt::format("tensor '{}' is missing", name));
    if (tensor->dims != dims) {
        file.fail(fmt::format("tensor '{}' has shape [{}], the metadata asks for [{}]", name,
                              fmt::join(tensor->dims, ", "), fmt::join(dims, ", ")));
    }
    return *tensor;
}

}  // namespace

WeightView read_matrix(const GgufFile& file, std::string_view name, std::int64_t rows,
                       std::int64_t cols) {
    const GgufTensor& tensor = need_tensor(file, name, {cols, rows});
    return {tensor.type, tensor.bytes.data(), rows, cols};
}

std::vector<float> read_vector(const GgufFile& file, std::string_view name, std::int64_t size) {
    const GgufTensor& tensor = need_tensor(file, name, {size});
    std::vector<float> values(static_cast<std::size_t>(size));
    const WeightView row{tensor.type, tensor.bytes.data(), 1, size};
    kernels::reference::dequantize_row(row, 0, values.data());
    return values;
}

}  // namespace hc::model
