#include "profiler/formats/chrome_export.h"

#include <fmt/format.h>
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>

#include "engine/core/error.h"
#include "profiler/formats/json_text.h"
#include "profiler/formats/row_packer.h"

namespace hc::formats {
namespace {

/// Events between two looks at the progress, which may read a clock.
constexpr std::int64_t kEventsPerTick = 4096;

/// Builds one event in a text that is used again for the next.
class Event {
public:
    Event& begin(char phase, std::string_view category, std::string_view name, std::int64_t pid) {
        text_.clear();
        in_args_ = false;
        fmt::format_to(std::back_inserter(text_), R"({{"ph":"{}")", phase);
        if (!category.empty()) field("cat", category);
        return field("name", name).field("pid", pid);
    }
    Event& field(std::string_view name, std::int64_t number) {
        key(name);
        fmt::format_to(std::back_inserter(text_), "{}", number);
        return *this;
    }
    Event& field(std::string_view name, std::string_view text) {
        key(name);
        append_quoted(text_, text);
        return *this;
    }
    Event& real(std::string_view name, double number) {
        key(name);
        append_number(text_, number);
        return *this;
    }
    template <typename Ns>
    Event& time(std::string_view name, Ns ns) {
        key(name);
        append_us(text_, ns);
        return *this;
    }
    /// What follows are the event's arguments.
    Event& args() {
        text_ += R"(,"args":{)";
        in_args_ = true;
        first_ = true;
        return *this;
    }
    /// An argument that is left out where it says nothing.
    Event& positive(std::string_view name, std::int64_t number) {
        return number > 0 ? field(name, number) : *this;
    }
    [[nodiscard]] std::string_view finish() {
        text_ += in_args_ ? "}}" : "}";
        return text_;
    }

private:
    void key(std::string_view name) {
        if (!in_args_ || !first_) text_ += ',';
        first_ = false;
        append_quoted(text_, name);
        text_ += ':';
    }

    std::string text_;
    bool in_args_ = false;
    bool first_ = true;
};

std::int64_t add_wrapping(std::int64_t a, std::int64_t b) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
}

/// 0 where an end lies before its start. Unsigned, since the difference may not fit an int64.
std::uint64_t duration(std::int64_t start, std::int64_t end) {
    return end > start ? static_cast<std::uint64_t>(end) - static_cast<std::uint64_t>(start) : 0;
}

/// Writes one run.
class RunWriter {
public:
    RunWriter(PartFile& file, std::int64_t& num_events, const trace::RunData& data,
              const std::vector<trace::Stream>& streams, std::uint64_t first_flow,
              Progress& progress)
        : file_(file),
          num_events_(num_events),
          data_(data),
          streams_(streams),
          first_flow_(first_flow),
          progress_(progress),
          pid_(data.run.id) {}

    void write(std::string_view label) {
        progress_.begin(fmt::format("exporting run {}", pid_),
                        static_cast<std::int64_t>(data_.ops.size()));
        place_operations();
        index();
        write_names(label);
        write_steps();
        write_operations();
        write_flows();
        write_checks();
        write_overlaps();
        write_memory();
        progress_.end();
    }

private:
    void put(Event& event) {
        file_.write(num_events_ == 0 ? "\n" : ",\n");
        file_.write(event.finish());
        ++num_events_;
        if (num_events_ % kEventsPerTick == 0 && progress_.cancelled()) {
            throw Error(ExitCode::kInterrupted, "interrupted while exporting");
        }
    }

    [[nodiscard]] const trace::Stream* stream_of(std::int32_t key) const {
        for (const trace::Stream& stream : streams_) {
            if (stream.key == key) return &stream;
        }
        return nullptr;
    }

    [[nodiscard]] std::string title_of(std::int32_t key) const {
        const trace::Stream* stream = stream_of(key);
        if (stream != nullptr && !stream->name.empty()) return stream->name;
        if (key == kDecodeStream) return "decode stream";
        if (key == kFetchStream) return "fetch stream";
        return fmt::format("stream {}", key);
    }

    /// Compute streams stand above fetch streams, others below.
    [[nodiscard]] int rank_of(std::int32_t key) const {
        const trace::Stream* stream = stream_of(key);
        if (stream != nullptr)
            return stream->role == "compute" ? 0 : stream->role == "fetch" ? 1 : 2;
        return key == kDecodeStream ? 0 : key == kFetchStream ? 1 : 2;
    }

    /// Order of the operations in the file, and the thread of each.
    void place_operations() {
        const trace::Ops& ops = data_.ops;
        order_.resize(ops.size());
        std::iota(order_.begin(), order_.end(), std::size_t{0});
        // Longer first among equals, so that a parent precedes its children.
        std::sort(order_.begin(), order_.end(), [&ops](std::size_t a, std::size_t b) {
            return std::tuple(ops.stream[a], ops.start_ns[a], ops.end_ns[b], ops.op_id[a], a) <
                   std::tuple(ops.stream[b], ops.start_ns[b], ops.end_ns[a], ops.op_id[b], b);
        });
        tids_.resize(ops.size());
        std::map<std::int32_t, RowPacker> packers;
        for (const std::size_t i : order_) {
            const std::int64_t end = std::max(ops.start_ns[i], ops.end_ns[i]);
            const std::size_t row = packers[ops.stream[i]].place(ops.start_ns[i], end);
            tids_[i] = ops.stream[i] + static_cast<std::int64_t>(row) * kRowTids;
        }
        for (const auto& [stream, packer] : packers) num_rows_[stream] = packer.num_rows();
    }

    /// Where the operations and steps are that other records name.
    void index() {
        for (const DriftRecord& check : data_.drift) {
            op_of_check_.emplace(check.check_id, check.op_id);
            row_of_op_.emplace(check.op_id, kNoRow);
        }
        for (const FetchRecord& fetch : data_.fetches) {
            for (const std::int64_t op : {fetch.fetch_op, fetch.commit_op, fetch.first_use_op}) {
                row_of_op_.emplace(op, kNoRow);
            }
        }
        for (std::size_t i = 0; i < data_.ops.size(); ++i) {
            const auto found = row_of_op_.find(data_.ops.op_id[i]);
            if (found != row_of_op_.end()) found->second = i;
        }
        for (std::size_t i = 0; i < data_.steps.size(); ++i) {
            row_of_step_.emplace(data_.steps.step[i], i);
        }
    }

    [[nodiscard]] std::optional<std::size_t> op_row(std::int64_t op_id) const {
        const auto found = row_of_op_.find(op_id);
        if (op_id < 0 || found == row_of_op_.end() || found->second == kNoRow) return std::nullopt;
        return found->second;
    }

    [[nodiscard]] std::optional<std::int64_t> step_end(std::int64_t step) const {
        const auto found = row_of_step_.find(step);
        if (found == row_of_step_.end()) return std::nullopt;
        return data_.steps.end_ns[found->second];
    }

    void name_thread(std::int64_t tid, std::string_view name, std::int64_t position) {
        event_.begin('M', "", "thread_name", pid_).field("tid", tid).args().field("name", name);
        put(event_);
        event_.begin('M', "", "thread_sort_index", pid_).field("tid", tid).args();
        put(event_.field("sort_index", position));
    }

    void write_names(std::string_view label) {
        event_.begin('M', "", "process_name", pid_).args().field("name", label);
        put(event_);
        const std::string about =
            fmt::format("run {}, {}, {}, {}", pid_, trace::origin_name(data_.run.origin),
                        data_.run.backend, data_.run.model_name);
        event_.begin('M', "", "process_labels", pid_).args().field("labels", about);
        put(event_);
        event_.begin('M', "", "process_sort_index", pid_).args().field("sort_index", pid_);
        put(event_);
        std::int64_t position = 0;
        name_thread(kStepsTid, "steps", position);
        for (int rank = 0; rank < 3; ++rank) {
            for (const auto& [stream, rows] : num_rows_) {
                if (rank_of(stream) != rank) continue;
                const std::string title = title_of(stream);
                for (std::size_t row = 0; row < rows; ++row) {
                    name_thread(stream + static_cast<std::int64_t>(row) * kRowTids,
                                row == 0 ? title : fmt::format("{} ({})", title, row + 1),
                                ++position);
                }
            }
        }
    }

    Event& complete(std::string_view category, std::string_view name, std::int64_t tid,
                    std::int64_t start, std::int64_t end) {
        return event_.begin('X', category, name, pid_)
            .field("tid", tid)
            .time("ts", start)
            .time("dur", duration(start, end))
            .args();
    }

    void write_steps() {
        const trace::Steps& steps = data_.steps;
        for (std::size_t i = 0; i < steps.size(); ++i) {
            complete("step", steps.phase[i] == Phase::kPrefill ? "prefill" : "step", kStepsTid,
                     steps.start_ns[i], steps.end_ns[i])
                .field("step", steps.step[i])
                .field("batch", steps.batch[i]);
            put(event_);
        }
    }

    void write_operations() {
        const trace::Ops& ops = data_.ops;
        std::int64_t done = 0;
        for (const std::size_t i : order_) {
            complete("op", op_kind_name(ops.kind[i]), tids_[i], ops.start_ns[i], ops.end_ns[i]);
            if (ops.layer[i] >= 0) event_.field("layer", ops.layer[i]);
            const std::int64_t bytes = add_wrapping(ops.bytes_read[i], ops.bytes_written[i]);
            event_.field("step", ops.step[i]).positive("bytes", bytes);
            const std::uint64_t ns = duration(ops.start_ns[i], ops.end_ns[i]);
            if (bytes > 0 && ns > 0) {
                // Three decimals, as times have: more would only make the file longer.
                const double rate = static_cast<double>(bytes) / static_cast<double>(ns);
                event_.real("GB/s", std::round(rate * 1000) / 1000);
            }
            event_.positive("flops", ops.flops[i]).positive("rows", ops.rows[i]);
            put(event_);
            if (++done % kEventsPerTick == 0) progress_.update(done);
        }
    }

    void write_flows() {
        for (const FetchRecord& fetch : data_.fetches) {
            const auto check = op_of_check_.find(fetch.check_id);
            const std::int64_t check_op = check == op_of_check_.end() ? -1 : check->second;
            std::vector<std::size_t> stops;
            for (const std::int64_t op :
                 {check_op, fetch.fetch_op, fetch.commit_op, fetch.first_use_op}) {
                if (const auto row = op_row(op)) stops.push_back(*row);
            }
            if (stops.size() >= 2) write_flow(fetch, stops);
        }
    }

    /// Each point lies inside its slice, since viewers tie it to the slice they find at its time:
    /// the last one as early as can be, those before as late as can be.
    [[nodiscard]] std::vector<std::int64_t> flow_times(
        const std::vector<std::size_t>& stops) const {
        const trace::Ops& ops = data_.ops;
        std::vector<std::int64_t> times(stops.size());
        std::int64_t latest = ops.start_ns[stops.front()];
        for (const std::size_t i : stops) latest = std::max(latest, ops.start_ns[i]);
        for (std::size_t k = stops.size(); k-- > 0;) {
            const std::int64_t start = ops.start_ns[stops[k]];
            const std::int64_t end = ops.end_ns[stops[k]];
            // A slice does not hold the nanosecond in which it ends.
            const std::int64_t last = end > start ? end - 1 : start;
            times[k] = latest = std::clamp(latest, start, last);
        }
        return times;
    }

    void write_flow(const FetchRecord& fetch, const std::vector<std::size_t>& stops) {
        const std::vector<std::int64_t> times = flow_times(stops);
        const std::int64_t id =
            static_cast<std::int64_t>(first_flow_ + static_cast<std::uint64_t>(fetch.id));
        for (std::size_t k = 0; k < stops.size(); ++k) {
            const char phase = k == 0 ? 's' : k + 1 < stops.size() ? 't' : 'f';
            event_.begin(phase, "retrieval", "retrieval", pid_)
                .field("tid", tids_[stops[k]])
                .time("ts", times[k])
                .field("id", id);
            // To the slice around it, not to the next one.
            if (phase != 's') event_.field("bp", "e");
            if (phase == 's') {
                event_.args()
                    .field("fetch", fetch.id)
                    .field("layer", fetch.layer)
                    .field("rows", fetch.rows_fetched)
                    .field("bytes", fetch.bytes)
                    .field("exposed_ns", fetch.exposed_ns);
            }
            put(event_);
        }
    }

    /// When a check was decided: the end of its operation, else of its step.
    [[nodiscard]] std::optional<std::int64_t> check_time(const DriftRecord& check) const {
        if (const auto row = op_row(check.op_id)) {
            return std::max(data_.ops.start_ns[*row], data_.ops.end_ns[*row]);
        }
        return step_end(check.step);
    }

    void write_checks() {
        for (const DriftRecord& check : data_.drift) {
            const auto time = check_time(check);
            if (!check.triggered || !time) continue;
            const auto row = op_row(check.op_id);
            event_.begin('i', "drift", "drift", pid_)
                .field("tid", row ? tids_[*row] : kStepsTid)
                .time("ts", *time)
                .field("s", "t")
                .args()
                .field("layer", check.layer)
                .field("pivot", check.pivot)
                .field("sequence", check.sequence)
                .real("overlap", check.median)
                .real("threshold", check.threshold);
            put(event_);
        }
    }

    void counter(std::string_view name, std::string_view series, std::int64_t time, double number) {
        if (!std::isfinite(number)) return;
        event_.begin('C', "", name, pid_).time("ts", time).args().real(series, number);
        put(event_);
    }

    void write_overlaps() {
        using Pivot = std::tuple<std::int32_t, std::int32_t, std::int32_t>;
        std::set<Pivot> pivots;
        for (const DriftRecord& check : data_.drift) {
            pivots.emplace(check.sequence, check.layer, check.pivot);
            if (pivots.size() > kMaxPivotCounters) return write_mean_overlap();
        }
        for (const DriftRecord& check : data_.drift) {
            const auto time = check_time(check);
            if (!time) continue;
            std::string name = fmt::format("overlap layer {} pivot {}", check.layer, check.pivot);
            if (check.sequence > 0) name += fmt::format(" sequence {}", check.sequence);
            counter(name, "median", *time, check.median);
        }
    }

    void write_mean_overlap() {
        struct Sum {
            double total = 0;
            std::int64_t count = 0;
        };
        std::map<std::int64_t, Sum> by_step;
        for (const DriftRecord& check : data_.drift) {
            Sum& sum = by_step[check.step];
            sum.total += check.median;
            sum.count += 1;
        }
        for (const auto& [step, sum] : by_step) {
            const auto time = step_end(step);
            if (time) counter("overlap", "mean", *time, sum.total / static_cast<double>(sum.count));
        }
    }

    void write_memory() {
        for (const MemoryRecord& memory : data_.memory) {
            const auto time = step_end(memory.step);
            if (!time) continue;
            event_.begin('C', "", "pool", pid_).time("ts", *time).args();
            put(event_.field("bytes", memory.pool_used_bytes));
            event_.begin('C', "", "staging", pid_).time("ts", *time).args();
            put(event_.field("bytes", memory.staging_bytes));
        }
    }

    static constexpr std::size_t kNoRow = static_cast<std::size_t>(-1);

    PartFile& file_;
    std::int64_t& num_events_;
    const trace::RunData& data_;
    const std::vector<trace::Stream>& streams_;
    const std::uint64_t first_flow_;
    Progress& progress_;
    const std::int64_t pid_;
    Event event_;
    std::vector<std::size_t> order_;                // rows of data_.ops as they are written
    std::vector<std::int64_t> tids_;                // per row of data_.ops
    std::map<std::int32_t, std::size_t> num_rows_;  // per stream
    std::unordered_map<std::int64_t, std::int64_t> op_of_check_;
    std::unordered_map<std::int64_t, std::size_t> row_of_op_;
    std::unordered_map<std::int64_t, std::size_t> row_of_step_;
};

}  // namespace

ChromeExport::ChromeExport(const std::filesystem::path& path) : file_(path) {
    file_.write(R"({"displayTimeUnit":"ns","traceEvents":[)");
}

void ChromeExport::add_run(const trace::RunData& data, const std::vector<trace::Stream>& streams,
                           std::string_view label, Progress& progress) {
    RunWriter(file_, num_events_, data, streams, num_runs_ * kRunFlowIds, progress).write(label);
    ++num_runs_;
}

void ChromeExport::finish() {
    file_.write("\n]}\n");
    file_.commit();
}

}  // namespace hc::formats
