#include "kernels/cuda/advance_lengths.h"

#include "kernels/cuda/launch.cuh"

namespace hc::kernels::cuda {
namespace {

constexpr int kThreads = 256;

struct Params {
    std::int32_t* lengths;
    std::int32_t* positions;
    int num_lengths;
    int num_positions;
};

// Never releases early: what follows may load lengths at once.
__global__ void __launch_bounds__(kThreads)
    advance_lengths_kernel(const __grid_constant__ Params params) {
    grid_wait();
    const unsigned i = blockIdx.x * kThreads + threadIdx.x;
    if (i < static_cast<unsigned>(params.num_lengths)) ++params.lengths[i];
    if (i < static_cast<unsigned>(params.num_positions)) ++params.positions[i];
}

}  // namespace

cudaError_t advance_lengths(std::int32_t* lengths, std::int32_t num_lengths,
                            std::int32_t* positions, std::int32_t num_positions, bool pdl,
                            cudaStream_t stream) {
    if (num_lengths < 0 || num_positions < 0) return cudaErrorInvalidValue;
    const std::int32_t most = num_lengths > num_positions ? num_lengths : num_positions;
    if (most == 0) return cudaSuccess;
    const Params params{lengths, positions, num_lengths, num_positions};
    const unsigned ctas = (static_cast<unsigned>(most) + kThreads - 1) / kThreads;
    run_beside_others(advance_lengths_kernel);
    return launch(advance_lengths_kernel, {ctas, kThreads, 0}, pdl, stream, params);
}

}  // namespace hc::kernels::cuda
