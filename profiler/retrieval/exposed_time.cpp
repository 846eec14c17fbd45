#include "profiler/retrieval/exposed_time.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace hc::retrieval {
namespace {

using analysis::Interval;

/// What of `whole` lies in none of `holes` (sorted, disjoint).
void subtract(Interval whole, std::span<const Interval> holes, std::vector<Interval>& out) {
    auto hole = std::lower_bound(holes.begin(), holes.end(), whole.start_ns,
                                 [](const Interval& a, std::int64_t t) { return a.end_ns <= t; });
    for (; hole != holes.end() && hole->start_ns < whole.end_ns; ++hole) {
        if (hole->start_ns > whole.start_ns) out.push_back({whole.start_ns, hole->start_ns});
        whole.start_ns = hole->end_ns;
    }
    if (whole.start_ns < whole.end_ns) out.push_back(whole);
}

}  // namespace

ExposedTime::ExposedTime(std::span<const GpuWork> work, const std::vector<bool>& computes)
    : work_(work) {
    for (std::size_t i = 0; i < work.size(); ++i) {
        by_stream_[work[i].stream].push_back(i);
        if (computes[i]) compute_[work[i].device].push_back({work[i].start_ns, work[i].end_ns});
    }
    for (auto& [device, intervals] : compute_) intervals = analysis::unite(std::move(intervals));
}

std::vector<Interval> ExposedTime::waits(const AwaitedTransfer& awaited) const {
    const GpuWork& consumer = work_[awaited.consumer];
    const WorkList& stream = by_stream_.at(consumer.stream);
    const auto at = std::lower_bound(stream.begin(), stream.end(), awaited.consumer);
    // Work of a stream ends in the order in which it began.
    const std::int64_t idle_from = at == stream.begin() ? std::numeric_limits<std::int64_t>::min()
                                                        : work_[*std::prev(at)].end_ns;
    std::vector<Interval> waited;
    for (const std::size_t index : awaited.transfer) {
        const GpuWork& piece = work_[index];
        Interval interval{piece.start_ns, std::min(piece.end_ns, consumer.start_ns)};
        // On the consumer's own stream a transfer keeps it from end to end.
        if (piece.stream != consumer.stream) {
            interval.start_ns = std::max(interval.start_ns, idle_from);
        }
        if (interval.start_ns < interval.end_ns) waited.push_back(interval);
    }
    const auto compute = compute_.find(consumer.device);
    if (compute == compute_.end()) return waited;
    std::vector<Interval> out;
    for (const Interval& interval : waited) subtract(interval, compute->second, out);
    return out;
}

std::vector<std::int64_t> ExposedTime::of(std::span<const AwaitedTransfer> transfers) const {
    struct Piece {
        std::int32_t device;
        Interval interval;
        std::size_t transfer;
    };
    std::vector<Piece> pieces;
    for (std::size_t t = 0; t < transfers.size(); ++t) {
        for (const Interval& interval : waits(transfers[t])) {
            pieces.push_back({work_[transfers[t].consumer].device, interval, t});
        }
    }
    std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
        return std::tuple(a.device, a.interval.start_ns, a.transfer) <
               std::tuple(b.device, b.interval.start_ns, b.transfer);
    });
    std::vector<std::int64_t> out(transfers.size(), 0);
    std::int64_t covered = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        if (i == 0 || pieces[i].device != pieces[i - 1].device) {
            covered = std::numeric_limits<std::int64_t>::min();
        }
        const std::int64_t start = std::max(pieces[i].interval.start_ns, covered);
        if (pieces[i].interval.end_ns <= start) continue;
        out[pieces[i].transfer] += pieces[i].interval.end_ns - start;
        covered = pieces[i].interval.end_ns;
    }
    return out;
}

}  // namespace hc::retrieval
