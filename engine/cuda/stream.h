/// Streams, events and captured graphs with one owner each.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>
#include <utility>

namespace hc::cuda {

enum class Priority { kHigh, kNormal, kLow };

class Stream {
public:
    explicit Stream(Priority priority);
    ~Stream();
    Stream(const Stream&) = delete;  // work is ordered by it: a copy would not mean the same
    Stream& operator=(const Stream&) = delete;
    [[nodiscard]] cudaStream_t get() const { return stream_; }

private:
    cudaStream_t stream_ = nullptr;
};

class Event {
public:
    explicit Event(bool timed = false);
    ~Event();
    Event(Event&& other) noexcept : event_(std::exchange(other.event_, nullptr)) {}
    Event& operator=(Event&& other) noexcept {
        std::swap(event_, other.event_);
        return *this;
    }
    Event(const Event&) = delete;
    Event& operator=(const Event&) = delete;
    void record(cudaStream_t stream);
    [[nodiscard]] bool done() const;
    void wait() const;  ///< blocks the host
    [[nodiscard]] cudaEvent_t get() const { return event_; }

private:
    cudaEvent_t event_ = nullptr;
};

/// Nanoseconds between two timed events that have happened.
[[nodiscard]] long long elapsed_ns(const Event& from, const Event& to);

/// What `work` enqueues on `stream`, ready to be launched again and again.
class Graph {
public:
    /// `work` may fork to other streams if it joins them again.
    Graph(cudaStream_t stream, const std::function<void()>& work);
    ~Graph();
    Graph(Graph&& other) noexcept : graph_(std::exchange(other.graph_, nullptr)) {}
    Graph& operator=(Graph&&) = delete;
    Graph(const Graph&) = delete;
    Graph& operator=(const Graph&) = delete;
    void launch(cudaStream_t stream) const;

private:
    cudaGraphExec_t graph_ = nullptr;
};

}  // namespace hc::cuda
