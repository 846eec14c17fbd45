/// Bytes that kernels move, where a run's operations know them.
#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "profiler/analysis/activity.h"
#include "profiler/trace/op_launches.h"

namespace hc::analysis {

struct KernelBytes {
    std::int64_t kernels = 0;  ///< whose bytes are known
    std::int64_t bytes = 0;
    std::int64_t time_ns = 0;  ///< of these kernels
    [[nodiscard]] std::optional<double> gb_per_s() const {
        if (time_ns <= 0 || bytes <= 0) return std::nullopt;
        return static_cast<double>(bytes) / static_cast<double>(time_ns);
    }
};

/// By kernel name. An operation's bytes belong to a kernel when that is the only one it launched;
/// of an operation of several kernels nobody knows how they share them, and neither where several
/// operations share a launch (a CUDA graph). Nothing for a trace of several processes, whose
/// correlation ids mean different things.
[[nodiscard]] std::unordered_map<NameIndex, KernelBytes> kernel_bytes(
    const Activity& activity, std::vector<trace::OpLaunches> operations);

}  // namespace hc::analysis
