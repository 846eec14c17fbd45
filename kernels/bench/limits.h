/// What this machine can do at most, measured once: the yardstick of every benchmark here.
#pragma once

namespace hc::bench {

struct Limits {
    double read_bytes_per_s = 0;       ///< streaming reads from memory, all workers
    double fp32_flops_per_s = 0;       ///< fp32 micro-kernel on data in the first-level cache
    double int8_ops_per_s = 0;         ///< int8 micro-kernel likewise, wide panel
    double fp32_flops_per_s_core = 0;  ///< the same of one worker
};

/// Measured at the first call (about a second) with as many workers as the benchmarks use.
[[nodiscard]] const Limits& limits();

/// Workers of all benchmarks: the cores of this process.
[[nodiscard]] int workers();

}  // namespace hc::bench
