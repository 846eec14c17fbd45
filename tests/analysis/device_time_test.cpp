// Busy, overlap and the causes of idle time: values worked out by hand, and a raster that asks of
// every nanosecond.
#include <gtest/gtest.h>

#include <random>

#include "activity_timeline.h"
#include "profiler/analysis/device_time.h"

namespace hc::analysis {
namespace {

using test::ActivityTimeline;

std::vector<DeviceTime> times_of(ActivityTimeline& t, const DeviceTimeOptions& options = {}) {
    t.data.sort();
    const LaunchIndex launches(t.data);
    return device_times(t.data, launches, options);
}

DeviceTime only_time_of(ActivityTimeline& t) {
    const std::vector<DeviceTime> times = times_of(t);
    EXPECT_EQ(times.size(), 1U);
    return times.empty() ? DeviceTime{} : times.front();
}

std::int64_t idle(const DeviceTime& time, IdleCause cause) {
    return time.idle_ns[static_cast<std::size_t>(cause)];
}

void expect_idle(const DeviceTime& time, std::int64_t host, std::int64_t transfer,
                 std::int64_t other) {
    EXPECT_EQ(idle(time, IdleCause::kHost), host);
    EXPECT_EQ(idle(time, IdleCause::kTransfer), transfer);
    EXPECT_EQ(idle(time, IdleCause::kOther), other);
    EXPECT_EQ(host + transfer + other, time.idle_total_ns());
}

TEST(DeviceTime, NothingIsNothing) {
    ActivityTimeline t;
    EXPECT_TRUE(times_of(t).empty());
    t.kernel(0, 100, 100);  // no length
    const DeviceTime time = only_time_of(t);
    EXPECT_EQ(time.span_ns(), 0);
    EXPECT_FALSE(time.overlap());
    EXPECT_EQ(time.gaps, 0);
}

TEST(DeviceTime, UnionsCountTimeOnceAndTouchingIntervalsMeet) {
    ActivityTimeline t;
    t.kernel(0, 0, 10);
    t.kernel(1, 5, 20);   // union 0..20
    t.kernel(0, 20, 30);  // touches
    t.kernel(2, 25, 25);  // no length
    t.memset(1, 30, 40);  // compute 0..40
    t.copy(3, 35, 50);
    t.copy(2, 50, 55);  // touches: transfer 35..55
    t.kernel(0, 60, 70);
    const DeviceTime time = only_time_of(t);
    EXPECT_EQ(time.span_ns(), 70);
    EXPECT_EQ(time.compute_ns, 50);
    EXPECT_EQ(time.transfer_ns, 20);
    EXPECT_EQ(time.both_ns, 5);
    EXPECT_EQ(time.busy_ns(), 65);
    EXPECT_DOUBLE_EQ(time.overlap().value(), 0.25);
    EXPECT_EQ(time.gaps, 1);
    EXPECT_EQ(time.idle_total_ns(), 20);
}

TEST(DeviceTime, ACopyMayOutlastManyKernels) {
    ActivityTimeline t;
    for (std::int64_t i = 0; i < 10; ++i) t.kernel(0, 100 * i, 100 * i + 60);
    t.copy(1, 130, 850);
    const DeviceTime time = only_time_of(t);
    // 30 of kernel 1, 60 each of 2 to 7, 50 of 8.
    EXPECT_EQ(time.both_ns, 30 + 6 * 60 + 50);
    EXPECT_EQ(time.transfer_ns, 720);
    EXPECT_EQ(time.compute_ns, 600);
}

TEST(DeviceTime, DevicesAreApart) {
    ActivityTimeline t;
    t.kernel(0, 0, 100);
    t.copy(4, 0, 50);  // of device 1, beside a kernel of device 0
    t.kernel(5, 40, 60);
    const std::vector<DeviceTime> times = times_of(t);
    ASSERT_EQ(times.size(), 2U);
    EXPECT_EQ(times[0].device, 0);
    EXPECT_FALSE(times[0].overlap());
    EXPECT_DOUBLE_EQ(times[1].overlap().value(), 0.2);
}

TEST(DeviceTime, AsLongAsTheHostComesLateItIsHostBound) {
    ActivityTimeline t;
    t.launched_kernel(0, 0, 10, 20);
    t.launched_kernel(25, 0, 30, 40);  // asked for 5 after the first ended: the whole gap
    t.launched_kernel(40, 0, 45, 50);  // asked for as the second ended
    t.launched_kernel(49, 0, 60, 70);  // asked for in time, began late
    expect_idle(only_time_of(t), 10 + 5, 0, 10);
}

TEST(DeviceTime, WorkOfUnknownOriginIsBlamedOnNobody) {
    ActivityTimeline t;
    t.kernel(0, 0, 10);
    t.kernel(0, 30, 40);  // no call recorded
    expect_idle(only_time_of(t), 0, 0, 20);
}

TEST(DeviceTime, AKernelThatWasQueuedWaitsForTheCopyBeforeIt) {
    ActivityTimeline t;
    t.launched_kernel(0, 0, 100, 200);
    t.copy(1, 150, 300, t.call(10, 12));
    t.launched_kernel(20, 0, 305, 400);  // other stream, 5 after the copy's end: an event
    const DeviceTime time = only_time_of(t);
    expect_idle(time, 0, 100, 5);
    EXPECT_DOUBLE_EQ(time.overlap().value(), 50.0 / 150);
}

TEST(DeviceTime, ACopyThatEndedLongBeforeTheKernelOfAnotherStreamWasNotWaitedFor) {
    for (const std::int64_t pause : {kWakeUpNs, kWakeUpNs + 1}) {
        ActivityTimeline t;
        t.launched_kernel(0, 0, 100, 200);
        t.copy(1, 150, 300, t.call(10, 12));
        t.launched_kernel(20, 0, 300 + pause, 300 + pause + 10);
        const bool waited = pause <= kWakeUpNs;
        expect_idle(only_time_of(t), 0, waited ? 100 : 0, waited ? pause : 100 + pause);
    }
}

TEST(DeviceTime, OnTheKernelsOwnStreamEveryCopyIsWaitedFor) {
    ActivityTimeline t;
    t.launched_kernel(0, 0, 100, 200);
    t.copy(0, 210, 300, t.call(10, 12));
    t.launched_kernel(20, 0, 900'000, 900'010);
    expect_idle(only_time_of(t), 0, 90, 10 + 899'700);
}

TEST(DeviceTime, CopiesOfOneStreamAreWaitedForInARow) {
    ActivityTimeline t;
    t.launched_kernel(0, 0, 0, 1000);
    t.copy(1, 500, 20'000, t.call(10, 12));
    t.copy(2, 600, 18'000, t.call(12, 13));     // another stream, far from the kernel
    t.copy(1, 30'000, 50'000, t.call(14, 15));  // 10 us asked for in time: other
    t.launched_kernel(20, 0, 50'002, 60'000);
    expect_idle(only_time_of(t), 0, 19'000 + 20'000, 10'000 + 2);
}

TEST(DeviceTime, AHostThatStandsStillInACopyWaitsForIt) {
    ActivityTimeline t;
    t.launched_kernel(0, 0, 10, 100);
    t.copy(0, 150, 300, t.call(120, 310));  // synchronous: its call lasts
    t.launched_kernel(320, 0, 330, 400);
    // Nobody had asked for the copy when the kernel ended, nor for the kernel when the copy did.
    expect_idle(only_time_of(t), 50 + 30, 150, 0);
}

TEST(DeviceTime, ASynchronisationOfTheLaunchingThreadWaitsToo) {
    for (const std::uint16_t thread : {std::uint16_t{0}, std::uint16_t{1}}) {
        ActivityTimeline t;
        t.launched_kernel(0, 0, 10, 100);
        t.copy(1, 50, 300, t.call(20, 22));
        t.call(30, 305, "cudaStreamSynchronize_v3020", thread);
        t.launched_kernel(320, 0, 330, 400);
        const DeviceTime time = only_time_of(t);
        if (thread == 0) {
            expect_idle(time, 30, 200, 0);
        } else {  // another thread waited: the one that launches just came late
            expect_idle(time, 230, 0, 0);
        }
    }
}

TEST(DeviceTime, ACopyNobodyWaitsForDoesNotExcuseTheHost) {
    ActivityTimeline t;
    t.launched_kernel(0, 0, 10, 100);
    t.copy(1, 50, 20'300, t.call(20, 22));
    t.launched_kernel(50'000, 0, 50'010, 50'020);
    expect_idle(only_time_of(t), 49'910, 0, 0);
}

TEST(DeviceTime, TheEndsOfTheSpan) {
    ActivityTimeline t;
    t.copy(0, 0, 100, t.call(-10, -5));  // the kernel waits for it
    t.launched_kernel(-4, 0, 110, 200);
    t.copy(0, 250, 300, t.call(190, 310, "cudaMemcpy_v3020"));  // the host does
    const DeviceTime time = only_time_of(t);
    EXPECT_EQ(time.span_ns(), 300);
    expect_idle(time, 0, 100 + 50, 10 + 50);
}

TEST(DeviceTime, KernelsThatMoveDataAreTransfers) {
    ActivityTimeline t;
    t.data.streams[3].fetches = true;
    t.kernel(0, 0, 100);
    t.kernel(3, 50, 150, 0, "gather");
    t.kernel(1, 100, 120, 0, "swap_blocks<float>");
    EXPECT_DOUBLE_EQ(only_time_of(t).overlap().value(), 0.7);
    const DeviceTime named = times_of(t, {{"swap_"}, 10, kWakeUpNs}).front();
    EXPECT_EQ(named.compute_ns, 100);
    EXPECT_EQ(named.transfer_ns, 100);
    EXPECT_EQ(named.both_ns, 50);
}

TEST(DeviceTime, LongestGapsComeFirstWithTheirCause) {
    ActivityTimeline t;
    for (std::int64_t i = 0; i < 50; ++i) {
        const std::int64_t at = i * 1000;
        t.kernel(0, at, at + 1000 - 7 * i, t.call(at - 500, at - 499), i == 20 ? "after 19" : "k");
    }
    const DeviceTime time = times_of(t, {{}, 3, kWakeUpNs}).front();
    ASSERT_EQ(time.longest.size(), 3U);
    EXPECT_EQ(time.longest[0].length_ns(), 48 * 7);
    EXPECT_EQ(time.longest[1].length_ns(), 47 * 7);
    EXPECT_EQ(time.longest[0].main_cause(), IdleCause::kOther);
    EXPECT_EQ(time.gaps, 48);
    const DeviceTime all = times_of(t, {{}, 1000, kWakeUpNs}).front();
    EXPECT_EQ(all.longest.size(), 48U);
    EXPECT_EQ(t.data.name(all.longest[29].next), "after 19");
}

TEST(DeviceTime, WhatTheClocksCannotTellIsCounted) {
    ActivityTimeline t;
    t.data.clock_error_ns = 3;
    t.launched_kernel(0, 0, 10, 20);
    t.launched_kernel(22, 0, 30, 40);  // 2 after the end: within the error
    t.launched_kernel(45, 0, 50, 60);  // 5 after
    const DeviceTime time = only_time_of(t);
    expect_idle(time, 20, 0, 0);
    EXPECT_EQ(time.uncertain_ns, 10);
}

constexpr std::int64_t kRasterWakeUpNs = 12;

/// The definitions of device_time.h, asked of every nanosecond.
class Raster {
public:
    Raster(const Activity& data, std::int32_t device) : data_(data), device_(device) {
        for (const Kernel& k : data.kernels) {
            if (here(k.stream)) compute_.push_back(k);
        }
        for (const Copy& c : data.copies) {
            if (here(c.stream)) transfers_.push_back(c);
        }
    }

    DeviceTime time() const {
        DeviceTime r;
        bool any = false;
        for (std::int64_t t = 0; t < 400; ++t) {
            if (in(compute_, t) || in(transfers_, t)) {
                if (!any) r.start_ns = t;
                any = true;
                r.end_ns = t + 1;
            }
        }
        for (std::int64_t t = r.start_ns; t < r.end_ns; ++t) {
            const bool k = in(compute_, t);
            const bool c = in(transfers_, t);
            r.compute_ns += k ? 1 : 0;
            r.transfer_ns += c ? 1 : 0;
            r.both_ns += k && c ? 1 : 0;
            if (!k) r.idle_ns[static_cast<std::size_t>(cause(t, r.start_ns, r.end_ns))] += 1;
        }
        return r;
    }

private:
    bool here(std::int32_t stream) const {
        return data_.streams[static_cast<std::size_t>(stream)].device == device_;
    }
    template <typename Rows>
    static bool in(const Rows& rows, std::int64_t t) {
        for (const auto& r : rows) {
            if (r.start_ns <= t && t < r.end_ns) return true;
        }
        return false;
    }
    const ApiCall* call(std::int64_t correlation) const {
        for (const ApiCall& c : data_.calls) {
            if (c.correlation == correlation) return &c;
        }
        return nullptr;
    }
    bool still(const Copy& t, const ApiCall* next) const {
        const ApiCall* own = call(t.correlation);
        const ApiCall* caller = next != nullptr ? next : own;
        if (caller == nullptr) return false;
        if (own != nullptr && own->thread == caller->thread && own->end_ns >= t.end_ns) return true;
        for (const ApiCall& c : data_.calls) {
            if (c.thread == caller->thread && data_.name(c.name) == "cudaDeviceSynchronize" &&
                c.start_ns <= t.end_ns && t.end_ns <= c.end_ns) {
                return true;
            }
        }
        return false;
    }
    bool waited(const Copy& t, std::int64_t gap_start, std::int64_t gap_end,
                const Kernel* next) const {
        if (t.end_ns <= gap_start || t.end_ns > gap_end || t.end_ns <= t.start_ns) return false;
        const ApiCall* asked = next == nullptr ? nullptr : call(next->correlation);
        if (next == nullptr || (asked != nullptr && asked->start_ns >= t.end_ns)) {
            return still(t, asked);
        }
        if (t.stream == next->stream || gap_end - t.end_ns <= kRasterWakeUpNs) return true;
        for (const Copy& later : transfers_) {
            if (later.stream == t.stream && later.end_ns > t.end_ns &&
                waited(later, gap_start, gap_end, next)) {
                return true;
            }
        }
        return false;
    }
    IdleCause cause(std::int64_t t, std::int64_t start, std::int64_t end) const {
        std::int64_t a = t;
        while (a > start && !in(compute_, a - 1)) --a;
        std::int64_t b = t;
        while (b < end && !in(compute_, b)) ++b;
        const Kernel* next = nullptr;
        for (const Kernel& k : compute_) {
            if (k.start_ns == b && k.end_ns > b) next = &k;
        }
        std::int64_t piece = a;
        std::int64_t soonest = b;
        std::int64_t asked_by = next == nullptr ? 0 : next->correlation;
        for (const Copy& c : transfers_) {
            if (!waited(c, a, b, next)) continue;
            if (c.start_ns <= t && t < c.end_ns) return IdleCause::kTransfer;
            if (c.end_ns <= t) piece = std::max(piece, c.end_ns);
            if (c.start_ns > t && c.start_ns < soonest) {
                soonest = c.start_ns;
                asked_by = c.correlation;
            }
        }
        const ApiCall* asked = call(asked_by);
        return asked != nullptr && asked->start_ns >= piece ? IdleCause::kHost : IdleCause::kOther;
    }

    const Activity& data_;
    std::int32_t device_;
    std::vector<Kernel> compute_;
    std::vector<Copy> transfers_;
};

TEST(DeviceTime, EqualsARasterOnRandomTimelines) {
    std::mt19937 random(7);
    const auto below = [&](std::int64_t n) {
        return static_cast<std::int64_t>(random() % static_cast<std::uint32_t>(n));
    };
    std::int64_t seen[kIdleCauses] = {};
    for (int trial = 0; trial < 2000; ++trial) {
        ActivityTimeline t;
        std::vector<std::int64_t> starts(300);
        for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = static_cast<std::int64_t>(i);
        std::shuffle(starts.begin(), starts.end(), random);  // no two at one time
        const std::int64_t count = 1 + below(14);
        for (std::int64_t i = 0; i < count; ++i) {
            const std::int64_t start = starts[static_cast<std::size_t>(i)];
            const auto stream = static_cast<std::int32_t>(below(6));
            const auto thread = static_cast<std::uint16_t>(below(2));
            const std::int64_t launched = start - below(80);
            std::int64_t correlation = 0;  // sometimes not recorded
            if (below(8) > 0) {
                correlation = t.call(launched, launched + below(120), "cudaMemcpy", thread);
            }
            const std::int64_t end = start + below(40);
            if (below(2) == 0) {
                t.kernel(stream, start, end, correlation);
            } else {
                t.copy(stream, start, end, correlation);
            }
        }
        if (below(3) == 0) {
            const std::int64_t start = below(300);
            t.call(start, start + below(60), "cudaDeviceSynchronize");
        }
        for (const DeviceTime& time : times_of(t, {{}, 10, kRasterWakeUpNs})) {
            const DeviceTime expected = Raster(t.data, time.device).time();
            ASSERT_EQ(time.compute_ns, expected.compute_ns) << trial;
            ASSERT_EQ(time.transfer_ns, expected.transfer_ns) << trial;
            ASSERT_EQ(time.both_ns, expected.both_ns) << trial;
            ASSERT_EQ(time.span_ns(), expected.span_ns()) << trial;
            for (std::size_t c = 0; c < kIdleCauses; ++c) {
                ASSERT_EQ(time.idle_ns[c], expected.idle_ns[c]) << trial << " cause " << c;
                seen[c] += time.idle_ns[c];
            }
        }
    }
    for (const std::int64_t ns : seen) EXPECT_GT(ns, 1000);  // every branch was asked
}

}  // namespace
}  // namespace hc::analysis
