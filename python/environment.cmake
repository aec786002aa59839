# Finds Python and nanobind. For a wheel, pip has put them in place. Otherwise an environment is made in the build folder
# from the pinned requirements.txt; where that is not possible (no venv module, no network), nanobind_FOUND stays unset,
# and one test says why the package was not tested.
if(SKBUILD)
  find_package(Python 3.10 REQUIRED COMPONENTS Interpreter Development.Module)
  find_package(nanobind CONFIG REQUIRED)
  return()
endif()

# python_unavailable(REASON): the package is not built; the reason is the skipped test's message.
function(python_unavailable reason)
  string(REGEX REPLACE "[ \n\r\";]+" " " reason "${reason}")
  message(WARNING "The Python package is not built: ${reason}")
  if(NORMPROOF_TESTS)
    add_test(NAME python.package COMMAND ${CMAKE_COMMAND} -E echo "NOT TESTED: ${reason}")
    set_tests_properties(python.package PROPERTIES LABELS unit SKIP_REGULAR_EXPRESSION "NOT TESTED")
  endif()
endfunction()

find_package(Python3 3.10 COMPONENTS Interpreter)
if(NOT Python3_FOUND)
  python_unavailable("there is no Python 3.10 or newer")
  return()
endif()

set(environment ${CMAKE_CURRENT_BINARY_DIR}/environment)
set(requirements ${CMAKE_CURRENT_SOURCE_DIR}/requirements.txt)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${requirements})
file(SHA256 ${requirements} requirements_hash)
set(installed ${environment}/${requirements_hash})
if(NOT EXISTS ${installed})
  message(STATUS "Making the Python environment ${environment}")
  execute_process(COMMAND ${Python3_EXECUTABLE} -m venv --clear ${environment}
                  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    python_unavailable("python3 -m venv failed: ${output}")
    return()
  endif()
  execute_process(COMMAND ${environment}/bin/python -m pip install --quiet --disable-pip-version-check --no-compile
                          --only-binary :all: --requirement ${requirements}
                  RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    python_unavailable("pip could not install ${requirements}: ${output}")
    return()
  endif()
  file(TOUCH ${installed})
endif()

set(Python_EXECUTABLE ${environment}/bin/python)
find_package(Python 3.10 COMPONENTS Interpreter Development.Module)
if(NOT Python_FOUND)
  python_unavailable("there are no headers for ${Python3_EXECUTABLE} (Debian: python3-dev)")
  return()
endif()
execute_process(COMMAND ${Python_EXECUTABLE} -m nanobind --cmake_dir OUTPUT_VARIABLE nanobind_ROOT
                OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
find_package(nanobind CONFIG REQUIRED)
