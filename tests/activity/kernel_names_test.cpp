#include "profiler/activity/kernel_names.h"

#include <gtest/gtest.h>

namespace hc::activity {
namespace {

TEST(KernelNames, ShortNamesAreTheFunctionsOwn) {
    const std::pair<const char*, const char*> cases[] = {
        {"empty_kernel()", "empty_kernel"},
        {"extern_c_kernel", "extern_c_kernel"},
        {"void at::native::fill<float>(float*)", "fill"},
        {"void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctorOnSelf_add<float>, "
         "std::array<char*, 2ul> >(int, at::native::CUDAFunctorOnSelf_add<float>, std::array<char*, "
         "2ul>)",
         "vectorized_elementwise_kernel"},
        {"(anonymous namespace)::kernel(int)", "kernel"},
        {"void (anonymous namespace)::softmax<float, (anonymous namespace)::Op>(float*)", "softmax"},
        {"ns::Functor::operator()(int) const", "operator()"},
        {"void ns::Functor::operator()<int>(int) const", "operator()"},
        {"bool operator< <int>(A<int> const&, A<int> const&)", "operator<"},
        {"void f<(lambda)>(int (*)(char))", "f"},
        {"void k<&(g(int))>(void (*)(int), decltype (a->b))", "k"},
        {"std::enable_if<(4)>(3), void>::type ns::run<int>(int)", "run"},
        {"void ns::kernel<int>(int) [clone .isra.0]", "kernel"},
        {"foo::{lambda(int)#1}::operator()(int) const", "operator()"},
        {"sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_cublas",
         "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_cublas"},
        {"", ""},
        {")", ")"},
        {"(", "("},
        {">", ">"},
        {"a::", "a::"},
    };
    for (const auto& [demangled, expected] : cases) {
        EXPECT_EQ(std::string_view(expected), short_name(demangled));
    }
}

TEST(KernelNames, DemanglesWhatIsMangled) {
    EXPECT_EQ("void fill<float>(float*)", demangle("_Z4fillIfEvPT_"));
    EXPECT_EQ("plain_name", demangle("plain_name"));
    EXPECT_EQ("_Znonsense!", demangle("_Znonsense!"));
    EXPECT_EQ("", demangle(""));
    EXPECT_EQ("(unknown)", demangle(nullptr));
}

TEST(KernelNames, ShortNameOfAnythingIsPartOfIt) {
    // Every text of brackets up to a length: no reading past an end, nothing empty.
    const std::string_view letters = "<>():a ";
    for (int number = 0; number < 7 * 7 * 7 * 7 * 7 * 7; ++number) {
        std::string text;
        for (int rest = number; rest > 0; rest /= 7) text += letters[static_cast<std::size_t>(rest % 7)];
        const std::string_view name = short_name(text);
        EXPECT_EQ(text.empty(), name.empty()) << text;
        EXPECT_NE(std::string::npos, text.find(name));
    }
}

}  // namespace
}  // namespace hc::activity
