/// Where decoded activity goes: a trace, or what a test looks at.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "profiler/trace/activity.h"
#include "profiler/trace/columns.h"

namespace hc::trace {
class Writer;
}

namespace hc::activity {

/// What trace::Writer offers for activity; its header has the contracts. Called by one thread at
/// a time: the decode thread, and the session's owner after the last decode. Anything may throw
/// hc::Error when the trace cannot be written any more.
class ActivitySink {
public:
    virtual ~ActivitySink() = default;

    virtual trace::StringId string_id(std::string_view text) = 0;
    virtual trace::LaunchId launch_id(const trace::Launch& launch) = 0;
    /// Again with the same pid, device, context and stream id: names it, same key.
    virtual trace::StreamKey stream_key(const trace::Stream& stream) = 0;
    virtual std::int32_t nvtx_domain(std::int64_t pid, std::string_view name) = 0;
    virtual void name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                                    std::string_view name) = 0;
    virtual void add_activity(const trace::ActivityBatch& batch) = 0;
    virtual void add_gpu(const trace::Gpu& gpu) = 0;
    virtual void add_value(const trace::Value& value) = 0;
    virtual void add_meta(const std::string& key, const std::string& value) = 0;
};

/// Into a trace. Borrows the writer.
class WriterSink final : public ActivitySink {
public:
    explicit WriterSink(trace::Writer& writer) : writer_(writer) {}

    trace::StringId string_id(std::string_view text) override;
    trace::LaunchId launch_id(const trace::Launch& launch) override;
    trace::StreamKey stream_key(const trace::Stream& stream) override;
    std::int32_t nvtx_domain(std::int64_t pid, std::string_view name) override;
    void name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                            std::string_view name) override;
    void add_activity(const trace::ActivityBatch& batch) override;
    void add_gpu(const trace::Gpu& gpu) override;
    void add_value(const trace::Value& value) override;
    void add_meta(const std::string& key, const std::string& value) override;

private:
    trace::Writer& writer_;
};

}  // namespace hc::activity
