/// The operations of the step under way, kept in one buffer until the step is over.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/core/clock.h"
#include "engine/core/records.h"

namespace hc::runtime {

/// What an operation must read, write and compute.
struct OpCost {
    std::int64_t bytes_read = 0;
    std::int64_t bytes_written = 0;
    std::int64_t flops = 0;
    std::int64_t rows = 0;
};

/// Operations of the decode thread follow each other without gaps: one clock read ends one and
/// begins the next, which halves what recording costs. Off, nothing reads a clock.
class OpLog {
public:
    OpLog(bool enabled, std::size_t expected) : enabled_(enabled) {
        if (!enabled) return;
        ops_.reserve(expected);
        edges_.reserve(expected);
    }

    [[nodiscard]] bool enabled() const { return enabled_; }

    void begin_step(std::int64_t step) {
        step_ = step;
        skip();
    }

    /// Time up to here belongs to no operation.
    void skip() {
        if (enabled_) last_ns_ = now_ns();
    }

    /// The operation that began where the last one ended is over. Returns its id, -1 when off.
    std::int64_t op(OpKind kind, std::int32_t layer, const OpCost& cost) {
        if (!enabled_) return -1;
        const std::int64_t end_ns = now_ns();
        const std::int64_t id = next_id_++;
        ops_.push_back({id, step_, layer, kind, kDecodeStream, last_ns_, end_ns, cost.bytes_read,
                        cost.bytes_written, cost.flops, cost.rows});
        last_ns_ = end_ns;
        return id;
    }

    /// An id for an operation whose times come later (a fetch), -1 when off.
    [[nodiscard]] std::int64_t take_id() { return enabled_ ? next_id_++ : -1; }

    void add(const OpRecord& record) {
        if (enabled_) ops_.push_back(record);
    }

    void edge(std::int64_t from, std::int64_t to) {
        if (enabled_ && from >= 0 && to >= 0) edges_.push_back({from, to, EdgeKind::kHost});
    }

    [[nodiscard]] std::span<const OpRecord> ops() const { return ops_; }
    [[nodiscard]] std::span<const EdgeRecord> edges() const { return edges_; }

    void clear() {
        ops_.clear();
        edges_.clear();
    }

private:
    bool enabled_;
    std::int64_t step_ = 0;
    std::int64_t last_ns_ = 0;
    std::int64_t next_id_ = 0;
    std::vector<OpRecord> ops_;
    std::vector<EdgeRecord> edges_;
};

}  // namespace hc::runtime
