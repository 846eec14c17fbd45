/// Which prompt positions of one head were kept, fetched, put out and wanted, step by step: the
/// picture of the drift replay.
#pragma once

#include <QImage>
#include <cstdint>
#include <optional>
#include <vector>

#include "profiler/trace/columns.h"

namespace hc::gui {

/// What one step changed in the head, and how it stood after.
struct ResidencyStep {
    std::int64_t step = 0;
    std::int64_t resident = 0;  ///< positions, after the step's changes
    std::int64_t fetched = 0, evicted = 0;
    std::optional<std::size_t> fetch;  ///< row of data.fetches that committed here
    /// Of the positions that full attention ranked highest at this step, as many as the head may
    /// keep: how many there are, and how many were not resident. Only where the drift trace has
    /// this step.
    std::optional<std::int64_t> wanted, missing;
};

class Residency {
public:
    struct Head {
        std::int32_t layer = 0, head = 0, sequence = 0;
        [[nodiscard]] bool operator==(const Head&) const = default;
    };

    Residency() = default;
    /// `attention` may be null: then nothing is known of what was wanted. Both are only read here.
    Residency(const trace::RunData& data, const trace::RunData* attention, const Head& head);

    [[nodiscard]] const Head& head() const { return head_; }
    [[nodiscard]] bool empty() const { return steps_.empty(); }
    [[nodiscard]] std::int64_t prompt() const { return prompt_; }
    /// One per step of the run, in order.
    [[nodiscard]] const std::vector<ResidencyStep>& steps() const { return steps_; }
    [[nodiscard]] bool knows_wanted() const { return knows_wanted_; }

    /// What a cell of the picture (a step and a stretch of positions) mostly is.
    enum class Cell : std::uint8_t { kAbsent, kKept, kEvicted, kMissing, kFetched };
    /// Width: steps(); height: at most `rows` stretches of positions, position 0 at the top.
    [[nodiscard]] int num_rows() const { return num_rows_; }
    [[nodiscard]] Cell cell(int column, int row) const;
    /// Share of the stretch that is resident.
    [[nodiscard]] double kept_share(int column, int row) const;
    /// Positions [first, last) of a row.
    [[nodiscard]] std::pair<std::int64_t, std::int64_t> positions(int row) const;

    static constexpr int kMaxRows = 360;
    static constexpr std::size_t kMaxColumns = 8192;

private:
    Head head_;
    std::int64_t prompt_ = 0;
    int num_rows_ = 0;
    bool knows_wanted_ = false;
    std::vector<ResidencyStep> steps_;
    std::vector<Cell> cells_;         ///< [column * num_rows_ + row]
    std::vector<std::uint8_t> kept_;  ///< same index; share of 255
};

}  // namespace hc::gui
