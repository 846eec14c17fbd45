/// A quantity over time (link rate, pool bytes, overlap, recall): it holds a value from each point
/// to the next, with an index that gives least, most and mean of any stretch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hc::gui {

class CounterSeries {
public:
    CounterSeries() = default;
    /// Points in order of time; of several at one time the last holds. The last value holds to
    /// `end_ns`. NaN: not known from here on.
    CounterSeries(std::vector<std::int64_t> time_ns, std::vector<float> value, std::int64_t end_ns);

    [[nodiscard]] bool empty() const { return time_ns_.empty(); }
    [[nodiscard]] std::size_t size() const { return time_ns_.size(); }
    [[nodiscard]] std::int64_t time(std::size_t i) const { return time_ns_[i]; }
    [[nodiscard]] double value(std::size_t i) const { return static_cast<double>(value_[i]); }
    [[nodiscard]] std::int64_t start() const { return time_ns_.front(); }
    [[nodiscard]] std::int64_t end() const { return end_ns_; }
    /// The highest value of all; 0 without values.
    [[nodiscard]] double highest() const { return highest_; }
    /// The point that holds at `time_ns`, or size() before the first and after the end.
    [[nodiscard]] std::size_t at(double time_ns) const;

    struct Span {
        double least = 0, most = 0;
        double mean = 0;  ///< by time
        bool known = false;
    };
    /// Over [from, to): no extreme is lost, however many points lie between.
    [[nodiscard]] Span over(double from_ns, double to_ns) const;
    [[nodiscard]] std::size_t memory() const;

private:
    static constexpr std::size_t kFan = 16;
    struct Node {
        float least = 0, most = 0;
        double area = 0;   ///< value times ns
        double known = 0;  ///< ns with a value
    };
    [[nodiscard]] std::int64_t end_of(std::size_t i) const {
        return i + 1 < time_ns_.size() ? time_ns_[i + 1] : end_ns_;
    }

    std::vector<std::int64_t> time_ns_;
    std::vector<float> value_;
    std::int64_t end_ns_ = 0;
    double highest_ = 0;
    std::vector<std::vector<Node>> levels_;  ///< [0]: one node per 16 points
};

}  // namespace hc::gui
