/// Makes ranges of NVTX's marker records, which come as one record per start, end and mark, and
/// another one with their attributes.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "profiler/trace/activity.h"

namespace hc::activity {

struct MarkerPoint {
    enum class Kind : std::uint8_t { kStart, kEnd, kMark };
    Kind kind = Kind::kMark;
    std::uint32_t id = 0;  ///< the same at start and end
    std::int64_t time_ns = 0;
    std::int64_t thread = 0;     ///< global_thread_id()
    trace::StringId name = -1;   ///< start and mark
    std::int32_t domain = 0;
};

struct MarkerDetail {
    std::uint32_t id = 0;
    std::int64_t payload = 0;
    bool has_payload = false;
    std::int32_t payload_type = 2;
    std::int32_t category = -1;
    std::int64_t color = -1;
};

/// Records of one thread come in order, those of different threads in any order: an end may be
/// seen before its start, and attributes before or after their marker. Used by one thread.
///
/// CUPTI does not say whether a range was pushed or started. An end on another thread, or one that
/// is not the innermost open range of its thread and domain, belongs to a started range (type 60);
/// all others are taken for pushed ones (59).
class MarkerPairs {
public:
    /// At most `max_open` ranges are kept open; beyond it the oldest half is given out unended.
    explicit MarkerPairs(std::size_t max_open = std::size_t{1} << 20) : max_open_(max_open) {}

    /// Complete ones are appended to `rows`.
    void add(const MarkerPoint& point, std::vector<trace::NvtxRow>& rows);
    void add(const MarkerDetail& detail, std::vector<trace::NvtxRow>& rows);
    /// Once a flush period: what waited for its attributes for two of them goes without.
    void settle(std::vector<trace::NvtxRow>& rows);
    /// The end: everything, ranges that never ended with a duration of -1.
    void finish(std::vector<trace::NvtxRow>& rows);

    [[nodiscard]] std::size_t open() const { return slots_.size(); }
    /// Ends whose start never came.
    [[nodiscard]] std::uint64_t orphan_ends() const { return orphan_ends_; }
    /// Ranges given out before their end because too many were open.
    [[nodiscard]] std::uint64_t cut_short() const { return cut_short_; }

private:
    struct Slot {
        MarkerPoint start;
        MarkerDetail detail;
        std::int64_t end_ns = 0;
        std::int64_t end_thread = 0;
        bool has_start = false;
        bool has_end = false;
        bool has_detail = false;
        bool is_innermost = false;  // at its end
        std::uint8_t age = 0;       // settles since it was complete
    };
    struct ThreadDomain {
        std::int64_t thread = 0;
        std::int32_t domain = 0;
        bool operator==(const ThreadDomain&) const = default;
    };
    struct Hash {
        std::size_t operator()(const ThreadDomain& key) const {
            return static_cast<std::size_t>(key.thread * 0x9E3779B97F4A7C15 + key.domain);
        }
    };

    [[nodiscard]] static bool is_complete(const Slot& slot);
    static void give_out(const Slot& slot, std::vector<trace::NvtxRow>& rows);
    void end(const MarkerPoint& point, Slot& slot);
    void give_out_if_done(std::uint32_t id, std::vector<trace::NvtxRow>& rows);
    void cut(std::vector<trace::NvtxRow>& rows);

    const std::size_t max_open_;
    std::unordered_map<std::uint32_t, Slot> slots_;  // by marker id
    std::unordered_map<ThreadDomain, std::vector<std::uint32_t>, Hash> stacks_;
    std::vector<std::uint32_t> waiting_;  // complete but for their attributes
    std::uint64_t orphan_ends_ = 0;
    std::uint64_t cut_short_ = 0;
};

}  // namespace hc::activity
