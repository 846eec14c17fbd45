#include "profiler/activity/collect_options.h"

#include <gtest/gtest.h>

#include "engine/core/error.h"

namespace hc::activity {
namespace {

TEST(CollectOptions, NamesAndSetsAreEachOthersInverse) {
    EXPECT_EQ("kernel,memcpy,memset,sync,api,overhead,nvtx", collect_names(default_collect()));
    EXPECT_EQ("kernel,nvtx", collect_names(parse_collect("--kinds", "nvtx,kernel")));
    EXPECT_EQ("kernel,memcpy,memset,sync,api,overhead,memory,external,nvtx",
              collect_names(parse_collect("--kinds", "all")));
    for (const char* level : {"none", "useful", "all"}) {
        EXPECT_EQ(level, api_level_name(parse_api_level("--api", level)));
    }
}

TEST(CollectOptions, UnknownNamesAreRefusedWithTheOption) {
    for (const char* list : {"", "kernels", "kernel,", ",", "kernel,,nvtx", "Kernel", " kernel"}) {
        try {
            const CollectSet set = parse_collect("--kinds", list);
            ADD_FAILURE() << "took '" << list << "' as " << collect_names(set);
        } catch (const Error& error) {
            EXPECT_EQ(ExitCode::kUsage, error.code());
            EXPECT_EQ(0U, std::string(error.what()).find("--kinds has '")) << error.what();
        }
    }
    EXPECT_THROW((void)parse_api_level("--api", ""), Error);
}

}  // namespace
}  // namespace hc::activity
