#include "profiler/cupti/api_filter.h"

#include <gtest/gtest.h>

namespace hc::cupti {
namespace {

TEST(ApiFilter, KeepsWorkWaitsAndAllocationsOnly) {
    for (const char* name :
         {"cudaLaunchKernel_v7000", "cudaLaunchKernelExC_v11060", "cudaLaunchKernel_ptsz_v7000",
          "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch_v10000", "cuGraphLaunch_ptsz",
          "cudaMemcpyAsync_v3020", "cuMemcpyHtoDAsync_v2", "cudaMemset_v3020", "cuMemsetD8_v2",
          "cudaStreamSynchronize_v3020", "cuCtxSynchronize", "cudaDeviceSynchronize_v3020",
          "cudaEventSynchronize_v3020", "cudaStreamWaitEvent_v3020", "cudaMalloc_v3020",
          "cudaMallocAsync_v11020", "cuMemAlloc_v2", "cudaFree_v3020", "cudaFreeHost_v3020",
          "cudaHostAlloc_v3020", "cuMemHostAlloc", "cudaHostRegister_v4000", "cuModuleLoadData"}) {
        EXPECT_TRUE(is_useful_call(name)) << name;
    }
    for (const char* name :
         {"cudaGetDevice_v3020", "cudaSetDevice_v3020", "cudaGetLastError_v3020",
          "cudaPeekAtLastError_v3020", "cudaDeviceGetAttribute_v5000", "cudaEventQuery_v3020",
          "cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags_v7000",
          "cudaStreamIsCapturing_v10000", "cudaFuncGetAttributes_v3020",
          "cudaPointerGetAttributes_v4000", "cudaMemGetInfo_v3020", "cuMemGetInfo_v2",
          "cudaHostGetDevicePointer_v3020", "cuCtxGetCurrent", "cuDeviceGet", "launch", ""}) {
        EXPECT_FALSE(is_useful_call(name)) << name;
    }
}

TEST(ApiFilter, KnowsWhichCallsLaunchOneKernel) {
    for (const char* name : {"cudaLaunchKernel_v7000", "cudaLaunchKernelExC_ptsz_v11060",
                             "cudaLaunchCooperativeKernel_v9000", "cuLaunchKernel"}) {
        EXPECT_TRUE(launches_kernel(name)) << name;
    }
    for (const char* name : {"cudaLaunchHostFunc_v10000", "cudaGraphLaunch_v10000",
                             "cudaLaunchCooperativeKernelMultiDevice_v9000", "cudaMemcpy_v3020"}) {
        EXPECT_FALSE(launches_kernel(name)) << name;
    }
}

}  // namespace
}  // namespace hc::cupti
