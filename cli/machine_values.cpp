#include "cli/machine_values.h"

namespace hc::cli {

sim::MachineSpec measured_machine(probe::Effort effort, int threads, Progress& progress) {
    const probe::MachineFacts facts = probe::machine_facts();
    ThreadPool pool(threads);
    sim::MachineSpec machine;
    machine.id = "this-machine";
    machine.name = facts.name;
    machine.kind = sim::MachineKind::kCpu;
    for (const probe::Measurement& m : probe::measure_machine(pool, effort, progress)) {
        trace::Value value;
        value.machine = facts.name;
        value.name = m.name;
        value.argument = m.argument;
        value.number = m.number;
        value.unit = m.unit;
        value.origin = trace::ValueOrigin::kMeasured;
        value.source = "measured by hcprof on this machine, kernels " + facts.instruction_sets;
        machine.values.push_back(std::move(value));
    }
    return machine;
}

}  // namespace hc::cli
