/// Reads the narrow tables of CUDA activity into columns, checking every value.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "engine/core/progress.h"
#include "profiler/trace/activity_columns.h"
#include "profiler/trace/columns.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

/// user_version of the first format whose tables of activity are filled and read.
inline constexpr std::int64_t kActivityVersion = 1001;

/// Tables that such a file must have.
[[nodiscard]] std::vector<std::string_view> activity_tables();

/// What rows of activity refer to by number.
struct ActivityTexts {
    Strings strings;
    Launches launches;
    std::vector<StreamKey> streams;  ///< ascending
};
/// This and all below throw SqliteFailure, and BadData for values out of range.
[[nodiscard]] ActivityTexts read_activity_texts(const Database& database);

[[nodiscard]] std::vector<Gpu> read_gpus(const Database& database);
[[nodiscard]] std::vector<Process> read_processes(const Database& database);
[[nodiscard]] std::vector<NvtxName> read_nvtx_names(const Database& database,
                                                    const ActivityTexts& texts);
/// Never more than `file_bytes` could hold.
[[nodiscard]] ActivityCounts count_activity(const Database& database, std::int64_t file_bytes);

/// In the order of the file, in blocks; `each` may keep nothing of a block.
template <typename Columns>
void read_blocks(const Database& database, const ActivityTexts& texts, std::int64_t expected_rows,
                 Progress& progress, const std::function<void(const Columns&)>& each);

/// In the order of the file, all at once.
template <typename Columns>
[[nodiscard]] Columns read_table(const Database& database, const ActivityTexts& texts,
                                 std::int64_t expected_rows, Progress& progress);

/// The number of this table's rows among `counts`.
template <typename Columns>
[[nodiscard]] std::int64_t rows_of(const ActivityCounts& counts);

}  // namespace hc::trace
