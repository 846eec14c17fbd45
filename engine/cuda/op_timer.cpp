#include "engine/cuda/op_timer.h"

#include "engine/core/clock.h"

namespace hc::cuda {

void StepClock::begin(cudaStream_t stream) {
    host_ns_ = now_ns();
    moment_.record(stream);
}

std::int64_t StepClock::host_ns(const Event& event) const {
    moment_.wait();
    return host_ns_ + elapsed_ns(moment_, event);
}

std::size_t OpTimer::mark(cudaStream_t stream) {
    if (used_ == events_.size()) events_.emplace_back(true);
    events_[used_].record(stream);
    return used_++;
}

void OpTimer::begin_step(std::int64_t step, cudaStream_t stream) {
    step_ = step;
    if (!enabled_) return;
    used_ = 0;
    pending_.clear();
    base_ns_ = now_ns();
    last_ = mark(stream);
}

std::int64_t OpTimer::op(OpKind kind, std::int32_t layer, const OpCost& cost, cudaStream_t stream) {
    if (!enabled_) return -1;
    const std::int64_t id = next_id_++;
    OpRecord record;
    record.op_id = id;
    record.step = step_;
    record.layer = layer;
    record.kind = kind;
    record.stream = kDecodeStream;
    record.bytes_read = cost.bytes_read;
    record.bytes_written = cost.bytes_written;
    record.flops = cost.flops;
    record.rows = cost.rows;
    const std::size_t end = mark(stream);
    pending_.push_back({ops_.size(), last_, end});
    ops_.push_back(record);
    last_ = end;
    return id;
}

void OpTimer::skip(cudaStream_t stream) {
    if (enabled_) last_ = mark(stream);
}

std::int64_t OpTimer::host_ns(const Event& event) const {
    return base_ns_ + elapsed_ns(events_.front(), event);
}

void OpTimer::finish_step() {
    if (!enabled_ || used_ == 0) return;
    events_[used_ - 1].wait();
    for (const Pending& p : pending_) {
        ops_[p.op].start_ns = host_ns(events_[p.begin]);
        ops_[p.op].end_ns = host_ns(events_[p.end]);
    }
    pending_.clear();
}

void OpTimer::clear() {
    ops_.clear();
    edges_.clear();
}

}  // namespace hc::cuda
