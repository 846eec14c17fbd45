#include "profiler/trace/merge.h"

#include <fmt/format.h>
#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <tuple>
#include <unordered_map>

#include "engine/core/error.h"
#include "profiler/trace/activity_rows.h"
#include "profiler/trace/copy_run.h"
#include "profiler/trace/new_trace_file.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/writer.h"

namespace hc::trace {
namespace {

struct Input {
    std::filesystem::path path;
    std::unique_ptr<Trace> trace;
    std::int64_t epoch_ns = 0, heartbeat_ns = 0, pid = -1;
    std::int64_t shift_ns = 0;  // added to its times

    [[nodiscard]] std::string meta(const std::string& key) const {
        return trace->meta(key).value_or("");
    }
    [[nodiscard]] bool clean() const { return meta("clean_exit") == "1"; }
};

std::optional<std::int64_t> parse_integer(const std::string& text) {
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

/// Beyond any clock, and small enough that differences stay in range.
constexpr std::int64_t kMaxEpochNs = std::int64_t{1} << 61;

Input open_input(const std::filesystem::path& path) {
    Input input;
    input.path = path;
    input.trace = std::make_unique<Trace>(path);
    const std::optional<std::int64_t> epoch = parse_integer(input.meta("epoch_ns"));
    if (!epoch || *epoch < 0 || *epoch > kMaxEpochNs) {
        throw_input(
            fmt::format("trace '{}' cannot be merged: its epoch_ns is '{}', expected the "
                        "time of its start in ns",
                        path.string(), input.meta("epoch_ns")));
    }
    input.epoch_ns = *epoch;
    const std::int64_t beat = parse_integer(input.meta("heartbeat_ns")).value_or(0);
    input.heartbeat_ns = std::clamp<std::int64_t>(beat, 0, kMaxEpochNs);
    input.pid = parse_integer(input.meta("writer_pid")).value_or(-1);
    return input;
}

/// Times of different clocks, or of one that starts with each machine, cannot be compared.
void check_clocks(const std::vector<Input>& inputs) {
    const Input& first = inputs.front();
    for (const Input& other : inputs) {
        const auto differs = [&](const char* key) { return other.meta(key) != first.meta(key); };
        const auto refuse = [&](const char* key) {
            throw_input(fmt::format(
                "traces '{}' and '{}' cannot be merged: their {}s are '{}' and '{}', so their "
                "times "
                "cannot be compared",
                first.path.string(), other.path.string(), key, first.meta(key), other.meta(key)));
        };
        if (differs("clock")) refuse("clock");
        if (differs("host") && first.meta("clock") != "CLOCK_REALTIME") refuse("host");
    }
}

std::vector<Input> open_inputs(std::span<const std::filesystem::path> paths,
                               const std::filesystem::path& output) {
    if (paths.empty()) throw_refused("there are no traces to merge");
    std::vector<Input> inputs;
    std::error_code error;
    for (const std::filesystem::path& path : paths) {
        if (std::filesystem::equivalent(path, output, error)) {
            throw_refused(
                fmt::format("'{}' is to be merged and is the output as well, which would "
                            "replace it",
                            path.string()));
        }
        for (const Input& other : inputs) {
            if (!std::filesystem::equivalent(path, other.path, error)) continue;
            throw_refused(
                fmt::format("'{}' is named twice among the traces to merge", path.string()));
        }
        inputs.push_back(open_input(path));
    }
    check_clocks(inputs);
    std::sort(inputs.begin(), inputs.end(), [](const Input& a, const Input& b) {
        return std::tuple(a.epoch_ns, a.pid, a.path) < std::tuple(b.epoch_ns, b.pid, b.path);
    });
    for (Input& input : inputs) input.shift_ns = input.epoch_ns - inputs.front().epoch_ns;
    return inputs;
}

/// What hc_meta holds of the session as a whole.
std::map<std::string, std::string> merged_meta(const std::vector<Input>& inputs) {
    const Input& first = inputs.front();
    std::map<std::string, std::string> meta;
    for (const char* key : {"host", "writer_pid", "start_utc", "epoch_ns", "clock"}) {
        meta[key] = first.meta(key);
    }
    std::int64_t end_ns = 0, clock_error_ns = -1;
    std::string unclean;
    for (const Input& input : inputs) {
        end_ns = std::max(end_ns, input.heartbeat_ns + input.shift_ns);
        meta["heartbeat_utc"] = std::max(meta["heartbeat_utc"], input.meta("heartbeat_utc"));
        clock_error_ns =
            std::max(clock_error_ns, parse_integer(input.meta("clock_error_ns")).value_or(-1));
        const std::string parts =
            input.clean() ? input.meta("unclean_files") : input.path.filename().string();
        if (!parts.empty()) unclean += (unclean.empty() ? "" : ", ") + parts;
    }
    meta["heartbeat_ns"] = std::to_string(end_ns);
    if (clock_error_ns >= 0) meta["clock_error_ns"] = std::to_string(clock_error_ns);
    meta["merged_files"] = std::to_string(inputs.size());
    if (!unclean.empty()) meta["unclean_files"] = unclean;
    return meta;
}

/// Adds what the inputs' hc_meta say beyond that: lost records summed, other keys from the first
/// input that has them.
void add_other_meta(const std::vector<Input>& inputs, std::map<std::string, std::string>& meta) {
    const std::set<std::string> own = {"format_version", "hcprof_version", "command_line",
                                       "clean_exit", "unclean_files"};
    std::map<std::string, std::int64_t> lost;
    for (const Input& input : inputs) {
        for (const auto& [key, value] : input.trace->all_meta()) {
            if (key.starts_with("lost_")) {
                const std::int64_t count = parse_integer(value).value_or(0);
                lost[key] += std::clamp<std::int64_t>(count, 0, std::int64_t{1} << 40);
            } else if (!own.contains(key)) {
                meta.emplace(key, value);
            }
        }
    }
    for (const auto& [key, count] : lost) meta[key] = std::to_string(count);
}

/// All inputs as one piece of work.
class WholeProgress final : public Progress {
public:
    WholeProgress(Progress& shown, std::int64_t total) : shown_(shown) {
        shown_.begin("merging traces", total);
    }
    void begin(std::string_view, std::int64_t) override {
        before_ += table_;
        table_ = 0;
    }
    void update(std::int64_t done) override {
        table_ = done;
        shown_.update(before_ + done);
    }
    void end() override {}
    [[nodiscard]] bool cancelled() const override { return shown_.cancelled(); }

private:
    Progress& shown_;
    std::int64_t before_ = 0, table_ = 0;
};

/// Copies one input, giving everything its new id.
class InputCopier {
public:
    /// `next_run` counts the runs of all inputs.
    InputCopier(const Input& input, RunId& next_run, Writer& writer, Progress& progress)
        : input_(input),
          trace_(*input.trace),
          next_run_(next_run),
          writer_(writer),
          progress_(progress) {}

    std::int64_t copy() {
        map_names();
        for (const Gpu& gpu : trace_.gpus()) writer_.add_gpu(gpu);
        for (const Process& process : trace_.processes()) {
            writer_.add_process(process.pid, process.name);
        }
        copy_runs();
        copy_table<Kernels>(&ActivityBatch::kernels);
        copy_table<Memcpys>(&ActivityBatch::memcpys);
        copy_table<Memsets>(&ActivityBatch::memsets);
        copy_table<Apis>(&ActivityBatch::apis);
        copy_table<Syncs>(&ActivityBatch::syncs);
        copy_table<NvtxRanges>(&ActivityBatch::nvtx);
        copy_table<Overheads>(&ActivityBatch::overheads);
        copy_table<MemoryEvents>(&ActivityBatch::memory_events);
        copy_table<Externals>(&ActivityBatch::externals);
        return rows_;
    }

private:
    void map_names() {
        const Strings& strings = trace_.strings();
        for (StringId id = 0; id < strings.end_id(); ++id) {
            strings_.push_back(strings.contains(id) ? writer_.string_id(strings[id]) : -1);
        }
        const Launches& launches = trace_.launches();
        for (LaunchId id = 0; id < launches.end_id(); ++id) {
            if (!launches.contains(id)) {
                launches_.push_back(-1);
                continue;
            }
            Launch launch = launches[id];
            map_string(launch.name), map_string(launch.short_name), map_string(launch.mangled_name);
            launches_.push_back(writer_.launch_id(launch));
        }
        for (const Stream& stream : trace_.streams()) {
            streams_[stream.key] = writer_.stream_key(stream);
        }
        for (const NvtxName& name : trace_.nvtx_names()) {
            if (name.category < 0) {
                domains_[name.domain] = writer_.nvtx_domain(name.pid, name.name);
            }
        }
        for (const NvtxName& name : trace_.nvtx_names()) {
            if (name.category < 0) continue;
            writer_.name_nvtx_category(name.pid, new_domain(name.domain, name.pid), name.category,
                                       name.name);
        }
    }

    void map_string(StringId& id) const {
        if (id >= 0) id = strings_[static_cast<std::size_t>(id)];
    }
    void map_stream(StreamKey& key) const {
        if (key >= 0) key = streams_.at(key);
    }
    std::int32_t new_domain(std::int32_t domain, std::int64_t pid) {
        if (domain <= 0) return domain;
        const auto found = domains_.find(domain);
        if (found != domains_.end()) return found->second;
        // Nobody said its name; its number alone could be another's in the merged file.
        return domains_[domain] = writer_.nvtx_domain(pid, fmt::format("domain {}", domain));
    }

    void renumber(KernelRow& row) {
        map_stream(row.stream);
        row.launch = launches_[static_cast<std::size_t>(row.launch)];
    }
    void renumber(MemcpyRow& row) { map_stream(row.stream); }
    void renumber(MemsetRow& row) { map_stream(row.stream); }
    void renumber(SyncRow& row) { map_stream(row.stream); }
    void renumber(MemoryEventRow& row) { map_stream(row.stream); }
    void renumber(ApiRow& row) { map_string(row.name); }
    void renumber(NvtxRow& row) {
        map_string(row.name);
        row.domain = new_domain(row.domain, row.thread >> 24);
    }
    void renumber(OverheadRow&) {}
    void renumber(ExternalRow& row) {
        if (row.pid < 0) row.pid = input_.pid;
    }

    template <typename Columns, typename Row>
    void copy_table(std::vector<Row> ActivityBatch::*rows) {
        trace_.for_each_block<Columns>(progress_, [&](const Columns& block) {
            batch_.clear();
            for (std::size_t i = 0; i < block.size(); ++i) {
                Row row = row_at(block, i);
                renumber(row);
                (batch_.*rows).push_back(row);
            }
            writer_.add_activity(batch_, -input_.shift_ns);
            rows_ += static_cast<std::int64_t>(block.size());
        });
    }

    void copy_runs() {
        // The writer counts from 0, so the new numbers are known before the first is copied.
        std::map<RunId, RunId> numbers;
        for (const Run& run : trace_.runs()) numbers[run.id] = next_run_++;
        const auto renumbered = [&](RunId id) {
            const auto found = numbers.find(id);
            return found == numbers.end() ? RunId{-1} : found->second;
        };
        for (const Run& run : trace_.runs()) {
            RunData data = trace_.read(run.id, {}, progress_);
            data.run.source_run = renumbered(data.run.source_run);
            data.run.attention_run = renumbered(data.run.attention_run);
            const bool recorded = data.run.origin == Origin::kRecorded;
            const RunId copied = copy_run(
                data, recorded ? input_.shift_ns : 0,
                [this](StreamKey key) { return op_stream(key); }, writer_);
            HC_CHECK(copied == renumbered(run.id));
            writer_.add_recall(copied, trace_.recall(run.id));
        }
        for (Value value : trace_.values()) {
            if (value.run >= 0) {
                value.run = renumbered(value.run);
                if (value.run < 0) continue;
            }
            writer_.add_value(value);
        }
    }

    /// Simulated runs name streams that stand in no table.
    [[nodiscard]] StreamKey op_stream(StreamKey key) const {
        const auto found = streams_.find(key);
        return found == streams_.end() ? key : found->second;
    }

    const Input& input_;
    const Trace& trace_;
    RunId& next_run_;
    Writer& writer_;
    Progress& progress_;
    std::vector<StringId> strings_;   // [id in the input]
    std::vector<LaunchId> launches_;  // [id in the input]
    std::unordered_map<StreamKey, StreamKey> streams_;
    std::unordered_map<std::int32_t, std::int32_t> domains_;
    ActivityBatch batch_;
    std::int64_t rows_ = 0;
};

}  // namespace

MergeResult merge_traces(std::span<const std::filesystem::path> paths,
                         const std::filesystem::path& output, const std::string& command_line,
                         Progress& progress) {
    const std::vector<Input> inputs = open_inputs(paths, output);
    MergeResult result;
    std::int64_t total = 0;
    for (const Input& input : inputs) {
        total += input.trace->activity_counts().total();
        if (const std::string warning = input.trace->warning(); !warning.empty()) {
            result.warnings.push_back(fmt::format("'{}': {}", input.path.string(), warning));
        }
    }
    WriterOptions options{.command_line = command_line, .shown_path = output};
    options.final_meta = merged_meta(inputs);
    add_other_meta(inputs, options.final_meta);
    NewTraceFile file(output);
    {
        WholeProgress whole(progress, total);
        Writer writer(file.temporary(), options);
        RunId next_run = 0;
        for (const Input& input : inputs) {
            result.rows += InputCopier(input, next_run, writer, whole).copy();
        }
        writer.finish();
    }
    file.commit();
    progress.end();
    return result;
}

}  // namespace hc::trace
