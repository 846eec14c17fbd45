#include "profiler/analysis/launch_index.h"

#include <algorithm>
#include <limits>

namespace hc::analysis {
namespace {

/// A table by correlation may have so many places a call, and so many more.
constexpr std::int64_t kSpread = 4;
constexpr std::int64_t kSlack = 1 << 16;

struct Extent {
    std::int64_t low = std::numeric_limits<std::int64_t>::max();
    std::int64_t high = std::numeric_limits<std::int64_t>::min();
    std::int64_t count = 0;
};

}  // namespace

LaunchIndex::LaunchIndex(const Activity& activity) : activity_(activity) {
    std::vector<std::int64_t> pid_of_thread;
    for (const std::int64_t thread : activity.threads) pid_of_thread.push_back(thread >> 24);
    std::unordered_map<std::int64_t, Extent> extents;
    for (const ApiCall& call : activity.calls) {
        Extent& e = extents[pid_of_thread[call.thread]];
        e.low = std::min(e.low, call.correlation);
        e.high = std::max(e.high, call.correlation);
        e.count += 1;
    }
    for (const auto& [pid, e] : extents) {
        Process& process = processes_[pid];
        process.first = e.low;
        // Ids of a file lie within +-2^60, so the difference is a number.
        if (e.high - e.low < e.count * kSpread + kSlack) {
            process.direct.assign(static_cast<std::size_t>(e.high - e.low) + 1, kNone);
        } else {
            process.sorted.reserve(static_cast<std::size_t>(e.count));
        }
    }
    for (std::size_t i = 0; i < activity.calls.size(); ++i) {
        const ApiCall& call = activity.calls[i];
        Process& process = processes_[pid_of_thread[call.thread]];
        const auto position = static_cast<std::uint32_t>(i);
        if (process.direct.empty()) {
            process.sorted.push_back({call.correlation, position});
            continue;
        }
        // Calls come by start: the first of an id is the outer one.
        std::uint32_t& place =
            process.direct[static_cast<std::size_t>(call.correlation - process.first)];
        if (place == kNone) place = position;
    }
    for (auto& [pid, process] : processes_) {
        std::stable_sort(
            process.sorted.begin(), process.sorted.end(),
            [](const Entry& a, const Entry& b) { return a.correlation < b.correlation; });
    }
    for (const ActivityStream& stream : activity.streams) {
        const auto found = processes_.find(stream.pid);
        by_stream_.push_back(found == processes_.end() ? nullptr : &found->second);
    }
}

std::uint32_t LaunchIndex::find_position(std::int32_t stream, std::int64_t correlation) const {
    const Process* process = by_stream_[static_cast<std::size_t>(stream)];
    if (process == nullptr) return kNone;
    if (!process->direct.empty()) {
        const std::int64_t place = correlation - process->first;
        if (place < 0 || place >= static_cast<std::int64_t>(process->direct.size())) return kNone;
        return process->direct[static_cast<std::size_t>(place)];
    }
    const auto at = std::lower_bound(
        process->sorted.begin(), process->sorted.end(), correlation,
        [](const Entry& e, std::int64_t wanted) { return e.correlation < wanted; });
    return at == process->sorted.end() || at->correlation != correlation ? kNone : at->call;
}

const ApiCall* LaunchIndex::find(std::int32_t stream, std::int64_t correlation) const {
    const std::uint32_t position = find_position(stream, correlation);
    return position == kNone ? nullptr : &activity_.calls[position];
}

}  // namespace hc::analysis
