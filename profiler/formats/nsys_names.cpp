#include "profiler/formats/nsys_names.h"

#include <fmt/format.h>
#include <array>
#include <optional>

#include "profiler/trace/position_codec.h"
#include "profiler/trace/row_fields.h"

namespace hc::formats {

using namespace hc::trace;

namespace {

// NVTX_EVENTS.eventType.
enum EventType : std::int32_t { kCategory = 33, kThreadName = 39, kDomain = 75, kDomainEnd = 76 };

}  // namespace

bool is_name_event(std::int32_t type) {
    return type == kDomain || type == kDomainEnd || type == kCategory || type == kThreadName;
}

std::int64_t nsys_amount(const NsysTable& row, int column, std::int64_t otherwise) {
    const std::int64_t value = row.integer_or(column, otherwise);
    if (value < -1 || value > kMaxAmount) {
        throw BadData(fmt::format("{}: amount {} is out of range", row.here(), value));
    }
    return value;
}

void NsysNames::read() {
    read_strings();
    read_processes();
    read_gpus();
    read_thread_names();
    read_nvtx_names();
}

void NsysNames::read_strings() {
    static constexpr std::array<NsysColumn, 2> columns = {{{"id", true}, {"value", true}}};
    NsysTable table(database_, "StringIds", columns);
    while (table.next()) {
        strings_.emplace(table.integer_or(0, -1), std::string(table.text(1).value_or("")));
    }
}

const std::string& NsysNames::text_of(const NsysTable& row, std::int64_t id) const {
    const auto found = strings_.find(id);
    if (found == strings_.end()) {
        throw BadData(fmt::format("{}: string {} is not in StringIds", row.here(), id));
    }
    return found->second;
}

StringId NsysNames::id_or_none(const NsysTable& row, int column) {
    const std::optional<std::int64_t> id = row.integer(column);
    if (!id) return -1;
    const auto found = ids_.find(*id);
    if (found != ids_.end()) return found->second;
    return ids_[*id] = writer_.string_id(text_of(row, *id));
}

std::int64_t NsysNames::thread(const NsysTable& row, int column) const {
    return nsys_thread(row.integer_or(column, only_pid_ << 24));
}

void NsysNames::read_processes() {
    static constexpr std::array<NsysColumn, 3> columns = {{{"globalPid"}, {"pid"}, {"name"}}};
    NsysTable table(database_, "PROCESSES", columns);
    while (table.next()) {
        const std::optional<std::int64_t> global = table.integer(0);
        const std::int64_t pid = global ? nsys_pid(*global) : table.integer_or(1, 0);
        writer_.add_process(pid, table.text(2).value_or(""));
        only_pid_ = pid;
    }
}

void NsysNames::read_thread_names() {
    static constexpr std::array<NsysColumn, 2> columns = {{{"nameId", true}, {"globalTid"}}};
    NsysTable table(database_, "ThreadNames", columns);
    while (table.next()) {
        const std::optional<std::int64_t> thread = table.integer(1);
        if (thread) name_thread(*thread, text_of(table, table.integer_or(0, -1)));
    }
}

void NsysNames::name_thread(std::int64_t thread, std::string_view text) {
    writer_.stream_key(
        {-1, nsys_pid(thread), -1, -1, thread & 0xffffff, std::string(text), "other"});
}

void NsysNames::read_gpus() {
    static constexpr std::array<NsysColumn, 28> columns = {{{"id", true},
                                                            {"name"},
                                                            {"uuid"},
                                                            {"busLocation"},
                                                            {"computeMajor"},
                                                            {"computeMinor"},
                                                            {"smCount"},
                                                            {"asyncEngines"},
                                                            {"threadsPerWarp"},
                                                            {"maxWarpsPerSm"},
                                                            {"maxBlocksPerSm"},
                                                            {"maxThreadsPerBlock"},
                                                            {"totalMemory"},
                                                            {"l2CacheSize"},
                                                            {"memoryBandwidth"},
                                                            {"clockRate"},
                                                            {"constantMemory"},
                                                            {"maxRegistersPerBlock"},
                                                            {"maxRegistersPerSm"},
                                                            {"maxShmemPerBlock"},
                                                            {"maxShmemPerBlockOptin"},
                                                            {"maxShmemPerSm"},
                                                            {"maxBlockDimX"},
                                                            {"maxBlockDimY"},
                                                            {"maxBlockDimZ"},
                                                            {"maxGridDimX"},
                                                            {"maxGridDimY"},
                                                            {"maxGridDimZ"}}};
    NsysTable table(database_, "TARGET_INFO_GPU", columns);
    while (table.next()) {
        Gpu g;
        g.device = table.int_or(0, 0);
        if (g.device < 0 || g.device > kMaxIndex) {
            throw BadData(fmt::format("{}: id {} is out of range", table.here(), g.device));
        }
        g.name = table.text(1).value_or(""), g.uuid = table.text(2).value_or("");
        g.bus_location = table.text(3).value_or("");
        int at = 4;
        for (std::int32_t* n :
             {&g.compute_major, &g.compute_minor, &g.num_sms, &g.async_engines, &g.threads_per_warp,
              &g.max_warps_per_sm, &g.max_blocks_per_sm, &g.max_threads_per_block}) {
            *n = table.int_or(at++, -1);
        }
        for (std::int64_t* n :
             {&g.memory_bytes, &g.l2_bytes, &g.memory_bandwidth, &g.clock_hz,
              &g.constant_memory_bytes, &g.max_registers_per_block, &g.max_registers_per_sm,
              &g.max_shared_per_block, &g.max_shared_per_block_optin, &g.max_shared_per_sm,
              &g.max_block[0], &g.max_block[1], &g.max_block[2], &g.max_grid[0], &g.max_grid[1],
              &g.max_grid[2]}) {
            *n = nsys_amount(table, at++, -1);
        }
        writer_.add_gpu(g);
    }
}

std::string NsysNames::nvtx_text(const NsysTable& row, int text, int text_id) const {
    if (const auto own = row.text(text)) return std::string(*own);
    const std::optional<std::int64_t> id = row.integer(text_id);
    return id ? text_of(row, *id) : std::string();
}

/// Domains, then categories, then names of threads: events refer to them.
void NsysNames::read_nvtx_names() {
    static constexpr std::array<NsysColumn, 6> columns = {
        {{"eventType", true}, {"globalTid"}, {"domainId"}, {"category"}, {"text"}, {"textId"}}};
    for (const EventType type : {kDomain, kCategory, kThreadName}) {
        NsysTable table(database_, "NVTX_EVENTS", columns,
                        fmt::format("WHERE eventType = {}", static_cast<int>(type)));
        while (table.next()) {
            const std::int64_t pid = nsys_pid(thread(table, 1));
            const std::int32_t number = table.int_or(2, 0);
            const std::string text = nvtx_text(table, 4, 5);
            if (type == kDomain) {
                domains_[{pid, number}] = writer_.nvtx_domain(pid, text);
            } else if (type == kThreadName) {
                name_thread(thread(table, 1), text);
            } else if (table.int_or(3, -1) >= 0) {
                writer_.name_nvtx_category(pid, domain(pid, number), table.int_or(3, -1), text);
            }
        }
    }
}

std::int32_t NsysNames::domain(std::int64_t pid, std::int32_t number) {
    if (number <= 0) return number < 0 ? -1 : 0;
    const auto found = domains_.find({pid, number});
    if (found != domains_.end()) return found->second;
    // Its creation was not recorded; nothing but its number is known.
    return domains_[{pid, number}] = writer_.nvtx_domain(pid, fmt::format("domain {}", number));
}

}  // namespace hc::formats
