/// What happened per stretch of time, at every power-of-two resolution: a zoomed-out lane is
/// drawn from a few thousand buckets, however many events it holds.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "gui/models/lane_events.h"

namespace hc::gui {

/// Eight bytes. `count` is of the events that start in the bucket, so that sums over buckets
/// count each event once; `busy` is the share of the bucket that events cover, rounded up so
/// that one nanosecond of a year is not nothing.
struct MipBucket {
    static constexpr std::uint16_t kNoName = 0xffff;
    std::uint16_t busy = 0;  ///< of 65535
    std::uint16_t name = kNoName;
    std::uint32_t count = 0;
    [[nodiscard]] bool empty() const { return busy == 0 && count == 0; }
};
static_assert(sizeof(MipBucket) == 8);

class MipIndex {
public:
    MipIndex() = default;
    /// `emphasised[n]` names win a bucket over any amount of ordinary ones (a slow step must not
    /// drown among normal ones); it may be shorter than the names.
    MipIndex(const LaneEvents& events, std::span<const std::uint8_t> emphasised);

    /// Bucket b of a level covers [origin + b * width, origin + (b + 1) * width).
    struct Level {
        int shift = 0;  ///< width = 2^shift ns
        std::vector<MipBucket> buckets;
    };
    [[nodiscard]] const std::vector<Level>& levels() const { return levels_; }
    [[nodiscard]] std::int64_t origin() const { return origin_; }
    /// The coarsest level whose buckets are no wider than `ns`; nullptr: look at the events.
    [[nodiscard]] const Level* level_for(double ns) const;
    /// Bytes held.
    [[nodiscard]] std::size_t memory() const;

private:
    void build_base(const LaneEvents& events, std::span<const std::uint8_t> emphasised, int shift,
                    std::size_t num_buckets);
    void build_coarser(std::span<const std::uint8_t> emphasised);

    std::int64_t origin_ = 0;
    std::vector<Level> levels_;  ///< finest first
};

}  // namespace hc::gui
