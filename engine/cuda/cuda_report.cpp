// What the observer gets, between steps only.
#include <sys/resource.h>

#include <algorithm>

#include "engine/core/clock.h"
#include "engine/cuda/cuda_backend.h"

namespace hc::cuda {

void CudaBackend::begin_step() {
    ++step_;
    if (observer_ != nullptr) {
        step_start_ns_ = now_ns();
        step_clock_.begin(compute_.get());
    }
    timer_.begin_step(step_, compute_.get());
}

void CudaBackend::end_step(Phase phase, std::int32_t batch) {
    collect_fetches(false);
    if (observer_ == nullptr) {
        reports_.clear();
        return;
    }
    timer_.finish_step();
    const StepRecord record{step_, phase, batch, step_start_ns_, now_ns()};
    observer_->on_step(record, timer_.ops(), timer_.edges());
    timer_.clear();
    if (!reports_.heads.empty()) observer_->on_heads(reports_.heads);
    for (const DriftRecord& check : reports_.drift) observer_->on_drift(check);
    for (const FetchRecord& fetch : reports_.fetches) observer_->on_fetch(fetch);
    for (const RowsRecord& rows : reports_.rows) observer_->on_rows(rows);
    for (const AttentionRecord& row : reports_.attention) observer_->on_attention(row);
    observer_->on_memory(memory());
    reports_.clear();
}

MemoryRecord CudaBackend::memory() const {
    MemoryRecord record;
    record.step = step_;
    record.pool_used_bytes = pool_.used_bytes();
    record.pool_reserved_bytes = pool_.reserved_bytes();
    record.host_tier_bytes = host_ledger_.of("host tier");
    record.staging_bytes = ledger_.of("staging");
    rusage usage{};
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        record.process_peak_bytes = std::int64_t{usage.ru_maxrss} * 1024;  // Linux counts KiB
    }
    return record;
}

}  // namespace hc::cuda
