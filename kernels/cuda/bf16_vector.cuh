/// Eight bf16 at a time, 16 bytes, as fp32.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/cuda/types.h"

namespace hc::kernels::cuda {

// A bf16 is the upper half of the fp32 of the same value.
__device__ inline void unpack2(unsigned bits, float& low, float& high) {
    low = __uint_as_float(bits << 16);
    high = __uint_as_float(bits & 0xffff0000u);
}

__device__ inline unsigned pack2(float low, float high) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
    return *reinterpret_cast<const unsigned*>(&pair);
}

__device__ inline void unpack8(const uint4& v, float (&out)[8]) {
    unpack2(v.x, out[0], out[1]);
    unpack2(v.y, out[2], out[3]);
    unpack2(v.z, out[4], out[5]);
    unpack2(v.w, out[6], out[7]);
}

__device__ inline void load8(const Bf16* source, float (&out)[8]) {
    unpack8(*reinterpret_cast<const uint4*>(source), out);
}

__device__ inline void store8(Bf16* target, const float (&v)[8]) {
    *reinterpret_cast<uint4*>(target) =
        make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7]));
}

}  // namespace hc::kernels::cuda
