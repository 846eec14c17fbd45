#include "simulator/cost/roofline.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/core/error.h"

namespace hc::sim {
namespace {

/// The value of that name: a measured one before others, of several (taken at different sizes)
/// the one with the largest argument. nullptr: not known.
const trace::Value* find(const std::vector<trace::Value>& values, std::string_view name) {
    const auto rank = [](const trace::Value& value) {
        return std::pair(value.origin == trace::ValueOrigin::kMeasured, value.argument);
    };
    const trace::Value* best = nullptr;
    for (const trace::Value& value : values) {
        if (value.name != name || !(value.number > 0)) continue;
        if (best == nullptr || rank(value) > rank(*best)) best = &value;
    }
    return best;
}

/// A machine file may name any speed: what comes out must still be a time.
std::int64_t to_ns(double time) {
    return std::llround(std::clamp(time, 0.0, 4e18));
}

double number_or_zero(const trace::Value* value) {
    return value == nullptr ? 0.0 : value->number;
}

}  // namespace

MachineModel::MachineModel(const MachineSpec& target, const std::vector<trace::Value>& source,
                           const std::string& source_backend, const std::string& source_device) {
    if (target.kind == MachineKind::kGpu && source_backend == "cuda") {
        gpu_ = true;
        std::vector<trace::Value> values = source;
        const MachineSpec* known = find_device(source_device);
        if (find(values, "memory_bandwidth_GBps") == nullptr && known != nullptr) {
            values.insert(values.end(), known->values.begin(), known->values.end());
            notes_.push_back(fmt::format(
                "values of the recording's machine are the catalogue's ({})", known->id));
        }
        compare_gpus(target, values);
        return;
    }
    if (target.kind == MachineKind::kGpu) {
        throw_refused(fmt::format(
            "machine '{}' is a GPU and the trace was recorded on the {} backend: its kernels, "
            "launches and copies were never measured, so there is nothing to scale; record on a "
            "GPU to predict for one",
            target.id, source_backend));
    }
    if (source_backend != "cpu" && !is_link(target)) {
        throw_refused(
            fmt::format("machine '{}' is a CPU and the trace was recorded on the {} "
                        "backend: only CPU recordings are scaled to CPU machines",
                        target.id, source_backend));
    }
    link_only_ = is_link(target);
    if (const trace::Value* link = target.find("host_link_GBps")) {
        link_gbps_ = target.require("host_link_GBps");
        target_measured_ = target_measured_ && link->origin == trace::ValueOrigin::kMeasured;
        if (const trace::Value* latency = target.find("host_link_latency_us")) {
            link_latency_ns_ = latency->number * 1e3;
        }
        notes_.push_back(fmt::format(
            "fetches read the host tier over {:.4g} GB/s, {:.3g} us to the first byte; a fetch is "
            "never faster than recorded, and the link carries nothing else",
            link_gbps_, link_latency_ns_ / 1e3));
    }
    if (link_only_) {
        notes_.push_back("only fetches change: everything else runs on the recorded machine");
    } else {
        compare(target, source);
    }
}

void MachineModel::compare(const MachineSpec& target, const std::vector<trace::Value>& source) {
    const trace::Value* source_read = find(source, "read_bandwidth_GBps");
    if (source_read == nullptr) {
        throw_refused(
            fmt::format("the trace holds no read_bandwidth_GBps of the machine it was "
                        "recorded on: predicting for '{}' compares with it; record again "
                        "with the machine measured",
                        target.id));
    }
    source_.read_gbps = source_read->number;
    target_.read_gbps = target.require("read_bandwidth_GBps");
    const trace::Value* read = target.find("read_bandwidth_GBps");
    target_measured_ = target_measured_ && read->origin == trace::ValueOrigin::kMeasured;
    if (read->origin != trace::ValueOrigin::kMeasured) {
        if (const trace::Value* share = target.find("sustained_share")) {
            target_.read_gbps *= std::min(1.0, share->number);
            notes_.push_back(
                fmt::format("programs are assumed to reach {:.0f} % of the target's "
                            "data-sheet bandwidth",
                            100 * std::min(1.0, share->number)));
        }
    }
    source_.fp32 = number_or_zero(find(source, "fp32_GFLOPs"));
    source_.int8 = number_or_zero(find(source, "int8_GOPs"));
    source_.copy_gbps = number_or_zero(find(source, "copy_bandwidth_GBps"));
    target_.fp32 = number_or_zero(find(target.values, "fp32_GFLOPs"));
    target_.int8 = number_or_zero(find(target.values, "int8_GOPs"));
    target_.copy_gbps = number_or_zero(find(target.values, "copy_bandwidth_GBps"));
    fp32_known_ = source_.fp32 > 0 && target_.fp32 > 0;
    int8_known_ = source_.int8 > 0 && target_.int8 > 0;
    if (!fp32_known_) {
        notes_.push_back(
            "arithmetic speed is not known of both machines: every operation is taken "
            "to be bound by memory bandwidth");
    }
    if (source_.copy_gbps > 0 && target_.copy_gbps > 0) {
        copy_factor_ = source_.copy_gbps / target_.copy_gbps;
    } else {
        notes_.push_back(
            "one thread's copying speed is not known of both machines: fetches and "
            "commits keep their recorded speed");
    }
    attention_factor_ = ratio_of(target, source, "attention_GBps");
    matmul_factor_ = ratio_of(target, source, "matmul_GBps");
    notes_.push_back(
        "threads are taken to scale to all cores of the target, and the constant part "
        "of an operation to stay as recorded");
}

/// Source's number over the target's, by which times of what it bounds grow; 0 unless both are
/// known. What depends on a size (a run of rows, bytes of a copy) is compared at the largest size
/// that both were measured at, where there is one.
double MachineModel::ratio_of(const MachineSpec& target, const std::vector<trace::Value>& source,
                              const char* name) {
    const trace::Value* of_target = hc::sim::find(target.values, name);
    const trace::Value* of_source = hc::sim::find(source, name);
    if (of_target == nullptr || of_source == nullptr) return 0;
    double largest = 0;
    for (const trace::Value& a : source) {
        const bool measured = a.name == name && a.origin == trace::ValueOrigin::kMeasured;
        if (!measured || !(a.number > 0) || a.argument <= largest) continue;
        for (const trace::Value& b : target.values) {
            if (b.name != name || b.argument != a.argument || !(b.number > 0) ||
                b.origin != trace::ValueOrigin::kMeasured) {
                continue;
            }
            largest = a.argument;
            of_source = &a;
            of_target = &b;
        }
    }
    target_measured_ = target_measured_ && of_target->origin == trace::ValueOrigin::kMeasured;
    return of_source->number / of_target->number;
}

void MachineModel::compare_gpus(const MachineSpec& target,
                                const std::vector<trace::Value>& source) {
    for (const char* name : {"memory_bandwidth_GBps", "h2d_GBps"}) {
        (void)target.require(name);
        if (find(source, name) == nullptr) {
            throw_refused(fmt::format(
                "the trace holds no {} of the GPU it was recorded on, and the catalogue does not "
                "know that GPU: predicting for '{}' compares with it; name its file, written by "
                "'hcprof hardware measure', with --source-machine",
                name, target.id));
        }
    }
    // As times: a larger number is a shorter time.
    source_.read_gbps = 1;
    target_.read_gbps = 1 / ratio_of(target, source, "memory_bandwidth_GBps");
    copy_factor_ = ratio_of(target, source, "h2d_GBps");
    const trace::Value* of_source = find(source, "bf16_TFLOPs");
    const double flops_factor = ratio_of(target, source, "bf16_TFLOPs");
    const double bandwidth = find(source, "memory_bandwidth_GBps")->number;
    if (of_source != nullptr && flops_factor > 0) {
        // In the same unit as read_gbps: operations in the time of a byte.
        source_.fp32 = of_source->number * 1e3 / bandwidth;
        target_.fp32 = source_.fp32 / flops_factor;
        fp32_known_ = true;
    } else {
        notes_.push_back(
            "bf16 speed is not known of both machines: every operation is taken to be bound by "
            "memory bandwidth");
    }
    const trace::Value* launch = find(source, "launch_us");
    const double slower_launch = ratio_of(target, source, "launch_us");
    if (launch != nullptr && slower_launch > 0) {
        launch_ns_ = launch->number * 1e3;
        launch_factor_ = 1 / slower_launch;  // a time, not a speed
    } else {
        notes_.push_back("an empty kernel's time is not known of both machines: taken as equal");
    }
    attention_factor_ = ratio_of(target, source, "attention_GBps");
    matmul_factor_ = ratio_of(target, source, "matmul_GBps");
    gather_factor_ = ratio_of(target, source, "gather_GBps");
    if (attention_factor_ == 0 || matmul_factor_ == 0) {
        notes_.push_back(
            "efficiencies of attention and products were not measured on both machines: what the "
            "recording reached of its bandwidth is taken over to the target");
    }
    const double interference = ratio_of(target, source, "interference");
    if (interference > 0) interference_factor_ = 1 / interference;  // a share, not a speed
    notes_.push_back(
        "pauses between operations are the host's and stay as recorded; caches and grids of less "
        "than a wave are not modelled");
}

std::int64_t MachineModel::rescale_on_gpu(const OpWork& work, std::int64_t time_ns,
                                          double floor_ns) const {
    if (work.kind == OpKind::kFetch) {
        return to_ns(static_cast<double>(time_ns) *
                     (gather_factor_ > 0 ? gather_factor_ : copy_factor_));
    }
    const double floor = std::min(std::max(launch_ns_, floor_ns), static_cast<double>(time_ns));
    const double bound = static_cast<double>(time_ns) - floor;
    double factor = 0;
    if (work.kind == OpKind::kAttention) factor = attention_factor_;
    if (work.kind == OpKind::kQkv || work.kind == OpKind::kAttnOut || work.kind == OpKind::kMlp ||
        work.kind == OpKind::kLmHead) {
        factor = matmul_factor_;
    }
    if (factor == 0) {
        const auto limit = [&](const Rates& rates) {
            const double memory = std::max(work.bytes, 1.0) / rates.read_gbps;
            return fp32_known_ ? std::max(memory, work.flops / rates.fp32) : memory;
        };
        factor = limit(target_) / limit(source_);
    }
    return to_ns(floor * launch_factor_ + bound * factor);
}

double MachineModel::compute_rate(const Rates& rates, bool reduced_precision) const {
    if (reduced_precision && int8_known_) return rates.int8;
    return fp32_known_ ? rates.fp32 : 0.0;
}

std::int64_t MachineModel::rescale_fetch(const OpWork& work, std::int64_t time_ns) const {
    double time = static_cast<double>(time_ns) * copy_factor_;
    if (link_gbps_ > 0) {
        // K and V are read once and written once: half of the bytes cross the link.
        time = std::max(time, work.bytes / 2 / link_gbps_) + link_latency_ns_;
    }
    return to_ns(time);
}

std::int64_t MachineModel::rescale(const OpWork& work, std::int64_t time_ns, double floor_ns,
                                   bool reduced_precision) const {
    if (gpu_) return rescale_on_gpu(work, time_ns, floor_ns);
    if (work.kind == OpKind::kFetch) return rescale_fetch(work, time_ns);
    if (link_only_) return time_ns;
    if (work.kind == OpKind::kCommit) {
        return to_ns(static_cast<double>(time_ns) * copy_factor_);
    }
    const auto limit = [&](const Rates& rates) {
        const double rate = compute_rate(rates, reduced_precision);
        const double memory = work.bytes > 0 ? work.bytes / rates.read_gbps : 1.0 / rates.read_gbps;
        return rate > 0 ? std::max(memory, work.flops / rate) : memory;
    };
    const double floor = std::clamp(floor_ns, 0.0, static_cast<double>(time_ns));
    const double scaled = static_cast<double>(time_ns) - floor;
    // What both machines reach in this very kind of work says more than any limit.
    if (work.kind == OpKind::kAttention && attention_factor_ > 0) {
        return to_ns(floor + scaled * attention_factor_);
    }
    if (reduced_precision && matmul_factor_ > 0) return to_ns(floor + scaled * matmul_factor_);
    return to_ns(floor + scaled * limit(target_) / limit(source_));
}

}  // namespace hc::sim
