/// CUDA activity of a trace in compact arrays: what the analyses of this folder go through.
///
/// Times are those of the trace. Everything that ran on a device carries `stream`, an index into
/// Activity::streams, and `correlation`, which names the API call that asked for it; a CUDA graph
/// gives all its nodes the correlation of its launch.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace hc::analysis {

/// Index into Activity::names.
using NameIndex = std::int32_t;
inline constexpr NameIndex kNoName = -1;

struct ActivityStream {
    std::int64_t pid = 0;
    std::int32_t device = -1;  ///< -1: not known
    std::int64_t stream_id = -1;
    std::string name;
    bool fetches = false;  ///< role "fetch": its kernels move data, they are transfers
};

struct Kernel {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t correlation = 0;
    std::int32_t stream = 0;
    NameIndex name = kNoName;
};

struct Copy {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t correlation = 0;
    std::int64_t bytes = 0;
    std::int32_t stream = 0;
    std::int16_t kind = 0;                               ///< ENUM_CUDA_MEMCPY_OPER
    std::int8_t source_memory = -1, target_memory = -1;  ///< ENUM_CUDA_MEM_KIND, -1: not known
};

struct Memset {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t correlation = 0;
    std::int64_t bytes = 0;
    std::int32_t stream = 0;
};

struct ApiCall {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t correlation = 0;
    NameIndex name = kNoName;
    std::uint16_t thread = 0;  ///< index into Activity::threads
    bool failed = false;  ///< neither success nor "not ready", which a query gives while it waits
};

/// ENUM_CUPTI_SYNC_TYPE.
enum class SyncType : std::uint8_t { kUnknown, kEvent, kStreamWaitEvent, kStream, kContext };

struct Sync {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int32_t stream = 0;
    SyncType type = SyncType::kUnknown;
    /// The host stands still in it.
    [[nodiscard]] bool blocks_host() const {
        return type == SyncType::kEvent || type == SyncType::kStream || type == SyncType::kContext;
    }
};

/// An NVTX range that ended. Marks and ranges without an end are not kept.
struct NvtxRange {
    std::int64_t start_ns = 0, end_ns = 0;
    NameIndex name = kNoName;
    std::uint16_t thread = 0;
};

struct Activity {
    std::vector<ActivityStream> streams;
    std::vector<std::int64_t> threads;  ///< (process id << 24) | thread id
    std::vector<std::string> names;
    std::vector<Kernel> kernels;  ///< by start
    std::vector<Copy> copies;     ///< by start
    std::vector<Memset> memsets;  ///< by start
    std::vector<ApiCall> calls;   ///< by start
    std::vector<Sync> syncs;
    std::vector<NvtxRange> ranges;
    std::int64_t open_ranges = 0;     ///< NVTX ranges that never ended
    std::int64_t clock_error_ns = 0;  ///< of device times against host times; 0: not known
    std::vector<std::pair<std::string, std::int64_t>> lost;  ///< missing records by cause

    [[nodiscard]] bool has_device_work() const {
        return !kernels.empty() || !copies.empty() || !memsets.empty();
    }
    [[nodiscard]] std::int64_t events() const {
        return static_cast<std::int64_t>(kernels.size() + copies.size() + memsets.size() +
                                         calls.size() + syncs.size() + ranges.size());
    }
    [[nodiscard]] const std::string& name(NameIndex index) const {
        static const std::string kUnknown = "?";
        return index >= 0 && static_cast<std::size_t>(index) < names.size()
                   ? names[static_cast<std::size_t>(index)]
                   : kUnknown;
    }
    /// Devices on which something ran, ascending.
    [[nodiscard]] std::vector<std::int32_t> devices() const;
    /// Puts every vector into its stated order; loaders call it once.
    void sort();
};

/// "Host-to-Device", ..., "kind 42" for a number that the export does not list.
[[nodiscard]] std::string copy_kind_name(std::int32_t kind);

}  // namespace hc::analysis
