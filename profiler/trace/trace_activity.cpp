// What Trace offers of CUDA activity.
#include <algorithm>
#include <limits>
#include <utility>

#include "profiler/trace/activity_reader.h"
#include "profiler/trace/reader.h"
#include "profiler/trace/trace_file.h"

namespace hc::trace {
namespace {

std::int64_t file_bytes(const std::filesystem::path& file) {
    std::int64_t total = 0;
    for (const char* suffix : {"", "-wal"}) {
        std::error_code error;
        const auto bytes = std::filesystem::file_size(file.string() + suffix, error);
        if (!error) total += static_cast<std::int64_t>(bytes);
    }
    return total;
}

/// Rows are nearly in order already; equal times keep the order of the file.
template <typename Columns>
void sort_by(Columns& table, const std::vector<std::int64_t>& keys) {
    if (std::is_sorted(keys.begin(), keys.end())) return;
    std::vector<std::pair<std::int64_t, std::uint32_t>> order;
    HC_CHECK(keys.size() < std::numeric_limits<std::uint32_t>::max());
    order.reserve(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
        order.emplace_back(keys[i], static_cast<std::uint32_t>(i));
    }
    std::sort(order.begin(), order.end());
    table.for_columns([&]<typename Column>(Column& column) {
        Column sorted(column.size());
        for (std::size_t i = 0; i < order.size(); ++i) sorted[i] = column[order[i].second];
        column = std::move(sorted);
    });
}

template <typename Columns>
void sort_rows(Columns& table) {
    sort_by(table, table.start_ns);
}
template <>
void sort_rows(Externals& table) {
    sort_by(table, table.correlation_id);
}

}  // namespace

ActivityCounts Trace::activity_counts() const {
    if (!impl_->has_activity) return {};
    const std::lock_guard lock(impl_->mutex);
    return guarded(impl_->path,
                   [&] { return count_activity(impl_->opened.database, file_bytes(impl_->file)); });
}

const Strings& Trace::strings() const {
    return impl_->activity_texts().strings;
}
const Launches& Trace::launches() const {
    return impl_->activity_texts().launches;
}

std::vector<Gpu> Trace::gpus() const {
    if (!impl_->has_activity) return {};
    const std::lock_guard lock(impl_->mutex);
    return guarded(impl_->path, [&] { return read_gpus(impl_->opened.database); });
}

std::vector<Process> Trace::processes() const {
    if (!impl_->has_activity) return {};
    const std::lock_guard lock(impl_->mutex);
    return guarded(impl_->path, [&] { return read_processes(impl_->opened.database); });
}

std::vector<NvtxName> Trace::nvtx_names() const {
    if (!impl_->has_activity) return {};
    const ActivityTexts& texts = impl_->activity_texts();
    const std::lock_guard lock(impl_->mutex);
    return guarded(impl_->path, [&] { return read_nvtx_names(impl_->opened.database, texts); });
}

template <typename Columns>
void Trace::for_each_block(Progress& progress,
                           const std::function<void(const Columns&)>& each) const {
    if (!impl_->has_activity) return;
    const ActivityTexts& texts = impl_->activity_texts();
    const std::int64_t rows = rows_of<Columns>(activity_counts());
    guarded(impl_->path, [&] {
        const Database database = impl_->open_again();
        read_blocks<Columns>(database, texts, rows, progress, each);
    });
}

template <typename Columns>
Columns Trace::read_activity(Progress& progress) const {
    if (!impl_->has_activity) return {};
    const ActivityTexts& texts = impl_->activity_texts();
    const std::int64_t rows = rows_of<Columns>(activity_counts());
    Columns table = guarded(impl_->path, [&] {
        const Database database = impl_->open_again();
        return read_table<Columns>(database, texts, rows, progress);
    });
    sort_rows(table);
    return table;
}

#define HC_TABLE(Columns)                                             \
    template void Trace::for_each_block<Columns>(                     \
        Progress&, const std::function<void(const Columns&)>&) const; \
    template Columns Trace::read_activity<Columns>(Progress&) const;
HC_TABLE(Kernels)
HC_TABLE(Memcpys)
HC_TABLE(Memsets)
HC_TABLE(Apis)
HC_TABLE(Syncs)
HC_TABLE(NvtxRanges)
HC_TABLE(Overheads)
HC_TABLE(MemoryEvents)
HC_TABLE(Externals)
#undef HC_TABLE

}  // namespace hc::trace
