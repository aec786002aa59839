# The headers that most files of the program include, read once.
set(headers <CLI/CLI.hpp> ${normproof_cold_precompiled})
foreach(header IN ITEMS commands.h finding.h given_outputs.h html_report.h verify_run.h)
  list(APPEND headers "${CMAKE_CURRENT_SOURCE_DIR}/${header}")
endforeach()
if(NOT NORMPROOF_PRECOMPILED_HEADERS)
  return()
endif()
# CLI11 is all headers, and each file that includes them would compile the whole of it once more: half of the time that such a
# file takes where nothing is optimized. Clang compiles the code of precompiled headers once, into an object of their own, if
# asked to. That asks for a build rule for what CMake made, which Ninja has.
set(compiled_once OFF)
if(NORMPROOF_QUICK_TO_BUILD AND CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_GENERATOR STREQUAL "Ninja"
   AND CMAKE_CXX_COMPILER_ID MATCHES Clang AND NOT NORMPROOF_SANITIZERS AND NOT NORMPROOF_COVERAGE)
  set(compiled_once ON)
endif()
if(NOT compiled_once)
  target_precompile_headers(normproof PRIVATE ${headers})
  return()
endif()
add_library(normproof_program_headers STATIC EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/only_headers.cpp)
target_link_libraries(normproof_program_headers PRIVATE normproof::fmt nlohmann_json::nlohmann_json Boost::headers CLI11::CLI11)
target_include_directories(normproof_program_headers PRIVATE ${PROJECT_SOURCE_DIR})
target_compile_options(normproof_program_headers PRIVATE ${normproof_cold_options} -fpch-codegen)
target_precompile_headers(normproof_program_headers PRIVATE ${headers})
set(precompiled ${CMAKE_CURRENT_BINARY_DIR}/CMakeFiles/normproof_program_headers.dir/cmake_pch.hxx.pch)
set(code ${CMAKE_CURRENT_BINARY_DIR}/program_headers.o)
add_custom_command(OUTPUT ${code}
  COMMAND ${CMAKE_CXX_COMPILER} -O0 -fPIC -ffp-contract=off -c ${precompiled} -o ${code}
  DEPENDS normproof_program_headers ${precompiled} VERBATIM
  COMMENT "Compiling the code of the program's precompiled headers")
add_library(normproof_program_headers_code STATIC EXCLUDE_FROM_ALL ${code})
set_source_files_properties(${code} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
set_target_properties(normproof_program_headers_code PROPERTIES LINKER_LANGUAGE CXX)
# Compiled as the libraries are, so that the flags agree.
target_compile_options(normproof PRIVATE -fPIC)
target_precompile_headers(normproof REUSE_FROM normproof_program_headers)
target_link_libraries(normproof PRIVATE normproof_program_headers_code)
# What nobody calls is left out: some of it calls what libstdc++ declares and does not define.
target_link_options(normproof PRIVATE LINKER:--gc-sections)
