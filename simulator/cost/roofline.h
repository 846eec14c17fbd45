/// The recorded times on another machine of the same kind, by the resource that limits each
/// operation (simulator.md §2: efficiency against the roofline is taken over from the source
/// machine).
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

/// Compares a target with the machine of the recording, CPU with CPU and GPU with GPU.
///
/// CPU: read_bandwidth_GBps of both; of both, where known: fp32_GFLOPs, int8_GOPs,
/// copy_bandwidth_GBps; of the target, where known: host_link_GBps, host_link_latency_us.
///
/// GPU: memory_bandwidth_GBps and h2d_GBps of both; of both, where known: bf16_TFLOPs, launch_us,
/// attention_GBps, matmul_GBps, gather_GBps, interference. Efficiencies that were measured on both
/// take the place of the bandwidth for their operations, because they do not transfer (attention
/// least of all).
class MachineModel {
public:
    /// `source`: values measured beside the recording; for a GPU (`source_device` is what its
    /// driver calls it) the catalogue's where there are none. Throws Error(kRefused) for a GPU
    /// from a CPU recording and the other way round, and for a value that either machine lacks.
    MachineModel(const MachineSpec& target, const std::vector<trace::Value>& source,
                 const std::string& source_backend, const std::string& source_device = {});

    /// The time of an operation that takes `time_ns` on the source machine; `floor_ns` of it
    /// does not depend on its sizes and stays. `reduced_precision`: its arithmetic is int8.
    [[nodiscard]] std::int64_t rescale(const OpWork& work, std::int64_t time_ns, double floor_ns,
                                       bool reduced_precision) const;

    /// The slowdown beside transfers on the target, given the recording's.
    [[nodiscard]] double interference(double recorded) const {
        return recorded * interference_factor_;
    }

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
    void compare_gpus(const MachineSpec& target, const std::vector<trace::Value>& source);
    [[nodiscard]] double ratio_of(const MachineSpec& target,
                                  const std::vector<trace::Value>& source, const char* name);
    [[nodiscard]] std::int64_t rescale_on_gpu(const OpWork& work, std::int64_t time_ns,
                                              double floor_ns) const;
    [[nodiscard]] double compute_rate(const Rates& rates, bool reduced_precision) const;
    [[nodiscard]] std::int64_t rescale_fetch(const OpWork& work, std::int64_t time_ns) const;

    Rates source_;
    Rates target_;
    bool link_only_ = false;
    bool gpu_ = false;
    double launch_ns_ = 0;         // source's, 0: not known
    double launch_factor_ = 1;     // time on the target / time on the source, and so below
    double attention_factor_ = 0;  // 0: not measured on both
    double matmul_factor_ = 0;
    double gather_factor_ = 0;
    double interference_factor_ = 1;
    bool int8_known_ = false;  // on both machines
    bool fp32_known_ = false;
    double copy_factor_ = 1;  // time on the target / time on the source
    double link_gbps_ = 0;    // 0: no link
    double link_latency_ns_ = 0;
    bool target_measured_ = true;
    std::vector<std::string> notes_;
};

}  // namespace hc::sim
