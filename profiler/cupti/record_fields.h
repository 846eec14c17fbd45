/// Fields of CUPTI's records as the trace wants them. For decoder.cpp: includes cupti.h.
#pragma once

#include <cupti.h>

#include <cstdint>
#include <cstring>

#include "profiler/activity/marker_pairs.h"
#include "profiler/trace/activity.h"

namespace hc::cupti {

/// MemoryEventRow.operation of pools: this plus CUpti_ActivityMemoryPoolOperationType.
inline constexpr std::int32_t kPoolOperations = 10;

template <typename Field>
Field read_field(const void* record, std::size_t offset) {
    Field field;
    std::memcpy(&field, static_cast<const std::byte*>(record) + offset, sizeof(field));
    return field;
}

/// Unsigned in CUPTI, signed in the trace; no time or size reaches the sign.
inline std::int64_t as_time(std::uint64_t value) {
    return static_cast<std::int64_t>(value);
}
/// CUPTI's 0 is "none".
inline std::int64_t id_or_none(std::uint64_t id) {
    return id == 0 ? -1 : static_cast<std::int64_t>(id);
}
inline std::int32_t clamped(std::uint64_t value) {
    return value > INT32_MAX ? INT32_MAX : static_cast<std::int32_t>(value);
}
/// ENUM_CUDA_MEM_KIND of the Nsight Systems export has CUPTI's kinds but one lower, and unknown
/// at the end.
inline std::int32_t export_memory_kind(std::uint32_t kind) {
    constexpr std::int32_t kUnknown = 7;
    return kind == CUPTI_ACTIVITY_MEMORY_KIND_UNKNOWN ? kUnknown
                                                      : static_cast<std::int32_t>(kind) - 1;
}

/// Name in hc_meta (with "cupti_" before it) of overhead that says that CUPTI ran short of
/// something; nullptr for other kinds.
[[nodiscard]] const char* overhead_sign(CUpti_ActivityOverheadKind kind);

[[nodiscard]] trace::Launch launch_of(const CUpti_ActivityKernel10& record, trace::StringId name,
                                      trace::StringId short_name, trace::StringId mangled);
[[nodiscard]] trace::Gpu gpu_of(const CUpti_ActivityDevice5& record);
void read_payload(const CUpti_ActivityMarkerData2& record, activity::MarkerDetail& detail);

}  // namespace hc::cupti
