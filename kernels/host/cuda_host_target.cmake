# normproof_add_cuda_host_target(NAME SOURCES FILE... [INCLUDE_DIRECTORIES FOLDER...] [DEFINITIONS NAME=VALUE...]
#                                [ARCHITECTURE 800] [TORCH] [HIP [WAVE 64]]): unmodified CUDA or HIP sources as a shared library
# that runs on the CPU.
#
# The .cu and .hip files among the sources, and headers of theirs that lie beside them or in the include directories, go through the
# source pass; all is compiled by the plain C++ compiler with stand-ins for CUDA's headers. Where the sources export
# normproof_plugin(), `normproof verify --target ./libNAME.so` judges them. The sanitizers are those of the build
# (NORMPROOF_SANITIZERS); misaligned accesses are found in any. ARCHITECTURE is what __CUDA_ARCH__ says. TORCH adds stand-ins for
# the headers of torch; no torch is linked. HIP adds those of HIP, and waves of 64 lanes, or of 32 (WAVE 32).
include_guard(GLOBAL)
# normproofConfig.cmake says where it was installed.
if(NOT NORMPROOF_INSTALLED_CUDA_HOST_FOLDER)
  set(NORMPROOF_CUDA_HOST_FOLDER ${CMAKE_CURRENT_LIST_DIR} CACHE INTERNAL "Where CUDA sources find their headers")
endif()

function(normproof_add_cuda_host_target name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH;HIP" "ARCHITECTURE;WAVE" "SOURCES;INCLUDE_DIRECTORIES;DEFINITIONS")
  if(arg_UNPARSED_ARGUMENTS OR NOT arg_SOURCES)
    message(FATAL_ERROR "normproof_add_cuda_host_target(${name}): wanted SOURCES, INCLUDE_DIRECTORIES, DEFINITIONS, "
                        "ARCHITECTURE, TORCH, HIP, WAVE, not '${arg_UNPARSED_ARGUMENTS}'")
  endif()
  if(NOT arg_WAVE)
    set(arg_WAVE 64)
  elseif(NOT arg_HIP OR NOT arg_WAVE MATCHES "^(32|64)$")
    message(FATAL_ERROR "normproof_add_cuda_host_target(${name}): WAVE ${arg_WAVE}: 32 or 64, with HIP")
  endif()
  if(NOT arg_ARCHITECTURE)
    set(arg_ARCHITECTURE 800)
  endif()
  # What normproof found is not to be seen where it was added as a subdirectory.
  if(NOT TARGET Boost::context AND NOT TARGET normproof::boost_context)
    find_package(Boost 1.81 REQUIRED COMPONENTS context)
  endif()
  if(NOT TARGET dlpack::dlpack)
    find_package(dlpack QUIET)
  endif()
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/${name}.hosted)
  # A toolkit's folder, or torch's, comes after the stand-ins, whose names it has too.
  set(include_folders)
  set(vendor_folders)
  foreach(include_folder IN LISTS arg_INCLUDE_DIRECTORIES)
    get_filename_component(include_folder ${include_folder} ABSOLUTE)
    set(kind include_folders)
    foreach(header IN ITEMS cuda_runtime.h cuda_fp16.h cub/cub.cuh cuda/std/limits hip/hip_runtime.h hipcub/hipcub.hpp ATen/ATen.h
                            c10/macros/Macros.h torch/extension.h torch/csrc/stable/tensor.h)
      if(EXISTS ${include_folder}/${header})
        set(kind vendor_folders)
      endif()
    endforeach()
    list(APPEND ${kind} ${include_folder})
  endforeach()
  set(cuda_sources)
  set(compiled)
  foreach(source IN LISTS arg_SOURCES)
    get_filename_component(source ${source} ABSOLUTE)
    if(source MATCHES "\\.(cu|hip)$")
      # Under its real path, which the source pass uses; it need not be there yet.
      get_filename_component(real ${source} REALPATH)
      list(APPEND cuda_sources ${real})
      list(APPEND compiled ${folder}${real}.cpp)
    else()
      list(APPEND compiled ${source})
    endif()
  endforeach()
  set(generated ${compiled})
  list(FILTER generated INCLUDE REGEX "\\.(cu|hip)\\.cpp$")
  if(cuda_sources)
    add_custom_command(
      OUTPUT ${generated}
      COMMAND $<TARGET_FILE:normproof::cuda-source-pass> --output ${folder} --depfile ${folder}.d $<$<BOOL:${arg_HIP}>:--hip>
              --include ${include_folders} -- ${cuda_sources}
      DEPENDS ${cuda_sources} $<TARGET_FILE:normproof::cuda-source-pass>
      DEPFILE ${folder}.d
      COMMAND_EXPAND_LISTS
      COMMENT "CUDA sources of ${name} for the CPU"
      VERBATIM)
  endif()
  add_library(${name} SHARED ${compiled} ${NORMPROOF_CUDA_HOST_FOLDER}/host_execution.cpp)
  target_compile_features(${name} PRIVATE cxx_std_20)
  # Not as system folders: those named by CPATH would come before them.
  set(stand_ins ${NORMPROOF_CUDA_HOST_FOLDER}/cuda_headers)
  if(arg_TORCH)
    list(PREPEND stand_ins ${NORMPROOF_CUDA_HOST_FOLDER}/torch_headers)
  endif()
  if(arg_HIP)
    list(PREPEND stand_ins ${NORMPROOF_CUDA_HOST_FOLDER}/hip_headers)
    # hipcc includes the runtime's header by itself.
    target_compile_options(${name} PRIVATE "SHELL:-include hip/hip_runtime.h")
    set(platform NORMPROOF_HIP NORMPROOF_WAVE_LANES=${arg_WAVE} __HIP_PLATFORM_AMD__=1)
    # What the compiler says of the GPU: that of hip_runtime_api.h for 64 lanes, and one with 32.
    if(arg_WAVE EQUAL 64)
      list(APPEND platform __GFX9__=1 __gfx942__=1)
    else()
      list(APPEND platform __GFX11__=1 __gfx1100__=1)
    endif()
    if(arg_TORCH)
      list(APPEND platform USE_ROCM=1)
    endif()
  else()
    set(platform __CUDA_ARCH__=${arg_ARCHITECTURE})
  endif()
  target_include_directories(${name} BEFORE PRIVATE ${include_folders} ${stand_ins})
  target_include_directories(${name} SYSTEM PRIVATE ${vendor_folders})
  target_compile_definitions(${name} PRIVATE ${platform} ${arg_DEFINITIONS})
  target_link_libraries(${name} PRIVATE normproof::host normproof::plugin)
  if(TARGET dlpack::dlpack)
    target_link_libraries(${name} PRIVATE dlpack::dlpack)
  endif()
  # So that a fault names its line.
  target_compile_options(${name} PRIVATE -g1)
  # Functions that the adapter does not reach are left out, and what only they call need not be defined.
  target_compile_options(${name} PRIVATE -ffunction-sections -fdata-sections)
  target_link_options(${name} PRIVATE -Wl,--gc-sections)
  # What is not defined is named here, not when the library is loaded.
  if(NORMPROOF_SANITIZERS)
    target_compile_options(${name} PRIVATE -fsanitize=${NORMPROOF_SANITIZERS} -fno-sanitize-recover=all
                                           -fno-omit-frame-pointer)
    target_link_options(${name} PRIVATE -fsanitize=${NORMPROOF_SANITIZERS})
    # A sanitizer's runtime is in the program: a program that does nothing is linked with the library.
    add_custom_command(
      TARGET ${name} POST_BUILD
      COMMAND ${CMAKE_CXX_COMPILER} -fsanitize=${NORMPROOF_SANITIZERS} -Wl,--no-allow-shlib-undefined
              -o ${folder}.linked -x c++ ${NORMPROOF_CUDA_HOST_FOLDER}/empty_program.cpp -x none $<TARGET_FILE:${name}>
      VERBATIM)
  else()
    target_link_options(${name} PRIVATE -Wl,--no-undefined)
  endif()
  # kernels/host itself answers where an access is misaligned.
  target_compile_options(${name} PRIVATE -fsanitize=alignment -fsanitize-recover=alignment -Wno-error)
  set_target_properties(${name} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON
                                           POSITION_INDEPENDENT_CODE ON)
endfunction()
