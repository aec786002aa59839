# Copies FILES (comma-separated, relative to SOURCE) to COPY and applies PATCH there, without any fuzz.
string(REPLACE "," ";" files "${FILES}")
file(REMOVE_RECURSE ${COPY})
foreach(file IN LISTS files)
  cmake_path(GET file PARENT_PATH folder)
  file(COPY ${SOURCE}/${file} DESTINATION ${COPY}/${folder} NO_SOURCE_PERMISSIONS)
  file(TOUCH_NOCREATE ${COPY}/${file})  # a copy has the time stamp of its source, a build wants a newer one
endforeach()
execute_process(COMMAND ${PATCH_PROGRAM} -p1 --fuzz=0 --forward --no-backup-if-mismatch --reject-file=-
                        --input=${PATCH}
                WORKING_DIRECTORY ${COPY} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT result EQUAL 0)
  file(REMOVE_RECURSE ${COPY})
  message(FATAL_ERROR "The mutant ${PATCH} does not apply any more:\n${output}")
endif()
