/// A double of CUPTI behind the seam: hands out the records that a test puts in, and fails where a
/// test wants it to. It knows no GPU.
#pragma once

#include <cupti.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "profiler/cupti/cupti_api.h"
#include "tests/cupti/fake_records.h"

namespace hc::test {

class FakeCupti final : public cupti::CuptiApi {
public:
    /// A call of this name fails with this result. Set before the session starts.
    std::string failing;
    int failure = CUPTI_ERROR_UNKNOWN;
    std::string holder;
    std::map<std::pair<int, std::uint32_t>, const char*> names{
        {{CUPTI_CB_DOMAIN_RUNTIME_API, 1}, "cudaLaunchKernel_v7000"},
        {{CUPTI_CB_DOMAIN_RUNTIME_API, 2}, "cudaGetDevice_v3020"},
        {{CUPTI_CB_DOMAIN_RUNTIME_API, 3}, "cudaMemcpyAsync_v3020"},
        {{CUPTI_CB_DOMAIN_DRIVER_API, 1}, "cuLaunchKernel"}};
    std::map<void*, std::uint64_t> node_ids;
    std::atomic<std::uint64_t> time{1'000'000'000};
    std::atomic<std::size_t> extra_dropped{0};
    RecordFiller filler;
    cupti::CuptiClient* client = nullptr;  // while subscribed and not detached

    // What the session did.
    std::set<int> enabled;
    std::set<std::uint32_t> runtime_calls, driver_calls;
    std::set<std::pair<int, std::uint32_t>> callbacks;
    std::vector<std::string> calls;
    std::vector<std::uint64_t> external;
    bool subscribed = false;
    int flushes = 0, forced_flushes = 0;

    [[nodiscard]] bool is_enabled(int kind) {
        const std::lock_guard lock(mutex_);
        return enabled.contains(kind);
    }
    [[nodiscard]] int times_called(const std::string& name) {
        const std::lock_guard lock(mutex_);
        return static_cast<int>(std::count(calls.begin(), calls.end(), name));
    }

    int version(std::uint32_t& version) override {
        version = CUPTI_API_VERSION;
        return CUPTI_SUCCESS;
    }
    std::string path() const override { return "fake"; }
    std::string error_text(int result) override { return "result " + std::to_string(result); }

    int subscribe(cupti::CuptiClient& new_client, std::string& other) override {
        const int result = called("subscribe");
        if (result != CUPTI_SUCCESS) {
            other = holder;
            return result;
        }
        client = &new_client;
        subscribed = true;
        return result;
    }
    int register_buffer_callbacks() override {
        filler.request = [this](std::uint8_t** buffer, std::size_t* size) {
            *buffer = client != nullptr ? client->request_buffer(size) : nullptr;
        };
        filler.complete = [this](std::uint8_t* buffer, std::size_t, std::size_t valid) {
            if (client != nullptr) client->complete_buffer(buffer, valid);
        };
        return called("register_buffer_callbacks");
    }
    int unsubscribe() override {
        subscribed = false;
        return called("unsubscribe");
    }
    void detach() override {
        client = nullptr;
        (void)called("detach");
    }
    int use_system_thread_ids() override { return called("use_system_thread_ids"); }
    int set_attribute(int, std::size_t, void*) override { return called("set_attribute"); }
    int enable_activity(int kind) override {
        const int result = called("enable_activity " + std::to_string(kind));
        const std::lock_guard lock(mutex_);
        if (result == CUPTI_SUCCESS) enabled.insert(kind);
        return result;
    }
    int enable_activity_and_dump(int kind) override { return enable_activity(kind); }
    int disable_activity(int kind) override {
        const std::lock_guard lock(mutex_);
        enabled.erase(kind);
        return CUPTI_SUCCESS;
    }
    int enable_runtime_api(std::uint32_t cbid, bool enable) override {
        const int result = called("enable_runtime_api");
        const std::lock_guard lock(mutex_);
        enable ? (void)runtime_calls.insert(cbid) : (void)runtime_calls.erase(cbid);
        return result;
    }
    int enable_driver_api(std::uint32_t cbid, bool enable) override {
        const int result = called("enable_driver_api");
        const std::lock_guard lock(mutex_);
        enable ? (void)driver_calls.insert(cbid) : (void)driver_calls.erase(cbid);
        return result;
    }
    int enable_callback(bool, int domain, std::uint32_t cbid) override {
        const int result = called("enable_callback " + std::to_string(domain));
        const std::lock_guard lock(mutex_);
        callbacks.insert({domain, cbid});
        return result;
    }
    const char* callback_name(int domain, std::uint32_t cbid) override {
        const auto found = names.find({domain, cbid});
        return found == names.end() ? nullptr : found->second;
    }
    int flush(bool forced) override {
        {
            const std::lock_guard lock(mutex_);
            ++(forced ? forced_flushes : flushes);
        }
        filler.flush();
        return CUPTI_SUCCESS;
    }
    int next_record(std::uint8_t* buffer, std::size_t valid, void** record) override {
        return test::next_record(buffer, valid, record);
    }
    int dropped_records(std::size_t& dropped) override {
        dropped = filler.take_dropped() + extra_dropped.exchange(0);
        return CUPTI_SUCCESS;
    }
    int timestamp(std::uint64_t& now) override {
        now = time += 10;
        return called("timestamp");
    }
    int graph_node_id(void* node, std::uint64_t& id) override {
        const auto found = node_ids.find(node);
        if (found == node_ids.end()) return CUPTI_ERROR_INVALID_PARAMETER;
        id = found->second;
        return CUPTI_SUCCESS;
    }
    int push_external_id(int, std::uint64_t id) override {
        external.push_back(id);
        return called("push_external_id");
    }
    int pop_external_id(int, std::uint64_t& id) override {
        if (external.empty()) return CUPTI_ERROR_QUEUE_EMPTY;
        id = external.back();
        external.pop_back();
        return CUPTI_SUCCESS;
    }
    int initialize_nvtx(void*) override { return called("initialize_nvtx"); }

private:
    int called(const std::string& name) {
        const std::lock_guard lock(mutex_);
        if (!name.starts_with("timestamp")) calls.push_back(name);
        return name == failing ? failure : CUPTI_SUCCESS;
    }

    std::mutex mutex_;
};

}  // namespace hc::test
