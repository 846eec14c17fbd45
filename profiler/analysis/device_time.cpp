#include "profiler/analysis/device_time.h"

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string_view>

namespace hc::analysis {
namespace {

/// A piece of device work, wherever it came from.
struct Work {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t correlation = 0;
    std::int32_t stream = 0;
    NameIndex name = kNoName;
};

template <typename Row>
Work work_of(const Row& row) {
    return {row.start_ns, row.end_ns, row.correlation, row.stream, kNoName};
}
Work work_of(const Kernel& k) {
    return {k.start_ns, k.end_ns, k.correlation, k.stream, k.name};
}

/// Calls `each` for the compute of a device by start, without a copy of it all.
template <typename Each>
void for_compute(const Activity& activity, std::int32_t device, const std::vector<bool>& moves_data,
                 Each&& each) {
    const auto on_device = [&](std::int32_t stream) {
        return activity.streams[static_cast<std::size_t>(stream)].device == device;
    };
    auto memset = activity.memsets.begin();
    const auto memsets_before = [&](std::int64_t time) {
        for (; memset != activity.memsets.end() && memset->start_ns < time; ++memset) {
            if (on_device(memset->stream)) each(work_of(*memset));
        }
    };
    for (std::size_t i = 0; i < activity.kernels.size(); ++i) {
        const Kernel& kernel = activity.kernels[i];
        if (moves_data[i] || !on_device(kernel.stream)) continue;
        memsets_before(kernel.start_ns);
        each(work_of(kernel));
    }
    memsets_before(std::numeric_limits<std::int64_t>::max());
}

std::vector<Work> transfers_of(const Activity& activity, std::int32_t device,
                               const std::vector<bool>& moves_data) {
    std::vector<Work> transfers;
    const auto add = [&](const auto& row) {
        if (activity.streams[static_cast<std::size_t>(row.stream)].device != device) return;
        if (row.end_ns > row.start_ns) transfers.push_back(work_of(row));
    };
    for (const Copy& copy : activity.copies) add(copy);
    for (std::size_t i = 0; i < activity.kernels.size(); ++i) {
        if (moves_data[i]) add(activity.kernels[i]);
    }
    std::stable_sort(transfers.begin(), transfers.end(),
                     [](const Work& a, const Work& b) { return a.end_ns < b.end_ns; });
    return transfers;
}

/// When each thread stood still in a call that synchronises.
class HostWaits {
public:
    explicit HostWaits(const Activity& activity) : by_thread_(activity.threads.size()) {
        std::vector<char> synchronises(activity.names.size());
        for (std::size_t n = 0; n < activity.names.size(); ++n) {
            synchronises[n] = activity.names[n].find("Synchronize") != std::string::npos ? 1 : 0;
        }
        for (const ApiCall& call : activity.calls) {
            if (call.name < 0 || synchronises[static_cast<std::size_t>(call.name)] == 0) continue;
            by_thread_[call.thread].push_back({call.start_ns, call.end_ns});
        }
        for (std::vector<Interval>& waits : by_thread_) waits = unite(std::move(waits));
    }
    [[nodiscard]] bool cover(std::uint16_t thread, std::int64_t time) const {
        const std::vector<Interval>& waits = by_thread_[thread];
        const auto at =
            std::lower_bound(waits.begin(), waits.end(), time,
                             [](const Interval& wait, std::int64_t t) { return wait.end_ns < t; });
        return at != waits.end() && at->start_ns <= time;
    }

private:
    std::vector<std::vector<Interval>> by_thread_;
};

struct Waited {
    Work work;
    bool uncertain = false;
};

/// Judges the gaps of one device in the order of time.
class GapJudge {
public:
    GapJudge(const Activity& activity, const LaunchIndex& launches, const HostWaits& waits,
             const std::vector<Work>& transfers, const std::vector<Interval>& transfer_union,
             const DeviceTimeOptions& options, DeviceTime& result)
        : launches_(launches),
          waits_(waits),
          transfers_(transfers),
          union_(transfer_union),
          clock_error_ns_(activity.clock_error_ns),
          longest_(options.longest_gaps),
          wake_up_ns_(options.wake_up_ns),
          result_(result) {}

    /// A gap from `start_ns` to `end_ns`; `next` is what ended it, nullptr at the end of the span.
    void add(std::int64_t start_ns, std::int64_t end_ns, const Work* next);
    /// Length of transfers within all gaps.
    [[nodiscard]] std::int64_t transfer_in_gaps_ns() const { return transfer_in_gaps_ns_; }
    void finish();

private:
    [[nodiscard]] const ApiCall* launch_of(const Work& work) const {
        return launches_.find(work.stream, work.correlation);
    }
    [[nodiscard]] bool is_close(std::int64_t a, std::int64_t b) const {
        return clock_error_ns_ > 0 && std::abs(a - b) <= clock_error_ns_;
    }
    void measure_transfers(std::int64_t start_ns, std::int64_t end_ns);
    [[nodiscard]] bool host_stood_still(const Work& transfer, const ApiCall* next_call) const;
    void find_waited(std::int64_t start_ns, std::int64_t end_ns, const Work* next);
    void add_piece(IdleGap& gap, std::int64_t start_ns, std::int64_t end_ns, const Work* next);
    void keep_longest(const IdleGap& gap);

    const LaunchIndex& launches_;
    const HostWaits& waits_;
    const std::vector<Work>& transfers_;  // by end
    const std::vector<Interval>& union_;  // of transfers
    const std::int64_t clock_error_ns_;
    const std::size_t longest_;
    const std::int64_t wake_up_ns_;
    DeviceTime& result_;
    std::size_t next_transfer_ = 0, next_union_ = 0;
    std::int64_t transfer_in_gaps_ns_ = 0;
    std::vector<Waited> waited_;
    std::vector<std::int32_t> waited_streams_;
};

void GapJudge::measure_transfers(std::int64_t start_ns, std::int64_t end_ns) {
    while (next_union_ < union_.size() && union_[next_union_].end_ns <= start_ns) ++next_union_;
    for (std::size_t i = next_union_; i < union_.size() && union_[i].start_ns < end_ns; ++i) {
        transfer_in_gaps_ns_ +=
            std::min(end_ns, union_[i].end_ns) - std::max(start_ns, union_[i].start_ns);
    }
}

bool GapJudge::host_stood_still(const Work& transfer, const ApiCall* next_call) const {
    const ApiCall* own = launch_of(transfer);
    const ApiCall* caller = next_call != nullptr ? next_call : own;
    if (caller == nullptr) return false;
    const bool own_call_lasts =
        own != nullptr && own->thread == caller->thread && own->end_ns >= transfer.end_ns;
    return own_call_lasts || waits_.cover(caller->thread, transfer.end_ns);
}

void GapJudge::find_waited(std::int64_t start_ns, std::int64_t end_ns, const Work* next) {
    while (next_transfer_ < transfers_.size() && transfers_[next_transfer_].end_ns <= start_ns) {
        ++next_transfer_;
    }
    const std::size_t first = next_transfer_;
    while (next_transfer_ < transfers_.size() && transfers_[next_transfer_].end_ns <= end_ns) {
        ++next_transfer_;
    }
    waited_.clear();
    waited_streams_.clear();
    const ApiCall* call = next == nullptr ? nullptr : launch_of(*next);
    for (std::size_t i = next_transfer_; i-- > first;) {  // latest end first
        const Work& t = transfers_[i];
        const bool asked_in_time =
            next != nullptr && (call == nullptr || call->start_ns < t.end_ns);
        const bool same_stream = std::find(waited_streams_.begin(), waited_streams_.end(),
                                           t.stream) != waited_streams_.end();
        const bool was_waited_for =
            asked_in_time
                ? t.stream == next->stream || end_ns - t.end_ns <= wake_up_ns_ || same_stream
                : host_stood_still(t, call);
        if (!was_waited_for) continue;
        waited_.push_back({t, call != nullptr && is_close(call->start_ns, t.end_ns)});
        if (!same_stream) waited_streams_.push_back(t.stream);
    }
    std::stable_sort(waited_.begin(), waited_.end(), [](const Waited& a, const Waited& b) {
        return a.work.start_ns < b.work.start_ns;
    });
}

/// Nothing was waited for: the host came late, or something else held the work up.
void GapJudge::add_piece(IdleGap& gap, std::int64_t start_ns, std::int64_t end_ns,
                         const Work* next) {
    if (end_ns <= start_ns) return;
    const ApiCall* call = next == nullptr ? nullptr : launch_of(*next);
    const bool late = call != nullptr && call->start_ns >= start_ns;
    gap.cause_ns[static_cast<std::size_t>(late ? IdleCause::kHost : IdleCause::kOther)] +=
        end_ns - start_ns;
    if (call != nullptr && is_close(call->start_ns, start_ns)) {
        result_.uncertain_ns += end_ns - start_ns;
    }
}

void GapJudge::add(std::int64_t start_ns, std::int64_t end_ns, const Work* next) {
    measure_transfers(start_ns, end_ns);
    find_waited(start_ns, end_ns, next);
    IdleGap gap{start_ns, end_ns, {}, next == nullptr ? kNoName : next->name};
    std::int64_t at = start_ns;
    for (const Waited& waited : waited_) {
        add_piece(gap, at, waited.work.start_ns, &waited.work);
        at = std::max(at, waited.work.start_ns);
        const std::int64_t length = waited.work.end_ns - at;
        if (length <= 0) continue;
        gap.cause_ns[static_cast<std::size_t>(IdleCause::kTransfer)] += length;
        if (waited.uncertain) result_.uncertain_ns += length;
        at = waited.work.end_ns;
    }
    add_piece(gap, at, end_ns, next);
    for (std::size_t c = 0; c < kIdleCauses; ++c) result_.idle_ns[c] += gap.cause_ns[c];
    ++result_.gaps;
    keep_longest(gap);
}

bool longer(const IdleGap& a, const IdleGap& b) {
    return a.length_ns() != b.length_ns() ? a.length_ns() > b.length_ns() : a.start_ns < b.start_ns;
}

void GapJudge::keep_longest(const IdleGap& gap) {
    std::vector<IdleGap>& kept = result_.longest;  // a heap, its shortest on top
    if (longest_ == 0 || (kept.size() == longest_ && !longer(gap, kept.front()))) return;
    if (kept.size() == longest_) {
        std::pop_heap(kept.begin(), kept.end(), longer);
        kept.pop_back();
    }
    kept.push_back(gap);
    std::push_heap(kept.begin(), kept.end(), longer);
}

void GapJudge::finish() {
    std::sort(result_.longest.begin(), result_.longest.end(), longer);
}

DeviceTime time_of_device(const Activity& activity, const LaunchIndex& launches,
                          const HostWaits& waits, const std::vector<bool>& moves_data,
                          std::int32_t device, const DeviceTimeOptions& options) {
    DeviceTime result;
    result.device = device;
    const std::vector<Work> transfers = transfers_of(activity, device, moves_data);
    std::vector<Interval> intervals;
    intervals.reserve(transfers.size());
    for (const Work& t : transfers) intervals.push_back({t.start_ns, t.end_ns});
    intervals = unite(std::move(intervals));
    result.transfer_ns = measure(intervals);

    result.start_ns =
        intervals.empty() ? std::numeric_limits<std::int64_t>::max() : intervals.front().start_ns;
    result.end_ns =
        intervals.empty() ? std::numeric_limits<std::int64_t>::min() : intervals.back().end_ns;
    bool computes = false;
    for_compute(activity, device, moves_data, [&](const Work& work) {
        if (work.end_ns <= work.start_ns) return;
        if (!computes) result.start_ns = std::min(result.start_ns, work.start_ns);
        computes = true;
        result.end_ns = std::max(result.end_ns, work.end_ns);
    });
    if (result.end_ns <= result.start_ns) {  // nothing that takes time
        result.start_ns = result.end_ns = 0;
        return result;
    }
    GapJudge judge(activity, launches, waits, transfers, intervals, options, result);
    std::int64_t busy_until = result.start_ns;
    for_compute(activity, device, moves_data, [&](const Work& work) {
        if (work.end_ns <= work.start_ns) return;
        if (work.start_ns > busy_until) judge.add(busy_until, work.start_ns, &work);
        const std::int64_t from = std::max(work.start_ns, busy_until);
        if (work.end_ns > from) result.compute_ns += work.end_ns - from;
        busy_until = std::max(busy_until, work.end_ns);
    });
    if (busy_until < result.end_ns) judge.add(busy_until, result.end_ns, nullptr);
    judge.finish();
    result.both_ns = result.transfer_ns - judge.transfer_in_gaps_ns();
    return result;
}

}  // namespace

std::string idle_cause_name(IdleCause cause) {
    switch (cause) {
        case IdleCause::kHost:
            return "host-bound";
        case IdleCause::kTransfer:
            return "waiting on a transfer";
        case IdleCause::kOther:
            break;
    }
    return "other";
}

IdleCause IdleGap::main_cause() const {
    const auto* most = std::max_element(std::begin(cause_ns), std::end(cause_ns));
    return static_cast<IdleCause>(most - std::begin(cause_ns));
}

std::optional<double> DeviceTime::overlap() const {
    if (transfer_ns == 0) return std::nullopt;
    return static_cast<double>(both_ns) / static_cast<double>(transfer_ns);
}

std::vector<bool> transfer_kernels(const Activity& activity,
                                   const std::vector<std::string>& names) {
    std::vector<char> named(activity.names.size());
    for (std::size_t n = 0; n < named.size(); ++n) {
        named[n] = std::any_of(names.begin(), names.end(), [&](const std::string& part) {
            return activity.names[n].find(part) != std::string::npos;
        });
    }
    std::vector<bool> flags(activity.kernels.size());
    for (std::size_t i = 0; i < activity.kernels.size(); ++i) {
        const Kernel& k = activity.kernels[i];
        flags[i] = activity.streams[static_cast<std::size_t>(k.stream)].fetches ||
                   (k.name >= 0 && named[static_cast<std::size_t>(k.name)] != 0);
    }
    return flags;
}

std::vector<DeviceTime> device_times(const Activity& activity, const LaunchIndex& launches,
                                     const DeviceTimeOptions& options) {
    const std::vector<bool> moves_data = transfer_kernels(activity, options.transfer_kernels);
    const HostWaits waits(activity);
    std::vector<DeviceTime> result;
    for (const std::int32_t device : activity.devices()) {
        result.push_back(time_of_device(activity, launches, waits, moves_data, device, options));
    }
    return result;
}

}  // namespace hc::analysis
