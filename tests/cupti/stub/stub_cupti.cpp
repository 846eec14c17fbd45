// A double of libcupti.so for tests of the injection library: it has its functions and writes
// records that the test asks for (stub_launch). It knows no GPU and measures nothing.
//
// STUB_CUPTI_HOLDER: cuptiSubscribe_v2 fails because this tool is there already.
// STUB_CUPTI_FAIL: name of a function that fails with CUPTI_ERROR_INSUFFICIENT_PRIVILEGES.
#include <cupti.h>
#include <nvtx3/nvToolsExt.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/cupti/fake_records.h"

namespace {

struct State {
    hc::test::RecordFiller filler;
    CUpti_BuffersCallbackRequestFunc request = nullptr;
    CUpti_BuffersCallbackCompleteFunc complete = nullptr;
    CUpti_CallbackFunc callback = nullptr;
    std::atomic<bool> enabled[CUPTI_ACTIVITY_KIND_COUNT]{};
    std::atomic<bool> api_enabled[CUPTI_RUNTIME_TRACE_CBID_SIZE]{};
    std::atomic<bool> nvtx_enabled[CUPTI_CBID_NVTX_SIZE]{};
    std::atomic<std::uint32_t> correlation{0};
    std::atomic<std::uint32_t> marker{0};
    std::mutex names_mutex;
    std::set<std::string> names;  // as CUPTI, which keeps what a record points to

    const char* keep(const char* name) {
        const std::lock_guard lock(names_mutex);
        return names.insert(name).first->c_str();
    }
};

State& state() {
    static State* const only = new State;
    return *only;
}

/// As the library itself: what it needs is gone once its own end at exit has come.
struct End {
    std::atomic<bool> has_come{false};
    ~End() { has_come = true; }
} at_exit;

thread_local std::vector<std::uint32_t> pushed;

std::uint64_t now() {
    timespec time{};
    ::clock_gettime(CLOCK_REALTIME, &time);
    return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(time.tv_nsec);
}

std::uint32_t tid() {
    return static_cast<std::uint32_t>(::syscall(SYS_gettid));
}
std::uint32_t pid() {
    return static_cast<std::uint32_t>(::getpid());
}

CUptiResult result_of(const char* function) {
    const char* failing = std::getenv("STUB_CUPTI_FAIL");
    return failing != nullptr && std::strcmp(failing, function) == 0
               ? CUPTI_ERROR_INSUFFICIENT_PRIVILEGES
               : CUPTI_SUCCESS;
}

void nvtx_callback(std::uint32_t cbid, const void* params, const void* result) {
    if (!state().nvtx_enabled[cbid] || state().callback == nullptr) return;
    CUpti_NvtxData data{};
    data.functionName = "nvtx";
    data.functionParams = params;
    data.functionReturnValue = result;
    state().callback(nullptr, CUPTI_CB_DOMAIN_NVTX, cbid, &data);
}

int NVTX_API push(const char* message) {
    const std::uint32_t id = ++state().marker;
    pushed.push_back(id);
    if (state().enabled[CUPTI_ACTIVITY_KIND_MARKER]) {
        state().filler.put(hc::test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_START, id, now(),
                                                   pid(), tid(), state().keep(message)));
    }
    const struct { const char* message; } params{message};
    nvtx_callback(CUPTI_CBID_NVTX_nvtxRangePushA, &params, nullptr);
    return static_cast<int>(pushed.size()) - 1;
}

int NVTX_API pop() {
    if (pushed.empty()) return -2;
    if (state().enabled[CUPTI_ACTIVITY_KIND_MARKER]) {
        state().filler.put(hc::test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_END, pushed.back(),
                                                   now(), pid(), tid(), nullptr));
    }
    pushed.pop_back();
    nvtx_callback(CUPTI_CBID_NVTX_nvtxRangePop, nullptr, nullptr);
    return static_cast<int>(pushed.size());
}

}  // namespace

extern "C" {

CUptiResult cuptiGetVersion(std::uint32_t* version) {
    const char* other = std::getenv("STUB_CUPTI_VERSION");
    *version = other != nullptr ? static_cast<std::uint32_t>(std::atoi(other)) : CUPTI_API_VERSION;
    return CUPTI_SUCCESS;
}
CUptiResult cuptiGetResultString(CUptiResult result, const char** text) {
    *text = result == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES ? "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"
                                                          : "CUPTI_ERROR_SOME";
    return CUPTI_SUCCESS;
}
CUptiResult cuptiSubscribe_v2(CUpti_SubscriberHandle*, CUpti_CallbackFunc callback, void*,
                              CUpti_SubscriberParams* params) {
    if (const char* holder = std::getenv("STUB_CUPTI_HOLDER")) {
        std::strncpy(params->oldSubscriberName, holder, params->oldSubscriberSize - 1);
        return CUPTI_ERROR_MULTIPLE_SUBSCRIBERS_NOT_SUPPORTED;
    }
    state().callback = callback;
    return result_of("cuptiSubscribe_v2");
}
CUptiResult cuptiUnsubscribe(CUpti_SubscriberHandle) {
    state().callback = nullptr;
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc request,
                                           CUpti_BuffersCallbackCompleteFunc complete) {
    state().filler.request = [request](std::uint8_t** buffer, std::size_t* size) {
        std::size_t max_records = 0;
        request(buffer, size, &max_records);
    };
    state().filler.complete = [complete](std::uint8_t* buffer, std::size_t size,
                                         std::size_t valid) {
        complete(nullptr, 0, buffer, size, valid);
    };
    return result_of("cuptiActivityRegisterCallbacks");
}
CUptiResult cuptiSetThreadIdType(CUpti_ActivityThreadIdType) {
    return result_of("cuptiSetThreadIdType");
}
CUptiResult cuptiActivitySetAttribute(CUpti_ActivityAttribute, std::size_t*, void*) {
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityEnable(CUpti_ActivityKind kind) {
    if (kind == CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL) {
        if (const CUptiResult failed = result_of("cuptiActivityEnable")) return failed;
    }
    state().enabled[kind] = true;
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityEnableAndDump(CUpti_ActivityKind kind) {
    return cuptiActivityEnable(kind);
}
CUptiResult cuptiActivityDisable(CUpti_ActivityKind kind) {
    state().enabled[kind] = false;
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityEnableRuntimeApi(CUpti_CallbackId cbid, std::uint8_t enable) {
    state().api_enabled[cbid] = enable != 0;
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityEnableDriverApi(CUpti_CallbackId, std::uint8_t) {
    return CUPTI_SUCCESS;
}
CUptiResult cuptiEnableCallback(std::uint32_t enable, CUpti_SubscriberHandle,
                                CUpti_CallbackDomain domain, CUpti_CallbackId cbid) {
    if (domain == CUPTI_CB_DOMAIN_NVTX) state().nvtx_enabled[cbid] = enable != 0;
    return CUPTI_SUCCESS;
}
CUptiResult cuptiGetCallbackName(CUpti_CallbackDomain domain, std::uint32_t cbid,
                                 const char** name) {
    if (domain != CUPTI_CB_DOMAIN_RUNTIME_API) return CUPTI_ERROR_INVALID_PARAMETER;
    switch (cbid) {
        case CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_v7000:
            *name = "cudaLaunchKernel_v7000";
            break;
        case CUPTI_RUNTIME_TRACE_CBID_cudaGetDevice_v3020:
            *name = "cudaGetDevice_v3020";
            break;
        default:
            return CUPTI_ERROR_INVALID_PARAMETER;
    }
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityFlushAll(std::uint32_t) {
    if (at_exit.has_come) std::abort();
    state().filler.flush();
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityGetNextRecord(std::uint8_t* buffer, std::size_t valid,
                                       CUpti_Activity** record) {
    void* next = *record;
    const CUptiResult result = hc::test::next_record(buffer, valid, &next);
    *record = static_cast<CUpti_Activity*>(next);
    return result;
}
CUptiResult cuptiActivityGetNumDroppedRecords(CUcontext, std::uint32_t, std::size_t* dropped) {
    *dropped = state().filler.take_dropped();
    return CUPTI_SUCCESS;
}
CUptiResult cuptiGetTimestamp(std::uint64_t* time) {
    *time = now();
    return CUPTI_SUCCESS;
}
CUptiResult cuptiGetGraphNodeId(CUgraphNode, std::uint64_t* id) {
    *id = 0;
    return CUPTI_ERROR_INVALID_PARAMETER;
}
CUptiResult cuptiActivityPushExternalCorrelationId(CUpti_ExternalCorrelationKind, std::uint64_t) {
    return CUPTI_SUCCESS;
}
CUptiResult cuptiActivityPopExternalCorrelationId(CUpti_ExternalCorrelationKind, std::uint64_t*) {
    return CUPTI_SUCCESS;
}
int cuptiNvtxInitialize2(void* get_export_table) {
    // The tables through which NVTX lets a tool replace its functions.
    const auto get = reinterpret_cast<NvtxGetExportTableFunc_t>(get_export_table);
    const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(get(NVTX_ETID_CALLBACKS));
    NvtxFunctionTable table = nullptr;
    unsigned int size = 0;
    if (callbacks == nullptr ||
        callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size) == 0) {
        return 1;
    }
    *table[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
    *table[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
    return 0;
}

/// For the test: `count` calls that launch, each with the kernel's record, and one call each that
/// nobody reads.
__attribute__((visibility("default"))) void stub_launch(int count) {
    for (int i = 0; i < count; ++i) {
        const std::uint32_t id = ++state().correlation;
        const std::uint64_t begin = now();
        if (state().api_enabled[CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_v7000]) {
            state().filler.put(hc::test::api_record(CUPTI_RUNTIME_TRACE_CBID_cudaLaunchKernel_v7000,
                                                    id, begin, begin + 1000, pid(), tid()));
        }
        if (state().api_enabled[CUPTI_RUNTIME_TRACE_CBID_cudaGetDevice_v3020]) {
            state().filler.put(hc::test::api_record(CUPTI_RUNTIME_TRACE_CBID_cudaGetDevice_v3020,
                                                    ++state().correlation, begin, begin + 10, pid(),
                                                    tid()));
        }
        if (state().enabled[CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL]) {
            state().filler.put(
                hc::test::kernel_record("_Z4stubIfEvPT_i", id, begin + 2000, begin + 3000));
        }
    }
}

}  // extern "C"
