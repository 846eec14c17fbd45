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
