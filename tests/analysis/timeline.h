/// Timelines drawn by hand, for tests.
#pragma once

#include <cstdint>

#include "profiler/trace/columns.h"

namespace hc::test {

class Timeline {
public:
    trace::RunData data;

    void step(std::int64_t step, std::int64_t start, std::int64_t end,
              Phase phase = Phase::kDecode) {
        data.steps.step.push_back(step);
        data.steps.phase.push_back(phase);
        data.steps.batch.push_back(1);
        data.steps.start_ns.push_back(start);
        data.steps.end_ns.push_back(end);
    }
    /// Returns the operation's id.
    std::int64_t op(OpKind kind, std::int64_t step, std::int64_t start, std::int64_t end,
                    std::int64_t rows = 1) {
        const auto id = static_cast<std::int64_t>(data.ops.size());
        data.ops.op_id.push_back(id);
        data.ops.step.push_back(step);
        data.ops.layer.push_back(0);
        data.ops.kind.push_back(kind);
        data.ops.stream.push_back(is_transfer(kind) ? kFetchStream : kDecodeStream);
        data.ops.start_ns.push_back(start);
        data.ops.end_ns.push_back(end);
        data.ops.bytes_read.push_back(10);
        data.ops.bytes_written.push_back(1);
        data.ops.flops.push_back(100);
        data.ops.rows.push_back(rows);
        return id;
    }
    void fetch(std::int64_t fetch_op, std::int64_t commit_op, std::int64_t exposed) {
        FetchRecord f;
        f.id = static_cast<std::int64_t>(data.fetches.size());
        const auto at = static_cast<std::size_t>(fetch_op);
        f.start_ns = data.ops.start_ns[at];
        f.end_ns = data.ops.end_ns[at];
        f.fetch_op = fetch_op;
        f.commit_op = commit_op;
        f.exposed_ns = exposed;
        f.rows_wanted = 20;
        f.rows_fetched = 8;
        f.bytes = 800;
        data.fetches.push_back(f);
    }
};

}  // namespace hc::test
