/// Reads the long tables of a run: operations and the edges between them.
#pragma once

#include <cstddef>

#include "engine/core/progress.h"
#include "profiler/trace/columns.h"
#include "profiler/trace/sqlite_database.h"

namespace hc::trace {

struct OpPlan {
    /// Few runs share the file: walking the whole table beats jumping through an index.
    bool scan = true;
    std::size_t file_bytes = 0;  ///< bounds what is reserved up front
};

/// Ordered by step, then start, then id.
void read_ops(const Database& database, RunId run, const OpPlan& plan, Progress& progress,
              Ops& ops);
void read_edges(const Database& database, RunId run, Progress& progress, Edges& edges);

}  // namespace hc::trace
