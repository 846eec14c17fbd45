#include "profiler/trace/schema.h"

#include "engine/core/error.h"
#include "profiler/trace/reader.h"

namespace hc::trace {
namespace {

constexpr std::string_view kIndexMark = "-- INDEXES\n";

std::size_t index_part() {
    const std::size_t at = schema_sql().rfind(kIndexMark);
    HC_CHECK(at != std::string_view::npos);
    return at;
}

}  // namespace

std::string_view tables_sql() {
    return schema_sql().substr(0, index_part());
}
std::string_view indexes_sql() {
    return schema_sql().substr(index_part());
}

}  // namespace hc::trace
