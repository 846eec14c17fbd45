# Tests of what collects CUDA activity.
hc_test(activity LINKS hc::activity)

if(HC_HAVE_CUPTI)
  hc_test(cupti LINKS hc::cupti hc::inject hc_cupti_headers SQLite::SQLite3 ${CMAKE_DL_LIBS})

  # The victim of the device tests: work with known records, recorded by itself or by injection.
  hc_cuda_library(profiler_workload tests/device_profiler/workload LINKS hc::core)
  hc_device_program(profiler_victim tests/device_profiler/victim
                    LINKS hc::profiler_workload hc::cupti hc::activity hc::trace ${CMAKE_DL_LIBS})
  hc_test(device_profiler LINKS SQLite::SQLite3 LABELS device TIMEOUT 900)
  add_dependencies(test_device_profiler profiler_victim)
  set_tests_properties(device_profiler PROPERTIES SKIP_REGULAR_EXPRESSION "no usable GPU")
  if(HC_PORTABLE)
    hc_link_portable(test_device_profiler)
  endif()
  if(TARGET hcprof_inject)
    add_dependencies(test_device_profiler hcprof_inject)
  endif()
  # For a GPU machine: programs in bin/, the library in lib/.
  add_custom_target(profiler_device_programs DEPENDS test_device_profiler profiler_victim)
endif()

if(HC_HAVE_CUPTI AND TARGET hcprof_inject)
  # A double of libcupti.so and a program that loads the injection as the driver would: the whole
  # path from entry point to trace file without a GPU.
  hc_include_root(stub_cupti tests/cupti root)
  add_library(stub_cupti MODULE cupti/stub/stub_cupti.cpp)
  target_include_directories(stub_cupti PRIVATE "${root}")
  target_link_libraries(stub_cupti PRIVATE hc_cupti_headers hc_warnings)
  set_target_properties(stub_cupti PROPERTIES LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
  add_executable(stub_victim cupti/stub/stub_victim.cpp)
  target_link_libraries(stub_victim PRIVATE hc_cupti_headers hc_warnings hc_sanitizers Threads::Threads ${CMAKE_DL_LIBS})
  add_dependencies(test_cupti hcprof_inject stub_cupti stub_victim)
endif()

if(HC_HAVE_CUPTI)
  hc_include_root(decode_speed tests/cupti root)
  add_executable(decode_speed EXCLUDE_FROM_ALL bench/decode_speed.cpp)
  target_include_directories(decode_speed PRIVATE "${root}")
  target_link_libraries(decode_speed PRIVATE hc::cupti hc_cupti_headers hc_warnings hc_sanitizers)
endif()
