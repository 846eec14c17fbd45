/// CUDA activity as the timeline keeps it: times and names live in the lanes, and what details
/// and arrows need beside them lives here, a few bytes a row.
#pragma once

#include <QString>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "profiler/trace/activity.h"

namespace hc::gui {

/// Columns by row; a lane's LaneEvents::source is the row. Correlation 0: none (CUPTI counts from
/// 1; numbers beyond 32 bits are none of CUPTI's).
struct ActivityDetails {
    struct Copy {
        std::uint32_t bytes_low = 0;  ///< bytes, low half: rows stay narrow
        std::uint16_t bytes_high = 0;
        std::uint8_t copy_kind = 0, src_kind = 255, dst_kind = 255;
        [[nodiscard]] std::int64_t bytes() const {
            return (static_cast<std::int64_t>(bytes_high) << 32) | bytes_low;
        }
    };
    struct Nvtx {
        std::int64_t payload = 0;
        std::int32_t payload_type = -1;  ///< trace::NvtxRanges::payload_type
        std::int32_t domain = 0;         ///< hc_nvtx_name; 0: the default domain
    };

    std::vector<std::uint32_t> kernel_correlation, kernel_launch;
    std::vector<std::uint32_t> copy_correlation;
    std::vector<Copy> copies;
    std::vector<std::uint32_t> set_correlation;
    std::vector<std::int64_t> set_bytes;
    std::vector<std::uint32_t> sync_correlation;
    std::vector<std::uint8_t> sync_type;
    std::vector<std::uint32_t> api_correlation;
    std::unordered_map<std::uint32_t, std::int32_t> api_failures;  ///< row -> result that is not 0
    std::unordered_map<std::uint32_t, Nvtx> nvtx;  ///< rows that have a payload or a domain

    std::vector<trace::Launch> launches;
    std::vector<QString> strings;

    [[nodiscard]] std::size_t memory() const;
    [[nodiscard]] QString string(std::int32_t id) const {
        const auto i = static_cast<std::size_t>(id);
        return id >= 0 && i < strings.size() ? strings[i] : QString();
    }
};

/// "host to device", after ENUM_CUDA_MEMCPY_OPER.
[[nodiscard]] QString copy_direction(int copy_kind);
/// "pinned", after ENUM_CUDA_MEM_KIND; empty: not known.
[[nodiscard]] QString memory_kind(int kind);
/// "stream synchronize", after ENUM_CUPTI_SYNC_TYPE.
[[nodiscard]] QString sync_name(int type);

}  // namespace hc::gui
