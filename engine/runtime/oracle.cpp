// The oracle: each compressed head attends to the prompt tokens that are best at this very step.
#include <algorithm>
#include <cstring>
#include <numeric>

#include "engine/policy/selection.h"
#include "engine/runtime/cpu_backend.h"
#include "kernels/cpu/ops.h"

namespace hc::runtime {
namespace {

/// Rows `slots` of a head side by side, as a head of one page.
kernels::PagedKv gather(const cache::HeadKv& kv, const Positions& slots,
                        const kernels::PagedKv& whole, std::int64_t row_bytes,
                        std::vector<std::byte>& bytes, const std::byte*& page) {
    const auto count = static_cast<std::int64_t>(slots.size());
    const auto row = static_cast<std::size_t>(row_bytes);
    bytes.resize(2 * row * slots.size());
    page = bytes.data();
    for (std::size_t i = 0; i < slots.size(); ++i) {
        std::memcpy(bytes.data() + i * row, kv.key(slots[i]), row);
        std::memcpy(bytes.data() + (slots.size() + i) * row, kv.value(slots[i]), row);
    }
    return {&page, count, std::max<std::int64_t>(1, count), whole.head_dim, whole.type};
}

}  // namespace

void CpuBackend::begin_oracle(Sequence& seq, std::int64_t prompt) {
    seq.oracle->budgets =
        policy::compute_budgets(*seq.oracle->profile, prompt, seq.oracle->settings);
    report_heads(*seq.oracle->profile, seq.oracle->budgets);
}

bool CpuBackend::by_oracle(const Sequence& seq, HeadId head) const {
    return seq.oracle && !is_full(seq.oracle->profile->role(head));
}

void CpuBackend::oracle_attention(Sequence& seq, std::int32_t layer, const float* q, float* out) {
    const std::int64_t group = shape.group();
    const std::int64_t length = seq.heads[head_index(layer, 0)].length();
    ensure_scratch((2 * group + 1) * length);
    pool.parallel_for(shape.num_kv_heads, 1, [&](std::int64_t begin, std::int64_t end, int worker) {
        for (auto head = static_cast<std::int32_t>(begin); head < end; ++head) {
            if (!by_oracle(seq, {layer, head})) continue;
            const cache::HeadKv& kv = seq.heads[head_index(layer, head)];
            const float* group_q = q + head * group_floats();
            float* group_out = out + head * group_floats();
            float* probabilities = scratch_of(worker);     // [group, length]
            float* rest = probabilities + group * length;  // [group, length], then [prompt]
            kernels::cpu::decode_attention(kv.view(), group_q, group, group_out, rest,
                                           probabilities);
            for (std::int64_t p = 0; p < seq.prompt; ++p) {
                float sum = 0;
                for (std::int64_t g = 0; g < group; ++g) sum += probabilities[g * length + p];
                rest[p] = sum;
            }
            Positions slots;
            const std::int64_t capacity = seq.oracle->budgets.capacity[head_index(layer, head)];
            policy::top_k({rest, static_cast<std::size_t>(seq.prompt)},
                          static_cast<std::size_t>(capacity), slots);
            for (std::int64_t slot = seq.prompt; slot < length; ++slot) {
                slots.push_back(static_cast<Position>(slot));
            }
            std::vector<std::byte> bytes;
            const std::byte* page = nullptr;
            const kernels::PagedKv best =
                gather(kv, slots, kv.view(), kv_pool.geometry().row_bytes(), bytes, page);
            kernels::cpu::decode_attention(best, group_q, group, group_out, rest, nullptr);
        }
    });
}

}  // namespace hc::runtime
