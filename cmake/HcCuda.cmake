# The CUDA parts: sets HC_HAVE_CUDA, and the functions that build with it.
#
# HC_ENABLE_CUDA AUTO: off with one line where toolkit or compiler is missing. ON: both required.

set(HC_CUDA_ARCHITECTURES "90" CACHE STRING "GPU architectures, as CMAKE_CUDA_ARCHITECTURES")
set(HC_HAVE_CUDA OFF)

if(HC_SANITIZE AND HC_ENABLE_CUDA STREQUAL "AUTO")
  message(STATUS "CUDA: off, host sanitizers do not reach kernels")
elseif(NOT HC_ENABLE_CUDA STREQUAL "OFF")
  # The toolkit's usual folder is often on no PATH.
  find_program(HC_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin)
  if(HC_NVCC)
    cmake_path(GET HC_NVCC PARENT_PATH cuda_bin)
    cmake_path(GET cuda_bin PARENT_PATH cuda_root)
    set(CUDAToolkit_ROOT "${cuda_root}" CACHE PATH "Folder of the CUDA toolkit")
    find_package(CUDAToolkit QUIET)
  endif()
  if(HC_NVCC AND CUDAToolkit_FOUND AND TARGET CUDA::cudart_static)
    set(CMAKE_CUDA_COMPILER "${HC_NVCC}" CACHE FILEPATH "The CUDA compiler")
    set(CMAKE_CUDA_ARCHITECTURES "${HC_CUDA_ARCHITECTURES}")
    enable_language(CUDA)
    # CMake 3.25.1 does not know that nvcc speaks C++20.
    if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
      set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
      set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
    endif()
    set(CMAKE_CUDA_STANDARD 20)
    set(CMAKE_CUDA_STANDARD_REQUIRED ON)
    set(CMAKE_CUDA_RUNTIME_LIBRARY Static)  # a program needs the driver alone
    set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -DNDEBUG")
    if(HC_CCACHE)
      set(CMAKE_CUDA_COMPILER_LAUNCHER "${HC_CCACHE}")
    endif()
    set(HC_HAVE_CUDA ON)
    message(STATUS "CUDA: ${CUDAToolkit_VERSION}, architectures ${HC_CUDA_ARCHITECTURES}")
  elseif(HC_ENABLE_CUDA STREQUAL "ON")
    message(FATAL_ERROR "HC_ENABLE_CUDA is ON, found no CUDA toolkit with nvcc and libcudart_static: "
                        "install it or set CUDA_PATH")
  else()
    message(STATUS "CUDA: off, no toolkit found")
  endif()
endif()

# nvcc passes -Werror on to g++ by all-warnings; -Wpedantic objects to what nvcc itself generates.
add_library(hc_cuda_flags INTERFACE)
target_compile_options(hc_cuda_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra;--Werror=all-warnings>")

# What travels is small: later compilers of CUDA 12 have a denser compression.
if(HC_HAVE_CUDA AND HC_PORTABLE)
  execute_process(COMMAND "${HC_NVCC}" --help OUTPUT_VARIABLE nvcc_help ERROR_QUIET)
  if(nvcc_help MATCHES "--compress-mode")
    set(compress --compress-mode=size)
  else()
    set(compress -Xfatbin=-compress-all)
  endif()
  target_compile_options(hc_cuda_flags INTERFACE "$<$<COMPILE_LANGUAGE:CUDA>:${compress}>")
endif()

# hc_cuda_library(NAME FOLDER [LINKS ...])
#
# As hc_library, of all .cu and .cpp files of FOLDER.
function(hc_cuda_library name folder)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  hc_include_root(${name} ${folder} root)
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.cu" "${PROJECT_SOURCE_DIR}/${folder}/*.cpp")
  if(sources)
    add_library(hc_${name} STATIC ${sources})
    target_include_directories(hc_${name} PUBLIC "${root}")
    target_link_libraries(hc_${name} PUBLIC ${ARG_LINKS} CUDA::cudart_static PRIVATE hc_cuda_flags)
  else()
    add_library(hc_${name} INTERFACE)
    target_include_directories(hc_${name} INTERFACE "${root}")
    target_link_libraries(hc_${name} INTERFACE ${ARG_LINKS} CUDA::cudart_static)
  endif()
  add_library(hc::${name} ALIAS hc_${name})
endfunction()

# A program that runs on a machine that has a driver and libc and nothing else.
function(hc_link_portable target)
  target_link_options(${target} PRIVATE -static-libstdc++ -static-libgcc)
  if(HC_PORTABLE)
    target_sources(${target} PRIVATE "${PROJECT_SOURCE_DIR}/cmake/portable_libc.cpp")
  endif()
endfunction()

# hc_device_program(NAME FOLDER LINKS ...)
#
# One program of all .cpp and .cu files of FOLDER, which it includes by path from the top.
function(hc_device_program name folder)
  cmake_parse_arguments(ARG "" "" "LINKS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/${folder}/*.cu" "${PROJECT_SOURCE_DIR}/${folder}/*.cpp")
  if(NOT sources)
    return()
  endif()
  hc_include_root(${name} ${folder} root)
  add_executable(${name} ${sources})
  target_include_directories(${name} PRIVATE "${root}")
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} hc_cuda_flags)
  hc_link_portable(${name})
endfunction()
