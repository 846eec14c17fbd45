#include "profiler/retrieval/retrieval_from_nvtx.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "profiler/retrieval/convention.h"
#include "profiler/retrieval/exposed_time.h"
#include "profiler/retrieval/process_ranges.h"
#include "profiler/retrieval/step_map.h"

namespace hc::retrieval {
namespace {

/// Kernels of one stream that follow each other closer than this are one operation: less than a
/// launch takes, about what lies between the nodes of a CUDA graph.
constexpr std::int64_t kJoinNs = 1000;

/// Everything that the program said under one fetch or check id.
struct Group {
    std::vector<std::size_t> ranges;
    Message message;  ///< of two that give a field the later one holds
    WorkList work;    ///< by start
};

double median_of(std::vector<double> values) {
    return analysis::distribution(std::move(values)).median;
}

std::int32_t narrow(const std::optional<std::int64_t>& value, std::int32_t otherwise) {
    return value ? static_cast<std::int32_t>(*value) : otherwise;
}

/// One process of the recording.
class Importer {
public:
    Importer(ProcessRanges process, Problems& problems)
        : pid_(process.pid),
          ranges_(std::move(process.ranges)),
          work_(std::move(process.work)),
          problems_(problems),
          steps_(ranges_, problems) {}

    trace::AppendedRun run() {
        checks_ = group(MessageKind::kCheck, number_of_check_);
        fetches_ = group(MessageKind::kFetch, number_of_fetch_);
        make_run();
        out_.steps = steps_.steps();
        make_ops();
        make_fetches();
        link_consumers();
        make_checks();
        return std::move(out_);
    }

private:
    [[nodiscard]] std::int64_t step_of(const Range& range, const Message& message) {
        if (message.step) {
            if (const auto step = steps_.by_id(*message.step, range.start_ns)) return *step;
            ++problems_["step= names no step"];
        }
        return steps_.at(range.start_ns);
    }

    /// Groups of one kind by the order in which they began; `number` gets the place of each id.
    std::vector<Group> group(MessageKind kind,
                             std::unordered_map<std::int64_t, std::size_t>& number) {
        std::vector<Group> groups;
        for (std::size_t r = 0; r < ranges_.size(); ++r) {
            const Range& range = ranges_[r];
            if (range.message.kind != kind) continue;
            std::size_t place = groups.size();
            if (range.message.id) {
                place = number.try_emplace(*range.message.id, groups.size()).first->second;
            }
            if (place == groups.size()) groups.emplace_back();
            Group& g = groups[place];
            g.ranges.push_back(r);
            merge_fields(g.message, range.message);
            g.work.insert(g.work.end(), range.work.begin(), range.work.end());
        }
        for (Group& g : groups) std::sort(g.work.begin(), g.work.end());
        return groups;
    }

    void make_run() {
        Message about;
        for (const Range& range : ranges_) {
            if (range.message.kind == MessageKind::kRun) merge_fields(about, range.message);
        }
        trace::Run& run = out_.run;
        run.policy = about.name.empty() ? "nvtx" : about.name;
        run.model_name = about.model.empty() ? "unnamed model" : about.model;
        run.window = narrow(about.window, 0);
        run.commit_lag = narrow(about.lag, 0);
        run.prompt_tokens = about.prompt.value_or(0);
        run.batch = narrow(about.batch, 1);
        run.backend = "cuda";
    }

    // ---- Operations

    /// An operation and the range that it came from.
    struct MadeOp {
        trace::AppendedOp op;
        std::size_t range = 0;
    };

    void add_stretches(std::size_t r, std::vector<MadeOp>& made) {
        const Range& range = ranges_[r];
        const bool step = range.message.kind == MessageKind::kStep;
        std::map<std::int32_t, std::size_t> open;  // stream -> index in `made`
        for (const std::size_t w : range.work) {
            const GpuWork& work = work_[w];
            // Copies of a step that belong to nothing are neither computation nor a fetch.
            if (step && !work.kernel) continue;
            const auto last = open.find(work.stream);
            if (last == open.end() || work.start_ns - made[last->second].op.op.end_ns > kJoinNs) {
                open[work.stream] = made.size();
                made.push_back({fresh_op(range, work), r});
            }
            trace::AppendedOp& op = made[open[work.stream]].op;
            op.op.end_ns = std::max(op.op.end_ns, work.end_ns);
            op.op.bytes_read += work.kernel ? 0 : work.bytes;
            op.op.bytes_written += work.bytes;
            op.correlation_first = std::min(op.correlation_first, work.correlation_id);
            op.correlation_last = std::max(op.correlation_last, work.correlation_id);
        }
    }

    trace::AppendedOp fresh_op(const Range& range, const GpuWork& work) {
        trace::AppendedOp op;
        op.op.step = step_of(range, range.message);
        op.op.layer = narrow(range.message.layer, -1);
        op.op.kind = range.message.op;
        op.op.stream = work.stream;
        op.op.start_ns = work.start_ns;
        op.op.end_ns = work.end_ns;
        op.correlation_first = op.correlation_last = work.correlation_id;
        return op;
    }

    void make_ops() {
        std::vector<MadeOp> made;
        for (std::size_t r = 0; r < ranges_.size(); ++r) add_stretches(r, made);
        std::stable_sort(made.begin(), made.end(), [](const MadeOp& a, const MadeOp& b) {
            return std::tuple(a.op.op.start_ns, a.op.op.stream) <
                   std::tuple(b.op.op.start_ns, b.op.op.stream);
        });
        first_op_.assign(ranges_.size(), -1);
        out_.ops.reserve(made.size());
        for (const MadeOp& m : made) {
            const auto id = static_cast<std::int64_t>(out_.ops.size());
            out_.ops.push_back(m.op);
            out_.ops.back().op.op_id = id;
            // A stream that computes and also fetches is one that computes.
            std::string& role = out_.stream_roles[m.op.op.stream];
            if (role != "compute") role = is_transfer(m.op.op.kind) ? "fetch" : "compute";
            if (first_op_[m.range] < 0) {
                first_op_[m.range] = id;
                out_.ops.back().op.rows = ranges_[m.range].message.rows.value_or(0);
            }
        }
    }

    [[nodiscard]] std::int64_t first_op(const Group& g) const {
        std::int64_t first = -1;
        for (const std::size_t r : g.ranges) {
            if (first_op_[r] >= 0 && (first < 0 || first_op_[r] < first)) first = first_op_[r];
        }
        return first;
    }

    // ---- Fetches

    void make_fetches() {
        for (const Group& g : fetches_) {
            const Message& m = g.message;
            const Range& first = ranges_[g.ranges.front()];
            FetchRecord f;
            f.id = static_cast<std::int64_t>(out_.fetches.size());
            f.check_id = check_of(m);
            f.sequence = narrow(m.sequence, 0);
            f.layer = narrow(m.layer, 0);
            f.rows_fetched = m.rows.value_or(0);
            f.rows_wanted = m.wanted.value_or(f.rows_fetched);
            f.runs = m.pieces.value_or(0);
            f.queued_ns = first.start_ns;
            f.superseded = m.superseded.value_or(false);
            f.fetch_op = first_op(g);
            set_transfer(g, f);
            if (m.bytes) f.bytes = *m.bytes;
            if (m.way) f.way = *m.way;
            f.due_step = step_of(first, m);
            out_.fetches.push_back(f);
        }
    }

    [[nodiscard]] std::int64_t check_of(const Message& m) {
        if (!m.check) return -1;
        const auto found = number_of_check_.find(*m.check);
        if (found != number_of_check_.end()) return static_cast<std::int64_t>(found->second);
        ++problems_["fetch of a check that is not there"];
        return -1;
    }

    /// Times, bytes and way, as the GPU saw them; as the host did where no GPU took part.
    void set_transfer(const Group& g, FetchRecord& f) {
        bool kernel = false;
        f.start_ns = f.end_ns = -1;
        for (const std::size_t w : g.work) {
            const GpuWork& work = work_[w];
            f.start_ns = f.start_ns < 0 ? work.start_ns : std::min(f.start_ns, work.start_ns);
            f.end_ns = std::max(f.end_ns, work.end_ns);
            f.bytes += work.bytes;
            kernel = kernel || work.kernel;
        }
        f.way = kernel ? FetchWay::kGather : g.work.empty() ? FetchWay::kMemcpy : FetchWay::kCopy;
        if (!g.work.empty()) return;
        for (const std::size_t r : g.ranges) {
            if (ranges_[r].end_ns < 0) continue;
            f.start_ns =
                f.start_ns < 0 ? ranges_[r].start_ns : std::min(f.start_ns, ranges_[r].start_ns);
            f.end_ns = std::max(f.end_ns, ranges_[r].end_ns);
        }
        if (!f.superseded) {
            ++problems_[f.start_ns < 0 ? "fetch without a range" : "fetch without work of the GPU"];
        }
    }

    // ---- Commits and uses

    void link_consumers() {
        std::vector<std::optional<std::size_t>> commit(fetches_.size()), use(fetches_.size());
        for (std::size_t r = 0; r < ranges_.size(); ++r) {
            const MessageKind kind = ranges_[r].message.kind;
            if (kind != MessageKind::kCommit && kind != MessageKind::kUse) continue;
            auto& first = kind == MessageKind::kCommit ? commit : use;
            for (const std::int64_t id : ranges_[r].message.fetches) {
                const auto found = number_of_fetch_.find(id);
                if (found == number_of_fetch_.end()) {
                    ++problems_["commit or use of a fetch that is not there"];
                } else if (!first[found->second]) {
                    first[found->second] = r;
                }
            }
        }
        std::vector<AwaitedTransfer> awaited;
        std::vector<std::size_t> fetch_of_awaited;
        for (std::size_t i = 0; i < fetches_.size(); ++i) {
            FetchRecord& f = out_.fetches[i];
            set_steps(f, fetches_[i].message, commit[i], use[i]);
            const std::optional<std::size_t> consumer = first_work(commit[i], use[i]);
            if (!consumer || fetches_[i].work.empty()) {
                const bool told = commit[i] || use[i];
                if (!told && !f.superseded) ++problems_["fetch without commit or use"];
                continue;
            }
            awaited.push_back({fetches_[i].work, *consumer});
            fetch_of_awaited.push_back(i);
        }
        const std::vector<std::int64_t> exposed = ExposedTime(work_, computes()).of(awaited);
        for (std::size_t i = 0; i < exposed.size(); ++i) {
            out_.fetches[fetch_of_awaited[i]].exposed_ns = exposed[i];
        }
    }

    void set_steps(FetchRecord& f, const Message& m, std::optional<std::size_t> commit,
                   std::optional<std::size_t> use) {
        if (commit) {
            f.committed_step = step_of(ranges_[*commit], ranges_[*commit].message);
            f.commit_op = first_op_[*commit];
        } else if (use) {
            f.committed_step = step_of(ranges_[*use], ranges_[*use].message);
        }
        if (use) f.first_use_op = first_op_[*use];
        if (f.committed_step >= 0) f.due_step = f.committed_step;
        if (!m.due) return;
        if (const auto due = steps_.next_by_id(*m.due, f.queued_ns)) {
            f.due_step = *due;
        } else {
            ++problems_["due= names no step"];
        }
    }

    /// The first work of the commit, else of the use.
    [[nodiscard]] std::optional<std::size_t> first_work(std::optional<std::size_t> commit,
                                                        std::optional<std::size_t> use) const {
        for (const std::optional<std::size_t>& r : {commit, use}) {
            if (r && !ranges_[*r].work.empty()) return ranges_[*r].work.front();
        }
        return std::nullopt;
    }

    /// Kernels that no fetch launched.
    [[nodiscard]] std::vector<bool> computes() const {
        std::vector<bool> out(work_.size());
        for (std::size_t w = 0; w < work_.size(); ++w) out[w] = work_[w].kernel;
        for (const Group& g : fetches_) {
            for (const std::size_t w : g.work) out[w] = false;
        }
        return out;
    }

    // ---- Checks

    void make_checks() {
        std::vector<bool> fetched(checks_.size(), false);
        for (const FetchRecord& f : out_.fetches) {
            if (f.check_id >= 0) fetched[static_cast<std::size_t>(f.check_id)] = true;
        }
        for (std::size_t i = 0; i < checks_.size(); ++i) {
            const Message& m = checks_[i].message;
            DriftRecord d;
            d.check_id = static_cast<std::int64_t>(i);
            d.op_id = first_op(checks_[i]);
            d.step = step_of(ranges_[checks_[i].ranges.front()], m);
            d.layer = narrow(m.layer, 0);
            d.pivot = narrow(m.head, 0);
            d.sequence = narrow(m.sequence, 0);
            d.base = m.base.value_or(0);
            d.overlaps = m.overlaps;
            d.median = m.median ? *m.median : m.overlaps.empty() ? 0 : median_of(m.overlaps);
            d.threshold = m.threshold.value_or(0);
            const bool measured = m.threshold && (m.median || !m.overlaps.empty());
            d.triggered = m.triggered ? *m.triggered
                          : measured  ? d.median < d.threshold
                                      : fetched[i];
            out_.drift.push_back(std::move(d));
        }
    }

    const std::int64_t pid_;
    const std::vector<Range> ranges_;
    const std::vector<GpuWork> work_;
    Problems& problems_;
    StepMap steps_;
    std::unordered_map<std::int64_t, std::size_t> number_of_check_, number_of_fetch_;
    std::vector<Group> checks_, fetches_;
    std::vector<std::int64_t> first_op_;  // by range, -1: it launched nothing
    trace::AppendedRun out_;
};

/// A run stands for one device: that of the process's first work.
void name_machine(const DomainActivity& activity, std::int32_t device, trace::AppendedRun& run) {
    run.device = device;
    for (const trace::Gpu& gpu : activity.gpus) {
        if (gpu.device != device) continue;
        run.machine.name = gpu.name;
        run.machine.num_sms = std::max(gpu.num_sms, 0);
        run.machine.memory_bytes = std::max<std::int64_t>(gpu.memory_bytes, 0);
        if (gpu.compute_major >= 0 && gpu.compute_minor >= 0) {
            run.machine.compute_capability =
                fmt::format("{}.{}", gpu.compute_major, gpu.compute_minor);
        }
    }
}

}  // namespace

std::int64_t ImportedRuns::num_fetches() const {
    std::int64_t count = 0;
    for (const trace::AppendedRun& run : runs) {
        count += static_cast<std::int64_t>(run.fetches.size());
    }
    return count;
}

std::string ImportedRuns::warning() const {
    constexpr std::size_t kNamed = 4;
    std::string out;
    std::size_t named = 0;
    for (const auto& [problem, count] : problems) {
        if (named++ == kNamed) {
            return out + fmt::format(", and {} more kinds", problems.size() - kNamed);
        }
        out += fmt::format("{}{} ({})", out.empty() ? "" : ", ", problem, count);
    }
    return out;
}

ImportedRuns retrieval_from_nvtx(const DomainActivity& activity) {
    ImportedRuns out;
    for (ProcessRanges& process : ranges_by_process(activity, out.problems)) {
        const std::int32_t device = process.work.empty() ? -1 : process.work.front().device;
        out.runs.push_back(Importer(std::move(process), out.problems).run());
        name_machine(activity, device, out.runs.back());
    }
    return out;
}

ImportedRuns add_retrievals(const std::filesystem::path& path, Progress& progress) {
    // Read before the writer opens the file; an open reader would be in its way.
    ImportedRuns out = [&] {
        const trace::Trace trace(path);
        if (!trace.runs().empty()) return ImportedRuns{};
        progress.begin("reading NVTX ranges of retrievals", 0);
        const DomainActivity activity = read_domain(trace, kDomain, progress);
        progress.end();
        return retrieval_from_nvtx(activity);
    }();
    if (!out.runs.empty() && !trace::append_runs(path, out.runs)) out = {};
    return out;
}

}  // namespace hc::retrieval
