# What makes the build quick: headers that are compiled once, and cold code that is not optimized.
# Most of the time to compile goes into the headers of the standard library, Boost.Multiprecision, fmt, json, CLI11 and
# GoogleTest. Sources include what they use all the same.
option(NORMPROOF_PRECOMPILED_HEADERS "Compile common headers once (clang)" ON)
if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
  set(NORMPROOF_PRECOMPILED_HEADERS OFF)
endif()

# Half of the time to compile goes into optimizing. Quick builds, of clones and of tests, optimize the oracle as all builds do, other
# libraries a little, and not at all what reads options and files and writes reports: programs, the libraries that are COLD, tests.
# `verify` then does a tenth less in the same time. What is installed is optimized.
option(NORMPROOF_QUICK_TO_BUILD "Optimize little" OFF)
set(normproof_quick_options)
set(normproof_library_options)
if(NORMPROOF_QUICK_TO_BUILD AND CMAKE_BUILD_TYPE STREQUAL "Release")
  set(normproof_quick_options -O0)
  set(normproof_library_options -O1)
  if(CMAKE_CXX_COMPILER_ID MATCHES Clang)
    list(APPEND normproof_library_options -fno-vectorize -fno-slp-vectorize)
  endif()
endif()
# Of programs, and of libraries that read files and write reports: their code is cold.
set(normproof_cold_options $<$<CONFIG:Release>:$<IF:$<BOOL:${NORMPROOF_QUICK_TO_BUILD}>,-O0,-O1>>)

# Where nothing is optimized, half of the time goes into code of headers that each file that includes them has once more: all of
# CLI11, much of GoogleTest. Clang compiles the code of precompiled headers once, into an object of their own, if asked to.
# That takes a build rule for a file that CMake makes, which Ninja can have.
set(builds_quickly OFF)
if(normproof_quick_options AND NORMPROOF_PRECOMPILED_HEADERS AND CMAKE_GENERATOR STREQUAL "Ninja"
   AND NOT NORMPROOF_SANITIZERS AND NOT NORMPROOF_COVERAGE AND NOT libfuzzer_instruments)
  set(builds_quickly ON)
  # Every other build, g++'s and the sanitizers' for instance, compares format strings with their arguments while it compiles: a
  # twentieth of the time.
  add_compile_definitions(FMT_CONSTEVAL=)
endif()
file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/only_headers.cpp CONTENT "// Only headers: see NORMPROOF_PRECOMPILED_HEADERS.\n")

# Half of the rest of the time goes into what many sources include and instantiate alike. Forty of them at a time are compiled in
# a third of it, but a change of one of them compiles them all.
option(NORMPROOF_UNITY_BUILD "Compile the sources of a library many at a time" OFF)

# normproof_precompile_headers(NAME [PROGRAM] HEADERS ... DEPENDS ... OPTIONS ...): headers for normproof_use_precompiled_headers.
# PROGRAM: only programs use them, so their code may stand in an object that programs link.
function(normproof_precompile_headers name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PROGRAM" "" "HEADERS;DEPENDS;OPTIONS")
  if(NOT NORMPROOF_PRECOMPILED_HEADERS)
    return()
  endif()
  set(target normproof_${name}_headers)
  add_library(${target} STATIC EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/only_headers.cpp)
  target_link_libraries(${target} PRIVATE normproof::fmt Boost::headers ${arg_DEPENDS})
  target_include_directories(${target} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(${target} PRIVATE ${arg_OPTIONS})
  target_precompile_headers(${target} PRIVATE ${arg_HEADERS})
  if(NOT arg_PROGRAM OR NOT builds_quickly)
    return()
  endif()
  target_compile_options(${target} PRIVATE -fpch-codegen)
  set(precompiled ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/${target}.dir/cmake_pch.hxx.pch)
  set(object ${CMAKE_CURRENT_BINARY_DIR}/${target}.o)
  add_custom_command(OUTPUT ${object}
    COMMAND ${CMAKE_CXX_COMPILER} -O0 -fPIC -ffp-contract=off -c ${precompiled} -o ${object}
    DEPENDS ${target} ${precompiled} VERBATIM COMMENT "Compiling the code of the precompiled headers of ${name}")
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  add_library(${target}_code STATIC EXCLUDE_FROM_ALL ${object})
  set_target_properties(${target}_code PROPERTIES LINKER_LANGUAGE CXX)
endfunction()

# normproof_use_precompiled_headers(TARGET NAME): reads them first in each source of the target.
function(normproof_use_precompiled_headers target name)
  if(NOT NORMPROOF_PRECOMPILED_HEADERS)
    return()
  endif()
  # As the headers are, whose target is a library.
  target_compile_options(${target} PRIVATE -fPIC)
  target_precompile_headers(${target} REUSE_FROM normproof_${name}_headers)
  if(TARGET normproof_${name}_headers_code)
    target_link_libraries(${target} PRIVATE normproof_${name}_headers_code)
    # What nobody calls is left out: some of it calls what libstdc++ declares and does not define.
    target_link_options(${target} PUBLIC LINKER:--gc-sections)
  endif()
endfunction()

# normproof_compile_together(TARGET EACH NUMBER [ALONE ...]): its sources, so many at a time, but for those that are named.
# Neighbours in the alphabet go apart: they are alike, so they are more likely to give two things the same name.
function(normproof_compile_together target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "EACH" "ALONE")
  get_target_property(sources ${target} SOURCES)
  list(REMOVE_ITEM sources "" ${arg_ALONE})
  list(LENGTH sources count)
  if(NOT NORMPROOF_UNITY_BUILD OR count LESS 2)
    return()
  endif()
  set_target_properties(${target} PROPERTIES UNITY_BUILD ON UNITY_BUILD_MODE GROUP)
  math(EXPR last_group "(${count} - 1) / ${arg_EACH}")
  math(EXPR last "${count} - 1")
  foreach(index RANGE ${last})
    math(EXPR group "${index} % (${last_group} + 1)")
    list(GET sources ${index} source)
    set_property(SOURCE ${source} PROPERTY UNITY_GROUP group_${group})
  endforeach()
endfunction()

set(normproof_common_headers
    <algorithm> <array> <atomic> <bit> <charconv> <chrono> <cmath> <cstdint> <cstdio> <cstdlib> <cstring> <filesystem> <fstream>
    <functional> <limits> <map> <memory> <mutex> <numeric> <optional> <random> <set> <span> <sstream> <stdexcept> <string>
    <string_view> <system_error> <thread> <utility> <vector>)
# Then come the headers that most sources include anyway.
set(library_headers ${normproof_common_headers} <fmt/format.h> <fmt/ranges.h> <boost/multiprecision/cpp_int.hpp>)
foreach(header IN ITEMS corpus/json_use.h corpus/case.h corpus/call_limits.h corpus/generate.h oracle/policy.h oracle/policy_rows.h
                        oracle/canonical.h oracle/admissible.h oracle/certificate.h oracle/fast_row.h oracle/feasible.h
                        oracle/order_file.h oracle/beside.h oracle/judged/operation.h oracle/judged/search_violation.h
                        oracle/box_search/row_search.h)
  list(APPEND library_headers "${PROJECT_SOURCE_DIR}/${header}")
endforeach()
normproof_precompile_headers(library HEADERS ${library_headers} DEPENDS nlohmann_json::nlohmann_json)
if(libfuzzer_instruments)
  normproof_precompile_headers(not_fuzzed HEADERS ${library_headers} DEPENDS nlohmann_json::nlohmann_json
                                          OPTIONS -fno-sanitize=fuzzer-no-link)
endif()
if(NORMPROOF_PROGRAM)
  set(program_headers ${library_headers})
  foreach(header IN ITEMS properties/targets/target.h properties/targets/judged_target.h properties/judging/evaluate.h
                          properties/detective/identify.h oracle/judged/call_files.h corpus/safetensors.h
                          cli/commands.h cli/finding.h cli/given_outputs.h cli/html_report.h cli/verify_run.h)
    list(APPEND program_headers "${PROJECT_SOURCE_DIR}/${header}")
  endforeach()
  normproof_precompile_headers(program PROGRAM HEADERS <CLI/CLI.hpp> ${program_headers}
                               DEPENDS CLI11::CLI11 nlohmann_json::nlohmann_json OPTIONS ${normproof_cold_options})
endif()
if(NORMPROOF_TESTS)
  set(test_headers ${normproof_common_headers} <fmt/format.h> <gtest/gtest.h> <boost/multiprecision/cpp_int.hpp>)
  if(normproof_quick_options)
    normproof_precompile_headers(hot_test HEADERS ${test_headers} DEPENDS GTest::gtest_main)
  endif()
  normproof_precompile_headers(test PROGRAM HEADERS ${test_headers} DEPENDS GTest::gtest_main OPTIONS ${normproof_quick_options})
endif()
