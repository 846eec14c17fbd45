#include "profiler/cupti/loaded_cupti.h"

#include <cupti.h>
#include <dlfcn.h>
#include <link.h>

#include <array>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <thread>
#include <vector>

#include "engine/core/error.h"

namespace hc::cupti {
namespace {

constexpr std::uint32_t kBuiltMajor = CUPTI_API_VERSION / 10000;

/// Buffer callbacks of CUPTI carry no user data, and a thread may be inside one while we detach:
/// hence a client and a count of calls under way that belong to the process. CUPTI itself has one
/// subscriber per process.
struct Calls {
    std::atomic<CuptiClient*> client{nullptr};
    std::atomic<int> under_way{0};
};
Calls calls;

/// The library of the session, for NVTX of this program; see InitializeInjectionNvtx2_fnptr.
std::atomic<CuptiApi*> nvtx_library{nullptr};

class ClientCall {
public:
    ClientCall() {
        calls.under_way.fetch_add(1);
        client_ = calls.client.load();
    }
    ~ClientCall() { calls.under_way.fetch_sub(1); }
    ClientCall(const ClientCall&) = delete;  // counts once
    ClientCall& operator=(const ClientCall&) = delete;
    [[nodiscard]] CuptiClient* operator->() const { return client_; }
    [[nodiscard]] explicit operator bool() const { return client_ != nullptr; }

private:
    CuptiClient* client_ = nullptr;
};

void CUPTIAPI on_request(std::uint8_t** buffer, std::size_t* size, std::size_t* max_records) {
    *buffer = nullptr;
    *size = 0;
    *max_records = 0;  // as many as fit
    if (const ClientCall client; client) *buffer = client->request_buffer(size);
}

void CUPTIAPI on_complete(CUcontext, std::uint32_t, std::uint8_t* buffer, std::size_t,
                          std::size_t valid) {
    if (const ClientCall client; client && buffer != nullptr)
        client->complete_buffer(buffer, valid);
}

void CUPTIAPI on_any_callback(void*, CUpti_CallbackDomain domain, CUpti_CallbackId cbid,
                              const void* data) {
    if (const ClientCall client; client) client->on_callback(domain, cbid, data);
}

/// The functions that have to be there; one that is missing makes the library unusable.
struct Functions {
    decltype(&::cuptiGetVersion) get_version;
    decltype(&::cuptiGetResultString) get_result_string;
    decltype(&::cuptiSubscribe_v2) subscribe;
    decltype(&::cuptiUnsubscribe) unsubscribe;
    decltype(&::cuptiActivityRegisterCallbacks) register_callbacks;
    decltype(&::cuptiSetThreadIdType) set_thread_id_type;
    decltype(&::cuptiActivitySetAttribute) set_attribute;
    decltype(&::cuptiActivityEnable) enable;
    decltype(&::cuptiActivityEnableAndDump) enable_and_dump;
    decltype(&::cuptiActivityDisable) disable;
    decltype(&::cuptiActivityEnableRuntimeApi) enable_runtime_api;
    decltype(&::cuptiActivityEnableDriverApi) enable_driver_api;
    decltype(&::cuptiEnableCallback) enable_callback;
    decltype(&::cuptiGetCallbackName) get_callback_name;
    decltype(&::cuptiActivityFlushAll) flush_all;
    decltype(&::cuptiActivityGetNextRecord) next_record;
    decltype(&::cuptiActivityGetNumDroppedRecords) dropped_records;
    decltype(&::cuptiGetTimestamp) get_timestamp;
    decltype(&::cuptiGetGraphNodeId) get_graph_node_id;
    decltype(&::cuptiActivityPushExternalCorrelationId) push_external;
    decltype(&::cuptiActivityPopExternalCorrelationId) pop_external;
    int (*nvtx_initialize)(void*);  // exported, declared in no header
};

template <typename Function>
void bind(void* library, const char* name, Function& function) {
    void* symbol = ::dlsym(library, name);
    if (symbol == nullptr) {
        throw Error(ExitCode::kUnavailable, std::string("has no ") + name);
    }
    function = reinterpret_cast<Function>(symbol);
}

Functions bind_all(void* library) {
    Functions f{};
    bind(library, "cuptiGetVersion", f.get_version);
    bind(library, "cuptiGetResultString", f.get_result_string);
    bind(library, "cuptiSubscribe_v2", f.subscribe);
    bind(library, "cuptiUnsubscribe", f.unsubscribe);
    bind(library, "cuptiActivityRegisterCallbacks", f.register_callbacks);
    bind(library, "cuptiSetThreadIdType", f.set_thread_id_type);
    bind(library, "cuptiActivitySetAttribute", f.set_attribute);
    bind(library, "cuptiActivityEnable", f.enable);
    bind(library, "cuptiActivityEnableAndDump", f.enable_and_dump);
    bind(library, "cuptiActivityDisable", f.disable);
    bind(library, "cuptiActivityEnableRuntimeApi", f.enable_runtime_api);
    bind(library, "cuptiActivityEnableDriverApi", f.enable_driver_api);
    bind(library, "cuptiEnableCallback", f.enable_callback);
    bind(library, "cuptiGetCallbackName", f.get_callback_name);
    bind(library, "cuptiActivityFlushAll", f.flush_all);
    bind(library, "cuptiActivityGetNextRecord", f.next_record);
    bind(library, "cuptiActivityGetNumDroppedRecords", f.dropped_records);
    bind(library, "cuptiGetTimestamp", f.get_timestamp);
    bind(library, "cuptiGetGraphNodeId", f.get_graph_node_id);
    bind(library, "cuptiActivityPushExternalCorrelationId", f.push_external);
    bind(library, "cuptiActivityPopExternalCorrelationId", f.pop_external);
    bind(library, "cuptiNvtxInitialize2", f.nvtx_initialize);
    return f;
}

class LoadedCupti final : public CuptiApi {
public:
    /// Takes over `library`. It is never closed: CUPTI keeps threads and hooks in the driver.
    LoadedCupti(void* library, std::string path) : path_(std::move(path)), f_(bind_all(library)) {
        std::uint32_t found = 0;
        if (f_.get_version(&found) != CUPTI_SUCCESS || found / 10000 != kBuiltMajor) {
            throw Error(ExitCode::kUnavailable, "has version " + std::to_string(found) +
                                                    ", expected " + std::to_string(kBuiltMajor) +
                                                    "xxxx");
        }
    }
    ~LoadedCupti() override {
        CuptiApi* self = this;
        nvtx_library.compare_exchange_strong(self, nullptr);
    }

    int version(std::uint32_t& version) override { return f_.get_version(&version); }
    std::string path() const override { return path_; }
    std::string error_text(int result) override {
        const char* text = nullptr;
        f_.get_result_string(static_cast<CUptiResult>(result), &text);
        return text != nullptr ? text : "CUPTI error " + std::to_string(result);
    }

    int subscribe(CuptiClient& client, std::string& holder) override {
        std::array<char, 128> old{};
        CUpti_SubscriberParams params{};
        params.structSize = CUpti_SubscriberParams_STRUCT_SIZE;
        params.subscriberName = "hcprof";
        params.oldSubscriberName = old.data();
        params.oldSubscriberSize = old.size() - 1;
        calls.client = &client;
        const int result = f_.subscribe(&subscriber_, on_any_callback, nullptr, &params);
        if (result != CUPTI_SUCCESS) {
            calls.client = nullptr;
            holder = old.data();
        } else {
            nvtx_library = this;
        }
        return result;
    }
    int register_buffer_callbacks() override {
        return f_.register_callbacks(on_request, on_complete);
    }
    int unsubscribe() override {
        CuptiApi* self = this;
        nvtx_library.compare_exchange_strong(self, nullptr);
        return f_.unsubscribe(subscriber_);
    }
    void detach() override {
        calls.client = nullptr;
        while (calls.under_way.load() > 0) std::this_thread::yield();
    }

    int use_system_thread_ids() override {
        return f_.set_thread_id_type(CUPTI_ACTIVITY_THREAD_ID_TYPE_SYSTEM);
    }
    int set_attribute(int attribute, std::size_t size, void* value) override {
        return f_.set_attribute(static_cast<CUpti_ActivityAttribute>(attribute), &size, value);
    }
    int enable_activity(int kind) override {
        return f_.enable(static_cast<CUpti_ActivityKind>(kind));
    }
    int enable_activity_and_dump(int kind) override {
        return f_.enable_and_dump(static_cast<CUpti_ActivityKind>(kind));
    }
    int disable_activity(int kind) override {
        return f_.disable(static_cast<CUpti_ActivityKind>(kind));
    }
    int enable_runtime_api(std::uint32_t cbid, bool enable) override {
        return f_.enable_runtime_api(cbid, enable ? 1 : 0);
    }
    int enable_driver_api(std::uint32_t cbid, bool enable) override {
        return f_.enable_driver_api(cbid, enable ? 1 : 0);
    }
    int enable_callback(bool enable, int domain, std::uint32_t cbid) override {
        return f_.enable_callback(enable ? 1 : 0, subscriber_,
                                  static_cast<CUpti_CallbackDomain>(domain), cbid);
    }
    const char* callback_name(int domain, std::uint32_t cbid) override {
        const char* name = nullptr;
        const int result =
            f_.get_callback_name(static_cast<CUpti_CallbackDomain>(domain), cbid, &name);
        return result == CUPTI_SUCCESS ? name : nullptr;
    }

    int flush(bool forced) override {
        return f_.flush_all(forced ? CUPTI_ACTIVITY_FLAG_FLUSH_FORCED : 0);
    }
    int next_record(std::uint8_t* buffer, std::size_t valid_bytes, void** record) override {
        return f_.next_record(buffer, valid_bytes, reinterpret_cast<CUpti_Activity**>(record));
    }
    int dropped_records(std::size_t& dropped) override {
        return f_.dropped_records(nullptr, 0, &dropped);
    }
    int timestamp(std::uint64_t& time_ns) override { return f_.get_timestamp(&time_ns); }

    int graph_node_id(void* node, std::uint64_t& id) override {
        return f_.get_graph_node_id(static_cast<CUgraphNode>(node), &id);
    }
    int push_external_id(int kind, std::uint64_t id) override {
        return f_.push_external(static_cast<CUpti_ExternalCorrelationKind>(kind), id);
    }
    int pop_external_id(int kind, std::uint64_t& id) override {
        return f_.pop_external(static_cast<CUpti_ExternalCorrelationKind>(kind), &id);
    }
    int initialize_nvtx(void* get_export_table) override {
        return f_.nvtx_initialize(get_export_table);
    }

private:
    std::string path_;
    Functions f_;
    CUpti_SubscriberHandle subscriber_ = nullptr;
};

std::string soname() {
    return "libcupti.so." + std::to_string(kBuiltMajor);
}

/// Files of this process whose name begins with `name`.
std::vector<std::string> loaded_files(std::string_view name) {
    struct Search {
        std::string_view name;
        std::vector<std::string> found;
    } search{name, {}};
    ::dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
            auto& wanted = *static_cast<Search*>(data);
            const std::string_view file = info->dlpi_name != nullptr ? info->dlpi_name : "";
            const std::string_view base = file.substr(file.rfind('/') + 1);
            if (base.starts_with(wanted.name)) wanted.found.emplace_back(file);
            return 0;
        },
        &search);
    return search.found;
}

/// Where libcupti usually lies, best first.
std::vector<std::string> candidates() {
    namespace fs = std::filesystem;
    const std::string name = soname();
    std::vector<std::string> files = loaded_files(name);
    files.push_back(name);
    for (const std::string& runtime : loaded_files("libcudart.so")) {
        const fs::path folder = fs::path(runtime).parent_path();
        files.push_back((folder / name).string());
        files.push_back((folder / ".." / ".." / "cuda_cupti" / "lib" / name).string());
    }
    for (const char* root :
         {"/usr/local/cuda", "/usr/local/cuda-13", "/usr/local/cuda-13.0", "/opt/cuda"}) {
        files.push_back(std::string(root) + "/extras/CUPTI/lib64/" + name);
        files.push_back(std::string(root) + "/lib64/" + name);
    }
    return files;
}

/// nullptr, and why, appended to `tried`.
std::unique_ptr<CuptiApi> try_load(const std::string& file, std::string& tried) {
    const auto note = [&](std::string_view why) {
        if (!tried.empty()) tried += "; ";
        tried += file;
        tried += ' ';
        tried += why;
    };
    void* library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        std::error_code error;
        // That a folder has none is no news, unless it was asked for or is the loader's answer.
        const bool absent =
            file.find('/') != std::string::npos && !std::filesystem::exists(file, error);
        note(absent ? "does not exist" : "cannot be loaded");
        return nullptr;
    }
    std::string path = file;
    link_map* map = nullptr;
    if (::dlinfo(library, RTLD_DI_LINKMAP, &map) == 0 && map != nullptr) path = map->l_name;
    try {
        return std::make_unique<LoadedCupti>(library, path);
    } catch (const Error& error) {
        note(error.what());
        return nullptr;
    }
}

}  // namespace

std::unique_ptr<CuptiApi> load_cupti(const std::string& file) {
    std::string tried;
    const std::vector<std::string> files =
        file.empty() ? candidates() : std::vector<std::string>{file};
    for (const std::string& candidate : files) {
        if (auto api = try_load(candidate, tried)) return api;
    }
    throw_unavailable("found no usable " + soname() + ": " + tried);
}

void forget_client_after_fork() noexcept {
    calls.client = nullptr;
    calls.under_way = 0;
}

int attach_program_nvtx(void* get_export_table) noexcept {
    CuptiApi* library = nvtx_library;
    return library != nullptr && library->initialize_nvtx(get_export_table) == 0 ? 1 : 0;
}

}  // namespace hc::cupti

/// NVTX's static injection: the program that this is linked into calls it at its first NVTX call,
/// unless NVTX_INJECTION64_PATH names a library. A session has to have started before that call;
/// otherwise NVTX switches itself off for good.
extern "C" {
extern int (*InitializeInjectionNvtx2_fnptr)(void* get_export_table);
int (*InitializeInjectionNvtx2_fnptr)(void*) = hc::cupti::attach_program_nvtx;
}
