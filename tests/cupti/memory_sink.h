/// A sink that keeps everything, for tests to look at.
#pragma once

#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "engine/core/error.h"
#include "profiler/activity/activity_sink.h"

namespace hc::test {

class MemorySink final : public activity::ActivitySink {
public:
    std::vector<std::string> strings;
    std::vector<trace::Launch> launches;
    std::vector<trace::Stream> streams;  // key is the index
    std::map<std::string, std::int32_t> domains{{"", 0}};
    std::map<std::pair<std::int32_t, std::int32_t>, std::string> categories;
    trace::ActivityBatch rows;
    std::vector<trace::Gpu> gpus;
    std::vector<trace::Value> values;
    std::map<std::string, std::string> meta;
    std::size_t string_calls = 0, launch_calls = 0, stream_calls = 0;
    /// add_activity() throws once this many rows are there.
    std::size_t full_at = SIZE_MAX;
    /// Held while rows are taken: a test that holds it is a slow disk.
    std::mutex gate;

    [[nodiscard]] const std::string& string(trace::StringId id) const {
        return strings.at(static_cast<std::size_t>(id));
    }

    trace::StringId string_id(std::string_view text) override {
        ++string_calls;
        for (std::size_t at = 0; at < strings.size(); ++at) {
            if (strings[at] == text) return static_cast<trace::StringId>(at);
        }
        strings.emplace_back(text);
        return static_cast<trace::StringId>(strings.size() - 1);
    }
    trace::LaunchId launch_id(const trace::Launch& launch) override {
        ++launch_calls;
        for (std::size_t at = 0; at < launches.size(); ++at) {
            if (launches[at] == launch) return static_cast<trace::LaunchId>(at);
        }
        launches.push_back(launch);
        return static_cast<trace::LaunchId>(launches.size() - 1);
    }
    trace::StreamKey stream_key(const trace::Stream& stream) override {
        ++stream_calls;
        for (std::size_t at = 0; at < streams.size(); ++at) {
            trace::Stream& known = streams[at];
            if (std::tie(known.pid, known.device, known.context, known.stream_id) ==
                std::tie(stream.pid, stream.device, stream.context, stream.stream_id)) {
                if (!stream.name.empty()) known.name = stream.name;
                return static_cast<trace::StreamKey>(at);
            }
        }
        streams.push_back(stream);
        return static_cast<trace::StreamKey>(streams.size() - 1);
    }
    std::int32_t nvtx_domain(std::int64_t, std::string_view name) override {
        return domains.emplace(name, static_cast<std::int32_t>(domains.size())).first->second;
    }
    void name_nvtx_category(std::int64_t, std::int32_t domain, std::int32_t category,
                            std::string_view name) override {
        categories[{domain, category}] = name;
    }
    void add_activity(const trace::ActivityBatch& batch) override {
        const std::lock_guard lock(gate);
        if (rows.size() + batch.size() > full_at) throw_io("cannot write trace 't': disk full");
        const auto append = [](auto& to, const auto& from) {
            to.insert(to.end(), from.begin(), from.end());
        };
        append(rows.kernels, batch.kernels);
        append(rows.memcpys, batch.memcpys);
        append(rows.memsets, batch.memsets);
        append(rows.apis, batch.apis);
        append(rows.syncs, batch.syncs);
        append(rows.nvtx, batch.nvtx);
        append(rows.overheads, batch.overheads);
        append(rows.memory_events, batch.memory_events);
        append(rows.externals, batch.externals);
    }
    void add_gpu(const trace::Gpu& gpu) override { gpus.push_back(gpu); }
    void add_value(const trace::Value& value) override { values.push_back(value); }
    void add_meta(const std::string& key, const std::string& value) override { meta[key] = value; }
};

}  // namespace hc::test
