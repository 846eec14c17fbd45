#include "engine/core/thread_pool.h"

#include <sched.h>

#include "engine/core/error.h"

namespace hc {
namespace {

// About 20-50 us of spinning: longer than the gaps inside a decode step, shorter than a
// scheduler tick, so an idle engine burns nothing.
constexpr int kSpins = 4000;

constexpr int kNumberShift = 32;
constexpr std::uint64_t kClosed = std::uint64_t{1} << 31;
constexpr std::uint64_t kEntered = std::uint64_t{1} << 16;  // one worker in the "entered" count

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

void ThreadPool::run_erased(Call call, void* context, bool every_worker) {
    if (size_ == 1) {
        call(context, 0);
        return;
    }
    call_ = call;
    context_ = context;
    const std::uint32_t number = generation_.load(std::memory_order_relaxed) + 1;
    door_.store(std::uint64_t{number} << kNumberShift, std::memory_order_release);
    generation_.store(number, std::memory_order_release);
    generation_.notify_all();
    call(context, 0);
    const auto others = static_cast<std::uint64_t>(size_ - 1);
    if (!every_worker) door_.fetch_or(kClosed, std::memory_order_acq_rel);
    for (int spin = 0;; ++spin) {
        const std::uint64_t door = door_.load(std::memory_order_acquire);
        const bool all_came = !every_worker || (door / kEntered % (kClosed / kEntered)) == others;
        if (all_came && door % kEntered == 0) return;
        relax();
        // With fewer free cores than workers a spinning caller would keep the last worker off.
        if (spin > kSpins) std::this_thread::yield();
    }
}

bool ThreadPool::enter(std::uint32_t number) {
    std::uint64_t door = door_.load(std::memory_order_acquire);
    for (;;) {
        if (door >> kNumberShift != number || (door & kClosed) != 0) return false;
        if (door_.compare_exchange_weak(door, door + kEntered + 1, std::memory_order_acq_rel)) return true;
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
        if (!enter(now)) continue;
        call_(context_, worker);
        door_.fetch_sub(1, std::memory_order_release);
    }
}

}  // namespace hc
