# libhcprof-inject.so: of the same sources as the static libraries, compiled once more as a library
# that goes into foreign processes needs it: position independent, nothing visible, and with its own
# SQLite, zstd and fmt inside, so that it neither needs nor meets those of the program.
set(HC_INJECT_DIR "${CMAKE_CURRENT_LIST_DIR}")

file(GLOB inject_sources CONFIGURE_DEPENDS
     "${PROJECT_SOURCE_DIR}/profiler/inject/*.cpp" "${PROJECT_SOURCE_DIR}/profiler/cupti/*.cpp"
     "${PROJECT_SOURCE_DIR}/profiler/activity/*.cpp" "${PROJECT_SOURCE_DIR}/profiler/trace/*.cpp")
find_library(HC_INJECT_SQLITE libsqlite3.a)
find_library(HC_INJECT_ZSTD libzstd.a)
find_path(HC_INJECT_FMT fmt/format-inl.h)
if(NOT HC_INJECT_SQLITE OR NOT HC_INJECT_ZSTD OR NOT HC_INJECT_FMT)
  message(STATUS "libhcprof-inject.so: not built, found no libsqlite3.a, libzstd.a or fmt/format-inl.h")
  return()
endif()

add_library(hcprof_inject MODULE ${inject_sources}
  "${PROJECT_SOURCE_DIR}/engine/core/error.cpp" "${PROJECT_SOURCE_DIR}/cmake/portable_fmt.cpp"
  "${CMAKE_CURRENT_BINARY_DIR}/schema_text.cpp")
foreach(folder engine/core profiler/trace profiler/activity profiler/cupti profiler/inject)
  string(REPLACE "/" "_" name "inject_${folder}")
  hc_include_root(${name} ${folder} root)
  target_include_directories(hcprof_inject PRIVATE "${root}")
endforeach()
target_include_directories(hcprof_inject SYSTEM PRIVATE "${HC_INJECT_FMT}")
set_target_properties(hcprof_inject PROPERTIES
  OUTPUT_NAME hcprof-inject
  LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib"
  CXX_VISIBILITY_PRESET hidden
  VISIBILITY_INLINES_HIDDEN ON
  LINK_DEPENDS "${HC_INJECT_DIR}/exports.map")
# -fno-gnu-unique: such symbols are shared by the whole process in spite of everything below.
target_compile_options(hcprof_inject PRIVATE -fPIC -fno-gnu-unique -ffunction-sections -fdata-sections)
target_link_libraries(hcprof_inject PRIVATE hc_cupti_headers hc_warnings hc_sanitizers
                      "${HC_INJECT_SQLITE}" "${HC_INJECT_ZSTD}" Threads::Threads m ${CMAKE_DL_LIBS})
target_link_options(hcprof_inject PRIVATE
  "-Wl,--version-script=${HC_INJECT_DIR}/exports.map"
  -Wl,--exclude-libs,ALL -Wl,-Bsymbolic -Wl,-z,nodelete -Wl,-z,defs -Wl,--gc-sections)
if(NOT HC_SANITIZE)
  target_link_options(hcprof_inject PRIVATE -static-libstdc++ -static-libgcc)
else()
  target_link_options(hcprof_inject PRIVATE -Wl,-z,undefs)  # the sanitizer's runtime is the program's
endif()
if(HC_PORTABLE)
  target_sources(hcprof_inject PRIVATE "${PROJECT_SOURCE_DIR}/cmake/portable_libc.cpp")
  target_compile_options(hcprof_inject PRIVATE -Os)
endif()
