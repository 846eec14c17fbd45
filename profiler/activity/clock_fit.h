/// Brings times of another clock (CUPTI's is CLOCK_REALTIME) to now_ns()'s.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

namespace hc::activity {

/// One reading of the other clock between two of ours.
struct ClockPair {
    std::int64_t before_ns = 0;  ///< now_ns()
    std::int64_t other_ns = 0;
    std::int64_t after_ns = 0;  ///< now_ns()
};

/// Takes the reading with the tightest bracket out of several. nullopt: the other clock failed.
[[nodiscard]] std::optional<ClockPair> read_pair(
    const std::function<std::optional<std::int64_t>()>& read_other, int readings = 16);

/// Converts with the pairs that were known when it was made: straight lines between neighbours,
/// the nearest pair's offset outside of them. Not thread-safe, cheap to copy.
class ClockConverter {
public:
    [[nodiscard]] std::int64_t operator()(std::int64_t other_ns);

private:
    friend class ClockFit;
    struct Knot {
        std::int64_t other_ns = 0;
        std::int64_t offset_ns = 0;  ///< other clock - now_ns()
    };
    void find_segment(std::int64_t other_ns);

    std::vector<Knot> knots_;  // ascending
    std::int64_t low_ = 1, high_ = 0;  // the segment in use: [low_, high_)
    std::int64_t base_ns_ = 0, offset_ns_ = 0;
    double slope_ = 0;
};

/// Thread-safe. Keeps the latest pairs; what is older than them converts with the oldest offset.
class ClockFit {
public:
    explicit ClockFit(std::size_t max_pairs = 256) : max_pairs_(max_pairs) {}

    void add(const ClockPair& pair);
    [[nodiscard]] ClockConverter converter() const;

    /// Bound of the error of a converted time: half of the widest bracket, and the largest change
    /// of the offset between neighbouring pairs, which interpolation can miss.
    [[nodiscard]] std::int64_t error_ns() const;
    /// Times the other clock was set by more than a millisecond between two pairs.
    [[nodiscard]] std::int64_t steps() const;

private:
    const std::size_t max_pairs_;
    mutable std::mutex mutex_;  // guards everything below
    std::vector<ClockConverter::Knot> knots_;
    std::int64_t bracket_ns_ = 0;
    std::int64_t change_ns_ = 0;
    std::int64_t steps_ = 0;
};

}  // namespace hc::activity
