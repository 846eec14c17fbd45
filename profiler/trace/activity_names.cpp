#include "profiler/trace/activity_names.h"

#include <limits>

#include "engine/core/error.h"

namespace hc::trace {
namespace {

/// FNV-1a over 64-bit words.
class WordHash {
public:
    void add(std::int64_t word) {
        hash_ = (hash_ ^ static_cast<std::uint64_t>(word)) * 0x100000001b3ULL;
        hash_ ^= hash_ >> 29;
    }
    [[nodiscard]] std::size_t value() const { return static_cast<std::size_t>(hash_); }

private:
    std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace

std::size_t ActivityNames::LaunchHash::operator()(const Launch& l) const {
    WordHash hash;
    for (const std::int64_t word :
         {std::int64_t{l.name}, std::int64_t{l.grid[0]}, std::int64_t{l.grid[1]},
          std::int64_t{l.grid[2]}, std::int64_t{l.block[0]}, std::int64_t{l.block[1]},
          std::int64_t{l.block[2]}, std::int64_t{l.dynamic_shared_bytes},
          std::int64_t{l.registers_per_thread}, l.local_bytes_total}) {
        hash.add(word);
    }
    return hash.value();
}

StringId ActivityNames::string_locked(std::string_view text) {
    if (const auto found = strings_.find(text); found != strings_.end()) return found->second;
    HC_CHECK(strings_.size() < static_cast<std::size_t>(std::numeric_limits<StringId>::max()));
    const auto id = static_cast<StringId>(strings_.size() + 1);
    StringEntry entry{id, std::string(text)};
    sink_.put(entry);
    strings_.emplace(std::move(entry.text), id);
    return id;
}

StringId ActivityNames::string_id(std::string_view text) {
    const std::lock_guard lock(mutex_);
    return string_locked(text);
}

LaunchId ActivityNames::launch_id(const Launch& launch) {
    const std::lock_guard lock(mutex_);
    if (const auto found = launches_.find(launch); found != launches_.end()) return found->second;
    HC_CHECK(launches_.size() < static_cast<std::size_t>(std::numeric_limits<LaunchId>::max()));
    const auto id = static_cast<LaunchId>(launches_.size() + 1);
    sink_.put(LaunchEntry{id, launch});
    launches_.emplace(launch, id);
    return id;
}

StreamKey ActivityNames::stream_key(const Stream& stream) {
    const std::lock_guard lock(mutex_);
    const StreamIdentity identity{stream.pid, stream.device, stream.context, stream.stream_id};
    const auto found = streams_.find(identity);
    const bool known = found != streams_.end();
    Stream merged = stream;
    merged.key = known ? found->second.key : next_stream_;
    if (known) {
        if (merged.name.empty()) merged.name = found->second.name;
        if (merged.role.empty()) merged.role = found->second.role;
        if (merged.name == found->second.name && merged.role == found->second.role) {
            return merged.key;
        }
    }
    if (merged.role.empty()) merged.role = "other";
    (void)string_locked(merged.name);
    sink_.put(merged);
    if (!known) ++next_stream_;
    const StreamKey key = merged.key;
    streams_.insert_or_assign(identity, std::move(merged));
    return key;
}

void ActivityNames::put_stream(const Stream& stream) {
    const std::lock_guard lock(mutex_);
    HC_CHECK(stream.key >= 0 && stream.key < kFirstStreamKey);
    (void)string_locked(stream.name);
    sink_.put(stream);
    streams_.insert_or_assign(
        StreamIdentity{stream.pid, stream.device, stream.context, stream.stream_id}, stream);
}

std::int32_t ActivityNames::nvtx_domain(std::int64_t pid, std::string_view name) {
    if (name.empty()) return 0;
    const std::lock_guard lock(mutex_);
    const std::pair key(pid, string_locked(name));
    if (const auto found = domains_.find(key); found != domains_.end()) return found->second;
    const auto id = static_cast<std::int32_t>(domains_.size() + 1);
    sink_.put(NvtxNameEntry{pid, id, -1, key.second});
    domains_.emplace(key, id);
    return id;
}

void ActivityNames::name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                                       std::string_view name) {
    const std::lock_guard lock(mutex_);
    HC_CHECK(category >= 0);
    const StringId id = string_locked(name);
    const std::tuple key(pid, domain, category);
    if (const auto found = categories_.find(key);
        found != categories_.end() && found->second == id) {
        return;
    }
    sink_.put(NvtxNameEntry{pid, domain, category, id});
    categories_.insert_or_assign(key, id);
}

}  // namespace hc::trace
