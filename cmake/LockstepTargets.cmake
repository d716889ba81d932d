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

# lockstep_test(name SOURCES file... LINK target...): one GoogleTest program of a test folder.
# PROPERTIES are its tests'. Compiling tests takes longer than running them: only where they
# COMPUTE much themselves is it worth optimising them as the libraries. One that RUNS_PROGRAMS
# leaves the work to other processes, so a sanitizer has nothing to find in its own code. Programs
# with tests that want a GPU have the label gpu: the target gpu_tests builds them, `ctest -L gpu`
# runs them.
function(lockstep_test name)
  cmake_parse_arguments(ARG "COMPUTES;RUNS_PROGRAMS" "" "SOURCES;LINK;LABELS;PROPERTIES" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  if(LOCKSTEP_SANITIZE AND NOT ARG_COMPUTES)
    target_compile_options(${name} PRIVATE -O0)
    if(ARG_RUNS_PROGRAMS)
      target_compile_options(${name} PRIVATE -fno-sanitize=all)
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
  # Not the values of parameters: of structs and texts they are bytes and addresses.
  gtest_discover_tests(${name} NO_PRETTY_VALUES DISCOVERY_TIMEOUT 60 PROPERTIES TIMEOUT 600 LABELS "${ARG_LABELS}"
                       ${ARG_PROPERTIES})
endfunction()
