# For apply_patch.cmake and check_patches.cmake, whose variables PATCH_PROGRAM, SOURCE, COPY and FILES say of what.

# FILES (comma-separated, relative to SOURCE) in COPY, which has nothing else.
function(copy_originals)
  string(REPLACE "," ";" files "${FILES}")
  file(REMOVE_RECURSE ${COPY})
  foreach(file IN LISTS files)
    cmake_path(GET file PARENT_PATH folder)
    file(COPY ${SOURCE}/${file} DESTINATION ${COPY}/${folder} NO_SOURCE_PERMISSIONS)
    file(TOUCH_NOCREATE ${COPY}/${file})  # a copy has the time stamp of its source, a build wants a newer one
  endforeach()
endfunction()

# apply_patch(PATCH RESULT OUTPUT [OPTION...]): applies it in COPY, without any fuzz.
function(apply_patch patch result output)
  execute_process(COMMAND ${PATCH_PROGRAM} -p1 --fuzz=0 --forward --no-backup-if-mismatch --reject-file=- --input=${patch} ${ARGN}
                  WORKING_DIRECTORY ${COPY} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  set(${result} ${status} PARENT_SCOPE)
  set(${output} "${said}" PARENT_SCOPE)
endfunction()
