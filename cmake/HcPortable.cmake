# HC_PORTABLE: programs that run on a machine that has a driver and libc and nothing else.
#
# Only libc's own libraries stay dynamic, and what the CUDA parts open at run time (cuBLASLt).

option(HC_PORTABLE "Link everything but libc's and CUDA's own libraries into the programs" OFF)
if(NOT HC_PORTABLE)
  return()
endif()
if(HC_SANITIZE)
  message(FATAL_ERROR "HC_PORTABLE is ON and HC_SANITIZE is '${HC_SANITIZE}', expected one of the two: "
                      "sanitizers need their shared libraries")
endif()

# Symbols would be half of the size.
add_link_options(-static-libstdc++ -static-libgcc -Wl,--as-needed -s)

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

hc_link_static(SQLite::SQLite3 libsqlite3.a m ${CMAKE_DL_LIBS} Threads::Threads)
hc_link_static(zstd::libzstd_shared libzstd.a Threads::Threads)
hc_link_static(PkgConfig::PCRE2 libpcre2-8.a)
hc_link_static(PkgConfig::XXHASH libxxhash.a)

# Debian has no libfmt.a; with all of it in headers, --as-needed drops the shared library.
set_target_properties(fmt::fmt PROPERTIES INTERFACE_COMPILE_DEFINITIONS FMT_HEADER_ONLY=1)
