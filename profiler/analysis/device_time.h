/// How a device spent its time: computing, copying, both, neither, and why neither.
///
/// Words, per device (docs/report.md has pictures):
///  - compute K = kernels and memsets, but for kernels that move fetched rows;
///  - transfer C = copies, and kernels on streams of role "fetch" or named so by the user;
///  - span = from the first start to the last end of anything on the device;
///  - overlap = |union C and union K| / |union C|;
///  - idle = span less union K. Each instant of a gap between compute is one of
///     * transfer: a copy ran that the next compute waited for (see below);
///     * host: the next piece of work was asked for only after the work before it had ended;
///     * other: it had been asked for in time and yet did not run (launch latency, another wait),
///       or its API call was not recorded.
///
/// A transfer t that ended within a gap was waited for when
///  - the next compute n had been asked for before t ended, and t ran on n's stream, or n began at
///    most kWakeUpNs after t's end, or such a t came later on t's stream; or
///  - n was asked for only after t ended, by a thread that stood still beyond t's end: in the call
///    that made t, or in one that synchronises (loops that ask again and again are not seen).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "profiler/analysis/activity.h"
#include "profiler/analysis/launch_index.h"
#include "profiler/analysis/metrics.h"

namespace hc::analysis {

/// From the end of a copy to the start of what waited for it on another stream: an event has to
/// reach the other queue ; generous, since what runs late is rare and what is missed is called
/// "other".
inline constexpr std::int64_t kWakeUpNs = 10'000;

enum class IdleCause : std::uint8_t { kHost, kTransfer, kOther };
inline constexpr std::size_t kIdleCauses = 3;
/// "host-bound", "waiting on a transfer", "other".
[[nodiscard]] std::string idle_cause_name(IdleCause cause);

struct IdleGap {
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t cause_ns[kIdleCauses] = {};  ///< sums to its length
    NameIndex next = kNoName;                 ///< kernel that ended it; kNoName: a memset
    [[nodiscard]] std::int64_t length_ns() const { return end_ns - start_ns; }
    [[nodiscard]] IdleCause main_cause() const;
};

struct DeviceTime {
    std::int32_t device = -1;
    std::int64_t start_ns = 0, end_ns = 0;
    std::int64_t compute_ns = 0;   ///< |union K|
    std::int64_t transfer_ns = 0;  ///< |union C|
    std::int64_t both_ns = 0;      ///< |union K and union C|
    std::int64_t idle_ns[kIdleCauses] = {};
    /// Of the idle time, in pieces whose cause hangs on a comparison of host with device time that
    /// is closer than the clocks' error.
    std::int64_t uncertain_ns = 0;
    std::int64_t gaps = 0;  ///< pieces of idle time
    std::vector<IdleGap> longest;

    [[nodiscard]] std::int64_t span_ns() const { return end_ns - start_ns; }
    [[nodiscard]] std::int64_t busy_ns() const { return compute_ns + transfer_ns - both_ns; }
    [[nodiscard]] std::int64_t idle_total_ns() const { return span_ns() - compute_ns; }
    /// nullopt without transfers.
    [[nodiscard]] std::optional<double> overlap() const;
};

struct DeviceTimeOptions {
    /// Kernels whose names hold one of these are transfers.
    std::vector<std::string> transfer_kernels;
    std::size_t longest_gaps = 10;
    std::int64_t wake_up_ns = kWakeUpNs;
};

/// One entry a device that did something. `activity` is sorted. Idle time before the first and
/// after the last compute of the span belongs to the gaps at its ends: the first is judged like
/// any other, the last is "other", since nothing follows that could wait.
[[nodiscard]] std::vector<DeviceTime> device_times(const Activity& activity,
                                                   const LaunchIndex& launches,
                                                   const DeviceTimeOptions& options);

/// The kernels that count as transfers, one flag a kernel.
[[nodiscard]] std::vector<bool> transfer_kernels(const Activity& activity,
                                                 const std::vector<std::string>& names);

}  // namespace hc::analysis
