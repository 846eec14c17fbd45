// Bytes reach a kernel only where it is certain that they are its own.
#include "profiler/analysis/kernel_bytes.h"

#include <gtest/gtest.h>

#include "activity_timeline.h"

namespace hc::analysis {
namespace {

using test::ActivityTimeline;

trace::OpLaunches op(std::int64_t bytes, std::int64_t first, std::int64_t last) {
    return {OpKind::kMlp, bytes, first, last};
}

TEST(KernelBytes, BelongToTheOnlyKernelOfAnOperation) {
    ActivityTimeline t;
    t.kernel(0, 0, 10, 5, "one");
    t.kernel(0, 10, 40, 6, "two");
    t.kernel(0, 40, 60, 7, "two");
    t.kernel(0, 60, 70, 9, "one");
    t.kernel(0, 70, 80, 11, "nobody's");
    // 9 has an operation of three ids, of which one launched a kernel.
    const auto bytes = kernel_bytes(t.data, {op(300, 8, 10), op(1000, 5, 5), op(700, 6, 7)});
    ASSERT_EQ(bytes.size(), 1U);
    const KernelBytes& one = bytes.at(t.name("one"));
    EXPECT_EQ(one.kernels, 2);
    EXPECT_EQ(one.bytes, 1300);
    EXPECT_EQ(one.time_ns, 20);
    EXPECT_DOUBLE_EQ(one.gb_per_s().value(), 65);
}

TEST(KernelBytes, OperationsThatShareALaunchGiveNone) {
    ActivityTimeline t;
    t.kernel(0, 0, 10, 5, "node");
    t.kernel(0, 10, 20, 8, "alone");
    EXPECT_TRUE(kernel_bytes(t.data, {op(10, 5, 5), op(20, 5, 5)}).empty());
    // One that spans others takes from all of them.
    EXPECT_TRUE(kernel_bytes(t.data, {op(10, 1, 9), op(20, 2, 3), op(30, 8, 8)}).empty());
    EXPECT_EQ(kernel_bytes(t.data, {op(10, 5, 5), op(20, 5, 6), op(30, 8, 8)}).size(), 1U);
}

TEST(KernelBytes, NothingFromNothingOrFromSeveralProcesses) {
    ActivityTimeline t;
    EXPECT_TRUE(kernel_bytes(t.data, {op(10, 5, 5)}).empty());
    t.kernel(0, 0, 10, 5);
    EXPECT_TRUE(kernel_bytes(t.data, {}).empty());
    EXPECT_TRUE(kernel_bytes(t.data, {op(10, 6, 5), op(0, 5, 5)}).empty());
    EXPECT_EQ(kernel_bytes(t.data, {op(10, 5, 5)}).size(), 1U);
    t.data.streams[1].pid = 2;
    t.kernel(1, 0, 10, 6);
    EXPECT_TRUE(kernel_bytes(t.data, {op(10, 5, 5)}).empty());
}

}  // namespace
}  // namespace hc::analysis
