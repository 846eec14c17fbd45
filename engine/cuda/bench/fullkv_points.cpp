#include <array>

#include "engine/cuda/bench/points.h"

namespace hc::cuda::bench {
namespace {

struct Length {
    const char* name;
    std::int64_t tokens;
    double target;  // times the byte floor, at most
};

constexpr std::array kLengths{Length{"fullkv@32K", 32 * 1024, 1.15},
                              Length{"fullkv@128K", 128 * 1024, 1.12},
                              Length{kBaseline, kLongPrompt, 1.10}};
constexpr const char* kMemory = "memory-fullkv@224K";
constexpr const char* kBatch = "batch-fullkv-2";

void points_of(Setup& setup, CudaBackend& backend, const Length& length) {
    Report& report = setup.report;
    const bool last = length.tokens == kLongPrompt;
    if (!report.wants(length.name) && !(last && report.wants_any({kMemory, kBatch}))) return;
    const std::int64_t more = last ? setup.tokens_for(0, 1) + kWarmUpSteps : 0;
    const runtime::SequenceOptions options = setup.full(setup.tokens_for(1, 0) + more);
    const SequenceId id = add_synthetic(backend, options, length.tokens);
    report.measure(length.name, [&] {
        Json point = decode_point(setup, backend, {id}, options, length.tokens, setup.main_runs());
        point["target_ratio_to_floor"] = length.target;
        return point;
    });
    if (last) {
        report.measure(kMemory, [&] {
            DecodeSession(backend, {id}).warm_up();
            return memory_point(setup, backend, options, length.tokens);
        });
        report.measure(kBatch, [&] {
            const SequenceId second = add_synthetic(backend, setup.full(more), length.tokens);
            return decode_point(setup, backend, {id, second}, options, length.tokens,
                                setup.short_runs());
        });
        return;  // the sequences go with the backend
    }
    backend.remove_sequence(id);
}

}  // namespace

void fullkv_points(Setup& setup) {
    if (!setup.report.wants_any({"fullkv", kMemory, kBatch})) return;
    const std::unique_ptr<CudaBackend> backend = setup.backend(synthetic_options());
    for (const Length& length : kLengths) {
        setup.report.group(length.name, [&] { points_of(setup, *backend, length); });
    }
}

}  // namespace hc::cuda::bench
