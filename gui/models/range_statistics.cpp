#include "gui/models/range_statistics.h"

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <memory>
#include <span>
#include <thread>
#include <unordered_map>

namespace hc::gui {
namespace {

// A duration falls into a bin by its highest seven bits: 64 bins to every power of two. The first
// pass counts bins; the second looks closer at the few bins in which a percentile lies.
constexpr std::uint32_t kMantissa = 6;
constexpr std::size_t kBins = (33 - kMantissa) << kMantissa;
// Events that one thread takes at a time.
constexpr std::size_t kChunk = std::size_t{1} << 17;
// Below so many events a second thread costs more than it brings.
constexpr std::size_t kWorthAThread = 400'000;

std::uint32_t bin_of(std::uint32_t ns) {
    if (ns < (2u << kMantissa)) return ns;
    const auto shift = static_cast<std::uint32_t>(std::bit_width(ns)) - 1 - kMantissa;
    return (shift << kMantissa) + (ns >> shift);
}

/// First duration of a bin; the next bin's is one past its last.
std::uint64_t bin_start(std::uint32_t bin) {
    if (bin < (2u << kMantissa)) return bin;
    const std::uint32_t shift = (bin >> kMantissa) - 1;
    return (std::uint64_t{bin} - (std::uint64_t{shift} << kMantissa)) << shift;
}

using Bins = std::array<std::uint32_t, kBins>;

/// A name within a track.
struct Cell {
    Bins bins{};
    std::int64_t sum = 0;
};

/// The events of one lane within the range.
struct Piece {
    std::size_t lane = 0;
    std::size_t begin = 0, end = 0;
    std::size_t track = 0;  ///< index of its Track
};

// A track may give every range a name of its own; those beyond so many are counted together.
constexpr std::size_t kMaxSlots = 1000;

/// A track's names get small numbers: slot_of[name].
struct Track {
    std::size_t group = 0;
    std::vector<std::uint32_t> names;    ///< [slot]; the last may be StatisticsRow::kOtherNames
    std::vector<std::uint16_t> slot_of;  ///< [name]
};

/// What one thread counted.
struct Share {
    std::vector<std::vector<std::unique_ptr<Cell>>> cells;  ///< [track][slot]
};

/// The ranks that a row asks for: two for the median, p95, p99, the least, the most.
constexpr std::size_t kNumRanks = 6;
using Ranks = std::array<std::int64_t, kNumRanks>;
Ranks ranks_of(std::int64_t count) {
    const auto nearest = [count](double share) {
        const auto rank =
            static_cast<std::int64_t>(std::ceil(share * static_cast<double>(count))) - 1;
        return std::clamp<std::int64_t>(rank, 0, count - 1);
    };
    return {(count - 1) / 2, count / 2, nearest(0.95), nearest(0.99), 0, count - 1};
}

/// Finds the duration at a rank: the bin by counts, then the place in the bin by a second look.
struct Wanted {
    std::uint32_t bin = 0;
    std::int64_t rank_in_bin = 0;
};

Wanted locate(std::span<const std::uint64_t> bins, std::int64_t rank) {
    std::uint64_t before = 0;
    for (std::uint32_t bin = 0; bin < bins.size(); ++bin) {
        if (static_cast<std::uint64_t>(rank) < before + bins[bin]) {
            return {bin, rank - static_cast<std::int64_t>(before)};
        }
        before += bins[bin];
    }
    return {};
}

/// All durations of one bin of one row, for the second look.
struct Close {
    std::uint32_t bin = 0;
    std::vector<std::uint32_t> counts;  ///< narrow bins: how many of each duration
    std::vector<std::uint32_t> values;  ///< wide bins: the durations themselves
};
// Bins up to this width are counted by duration.
constexpr std::uint64_t kNarrow = 1 << 14;

/// The bins that rows want, with a fast way to tell whether an event falls into one.
struct Looks {
    std::vector<Close> closes;
    std::vector<std::int16_t> of_bin = std::vector<std::int16_t>(kBins, -1);

    void want(std::uint32_t bin) {
        if (of_bin[bin] >= 0) return;
        of_bin[bin] = static_cast<std::int16_t>(closes.size());
        Close close;
        close.bin = bin;
        const std::uint64_t width = bin_start(bin + 1) - bin_start(bin);
        if (width > 1 && width <= kNarrow) close.counts.resize(width);
        closes.push_back(std::move(close));
    }
    void add(std::uint32_t ns, std::uint32_t bin) {
        const std::int16_t which = of_bin[bin];
        if (which < 0) return;
        Close& close = closes[static_cast<std::size_t>(which)];
        if (!close.counts.empty()) {
            close.counts[ns - bin_start(bin)] += 1;
        } else if (bin_start(bin + 1) - bin_start(bin) > 1) {
            close.values.push_back(ns);
        }
    }
    void add(const Looks& other) {
        for (std::size_t i = 0; i < closes.size(); ++i) {
            for (std::size_t k = 0; k < closes[i].counts.size(); ++k) {
                closes[i].counts[k] += other.closes[i].counts[k];
            }
            closes[i].values.insert(closes[i].values.end(), other.closes[i].values.begin(),
                                    other.closes[i].values.end());
        }
    }
    [[nodiscard]] std::uint32_t value(const Wanted& wanted) {
        Close& close = closes[static_cast<std::size_t>(of_bin[wanted.bin])];
        const auto start = static_cast<std::uint32_t>(bin_start(wanted.bin));
        if (!close.values.empty()) {
            const auto nth = close.values.begin() + wanted.rank_in_bin;
            std::nth_element(close.values.begin(), nth, close.values.end());
            return *nth;
        }
        std::int64_t before = 0;
        for (std::size_t i = 0; i < close.counts.size(); ++i) {
            before += close.counts[i];
            if (wanted.rank_in_bin < before) return start + static_cast<std::uint32_t>(i);
        }
        return start;
    }
};

/// A row in the making: the bins of a name or of a whole track.
struct Row {
    std::size_t track = 0;
    std::int32_t slot = -1;  ///< -1: the whole track
    std::int64_t count = 0, sum = 0;
    std::array<Wanted, kNumRanks> wanted{};
    Looks looks;
};

class Counter {
public:
    Counter(const LaneSet& set, const TimeRange& range, const std::atomic<bool>& cancelled)
        : set_(set), range_(range), cancelled_(cancelled) {}

    std::optional<RangeStatistics> run() {
        const auto start = std::chrono::steady_clock::now();
        collect_pieces();
        count();
        if (cancelled_) return std::nullopt;
        make_rows();
        look_closer();
        if (cancelled_) return std::nullopt;
        RangeStatistics result = write();
        result.range = range_;
        result.num_events = static_cast<std::int64_t>(num_events_);
        result.elapsed_ms =
            std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
                .count();
        return result;
    }

private:
    void collect_pieces() {
        for (std::size_t g = 0; g < set_.groups.size(); ++g) {
            const LaneGroup& group = set_.groups[g];
            bool any = false;
            for (std::size_t lane = group.first; lane < group.first + group.count; ++lane) {
                const LaneEvents& events = set_.lanes[lane].events;
                const std::size_t begin = events.first_starting_at(range_.start_ns);
                const std::size_t end = events.first_starting_at(range_.end_ns, begin);
                if (end <= begin) continue;
                if (!any) tracks_.push_back(make_track(g));
                any = true;
                num_events_ += end - begin;
                for (std::size_t i = begin; i < end; i += kChunk) {
                    pieces_.push_back({lane, i, std::min(i + kChunk, end), tracks_.size() - 1});
                }
            }
        }
    }

    [[nodiscard]] Track make_track(std::size_t group) const {
        Track track;
        track.group = group;
        track.slot_of.resize(set_.names.size());
        for (const std::uint32_t name : set_.groups[group].names) {
            if (track.names.size() < kMaxSlots) {
                track.names.push_back(name);
            } else if (track.names.size() == kMaxSlots) {
                track.names.push_back(StatisticsRow::kOtherNames);
            }
            track.slot_of[name] = static_cast<std::uint16_t>(track.names.size() - 1);
        }
        return track;
    }

    /// Runs `work(piece, share number)` over all pieces, on this thread and on one more.
    void each_piece(const auto& work) {
        std::atomic<std::size_t> next = 0;
        const auto run = [&](std::size_t share) {
            for (std::size_t i = next++; i < pieces_.size() && !cancelled_; i = next++) {
                work(pieces_[i], share);
            }
        };
        if (num_events_ < kWorthAThread) {
            run(0);
            return;
        }
        std::thread second(run, std::size_t{1});
        run(0);
        second.join();
    }

    void count() {
        for (Share& share : shares_) {
            share.cells.resize(tracks_.size());
            for (std::size_t t = 0; t < tracks_.size(); ++t) {
                share.cells[t].resize(tracks_[t].names.size());
            }
        }
        each_piece([&](const Piece& piece, std::size_t share) {
            const LaneEvents& events = set_.lanes[piece.lane].events;
            const Track& track = tracks_[piece.track];
            auto& cells = shares_[share].cells[piece.track];
            const auto durations = events.durations();
            const auto names = events.names();
            for (std::size_t i = piece.begin; i < piece.end; ++i) {
                auto& cell = cells[track.slot_of[names[i]]];
                if (!cell) cell = std::make_unique<Cell>();
                const std::uint32_t ns = durations[i];
                cell->bins[bin_of(ns)] += 1;
                // Least, most and number come from the bins later; the sum must be taken here.
                cell->sum += ns != LaneEvents::kLong ? std::int64_t{ns} : events.duration(i);
            }
        });
    }

    void make_rows() {
        for (std::size_t t = 0; t < tracks_.size(); ++t) {
            std::vector<std::uint64_t> all(kBins);
            const std::size_t first = rows_.size();
            rows_.emplace_back();
            rows_[first].track = t;
            for (std::size_t slot = 0; slot < tracks_[t].names.size(); ++slot) {
                std::vector<std::uint64_t> bins(kBins);
                Row row;
                row.track = t;
                row.slot = static_cast<std::int32_t>(slot);
                for (const Share& share : shares_) {
                    const Cell* cell = share.cells[t][slot].get();
                    if (cell == nullptr) continue;
                    row.sum += cell->sum;
                    for (std::size_t b = 0; b < kBins; ++b) bins[b] += cell->bins[b];
                }
                for (std::size_t b = 0; b < kBins; ++b) all[b] += bins[b];
                rows_[first].sum += row.sum;
                want(row, bins);
                rows_.push_back(std::move(row));
            }
            want(rows_[first], all);
            row_of_track_.push_back(first);
        }
    }

    static void want(Row& row, std::span<const std::uint64_t> bins) {
        for (const std::uint64_t count : bins) row.count += static_cast<std::int64_t>(count);
        if (row.count == 0) return;
        const Ranks ranks = ranks_of(row.count);
        for (std::size_t i = 0; i < ranks.size(); ++i) {
            row.wanted[i] = locate(bins, ranks[i]);
            row.looks.want(row.wanted[i].bin);
        }
    }

    void look_closer() {
        // The second thread fills looks of its own; they are added up.
        std::vector<Looks> others;
        for (const Row& row : rows_) others.push_back(row.looks);
        each_piece([&](const Piece& piece, std::size_t share) {
            const LaneEvents& events = set_.lanes[piece.lane].events;
            const Track& track = tracks_[piece.track];
            const std::size_t first = row_of_track_[piece.track];
            const auto durations = events.durations();
            const auto names = events.names();
            const auto looks = [&](std::size_t row) -> Looks& {
                return share == 0 ? rows_[row].looks : others[row];
            };
            Looks& whole = looks(first);
            for (std::size_t i = piece.begin; i < piece.end; ++i) {
                const std::uint32_t ns = durations[i];
                const std::uint32_t bin = bin_of(ns);
                const std::size_t slot = track.slot_of[names[i]];
                looks(first + 1 + slot).add(ns, bin);
                whole.add(ns, bin);
            }
        });
        for (std::size_t i = 0; i < rows_.size(); ++i) rows_[i].looks.add(others[i]);
    }

    /// Durations of 4.29 s and more share the last bin; they are few, and looked up one by one.
    [[nodiscard]] std::int64_t exact(const Row& row, std::uint32_t ns,
                                     std::int64_t rank_in_bin) const {
        if (ns != LaneEvents::kLong) return ns;
        std::vector<std::int64_t> all;
        const Track& track = tracks_[row.track];
        for (const Piece& piece : pieces_) {
            if (piece.track != row.track) continue;
            const LaneEvents& events = set_.lanes[piece.lane].events;
            for (std::size_t i = piece.begin; i < piece.end; ++i) {
                const bool its = row.slot < 0 || track.slot_of[events.name(i)] == row.slot;
                if (its && bin_of(events.durations()[i]) == bin_of(LaneEvents::kLong)) {
                    all.push_back(events.duration(i));
                }
            }
        }
        std::sort(all.begin(), all.end());
        return all[static_cast<std::size_t>(rank_in_bin)];
    }

    RangeStatistics write() {
        RangeStatistics result;
        for (std::size_t t = 0; t < tracks_.size(); ++t) {
            const std::size_t first = row_of_track_[t];
            const std::size_t end = first + 1 + tracks_[t].names.size();
            std::vector<StatisticsRow> names;
            for (std::size_t i = first; i < end; ++i) {
                Row& row = rows_[i];
                if (row.count == 0) continue;
                Ranks at{};
                for (std::size_t k = 0; k < at.size(); ++k) {
                    at[k] = exact(row, row.looks.value(row.wanted[k]), row.wanted[k].rank_in_bin);
                }
                StatisticsRow out;
                out.group = tracks_[t].group;
                if (row.slot >= 0) out.name = tracks_[t].names[static_cast<std::size_t>(row.slot)];
                out.count = row.count;
                out.sum_ns = row.sum;
                out.min_ns = at[4];
                out.max_ns = at[5];
                out.median_ns = (static_cast<double>(at[0]) + static_cast<double>(at[1])) / 2;
                out.p95_ns = at[2];
                out.p99_ns = at[3];
                (row.slot < 0 ? result.rows : names).push_back(out);
            }
            std::stable_sort(names.begin(), names.end(),
                             [](const auto& a, const auto& b) { return a.sum_ns > b.sum_ns; });
            result.rows.insert(result.rows.end(), names.begin(), names.end());
        }
        return result;
    }

    const LaneSet& set_;
    TimeRange range_;
    const std::atomic<bool>& cancelled_;
    std::vector<Piece> pieces_;
    std::vector<Track> tracks_;
    std::array<Share, 2> shares_;
    std::vector<Row> rows_;
    std::vector<std::size_t> row_of_track_;
    std::size_t num_events_ = 0;
};

}  // namespace

std::optional<RangeStatistics> range_statistics(const LaneSet& set, const TimeRange& range,
                                                const std::atomic<bool>& cancelled) {
    return Counter(set, range, cancelled).run();
}

}  // namespace hc::gui
