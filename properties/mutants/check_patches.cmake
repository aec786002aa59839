# Applies every patch in PATCHES (a folder) to a copy of the kernels, one at a time; names those that no longer apply.
# At least LEAST of them must be there. The other variables are those of apply_patch.cmake.
file(GLOB patches ${PATCHES}/*.patch)
set(broken)
foreach(patch IN LISTS patches)
  execute_process(
    COMMAND ${CMAKE_COMMAND} -DPATCH_PROGRAM=${PATCH_PROGRAM} -DPATCH=${patch} -DSOURCE=${SOURCE} -DCOPY=${COPY}
            -DFILES=${FILES} -P ${CMAKE_CURRENT_LIST_DIR}/apply_patch.cmake
    RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    message(NOTICE "${output}")
    list(APPEND broken ${patch})
  endif()
endforeach()
file(REMOVE_RECURSE ${COPY})
list(LENGTH patches count)
if(broken OR count LESS LEAST)
  message(FATAL_ERROR "of ${count} patches (at least ${LEAST} are wanted) these do not apply any more: ${broken}")
endif()
message(NOTICE "${count} patches apply")
