#include "profiler/analysis/range_work.h"

#include <algorithm>
#include <limits>
#include <map>

#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

constexpr std::uint32_t kNoRange = 0xffffffffU;

/// Ranges of one thread (or of all): which is open at a time that only grows.
class OpenRanges {
public:
    void add(std::uint32_t range) { ranges_.push_back(range); }
    [[nodiscard]] std::uint32_t at(std::int64_t time, const std::vector<HostRange>& all) {
        for (; next_ < ranges_.size() && all[ranges_[next_]].start_ns <= time; ++next_) {
            open_.push_back(ranges_[next_]);
        }
        while (!open_.empty() && all[open_.back()].end_ns <= time) open_.pop_back();
        return open_.empty() ? kNoRange : open_.back();
    }

private:
    std::vector<std::uint32_t> ranges_;  // by start
    std::vector<std::uint32_t> open_;    // the innermost last
    std::size_t next_ = 0;
};

/// The range of each call.
std::vector<std::uint32_t> range_of_calls(const Activity& activity,
                                          const std::vector<HostRange>& ranges) {
    OpenRanges any;
    std::vector<OpenRanges> by_thread(activity.threads.size());
    for (std::size_t r = 0; r < ranges.size(); ++r) {
        const auto index = static_cast<std::uint32_t>(r);
        if (ranges[r].thread < 0) {
            any.add(index);
        } else {
            by_thread[static_cast<std::size_t>(ranges[r].thread)].add(index);
        }
    }
    std::vector<std::uint32_t> range_of(activity.calls.size());
    for (std::size_t c = 0; c < activity.calls.size(); ++c) {
        const ApiCall& call = activity.calls[c];
        const std::uint32_t own = by_thread[call.thread].at(call.start_ns, ranges);
        const std::uint32_t common = any.at(call.start_ns, ranges);
        range_of[c] = own != kNoRange ? own : common;
    }
    return range_of;
}

/// A union that grows by intervals in the order of their starts.
class GrowingUnion {
public:
    /// Returns by how much it grew.
    std::int64_t add(std::int64_t start_ns, std::int64_t end_ns) {
        const std::int64_t from = std::max(start_ns, until_);
        if (end_ns <= from) return 0;
        until_ = end_ns;
        return end_ns - from;
    }

private:
    std::int64_t until_ = std::numeric_limits<std::int64_t>::min();
};

struct DeviceUnions {
    GrowingUnion compute, transfer, either;
    std::int64_t compute_ns = 0;
    std::int64_t start_ns = 0, end_ns = 0;  // of all its work
};

class Accumulator {
public:
    Accumulator(const Activity& activity, const LaunchIndex& launches,
                const std::vector<std::uint32_t>& range_of_call, std::vector<RangeWork>& result)
        : activity_(activity),
          launches_(launches),
          range_of_call_(range_of_call),
          result_(result) {}

    template <typename Row>
    RangeWork* add(const Row& row, bool is_transfer) {
        const std::uint32_t call = launches_.find_position(row.stream, row.correlation);
        if (call == LaunchIndex::kNone || range_of_call_[call] == kNoRange) return nullptr;
        const std::uint32_t range = range_of_call_[call];
        RangeWork& work = result_[range];
        const std::int32_t device = activity_.streams[static_cast<std::size_t>(row.stream)].device;
        const auto [at, is_new] = unions_.try_emplace({range, device});
        DeviceUnions& unions = at->second;
        unions.start_ns = is_new ? row.start_ns : std::min(unions.start_ns, row.start_ns);
        unions.end_ns = is_new ? row.end_ns : std::max(unions.end_ns, row.end_ns);
        const std::int64_t grown = unions.either.add(row.start_ns, row.end_ns);
        std::int64_t own = 0;
        if (is_transfer) {
            own = unions.transfer.add(row.start_ns, row.end_ns);
            add_wrapping(work.transfer_ns, own);
            work.copies += 1;
        } else {
            own = unions.compute.add(row.start_ns, row.end_ns);
            add_wrapping(work.compute_ns, own);
            unions.compute_ns += own;
            work.kernels += 1;
        }
        add_wrapping(work.both_ns, own - grown);  // |K| + |C| - |K or C|
        const bool first = work.kernels + work.copies == 1;
        work.device_start_ns = first ? row.start_ns : std::min(work.device_start_ns, row.start_ns);
        work.device_end_ns = first ? row.end_ns : std::max(work.device_end_ns, row.end_ns);
        return &work;
    }
    /// After everything was added.
    void finish() {
        for (const auto& [key, unions] : unions_) {
            add_wrapping(result_[key.first].idle_ns,
                         unions.end_ns - unions.start_ns - unions.compute_ns);
        }
    }

private:
    const Activity& activity_;
    const LaunchIndex& launches_;
    const std::vector<std::uint32_t>& range_of_call_;
    std::vector<RangeWork>& result_;
    std::map<std::pair<std::uint32_t, std::int32_t>, DeviceUnions> unions_;
};

}  // namespace

std::vector<HostRange> ranges_named(const Activity& activity, std::string_view name) {
    std::vector<char> wanted(activity.names.size());
    for (std::size_t n = 0; n < wanted.size(); ++n) wanted[n] = activity.names[n] == name ? 1 : 0;
    std::vector<HostRange> ranges;
    for (const NvtxRange& r : activity.ranges) {
        if (r.name < 0 || wanted[static_cast<std::size_t>(r.name)] == 0) continue;
        ranges.push_back({r.start_ns, r.end_ns, r.thread});
    }
    return ranges;
}

std::vector<RangeWork> range_work(const Activity& activity, const LaunchIndex& launches,
                                  const std::vector<HostRange>& ranges,
                                  const std::vector<bool>& moves_data) {
    std::vector<RangeWork> result(ranges.size());
    for (std::size_t r = 0; r < ranges.size(); ++r) result[r].range = ranges[r];
    const std::vector<std::uint32_t> range_of = range_of_calls(activity, ranges);
    std::vector<GrowingUnion> in_calls(ranges.size());
    for (std::size_t c = 0; c < range_of.size(); ++c) {
        if (range_of[c] == kNoRange) continue;
        RangeWork& work = result[range_of[c]];
        const ApiCall& call = activity.calls[c];
        work.calls += 1;
        add_wrapping(work.api_ns, in_calls[range_of[c]].add(call.start_ns, call.end_ns));
    }
    // Everything by start, so that unions can grow as it comes.
    Accumulator accumulate(activity, launches, range_of, result);
    std::size_t c = 0;
    std::size_t m = 0;
    const auto others_before = [&](std::int64_t time) {
        for (;;) {
            const bool copy = c < activity.copies.size() && activity.copies[c].start_ns < time;
            const bool memset = m < activity.memsets.size() && activity.memsets[m].start_ns < time;
            if (!copy && !memset) return;
            if (copy && (!memset || activity.copies[c].start_ns <= activity.memsets[m].start_ns)) {
                const Copy& row = activity.copies[c++];
                RangeWork* work = accumulate.add(row, true);
                if (work != nullptr) add_wrapping(work->copy_bytes, row.bytes);
            } else {
                accumulate.add(activity.memsets[m++], false);
            }
        }
    };
    for (std::size_t k = 0; k < activity.kernels.size(); ++k) {
        others_before(activity.kernels[k].start_ns);
        accumulate.add(activity.kernels[k], moves_data[k]);
    }
    others_before(std::numeric_limits<std::int64_t>::max());
    accumulate.finish();
    return result;
}

}  // namespace hc::analysis
