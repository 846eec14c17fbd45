#include "simulator/replay/other_batch.h"

#include <algorithm>
#include <cmath>

namespace hc::sim {
namespace {

std::int64_t times(std::int64_t value, double factor) {
    return std::llround(std::min(4e18, static_cast<double>(value) * factor));
}

}  // namespace

SourceRun at_batch(const SourceRun& source, const OpCosts& costs, std::int32_t batch) {
    SourceRun out = source;
    for (RecordedStep& step : out.steps) {
        if (step.batch == batch) continue;
        const double factor = static_cast<double>(batch) / static_cast<double>(step.batch);
        for (RecordedOp& op : step.ops) {
            const std::int64_t rows =
                std::max<std::int64_t>(op.rows > 0 ? 1 : 0, times(op.rows, factor));
            if (depends_on_rows(op.kind)) {
                op.work_ns = costs.rescale(op.kind, op.work_ns, static_cast<double>(op.rows),
                                           static_cast<double>(rows));
                // Every sequence reads rows of its own.
                op.bytes_read = times(op.bytes_read, factor);
            } else {
                op.work_ns = costs.rescale_tokens(op.kind, op.work_ns, static_cast<double>(op.rows),
                                                  static_cast<double>(rows));
            }
            op.bytes_written = times(op.bytes_written, factor);
            op.flops = times(op.flops, factor);
            op.rows = rows;
        }
        step.batch = batch;
    }
    return out;
}

}  // namespace hc::sim
