// The matrix products of a decode step of Llama-3.1-8B.
#include <algorithm>
#include <memory>

#include "kernels/cuda/bench/measure.h"
#include "kernels/cuda/ops.h"

namespace hc::kernels::cuda::bench {
namespace {

struct Shape {
    const char* name;
    std::int64_t rows;
    std::int64_t cols;
};

constexpr Shape kShapes[] = {{"qkv", 6144, 4096},
                             {"o", 4096, 4096},
                             {"gate_up", 28672, 4096},
                             {"down", 4096, 14336},
                             {"lm_head", 128256, 4096}};
constexpr double kRotation = 400e6;  // bytes of weights in turn, several times any L2

}  // namespace

void bench_matmul(Report& report) {
    const DeviceMemory x(8 * 14336 * 2);
    const DeviceMemory out(8 * 128256 * 4);
    for (const Shape& shape : kShapes) {
        const auto bytes = static_cast<std::size_t>(2 * shape.rows * shape.cols);
        const int copies = static_cast<int>(kRotation / static_cast<double>(bytes)) + 1;
        std::vector<std::unique_ptr<DeviceMemory>> weights;
        for (int i = 0; i < copies; ++i) weights.push_back(std::make_unique<DeviceMemory>(bytes));
        for (const std::int32_t n : {1, 2, 4, 8}) {
            const double us = median_us(2 * copies, 31, [&](int i, cudaStream_t stream) {
                require(small_matmul(weights[static_cast<std::size_t>(i % copies)]->as<Bf16>(),
                                     shape.rows, shape.cols, nullptr, x.as<Bf16>(), n,
                                     out.as<void>(), OutType::kBf16, stream),
                        "small_matmul");
            });
            report.add({std::string("matmul ") + shape.name + " batch " + std::to_string(n), us,
                        static_cast<double>(bytes)});
        }
    }
}

}  // namespace hc::kernels::cuda::bench
