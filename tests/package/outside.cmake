# Installs BUILD into an empty prefix below WORK, then builds and runs consumer/ against it, through
# find_package (WAY cmake) or through pkg-config (WAY pkgconfig).
function(run)
  execute_process(COMMAND ${ARGN} COMMAND_ECHO STDOUT COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${WORK})
set(prefix ${WORK}/prefix)
set(consumer ${CMAKE_CURRENT_LIST_DIR}/consumer)
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${prefix})

if(WAY STREQUAL cmake)
  run(${CMAKE_COMMAND} -S ${consumer} -B ${WORK}/build -G ${GENERATOR}
      -DCMAKE_PREFIX_PATH=${prefix} -DCMAKE_CXX_COMPILER=${CXX})
  run(${CMAKE_COMMAND} --build ${WORK}/build)
else()
  set(ENV{PKG_CONFIG_PATH} ${prefix}/${LIBDIR}/pkgconfig)
  execute_process(COMMAND pkg-config --cflags --libs lockstep OUTPUT_VARIABLE flags
                  OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND ${flags})
  file(MAKE_DIRECTORY ${WORK}/build)
  run(${CXX} -std=c++20 ${consumer}/main.cc -o ${WORK}/build/consumer ${flags})
  run(${CXX} -std=c++20 ${consumer}/environment.cc -o ${WORK}/build/environment ${flags})
endif()
run(${WORK}/build/consumer)
execute_process(COMMAND ${WORK}/build/consumer ${WORK}/nowhere RESULT_VARIABLE code
                ERROR_VARIABLE told)
if(NOT code EQUAL 66 OR NOT told MATCHES "^[^\n]*nowhere[^\n]*\n$")
  message(FATAL_ERROR "without its data the program ends with ${code} and says '${told}'")
endif()

set(ENV{SM_CHANNEL_TRAINING} /data)
set(ENV{SM_MODEL_DIR} /model)
set(ENV{SM_HPS} [[{"batch_size": 128}]])
execute_process(COMMAND ${WORK}/build/environment OUTPUT_VARIABLE told COMMAND_ERROR_IS_FATAL ANY)
if(NOT told STREQUAL "/data /model 128\n")
  message(FATAL_ERROR "the environment says '${told}'")
endif()
