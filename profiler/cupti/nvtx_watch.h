/// Listens to NVTX calls through CUPTI's callbacks: for what makes no record (names of
/// categories), and for the range that a capture is limited to.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "profiler/cupti/cupti_api.h"

namespace hc::cupti {

/// Thread-safe: NVTX calls come from every thread.
class NvtxWatch {
public:
    /// `range` is NAME, a range of any domain, or NAME@DOMAIN; empty: none is looked for.
    explicit NvtxWatch(const std::string& range);

    [[nodiscard]] bool looks_for_range() const { return !name_.empty(); }
    /// Switches the callbacks on that are needed. Returns the first failure of CUPTI.
    int enable(CuptiApi& api) const;

    enum class Event : std::uint8_t { kNothing, kFirstOpened, kLastClosed };
    /// A callback of CUPTI's NVTX domain on this thread. Says when the first of the ranges that
    /// are looked for opens, and when the last open one ends.
    Event on_call(std::uint32_t cbid, const void* data, std::int64_t thread);

    struct Category {
        std::string domain;
        std::uint32_t id = 0;
        std::string name;
    };
    /// Names of categories that came since the last call.
    [[nodiscard]] std::vector<Category> take_categories();

private:
    using ThreadDomain = std::pair<std::int64_t, const void*>;  // thread, domain handle

    [[nodiscard]] bool is_wanted(const void* domain, const std::string& name) const;
    void push(std::int64_t thread, const void* domain, const std::string& name);
    void pop(std::int64_t thread, const void* domain);
    void start(const void* domain, const std::string& name, const void* range_id);
    void end(std::uint64_t range_id);
    [[nodiscard]] std::string text_of(const void* attributes) const;
    void name_domain(const void* handle, const std::string& name);

    std::string name_, domain_;
    bool any_domain_ = true;
    std::mutex mutex_;  // guards everything below
    std::map<ThreadDomain, std::vector<bool>> pushed_;  // per open pushed range: is it wanted
    std::set<std::uint64_t> started_;                   // wanted ones, by range id
    std::size_t open_ = 0;
    std::unordered_map<const void*, std::string> domains_;
    std::unordered_map<const void*, std::string> strings_;  // registered ones
    std::vector<Category> categories_;
};

}  // namespace hc::cupti
