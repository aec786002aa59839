# What `cmake --install` lays down: the program with its worker and its files, the libraries with their headers, host
# execution of CUDA sources, and the CMake package that `find_package(normproof)` finds. A wheel holds the same inside the
# Python package, but for the oracle's and the kernels' libraries: it judges kernels, and needs no library of the machine.
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/normproof)
set(include_folder ${CMAKE_INSTALL_INCLUDEDIR}/normproof)
set(share_folder ${CMAKE_INSTALL_DATADIR}/normproof)

set(installed_targets normproof_host normproof_plugin normproof-cuda-source-pass)
set(installed_rooms kernels/host)
if(NOT SKBUILD)
  list(APPEND installed_targets normproof_corpus normproof_fmt normproof_kernels normproof_oracle)
  list(APPEND installed_rooms corpus kernels oracle)
endif()
# Host execution then finds its fibers beside it.
set(own_context OFF)
if(NORMPROOF_STATIC)
  set(own_context ON)
  install(FILES $<TARGET_FILE:Boost::context> DESTINATION ${CMAKE_INSTALL_LIBDIR} RENAME libnormproof_boost_context.a)
endif()
foreach(program IN ITEMS normproof normproof-worker)
  if(TARGET ${program})
    list(APPEND installed_targets ${program})
  endif()
endforeach()
install(TARGETS ${installed_targets} EXPORT normproofTargets)
# Functions in another process get in by it (properties/plugin/bridge).
if(TARGET normproof_bridge)
  install(TARGETS normproof_bridge LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(PROGRAMS ${PROJECT_SOURCE_DIR}/properties/plugin/bridge/serve.py DESTINATION ${CMAKE_INSTALL_DATADIR}/normproof/bridge)
  list(APPEND installed_targets normproof_bridge)
endif()
# With the program all that is laid down is built.
if(TARGET normproof)
  list(REMOVE_ITEM installed_targets normproof)
  add_dependencies(normproof ${installed_targets})
endif()
install(EXPORT normproofTargets NAMESPACE normproof:: DESTINATION ${package_folder})

# Libraries that the program loads lie beside it.
foreach(library IN ITEMS kernels_cuda proofs_cuda bench_cuda)
  if(TARGET ${library})
    install(TARGETS ${library} LIBRARY DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT cuda)
  endif()
endforeach()

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/normproofConfig.cmake.in
  ${PROJECT_BINARY_DIR}/normproofConfig.cmake INSTALL_DESTINATION ${package_folder}
  PATH_VARS include_folder CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/normproofConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/normproofConfig.cmake ${PROJECT_BINARY_DIR}/normproofConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/kernels/host/cuda_host_target.cmake DESTINATION ${package_folder})

foreach(room IN LISTS installed_rooms)
  file(GLOB headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${room}/*.h)
  install(FILES ${headers} DESTINATION ${include_folder}/${room})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/kernels/host/host_execution.cpp ${PROJECT_SOURCE_DIR}/kernels/host/empty_program.cpp
        DESTINATION ${include_folder}/kernels/host)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/kernels/host/cuda_headers ${PROJECT_SOURCE_DIR}/kernels/host/hip_headers
                  ${PROJECT_SOURCE_DIR}/kernels/host/torch_headers
        DESTINATION ${include_folder}/kernels/host)
install(FILES ${PROJECT_SOURCE_DIR}/properties/plugin/normproof_plugin.h DESTINATION ${include_folder})

install(DIRECTORY ${PROJECT_SOURCE_DIR}/corpus DESTINATION ${share_folder} FILES_MATCHING PATTERN "*.json" PATTERN test EXCLUDE)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/properties/mutants DESTINATION ${share_folder} FILES_MATCHING PATTERN "*.patch")
install(FILES ${PROJECT_SOURCE_DIR}/bench/peers.csv ${PROJECT_SOURCE_DIR}/bench/family_rows.csv DESTINATION ${share_folder})
# Completion and the man page come from the program's own words (cli/CMakeLists.txt).
if(TARGET normproof AND NOT CMAKE_CROSSCOMPILING)
  set(completions ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  set(manual ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${PROJECT_BINARY_DIR}/normproof.bash DESTINATION ${completions} RENAME normproof)
  install(FILES ${PROJECT_BINARY_DIR}/normproof.1 DESTINATION ${manual})
endif()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE ${PROJECT_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
