/// Which row of a thread an event goes to, so that viewers can draw each row as a stack.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace hc::formats {

/// Feed it events by start, the longer first among equals.
class RowPacker {
public:
    /// The first row in which the event lies inside all that still run. Beyond kMaxRows, which
    /// only a damaged or made-up file needs, the last row.
    [[nodiscard]] std::size_t place(std::int64_t start, std::int64_t end) {
        for (std::size_t row = 0; row < open_.size(); ++row) {
            std::vector<std::int64_t>& ends = open_[row];
            while (!ends.empty() && ends.back() <= start) ends.pop_back();
            if (!ends.empty() && ends.back() < end) continue;
            ends.push_back(end);
            return row;
        }
        if (open_.size() < kMaxRows) open_.emplace_back();
        open_.back().push_back(end);
        return open_.size() - 1;
    }
    [[nodiscard]] std::size_t num_rows() const { return open_.size(); }

private:
    static constexpr std::size_t kMaxRows = 256;
    std::vector<std::vector<std::int64_t>> open_;  // ends of what runs in each row, outermost first
};

}  // namespace hc::formats
