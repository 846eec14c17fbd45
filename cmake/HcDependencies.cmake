# Packages; docs/hacking.md lists them with their Debian names.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(fmt REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(zstd REQUIRED)
find_package(CLI11 REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)

# A yardstick of the benchmarks, where it is installed.
find_package(BLAS QUIET)

if(HC_BUILD_TESTS)
  find_package(GTest REQUIRED)
endif()
if(HC_BUILD_BENCH)
  find_package(benchmark QUIET)
endif()

if(NOT HC_ENABLE_GUI STREQUAL "OFF")
  if(HC_ENABLE_GUI STREQUAL "ON")
    find_package(Qt6 REQUIRED COMPONENTS Widgets Test)
  else()
    find_package(Qt6 QUIET COMPONENTS Widgets Test)
  endif()
endif()

include(HcPortable)
