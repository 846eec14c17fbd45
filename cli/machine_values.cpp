#include "cli/machine_values.h"

#include "cli/backend.h"
#include "engine/core/error.h"

#if defined(HC_HAVE_CUDA)
#include "engine/probe/cuda/device_probe.h"
#endif

namespace hc::cli {
namespace {

void add_values(const std::vector<probe::Measurement>& measurements, const std::string& source, sim::MachineSpec& machine) {
    for (const probe::Measurement& m : measurements) {
        trace::Value value;
        value.machine = machine.name;
        value.name = m.name;
        value.argument = m.argument;
        value.number = m.number;
        value.unit = m.unit;
        value.origin = trace::ValueOrigin::kMeasured;
        value.source = source;
        machine.values.push_back(std::move(value));
    }
}

}  // namespace

sim::MachineSpec measured_machine(probe::Effort effort, int threads, Progress& progress) {
    const probe::MachineFacts facts = probe::machine_facts();
    ThreadPool pool(threads);
    sim::MachineSpec machine;
    machine.id = "this-machine";
    machine.name = facts.name;
    machine.kind = sim::MachineKind::kCpu;
    add_values(probe::measure_machine(pool, effort, progress),
               "measured by hcprof on this machine, kernels " + facts.instruction_sets, machine);
    return machine;
}

sim::MachineSpec measured_gpu(probe::Effort effort, Progress& progress) {
    const std::string why = why_no_cuda();
    if (!why.empty()) throw_unavailable("the GPU cannot be measured: " + why);
    sim::MachineSpec machine;
    machine.id = "this-gpu";
    machine.kind = sim::MachineKind::kGpu;
#if defined(HC_HAVE_CUDA)
    machine.name = run_machine(runtime::Backend::kCuda).name;
    machine.device_names = {machine.name};
    add_values(probe::cuda::measure_device(0, effort, progress), "measured by hcprof on this machine", machine);
#else
    static_cast<void>(effort);
    static_cast<void>(progress);
#endif
    return machine;
}

}  // namespace hc::cli
