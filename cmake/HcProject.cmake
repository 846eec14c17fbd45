# What every target of the project shares.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -O2 builds a third faster; what is hot (kernels/cpu) asks for -O3 itself.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_program(HC_CCACHE ccache)
if(HC_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${HC_CCACHE}")
endif()

add_library(hc_warnings INTERFACE)
target_compile_options(hc_warnings INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
                                             -Woverloaded-virtual -Werror)
# g++ 12 reports std::string::insert and operator+ as overlapping copies (its bug 105329).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(hc_warnings INTERFACE -Wno-restrict)
endif()

add_library(hc_sanitizers INTERFACE)
if(HC_SANITIZE STREQUAL "asan")
  target_compile_options(hc_sanitizers INTERFACE -fsanitize=address,undefined
                         -fno-sanitize-recover=all -fno-omit-frame-pointer -g1)
  target_link_options(hc_sanitizers INTERFACE -fsanitize=address,undefined)
elseif(HC_SANITIZE STREQUAL "tsan")
  target_compile_options(hc_sanitizers INTERFACE -fsanitize=thread -fno-omit-frame-pointer -g1)
  target_link_options(hc_sanitizers INTERFACE -fsanitize=thread)
elseif(NOT HC_SANITIZE STREQUAL "")
  message(FATAL_ERROR "HC_SANITIZE is '${HC_SANITIZE}', expected empty, asan or tsan")
endif()

# Instrumented code hides from g++ that its own library's values are set.
if(HC_SANITIZE AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(hc_sanitizers INTERFACE -Wno-maybe-uninitialized)
endif()

# hc_include_root(NAME FOLDER RESULT): a folder that holds nothing but a link to FOLDER, at its path.
function(hc_include_root name folder result)
  set(root "${PROJECT_BINARY_DIR}/include_roots/${name}")
  cmake_path(GET folder PARENT_PATH parent)
  file(MAKE_DIRECTORY "${root}/${parent}")
  file(CREATE_LINK "${PROJECT_SOURCE_DIR}/${folder}" "${root}/${folder}" SYMBOLIC)
  set(${result} "${root}" PARENT_SCOPE)
endfunction()

# hc_library(NAME FOLDER [LINKS ...] [PRIVATE_LINKS ...])
#
# A static library of all .cpp files of FOLDER (a path from the project's top), with the alias
# hc::NAME. Its headers are included by their path from the top ("engine/core/error.h"), through
# an include root of its own that holds nothing but a link to its folder: a library can include
# only what it links, which is how docs/architecture.md's table is enforced.
function(hc_library name folder)
  cmake_parse_arguments(ARG "" "" "LINKS;PRIVATE_LINKS" ${ARGN})
  hc_include_root(${name} ${folder} root)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.cpp")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")  # a program's, not the library's
  if(sources)
    add_library(hc_${name} STATIC ${sources})
    target_include_directories(hc_${name} PUBLIC "${root}")
    target_link_libraries(hc_${name} PUBLIC ${ARG_LINKS} hc_sanitizers
                                     PRIVATE ${ARG_PRIVATE_LINKS} hc_warnings)
  else()
    add_library(hc_${name} INTERFACE)
    target_include_directories(hc_${name} INTERFACE "${root}")
    target_link_libraries(hc_${name} INTERFACE ${ARG_LINKS} hc_sanitizers)
  endif()
  add_library(hc::${name} ALIAS hc_${name})
endfunction()

# hc_test(FOLDER LINKS ...)
#
# One test program of all *_test.cpp files of tests/FOLDER, one ctest entry per test case.
function(hc_test folder)
  cmake_parse_arguments(ARG "" "TIMEOUT" "LINKS;LABELS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/${folder}/*.cpp")
  if(NOT sources)
    return()
  endif()
  string(REPLACE "/" "_" target "test_${folder}")
  # What the tests of one folder share, they include by its path from the top as well.
  hc_include_root(${target} tests/${folder} root)
  add_executable(${target} ${sources})
  target_include_directories(${target} PRIVATE "${root}")
  target_link_libraries(${target} PRIVATE ${ARG_LINKS} hc::test_support GTest::gmock
                                          GTest::gtest_main hc_warnings hc_sanitizers)
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  add_test(NAME ${folder} COMMAND ${target})
  set_tests_properties(${folder} PROPERTIES
    TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
    ENVIRONMENT "QT_QPA_PLATFORM=offscreen;HC_TEST_BIN=${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
endfunction()
