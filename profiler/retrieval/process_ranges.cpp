#include "profiler/retrieval/process_ranges.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>

namespace hc::retrieval {
namespace {

std::int64_t pid_of(std::int64_t thread) {
    return thread >> 24;
}

/// Its number within the thread's events stands in `event`.
struct ThreadRange {
    std::size_t event = 0;
    std::int64_t end_ns = 0;
};

/// Innermost push/pop range around each call, per thread: event index by correlation id.
/// `events` and `calls` are those of one thread, by start, outer ranges first.
void match_calls(std::span<const DomainEvent> events, std::size_t first_event,
                 std::span<const CallRow> calls,
                 std::unordered_map<std::int64_t, std::size_t>& event_of_correlation) {
    std::vector<ThreadRange> open;
    std::size_t next = 0;
    for (const CallRow& call : calls) {
        while (next < events.size() && events[next].start_ns <= call.start_ns) {
            const DomainEvent& event = events[next];
            while (!open.empty() && open.back().end_ns <= event.start_ns) open.pop_back();
            // Start/end ranges may cross each other and others: they hold no calls.
            if (event.nested && event.end_ns > event.start_ns) {
                open.push_back({first_event + next, event.end_ns});
            }
            ++next;
        }
        while (!open.empty() && open.back().end_ns <= call.start_ns) open.pop_back();
        if (!open.empty()) event_of_correlation.emplace(call.correlation_id, open.back().event);
    }
}

template <typename Row>
std::span<const Row> rows_of_thread(const std::vector<Row>& rows, std::int64_t thread) {
    const auto [from, to] =
        std::equal_range(rows.begin(), rows.end(), Row{.thread = thread},
                         [](const Row& a, const Row& b) { return a.thread < b.thread; });
    return {from, to};
}

/// Texts with a number in them could all be different.
constexpr std::size_t kMaxProblems = 100;

void count(const std::string& problem, Problems& problems) {
    const auto found = problems.find(problem);
    if (found != problems.end()) {
        ++found->second;
    } else {
        ++problems[problems.size() < kMaxProblems ? problem : "others"];
    }
}

void note(const Parsed& parsed, Problems& problems) {
    if (!parsed.problem.empty()) count(parsed.problem, problems);
    for (const std::string& field : parsed.unknown_fields) {
        count(fmt::format("unknown field '{}'", field), problems);
    }
}

ProcessRanges one_process(const DomainActivity& activity, std::size_t begin, std::size_t end,
                          Problems& problems) {
    const std::span events = std::span(activity.events).subspan(begin, end - begin);
    ProcessRanges out;
    out.pid = pid_of(events.front().thread);

    std::unordered_map<std::int64_t, std::size_t> event_of_correlation;
    for (std::size_t i = 0; i < events.size();) {
        const std::int64_t thread = events[i].thread;
        std::size_t past = i;
        while (past < events.size() && events[past].thread == thread) ++past;
        match_calls(events.subspan(i, past - i), i, rows_of_thread(activity.calls, thread),
                    event_of_correlation);
        i = past;
    }

    for (const GpuWork& work : activity.work) {
        if (work.pid == out.pid) out.work.push_back(work);
    }
    std::vector<WorkList> work_of_event(events.size());
    for (std::size_t w = 0; w < out.work.size(); ++w) {
        const auto found = event_of_correlation.find(out.work[w].correlation_id);
        if (found != event_of_correlation.end()) work_of_event[found->second].push_back(w);
    }

    for (std::size_t i = 0; i < events.size(); ++i) {
        Parsed parsed = parse_message(events[i].text, events[i].payload);
        note(parsed, problems);
        if (!parsed.message) continue;
        out.ranges.push_back({std::move(*parsed.message), events[i].start_ns, events[i].end_ns,
                              events[i].thread, events[i].nested, std::move(work_of_event[i])});
    }
    std::stable_sort(out.ranges.begin(), out.ranges.end(), [](const Range& a, const Range& b) {
        return std::tuple(a.start_ns, a.thread) < std::tuple(b.start_ns, b.thread);
    });
    return out;
}

}  // namespace

std::vector<ProcessRanges> ranges_by_process(const DomainActivity& activity, Problems& problems) {
    std::vector<ProcessRanges> out;
    // Sorted by thread, and a thread's upper bits are its process.
    for (std::size_t begin = 0; begin < activity.events.size();) {
        const std::int64_t pid = pid_of(activity.events[begin].thread);
        std::size_t end = begin;
        while (end < activity.events.size() && pid_of(activity.events[end].thread) == pid) ++end;
        ProcessRanges process = one_process(activity, begin, end, problems);
        if (!process.ranges.empty()) out.push_back(std::move(process));
        begin = end;
    }
    return out;
}

}  // namespace hc::retrieval
