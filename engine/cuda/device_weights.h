/// The model's weights on the device: bf16, as the kernels want them.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/core/progress.h"
#include "engine/cuda/device_memory.h"
#include "engine/model/model.h"
#include "kernels/cuda/types.h"

namespace hc::cuda {

/// Matrices are [out, in] row-major. q, k and v lie below each other in one matrix, gate and up
/// likewise, so that a step reads each in one launch. Rows of q and k are in halves order
/// (RoPE rotates i and i + head_dim / 2), whatever the file's order was: scores do not change.
struct DeviceLayer {
    const kernels::cuda::Bf16* attn_norm;  ///< [hidden]
    const kernels::cuda::Bf16* qkv;        ///< [(num_qo + 2 num_kv) head_dim, hidden]
    const kernels::cuda::Bf16* qkv_bias;   ///< [(num_qo + 2 num_kv) head_dim], null without
    const kernels::cuda::Bf16* o;          ///< [hidden, num_qo head_dim]
    const kernels::cuda::Bf16* mlp_norm;   ///< [hidden]
    const kernels::cuda::Bf16* gate_up;    ///< [2 mlp, hidden], gate first
    const kernels::cuda::Bf16* down;       ///< [hidden, mlp]
};

class DeviceWeights {
public:
    /// Uploads and expands the model's weights; for a shape without weights makes seeded random
    /// ones of deviation 1 / sqrt(columns), norms 1. Waits until they are there.
    DeviceWeights(const model::Model& model, MemoryLedger& ledger, cudaStream_t stream,
                  std::uint64_t seed);

    std::vector<DeviceLayer> layers;
    const kernels::cuda::Bf16* embedding = nullptr;   ///< [vocab, hidden]
    const kernels::cuda::Bf16* final_norm = nullptr;  ///< [hidden]
    const kernels::cuda::Bf16* lm_head = nullptr;     ///< [vocab, hidden]

private:
    DeviceBuffer storage_;
};

}  // namespace hc::cuda
