// What the CUDA backend says where there is no GPU, or none that it can use.
#include <gmock/gmock.h>

#include "engine/core/error.h"
#include "engine/cuda/device_info.h"
#include "engine/cuda/make_engine.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace hc::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class WithoutDevice : public ::testing::Test {
protected:
    [[nodiscard]] model::Model load(std::int64_t head_dim, std::int64_t heads = 8) const {
        TinyModelOptions options;
        options.hidden = 128;
        options.heads = heads;
        options.kv_heads = heads == 8 ? 4 : 1;
        options.head_dim = head_dim;
        return model::load_model(write_tiny_model(folder_.path(), options));
    }

    static void expect_error(ExitCode code, const std::string& part, const model::Model& model,
                             runtime::EngineOptions options = {}) {
        options.backend = runtime::Backend::kCuda;
        try {
            const runtime::Engine engine = cuda::make_engine(model, options);
            FAIL() << "an engine where an error was expected";
        } catch (const Error& error) {
            EXPECT_EQ(error.code(), code) << error.what();
            EXPECT_THAT(error.what(), HasSubstr(part));
            EXPECT_THAT(error.what(), Not(HasSubstr("\n")));
        }
    }

private:
    TemporaryFolder folder_;
};

TEST_F(WithoutDevice, AnEngineSaysSoInOneLine) {
    if (!cuda::why_no_device(0)) GTEST_SKIP() << "this machine has a GPU";
    expect_error(ExitCode::kUnavailable, "backend cuda", load(64));
}

TEST_F(WithoutDevice, ShapesWithoutKernelsAreRefusedFirst) {
    expect_error(ExitCode::kRefused, "head dimension 16", load(16));
    expect_error(ExitCode::kRefused, "32 query heads per KV head", load(64, 32));
    runtime::EngineOptions options;
    options.page_size = 40;
    expect_error(ExitCode::kUsage, "multiple of 16", load(64), options);
}

TEST_F(WithoutDevice, TheCpuTakesNoSyntheticRuns) {
    runtime::EngineOptions options;
    options.synthetic_prefill = true;
    const model::Model model = load(64);
    EXPECT_THROW(static_cast<void>(cuda::make_engine(model, options)), Error);
}

TEST_F(WithoutDevice, ADeviceThatIsNotThereHasAReason) {
    const auto why = cuda::why_no_device(1000);
    ASSERT_TRUE(why.has_value());
    EXPECT_THAT(*why, HasSubstr("backend cuda"));
}

}  // namespace
}  // namespace hc::test
