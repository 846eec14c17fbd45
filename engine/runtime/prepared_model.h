/// The model's matrices made ready for this machine.
#pragma once

#include <vector>

#include "engine/core/thread_pool.h"
#include "engine/model/model.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {

struct PreparedLayer {
    kernels::cpu::PreparedWeight q, k, v, o, gate, up, down;
};

struct PreparedModel {
    std::vector<PreparedLayer> layers;
    kernels::cpu::PreparedWeight lm_head;
};

[[nodiscard]] inline PreparedModel prepare(const model::Weights& weights,
                                           kernels::cpu::Precision precision, ThreadPool& pool) {
    const auto ready = [&](const WeightView& view) {
        return kernels::cpu::PreparedWeight(view, precision, pool);
    };
    PreparedModel out;
    out.layers.reserve(weights.layers.size());
    for (const model::LayerWeights& l : weights.layers) {
        out.layers.push_back({ready(l.q), ready(l.k), ready(l.v), ready(l.o), ready(l.gate),
                              ready(l.up), ready(l.down)});
    }
    out.lm_head = ready(weights.lm_head);
    return out;
}

}  // namespace hc::runtime
