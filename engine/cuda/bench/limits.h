/// What the device itself reaches, measured in the process that the points are measured in.
#pragma once

#include <string>

#include "engine/cuda/device_info.h"

namespace hc::cuda::bench {

struct Limits {
    double read_gb_per_s = 0;     ///< device memory, a kernel that only reads 4 GiB
    double h2d_gb_per_s = 0;      ///< 256 MiB of pinned host memory, copied
    double bf16_tflop_per_s = 0;  ///< cuBLASLt, 8192 x 8192 x 8192 on random data; 0: no library
    std::string no_library_why;   ///< why there is none
};

/// Needs 4 GiB of free device memory. Throws as check() does.
[[nodiscard]] Limits measure_limits(const DeviceInfo& device);

}  // namespace hc::cuda::bench
