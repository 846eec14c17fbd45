#include "tests/collect/activity_maker.h"

#include <algorithm>
#include <string>

namespace hc::test {

ActivityMaker::ActivityMaker(trace::Writer& writer, std::uint64_t seed, std::int64_t pid,
                             std::int64_t start_ns)
    : state_(seed * 2 + 1),
      pid_(pid),
      thread_(trace::global_thread_id(pid, pid)),
      now_ns_(start_ns),
      gpu_ns_(start_ns),
      copy_ns_(start_ns) {
    compute_ = writer.stream_key({-1, pid, 0, 1, 7, "compute", "compute"});
    fetch_ = writer.stream_key({-1, pid, 0, 1, 13, "fetch", "fetch"});
    for (int i = 0; i < 40; ++i) {
        const std::string name = "kernel_" + std::to_string(i);
        trace::Launch launch;
        launch.name = writer.string_id("void " + name + "<float>(float*, int)");
        launch.short_name = writer.string_id(name);
        launch.grid = {static_cast<std::int32_t>(8 + i), 1, 1};
        launch.block = {128, 1, 1};
        launch.registers_per_thread = 32 + i;
        launches_.push_back(writer.launch_id(launch));
    }
    launch_name_ = writer.string_id("cudaLaunchKernel_v7000");
    copy_name_ = writer.string_id("cudaMemcpyAsync_v3020");
    memset_name_ = writer.string_id("cudaMemsetAsync_v3020");
    sync_name_ = writer.string_id("cudaStreamSynchronize_v3020");
    step_name_ = writer.string_id("step");
    layer_name_ = writer.string_id("layer");
    domain_ = writer.nvtx_domain(pid, "engine");
    writer.add_process(pid, "decode");
}

std::int64_t ActivityMaker::random(std::int64_t low, std::int64_t high) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return low +
           static_cast<std::int64_t>((state_ >> 33) % static_cast<std::uint64_t>(high - low + 1));
}

std::int64_t ActivityMaker::add_api(trace::ActivityBatch& batch, trace::StringId name) {
    const std::int64_t duration = random(1500, 6000);
    batch.apis.push_back({now_ns_, duration, ++correlation_, thread_, name, 0, 0});
    now_ns_ += duration + random(200, 2000);
    return correlation_;
}

void ActivityMaker::add_step(trace::ActivityBatch& batch) {
    const std::int64_t step_start = now_ns_;
    for (int layer = 0; layer < 4; ++layer) {
        const std::int64_t layer_start = now_ns_;
        for (int i = 0; i < 10; ++i) {
            const std::int64_t id = add_api(batch, launch_name_);
            gpu_ns_ = std::max(gpu_ns_ + random(0, 500), now_ns_);
            const std::int64_t duration = random(2000, 90'000);
            const auto which = static_cast<std::size_t>(random(0, 39));
            const std::int64_t node = i == 9 ? 1000 + layer : -1;
            batch.kernels.push_back({gpu_ns_, duration, id, node, compute_, launches_[which]});
            gpu_ns_ += duration;
        }
        const std::int64_t id = add_api(batch, copy_name_);
        copy_ns_ = std::max(copy_ns_, now_ns_);
        const std::int64_t bytes = random(1, 4096) * 4096;
        const std::int64_t duration = 1000 + bytes / 25;
        const bool to_device = random(0, 3) > 0;
        batch.memcpys.push_back({copy_ns_, duration, id, -1, bytes, fetch_, to_device ? 1 : 2,
                                 to_device ? 1 : 2, to_device ? 2 : 1, -1, -1, 1});
        copy_ns_ += duration;
        batch.nvtx.push_back({layer_start, now_ns_ - layer_start, thread_, -1, -1, layer, true, 5,
                              59, layer_name_, domain_, -1, -1});
    }
    const std::int64_t set = add_api(batch, memset_name_);
    batch.memsets.push_back({gpu_ns_, 1200, set, -1, 4096, 0, compute_, 2});
    gpu_ns_ += 1200;
    const std::int64_t sync_start = now_ns_;
    const std::int64_t wait = std::max<std::int64_t>(1000, gpu_ns_ - now_ns_);
    batch.apis.push_back({sync_start, wait, ++correlation_, thread_, sync_name_, 0, 0});
    batch.syncs.push_back({sync_start, wait, correlation_, 0, -1, compute_, 3});
    now_ns_ = sync_start + wait + random(500, 4000);
    batch.nvtx.push_back({step_start, now_ns_ - step_start, thread_, -1, -1, step_++, true, 2, 59,
                          step_name_, domain_, -1, 0x76b900});
}

}  // namespace hc::test
