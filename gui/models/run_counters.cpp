#include "gui/models/run_counters.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "gui/models/lane_packer.h"

namespace hc::gui {
namespace {

constexpr std::size_t kStretches = 65536;

CounterSeries exact_rate(const std::vector<Transfer>& transfers) {
    struct Change {
        std::int64_t time;
        double delta;
    };
    std::vector<Change> changes;
    changes.reserve(transfers.size() * 2);
    for (const Transfer& t : transfers) {
        // A transfer of no length has no rate that could be drawn: it counts as one nanosecond.
        const std::int64_t end = std::max(t.end_ns, t.start_ns + 1);
        const double rate = static_cast<double>(t.bytes) / static_cast<double>(end - t.start_ns);
        changes.push_back({t.start_ns, rate});
        changes.push_back({end, -rate});
    }
    std::sort(changes.begin(), changes.end(), [](const Change& a, const Change& b) {
        return a.time != b.time ? a.time < b.time : a.delta < b.delta;
    });
    std::vector<std::int64_t> times;
    std::vector<float> values;
    double rate = 0;
    std::size_t under_way = 0;
    for (std::size_t i = 0; i < changes.size(); ++i) {
        rate += changes[i].delta;
        under_way += changes[i].delta > 0 ? 1 : 0;
        under_way -= changes[i].delta < 0 && under_way > 0 ? 1 : 0;
        if (under_way == 0) rate = 0;  // no rounding error outlives its transfers
        if (i + 1 < changes.size() && changes[i + 1].time == changes[i].time) continue;
        times.push_back(changes[i].time);
        values.push_back(static_cast<float>(std::max(rate, 0.0)));
    }
    const std::int64_t end = times.back();
    return {std::move(times), std::move(values), end};
}

CounterSeries mean_rate(const std::vector<Transfer>& transfers) {
    std::int64_t first = transfers.front().start_ns, last = first + 1;
    for (const Transfer& t : transfers) {
        first = std::min(first, t.start_ns);
        last = std::max({last, t.end_ns, t.start_ns + 1});
    }
    const double width = static_cast<double>(last - first) / kStretches;
    std::vector<double> bytes(kStretches);
    for (const Transfer& t : transfers) {
        const auto from = static_cast<double>(t.start_ns - first);
        const double to = std::max(static_cast<double>(t.end_ns - first), from + 1);
        const double rate = static_cast<double>(t.bytes) / (to - from);
        const auto a = std::min(static_cast<std::size_t>(from / width), kStretches - 1);
        const auto b = std::min(static_cast<std::size_t>(to / width), kStretches - 1);
        for (std::size_t i = a; i <= b; ++i) {
            const double left = std::max(from, static_cast<double>(i) * width);
            const double right = std::min(to, static_cast<double>(i + 1) * width);
            bytes[i] += rate * std::max(right - left, 0.0);
        }
    }
    std::vector<std::int64_t> times(kStretches);
    std::vector<float> values(kStretches);
    for (std::size_t i = 0; i < kStretches; ++i) {
        times[i] = first + static_cast<std::int64_t>(std::llround(static_cast<double>(i) * width));
        values[i] = static_cast<float>(bytes[i] / width);
    }
    return {std::move(times), std::move(values), last};
}

/// Values by step become a curve over time.
struct StepValue {
    std::int64_t step = 0;
    double value = 0;
};

class StepClock {
public:
    explicit StepClock(const trace::Steps& steps) : steps_(steps) {
        for (std::size_t i = 0; i < steps.size(); ++i) row_.emplace(steps.step[i], i);
    }
    /// Each value holds from the end of its step (`at_end`) or its start to the next one.
    [[nodiscard]] CounterSeries curve(std::vector<StepValue> values, bool at_end) const {
        std::stable_sort(values.begin(), values.end(),
                         [](const StepValue& a, const StepValue& b) { return a.step < b.step; });
        std::vector<std::int64_t> times;
        std::vector<float> numbers;
        std::int64_t last = std::numeric_limits<std::int64_t>::min();
        for (const StepValue& v : values) {
            const auto row = row_.find(v.step);
            if (row == row_.end()) continue;
            const std::int64_t time =
                bounded_time(at_end ? steps_.end_ns[row->second] : steps_.start_ns[row->second]);
            if (time < last) continue;  // steps that go back in time are no steps
            last = time;
            times.push_back(time);
            numbers.push_back(static_cast<float>(v.value));
        }
        std::int64_t end = times.empty() ? 0 : times.back();
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            end = std::max(end, bounded_time(steps_.end_ns[i]));
        }
        return {std::move(times), std::move(numbers), end};
    }

private:
    const trace::Steps& steps_;
    std::unordered_map<std::int64_t, std::size_t> row_;
};

/// The mean per step of values that come several to a step.
class StepMeans {
public:
    void add(std::int64_t step, double value) {
        Sum& sum = sums_[step];
        sum.value += value;
        sum.count += 1;
    }
    [[nodiscard]] std::vector<StepValue> means() const {
        std::vector<StepValue> values;
        for (const auto& [step, sum] : sums_) values.push_back({step, sum.value / sum.count});
        return values;
    }

private:
    struct Sum {
        double value = 0;
        double count = 0;
    };
    std::unordered_map<std::int64_t, Sum> sums_;
};

}  // namespace

CounterSeries rate_of(std::vector<Transfer> transfers) {
    std::erase_if(transfers, [](const Transfer& t) { return t.bytes <= 0; });
    for (Transfer& t : transfers) {
        t.start_ns = bounded_time(t.start_ns);
        t.end_ns = bounded_time(t.end_ns);
    }
    if (transfers.empty()) return {};
    return transfers.size() <= kExactTransfers ? exact_rate(transfers) : mean_rate(transfers);
}

void add_run_counters(const trace::RunData& data, const std::vector<trace::RecallRecord>* recall,
                      LaneSet& set) {
    std::vector<Transfer> transfers;
    for (const FetchRecord& fetch : data.fetches) {
        if (fetch.start_ns < 0 || fetch.end_ns < fetch.start_ns) continue;  // never began
        transfers.push_back({fetch.start_ns, fetch.end_ns, fetch.bytes});
    }
    add_counter(set, "link rate", rate_of(std::move(transfers)), CounterUnit::kBytesPerNs);

    const StepClock clock(data.steps);
    std::vector<StepValue> pool;
    for (const MemoryRecord& memory : data.memory) {
        pool.push_back({memory.step, static_cast<double>(memory.pool_used_bytes)});
    }
    add_counter(set, "KV pool", clock.curve(std::move(pool), true), CounterUnit::kBytes);

    StepMeans overlap;
    for (const DriftRecord& check : data.drift) overlap.add(check.step, check.median);
    add_counter(set, "overlap", clock.curve(overlap.means(), false), CounterUnit::kShare, 1);

    if (recall == nullptr) return;
    StepMeans mean_recall;
    for (const trace::RecallRecord& row : *recall) mean_recall.add(row.step, row.low);
    add_counter(set, "recall", clock.curve(mean_recall.means(), false), CounterUnit::kShare, 1);
}

}  // namespace hc::gui
