#include "gui/models/mip_index.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/core/error.h"

namespace hc::gui {
namespace {

constexpr double kFull = 65535;

bool is_emphasised(std::span<const std::uint8_t> emphasised, std::uint32_t name) {
    return name < emphasised.size() && emphasised[name] != 0;
}

std::uint16_t bucket_name(std::uint32_t name) {
    // Names beyond the bucket's 16 bits share the last one; lanes of kernels stay far below.
    return static_cast<std::uint16_t>(std::min<std::uint32_t>(name, MipBucket::kNoName - 1));
}

/// Time per name within one bucket. Few names meet in a bucket, so a list beats a map.
class Tally {
public:
    void add(std::uint32_t name, double weight) {
        for (auto& entry : entries_) {
            if (entry.name == name) {
                entry.weight += weight;
                return;
            }
        }
        entries_.push_back({name, weight});
    }
    [[nodiscard]] std::uint16_t winner(std::span<const std::uint8_t> emphasised) const {
        std::uint16_t best = MipBucket::kNoName;
        double best_weight = -1;
        bool best_emphasised = false;
        for (const auto& entry : entries_) {
            const bool strong = is_emphasised(emphasised, entry.name);
            if (strong < best_emphasised) continue;
            if (strong > best_emphasised || entry.weight > best_weight) {
                best = bucket_name(entry.name);
                best_weight = entry.weight;
                best_emphasised = strong;
            }
        }
        return best;
    }
    void clear() { entries_.clear(); }

private:
    struct Entry {
        std::uint32_t name;
        double weight;
    };
    std::vector<Entry> entries_;
};

}  // namespace

MipIndex::MipIndex(const LaneEvents& events, std::span<const std::uint8_t> emphasised) {
    const std::size_t n = events.size();
    if (n == 0) return;
    origin_ = events.start(0);
    const std::int64_t last = std::max(events.end(n - 1), events.start(n - 1) + 1);
    // As many base buckets as half the events: 8 bytes per event with all coarser levels. Lanes
    // of few events get at least a screen's worth.
    const std::size_t target = std::max<std::size_t>(n / 2, 2048);
    const auto span = static_cast<std::uint64_t>(last) - static_cast<std::uint64_t>(origin_);
    int shift = 0;
    while ((span >> shift) >= target) ++shift;
    build_base(events, emphasised, shift, static_cast<std::size_t>(span >> shift) + 1);
    build_coarser(emphasised);
}

void MipIndex::build_base(const LaneEvents& events, std::span<const std::uint8_t> emphasised,
                          int shift, std::size_t num_buckets) {
    Level base{shift, std::vector<MipBucket>(num_buckets)};
    const double width = std::ldexp(1.0, shift);
    Tally tally;
    double busy_ns = 0;
    std::size_t open = 0;  // the bucket that tally and busy_ns speak of
    const auto close = [&] {
        MipBucket& bucket = base.buckets[open];
        bucket.busy =
            static_cast<std::uint16_t>(std::min(kFull, std::ceil(busy_ns / width * kFull)));
        bucket.name = tally.winner(emphasised);
        tally.clear();
        busy_ns = 0;
    };
    const auto move_to = [&](std::size_t bucket) {
        if (bucket == open) return;
        close();
        open = bucket;
    };
    for (std::size_t i = 0; i < events.size(); ++i) {
        const std::int64_t start = events.start(i) - origin_;
        const std::int64_t end = events.end(i) - origin_;
        const auto first = static_cast<std::size_t>(start >> shift);
        // An event that ends where a bucket begins does not touch that bucket.
        const auto last = static_cast<std::size_t>(std::max(end - 1, start) >> shift);
        for (std::size_t b = first; b <= last; ++b) {
            move_to(b);
            const auto bucket_start = static_cast<std::int64_t>(b) << shift;
            const std::int64_t bucket_end = bucket_start + (std::int64_t{1} << shift);
            const auto part =
                static_cast<double>(std::min(end, bucket_end) - std::max(start, bucket_start));
            busy_ns += part;
            tally.add(events.name(i), part);
        }
        base.buckets[first].count += 1;
    }
    close();
    levels_.push_back(std::move(base));
}

void MipIndex::build_coarser(std::span<const std::uint8_t> emphasised) {
    while (levels_.back().buckets.size() > 1) {
        const Level& fine = levels_.back();
        Level coarse{fine.shift + 1, std::vector<MipBucket>((fine.buckets.size() + 1) / 2)};
        for (std::size_t b = 0; b < coarse.buckets.size(); ++b) {
            const MipBucket left = fine.buckets[2 * b];
            const MipBucket right =
                2 * b + 1 < fine.buckets.size() ? fine.buckets[2 * b + 1] : MipBucket{};
            MipBucket& both = coarse.buckets[b];
            both.busy = static_cast<std::uint16_t>((left.busy + right.busy + 1) / 2);
            const std::uint64_t count = std::uint64_t{left.count} + right.count;
            both.count = static_cast<std::uint32_t>(
                std::min<std::uint64_t>(count, std::numeric_limits<std::uint32_t>::max()));
            const bool strong_left = is_emphasised(emphasised, left.name);
            const bool strong_right = is_emphasised(emphasised, right.name);
            const bool take_left = strong_left != strong_right ? strong_left
                                   : right.name == MipBucket::kNoName
                                       ? true
                                       : left.name != MipBucket::kNoName && left.busy >= right.busy;
            both.name = take_left ? left.name : right.name;
        }
        levels_.push_back(std::move(coarse));
    }
}

const MipIndex::Level* MipIndex::level_for(double ns) const {
    const Level* best = nullptr;
    for (const Level& level : levels_) {
        if (std::ldexp(1.0, level.shift) > ns) break;
        best = &level;
    }
    return best;
}

std::size_t MipIndex::memory() const {
    std::size_t bytes = 0;
    for (const Level& level : levels_) bytes += level.buckets.size() * sizeof(MipBucket);
    return bytes;
}

}  // namespace hc::gui
