/// Turns CUPTI's buffers into rows of a trace.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "profiler/activity/activity_sink.h"
#include "profiler/activity/clock_fit.h"
#include "profiler/activity/loss_audit.h"
#include "profiler/activity/marker_pairs.h"
#include "profiler/cupti/cupti_api.h"
#include "profiler/trace/activity.h"

namespace hc::cupti {

/// Rows made so far, by table.
struct RowCounts {
    std::uint64_t kernel = 0, memcpy = 0, memset = 0, api = 0, sync = 0, nvtx = 0, overhead = 0,
                  memory = 0, external = 0;
    void add(const trace::ActivityBatch& batch);
    [[nodiscard]] std::uint64_t total() const;
};

/// Used by one thread. Names, launches and streams are asked of the sink once each.
///
/// CUPTI's strings stay where they are for as long as it runs; that a pointer still means the name
/// that it meant is checked all the same, since a module can be unloaded and its memory reused.
class Decoder {
public:
    /// Borrows all of them. `pid` is the process that the records are of.
    Decoder(CuptiApi& api, activity::ActivitySink& sink, activity::LossAudit& audit,
            std::int64_t pid);
    ~Decoder();
    Decoder(const Decoder&) = delete;
    Decoder& operator=(const Decoder&) = delete;

    /// Appends the buffer's rows to `batch`. `clock` brings CUPTI's times to now_ns().
    void decode(std::uint8_t* buffer, std::size_t valid_bytes, activity::ClockConverter& clock,
                trace::ActivityBatch& batch);
    /// Once a flush period: NVTX rows that waited for their attributes.
    void settle(trace::ActivityBatch& batch) { markers_.settle(batch.nvtx); }
    /// The end: ranges that never ended.
    void finish(trace::ActivityBatch& batch) { markers_.finish(batch.nvtx); }

    /// Records of kinds that no table holds.
    [[nodiscard]] std::uint64_t ignored() const { return ignored_; }
    /// Records of overhead that tell of trouble, by the name under which hc_meta has them.
    [[nodiscard]] const std::unordered_map<std::string, std::uint64_t>& signs() const {
        return signs_;
    }
    [[nodiscard]] const activity::MarkerPairs& markers() const { return markers_; }

private:
    struct KernelName {
        std::string mangled;
        trace::StringId mangled_id = -1, name_id = -1, short_id = -1;
    };
    struct ApiName {
        trace::StringId id = -1;
        bool launches = false;
    };
    struct StreamId {
        std::uint32_t device = 0, context = 0, stream = 0;
        bool operator==(const StreamId&) const = default;
    };
    struct ContextInfo {
        std::uint32_t device = 0;
        std::uint32_t null_stream = 0;
    };
    struct Hash {
        std::size_t operator()(const StreamId& id) const;
        std::size_t operator()(const trace::Launch& launch) const;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
        using is_transparent = void;
    };

    void decode_record(const void* record, activity::ClockConverter& clock,
                       trace::ActivityBatch& batch);
    void decode_kernel(const void* record, activity::ClockConverter& clock,
                       trace::ActivityBatch& batch);
    void decode_memcpy(const void* record, activity::ClockConverter& clock,
                       trace::ActivityBatch& batch);
    void decode_peer_memcpy(const void* record, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch);
    void decode_memset(const void* record, activity::ClockConverter& clock,
                       trace::ActivityBatch& batch);
    void decode_api(const void* record, activity::ClockConverter& clock,
                    trace::ActivityBatch& batch);
    void decode_sync(const void* record, activity::ClockConverter& clock,
                     trace::ActivityBatch& batch);
    void decode_overhead(const void* record, activity::ClockConverter& clock,
                         trace::ActivityBatch& batch);
    void decode_memory(const void* record, activity::ClockConverter& clock,
                       trace::ActivityBatch& batch);
    void decode_memory_pool(const void* record, activity::ClockConverter& clock,
                            trace::ActivityBatch& batch);
    void decode_external(const void* record, trace::ActivityBatch& batch);
    void decode_marker(const void* record, activity::ClockConverter& clock,
                       trace::ActivityBatch& batch);
    void decode_marker_data(const void* record, trace::ActivityBatch& batch);
    void decode_name(const void* record);
    void decode_context(const void* record);
    void decode_stream(const void* record);
    void decode_device(const void* record);
    void decode_pcie(const void* record);

    /// False, and counted, where a record has no usable times.
    [[nodiscard]] bool has_times(std::uint64_t start, std::uint64_t end);
    [[nodiscard]] trace::StreamKey stream(StreamId id);
    [[nodiscard]] std::uint32_t device_of_context(std::uint32_t context) const;
    [[nodiscard]] const KernelName& kernel_name(const char* name);
    [[nodiscard]] const ApiName& api_name(int domain, std::uint32_t cbid);
    [[nodiscard]] trace::StringId string(std::string_view text);
    void add_device_value(std::uint32_t device, std::string name, double argument, double number,
                          std::string unit);

    CuptiApi& api_;
    activity::ActivitySink& sink_;
    activity::LossAudit& audit_;
    const std::int64_t pid_;
    activity::MarkerPairs markers_;
    std::unordered_map<const char*, KernelName> kernel_names_;
    std::array<std::vector<ApiName>, 2> api_names_;  // [0 runtime, 1 driver][cbid]
    std::unordered_map<trace::Launch, trace::LaunchId, Hash> launches_;
    std::unordered_map<StreamId, trace::StreamKey, Hash> streams_;
    std::unordered_map<std::string, trace::StringId, Hash, std::equal_to<>> strings_;
    std::unordered_map<std::string, std::int32_t, Hash, std::equal_to<>> domains_;
    std::unordered_map<std::uint32_t, ContextInfo> contexts_;
    std::unordered_map<std::uint32_t, std::string> device_names_;
    std::unordered_map<std::string, std::uint64_t> signs_;
    StreamId last_stream_id_{UINT32_MAX, UINT32_MAX, UINT32_MAX};
    trace::StreamKey last_stream_ = -1;
    std::uint64_t ignored_ = 0;
};

}  // namespace hc::cupti
