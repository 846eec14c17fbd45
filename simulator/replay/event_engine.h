/// The event engine: streams, dependencies, copy servers and contention over an own binary heap,
/// in whole nanoseconds. It knows nothing of language models.
///
/// What happens depends on the tasks alone: events of one instant are handled in the order in
/// which they were scheduled, so two runs give the same times bit by bit.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hc::sim {

using TaskId = std::int32_t;
using StreamId = std::int32_t;
using ServerId = std::int32_t;
inline constexpr ServerId kNoServer = -1;

/// What a running task does to the others.
enum class Load : std::uint8_t {
    kQuiet,     ///< neither disturbs nor is disturbed (a host thread that launches)
    kCompute,   ///< runs slower while a transfer runs
    kTransfer,  ///< slows computation down
};

/// One piece of work on a stream. A stream holds its tasks in the order of add_task() and runs
/// one at a time. A task is issued `gap_ns` after the one before it on the stream ended (the
/// first: after time 0), then waits for its dependencies and, with a server, for its turn;
/// `latency_ns` later it starts and does `work_ns` of work.
struct Task {
    StreamId stream = 0;
    ServerId server = kNoServer;
    std::int32_t slots = 1;  ///< that it takes of its server
    Load load = Load::kQuiet;
    std::int64_t gap_ns = 0;
    std::int64_t latency_ns = 0;
    std::int64_t work_ns = 0;  ///< alone, without contention
};

struct TaskTimes {
    std::int64_t issued_ns = 0;  ///< its stream had come to it
    std::int64_t ready_ns = 0;   ///< dependencies had ended too; ready - issued is waiting
    std::int64_t start_ns = 0;
    std::int64_t end_ns = 0;
};

class EventEngine {
public:
    /// Makes room for `tasks` tasks, so that adding them does not copy.
    void reserve(std::size_t tasks);

    StreamId add_stream();
    /// A copy engine: serves one task at a time. Free, it takes a waiting task of the stream it
    /// served last ("current stream first", as measured on copy engines), else the one that has
    /// been ready longest.
    ///
    /// With several slots it is a pool (multiprocessors that kernels take some of, threads that
    /// gather rows): whoever waits longest goes first, and nobody passes it.
    ServerId add_server(std::int32_t slots = 1);

    /// While at least one kTransfer task runs, kCompute tasks take (1 + factor) times as long,
    /// in parts per million of the time alone. Throws Error(kUsage) unless 0 <= factor <= 100.
    void set_interference(double factor);

    /// Copies of both directions share one link: kTransfer tasks that run at once are together at
    /// most `sum` times as fast as one of them alone, each with an equal part. Throws Error(kUsage)
    /// below 1; without a call there is no such limit.
    void set_link_cap(double sum);

    TaskId add_task(const Task& task);
    /// `to` is ready only `delay_ns` after `from` ended. `from` and `to` are tasks already added,
    /// in any order; a cycle is our bug and aborts in run().
    void add_dependency(TaskId from, TaskId to, std::int64_t delay_ns = 0);

    /// Runs everything from time 0; times by task id. Can be called again, with equal result.
    [[nodiscard]] std::vector<TaskTimes> run() const;

    [[nodiscard]] std::size_t num_tasks() const { return tasks_.size(); }
    [[nodiscard]] const Task& task(TaskId id) const { return tasks_[static_cast<std::size_t>(id)]; }

private:
    struct Dependency {
        TaskId from = 0;
        TaskId to = 0;
        std::int64_t delay_ns = 0;
    };

    std::vector<Task> tasks_;
    std::vector<TaskId> next_on_stream_;  // [task], -1: last
    std::vector<TaskId> first_;           // [stream], -1: empty
    std::vector<TaskId> last_;            // [stream]
    std::vector<Dependency> dependencies_;
    std::vector<std::int32_t> server_slots_;  // [server]
    std::int64_t link_cap_ppm_ = 0;           // 0: none
    std::int64_t interference_ppm_ = 0;

    friend class EventRun;
};

}  // namespace hc::sim
