/// Gives out the ids of what many rows of CUDA activity share: names, kernel configurations,
/// streams and NVTX domains, each stored once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>

#include "profiler/trace/activity.h"
#include "profiler/trace/columns.h"

namespace hc::trace {

/// A row of hc_string on its way.
struct StringEntry {
    StringId id = 0;
    std::string text;
};

/// A row of hc_launch on its way.
struct LaunchEntry {
    LaunchId id = 0;
    Launch launch;
};

/// A row of hc_process on its way.
struct ProcessEntry {
    std::int64_t pid = 0;
    std::string name;
};

/// A row of hc_nvtx_name on its way.
struct NvtxNameEntry {
    std::int64_t pid = 0;
    std::int32_t domain = 0;
    std::int32_t category = -1;
    StringId name = 0;
};

/// Where new entries go; called with a lock held, so that an entry is queued before anybody has
/// its id. What it throws leaves the tables as they were.
class EntrySink {
public:
    virtual ~EntrySink() = default;
    virtual void put(const StringEntry& entry) = 0;
    virtual void put(const LaunchEntry& entry) = 0;
    virtual void put(const Stream& entry) = 0;
    virtual void put(const NvtxNameEntry& entry) = 0;
};

/// Thread-safe. Borrows the sink.
class ActivityNames {
public:
    explicit ActivityNames(EntrySink& sink) : sink_(sink) {}

    StringId string_id(std::string_view text);
    LaunchId launch_id(const Launch& launch);
    /// By pid, device, context and stream id; see Writer::stream_key.
    StreamKey stream_key(const Stream& stream);
    /// A stream whose key the caller chose, below kFirstStreamKey.
    void put_stream(const Stream& stream);
    std::int32_t nvtx_domain(std::int64_t pid, std::string_view name);
    void name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                            std::string_view name);

    /// Lower keys are the engine's. Small numbers, because every row holds one.
    static constexpr StreamKey kFirstStreamKey = 16;

private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const {
            return std::hash<std::string_view>{}(text);
        }
    };
    struct LaunchHash {
        std::size_t operator()(const Launch& launch) const;
    };
    using StreamIdentity = std::tuple<std::int64_t, std::int32_t, std::int32_t, std::int64_t>;

    StringId string_locked(std::string_view text);

    EntrySink& sink_;
    std::mutex mutex_;  // guards everything below; held while the sink waits
    std::unordered_map<std::string, StringId, TextHash, std::equal_to<>> strings_;
    std::unordered_map<Launch, LaunchId, LaunchHash> launches_;
    std::map<StreamIdentity, Stream> streams_;
    StreamKey next_stream_ = kFirstStreamKey;
    std::map<std::pair<std::int64_t, StringId>, std::int32_t> domains_;
    std::map<std::tuple<std::int64_t, std::int32_t, std::int32_t>, StringId> categories_;
};

}  // namespace hc::trace
