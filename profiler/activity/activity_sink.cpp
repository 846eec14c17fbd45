#include "profiler/activity/activity_sink.h"

#include "profiler/trace/writer.h"

namespace hc::activity {

trace::StringId WriterSink::string_id(std::string_view text) {
    return writer_.string_id(text);
}
trace::LaunchId WriterSink::launch_id(const trace::Launch& launch) {
    return writer_.launch_id(launch);
}
trace::StreamKey WriterSink::stream_key(const trace::Stream& stream) {
    return writer_.stream_key(stream);
}
std::int32_t WriterSink::nvtx_domain(std::int64_t pid, std::string_view name) {
    return writer_.nvtx_domain(pid, name);
}
void WriterSink::name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                                    std::string_view name) {
    writer_.name_nvtx_category(pid, domain, category, name);
}
void WriterSink::add_activity(const trace::ActivityBatch& batch) {
    writer_.add_activity(batch);
}
void WriterSink::add_gpu(const trace::Gpu& gpu) {
    writer_.add_gpu(gpu);
}
void WriterSink::add_value(const trace::Value& value) {
    writer_.add_value(value);
}
void WriterSink::add_meta(const std::string& key, const std::string& value) {
    writer_.add_meta(key, value);
}

}  // namespace hc::activity
