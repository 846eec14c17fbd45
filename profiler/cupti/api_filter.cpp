#include "profiler/cupti/api_filter.h"

#include <cupti.h>

#include <algorithm>
#include <array>

namespace hc::cupti {
namespace {

// Beginnings of names; the versions and suffixes that follow do not matter.
constexpr std::array<std::string_view, 34> kUseful{
    "Launch",          "GraphLaunch",        "GraphInstantiate",  "GraphUpload",
    "GraphExecUpdate", "Memcpy",             "Memset",            "MemPrefetch",
    "MemAlloc",        "MemFree",            "MemCreate",         "MemRelease",
    "MemMap",          "MemUnmap",           "MemHostAlloc",      "MemHostRegister",
    "MemHostUnregister", "Malloc",           "Free",              "HostAlloc",
    "HostRegister",    "HostUnregister",     "StreamSynchronize", "CtxSynchronize",
    "DeviceSynchronize", "ThreadSynchronize", "EventSynchronize", "StreamWaitEvent",
    "StreamBeginCapture", "StreamEndCapture", "StreamCreate",     "StreamDestroy",
    "ModuleLoad",      "LibraryLoad"};

constexpr std::array<std::string_view, 4> kLaunches{"LaunchKernel", "LaunchCooperativeKernel",
                                                    "LaunchGrid", "LaunchDeviceKernel"};

/// Without "cuda" or "cu"; empty for other names.
std::string_view bare(std::string_view name) {
    for (const std::string_view prefix : {std::string_view("cuda"), std::string_view("cu")}) {
        if (name.starts_with(prefix)) return name.substr(prefix.size());
    }
    return {};
}

template <std::size_t Count>
bool begins_with_any(std::string_view name, const std::array<std::string_view, Count>& beginnings) {
    return std::any_of(beginnings.begin(), beginnings.end(),
                       [&](std::string_view beginning) { return name.starts_with(beginning); });
}

int set_useful(CuptiApi& api, int domain, std::uint32_t count, bool enable) {
    for (std::uint32_t cbid = 1; cbid < count; ++cbid) {
        const char* name = api.callback_name(domain, cbid);
        if (name == nullptr || !is_useful_call(name)) continue;
        const int result = domain == CUPTI_CB_DOMAIN_RUNTIME_API
                               ? api.enable_runtime_api(cbid, enable)
                               : api.enable_driver_api(cbid, enable);
        if (result != CUPTI_SUCCESS) return result;
    }
    return CUPTI_SUCCESS;
}

}  // namespace

bool is_useful_call(std::string_view name) {
    return begins_with_any(bare(name), kUseful);
}

bool launches_kernel(std::string_view name) {
    const std::string_view call = bare(name);
    return begins_with_any(call, kLaunches) &&
           call.find("MultiDevice") == std::string_view::npos;
}

int set_api_records(CuptiApi& api, activity::ApiLevel level, bool enable) {
    switch (level) {
        case activity::ApiLevel::kNone: return CUPTI_SUCCESS;
        case activity::ApiLevel::kAll:
            for (const int kind : {CUPTI_ACTIVITY_KIND_RUNTIME, CUPTI_ACTIVITY_KIND_DRIVER}) {
                const int result =
                    enable ? api.enable_activity(kind) : api.disable_activity(kind);
                if (result != CUPTI_SUCCESS) return result;
            }
            return CUPTI_SUCCESS;
        case activity::ApiLevel::kUseful: break;
    }
    const int result = set_useful(api, CUPTI_CB_DOMAIN_RUNTIME_API,
                                  CUPTI_RUNTIME_TRACE_CBID_SIZE, enable);
    if (result != CUPTI_SUCCESS) return result;
    return set_useful(api, CUPTI_CB_DOMAIN_DRIVER_API, CUPTI_DRIVER_TRACE_CBID_SIZE, enable);
}

}  // namespace hc::cupti
