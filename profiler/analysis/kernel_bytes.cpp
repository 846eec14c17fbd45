#include "profiler/analysis/kernel_bytes.h"

#include <algorithm>

#include "profiler/analysis/sums.h"

namespace hc::analysis {
namespace {

bool is_one_process(const Activity& activity) {
    return std::all_of(activity.kernels.begin(), activity.kernels.end(), [&](const Kernel& k) {
        return activity.streams[static_cast<std::size_t>(k.stream)].pid ==
               activity.streams[static_cast<std::size_t>(activity.kernels.front().stream)].pid;
    });
}

struct Owner {
    trace::OpLaunches op;
    bool shared = false;  ///< another operation has some of its launches
    std::int64_t kernels = 0;
    const Kernel* only = nullptr;
};

/// By first launch; those that overlap are marked.
std::vector<Owner> owners_of(std::vector<trace::OpLaunches> operations) {
    std::stable_sort(operations.begin(), operations.end(), [](const auto& a, const auto& b) {
        return a.correlation_first < b.correlation_first;
    });
    std::vector<Owner> owners;
    std::size_t longest = 0;  // of those so far, the one that reaches furthest
    for (const trace::OpLaunches& op : operations) {
        if (op.correlation_last < op.correlation_first) continue;
        owners.push_back({op});
        if (owners.size() == 1) continue;
        if (owners[longest].op.correlation_last >= op.correlation_first) {
            owners[longest].shared = owners.back().shared = true;
        }
        if (op.correlation_last > owners[longest].op.correlation_last) longest = owners.size() - 1;
    }
    return owners;
}

}  // namespace

std::unordered_map<NameIndex, KernelBytes> kernel_bytes(const Activity& activity,
                                                        std::vector<trace::OpLaunches> operations) {
    std::unordered_map<NameIndex, KernelBytes> result;
    std::vector<Owner> owners = owners_of(std::move(operations));
    if (owners.empty() || activity.kernels.empty() || !is_one_process(activity)) return result;
    for (const Kernel& kernel : activity.kernels) {
        auto after = std::upper_bound(
            owners.begin(), owners.end(), kernel.correlation,
            [](std::int64_t id, const Owner& o) { return id < o.op.correlation_first; });
        if (after == owners.begin()) continue;
        Owner& owner = *std::prev(after);
        if (owner.shared || kernel.correlation > owner.op.correlation_last) continue;
        owner.kernels += 1;
        owner.only = &kernel;
    }
    for (const Owner& owner : owners) {
        if (owner.kernels != 1 || owner.op.bytes <= 0) continue;
        KernelBytes& entry = result[owner.only->name];
        entry.kernels += 1;
        add_wrapping(entry.bytes, owner.op.bytes);
        add_wrapping(entry.time_ns, owner.only->end_ns - owner.only->start_ns);
    }
    return result;
}

}  // namespace hc::analysis
