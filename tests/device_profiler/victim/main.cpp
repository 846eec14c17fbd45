/// profiler_victim [--record FILE [--kinds LIST] [--api LEVEL]] SCENARIO [COUNT]
///
/// Runs one scenario of the workload: under whatever was injected into it, or (--record) under a
/// session of its own. Exit code 6: no GPU. With --record and the scenario graph, prints a line
/// "node ID original ID tag TAG" for every node that a recorded kernel ran as. The scenarios
/// time_kernels and time_graph print "microseconds X" a launch.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/core/error.h"
#include "profiler/activity/activity_sink.h"
#include "profiler/cupti/loaded_cupti.h"
#include "profiler/cupti/session.h"
#include "profiler/trace/writer.h"
#include "tests/device_profiler/workload/workload.h"

namespace {

namespace workload = hc::workload;

struct Arguments {
    std::string record, kinds, api, scenario;
    long long count = 0;
};

Arguments parse(int argc, char** argv) {
    Arguments arguments;
    std::vector<std::string> words(argv + 1, argv + argc);
    std::size_t at = 0;
    const auto next = [&]() -> std::string { return at < words.size() ? words[at++] : ""; };
    while (at < words.size()) {
        const std::string word = next();
        if (word == "--record") {
            arguments.record = next();
        } else if (word == "--kinds") {
            arguments.kinds = next();
        } else if (word == "--api") {
            arguments.api = next();
        } else if (arguments.scenario.empty()) {
            arguments.scenario = word;
        } else {
            arguments.count = std::atoll(word.c_str());
        }
    }
    return arguments;
}

void run(const Arguments& arguments, const std::function<void(int)>& before_node) {
    const std::string& scenario = arguments.scenario;
    const long long count = arguments.count;
    const int small = static_cast<int>(count);
    if (scenario == "empty") return workload::empty_kernels(count, 4);
    if (scenario == "time_kernels") {
        std::cout << "microseconds " << workload::time_kernels(count) << '\n';
        return;
    }
    if (scenario == "time_graph") {
        std::cout << "microseconds " << workload::time_graph(320, small) << '\n';
        return;
    }
    if (scenario == "copies") return workload::copies();
    if (scenario == "allocation") return workload::allocation();
    if (scenario == "graph") return workload::graph(small, 10, before_node);
    if (scenario == "nested") return workload::nested_ranges(small);
    if (scenario == "threads") return workload::ranges_of_threads(8, small);
    if (scenario == "across") return workload::ranges_across_threads(small);
    if (scenario == "range") return workload::kernels_around_range();
    if (scenario == "names") return workload::names();
    if (scenario == "killed") workload::killed(count, 1.5);
    if (scenario == "forks") return workload::forks();
    if (scenario == "probe") return;
    throw std::runtime_error("unknown scenario '" + scenario + "'");
}

/// Remembers the graph nodes that pass by on their way into the trace.
class NodeSink final : public hc::activity::ActivitySink {
public:
    explicit NodeSink(hc::trace::Writer& writer) : into_(writer) {}
    hc::trace::StringId string_id(std::string_view text) override { return into_.string_id(text); }
    hc::trace::LaunchId launch_id(const hc::trace::Launch& launch) override {
        return into_.launch_id(launch);
    }
    hc::trace::StreamKey stream_key(const hc::trace::Stream& stream) override {
        return into_.stream_key(stream);
    }
    std::int32_t nvtx_domain(std::int64_t pid, std::string_view name) override {
        return into_.nvtx_domain(pid, name);
    }
    void name_nvtx_category(std::int64_t pid, std::int32_t domain, std::int32_t category,
                            std::string_view name) override {
        into_.name_nvtx_category(pid, domain, category, name);
    }
    void add_activity(const hc::trace::ActivityBatch& batch) override {
        for (const hc::trace::KernelRow& row : batch.kernels) {
            if (row.graph_node_id >= 0)
                nodes_.insert(static_cast<std::uint64_t>(row.graph_node_id));
        }
        into_.add_activity(batch);
    }
    void add_gpu(const hc::trace::Gpu& gpu) override { into_.add_gpu(gpu); }
    void add_value(const hc::trace::Value& value) override { into_.add_value(value); }
    void add_meta(const std::string& key, const std::string& value) override {
        into_.add_meta(key, value);
    }
    [[nodiscard]] const std::set<std::uint64_t>& nodes() const { return nodes_; }

private:
    hc::activity::WriterSink into_;
    std::set<std::uint64_t> nodes_;
};

void record(const Arguments& arguments) {
    hc::cupti::SessionOptions options;
    if (!arguments.kinds.empty()) {
        options.collect.kinds = hc::activity::parse_collect("--kinds", arguments.kinds);
    }
    if (!arguments.api.empty()) {
        options.collect.api = hc::activity::parse_api_level("--api", arguments.api);
    }
    options.collect.graph_nodes = true;
    const auto api = hc::cupti::load_cupti();
    hc::trace::Writer writer(arguments.record, {});
    NodeSink sink(writer);
    hc::cupti::Session session(*api, sink, options);
    session.start();
    run(arguments, hc::cupti::GraphNodes::set_thread_tag);
    const hc::cupti::SessionReport report = session.stop();
    writer.finish();
    for (const std::uint64_t node : sink.nodes()) {
        const auto found = session.graph_nodes().find(node);
        std::cout << "node " << node << " original " << (found ? found->original_id : 0) << " tag "
                  << (found ? found->tag : -2) << '\n';
    }
    for (const auto& [cause, count] : report.lost) {
        std::cout << "lost " << cause << ' ' << count << '\n';
    }
    if (!report.failure.empty()) throw std::runtime_error(report.failure);
}

}  // namespace

int main(int argc, char** argv) {
    try {
        const Arguments arguments = parse(argc, argv);
        const auto begin = std::chrono::steady_clock::now();
        if (!arguments.record.empty()) {
            record(arguments);  // CUPTI goes first, before anything touches CUDA
        } else {
            if (const std::string why = workload::why_no_gpu(); !why.empty()) {
                std::cerr << "no usable GPU: " << why << '\n';
                return 6;
            }
            run(arguments, nullptr);
        }
        const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
        std::cout << "took " << took.count() << " s\n";
        return 0;
    } catch (const hc::Error& error) {
        std::cerr << error.what() << '\n';
        return static_cast<int>(error.code());
    } catch (const std::exception& error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
