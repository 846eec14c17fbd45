/// The recorded times on another CPU machine, by the resource that limits each operation
/// (simulator.md §2: efficiency against the roofline is taken over from the source machine).
#pragma once

#include <string>
#include <vector>

#include "engine/core/records.h"
#include "profiler/trace/columns.h"
#include "simulator/cost/linear_fit.h"
#include "simulator/hardware/catalogue.h"

namespace hc::sim {

/// Sizes of one operation, as recorded.
struct OpWork {
    OpKind kind{};
    double bytes = 0;  ///< read and written
    double flops = 0;
};

/// Compares a target with the machine of the recording. Values it takes of both machines:
/// read_bandwidth_GBps; of both, where known: fp32_GFLOPs, int8_GOPs, copy_bandwidth_GBps; of
/// the target, where known: host_link_GBps, host_link_latency_us.
class MachineModel {
public:
    /// `source`: values measured beside the recording. Throws Error(kRefused) for a GPU, for a
    /// recording that was not made on a CPU, and for a value that either machine lacks.
    MachineModel(const MachineSpec& target, const std::vector<trace::Value>& source,
                 const std::string& source_backend);

    /// The time of an operation that takes `time_ns` on the source machine; `floor_ns` of it
    /// does not depend on its sizes and stays. `reduced_precision`: its arithmetic is int8.
    [[nodiscard]] std::int64_t rescale(const OpWork& work, std::int64_t time_ns, double floor_ns,
                                       bool reduced_precision) const;

    /// Assumptions made, for Prediction::notes.
    [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
    /// Every value taken of the target was measured.
    [[nodiscard]] bool target_measured() const { return target_measured_; }

private:
    struct Rates {
        double read_gbps = 0;  // bytes per ns
        double fp32 = 0;       // operations per ns; 0: unknown
        double int8 = 0;
        double copy_gbps = 0;
    };

    void compare(const MachineSpec& target, const std::vector<trace::Value>& source);
    [[nodiscard]] double compute_rate(const Rates& rates, bool reduced_precision) const;
    [[nodiscard]] std::int64_t rescale_fetch(const OpWork& work, std::int64_t time_ns) const;

    Rates source_;
    Rates target_;
    bool link_only_ = false;
    bool int8_known_ = false;  // on both machines
    bool fp32_known_ = false;
    double copy_factor_ = 1;  // time on the target / time on the source
    double link_gbps_ = 0;    // 0: no link
    double link_latency_ns_ = 0;
    bool target_measured_ = true;
    std::vector<std::string> notes_;
};

}  // namespace hc::sim
