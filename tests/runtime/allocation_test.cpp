// A decode step allocates nothing. The whole program's operator new counts while asked to.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/runtime/fixtures.h"

namespace {

std::atomic<bool> counting{false};
std::atomic<long> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
    if (counting.load(std::memory_order_relaxed)) ++allocations;
    void* memory =
        alignment <= alignof(std::max_align_t)
            ? std::malloc(size == 0 ? 1 : size)
            : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (memory == nullptr) throw std::bad_alloc();
    return memory;
}

}  // namespace

void* operator new(std::size_t size) {
    return counted(size, 0);
}
void* operator new[](std::size_t size) {
    return counted(size, 0);
}
void* operator new(std::size_t size, std::align_val_t alignment) {
    return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
    return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    std::free(memory);
}
void operator delete[](void* memory) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
    std::free(memory);
}

namespace hc::runtime {
namespace {

/// Takes everything and keeps nothing.
class Silent final : public Observer {
public:
    std::int64_t checks = 0;
    void on_step(const StepRecord&, std::span<const OpRecord>,
                 std::span<const EdgeRecord>) override {}
    void on_token(const TokenRecord&) override {}
    void on_heads(std::span<const HeadRecord>) override {}
    void on_drift(const DriftRecord&) override { ++checks; }
    void on_fetch(const FetchRecord&) override {}
    void on_rows(const RowsRecord&) override {}
    void on_attention(const AttentionRecord&) override {}
    void on_memory(const MemoryRecord&) override {}
};

/// Allocations of each of `steps` decode steps, and whether the step ran checks.
struct StepCount {
    long allocations = 0;
    bool checked = false;
};
std::vector<StepCount> count_steps(const model::Model& model, const SequenceOptions& options,
                                   kernels::cpu::Precision precision, std::size_t sequences) {
    Silent observer;
    EngineOptions engine_options = test::exact();
    engine_options.precision = precision;
    Engine engine(model, engine_options, &observer);
    const auto tokens = test::random_tokens(600, 61);
    std::vector<DecodeInput> inputs;
    for (std::size_t i = 0; i < sequences; ++i) {
        inputs.push_back({engine.add_sequence(options), 7});
        static_cast<void>(engine.prefill(inputs.back().sequence, tokens));
    }
    std::vector<StepCount> out;
    out.reserve(100);
    for (int step = 0; step < 100; ++step) {  // across pages of 32 tokens
        const std::int64_t checks = observer.checks;
        allocations = 0;
        counting = true;
        static_cast<void>(engine.decode(inputs));
        counting = false;
        out.push_back({allocations, observer.checks > checks});
    }
    return out;
}

TEST(Allocations, CanBeCounted) {
    allocations = 0;
    counting = true;
    const auto one = std::make_unique<int>(1);
    const std::vector<double> two(100);
    counting = false;
    EXPECT_EQ(allocations, 2);
}

TEST(Allocations, AreNoneInADecodeStepOfFullAttention) {
    test::TinyModelOptions tiny = test::star_options();
    tiny.dtype = DType::kQ8_0;
    const model::Model model = test::load_tiny(tiny);
    for (const auto precision : {kernels::cpu::Precision::kFp32, kernels::cpu::Precision::kFast}) {
        for (const std::size_t sequences : {1U, 3U}) {
            for (const StepCount& step : count_steps(model, {}, precision, sequences)) {
                EXPECT_EQ(step.allocations, 0);
            }
        }
    }
}

TEST(Allocations, AreNoneInADecodeStepOfHeteroCacheWithoutACheck) {
    const model::Model model = test::load_tiny(test::star_options());
    const HeadProfile profile = test::star_profile(2);
    policy::Settings settings;
    settings.ratio = 0.6;
    std::size_t quiet = 0;
    for (const StepCount& step : count_steps(model, test::heterocache(profile, settings),
                                             kernels::cpu::Precision::kFp32, 1)) {
        if (step.checked) continue;  // a check's result is made of vectors
        ++quiet;
        EXPECT_EQ(step.allocations, 0);
    }
    EXPECT_GT(quiet, 50U);
    settings.retrieval = false;
    for (const StepCount& step : count_steps(model, test::heterocache(profile, settings),
                                             kernels::cpu::Precision::kFp32, 1)) {
        EXPECT_EQ(step.allocations, 0);
    }
}

}  // namespace
}  // namespace hc::runtime
