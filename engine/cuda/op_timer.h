/// Times of operations by events between them, for runs that record hc_op. The step is then
/// launched kernel by kernel: a recorded run of this kind is slower than an unrecorded one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/core/records.h"
#include "engine/cuda/stream.h"

namespace hc::cuda {

/// One moment that both clocks know: a timed event recorded on an idle stream and the host's time
/// then, to within a launch.
class StepClock {
public:
    void begin(cudaStream_t stream);
    /// Host time of a timed event that has happened; may lie before or after the moment.
    [[nodiscard]] std::int64_t host_ns(const Event& event) const;

private:
    Event moment_{true};
    std::int64_t host_ns_ = 0;
};

struct OpCost {
    std::int64_t bytes_read = 0;
    std::int64_t bytes_written = 0;
    std::int64_t flops = 0;
    std::int64_t rows = 0;
};

/// Operations of one stream follow each other: one event ends one and begins the next. Off, it
/// records nothing.
class OpTimer {
public:
    explicit OpTimer(bool enabled) : enabled_(enabled) {}
    [[nodiscard]] bool enabled() const { return enabled_; }

    /// Before the first operation of a step. `stream` must be idle, so that the event's time and
    /// the host's are the same moment to within a launch.
    void begin_step(std::int64_t step, cudaStream_t stream);
    /// The operation that began where the last one ended has been enqueued. Returns its id, -1
    /// when off.
    std::int64_t op(OpKind kind, std::int32_t layer, const OpCost& cost, cudaStream_t stream);
    /// Time up to here belongs to no operation.
    void skip(cudaStream_t stream);
    [[nodiscard]] std::int64_t take_id() { return enabled_ ? next_id_++ : -1; }
    void add(const OpRecord& record) {
        if (enabled_) ops_.push_back(record);
    }
    void edge(std::int64_t from, std::int64_t to) {
        if (enabled_ && from >= 0 && to >= 0) edges_.push_back({from, to, EdgeKind::kEvent});
    }
    /// Host time of a timed event of this step that has happened.
    [[nodiscard]] std::int64_t host_ns(const Event& event) const;

    /// Waits for the events and turns them into records; the spans hold until clear().
    void finish_step();
    [[nodiscard]] std::span<const OpRecord> ops() const { return ops_; }
    [[nodiscard]] std::span<const EdgeRecord> edges() const { return edges_; }
    void clear();

private:
    struct Pending {
        std::size_t op;
        std::size_t begin;
        std::size_t end;
    };
    std::size_t mark(cudaStream_t stream);

    bool enabled_;
    std::int64_t step_ = 0;
    std::int64_t next_id_ = 0;
    std::int64_t base_ns_ = 0;
    std::vector<Event> events_;  // the first is the step's begin; reused from step to step
    std::size_t used_ = 0;
    std::size_t last_ = 0;
    std::vector<Pending> pending_;
    std::vector<OpRecord> ops_;
    std::vector<EdgeRecord> edges_;
};

}  // namespace hc::cuda
