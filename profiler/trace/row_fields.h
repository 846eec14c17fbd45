/// Checked access to the columns of a row that may come from anywhere.
#pragma once

#include <fmt/format.h>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/error.h"
#include "engine/core/progress.h"
#include "profiler/trace/names.h"
#include "profiler/trace/position_codec.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

// What a field may hold. Wide enough for anything real; narrow enough that sums, differences and
// indexes made of them stay in range whatever a file claims.
inline constexpr std::int64_t kMaxTime = std::int64_t{1} << 60;
inline constexpr std::int64_t kMaxAmount = std::int64_t{1} << 60;
inline constexpr std::int64_t kMaxId = std::int64_t{1} << 60;
inline constexpr std::int64_t kMaxIndex = 1 << 20;  // layers, heads, sequences
inline constexpr std::int64_t kProgressRows = 1 << 16;

inline std::int64_t ranged(const Statement& row, int column, std::int64_t low, std::int64_t high,
                           std::string_view what) {
    const std::int64_t value = row.integer(column);
    if (value < low || value > high)
        throw BadData(fmt::format("{} {} is out of range", what, value));
    return value;
}

inline std::int64_t time_at(const Statement& row, int column) {
    return ranged(row, column, -kMaxTime, kMaxTime, "time");
}
inline std::int64_t amount_at(const Statement& row, int column) {
    return ranged(row, column, 0, kMaxAmount, "amount");
}
/// For columns that are never NULL; asking costs as much as reading.
inline std::int64_t required_id(const Statement& row, int column) {
    return ranged(row, column, -1, kMaxId, "id");
}
/// -1 where the file holds NULL.
inline std::int64_t id_at(const Statement& row, int column) {
    return row.is_null(column) ? -1 : ranged(row, column, -1, kMaxId, "id");
}
inline std::int32_t index_at(const Statement& row, int column, std::string_view what) {
    return static_cast<std::int32_t>(ranged(row, column, 0, kMaxIndex, what));
}
inline std::int32_t int_at(const Statement& row, int column, std::string_view what) {
    return static_cast<std::int32_t>(ranged(row, column, std::numeric_limits<std::int32_t>::min(),
                                            std::numeric_limits<std::int32_t>::max(), what));
}
inline double real_or(const Statement& row, int column, double otherwise) {
    return row.is_null(column) ? otherwise : row.real(column);
}
inline std::optional<double> optional_real(const Statement& row, int column) {
    return row.is_null(column) ? std::nullopt : std::optional(row.real(column));
}
inline std::string string_at(const Statement& row, int column) {
    return std::string(row.text(column));
}

template <typename Enum>
Enum name_at(const Statement& row, int column, std::string_view what) {
    const std::string_view name = row.text(column);
    const std::optional<Enum> value = parse_name<Enum>(name);
    if (!value) throw BadData(fmt::format("unknown {} '{}'", what, name.substr(0, 40)));
    return *value;
}

/// Calls `each` for every row of the run, and tells `progress`.
template <typename Each>
void for_rows(Statement& rows, RunId run, Progress& progress, Each&& each) {
    rows.bind(1, std::int64_t{run});
    std::int64_t done = 0;
    while (rows.step()) {
        each(rows);
        if (++done % kProgressRows == 0) {
            progress.update(done);
            if (progress.cancelled()) throw Error(ExitCode::kInterrupted, "interrupted");
        }
    }
    rows.reset();
}

}  // namespace hc::trace
