// The simulator repeats the device's rule of told drift in a room that includes no CUDA: both must
// be the same numbers.
#include <gtest/gtest.h>

#include "kernels/cuda/drift.h"
#include "simulator/replay/synthetic_decisions.h"

namespace hc {
namespace {

namespace k = kernels::cuda;

TEST(ToldDrift, TheSimulatorsTriggersAreTheDevices) {
    int triggers = 0;
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{9'000'000'000'000'000}}) {
        for (const double rate : {0.0, 0.15, 0.6, 1.0}) {
            const sim::ToldDrift drift{rate, 0.5, 5, seed};
            for (std::int32_t sequence = 0; sequence < 3; ++sequence) {
                for (std::int64_t step = 1; step < 60; ++step) {
                    for (std::int32_t star = 0; star < 33; ++star) {
                        const std::uint64_t of_step =
                            k::hash_on(seed + static_cast<std::uint64_t>(sequence), static_cast<std::uint64_t>(step));
                        const bool device =
                            k::unit_of_hash(k::hash_on(of_step, static_cast<std::uint64_t>(star))) < rate;
                        ASSERT_EQ(sim::told_trigger(drift, sequence, step, star), device);
                        triggers += device ? 1 : 0;
                    }
                }
            }
        }
    }
    EXPECT_GT(triggers, 1000);
}

}  // namespace
}  // namespace hc
