#include "engine/cuda/matmul_library.h"

#include <cublasLt.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <array>
#include <map>
#include <tuple>

#include "engine/core/error.h"

namespace hc::cuda {
namespace {

// Row-major [n, cols] is column-major [cols, n]: out^T [rows, n] = w^T^T [rows, cols] x^T [cols,
// n].
struct Problem {
    cublasLtMatmulDesc_t operation = nullptr;
    cublasLtMatrixLayout_t w = nullptr;
    cublasLtMatrixLayout_t x = nullptr;
    cublasLtMatrixLayout_t out = nullptr;
    cublasLtMatmulAlgo_t algorithm{};
};

}  // namespace

struct MatmulLibrary::Impl {
    void* library = nullptr;
    cublasLtHandle_t handle = nullptr;
    DeviceBuffer workspace;
    std::map<std::tuple<std::int64_t, std::int64_t, std::int64_t, bool>, Problem> problems;

    decltype(&cublasLtCreate) create = nullptr;
    decltype(&cublasLtDestroy) destroy = nullptr;
    decltype(&cublasLtMatmul) matmul = nullptr;
    decltype(&cublasLtMatmulDescCreate) desc_create = nullptr;
    decltype(&cublasLtMatmulDescDestroy) desc_destroy = nullptr;
    decltype(&cublasLtMatmulDescSetAttribute) desc_set = nullptr;
    decltype(&cublasLtMatrixLayoutCreate) layout_create = nullptr;
    decltype(&cublasLtMatrixLayoutDestroy) layout_destroy = nullptr;
    decltype(&cublasLtMatmulPreferenceCreate) preference_create = nullptr;
    decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy = nullptr;
    decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set = nullptr;
    decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic = nullptr;

    ~Impl() {
        for (auto& [shape, problem] : problems) {
            layout_destroy(problem.w);
            layout_destroy(problem.x);
            layout_destroy(problem.out);
            desc_destroy(problem.operation);
        }
        if (handle != nullptr) destroy(handle);
        // The library stays loaded: it has threads and handlers of its own that outlive handles.
    }

    template <typename Function>
    bool find(Function& function, const char* name) {
        function = reinterpret_cast<Function>(dlsym(library, name));
        return function != nullptr;
    }

    bool find_all() {
        return find(create, "cublasLtCreate") && find(destroy, "cublasLtDestroy") &&
               find(matmul, "cublasLtMatmul") && find(desc_create, "cublasLtMatmulDescCreate") &&
               find(desc_destroy, "cublasLtMatmulDescDestroy") &&
               find(desc_set, "cublasLtMatmulDescSetAttribute") &&
               find(layout_create, "cublasLtMatrixLayoutCreate") &&
               find(layout_destroy, "cublasLtMatrixLayoutDestroy") &&
               find(preference_create, "cublasLtMatmulPreferenceCreate") &&
               find(preference_destroy, "cublasLtMatmulPreferenceDestroy") &&
               find(preference_set, "cublasLtMatmulPreferenceSetAttribute") &&
               find(heuristic, "cublasLtMatmulAlgoGetHeuristic");
    }

    const Problem& problem(std::int64_t rows, std::int64_t cols, std::int64_t n, bool has_bias);
};

namespace {

void check_blas(cublasStatus_t status, const char* what) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw_unavailable(fmt::format("cublasLt: {}: status {}", what, static_cast<int>(status)));
}

}  // namespace

const Problem& MatmulLibrary::Impl::problem(std::int64_t rows, std::int64_t cols, std::int64_t n,
                                            bool has_bias) {
    const auto key = std::make_tuple(rows, cols, n, has_bias);
    const auto known = problems.find(key);
    if (known != problems.end()) return known->second;
    Problem p;
    check_blas(desc_create(&p.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "operation");
    const cublasOperation_t transposed = CUBLAS_OP_T;
    check_blas(desc_set(p.operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof transposed),
               "operation");
    if (has_bias) {
        const cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_BIAS;
        check_blas(desc_set(p.operation, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue),
                   "bias");
    }
    const auto u = [](std::int64_t v) { return static_cast<std::uint64_t>(v); };
    check_blas(layout_create(&p.w, CUDA_R_16BF, u(cols), u(rows), cols), "layout");
    check_blas(layout_create(&p.x, CUDA_R_16BF, u(cols), u(n), cols), "layout");
    check_blas(layout_create(&p.out, CUDA_R_16BF, u(rows), u(n), rows), "layout");
    cublasLtMatmulPreference_t preference = nullptr;
    check_blas(preference_create(&preference), "preference");
    const auto most = static_cast<std::size_t>(kMatmulLibraryBytes);
    check_blas(
        preference_set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &most, sizeof most),
        "preference");
    cublasLtMatmulHeuristicResult_t result{};
    int found = 0;
    const cublasStatus_t status =
        heuristic(handle, p.operation, p.w, p.x, p.out, p.out, preference, 1, &result, &found);
    preference_destroy(preference);
    check_blas(status, "choosing an algorithm");
    if (found == 0) {
        throw_unavailable(
            fmt::format("cublasLt has no algorithm for {} x {} x {} in bf16", n, rows, cols));
    }
    p.algorithm = result.algo;
    return problems.emplace(key, p).first->second;
}

MatmulLibrary::MatmulLibrary(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MatmulLibrary::~MatmulLibrary() = default;

std::unique_ptr<MatmulLibrary> MatmulLibrary::open(MemoryLedger& ledger, std::string& why) {
    auto impl = std::make_unique<Impl>();
    constexpr std::array names{"libcublasLt.so.13", "libcublasLt.so.12",
                               "/usr/local/cuda/lib64/libcublasLt.so.13",
                               "/usr/local/cuda/lib64/libcublasLt.so.12"};
    for (const char* name : names) {
        impl->library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        if (impl->library != nullptr) break;
    }
    if (impl->library == nullptr) {
        why = "libcublasLt.so.13 (or .12) was not found; put its folder on LD_LIBRARY_PATH";
        return nullptr;
    }
    if (!impl->find_all()) {
        why = "libcublasLt lacks functions of CUDA 12 and later";
        return nullptr;
    }
    check_blas(impl->create(&impl->handle), "starting");
    impl->workspace = DeviceBuffer(ledger, "cublasLt workspace", kMatmulLibraryBytes);
    return std::unique_ptr<MatmulLibrary>(new MatmulLibrary(std::move(impl)));
}

void MatmulLibrary::multiply(const kernels::cuda::Bf16* w, std::int64_t rows, std::int64_t cols,
                             const kernels::cuda::Bf16* bias, const kernels::cuda::Bf16* x,
                             std::int64_t n, kernels::cuda::Bf16* out, cudaStream_t stream) {
    if (n == 0) return;
    const Problem& p = impl_->problem(rows, cols, n, bias != nullptr);
    if (bias != nullptr) {
        check_blas(
            impl_->desc_set(p.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
            "bias");
    }
    const float one = 1.0F;
    const float zero = 0.0F;
    check_blas(impl_->matmul(impl_->handle, p.operation, &one, w, p.w, x, p.x, &zero, out, p.out,
                             out, p.out, &p.algorithm, impl_->workspace.as<void>(),
                             static_cast<std::size_t>(kMatmulLibraryBytes), stream),
               "matrix product");
}

}  // namespace hc::cuda
