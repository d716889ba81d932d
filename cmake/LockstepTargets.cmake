# lockstep_library(folder): a static library lockstep_<folder> whose include root is the tree's.
function(lockstep_library folder)
  add_library(lockstep_${folder} STATIC)
  target_include_directories(lockstep_${folder} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/lockstep>)
  target_compile_features(lockstep_${folder} PUBLIC cxx_std_20)
  set_property(GLOBAL APPEND PROPERTY LOCKSTEP_LIBRARIES lockstep_${folder})
endfunction()

# Instruction sets that kernels/cpu/isa is compiled for; the best one the machine has is used.
set(LOCKSTEP_ISAS baseline avx2 avx512)
set(LOCKSTEP_ISA_OPTIMIZE -O3)
if(LOCKSTEP_SANITIZE)
  # What a sanitizer finds does not depend on the optimiser; the time to build with one does.
  set(LOCKSTEP_ISA_OPTIMIZE -O1)
endif()
set(LOCKSTEP_ISA_FLAGS_baseline "")
set(LOCKSTEP_ISA_FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(LOCKSTEP_ISA_FLAGS_avx512 ${LOCKSTEP_ISA_FLAGS_avx2}
    -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC bug 105593: its own AVX-512 intrinsics look uninitialised to it.
  list(APPEND LOCKSTEP_ISA_FLAGS_avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()

# lockstep_isa_sources(target file...): compiles each file once per instruction set, with
# LOCKSTEP_ISA defined as its name, into `target`. What those files define lies in
# namespace lockstep::cpu::LOCKSTEP_ISA; they include no header with inline functions that other
# files share, else the linker could pick the copy the machine cannot run.
function(lockstep_isa_sources target)
  foreach(isa IN LISTS LOCKSTEP_ISAS)
    set(lib ${target}_${isa})
    if(NOT TARGET ${lib})
      add_library(${lib} OBJECT)
      target_include_directories(${lib} PRIVATE ${PROJECT_SOURCE_DIR})
      target_compile_definitions(${lib} PRIVATE LOCKSTEP_ISA=${isa} LOCKSTEP_ISA_${isa}=1)
      target_compile_options(${lib} PRIVATE ${LOCKSTEP_ISA_FLAGS_${isa}} ${LOCKSTEP_ISA_OPTIMIZE}
                             -fno-math-errno
                             -fno-trapping-math -ffp-contract=fast)
      target_sources(${target} PRIVATE $<TARGET_OBJECTS:${lib}>)
    endif()
    foreach(file IN LISTS ARGN)
      target_sources(${lib} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${file})
    endforeach()
  endforeach()
endfunction()

# lockstep_sanitized_test(name kind option...): compiles a test program with these options, of one kind
# with the same, and without the checks of pointers, which are a third of the time that
# UndefinedBehaviorSanitizer takes to compile: the libraries' own are checked, but for inline functions of
# which the linker takes a test's copy. The headers that most tests begin with are compiled once a kind;
# elsewhere each file shows that it names its own.
function(lockstep_sanitized_test name kind)
  set(headers lockstep_headers_of_${kind})
  if(LOCKSTEP_SANITIZE MATCHES undefined)
    list(PREPEND ARGN -fno-sanitize=alignment,nonnull-attribute,null,object-size,returns-nonnull-attribute)
  endif()
  if(NOT TARGET ${headers})
    file(GENERATE OUTPUT ${PROJECT_BINARY_DIR}/${headers}.cc CONTENT "int main() {}\n")
    add_executable(${headers} EXCLUDE_FROM_ALL ${PROJECT_BINARY_DIR}/${headers}.cc)
    target_compile_options(${headers} PRIVATE ${ARGN})
    target_link_libraries(${headers} PRIVATE GTest::gmock GTest::gtest)
    target_precompile_headers(${headers} PRIVATE <gmock/gmock.h> <gtest/gtest.h> <algorithm> <chrono>
      <cmath> <filesystem> <fstream> <functional> <map> <memory> <random> <string> <thread> <vector>)
  endif()
  target_compile_options(${name} PRIVATE ${ARGN})
  target_precompile_headers(${name} REUSE_FROM ${headers})
endfunction()

# lockstep_test(name SOURCES file... LINK target...): one GoogleTest program of a test folder.
# PROPERTIES are its tests'. Compiling tests takes longer than running them: only where they
# COMPUTE much themselves is it worth optimising them as the libraries. One that RUNS_PROGRAMS
# leaves the work to other processes, so a sanitizer has nothing to find in its own code. One that
# SPINS is about how threads wait for each other. Programs with tests that want a GPU have the label
# gpu: the target gpu_tests builds them, `ctest -L gpu` runs them.
function(lockstep_test name)
  cmake_parse_arguments(ARG "COMPUTES;RUNS_PROGRAMS;SPINS" "" "SOURCES;LINK;LABELS;PROPERTIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  if(LOCKSTEP_SANITIZE)
    if(ARG_RUNS_PROGRAMS)
      lockstep_sanitized_test(${name} programs -O0 -fno-sanitize=all)
    elseif(ARG_COMPUTES)
      lockstep_sanitized_test(${name} computing_tests)
    else()
      lockstep_sanitized_test(${name} tests -O0)
    endif()
  elseif(NOT ARG_COMPUTES)
    target_compile_options(${name} PRIVATE -O1)
  endif()
  target_link_libraries(${name} PRIVATE ${ARG_LINK} GTest::gmock GTest::gtest_main)
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  if("gpu" IN_LIST ARG_LABELS)
    if(NOT TARGET gpu_tests)
      add_custom_target(gpu_tests)
    endif()
    add_dependencies(gpu_tests ${name})
  endif()
  # Threads of which other tests have the cores wait asleep; the program sees to that itself.
  if(NOT ARG_RUNS_PROGRAMS AND NOT ARG_SPINS)
    list(PREPEND ARG_PROPERTIES ENVIRONMENT GOMP_SPINCOUNT=100)
  endif()
  # Not the values of parameters: of structs and texts they are bytes and addresses.
  gtest_discover_tests(${name} NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS "${ARG_LABELS}"
                       ${ARG_PROPERTIES})
endfunction()
