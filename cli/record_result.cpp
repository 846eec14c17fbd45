#include "cli/record_result.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <fmt/format.h>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "cli/child_process.h"
#include "cli/format.h"
#include "cli/output.h"
#include "engine/core/error.h"
#include "profiler/inject/environment.h"
#include "profiler/retrieval/retrieval_from_nvtx.h"
#include "profiler/trace/merge.h"
#include "profiler/trace/reader.h"

namespace hc::cli {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kMaxNumber = 10'000;

/// The n-th name of ours: run.sqlite, run-2.sqlite, run-3.sqlite.
fs::path numbered(const fs::path& path, int n) {
    if (n <= 1) return path;
    fs::path out = path;
    out.replace_filename(
        fmt::format("{}-{}{}", path.stem().string(), n, path.extension().string()));
    return out;
}

bool is_there(const fs::path& path) {
    std::error_code error;
    return fs::exists(fs::symlink_status(path, error));
}

[[noreturn]] void refuse_existing(const fs::path& path) {
    throw_refused(
        fmt::format("'{}' exists: name another file with -o, or add --force", path.string()));
}

/// Moves within one folder. False when `to` is taken and must not be replaced.
bool move_file(const fs::path& from, const fs::path& to, bool replace) {
    const unsigned flags = replace ? 0 : RENAME_NOREPLACE;
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0) return true;
    if (errno == EEXIST) return false;
    // File systems without this flag say EINVAL; between look and move somebody may come.
    if (!replace && errno == EINVAL) {
        if (is_there(to)) return false;
        if (::rename(from.c_str(), to.c_str()) == 0) return true;
    }
    throw_io(fmt::format("cannot write '{}': {}", to.string(), std::strerror(errno)));
}

fs::path move_into_place(const fs::path& from, const OutputName& output) {
    for (int n = 1; n <= (output.numbered ? kMaxNumber : 1); ++n) {
        const fs::path to = numbered(output.path, n);
        if (move_file(from, to, output.replace)) {
            // Logs of a replaced trace would be replayed into the new one.
            if (output.replace) {
                for (const char* suffix : {"-wal", "-shm", "-journal"}) {
                    ::unlink((to.string() + suffix).c_str());
                }
            }
            return to;
        }
    }
    refuse_existing(output.path);
}

EventCounts count_events(const trace::Trace& trace) {
    const trace::ActivityCounts c = trace.activity_counts();
    const std::pair<const char*, std::int64_t> rows[] = {
        {"kernel", c.kernels},     {"memcpy", c.memcpys},
        {"memset", c.memsets},     {"sync", c.syncs},
        {"api", c.apis},           {"nvtx", c.nvtx},
        {"overhead", c.overheads}, {"memory", c.memory_events},
        {"external", c.externals}};
    EventCounts out;
    for (const auto& [kind, count] : rows) {
        if (count > 0) out.rows.emplace_back(kind, count);
    }
    constexpr std::string_view kLost = "lost_";
    for (const auto& [key, value] : trace.all_meta()) {
        if (!key.starts_with(kLost)) continue;
        std::int64_t count = 0;
        std::from_chars(value.data(), value.data() + value.size(), count);
        if (count > 0) out.lost.emplace_back(key.substr(kLost.size()), count);
    }
    return out;
}

/// What the profiler itself took is nothing to keep a file for.
bool holds_activity(const EventCounts& counts) {
    return std::any_of(counts.rows.begin(), counts.rows.end(),
                       [](const auto& row) { return row.first != "overhead"; });
}

bool closed_cleanly(const fs::path& path) {
    try {
        return trace::Trace(path).meta("clean_exit") == "1";
    } catch (const Error&) {
        return false;
    }
}

/// Process id in "trace-123.sqlite" or "trace-123.2.sqlite".
pid_t pid_of_trace(std::string_view name) {
    constexpr std::string_view kPrefix = "trace-";
    pid_t pid = 0;
    if (name.starts_with(kPrefix)) {
        std::from_chars(name.data() + kPrefix.size(), name.data() + name.size(), pid);
    }
    return pid;
}

/// A merge's warning names a file that will be gone; the user knows processes. `known`: those that
/// were warned of already, whose warning is dropped (empty).
std::string in_words_of_processes(const std::string& warning, const fs::path& folder,
                                  const std::set<pid_t>& known) {
    const std::string path = "'" + folder.string() + "/";
    const std::size_t begin = warning.find(path);
    const std::size_t end = begin == std::string::npos ? begin : warning.find('\'', begin + 1);
    if (end == std::string::npos) return warning;
    const pid_t pid = pid_of_trace(std::string_view(warning).substr(begin + path.size()));
    if (known.contains(pid)) return "";
    return fmt::format("{}process {}{}", warning.substr(0, begin), pid, warning.substr(end + 1));
}

/// One file out of many, in the same folder; a single one that was closed is left as it is.
fs::path put_together(const std::vector<fs::path>& traces, const fs::path& folder,
                      const std::string& command_line, Progress& progress,
                      const std::set<pid_t>& known, std::vector<std::string>& warnings) {
    if (traces.size() == 1 && closed_cleanly(traces.front())) return traces.front();
    const fs::path merged = folder / "merged.sqlite";
    const trace::MergeResult result = trace::merge_traces(traces, merged, command_line, progress);
    for (const std::string& warning : result.warnings) {
        const std::string text = in_words_of_processes(warning, folder, known);
        if (!text.empty()) warnings.push_back(text);
    }
    return merged;
}

/// What the program told of its retrievals. That it could not be used is no reason to lose the
/// recording.
void add_retrievals(const fs::path& file, Progress& progress, RecordResult& result) {
    if (result.counts.of("nvtx") == 0) return;
    try {
        const retrieval::ImportedRuns imported = retrieval::add_retrievals(file, progress);
        result.retrievals = imported.num_fetches();
        result.retrieval_runs = static_cast<std::int64_t>(imported.runs.size());
        if (const std::string warning = imported.warning(); !warning.empty()) {
            result.warnings.push_back("NVTX domain hcprof: " + warning + "; see docs/nvtx.md");
        }
    } catch (const Error& error) {
        if (error.code() == ExitCode::kInterrupted) throw;
        result.warnings.push_back(fmt::format("retrievals are not added: {}", error.what()));
    }
}

std::string plural(std::int64_t count, std::string_view one, std::string_view many) {
    return fmt::format("{} {}", format_count(count), count == 1 ? one : many);
}

std::string process_text(const ProcessStatus& p) {
    const std::string name = fs::path(p.executable).filename().string();
    return name.empty() ? fmt::format("process {}", p.pid) : fmt::format("{} ({})", name, p.pid);
}

/// Processes that are missing from the trace, wholly or at their end; equal reasons once.
std::vector<std::string> process_warnings(const std::vector<ProcessStatus>& processes) {
    std::vector<std::string> out;
    std::vector<std::pair<std::string, std::vector<std::string>>> failed;
    for (const ProcessStatus& p : processes) {
        if (p.state == inject::kStateRecording) {
            out.push_back(fmt::format("{}: {}", process_text(p),
                                      process_alive(p.pid)
                                          ? "still runs; what it wrote so far is in the trace"
                                          : "died while it was recorded; up to its last second "
                                            "is missing"));
        }
        if (p.state != inject::kStateFailed) continue;
        const auto same = std::find_if(failed.begin(), failed.end(),
                                       [&](const auto& f) { return f.first == p.reason; });
        if (same != failed.end()) {
            same->second.push_back(process_text(p));
        } else {
            failed.push_back({p.reason, {process_text(p)}});
        }
    }
    for (const auto& [reason, names] : failed) {
        const std::string more =
            names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : "";
        out.push_back(fmt::format("not recorded, {}{}: {}", names.front(), more,
                                  reason.empty() ? "no reason was given" : reason));
    }
    return out;
}

/// Processes that did not come to the end of their recording; process_warnings() tells of them.
std::set<pid_t> unfinished(const std::vector<ProcessStatus>& processes) {
    std::set<pid_t> out;
    for (const ProcessStatus& p : processes) {
        if (p.state == inject::kStateRecording) out.insert(p.pid);
    }
    return out;
}

std::string lost_text(const EventCounts& counts) {
    std::string out;
    for (const auto& [cause, count] : counts.lost) {
        out += fmt::format("{}{} {}", out.empty() ? "" : ", ", format_count(count), cause);
    }
    return out;
}

std::string why_nothing(const std::vector<ProcessStatus>& processes) {
    if (processes.empty()) return "";  // CUDA was not reached: the caller knows the machine
    for (const ProcessStatus& p : processes) {
        if (p.state == inject::kStateFailed) {
            return p.reason.empty() ? "the library failed without a reason" : p.reason;
        }
    }
    return "CUDA was loaded, but nothing ran on a GPU while it was recorded";
}

}  // namespace

std::int64_t EventCounts::of(std::string_view kind) const {
    for (const auto& [name, count] : rows) {
        if (name == kind) return count;
    }
    return 0;
}

OutputName choose_output(const std::string& named, const std::string& program, bool force) {
    if (!named.empty()) {
        check_writable(named);
        if (!force && is_there(named)) refuse_existing(named);
        return {.path = named, .numbered = false, .replace = force};
    }
    std::string name = fs::path(program).filename().string();
    if (name.empty() || name == "." || name == "..") name = "record";
    // Room for a number and for the names that SQLite puts beside the file.
    const fs::path path = name.substr(0, 200) + ".sqlite";
    check_writable(path.string());
    return {.path = path, .numbered = !force, .replace = force};
}

RecordResult collect_result(RecordFolder& folder, const OutputName& output,
                            const std::string& command_line, Progress& progress) {
    RecordResult result;
    result.processes = folder.statuses();
    result.warnings = process_warnings(result.processes);
    const std::vector<fs::path> traces = folder.traces();
    const bool all_failed =
        std::all_of(result.processes.begin(), result.processes.end(),
                    [](const ProcessStatus& p) { return p.state == inject::kStateFailed; });
    try {
        if (!traces.empty()) {
            const fs::path whole = put_together(traces, folder.path(), command_line, progress,
                                                unfinished(result.processes), result.warnings);
            result.counts = count_events(trace::Trace(whole));
            if (holds_activity(result.counts)) {
                add_retrievals(whole, progress, result);
                // A process that exec()s itself anew writes a second file.
                std::set<pid_t> pids;
                for (const fs::path& t : traces) pids.insert(pid_of_trace(t.filename().string()));
                result.traces = static_cast<std::int64_t>(pids.size());
                result.file = move_into_place(whole, output);
                result.bytes = fs::file_size(*result.file);
            }
        }
    } catch (const Error& error) {
        folder.keep();
        throw Error(
            error.code(),
            fmt::format("{}; the traces of the {} are kept in '{}'", error.what(),
                        traces.size() == 1 ? "process" : "processes", folder.path().string()));
    }
    if (!result.file) {
        result.nothing = why_nothing(result.processes);
        // Said as the reason already.
        if (all_failed) result.warnings.clear();
    }
    return result;
}

std::string summary_text(const RecordResult& result) {
    std::string out;
    const auto line = [&](const std::string& text) { out += "hcprof: " + text + "\n"; };
    if (!result.file) {
        line(fmt::format("no CUDA activity was recorded, nothing is written: {}", result.nothing));
    } else {
        struct Word {
            std::string_view kind, one, many;
        };
        constexpr Word kWords[] = {{"kernel", "kernel", "kernels"},
                                   {"memcpy", "copy", "copies"},
                                   {"memset", "memset", "memsets"},
                                   {"sync", "wait", "waits"},
                                   {"api", "API call", "API calls"},
                                   {"nvtx", "NVTX event", "NVTX events"},
                                   {"memory", "allocation event", "allocation events"}};
        std::string events;
        for (const Word& word : kWords) {
            if (const std::int64_t n = result.counts.of(word.kind); n > 0) {
                events += ", " + plural(n, word.one, word.many);
            }
        }
        line(fmt::format("{} ({}): {}{}", result.file->string(),
                         format_bytes(static_cast<double>(result.bytes)),
                         plural(result.traces, "process", "processes"), events));
    }
    if (result.retrieval_runs > 0) {
        line(fmt::format("its NVTX ranges tell of {}",
                         plural(result.retrievals, "retrieval", "retrievals")));
    }
    for (const std::string& warning : result.warnings) line("warning: " + warning);
    if (const std::string lost = lost_text(result.counts); !lost.empty()) {
        line("warning: records are missing: " + lost);
    }
    if (result.file) {
        line(fmt::format("next: hcprof report {0}    or: hcprof view {0}", result.file->string()));
    }
    return out;
}

std::string summary_json(const RecordResult& result, int exit_code) {
    Json j;
    j["file"] = result.file ? Json(result.file->string()) : Json(nullptr);
    j["bytes"] = result.bytes;
    j["exit_code"] = exit_code;
    j["events"] = Json::object();
    for (const auto& [kind, count] : result.counts.rows) j["events"][kind] = count;
    j["lost"] = Json::object();
    for (const auto& [cause, count] : result.counts.lost) j["lost"][cause] = count;
    j["retrievals"] = result.retrievals;
    j["processes"] = Json::array();
    for (const ProcessStatus& p : result.processes) {
        j["processes"].push_back({{"pid", p.pid},
                                  {"executable", p.executable},
                                  {"state", p.state},
                                  {"reason", p.reason}});
    }
    j["warnings"] = result.warnings;
    j["nothing_recorded"] = result.file ? Json(nullptr) : Json(result.nothing);
    // A path need not be UTF-8.
    return j.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace hc::cli
