/// Fills RunData from the tables of one run.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/core/progress.h"
#include "profiler/trace/columns.h"
#include "profiler/trace/op_reader.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

/// Tables that reading needs; a file that lacks one is no trace of ours.
[[nodiscard]] std::vector<std::string_view> tables_read();

[[nodiscard]] std::vector<Run> read_runs(const Database& database);
[[nodiscard]] std::vector<Stream> read_streams(const Database& database);
[[nodiscard]] std::vector<Value> read_values(const Database& database);
[[nodiscard]] std::vector<RecallRecord> read_recall(const Database& database, RunId run);

/// How to go through the tables.
struct ReadPlan {
    Trace::Parts parts;
    OpPlan ops;
};

/// Throws SqliteFailure, BadData for values that no writer of ours leaves, Error(kInterrupted).
[[nodiscard]] RunData read_run(const Database& database, const Run& run, const ReadPlan& plan,
                               Progress& progress);

}  // namespace hc::trace
