# cmake -DSOURCE=FOLDER -DOUTPUT=FILE -P commit.cmake: the commit of the sources as a C++ header, written where it is another one than
# before. "unknown" where the sources are no clone.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=+changes --abbrev=10 --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE status)
if(NOT status EQUAL 0 OR NOT commit MATCHES "^[0-9a-f]+(\\+changes)?$")
  set(commit unknown)
endif()
string(CONCAT text "#pragma once\n\nnamespace normproof {\n\n" "inline constexpr const char* kCommit = \"${commit}\";\n\n"
       "}  // namespace normproof\n")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT text STREQUAL before)
  file(WRITE ${OUTPUT} "${text}")
endif()
