# Copies FILES (comma-separated, relative to SOURCE) to COPY and applies PATCH there, without any fuzz.
include(${CMAKE_CURRENT_LIST_DIR}/patching.cmake)
copy_originals()
apply_patch(${PATCH} result output)
if(NOT result EQUAL 0)
  file(REMOVE_RECURSE ${COPY})
  message(FATAL_ERROR "The mutant ${PATCH} does not apply any more:\n${output}")
endif()
