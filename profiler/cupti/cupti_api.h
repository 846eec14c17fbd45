/// The calls of CUPTI that we make, as a seam: the real library stands behind LoadedCupti, and
/// tests put records of their own there. Kinds, attributes, domains and results are CUPTI's
/// numbers; 0 is success.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace hc::cupti {

/// What CUPTI calls, on threads of the application and on its own. May be called until
/// CuptiApi::detach() returned.
class CuptiClient {
public:
    virtual ~CuptiClient() = default;

    /// A buffer of `*size` bytes; nullptr refuses.
    virtual std::uint8_t* request_buffer(std::size_t* size) noexcept = 0;
    virtual void complete_buffer(std::uint8_t* buffer, std::size_t valid_bytes) noexcept = 0;
    /// `data` is what cupti_callbacks.h says for the domain.
    virtual void on_callback(int domain, std::uint32_t cbid, const void* data) noexcept = 0;
};

class CuptiApi {
public:
    virtual ~CuptiApi() = default;

    /// CUPTI_API_VERSION of the library, 130001 for 13.0 update 1.
    virtual int version(std::uint32_t& version) = 0;
    /// The library's file.
    [[nodiscard]] virtual std::string path() const = 0;
    [[nodiscard]] virtual std::string error_text(int result) = 0;

    /// Makes `client` the process's one subscriber. When another tool is, `holder` is its name.
    virtual int subscribe(CuptiClient& client, std::string& holder) = 0;
    virtual int register_buffer_callbacks() = 0;
    virtual int unsubscribe() = 0;
    /// From here on the client is not called any more; waits for calls under way.
    virtual void detach() = 0;

    virtual int use_system_thread_ids() = 0;
    virtual int set_attribute(int attribute, std::size_t size, void* value) = 0;
    virtual int enable_activity(int kind) = 0;
    /// As enable_activity, and makes records of what exists already.
    virtual int enable_activity_and_dump(int kind) = 0;
    virtual int disable_activity(int kind) = 0;
    virtual int enable_runtime_api(std::uint32_t cbid, bool enable) = 0;
    virtual int enable_driver_api(std::uint32_t cbid, bool enable) = 0;
    virtual int enable_callback(bool enable, int domain, std::uint32_t cbid) = 0;
    /// nullptr where the number names no call.
    [[nodiscard]] virtual const char* callback_name(int domain, std::uint32_t cbid) = 0;

    virtual int flush(bool forced) = 0;
    /// `*record`: the one before, nullptr for the first; becomes the next one.
    virtual int next_record(std::uint8_t* buffer, std::size_t valid_bytes, void** record) = 0;
    /// Since the last call.
    virtual int dropped_records(std::size_t& dropped) = 0;
    virtual int timestamp(std::uint64_t& time_ns) = 0;

    virtual int graph_node_id(void* node, std::uint64_t& id) = 0;
    virtual int push_external_id(int kind, std::uint64_t id) = 0;
    virtual int pop_external_id(int kind, std::uint64_t& id) = 0;
    /// Lets NVTX's calls reach this library; `get_export_table` is what NVTX hands to
    /// InitializeInjectionNvtx2.
    virtual int initialize_nvtx(void* get_export_table) = 0;
};

}  // namespace hc::cupti
