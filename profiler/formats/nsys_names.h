/// What the rows of an Nsight Systems export refer to: strings, processes, threads, GPUs and NVTX
/// domains, made known to the writer of a trace.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "profiler/formats/nsys_table.h"
#include "profiler/trace/activity.h"
#include "profiler/trace/sqlite_database.h"
#include "profiler/trace/writer.h"

namespace hc::formats {

/// The process of a globalPid or globalTid.
[[nodiscard]] constexpr std::int64_t nsys_pid(std::int64_t global) {
    return (global >> 24) & 0xffffff;
}
/// Process and thread, without the bits above that tell machines apart.
[[nodiscard]] constexpr std::int64_t nsys_thread(std::int64_t global) {
    return global & ((std::int64_t{1} << 48) - 1);
}
/// A size or count, -1 allowed. Throws trace::BadData beyond what a trace may hold.
[[nodiscard]] std::int64_t nsys_amount(const NsysTable& row, int column, std::int64_t otherwise);
/// NVTX_EVENTS.eventType of rows that name something and are no events.
[[nodiscard]] bool is_name_event(std::int32_t type);

/// Borrows both. Everything throws trace::BadData for what no export holds.
class NsysNames {
public:
    NsysNames(const trace::Database& database, trace::Writer& writer)
        : database_(database), writer_(writer) {}

    /// Reads the tables and hands processes, threads and GPUs over; before all others.
    void read();

    /// The new id of the string whose id stands in `column`; -1 for NULL.
    [[nodiscard]] trace::StringId id_or_none(const NsysTable& row, int column);
    /// The thread in `column`; of the file's process where there is none.
    [[nodiscard]] std::int64_t thread(const NsysTable& row, int column) const;
    /// The new number of a domain; one whose creation was not recorded is called by its number.
    [[nodiscard]] std::int32_t domain(std::int64_t pid, std::int32_t number);
    /// For rows that name no process.
    [[nodiscard]] std::int64_t only_pid() const { return only_pid_; }

private:
    void read_strings();
    void read_processes();
    void read_thread_names();
    void read_gpus();
    void read_nvtx_names();
    void name_thread(std::int64_t thread, std::string_view text);
    [[nodiscard]] const std::string& text_of(const NsysTable& row, std::int64_t id) const;
    [[nodiscard]] std::string nvtx_text(const NsysTable& row, int text, int text_id) const;

    const trace::Database& database_;
    trace::Writer& writer_;
    std::unordered_map<std::int64_t, std::string> strings_;  // by the file's id
    std::unordered_map<std::int64_t, trace::StringId> ids_;  // those used so far
    std::map<std::pair<std::int64_t, std::int32_t>, std::int32_t> domains_;
    std::int64_t only_pid_ = 0;
};

}  // namespace hc::formats
