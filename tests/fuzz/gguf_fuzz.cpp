// libFuzzer entry for the GGUF reader: any bytes load as a model or are refused with hc::Error.
//
// Target fuzz_gguf of a build with clang, CMAKE_CXX_FLAGS=-fsanitize=fuzzer-no-link and
// HC_SANITIZE=asan; seeds are small GGUF files such as those of tests/support/tiny_model.h. What
// runs everywhere is tests/model/gguf_mutation_test.cpp.
#include <cstddef>
#include <cstdint>
#include <span>

#include "engine/core/error.h"
#include "engine/model/gguf_model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const hc::model::Model model =
            hc::model::model_from_gguf(std::as_bytes(std::span(data, size)), "fuzz");
        (void)model.tokenizer->encode("a text 123", true, true);
    } catch (const hc::Error&) {
        return 0;
    }
    return 0;
}
