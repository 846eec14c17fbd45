#include "simulator/replay/event_engine.h"

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

constexpr std::int64_t kMillion = 1'000'000;
/// Longest work of one task, about an hour: elapsed * kMillion must fit 63 bits.
constexpr std::int64_t kWorkLimitNs = std::int64_t{4'000} * 1'000'000'000;

enum class EventKind : std::uint8_t {
    kReady,  // wants its server
    kStart,
    kEnd,
    kServe,  // the task's server is free again and chooses
};

struct Event {
    std::int64_t time_ns = 0;
    std::int64_t sequence = 0;
    TaskId task = 0;
    std::int32_t version = 0;  // of the task's end; an older one is void
    EventKind kind = EventKind::kReady;
};

struct Later {
    bool operator()(const Event& a, const Event& b) const {
        return a.time_ns != b.time_ns ? a.time_ns > b.time_ns : a.sequence > b.sequence;
    }
};

/// What a task is about to do or doing.
struct Progress {
    std::int32_t missing = 0;  // dependencies that have not ended
    std::int32_t version = 0;
    bool issued = false;
    std::int64_t dependencies_ns = 0;  // end of the last of them
    std::int64_t updated_ns = 0;       // time at which `remaining_ns` held
    std::int64_t remaining_ns = 0;     // work left, alone
};

struct Follower {
    TaskId task = 0;
    std::int64_t delay_ns = 0;
};

struct Server {
    std::int32_t slots = 1;
    std::int32_t free = 1;
    std::vector<TaskId> waiting;  // in the order in which they became ready
};

}  // namespace

/// One pass over the tasks of an engine.
class EventRun {
public:
    explicit EventRun(const EventEngine& engine)
        : engine_(engine),
          times_(engine.tasks_.size()),
          progress_(engine.tasks_.size()),
          running_(engine.first_.size(), -1),
          servers_(engine.server_slots_.size()) {
        for (std::size_t i = 0; i < servers_.size(); ++i) {
            servers_[i].slots = servers_[i].free = engine.server_slots_[i];
        }
        index_dependencies();
    }

    std::vector<TaskTimes> run() {
        for (const TaskId task : engine_.first_) {
            if (task >= 0) issue(task, 0);
        }
        while (!heap_.empty()) {
            std::pop_heap(heap_.begin(), heap_.end(), Later{});
            const Event event = heap_.back();
            heap_.pop_back();
            handle(event);
        }
        // Otherwise tasks wait for each other in a circle.
        HC_CHECK(finished_ == engine_.tasks_.size());
        return std::move(times_);
    }

private:
    Progress& progress(TaskId task) { return progress_[static_cast<std::size_t>(task)]; }
    TaskTimes& times(TaskId task) { return times_[static_cast<std::size_t>(task)]; }
    const Task& task_of(TaskId task) const {
        return engine_.tasks_[static_cast<std::size_t>(task)];
    }

    void index_dependencies() {
        const auto& edges = engine_.dependencies_;
        begin_.assign(engine_.tasks_.size() + 1, 0);
        for (const auto& edge : edges) {
            ++begin_[static_cast<std::size_t>(edge.from) + 1];
            ++progress(edge.to).missing;
        }
        for (std::size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
        followers_.resize(edges.size());
        std::vector<std::size_t> at(begin_.begin(), begin_.end() - 1);
        for (const auto& edge : edges) {
            followers_[at[static_cast<std::size_t>(edge.from)]++] = {edge.to, edge.delay_ns};
        }
    }

    void push(EventKind kind, TaskId task, std::int64_t time_ns, std::int32_t version) {
        heap_.push_back({time_ns, sequence_++, task, version, kind});
        std::push_heap(heap_.begin(), heap_.end(), Later{});
    }

    /// The stream comes to `task` at `free_ns` plus its gap.
    void issue(TaskId task, std::int64_t free_ns) {
        Progress& p = progress(task);
        p.issued = true;
        times(task).issued_ns = free_ns + task_of(task).gap_ns;
        if (p.missing == 0) make_ready(task);
    }

    void handle(const Event& event) {
        const Task& spec = task_of(event.task);
        switch (event.kind) {
            case EventKind::kReady:
                acquire(event.task, event.time_ns);
                break;
            case EventKind::kServe:
                serve(spec, event.time_ns);
                break;
            case EventKind::kStart:
                if (spec.load == Load::kTransfer) change_transfers(+1, event.time_ns);
                start(event.task, event.time_ns);
                break;
            case EventKind::kEnd:
                if (event.version == progress(event.task).version) {
                    finish(event.task, event.time_ns);
                }
                break;
        }
    }

    void make_ready(TaskId task) {
        TaskTimes& t = times(task);
        t.ready_ns = std::max(t.issued_ns, progress(task).dependencies_ns);
        const Task& spec = task_of(task);
        if (spec.server != kNoServer) {
            push(EventKind::kReady, task, t.ready_ns, 0);
        } else if (spec.load == Load::kTransfer) {
            push(EventKind::kStart, task, t.ready_ns + spec.latency_ns, 0);
        } else {
            start(task, t.ready_ns + spec.latency_ns);  // disturbs nobody: needs no event
        }
    }

    void acquire(TaskId task, std::int64_t now_ns) {
        Server& server = servers_[static_cast<std::size_t>(task_of(task).server)];
        if (server.waiting.empty() && server.free >= task_of(task).slots) {
            take(server, task, now_ns);
        } else {
            server.waiting.push_back(task);
        }
    }

    void take(Server& server, TaskId task, std::int64_t now_ns) {
        server.free -= task_of(task).slots;
        push(EventKind::kStart, task, now_ns + task_of(task).latency_ns, 0);
    }

    void start(TaskId task, std::int64_t start_ns) {
        Progress& p = progress(task);
        times(task).start_ns = start_ns;
        p.updated_ns = start_ns;
        p.remaining_ns = task_of(task).work_ns;
        running_[static_cast<std::size_t>(task_of(task).stream)] = task;
        schedule_end(task);
    }

    /// By how much longer the task takes now than alone.
    std::int64_t stretch_ppm(TaskId task) const {
        const Load load = task_of(task).load;
        if (load == Load::kCompute && transfers_ > 0) return engine_.interference_ppm_;
        if (load == Load::kTransfer) return link_ppm(transfers_);
        return 0;
    }

    std::int64_t link_ppm(std::int64_t transfers) const {
        if (engine_.link_cap_ppm_ == 0) return 0;
        return std::max<std::int64_t>(
            0, transfers * kMillion * kMillion / engine_.link_cap_ppm_ - kMillion);
    }

    void schedule_end(TaskId task) {
        Progress& p = progress(task);
        std::int64_t left = p.remaining_ns;
        if (const std::int64_t ppm = stretch_ppm(task); ppm > 0) {
            left += left / kMillion * ppm + (left % kMillion * ppm + kMillion / 2) / kMillion;
        }
        push(EventKind::kEnd, task, p.updated_ns + left, p.version);
    }

    /// Brings the work left of everything that runs to `now_ns`, before rates change.
    void settle(std::int64_t now_ns) {
        for (const TaskId task : running_) {
            if (task < 0 || task_of(task).load == Load::kQuiet) continue;
            Progress& p = progress(task);
            if (p.updated_ns >= now_ns) continue;  // has not started yet
            std::int64_t done = now_ns - p.updated_ns;
            if (const std::int64_t ppm = stretch_ppm(task); ppm > 0) {
                done = done * kMillion / (kMillion + ppm);
            }
            p.remaining_ns = std::max<std::int64_t>(0, p.remaining_ns - done);
            p.updated_ns = now_ns;
        }
    }

    void reschedule() {
        for (const TaskId task : running_) {
            if (task < 0 || task_of(task).load == Load::kQuiet) continue;
            ++progress(task).version;
            schedule_end(task);
        }
    }

    void change_transfers(std::int64_t change, std::int64_t now_ns) {
        const bool rate_changes =
            (engine_.interference_ppm_ != 0 && (transfers_ > 0) != (transfers_ + change > 0)) ||
            link_ppm(transfers_) != link_ppm(transfers_ + change);
        if (rate_changes) settle(now_ns);
        transfers_ += change;
        if (rate_changes) reschedule();
    }

    void finish(TaskId task, std::int64_t now_ns) {
        const Task& spec = task_of(task);
        times(task).end_ns = now_ns;
        ++finished_;
        running_[static_cast<std::size_t>(spec.stream)] = -1;
        if (spec.load == Load::kTransfer) change_transfers(-1, now_ns);
        const auto at = static_cast<std::size_t>(task);
        for (std::size_t i = begin_[at]; i < begin_[at + 1]; ++i) {
            Progress& follower = progress(followers_[i].task);
            follower.dependencies_ns =
                std::max(follower.dependencies_ns, now_ns + followers_[i].delay_ns);
            if (--follower.missing == 0 && follower.issued) make_ready(followers_[i].task);
        }
        const TaskId next = engine_.next_on_stream_[at];
        if (next >= 0) issue(next, now_ns);
        // After the tasks that this end made ready: one of the same stream goes first.
        if (spec.server != kNoServer) push(EventKind::kServe, task, now_ns, 0);
    }

    /// `ended` has given its slots back.
    void serve(const Task& ended, std::int64_t now_ns) {
        Server& server = servers_[static_cast<std::size_t>(ended.server)];
        server.free += ended.slots;
        while (!server.waiting.empty()) {
            auto chosen = server.waiting.begin();
            if (server.slots == 1) {
                const auto same = std::find_if(
                    server.waiting.begin(), server.waiting.end(),
                    [&](TaskId waiting) { return task_of(waiting).stream == ended.stream; });
                if (same != server.waiting.end()) chosen = same;
            }
            if (task_of(*chosen).slots > server.free) return;
            const TaskId task = *chosen;
            server.waiting.erase(chosen);
            take(server, task, now_ns);
        }
    }

    const EventEngine& engine_;
    std::vector<TaskTimes> times_;
    std::vector<Progress> progress_;
    std::vector<TaskId> running_;  // [stream]
    std::vector<Server> servers_;
    std::vector<std::size_t> begin_;  // followers of task t: followers_[begin_[t] .. begin_[t+1])
    std::vector<Follower> followers_;
    std::vector<Event> heap_;
    std::int64_t sequence_ = 0;
    std::int64_t transfers_ = 0;
    std::size_t finished_ = 0;
};

void EventEngine::reserve(std::size_t tasks) {
    tasks_.reserve(tasks);
    next_on_stream_.reserve(tasks);
}

StreamId EventEngine::add_stream() {
    first_.push_back(-1);
    last_.push_back(-1);
    return static_cast<StreamId>(first_.size() - 1);
}

ServerId EventEngine::add_server(std::int32_t slots) {
    HC_CHECK(slots >= 1);
    server_slots_.push_back(slots);
    return static_cast<ServerId>(server_slots_.size() - 1);
}

void EventEngine::set_link_cap(double sum) {
    if (!(sum >= 1 && sum <= 1e6)) {
        throw_usage("a link that is " + std::to_string(sum) +
                    " times as fast both ways as one way, expected at least 1");
    }
    link_cap_ppm_ = std::llround(sum * static_cast<double>(kMillion));
}

void EventEngine::set_interference(double factor) {
    if (!(factor >= 0 && factor <= 100)) {
        throw_usage("interference factor " + std::to_string(factor) + " is not in [0, 100]");
    }
    interference_ppm_ = std::llround(factor * static_cast<double>(kMillion));
}

TaskId EventEngine::add_task(const Task& task) {
    HC_CHECK(task.stream >= 0 && static_cast<std::size_t>(task.stream) < first_.size());
    HC_CHECK(task.server >= kNoServer && task.server < static_cast<ServerId>(server_slots_.size()));
    HC_CHECK(task.slots >= 1);
    HC_CHECK(task.server == kNoServer ||
             task.slots <= server_slots_[static_cast<std::size_t>(task.server)]);
    HC_CHECK(task.gap_ns >= 0 && task.latency_ns >= 0);
    HC_CHECK(task.work_ns >= 0 && task.work_ns <= kWorkLimitNs);
    const auto id = static_cast<TaskId>(tasks_.size());
    tasks_.push_back(task);
    next_on_stream_.push_back(-1);
    TaskId& last = last_[static_cast<std::size_t>(task.stream)];
    if (last >= 0) {
        next_on_stream_[static_cast<std::size_t>(last)] = id;
    } else {
        first_[static_cast<std::size_t>(task.stream)] = id;
    }
    last = id;
    return id;
}

void EventEngine::add_dependency(TaskId from, TaskId to, std::int64_t delay_ns) {
    HC_CHECK(delay_ns >= 0);
    HC_CHECK(from >= 0 && static_cast<std::size_t>(from) < tasks_.size());
    HC_CHECK(to >= 0 && static_cast<std::size_t>(to) < tasks_.size());
    dependencies_.push_back({from, to, delay_ns});
}

std::vector<TaskTimes> EventEngine::run() const {
    return EventRun(*this).run();
}

}  // namespace hc::sim
