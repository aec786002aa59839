# A wheel of what a build folder holds already, NORMPROOF_BUILT, made by the preset `ci` for instance: the same files in the same
# places, without compiling them once more, and without the libraries for a GPU. Its programs link to the machine's libraries as
# that build's do.
if(NOT EXISTS ${NORMPROOF_BUILT}/cmake_install.cmake)
  message(FATAL_ERROR " NORMPROOF_BUILT: ${NORMPROOF_BUILT} is no build folder")
endif()
file(GLOB core ${NORMPROOF_BUILT}/python/package/normproof/_core*.so)
if(NOT core)
  message(FATAL_ERROR " NORMPROOF_BUILT: ${NORMPROOF_BUILT} holds no Python package: build its target python_package")
endif()
add_custom_target(python_core)
add_custom_target(normproof)
install(FILES ${core} DESTINATION normproof)
install(CODE "execute_process(COMMAND \"${CMAKE_COMMAND}\" --install \"${NORMPROOF_BUILT}\" --component Unspecified
                                      --prefix \"\${CMAKE_INSTALL_PREFIX}/normproof/_installed\"
                              OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)")
