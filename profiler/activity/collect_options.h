/// What to collect, and with how much memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hc::activity {

enum class Collect : std::uint32_t {
    kKernel = 1U << 0,
    kMemcpy = 1U << 1,
    kMemset = 1U << 2,
    kSync = 1U << 3,
    kApi = 1U << 4,
    kOverhead = 1U << 5,
    kMemory = 1U << 6,
    kExternal = 1U << 7,
    kNvtx = 1U << 8,
};

/// A set of Collect.
class CollectSet {
public:
    constexpr CollectSet() = default;
    constexpr CollectSet& add(Collect kind) {
        bits_ |= static_cast<std::uint32_t>(kind);
        return *this;
    }
    [[nodiscard]] constexpr bool has(Collect kind) const {
        return (bits_ & static_cast<std::uint32_t>(kind)) != 0;
    }
    bool operator==(const CollectSet&) const = default;

private:
    std::uint32_t bits_ = 0;
};

/// kernel,memcpy,memset,sync,api,overhead,nvtx
[[nodiscard]] CollectSet default_collect();
/// A comma-separated list of the names of Collect, or "all". Throws Error(kUsage) that begins with
/// `option` for an unknown or missing name.
[[nodiscard]] CollectSet parse_collect(std::string_view option, std::string_view list);
/// The names, comma-separated, in the order of Collect.
[[nodiscard]] std::string collect_names(CollectSet set);

/// Which runtime and driver calls make records. Records of calls that nobody reads (cudaGetDevice,
/// cudaGetLastError) cost most of what a recording costs.
enum class ApiLevel : std::uint8_t {
    kNone,
    kUseful,  ///< work for the GPU, waits, allocations
    kAll,
};
[[nodiscard]] ApiLevel parse_api_level(std::string_view option, std::string_view name);
[[nodiscard]] std::string_view api_level_name(ApiLevel level);

struct CollectOptions {
    CollectSet kinds = default_collect();
    ApiLevel api = ApiLevel::kUseful;
    /// Records reach the sink at most this much after they are complete.
    std::chrono::milliseconds flush_period{200};
    /// Memory for activity buffers is `buffer_bytes` * `num_buffers` and no more.
    std::size_t buffer_bytes = std::size_t{1} << 20;
    std::size_t num_buffers = 128;
    /// A thread that needs a buffer while none is free waits this long, then its records are
    /// refused and counted.
    std::chrono::milliseconds patience{1000};
    /// Remember which node of an executable graph came from which captured node.
    bool graph_nodes = false;
    /// Start with collection switched off, see Session::set_collecting.
    bool start_paused = false;
};

}  // namespace hc::activity
