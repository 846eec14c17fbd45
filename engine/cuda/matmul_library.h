/// Large matrix products by cuBLASLt, loaded at run time: a program without it still starts.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>
#include <string>

#include "engine/cuda/device_memory.h"
#include "kernels/cuda/types.h"

namespace hc::cuda {

class MatmulLibrary {
public:
    /// Null when the library is not on this machine; `why` then says what was looked for.
    [[nodiscard]] static std::unique_ptr<MatmulLibrary> open(MemoryLedger& ledger,
                                                             std::string& why);
    ~MatmulLibrary();
    MatmulLibrary(const MatmulLibrary&) = delete;
    MatmulLibrary& operator=(const MatmulLibrary&) = delete;

    /// out [n, rows] = x [n, cols] * w [rows, cols]^T (+ bias [rows] when not null), bf16, sums
    /// in fp32. The way is chosen once per shape by the library's own heuristic.
    void multiply(const kernels::cuda::Bf16* w, std::int64_t rows, std::int64_t cols,
                  const kernels::cuda::Bf16* bias, const kernels::cuda::Bf16* x, std::int64_t n,
                  kernels::cuda::Bf16* out, cudaStream_t stream);

private:
    struct Impl;
    explicit MatmulLibrary(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// Device memory that the library works in; listed apart in forecasts.
inline constexpr std::int64_t kMatmulLibraryBytes = std::int64_t{32} << 20;

}  // namespace hc::cuda
