#include "engine/core/thread_pool.h"

#include <sched.h>

#include "engine/core/error.h"

namespace hc {
namespace {

// About 20-50 us of spinning: longer than the gaps inside a decode step, shorter than a
// scheduler tick, so an idle engine burns nothing.
constexpr int kSpins = 4000;

void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

int usable_cores() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof(set), &set) == 0) return CPU_COUNT(&set);
    return static_cast<int>(std::thread::hardware_concurrency());
}

}  // namespace

ThreadPool::ThreadPool(int size) : size_(size > 0 ? size : std::max(1, usable_cores())) {
    threads_.reserve(static_cast<std::size_t>(size_ - 1));
    for (int worker = 1; worker < size_; ++worker) {
        threads_.emplace_back([this, worker] { work(worker); });
    }
}

ThreadPool::~ThreadPool() {
    stop_.store(true, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::run_erased(Call call, void* context) {
    if (size_ == 1) {
        call(context, 0);
        return;
    }
    call_ = call;
    context_ = context;
    pending_.store(size_ - 1, std::memory_order_relaxed);
    generation_.fetch_add(1, std::memory_order_release);
    generation_.notify_all();
    call(context, 0);
    for (int spin = 0; pending_.load(std::memory_order_acquire) != 0; ++spin) {
        relax();
        // With fewer free cores than workers a spinning caller would keep the last worker off.
        if (spin > kSpins) std::this_thread::yield();
    }
}

void ThreadPool::work(int worker) {
    std::uint32_t seen = 0;
    for (;;) {
        std::uint32_t now = generation_.load(std::memory_order_acquire);
        for (int spin = 0; now == seen && spin < kSpins; ++spin) {
            relax();
            now = generation_.load(std::memory_order_acquire);
        }
        while (now == seen) {
            generation_.wait(seen, std::memory_order_acquire);
            now = generation_.load(std::memory_order_acquire);
        }
        seen = now;
        if (stop_.load(std::memory_order_relaxed)) return;
        call_(context_, worker);
        pending_.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace hc
