/// The project's own threads for data-parallel loops inside a step.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace hc {

/// `size` workers: the calling thread is worker 0, size-1 threads are started in the
/// constructor and joined in the destructor. Forking costs about a microsecond while work
/// keeps coming: idle workers spin for a short while, then sleep. Not reentrant: one caller at
/// a time, no nested calls. Allocates in the constructor only.
class ThreadPool {
public:
    /// `size` 0: one worker per core that this process may use.
    explicit ThreadPool(int size = 0);
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    [[nodiscard]] int size() const { return size_; }

    /// Calls body(worker) once on every worker and returns when all have returned. `body` must
    /// not throw.
    template <typename Body>
    void run(Body&& body) {
        using Plain = std::remove_reference_t<Body>;
        run_erased([](void* context, int worker) { (*static_cast<Plain*>(context))(worker); },
                   const_cast<void*>(static_cast<const void*>(&body)), true);
    }

    /// Calls body(begin, end, worker) over pieces of at most `grain` of [0, count), handed out
    /// as workers come free.
    template <typename Body>
    void parallel_for(std::int64_t count, std::int64_t grain, Body&& body) {
        if (count <= 0) return;
        if (size_ == 1 || count <= grain) {
            body(std::int64_t{0}, count, 0);
            return;
        }
        std::atomic<std::int64_t> next{0};
        const auto pieces = [&](int worker) {
            for (;;) {
                const std::int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
                if (begin >= count) return;
                body(begin, begin + grain < count ? begin + grain : count, worker);
            }
        };
        using Pieces = decltype(pieces);
        // A worker that the system has not let run by the time the work is done is not waited for.
        run_erased([](void* context, int worker) { (*static_cast<Pieces*>(context))(worker); },
                   const_cast<void*>(static_cast<const void*>(&pieces)), false);
    }

private:
    using Call = void (*)(void*, int);
    /// `every_worker` false: returns when all workers that began have returned.
    void run_erased(Call call, void* context, bool every_worker);
    [[nodiscard]] bool enter(std::uint32_t number);
    void work(int worker);

    const int size_;
    Call call_ = nullptr;      // written while no worker is inside a job, read inside one
    void* context_ = nullptr;  // likewise
    std::atomic<std::uint32_t> generation_{0};  // the job's number; idle workers wait on it
    // The job's door: number (32 bits), closed (1), workers that entered (15), that are inside (16).
    std::atomic<std::uint64_t> door_{0};
    std::atomic<bool> stop_{false};
    std::vector<std::thread> threads_;
};

}  // namespace hc
