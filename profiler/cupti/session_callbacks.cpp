// What CUPTI calls: on the application's threads and on its own worker.
#include <cupti.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "profiler/cupti/session.h"

namespace hc::cupti {
namespace {

std::int64_t thread_id() {
    static thread_local const std::int64_t id = ::syscall(SYS_gettid);
    return id;
}

}  // namespace

std::uint8_t* Session::request_buffer(std::size_t* size) noexcept {
    if (abandoned_) return nullptr;
    *size = pool_.buffer_bytes();
    return reinterpret_cast<std::uint8_t*>(pool_.request());
}

void Session::complete_buffer(std::uint8_t* buffer, std::size_t valid_bytes) noexcept {
    if (!abandoned_) pool_.complete(reinterpret_cast<std::byte*>(buffer), valid_bytes);
}

void Session::on_callback(int domain, std::uint32_t cbid, const void* data) noexcept {
    if (abandoned_ || data == nullptr) return;
    try {
        switch (domain) {
            case CUPTI_CB_DOMAIN_NVTX:
                switch (nvtx_.on_call(cbid, data, thread_id())) {
                    case NvtxWatch::Event::kFirstOpened:
                        return set_collecting(true);
                    case NvtxWatch::Event::kLastClosed:
                        return set_collecting(false);
                    case NvtxWatch::Event::kNothing:
                        return;
                }
                return;
            case CUPTI_CB_DOMAIN_RESOURCE:
                return on_graph_node(cbid, data);
            case CUPTI_CB_DOMAIN_STATE:
                return on_state(cbid, data);
            default:
                return;
        }
    } catch (const std::exception& error) {
        fail(error.what());  // out of memory: the program goes on
    }
}

void Session::on_graph_node(std::uint32_t cbid, const void* data) {
    const auto& resource = *static_cast<const CUpti_ResourceData*>(data);
    const auto* graph = static_cast<const CUpti_GraphData*>(resource.resourceDescriptor);
    if (graph == nullptr) return;
    if (cbid == CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED) {
        std::uint64_t time = 0;
        if (api_.timestamp(time) == CUPTI_SUCCESS) {
            audit_.captured(thread_id(), static_cast<std::int64_t>(time));
        }
    }
    if (!options_.collect.graph_nodes) return;
    std::uint64_t id = 0;
    if (api_.graph_node_id(graph->node, id) != CUPTI_SUCCESS) return;
    if (cbid == CUPTI_CBID_RESOURCE_GRAPHNODE_CREATED) {
        graph_nodes_.created(id);
        return;
    }
    std::uint64_t original = 0;
    if (cbid == CUPTI_CBID_RESOURCE_GRAPHNODE_CLONED &&
        api_.graph_node_id(graph->originalNode, original) == CUPTI_SUCCESS) {
        graph_nodes_.cloned(id, original);
    }
}

void Session::on_state(std::uint32_t cbid, const void* data) {
    const auto& state = *static_cast<const CUpti_StateData*>(data);
    const std::string text =
        state.notification.message != nullptr ? state.notification.message : "no message";
    if (cbid == CUPTI_CBID_STATE_FATAL_ERROR) {
        cupti_dead_ = true;
        fail("CUPTI gave up: " + text);
    }
}

void Session::fail(const std::string& reason) {
    const std::lock_guard lock(state_mutex_);
    if (failure_.empty()) failure_ = reason;
}

}  // namespace hc::cupti
