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
                           const std::string& source_backend) {
    if (target.kind == MachineKind::kGpu) {
        throw_refused(fmt::format(
            "machine '{}' is a GPU and the trace was recorded on the {} backend: its kernels, "
            "launches and copies were never measured, so there is nothing to scale; record on a "
            "GPU to predict for one",
            target.id, source_backend));
    }
    if (source_backend != "cpu") {
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
    notes_.push_back(
        "threads are taken to scale to all cores of the target, and the constant part "
        "of an operation to stay as recorded");
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
    return to_ns(floor + scaled * limit(target_) / limit(source_));
}

}  // namespace hc::sim
