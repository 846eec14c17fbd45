#include <fstream>
#include <sched.h>
#include <string>
#include <unistd.h>

#include "engine/probe/probe.h"
#include "kernels/cpu/ops.h"

namespace hc::probe {
namespace {

std::string processor_name() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.rfind("model name", 0) != 0) continue;
        const std::size_t colon = line.find(':');
        if (colon == std::string::npos) continue;
        const std::size_t first = line.find_first_not_of(' ', colon + 1);
        if (first != std::string::npos) return line.substr(first);
    }
    return "unknown processor";
}

}  // namespace

MachineFacts machine_facts() {
    MachineFacts facts;
    facts.name = processor_name();
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof(set), &set) == 0) facts.cores = CPU_COUNT(&set);
    facts.memory_bytes = static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
    facts.instruction_sets = kernels::cpu::instruction_sets();
    return facts;
}

}  // namespace hc::probe
