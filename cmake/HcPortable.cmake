# HC_PORTABLE: programs that run on a machine that has a driver and libc and nothing else.
#
# Only libc's own libraries stay dynamic, and what the CUDA parts open at run time (cuBLASLt).

option(HC_PORTABLE "Link everything but libc's and CUDA's own libraries into the programs" OFF)
if(HC_PORTABLE)
  if(HC_SANITIZE)
    message(FATAL_ERROR "HC_PORTABLE is ON and HC_SANITIZE is '${HC_SANITIZE}', expected one of the two: "
                        "sanitizers need their shared libraries")
  endif()
  # What travels is small: no symbols, nothing that is never called, no relocations.
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:-ffunction-sections;-fdata-sections>")
  add_link_options(-static-libstdc++ -static-libgcc -Wl,--as-needed -Wl,--gc-sections -no-pie -s)
endif()

# hc_portable_fmt(): fmt::fmt as a library of our own, since Debian has no libfmt.a.
function(hc_portable_fmt)
  find_path(HC_FMT_INCLUDE_DIR fmt/format-inl.h REQUIRED)
  add_library(hc_fmt STATIC "${PROJECT_SOURCE_DIR}/cmake/portable_fmt.cpp")
  target_include_directories(hc_fmt SYSTEM PUBLIC "${HC_FMT_INCLUDE_DIR}")
  add_library(fmt::fmt ALIAS hc_fmt)
endfunction()

# hc_link_static(TARGET ARCHIVE [LINKS]): an imported TARGET becomes ARCHIVE, with what that needs.
function(hc_link_static target archive)
  find_library(HC_ARCHIVE_${archive} ${archive})
  if(NOT HC_ARCHIVE_${archive})
    message(FATAL_ERROR "HC_PORTABLE is ON, found no ${archive}: install its development package")
  endif()
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "INTERFACE_LIBRARY")
    set_target_properties(${target} PROPERTIES
      INTERFACE_LINK_LIBRARIES "${HC_ARCHIVE_${archive}};${ARGN}" INTERFACE_LINK_OPTIONS "")
  else()
    # Goes before the IMPORTED_LOCATION_NONE of Debian's packages.
    set_target_properties(${target} PROPERTIES
      IMPORTED_LOCATION "${HC_ARCHIVE_${archive}}" INTERFACE_LINK_LIBRARIES "${ARGN}")
  endif()
endfunction()
