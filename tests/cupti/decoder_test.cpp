#include "profiler/cupti/decoder.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>

#include "tests/cupti/fake_cupti.h"
#include "tests/cupti/memory_sink.h"

namespace hc::cupti {
namespace {

constexpr std::int64_t kPid = 77;

/// Records in, rows out. The clock is left as it is.
class DecoderTest : public testing::Test {
protected:
    template <typename Record>
    void put(const Record& record) {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(&record);
        buffer_.insert(buffer_.end(), bytes, bytes + sizeof(record));
    }
    void decode() {
        activity::ClockConverter clock = activity::ClockFit().converter();
        decoder_.decode(buffer_.data(), buffer_.size(), clock, rows_);
        buffer_.clear();
    }
    void finish() { decoder_.finish(rows_); }

    test::FakeCupti cupti_;
    test::MemorySink sink_;
    activity::LossAudit audit_;
    Decoder decoder_{cupti_, sink_, audit_, kPid};
    trace::ActivityBatch rows_;
    std::vector<std::uint8_t> buffer_;
};

TEST_F(DecoderTest, KernelWithAllOfItsConfiguration) {
    CUpti_ActivityKernel10 record = test::kernel_record("_ZN2ns4fillIfEEvPT_", 5, 100, 350, 13);
    record.deviceId = 1;
    record.contextId = 3;
    record.gridX = 10, record.gridY = 20, record.gridZ = 30;
    record.blockX = 64, record.blockY = 2, record.blockZ = 3;
    record.registersPerThread = 40;
    record.staticSharedMemory = 1024;
    record.dynamicSharedMemory = 2048;
    record.sharedMemoryExecuted = 4096;
    record.localMemoryPerThread = 16;
    record.localMemoryTotal_v2 = std::uint64_t{1} << 33;
    record.launchType = 1;
    record.cacheConfig.both = 0x21;
    record.shmemLimitConfig = CUPTI_FUNC_SHMEM_LIMIT_OPTIN;
    record.clusterX = 2, record.clusterY = 1, record.clusterZ = 1;
    record.clusterSchedulingPolicy = 1;
    record.maxPotentialClusterSize = 8;
    record.maxActiveClusters = 66;
    record.isSharedMemoryCarveoutRequested = 1;
    record.sharedMemoryCarveoutRequested = 50;
    record.graphNodeId = 0x123456789abc;
    put(record);
    decode();
    ASSERT_EQ(1U, rows_.kernels.size());
    const trace::KernelRow& row = rows_.kernels[0];
    EXPECT_EQ(100, row.start_ns);
    EXPECT_EQ(250, row.duration_ns);
    EXPECT_EQ(5, row.correlation_id);
    EXPECT_EQ(0x123456789abc, row.graph_node_id);
    const trace::Launch& launch = sink_.launches.at(static_cast<std::size_t>(row.launch));
    EXPECT_EQ("_ZN2ns4fillIfEEvPT_", sink_.string(launch.mangled_name));
    EXPECT_EQ("void ns::fill<float>(float*)", sink_.string(launch.name));
    EXPECT_EQ("fill", sink_.string(launch.short_name));
    EXPECT_EQ((std::array<std::int32_t, 3>{10, 20, 30}), launch.grid);
    EXPECT_EQ((std::array<std::int32_t, 3>{64, 2, 3}), launch.block);
    EXPECT_EQ(40, launch.registers_per_thread);
    EXPECT_EQ(1024, launch.static_shared_bytes);
    EXPECT_EQ(2048, launch.dynamic_shared_bytes);
    EXPECT_EQ(4096, launch.executed_shared_bytes);
    EXPECT_EQ(16, launch.local_bytes_per_thread);
    EXPECT_EQ(std::int64_t{1} << 33, launch.local_bytes_total);
    EXPECT_EQ(1, launch.launch_type);
    EXPECT_EQ(0x21, launch.cache_config);
    EXPECT_EQ(CUPTI_FUNC_SHMEM_LIMIT_OPTIN, launch.shared_limit_config);
    EXPECT_EQ((std::array<std::int32_t, 3>{2, 1, 1}), launch.cluster);
    EXPECT_EQ(1, launch.cluster_policy);
    EXPECT_EQ(8, launch.max_potential_cluster);
    EXPECT_EQ(66, launch.max_active_clusters);
    EXPECT_EQ(50, launch.shared_percentage);
    const trace::Stream& stream = sink_.streams.at(static_cast<std::size_t>(row.stream));
    EXPECT_EQ(kPid, stream.pid);
    EXPECT_EQ(1, stream.device);
    EXPECT_EQ(3, stream.context);
    EXPECT_EQ(13, stream.stream_id);
}

TEST_F(DecoderTest, KernelWithoutExtrasHasNone) {
    put(test::kernel_record("k", 1, 10, 20));
    decode();
    const trace::Launch& launch = sink_.launches.at(0);
    EXPECT_EQ((std::array<std::int32_t, 3>{-1, -1, -1}), launch.cluster);
    EXPECT_EQ(-1, launch.shared_percentage);
    EXPECT_EQ(-1, rows_.kernels.at(0).graph_node_id);
}

TEST_F(DecoderTest, SinkIsAskedOncePerNameLaunchAndStream) {
    for (std::uint32_t i = 0; i < 1000; ++i) {
        CUpti_ActivityKernel10 record = test::kernel_record(i % 2 == 0 ? "even" : "odd", i, 10, 20);
        record.streamId = 7 + i % 3;
        record.gridX = static_cast<std::int32_t>(1 + i % 5);
        put(record);
    }
    decode();
    EXPECT_EQ(1000U, rows_.kernels.size());
    EXPECT_EQ(10U, sink_.launch_calls);
    EXPECT_EQ(6U, sink_.string_calls);
    EXPECT_EQ(3U, sink_.stream_calls);
    EXPECT_EQ(10U, sink_.launches.size());
}

TEST_F(DecoderTest, NameWhoseMemoryIsReusedIsNotMistaken) {
    char name[16] = "first";
    put(test::kernel_record(name, 1, 10, 20));
    decode();
    std::strcpy(name, "second");
    put(test::kernel_record(name, 2, 10, 20));
    decode();
    EXPECT_EQ("second", sink_.string(sink_.launches.at(1).name));
}

TEST_F(DecoderTest, CopiesOfAllKinds) {
    CUpti_ActivityMemcpy6 copy{};
    copy.kind = CUPTI_ACTIVITY_KIND_MEMCPY;
    copy.copyKind = CUPTI_ACTIVITY_MEMCPY_KIND_HTOD;
    copy.srcKind = CUPTI_ACTIVITY_MEMORY_KIND_PINNED;
    copy.dstKind = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE;
    copy.bytes = std::uint64_t{5} << 32;
    copy.start = 10;
    copy.end = 40;
    copy.correlationId = 9;
    copy.copyCount = 3;
    put(copy);
    copy.srcKind = CUPTI_ACTIVITY_MEMORY_KIND_UNKNOWN;
    copy.copyCount = 0;
    put(copy);
    CUpti_ActivityMemcpyPtoP4 peer{};
    peer.kind = CUPTI_ACTIVITY_KIND_MEMCPY2;
    peer.copyKind = CUPTI_ACTIVITY_MEMCPY_KIND_PTOP;
    peer.srcKind = peer.dstKind = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE;
    peer.bytes = 77;
    peer.start = 50;
    peer.end = 51;
    peer.srcDeviceId = 2;
    peer.dstDeviceId = 3;
    put(peer);
    decode();
    ASSERT_EQ(3U, rows_.memcpys.size());
    const trace::MemcpyRow& row = rows_.memcpys[0];
    EXPECT_EQ(1, row.copy_kind);
    EXPECT_EQ(1, row.src_kind);  // the export's numbers: pinned 1, device 2
    EXPECT_EQ(2, row.dst_kind);
    EXPECT_EQ(std::int64_t{5} << 32, row.bytes);
    EXPECT_EQ(30, row.duration_ns);
    EXPECT_EQ(3, row.copy_count);
    EXPECT_EQ(-1, row.src_device);
    EXPECT_EQ(7, rows_.memcpys[1].src_kind);
    EXPECT_EQ(-1, rows_.memcpys[1].copy_count);
    EXPECT_EQ(10, rows_.memcpys[2].copy_kind);
    EXPECT_EQ(2, rows_.memcpys[2].src_device);
    EXPECT_EQ(3, rows_.memcpys[2].dst_device);
    EXPECT_EQ(77, rows_.memcpys[2].bytes);
}

TEST_F(DecoderTest, Memset) {
    CUpti_ActivityMemset4 record{};
    record.kind = CUPTI_ACTIVITY_KIND_MEMSET;
    record.value = 0x5a;
    record.bytes = 4096;
    record.start = 5;
    record.end = 6;
    record.memoryKind = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE;
    record.graphNodeId = 4;
    put(record);
    decode();
    ASSERT_EQ(1U, rows_.memsets.size());
    EXPECT_EQ(0x5a, rows_.memsets[0].value);
    EXPECT_EQ(4096, rows_.memsets[0].bytes);
    EXPECT_EQ(2, rows_.memsets[0].mem_kind);
    EXPECT_EQ(4, rows_.memsets[0].graph_node_id);
}

TEST_F(DecoderTest, CallsOfRuntimeAndDriver) {
    put(test::api_record(1, 5, 100, 150, 77, 4711));
    CUpti_ActivityAPI driver =
        test::api_record(1, 6, 200, 250, 77, 4712, CUPTI_ACTIVITY_KIND_DRIVER);
    driver.returnValue = 700;
    put(driver);
    put(test::api_record(9999, 7, 300, 350, 77, 4711));
    put(test::api_record(UINT32_MAX, 8, 300, 350, 77, 4711));
    decode();
    ASSERT_EQ(4U, rows_.apis.size());
    EXPECT_EQ("cudaLaunchKernel_v7000", sink_.string(rows_.apis[0].name));
    EXPECT_EQ(0, rows_.apis[0].api_class);
    EXPECT_EQ((77LL << 24) | 4711, rows_.apis[0].thread);
    EXPECT_EQ("cuLaunchKernel", sink_.string(rows_.apis[1].name));
    EXPECT_EQ(1, rows_.apis[1].api_class);
    EXPECT_EQ(700, rows_.apis[1].result);
    EXPECT_EQ("call 9999", sink_.string(rows_.apis[2].name));
    // Only the launch that succeeded has to be followed by a kernel.
    EXPECT_EQ(1U, audit_.unmatched());
}

TEST_F(DecoderTest, SynchronizationWithAndWithoutStreamAndEvent) {
    CUpti_ActivityContext3 context{};
    context.kind = CUPTI_ACTIVITY_KIND_CONTEXT;
    context.contextId = 4;
    context.deviceId = 2;
    context.nullStreamId = 7;
    put(context);
    CUpti_ActivitySynchronization2 record{};
    record.kind = CUPTI_ACTIVITY_KIND_SYNCHRONIZATION;
    record.type = CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT;
    record.start = 10;
    record.end = 30;
    record.contextId = 4;
    record.streamId = 7;
    record.cudaEventId = 12;
    record.cudaEventSyncId = 99;
    put(record);
    record.type = CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_CONTEXT_SYNCHRONIZE;
    record.streamId = record.cudaEventId = CUPTI_SYNCHRONIZATION_INVALID_VALUE;
    record.cudaEventSyncId = 0;
    put(record);
    decode();
    ASSERT_EQ(2U, rows_.syncs.size());
    EXPECT_EQ(CUPTI_ACTIVITY_SYNCHRONIZATION_TYPE_STREAM_WAIT_EVENT, rows_.syncs[0].type);
    EXPECT_EQ(12, rows_.syncs[0].event_id);
    EXPECT_EQ(99, rows_.syncs[0].event_sync_id);
    const trace::Stream& stream = sink_.streams.at(static_cast<std::size_t>(rows_.syncs[0].stream));
    EXPECT_EQ(2, stream.device);
    EXPECT_EQ("default stream", stream.name);
    EXPECT_EQ(0, rows_.syncs[1].event_id);
    EXPECT_EQ(-1, rows_.syncs[1].event_sync_id);
    EXPECT_EQ(-1, sink_.streams.at(static_cast<std::size_t>(rows_.syncs[1].stream)).stream_id);
}

TEST_F(DecoderTest, OverheadAndTheMemoryThatComesWithIt) {
    CUpti_ActivityOverhead3 record{};
    record.kind = CUPTI_ACTIVITY_KIND_OVERHEAD;
    record.overheadKind = CUPTI_ACTIVITY_OVERHEAD_CUPTI_BUFFER_FLUSH;
    record.objectKind = CUPTI_ACTIVITY_OBJECT_THREAD;
    record.objectId.pt.processId = 77;
    record.objectId.pt.threadId = 5;
    record.start = 100;
    record.end = 110;
    record.overheadData = std::malloc(64);  // a sanitizer sees whether it is freed
    put(record);
    record.objectKind = CUPTI_ACTIVITY_OBJECT_UNKNOWN;
    record.overheadKind = CUPTI_ACTIVITY_OVERHEAD_LAZY_FUNCTION_LOADING;
    record.overheadData = nullptr;
    put(record);
    decode();
    ASSERT_EQ(2U, rows_.overheads.size());
    EXPECT_EQ(CUPTI_ACTIVITY_OVERHEAD_CUPTI_BUFFER_FLUSH, rows_.overheads[0].kind);
    EXPECT_EQ((77LL << 24) | 5, rows_.overheads[0].thread);
    EXPECT_EQ(-1, rows_.overheads[1].thread);
    EXPECT_EQ(1U, decoder_.signs().at("buffer_flush"));
    EXPECT_EQ(1U, decoder_.signs().size());
}

TEST_F(DecoderTest, AllocationsAndPools) {
    CUpti_ActivityMemory4 record{};
    record.kind = CUPTI_ACTIVITY_KIND_MEMORY2;
    record.memoryOperationType = CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_ALLOCATION;
    record.memoryKind = CUPTI_ACTIVITY_MEMORY_KIND_DEVICE;
    record.address = 0xfedcba9876543210;
    record.bytes = 1 << 20;
    record.timestamp = 500;
    record.correlationId = 3;
    put(record);
    record.memoryOperationType = CUPTI_ACTIVITY_MEMORY_OPERATION_TYPE_RELEASE;
    record.isAsync = 1;
    record.streamId = 9;
    record.memoryPoolConfig.memoryPoolType = CUPTI_ACTIVITY_MEMORY_POOL_TYPE_LOCAL;
    record.memoryPoolConfig.address = 0x1000;
    record.memoryPoolConfig.pool.size = 4096;
    put(record);
    CUpti_ActivityMemoryPool3 pool{};
    pool.kind = CUPTI_ACTIVITY_KIND_MEMORY_POOL;
    pool.memoryPoolOperationType = CUPTI_ACTIVITY_MEMORY_POOL_OPERATION_TYPE_TRIMMED;
    pool.timestamp = 700;
    pool.address = 0x2000;
    pool.size = 8192;
    pool.utilizedSize = 100;
    put(pool);
    decode();
    ASSERT_EQ(3U, rows_.memory_events.size());
    EXPECT_EQ(1, rows_.memory_events[0].operation);
    EXPECT_EQ(0xfedcba9876543210, static_cast<std::uint64_t>(rows_.memory_events[0].address));
    EXPECT_EQ(2, rows_.memory_events[0].mem_kind);
    EXPECT_EQ(-1, rows_.memory_events[0].stream);
    EXPECT_EQ(-1, rows_.memory_events[0].pool_address);
    EXPECT_EQ(2, rows_.memory_events[1].operation);
    EXPECT_EQ(9, sink_.streams.at(static_cast<std::size_t>(rows_.memory_events[1].stream)).stream_id);
    EXPECT_EQ(0x1000, rows_.memory_events[1].pool_address);
    EXPECT_EQ(4096, rows_.memory_events[1].pool_size_bytes);
    EXPECT_EQ(13, rows_.memory_events[2].operation);
    EXPECT_EQ(100, rows_.memory_events[2].bytes);
    EXPECT_EQ(8192, rows_.memory_events[2].pool_size_bytes);
}

TEST_F(DecoderTest, ExternalIds) {
    CUpti_ActivityExternalCorrelation record{};
    record.kind = CUPTI_ACTIVITY_KIND_EXTERNAL_CORRELATION;
    record.externalKind = CUPTI_EXTERNAL_CORRELATION_KIND_CUSTOM0;
    record.externalId = 0xffffffffffffffff;
    record.correlationId = 8;
    put(record);
    decode();
    ASSERT_EQ(1U, rows_.externals.size());
    EXPECT_EQ(8, rows_.externals[0].correlation_id);
    EXPECT_EQ(-1, rows_.externals[0].external_id);
    EXPECT_EQ(3, rows_.externals[0].kind);
}

TEST_F(DecoderTest, RangesAndMarksWithTheirAttributes) {
    put(test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_START, 1, 100, 77, 5, "range", "domain"));
    CUpti_ActivityMarkerData2 data{};
    data.kind = CUPTI_ACTIVITY_KIND_MARKER_DATA;
    data.id = 1;
    data.flags = CUPTI_ACTIVITY_FLAG_MARKER_COLOR_ARGB;
    data.color = 0xff00ff00;
    data.category = 3;
    data.payloadKind = CUPTI_METRIC_VALUE_KIND_INT64;
    data.payload.metricValueInt64 = -42;
    put(data);
    put(test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_END, 1, 300, 77, 5, nullptr, "domain"));
    put(test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_INSTANTANEOUS, 2, 150, 77, 5, "mark"));
    data.id = 2;
    data.flags = CUPTI_ACTIVITY_FLAG_MARKER_COLOR_NONE;
    data.category = 0;
    data.payloadKind = CUPTI_METRIC_VALUE_KIND_DOUBLE;
    data.payload.metricValueDouble = 1.5;
    put(data);
    put(test::marker_record(CUPTI_ACTIVITY_FLAG_MARKER_SYNC_ACQUIRE, 3, 150, 77, 5, "lock"));
    decode();
    ASSERT_EQ(2U, rows_.nvtx.size());
    const trace::NvtxRow& range = rows_.nvtx[0];
    EXPECT_EQ(59, range.type);
    EXPECT_EQ("range", sink_.string(range.name));
    EXPECT_EQ(sink_.domains.at("domain"), range.domain);
    EXPECT_EQ(100, range.start_ns);
    EXPECT_EQ(200, range.duration_ns);
    EXPECT_EQ(0xff00ff00, range.color);
    EXPECT_EQ(3, range.category);
    EXPECT_TRUE(range.has_payload);
    EXPECT_EQ(-42, range.payload);
    EXPECT_EQ(2, range.payload_type);
    const trace::NvtxRow& mark = rows_.nvtx[1];
    EXPECT_EQ(34, mark.type);
    EXPECT_EQ(0, mark.domain);
    EXPECT_EQ(-1, mark.color);
    EXPECT_EQ(-1, mark.category);
    EXPECT_EQ(3, mark.payload_type);
    EXPECT_EQ(1.5, std::bit_cast<double>(mark.payload));
    EXPECT_EQ(1U, decoder_.ignored());
}

TEST_F(DecoderTest, NamesOfThreadsAndStreams) {
    put(test::kernel_record("k", 1, 10, 20, 9));
    CUpti_ActivityName name{};
    name.kind = CUPTI_ACTIVITY_KIND_NAME;
    name.objectKind = CUPTI_ACTIVITY_OBJECT_STREAM;
    name.objectId.dcs.contextId = 1;
    name.objectId.dcs.streamId = 9;
    name.name = "copies";
    put(name);
    name.objectKind = CUPTI_ACTIVITY_OBJECT_THREAD;
    name.objectId.pt.processId = 77;
    name.objectId.pt.threadId = 4711;
    name.name = "loader";
    put(name);
    name.name = nullptr;
    put(name);
    decode();
    ASSERT_EQ(2U, sink_.streams.size());
    EXPECT_EQ("copies", sink_.streams[0].name);  // the kernel's stream, named afterwards
    EXPECT_EQ("loader", sink_.streams[1].name);
    EXPECT_EQ(-1, sink_.streams[1].device);
    EXPECT_EQ(4711, sink_.streams[1].stream_id);
}

TEST_F(DecoderTest, DeviceAndItsBus) {
    CUpti_ActivityDevice5 device{};
    device.kind = CUPTI_ACTIVITY_KIND_DEVICE;
    device.id = 1;
    device.name = "GPU X";
    device.computeCapabilityMajor = 9;
    device.numMultiprocessors = 132;
    device.globalMemorySize = std::uint64_t{80} << 30;
    device.globalMemoryBandwidth = 3'352'320'000;  // kB/s
    device.coreClockRate = 1'980'000;              // kHz
    device.numMemcpyEngines = 3;
    device.uuid.bytes[0] = static_cast<char>(0xab);
    put(device);
    CUpti_ActivityPcie pcie{};
    pcie.kind = CUPTI_ACTIVITY_KIND_PCIE;
    pcie.type = CUPTI_PCIE_DEVICE_TYPE_GPU;
    pcie.id.devId = 1;
    pcie.pcieGeneration = 5;
    pcie.linkWidth = 16;
    put(pcie);
    decode();
    ASSERT_EQ(1U, sink_.gpus.size());
    const trace::Gpu& gpu = sink_.gpus[0];
    EXPECT_EQ(1, gpu.device);
    EXPECT_EQ("GPU X", gpu.name);
    EXPECT_EQ(9, gpu.compute_major);
    EXPECT_EQ(132, gpu.num_sms);
    EXPECT_EQ(3'352'320'000'000, gpu.memory_bandwidth);
    EXPECT_EQ(1'980'000'000, gpu.clock_hz);
    EXPECT_EQ("ab000000000000000000000000000000", gpu.uuid);
    ASSERT_EQ(3U, sink_.values.size());
    EXPECT_EQ("GPU X", sink_.values[0].machine);
    EXPECT_EQ("pcie_generation", sink_.values[0].name);
    EXPECT_EQ(5, sink_.values[0].number);
    EXPECT_EQ(16, sink_.values[1].number);
}

TEST_F(DecoderTest, TruncatedBufferEndsTheDecodingAndIsCounted) {
    put(test::kernel_record("k", 1, 10, 20));
    put(test::kernel_record("k", 2, 10, 20));
    const std::vector<std::uint8_t> whole = buffer_;
    for (std::size_t size = 0; size < whole.size(); ++size) {
        buffer_.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
        decode();
    }
    // Every cut but those at a record's end leaves one that cannot be read.
    EXPECT_EQ(whole.size() - 2, audit_.counted().at("unreadable"));
    EXPECT_EQ(whole.size() / 2, rows_.kernels.size());
}

TEST_F(DecoderTest, KindsThatNoTableHoldsAreSkipped) {
    CUpti_ActivityGraphTrace2 graph{};
    graph.kind = CUPTI_ACTIVITY_KIND_GRAPH_TRACE;
    put(graph);
    put(test::kernel_record("k", 1, 10, 20));
    decode();
    EXPECT_EQ(1U, decoder_.ignored());
    EXPECT_EQ(1U, rows_.kernels.size());
}

}  // namespace
}  // namespace hc::cupti
