#include "engine/cuda/stream.h"

#include "engine/cuda/device_memory.h"

namespace hc::cuda {

Stream::Stream(Priority priority) {
    int lowest = 0;
    int highest = 0;
    check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "stream priorities");
    const int level = priority == Priority::kHigh  ? highest
                      : priority == Priority::kLow ? lowest
                                                   : (highest + lowest) / 2;
    check(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, level), "stream");
}

Stream::~Stream() {
    if (stream_ == nullptr) return;
    static_cast<void>(cudaStreamSynchronize(stream_));
    static_cast<void>(cudaStreamDestroy(stream_));
}

Event::Event(bool timed) {
    check(cudaEventCreateWithFlags(&event_, timed ? cudaEventDefault : cudaEventDisableTiming),
          "event");
}

Event::~Event() {
    if (event_ != nullptr) static_cast<void>(cudaEventDestroy(event_));
}

void Event::record(cudaStream_t stream) {
    check(cudaEventRecord(event_, stream), "recording an event");
}

bool Event::done() const {
    const cudaError_t status = cudaEventQuery(event_);
    if (status == cudaErrorNotReady) return false;
    check(status, "asking for an event");
    return true;
}

void Event::wait() const {
    check(cudaEventSynchronize(event_), "waiting for an event");
}

long long elapsed_ns(const Event& from, const Event& to) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, from.get(), to.get()), "time between events");
    return static_cast<long long>(static_cast<double>(milliseconds) * 1e6);
}

Graph::Graph(cudaStream_t stream, const std::function<void()>& work) {
    // Thread-local: the fetch worker goes on issuing copies meanwhile.
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing a step");
    cudaGraph_t captured = nullptr;
    try {
        work();
    } catch (...) {
        static_cast<void>(cudaStreamEndCapture(stream, &captured));
        if (captured != nullptr) static_cast<void>(cudaGraphDestroy(captured));
        static_cast<void>(cudaGetLastError());
        throw;
    }
    check(cudaStreamEndCapture(stream, &captured), "capturing a step");
    // Without the flag all of it has the priority of the stream that it is launched into.
    const cudaError_t status =
        cudaGraphInstantiate(&graph_, captured, cudaGraphInstantiateFlagUseNodePriority);
    static_cast<void>(cudaGraphDestroy(captured));
    check(status, "making a graph of a step");
    check(cudaGraphUpload(graph_, stream), "uploading the graph of a step");
}

Graph::~Graph() {
    if (graph_ != nullptr) static_cast<void>(cudaGraphExecDestroy(graph_));
}

void Graph::launch(cudaStream_t stream) const {
    check(cudaGraphLaunch(graph_, stream), "launching a step");
}

}  // namespace hc::cuda
