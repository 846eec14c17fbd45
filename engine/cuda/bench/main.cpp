// engine_bench: what the CUDA engine reaches, beside what the device does (--help).
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "engine/config/head_file.h"
#include "engine/core/error.h"
#include "engine/cuda/bench/points.h"
#include "engine/cuda/device_info.h"
#include "engine/model/shape_model.h"

namespace hc::cuda::bench {
namespace {

constexpr const char* kShape = "llama-3.1-8b";

void measure_limits_point(Setup& setup, const DeviceInfo& info) {
    setup.report.describe("device", {{"name", info.name},
                                     {"driver", info.driver_version},
                                     {"runtime", info.runtime_version},
                                     {"memory_bytes", info.memory_bytes},
                                     {"sms", info.num_sms},
                                     {"available_host_bytes", available_host_bytes()}});
    // Whatever was asked for: every other point is told against these.
    setup.limits = measure_limits(info);
    setup.report.describe("read_gb_per_s", rounded(setup.limits.read_gb_per_s));
    setup.report.measure("limits", [&] {
        Json point;
        point["read_gb_per_s"] = rounded(setup.limits.read_gb_per_s);
        point["h2d_gb_per_s"] = rounded(setup.limits.h2d_gb_per_s);
        if (setup.limits.no_library_why.empty()) {
            point["bf16_tflop_per_s"] = rounded(setup.limits.bf16_tflop_per_s);
        } else {
            point["bf16_tflop_per_s"] = nullptr;
            point["note"] = setup.limits.no_library_why;
        }
        return point;
    });
}

int run(const std::vector<std::string>& words) {
    Arguments arguments = parse_arguments(words);
    if (arguments.help) {
        std::fputs(usage(), stdout);
        return 0;
    }
    if (const std::optional<std::string> why = why_no_device(0)) {
        std::printf("engine_bench: skipped: %s\n", why->c_str());
        return 0;
    }
    Report report(arguments.out, arguments.only);
    HeadProfile profile = config::read_head_file(arguments.heads);
    Setup setup{std::move(arguments),
                std::move(report),
                model::shape_model(kShape),
                std::move(profile),
                {}};
    check(cudaSetDevice(0), "cudaSetDevice");
    measure_limits_point(setup, device_info(0));
    setup.report.describe("model", setup.model.name);
    // The most important first: a run may be cut off.
    setup.report.group("fullkv", [&] { fullkv_points(setup); });
    setup.report.group("hetero-0.5", [&] { hetero_points(setup, 0.5, 3); });
    setup.report.group("hetero-0.25", [&] { hetero_points(setup, 0.25, 5); });
    batch_summary(setup);
    setup.report.group("prefill", [&] { prefill_points(setup); });
    setup.report.group("published", [&] { published_points(setup); });
    setup.report.group("model", [&] { model_points(setup); });
    return 0;
}

}  // namespace
}  // namespace hc::cuda::bench

int main(int argc, char** argv) {
    try {
        return hc::cuda::bench::run(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const hc::Error& error) {
        std::fprintf(stderr, "engine_bench: %s\n", error.what());
        return static_cast<int>(error.code());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "engine_bench: unexpected: %s\n", error.what());
        return 1;
    }
}
