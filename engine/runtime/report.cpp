// What the observer gets, between steps only.
#include <sys/resource.h>

#include <algorithm>

#include "engine/core/clock.h"
#include "engine/runtime/cpu_backend.h"

namespace hc::runtime {
namespace {

// Looking up the process peak is a system call; it changes slowly.
constexpr std::int64_t kPeakEverySteps = 16;

}  // namespace

void CpuBackend::begin_step() {
    ++current_step;
    if (observer != nullptr) step_start_ns = now_ns();
    log.begin_step(current_step);
}

void CpuBackend::drop_step() {
    --current_step;
    log.clear();
    clear_reports();
}

void CpuBackend::clear_reports() {
    reports.heads.clear();
    reports.drift.clear();
    reports.fetches.clear();
    reports.rows.clear();
    reports.attention.clear();
}

void CpuBackend::end_step(Phase phase, std::int32_t batch_size) {
    for (const auto& seq : sequences) {
        if (seq != nullptr && !seq->fetches.empty()) collect_fetches(*seq);
    }
    if (observer == nullptr) return;
    const StepRecord record{current_step, phase, batch_size, step_start_ns, now_ns()};
    observer->on_step(record, log.ops(), log.edges());
    log.clear();
    if (!reports.heads.empty()) observer->on_heads(reports.heads);
    for (const DriftRecord& check : reports.drift) observer->on_drift(check);
    for (const FetchRecord& fetch : reports.fetches) observer->on_fetch(fetch);
    for (const RowsRecord& rows : reports.rows) observer->on_rows(rows);
    for (const AttentionRecord& row : reports.attention) observer->on_attention(row);
    observer->on_memory(memory_now());
    clear_reports();
}

std::int64_t CpuBackend::process_peak() const {
    if (peak_checked < 0 || current_step - peak_checked >= kPeakEverySteps) {
        rusage usage{};
        if (getrusage(RUSAGE_SELF, &usage) == 0) {
            peak_bytes = std::int64_t{usage.ru_maxrss} * 1024;  // Linux counts KiB
        }
        peak_checked = std::max<std::int64_t>(current_step, 0);
    }
    return peak_bytes;
}

MemoryRecord CpuBackend::memory_now() const {
    MemoryRecord record;
    record.step = current_step;
    record.pool_used_bytes = kv_pool.used_bytes();
    record.pool_reserved_bytes = kv_pool.reserved_bytes();
    for (const auto& seq : sequences) {
        if (seq != nullptr && seq->tier) record.host_tier_bytes += seq->tier->size_bytes();
    }
    for (const auto* queue : {asynchronous_queue.get(), immediate_queue.get()}) {
        if (queue != nullptr) record.staging_bytes += queue->staging_bytes();
    }
    record.process_peak_bytes = process_peak();
    return record;
}

}  // namespace hc::runtime
